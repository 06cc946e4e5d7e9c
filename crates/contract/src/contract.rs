//! The contract: everything a module may do, as the compiler wrote it, the verifier proves it and the
//! runtime enforces it.
//!
//! Index spaces are WebAssembly's: imports first, then definitions. Nothing here is an address or an
//! offset into text; those are computed ([`crate::vmctx`]) or stand in the artifact's tables.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::cpu::CpuFeatures;
use crate::limits::*;
use crate::types::{ExternType, FuncType, GlobalType, MemoryType, RefType, TableType};

/// What a module is and may do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Contract {
    /// Function types, as the module declares them.
    #[serde(deserialize_with = "at_most::<_, _, TYPES_MAX>")]
    pub types: Vec<FuncType>,
    /// Imports, in order.
    #[serde(deserialize_with = "at_most::<_, _, IMPORTS_MAX>")]
    pub imports: Vec<Import>,
    /// Exports, in order; names are unique.
    #[serde(deserialize_with = "at_most::<_, _, EXPORTS_MAX>")]
    pub exports: Vec<Export>,
    /// Number of functions the module defines.
    pub defined_functions: u32,
    /// Memories the module defines.
    #[serde(deserialize_with = "at_most::<_, _, MEMORIES_MAX>")]
    pub memories: Vec<MemoryPlan>,
    /// Tables the module defines.
    #[serde(deserialize_with = "at_most::<_, _, TABLES_MAX>")]
    pub tables: Vec<TablePlan>,
    /// Globals the module defines.
    #[serde(deserialize_with = "at_most::<_, _, GLOBALS_MAX>")]
    pub globals: Vec<GlobalPlan>,
    /// Element segments.
    #[serde(deserialize_with = "at_most::<_, _, ELEMENT_SEGMENTS_MAX>")]
    pub elements: Vec<ElementSegment>,
    /// Data segments.
    #[serde(deserialize_with = "at_most::<_, _, DATA_SEGMENTS_MAX>")]
    pub data: Vec<DataSegment>,
    /// Pages of the initial memory image that are not zero, by memory and page, ascending.
    pub image: Vec<ImageRun>,
    /// How the code keeps the bounds of 32-bit memories it imports: code that checks nothing (guarded) must
    /// be given a guarded memory.
    pub imported_memory_layout: MemoryLayout,
    /// The function called after instantiation.
    pub start: Option<u32>,
    /// Offset of the code section's contents in the WebAssembly binary: what DWARF counts addresses from.
    pub code_section_offset: u32,
    /// CPU features that the code uses.
    pub cpu: CpuFeatures,
    /// How running code is stopped.
    pub interruption: Interruption,
    /// Whether the code counts what it executes ([`crate::meter`]).
    pub metered: bool,
    /// What made the artifact; for people, never relied on.
    pub provenance: Provenance,
}

/// Something a module needs from outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Import {
    /// First-level name.
    pub module: String,
    /// Second-level name.
    pub name: String,
    /// What is needed.
    pub ty: ExternType,
}

/// Something a module offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// What it is.
    pub item: Extern,
}

/// An index into one of a module's index spaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Extern {
    /// Of the functions.
    Func(u32),
    /// Of the tables.
    Table(u32),
    /// Of the memories.
    Memory(u32),
    /// Of the globals.
    Global(u32),
}

/// How bounds of a memory are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum MemoryLayout {
    /// The reservation holds everything an index can reach; the code checks nothing.
    Guarded,
    /// The reservation is the memory's maximum; the code clamps the index.
    Dense,
}

/// A memory the module defines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// Its type as declared.
    pub ty: MemoryType,
    /// How its bounds are kept.
    pub layout: MemoryLayout,
    /// Address space that belongs to it, in bytes: a multiple of the WebAssembly page. An index of this
    /// value or more never reaches past the guard.
    pub reservation_bytes: u64,
    /// Inaccessible address space after the reservation.
    pub guard_bytes: u64,
    /// Largest size it may grow to, in WebAssembly pages; at most the reservation.
    pub pages_max: u64,
}

/// A table the module defines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TablePlan {
    /// Its type as declared.
    pub ty: TableType,
    /// Entries reserved, and the largest size it may grow to. One null entry follows them.
    pub entries_max: u64,
}

/// A global the module defines.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GlobalPlan {
    /// Its type.
    pub ty: GlobalType,
    /// Its initial value.
    pub init: ConstExpr,
}

/// A constant expression (core specification, section 3.3.10), operators in order.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ConstExpr(#[serde(deserialize_with = "at_most::<_, _, CONST_OPS_MAX>")] pub Vec<ConstOp>);

