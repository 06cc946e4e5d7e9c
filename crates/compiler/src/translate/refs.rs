//! References: 64-bit values that the guest can only pass on, null being 0.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, types};
use selvedge_contract::vmctx::header;
use wasmparser::HeapType;

use super::{Translator, flags};

impl Translator<'_, '_> {
    pub(super) fn visit_ref_null(&mut self, _: HeapType) {
        let null = self.number(0u64);
        self.push(null);
    }

    pub(super) fn visit_ref_is_null(&mut self) {
        let (reference, null) = (self.pop(), self.number(0u64));
        let equal = self.ins().icmp(IntCC::Equal, reference, null);
        let equal = self.ins().uextend(types::I32, equal);
        self.push(equal);
    }

    pub(super) fn visit_ref_func(&mut self, function: u32) {
        let vmctx = self.vmctx;
        let base = self.ins().load(types::I64, flags::FIXED_FIELD, vmctx, header::FUNCREF_BASE);
        let low = self.number(u64::from(function) + 1);
        let reference = self.ins().bor(base, low);
        self.push(reference);
    }
}
