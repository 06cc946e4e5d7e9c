//! What a policy refuses, and why.

use std::fmt;

use crate::contract::{Import, Interruption, MemoryLayout};
use crate::cpu::CpuFeatures;
use crate::signature::SignatureError;

/// Everything in an artifact that a policy refuses. Its maker's to mend, or the operator's, whose policy it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violations {
    /// The policy's name.
    pub policy: String,
    /// One for each fact; never empty in an error.
    pub list: Vec<Violation>,
}

/// A fact that a policy refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The part of the policy, by its key: `memory.bytes_max`.
    pub key: &'static str,
    /// Its line, if the policy was read from a file.
    pub line: Option<u32>,
    /// What the artifact has or asks for.
    pub fact: Fact,
    /// What the policy says of it.
    pub says: String,
}

/// Something about an artifact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// It imports this.
    Import(Import),
    /// It has so many memories.
    Memories(u64),
    /// A memory may grow to so many bytes.
    MemoryBytes {
        /// Which.
        memory: u32,
        /// How many.
        bytes: u128,
    },
    /// The bounds of memories are kept so; `None`: of those it imports.
    MemoryLayout {
        /// Which.
        memory: Option<u32>,
        /// How.
        layout: MemoryLayout,
    },
    /// It has so many tables.
    Tables(u64),
    /// A table may grow to so many entries.
    TableEntries {
        /// Which.
        table: u32,
        /// How many.
        entries: u64,
    },
    /// It uses these CPU features, which are not allowed.
    Cpu(CpuFeatures),
    /// It is stopped so.
    Interruption(Interruption),
    /// It counts what it executes, or does not.
    Metered(bool),
    /// It is not signed.
    Unsigned,
    /// Its signature is of no use.
    Signature(SignatureError),
    /// Its machine code is not proved, for this reason.
    Unproved(String),
}

impl Violations {
    /// These and others of the same policy.
    pub fn and(mut self, others: Violations) -> Violations {
        self.list.extend(others.list);
        self
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.list.len();
        write!(f, "the policy refuses it: {count} {}", if count == 1 { "violation" } else { "violations" })?;
        self.list.iter().try_for_each(|violation| {
            let line = violation.line.map(|line| format!(":{line}")).unwrap_or_default();
            write!(f, "\n  {}{line}: {violation}", self.policy)
        })
    }
}

impl std::error::Error for Violations {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.fact, self.says)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Import(import) => {
                let (module, name) = (import.module.escape_debug(), import.name.escape_debug());
                write!(f, "it imports {module} {name}: {}", import.ty)
            }
            Fact::Memories(count) => write!(f, "it has {count} memories"),
            Fact::MemoryBytes { memory, bytes } => write!(f, "memory {memory} may grow to {bytes} bytes"),
            Fact::MemoryLayout { memory, layout } => {
                match memory {
                    Some(memory) => write!(f, "memory {memory} is ")?,
                    None => f.write_str("memories it imports must be ")?,
                }
                f.write_str(layout_name(*layout))
            }
            Fact::Tables(count) => write!(f, "it has {count} tables"),
            Fact::TableEntries { table, entries } => write!(f, "table {table} may grow to {entries} entries"),
            Fact::Cpu(features) => write!(f, "it uses {features}"),
            Fact::Interruption(Interruption::Signal) => f.write_str("it is interrupted by signal"),
            Fact::Metered(true) => f.write_str("it is metered"),
            Fact::Metered(false) => f.write_str("it is not metered"),
            Fact::Unsigned => f.write_str("it is not signed"),
            Fact::Signature(error) => error.fmt(f),
            Fact::Unproved(why) => f.write_str(why),
        }
    }
}

/// A layout as policies write it.
pub(super) fn layout_name(layout: MemoryLayout) -> &'static str {
    match layout {
        MemoryLayout::Guarded => "guarded",
        MemoryLayout::Dense => "dense",
    }
}