/// An operator of a constant expression. Floats and vectors are their bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the specification's operators under their names")]
pub enum ConstOp {
    I32Const(i32),
    I64Const(i64),
    F32Const(u32),
    F64Const(u64),
    V128Const(u128),
    GlobalGet(u32),
    RefNull(RefType),
    RefFunc(u32),
    I32Add,
    I32Sub,
    I32Mul,
    I64Add,
    I64Sub,
    I64Mul,
}

/// Where a segment goes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum SegmentMode {
    /// Copied at instantiation to this index of this table or memory, then dropped.
    Active {
        /// The table or memory.
        target: u32,
        /// Where in it.
        offset: ConstExpr,
    },
    /// Copied by `memory.init` or `table.init`.
    Passive,
    /// Already dropped when the instance starts: a declarative element segment, or data that is part of
    /// the memory image.
    Dropped,
}

/// An element segment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ElementSegment {
    /// Where it goes.
    pub mode: SegmentMode,
    /// The type of its items.
    pub ty: RefType,
    /// Its items.
    pub items: ElementItems,
}

/// The items of an element segment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ElementItems {
    /// Functions by index.
    Functions(Vec<u32>),
    /// Constant expressions.
    Expressions(Vec<ConstExpr>),
}

impl ElementItems {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            ElementItems::Functions(items) => items.len(),
            ElementItems::Expressions(items) => items.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A data segment; its bytes stand in the artifact's data section.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DataSegment {
    /// Where it goes.
    pub mode: SegmentMode,
    /// Offset of its bytes in the data section.
    pub offset: u64,
    /// Their number; 0 if they are part of the memory image.
    pub len: u64,
}

/// A run of pages of the initial memory image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImageRun {
    /// The memory, counted among those the module defines.
    pub memory: u32,
    /// First page in the memory, in host pages.
    pub page: u64,
    /// Number of host pages.
    pub pages: u64,
    /// Byte offset of the first in the image section: a multiple of the host page.
    pub offset: u64,
}

/// How running code is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Interruption {
    /// By a signal, at any instruction; the code has no part in it.
    Signal,
}

/// What made an artifact.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Compiler and code generator with their versions.
    pub compiler: String,
    /// The options it ran with, as flags.
    pub options: String,
    /// Hexadecimal SHA-256 of the WebAssembly binary.
    pub source_sha256: String,
}

/// Decodes a list of at most `MAX` items: a count is an allegation, and an item of one byte may take fifty.
fn at_most<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(List::<T, MAX>(PhantomData))
}

struct List<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            if items.len() == MAX {
                return Err(A::Error::custom("a list is too long"));
            }
            items.push(item);
        }
        Ok(items)
    }
}

impl Contract {
    /// The types of the imported functions, in order.
    pub fn imported_functions(&self) -> impl Iterator<Item = &FuncType> {
        self.imports.iter().filter_map(|i| if let ExternType::Func(ty) = &i.ty { Some(ty) } else { None })
    }

    /// The types of the imported memories, in order.
    pub fn imported_memories(&self) -> impl Iterator<Item = &MemoryType> {
        self.imports.iter().filter_map(|i| if let ExternType::Memory(ty) = &i.ty { Some(ty) } else { None })
    }

    /// The types of the imported tables, in order.
    pub fn imported_tables(&self) -> impl Iterator<Item = &TableType> {
        self.imports.iter().filter_map(|i| if let ExternType::Table(ty) = &i.ty { Some(ty) } else { None })
    }

    /// The types of the imported globals, in order.
    pub fn imported_globals(&self) -> impl Iterator<Item = &GlobalType> {
        self.imports.iter().filter_map(|i| if let ExternType::Global(ty) = &i.ty { Some(ty) } else { None })
    }

    /// The type of a memory, by index.
    pub fn memory_type(&self, index: u32) -> Option<&MemoryType> {
        self.imported_memories().chain(self.memories.iter().map(|m| &m.ty)).nth(index as usize)
    }

    /// The type of a table, by index.
    pub fn table_type(&self, index: u32) -> Option<&TableType> {
        self.imported_tables().chain(self.tables.iter().map(|t| &t.ty)).nth(index as usize)
    }

    /// The type of a global, by index.
    pub fn global_type(&self, index: u32) -> Option<&GlobalType> {
        self.imported_globals().chain(self.globals.iter().map(|g| &g.ty)).nth(index as usize)
    }

    /// Number of functions, imports included.
    pub fn function_count(&self) -> usize {
        self.imported_functions().count() + self.defined_functions as usize
    }

    /// The export of this name.
    pub fn export(&self, name: &str) -> Option<Extern> {
        self.exports.iter().find(|e| e.name == name).map(|e| e.item)
    }
}
