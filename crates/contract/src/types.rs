//! The types of WebAssembly 2.0 (core specification, section 2.3), with 64-bit memories and tables.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ValType {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// 128-bit vector.
    V128,
    /// Nullable reference to a function.
    FuncRef,
    /// Nullable reference to a host object.
    ExternRef,
}

impl ValType {
    /// Whether values of this type are references.
    pub fn is_ref(self) -> bool {
        matches!(self, ValType::FuncRef | ValType::ExternRef)
    }

    fn code(self) -> u8 {
        match self {
            ValType::I32 => 1,
            ValType::I64 => 2,
            ValType::F32 => 3,
            ValType::F64 => 4,
            ValType::V128 => 5,
            ValType::FuncRef => 6,
            ValType::ExternRef => 7,
        }
    }
}

impl fmt::Display for ValType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValType::I32 => "i32",
            ValType::I64 => "i64",
            ValType::F32 => "f32",
            ValType::F64 => "f64",
            ValType::V128 => "v128",
            ValType::FuncRef => "funcref",
            ValType::ExternRef => "externref",
        })
    }
}

/// What a table holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum RefType {
    /// Functions; an entry is a [`crate::vmctx::table_entry`] of 32 bytes.
    Func,
    /// Host objects; an entry is one 8-byte handle.
    Extern,
}

impl From<RefType> for ValType {
    fn from(ty: RefType) -> ValType {
        match ty {
            RefType::Func => ValType::FuncRef,
            RefType::Extern => ValType::ExternRef,
        }
    }
}

impl fmt::Display for RefType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ValType::from(*self).fmt(f)
    }
}

/// A function's parameters and results.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct FuncType {
    /// Parameter types, in order.
    pub params: Vec<ValType>,
    /// Result types, in order.
    pub results: Vec<ValType>,
}

impl FuncType {
    /// A type of these parameters and results.
    pub fn new(params: impl Into<Vec<ValType>>, results: impl Into<Vec<ValType>>) -> FuncType {
        FuncType { params: params.into(), results: results.into() }
    }

    /// The identity that `call_indirect` compares: equal types have equal ids in every artifact.
    ///
    /// FNV-1a over the types, never zero (a null entry's id). Two types with one id would be a way out of
    /// the sandbox, so ids are never assumed to differ: the compiler refuses a module, the reader an
    /// artifact, and the runtime a link, in which one id names two types. Whoever forges a collision is
    /// refused, which is why a fast hash will do.
    pub fn signature_id(&self) -> u64 {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        let params = self.params.iter().map(|ty| ty.code()).fold(BASIS, fold);
        self.results.iter().map(|ty| ty.code()).fold(fold(params, 0), fold).max(1)
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |types: &[ValType]| types.iter().map(ValType::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "({}) -> ({})", list(&self.params), list(&self.results))
    }
}

/// A global's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GlobalType {
    /// What it holds.
    pub value: ValType,
    /// Whether `global.set` may write it.
    pub mutable: bool,
}

impl fmt::Display for GlobalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mutable { write!(f, "global (mut {})", self.value) } else { write!(f, "global {}", self.value) }
    }
}

/// A linear memory's type. Sizes count 64-KiB pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemoryType {
    /// Initial size, in pages.
    pub min_pages: u64,
    /// Declared maximum, in pages.
    pub max_pages: Option<u64>,
    /// Whether addresses are 64 bits wide.
    pub memory64: bool,
}

impl fmt::Display for MemoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_limits(f, "memory", self.memory64, self.min_pages, self.max_pages)
    }
}

/// A table's type. Sizes count entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableType {
    /// What it holds.
    pub element: RefType,
    /// Initial size, in entries.
    pub min: u64,
    /// Declared maximum, in entries.
    pub max: Option<u64>,
    /// Whether indices are 64 bits wide.
    pub table64: bool,
}

impl fmt::Display for TableType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_limits(f, "table", self.table64, self.min, self.max)?;
        write!(f, " {}", self.element)
    }
}

fn write_limits(f: &mut fmt::Formatter<'_>, what: &str, wide: bool, min: u64, max: Option<u64>) -> fmt::Result {
    write!(f, "{what}{} {min}", if wide { " i64" } else { "" })?;
    max.map_or(Ok(()), |max| write!(f, " {max}"))
}

/// The type of an import or export.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
}

impl fmt::Display for ExternType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExternType::Func(ty) => write!(f, "func {ty}"),
            ExternType::Table(ty) => ty.fmt(f),
            ExternType::Memory(ty) => ty.fmt(f),
            ExternType::Global(ty) => ty.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_ids_tell_parameters_from_results() {
        let a = FuncType::new([ValType::I32], []);
        let b = FuncType::new([], [ValType::I32]);
        assert_ne!(a.signature_id(), b.signature_id());
        assert_eq!(a.signature_id(), a.clone().signature_id());
    }
}
