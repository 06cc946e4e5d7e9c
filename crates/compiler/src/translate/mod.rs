//! One function's body: WebAssembly operators in, Cranelift IR out.
//!
//! ```text
//!   body ─► dispatch ─┬─► wasmparser's validator      every operator, before anything else
//!                     └─► Translator::visit_*         only what is reachable
//!                           control · locals · globals · calls · tables · memory     here
//!                           numeric · conversions · vectors                          in `ops`
//! ```
//!
//! Invariants:
//! * Every operator is an inherent method of [`Translator`] under the name that `wasmparser` gives its
//!   visitor (`visit_i32_add`), taking the operator's immediates and returning nothing: what reaches it
//!   has been validated, so it cannot fail.
//! * Methods of operators run in reachable code only. One that ends it calls
//!   [`Translator::end_reachable`]; until the matching `end` or `else`, only nesting is tracked.
//! * The operand stack holds integers as `i32` or `i64`, floats as `f32` or `f64`, references as `i64`
//!   and every vector as `i8x16` (`pop_lanes` gives it its lanes).
//! * Nothing recurses on the module's structure.

mod call;
mod control;
mod dispatch;
mod flags;
mod function;
mod globals;
mod host;
mod locals;
mod memory;
mod meter;
mod ops;
mod refs;
mod tables;

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_frontend::{FuncInstBuilder, FunctionBuilder};
use selvedge_contract::cpu::CpuFeatures;

use crate::module::Module;

pub(crate) use function::{Scratch, TranslateError, translate};

/// The state of translating one function.
pub(crate) struct Translator<'m, 'b> {
    /// What is being built. Methods may create blocks, switch to them and seal them; they leave it in a
    /// reachable, unfilled block.
    pub(crate) builder: FunctionBuilder<'b>,
    module: &'m Module,
    /// The context: the function's first parameter.
    vmctx: Value,
    stack: Vec<Value>,
    frames: Vec<control::Frame>,
    /// Loops and `if`s now open.
    nesting: u32,
    reachable: bool,
    locals: locals::Locals,
    /// What the local last read, or set and kept on the stack, holds.
    in_local: Option<Value>,
    callees: call::Callees,
    host: host::HostCalls,
    meter: Option<meter::Meter>,
    regions: flags::Regions,
}

/// Where a memory access goes: `base + offset`.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    /// A 64-bit address whose bounds are kept.
    pub(crate) base: Value,
    /// The displacement for the load or store instruction.
    pub(crate) offset: i32,
    /// The flags for the load or store instruction: alignment not assumed, traps if out of bounds.
    pub(crate) flags: MemFlagsData,
}

impl<'b> Translator<'_, 'b> {
    /// Appends an instruction to the current block.
    pub(crate) fn ins(&mut self) -> FuncInstBuilder<'_, 'b> {
        self.builder.ins()
    }

    /// Pushes an operand.
    pub(crate) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// Pops an operand.
    pub(crate) fn pop(&mut self) -> Value {
        self.stack.pop().expect("validated code does not underflow the operand stack")
    }

    /// Pops two operands, the left-hand side first.
    pub(crate) fn pop2(&mut self) -> (Value, Value) {
        let rhs = self.pop();
        (self.pop(), rhs)
    }

    /// Pops three operands, the deepest first.
    pub(crate) fn pop3(&mut self) -> (Value, Value, Value) {
        let third = self.pop();
        let (first, second) = self.pop2();
        (first, second, third)
    }

    /// Pushes a vector of any lanes.
    pub(crate) fn push_v128(&mut self, value: Value) {
        let value = self.as_lanes(value, types::I8X16);
        self.push(value);
    }

    fn as_lanes(&mut self, value: Value, lanes: Type) -> Value {
        if self.builder.func.dfg.value_type(value) == lanes {
            return value;
        }
        self.ins().bitcast(lanes, flags::VECTOR_BITCAST, value)
    }

    /// The CPU features that generated code may use.
    pub(crate) fn features(&self) -> CpuFeatures {
        self.module.contract.cpu
    }
}
