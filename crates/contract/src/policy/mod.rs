//! The policy: which contracts a host accepts.
//!
//! ```text
//!   policy.toml ──Policy::read──► Policy ──check(contract), check_signature(bytes)──► Violations
//! ```
//!
//! A policy has no gaps: every limit is stated, "any" is a word that must be written. A check finds every violation,
//! each with the fact in the artifact and the line of the policy that it breaks.
//!
//! What it is not: proof that code keeps its contract (the verifier's), and limits of single instances (the
//! runtime's): it says what a module may ask for, before any of it is loaded.

mod check;
mod pattern;
mod read;
mod violation;

pub use pattern::Pattern;
pub use read::PolicyError;
pub use violation::{Fact, Violation, Violations};

use crate::contract::{Interruption, MemoryLayout};
use crate::cpu::CpuFeatures;
use crate::signature::PublicKey;

/// What a host accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// What it is called in violations: the file it was read from.
    pub name: String,
    /// Which imports are allowed: those that an entry matches.
    pub imports_allow: Rule<Vec<Rule<ImportRule>>>,
    /// Which are refused although they are allowed; types play no part.
    pub imports_deny: Rule<Vec<Rule<ImportRule>>>,
    /// How many memories, imported ones included.
    pub memory_count_max: Rule<Max>,
    /// What each memory may grow to; for imported ones, what it must have.
    pub memory_bytes_max: Rule<Max>,
    /// How bounds of memories may be kept.
    pub memory_layouts: Rule<Vec<MemoryLayout>>,
    /// How many tables, imported ones included.
    pub table_count_max: Rule<Max>,
    /// What each table may grow to; for imported ones, what it must have.
    pub table_entries_max: Rule<Max>,
    /// CPU features the code may use.
    pub cpu: Rule<CpuFeatures>,
    /// How code may be stopped.
    pub interruption: Rule<Vec<Interruption>>,
    /// Whether code counts what it executes.
    pub metering: Rule<Metering>,
    /// Whether machine code is proved before it is loaded.
    pub verification: Rule<Verification>,
    /// Who may have signed an artifact.
    pub signers: Rule<Signers>,
}

/// A part of a policy, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule<T> {
    /// What it says.
    pub value: T,
    /// Its line in the file; `None` if the policy was not read from one.
    pub line: Option<u32>,
}

impl<T> From<T> for Rule<T> {
    fn from(value: T) -> Rule<T> {
        Rule { value, line: None }
    }
}

/// A limit on a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Max {
    /// At most this.
    AtMost(u64),
    /// No limit but the format's own.
    Any,
}

/// Which imports an entry is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportRule {
    /// First-level names.
    pub module: Pattern,
    /// Second-level names.
    pub name: Pattern,
    /// Types as text, as [`crate::types::ExternType`] writes them.
    pub ty: Pattern,
}

/// Whether code counts what it executes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metering {
    /// It must.
    Required,
    /// It must not.
    Refused,
    /// As it likes.
    Any,
}

/// Whether machine code is proved before it is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verification {
    /// Always.
    Required,
    /// Unless whoever loads it vouches for it.
    Optional,
}

/// Who may have signed an artifact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signers {
    /// One of these must have.
    Keys(Vec<PublicKey>),
    /// Anybody or nobody.
    Any,
}

impl Policy {
    /// The default policy as text, with comments: the beginning of one's own.
    pub const DEFAULT_TOML: &str = include_str!("default.toml");
}

impl Default for Policy {
    /// The policy of [`Policy::DEFAULT_TOML`].
    fn default() -> Policy {
        Policy::read("default policy", Policy::DEFAULT_TOML).expect("a test reads it")
    }
}
