//! Constants.

use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};

use super::Translator;

impl Translator<'_, '_> {
    pub(crate) fn visit_i32_const(&mut self, value: i32) {
        // Immediates of narrow types are zero-extended.
        let result = self.ins().iconst(types::I32, i64::from(value as u32));
        self.push(result);
    }

    pub(crate) fn visit_i64_const(&mut self, value: i64) {
        let result = self.ins().iconst(types::I64, value);
        self.push(result);
    }

    pub(crate) fn visit_f32_const(&mut self, value: wasmparser::Ieee32) {
        let result = self.ins().f32const(Ieee32::with_bits(value.bits()));
        self.push(result);
    }

    pub(crate) fn visit_f64_const(&mut self, value: wasmparser::Ieee64) {
        let result = self.ins().f64const(Ieee64::with_bits(value.bits()));
        self.push(result);
    }

    pub(crate) fn visit_v128_const(&mut self, value: wasmparser::V128) {
        let result = self.vector_const(types::I8X16, value.bytes());
        self.push_v128(result);
    }

    /// A vector of these bytes, the lowest lane first.
    pub(super) fn vector_const(&mut self, lanes: Type, bytes: &[u8; 16]) -> Value {
        let constant = self.builder.func.dfg.constants.insert(bytes.as_slice().into());
        self.ins().vconst(lanes, constant)
    }
}
