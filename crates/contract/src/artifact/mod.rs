//! The artifact: one ELF64 file with the code, its contract and the tables a runtime needs.
//!
//! ```text
//!   .text               machine code, page-aligned, mapped as it stands; no relocations
//!   .selvedge.contract  magic, versions, then the contract
//!   .selvedge.funcs     one record per text function: where, how long, which wasm offset
//!   .selvedge.traps     code offset → trap code, sorted
//!   .selvedge.addrs     code offset → wasm offset, sorted
//!   .selvedge.names     function names
//!   .selvedge.image     pages of the initial memory that are not zero, page-aligned
//!   .selvedge.data      bytes of the data segments that are not in the image
//!   .selvedge.debug_*   the module's DWARF sections, if kept
//!   .symtab             function symbols, for objdump, gdb and perf
//! ```
//!
//! A reader checks versions first and every length before it uses it. Whatever a reader accepts is
//! consistent: ranges lie in the file, indices in their index spaces, tables are sorted. That the *code*
//! keeps the contract is the verifier's to prove.

mod check;
mod read;
mod rewrite;
mod tables;
mod write;

pub use read::{ArtifactError, ArtifactIndex};
pub use rewrite::rewrite;
pub use tables::{AddressTable, FunctionRecord, FunctionTable, NameTable, TrapTable};
pub use write::{ArtifactParts, WriteError, write};

use crate::contract::Contract;

/// Version of the file format.
pub const FORMAT_VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"SELVEDGE";
/// Magic, format version, ABI version.
const HEADER_BYTES: usize = 16;

/// Section names.
pub mod section {
    /// Machine code.
    pub const TEXT: &str = ".text";
    /// The contract.
    pub const CONTRACT: &str = ".selvedge.contract";
    /// Text functions.
    pub const FUNCTIONS: &str = ".selvedge.funcs";
    /// Trap table.
    pub const TRAPS: &str = ".selvedge.traps";
    /// Source offsets.
    pub const ADDRESSES: &str = ".selvedge.addrs";
    /// Function names.
    pub const NAMES: &str = ".selvedge.names";
    /// Memory image.
    pub const IMAGE: &str = ".selvedge.image";
    /// Data segments.
    pub const DATA: &str = ".selvedge.data";
    /// What the names of kept DWARF sections start with; `debug_info` and so on follow.
    pub const DEBUG_PREFIX: &str = ".selvedge.";
}

/// A function in an artifact's text. Text holds them in this order, each kind by index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TextFunction {
    /// A function the module defines, counted from its first definition.
    Defined(u32),
    /// Performs the host call for an imported function: what an import slot holds when the host provides it and its
    /// values do not fit registers.
    HostThunk(u32),
    /// Calls an imported function through its slot: what tables and references to it hold.
    ImportThunk(u32),
    /// Enters a function of this type from the host.
    Entry(u32),
    /// Where an indirect call goes when speculation runs past its signature check; traps.
    BadCall,
}

impl TextFunction {
    /// Its index in the function table. Counts the imports: for many functions, use [`TextCounts`].
    pub fn index(self, contract: &Contract) -> usize {
        TextCounts::of(contract).index(self)
    }

    /// Number of text functions.
    pub fn count(contract: &Contract) -> usize {
        TextCounts::of(contract).total()
    }

    /// The text function at an index of the function table. Counts the imports: for many functions, use
    /// [`TextCounts`].
    pub fn at(index: usize, contract: &Contract) -> Option<TextFunction> {
        TextCounts::of(contract).at(index)
    }
}

/// How many text functions of each kind a contract asks for, counted once.
#[derive(Clone, Copy, Debug)]
pub struct TextCounts {
    defined: usize,
    imports: usize,
    types: usize,
}

impl TextCounts {
    /// Counts those of a contract.
    pub fn of(contract: &Contract) -> TextCounts {
        TextCounts {
            defined: contract.defined_functions as usize,
            imports: contract.imported_functions().count(),
            types: contract.types.len(),
        }
    }

    /// Number of text functions.
    pub fn total(self) -> usize {
        self.index(TextFunction::BadCall) + 1
    }

    /// A text function's index in the function table.
    pub fn index(self, function: TextFunction) -> usize {
        let TextCounts { defined, imports, types } = self;
        match function {
            TextFunction::Defined(i) => i as usize,
            TextFunction::HostThunk(i) => defined + i as usize,
            TextFunction::ImportThunk(i) => defined + imports + i as usize,
            TextFunction::Entry(i) => defined + 2 * imports + i as usize,
            TextFunction::BadCall => defined + 2 * imports + types,
        }
    }

    /// The text function at an index of the function table.
    pub fn at(self, index: usize) -> Option<TextFunction> {
        type Kind = (usize, fn(u32) -> TextFunction);
        let kinds: [Kind; 5] = [
            (self.defined, TextFunction::Defined),
            (self.imports, TextFunction::HostThunk),
            (self.imports, TextFunction::ImportThunk),
            (self.types, TextFunction::Entry),
            (1, |_| TextFunction::BadCall),
        ];
        let mut rest = index;
        for (count, make) in kinds {
            if rest < count {
                return Some(make(rest as u32));
            }
            rest -= count;
        }
        None
    }
}
