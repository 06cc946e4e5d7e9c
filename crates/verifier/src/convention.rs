//! Where parameters and results of a function are: Cranelift's `tail` convention as guests use it.
//!
//! Context first; results that do not fit into registers go to an area of the caller's, whose address is then
//! the very first parameter. Parameters on the stack are the callee's to remove.

use selvedge_contract::types::{FuncType, ValType};

use crate::state::reg::{R8, R9, R10, RAX, RCX, RDI, RDX, RSI};

const PARAMS: [usize; 6] = [RDI, RSI, RDX, RCX, R8, R9];
const RESULTS: [usize; 8] = [RAX, RCX, RDX, RSI, RDI, R8, R9, R10];
/// Vector registers for parameters, and for results.
const VECTORS: usize = 8;

/// Where a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In a general register.
    General(usize),
    /// In a vector register.
    Vector(usize),
    /// On the stack above the return address, or in the area for results.
    Memory(u32),
}

/// A parameter or result: its place and its bytes.
pub(crate) type Passed = (Place, u8);

/// How functions of a type are called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Convention {
    /// The register of the context.
    pub(crate) context: usize,
    pub(crate) params: Vec<Passed>,
    /// Bytes of parameters on the stack.
    pub(crate) stack_bytes: u32,
    pub(crate) results: Vec<Passed>,
    /// Bytes of the area for results; its address is in [`Convention::AREA`] if there is one.
    pub(crate) area_bytes: u32,
}

impl Convention {
    /// The register with the area's address.
    pub(crate) const AREA: usize = RDI;

    /// That of a type.
    pub(crate) fn of(ty: &FuncType) -> Convention {
        let mut results = Assigner { general: &RESULTS, vectors: 0, memory: 0 };
        let placed = ty.results.iter().map(|ty| results.place(*ty)).collect();
        let area_bytes = results.end();
        let first = usize::from(area_bytes > 0);
        let mut params = Assigner { general: &PARAMS[first + 1..], vectors: 0, memory: 0 };
        let params_placed = ty.params.iter().map(|ty| params.place(*ty)).collect();
        Convention {
            context: PARAMS[first],
            params: params_placed,
            stack_bytes: params.end(),
            results: placed,
            area_bytes,
        }
    }
}

struct Assigner {
    general: &'static [usize],
    vectors: usize,
    memory: u32,
}

/// Bytes of a value in registers and memory.
pub(crate) fn bytes(ty: ValType) -> u8 {
    match ty {
        ValType::I32 | ValType::F32 => 4,
        ValType::I64 | ValType::F64 | ValType::FuncRef | ValType::ExternRef => 8,
        ValType::V128 => 16,
    }
}

impl Assigner {
    fn place(&mut self, ty: ValType) -> Passed {
        let size = bytes(ty);
        let vector = matches!(ty, ValType::F32 | ValType::F64 | ValType::V128);
        let place = match self.general {
            [first, rest @ ..] if !vector => {
                self.general = rest;
                Place::General(*first)
            }
            _ if vector && self.vectors < VECTORS => {
                self.vectors += 1;
                Place::Vector(self.vectors - 1)
            }
            _ => self.on_stack(u32::from(size).max(8)),
        };
        (place, size)
    }

    fn on_stack(&mut self, size: u32) -> Place {
        let at = self.memory.next_multiple_of(size);
        self.memory = at + size;
        Place::Memory(at)
    }

    fn end(&self) -> u32 {
        self.memory.next_multiple_of(16)
    }
}
