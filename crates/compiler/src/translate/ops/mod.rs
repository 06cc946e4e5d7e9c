//! The operators that compute: numbers, conversions and vectors, a file a family.
//!
//! Most files are tables: an instruction of Cranelift, then the operators that it implements, by the
//! names of `wasmparser`'s visitors. What is not in a table has a reason next to it.
//!
//! Invariants:
//! * No operator calls a library function: the target has SSE4.1 or better, and `fma` is only used where
//!   the artifact's contract asks for the feature.
//! * The only traps are Cranelift's own, of integer division and of conversions from floats.
//! * Shift counts are taken modulo the lane's width by Cranelift's instructions, as WebAssembly asks.

use cranelift_codegen::ir::{InstructionData, Opcode, Type, Value};

use super::Translator;

/// `instruction { operators }` of one scalar.
macro_rules! unary {
    ($($inst:ident { $($name:ident),* $(,)? })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let x = self.pop();
                let result = self.ins().$inst(x);
                self.push(result);
            }
        )*)*}
    };
}

/// `instruction { operators }` of two scalars.
macro_rules! binary {
    ($($inst:ident { $($name:ident),* $(,)? })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let (x, y) = self.pop2();
                let result = self.ins().$inst(x, y);
                self.push(result);
            }
        )*)*}
    };
}

/// `instruction { lanes operator, … }` of one vector.
macro_rules! vector_unary {
    ($($inst:ident { $($lanes:ident $name:ident),* $(,)? })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let x = self.pop_lanes(types::$lanes);
                let result = self.ins().$inst(x);
                self.push_v128(result);
            }
        )*)*}
    };
}

/// `instruction { lanes operator, … }` of two vectors.
macro_rules! vector_binary {
    ($($inst:ident { $($lanes:ident $name:ident),* $(,)? })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let (x, y) = self.pop2_lanes(types::$lanes);
                let result = self.ins().$inst(x, y);
                self.push_v128(result);
            }
        )*)*}
    };
}

mod compare;
mod constant;
mod convert;
mod float;
mod int;
mod relaxed;
mod simd_bits;
mod simd_compare;
mod simd_convert;
mod simd_float;
mod simd_int;
mod simd_lane;
mod simd_memory;
mod wide_mul;

impl Translator<'_, '_> {
    /// Pops a vector as lanes of this type, without the bitcasts that took it through the stack:
    /// Cranelift's patterns do not look through them.
    fn pop_lanes(&mut self, lanes: Type) -> Value {
        let value = self.pop();
        let value = self.without_bitcasts(value);
        self.as_lanes(value, lanes)
    }

    /// Pops two vectors, the left-hand side first.
    fn pop2_lanes(&mut self, lanes: Type) -> (Value, Value) {
        let rhs = self.pop_lanes(lanes);
        (self.pop_lanes(lanes), rhs)
    }

    /// Pops three vectors, the deepest first.
    fn pop3_lanes(&mut self, lanes: Type) -> (Value, Value, Value) {
        let third = self.pop_lanes(lanes);
        let (first, second) = self.pop2_lanes(lanes);
        (first, second, third)
    }

    /// The vector that this one was before it changed its lanes.
    fn without_bitcasts(&self, mut vector: Value) -> Value {
        while let Some(InstructionData::LoadNoOffset { opcode: Opcode::Bitcast, arg, .. }) = self.defined_by(vector) {
            if !self.builder.func.dfg.value_type(arg).is_vector() {
                break;
            }
            vector = arg;
        }
        vector
    }

    /// The two operands of the instruction that this value is the result of, if it is one of this opcode.
    fn operands(&self, value: Value, opcode: Opcode) -> Option<[Value; 2]> {
        match self.defined_by(value)? {
            InstructionData::Binary { opcode: found, args } if found == opcode => Some(args),
            _ => None,
        }
    }

    /// A constant integer, as Cranelift keeps it.
    fn integer(&self, value: Value) -> Option<i64> {
        match self.defined_by(value)? {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
            _ => None,
        }
    }

    /// The instruction whose result this value is, unless it is a block's parameter.
    fn defined_by(&self, value: Value) -> Option<InstructionData> {
        let dfg = &self.builder.func.dfg;
        dfg.value_def(dfg.resolve_aliases(value)).inst().map(|inst| dfg.insts[inst])
    }
}
