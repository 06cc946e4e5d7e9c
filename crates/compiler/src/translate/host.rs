//! Calls of the host from generated code, and explicit traps.
//!
//! All host calls of a function pass their values in one stack slot.

use cranelift_codegen::ir::{InstBuilder, SigRef, StackSlot, StackSlotData, StackSlotKind, Type, Value, types};
use selvedge_contract::abi::{Builtin, VALUE_BYTES};
use selvedge_contract::trap::TrapCode;
use selvedge_contract::vmctx::header;

use super::{Translator, flags};
use crate::signature;

/// What a function's host calls share.
#[derive(Default)]
pub(super) struct HostCalls {
    call: Option<SigRef>,
    raise: Option<SigRef>,
    values: Option<StackSlot>,
}

impl Translator<'_, '_> {
    /// Ends the guest with a trap. Fills the current block.
    pub(super) fn raise(&mut self, code: TrapCode) {
        let signature = *self.host.raise.get_or_insert_with(|| self.builder.import_signature(signature::raise()));
        let vmctx = self.vmctx;
        let stub = self.ins().load(types::I64, flags::FIXED_FIELD, vmctx, header::RAISE);
        let number = self.ins().iconst(types::I32, i64::from(code.byte().get()));
        self.ins().call_indirect(signature, stub, &[vmctx, number]);
        self.never(code);
    }

    /// Fills the current block, which a call before has left for good.
    pub(super) fn never(&mut self, code: TrapCode) {
        self.ins().trap(cranelift_codegen::ir::TrapCode::unwrap_user(code.byte().get()));
    }

    /// Calls the runtime without expecting a result. 32-bit arguments are extended without a sign.
    pub(super) fn host_call(&mut self, builtin: Builtin, args: &[Value]) {
        debug_assert_eq!(args.len(), builtin.values(), "{builtin:?} takes another number of values");
        let slot = self.values_slot(args.len());
        for (i, arg) in args.iter().enumerate() {
            let arg = self.widen(*arg);
            self.ins().stack_store(types::I64, arg, slot, (i * VALUE_BYTES) as i32);
        }
        let signature = *self.host.call.get_or_insert_with(|| self.builder.import_signature(signature::builtin()));
        let vmctx = self.vmctx;
        let stub = self.ins().load(types::I64, flags::FIXED_FIELD, vmctx, header::BUILTIN);
        let index = self.ins().iconst(types::I32, i64::from(builtin as u32));
        let values = self.ins().stack_addr(types::I64, slot, 0);
        self.ins().call_indirect(signature, stub, &[vmctx, index, values]);
    }

    /// Calls the runtime for a result of this type: `i64`, or `i32` for its low half.
    pub(super) fn host_call_for(&mut self, builtin: Builtin, args: &[Value], ty: Type) -> Value {
        self.host_call(builtin, args);
        let slot = self.values_slot(1);
        self.ins().stack_load(types::I64, ty, slot, 0)
    }

    fn values_slot(&mut self, count: usize) -> StackSlot {
        let bytes = (count * VALUE_BYTES) as u32;
        let slot = *self.host.values.get_or_insert_with(|| {
            self.builder.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4))
        });
        let data = &mut self.builder.func.sized_stack_slots[slot];
        data.size = data.size.max(bytes);
        slot
    }

    /// A 64-bit constant, for a host call.
    pub(super) fn number(&mut self, value: impl Into<u64>) -> Value {
        self.ins().iconst(types::I64, value.into() as i64)
    }

    /// A value as 64 bits, extended without a sign.
    pub(super) fn widen(&mut self, value: Value) -> Value {
        match self.builder.func.dfg.value_type(value) {
            types::I32 => self.ins().uextend(types::I64, value),
            _ => value,
        }
    }
}
