//! How to compile, chosen by the operator. Everything here goes into the artifact's provenance and, with
//! [`crate::version`], into the key of any cache.

use std::fmt;

use selvedge_contract::MemoryLayout;
use selvedge_contract::cpu::CpuFeatures;

/// How to compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How the bounds of 32-bit memories are kept; 64-bit ones are always dense.
    pub memory: MemoryLayout,
    /// The most one memory may grow to, if less than it declares.
    pub memory_max_bytes: Option<u64>,
    /// The most entries one table may grow to, if less than it declares.
    pub table_entries_max: Option<u64>,
    /// What the code may ask of the processor.
    pub cpu: Cpu,
    /// What to optimise for.
    pub opt: OptLevel,
    /// Count what is executed, and keep to limits ([`selvedge_contract::meter`]).
    pub meter: bool,
    /// Keep DWARF sections for backtraces with file and line.
    pub debug: bool,
    /// What a module may use beyond WebAssembly 2.0.
    pub proposals: Proposals,
    /// Check the intermediate code and the register allocation: slow, for tests.
    pub verify_ir: bool,
    /// Threads to compile with; `None` is one per core. The artifact does not depend on it.
    pub threads: Option<usize>,
}

/// What code may ask of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// x86-64-v2.
    Baseline,
    /// x86-64-v3.
    X86_64V3,
    /// What the processor that compiles has.
    Native,
    /// Exactly these features, which whoever runs the code must have.
    Features(CpuFeatures),
}

/// What to optimise for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptLevel {
    /// Compile time.
    None,
    /// Speed of the code.
    Speed,
    /// Speed, then size of the code.
    Size,
}

macro_rules! proposals {
    ($($(#[$doc:meta])* $field:ident = $name:literal;)*) => {
        /// Proposals beyond WebAssembly 2.0. A module that uses one it may not is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Proposals { $($(#[$doc])* pub $field: bool,)* }

        impl Proposals {
            /// All that are supported.
            pub const ALL: Proposals = Proposals { $($field: true,)* };
            /// WebAssembly 2.0 and nothing beyond.
            pub const NONE: Proposals = Proposals { $($field: false,)* };
            /// Their names.
            pub const NAMES: &[&str] = &[$($name),*];

            /// One of them, to switch on or off, by its name.
            pub fn by_name(&mut self, name: &str) -> Option<&mut bool> {
                match name { $($name => Some(&mut self.$field),)* _ => None }
            }

            /// The names of those that may not be used.
            pub fn missing(self) -> impl Iterator<Item = &'static str> {
                [$((self.$field, $name)),*].into_iter().filter(|(on, _)| !on).map(|(_, name)| name)
            }
        }
    };
}

proposals! {
    /// Constant expressions with arithmetic.
    extended_const = "extended-const";
    /// Memories with 64-bit addresses.
    memory64 = "memory64";
    /// More than one memory.
    multi_memory = "multi-memory";
    /// Vector operations whose corner cases depend on the processor.
    relaxed_simd = "relaxed-simd";
    /// Calls that leave no frame behind.
    tail_call = "tail-call";
}

impl Default for Options {
    fn default() -> Options {
        Options {
            memory: MemoryLayout::Guarded,
            memory_max_bytes: None,
            table_entries_max: None,
            cpu: Cpu::Baseline,
            opt: OptLevel::Speed,
            meter: false,
            debug: false,
            proposals: Proposals::ALL,
            verify_ir: false,
            threads: None,
        }
    }
}

impl Options {
    /// The options that change the artifact, as flags of the command.
    pub fn as_flags(&self) -> String {
        // Destructured, so that a new option cannot be forgotten.
        let Options { memory, memory_max_bytes, table_entries_max, cpu, opt, meter, debug, proposals, .. } = self;
        let Options { verify_ir: _, threads: _, .. } = self;
        let memory = match memory {
            MemoryLayout::Guarded => "guarded",
            MemoryLayout::Dense => "dense",
        };
        let opt = match opt {
            OptLevel::None => "none",
            OptLevel::Speed => "speed",
            OptLevel::Size => "size",
        };
        let mut flags = format!("--memory {memory} --cpu {cpu} --opt {opt}");
        if let Some(bytes) = memory_max_bytes {
            flags += &format!(" --memory-max {bytes}");
        }
        if let Some(entries) = table_entries_max {
            flags += &format!(" --table-max {entries}");
        }
        if *meter {
            flags += " --meter";
        }
        if *debug {
            flags += " -g";
        }
        for proposal in proposals.missing() {
            flags += &format!(" --without {proposal}");
        }
        flags
    }
}

impl Cpu {
    /// The features that code for it may use.
    pub fn features(self) -> CpuFeatures {
        match self {
            Cpu::Baseline => CpuFeatures::X86_64_V2,
            Cpu::X86_64V3 => CpuFeatures::X86_64_V3,
            Cpu::Native => CpuFeatures::host(),
            Cpu::Features(features) => features,
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cpu::Baseline => f.write_str("baseline"),
            Cpu::X86_64V3 => f.write_str("x86-64-v3"),
            Cpu::Native => f.write_str("native"),
            Cpu::Features(features) => f.write_str(&features.names().collect::<Vec<_>>().join("+")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_what_changes_the_artifact() {
        assert_eq!(Options::default().as_flags(), "--memory guarded --cpu baseline --opt speed");
        let options = Options {
            memory: MemoryLayout::Dense,
            memory_max_bytes: Some(65536),
            table_entries_max: Some(7),
            cpu: Cpu::X86_64V3,
            opt: OptLevel::Size,
            meter: true,
            debug: true,
            proposals: Proposals { multi_memory: false, ..Proposals::ALL },
            verify_ir: true,
            threads: Some(3),
        };
        let flags = "--memory dense --cpu x86-64-v3 --opt size --memory-max 65536 --table-max 7 --meter -g";
        let flags = format!("{flags} --without multi-memory");
        assert_eq!(options.as_flags(), flags);
    }
}
