//! From a memory operand to what it may point to.

use iced_x86::Register;

use super::{Exec, general};
use crate::budget::FRAME_BYTES_MAX;
use crate::report::{Checked, Rule, Violation, ensure};
use crate::state::reg::RSP;
use crate::value::{Cell, Num, Ptr, Region, Value};

impl Exec<'_, '_> {
    /// The sum that the memory operand denotes, as a value.
    pub(super) fn effective(&mut self) -> Checked<Value> {
        if self.insn.is_ip_rel_memory_operand() {
            let at = self.insn.ip_rel_memory_address();
            return Ok(Value::Ptr(Ptr::exact(Region::Text, at as i64)));
        }
        let base = self.part(self.insn.memory_base())?;
        let index = self.part(self.insn.memory_index())?;
        let sum = match (base, index) {
            (Some(base), None) => base.value,
            (Some(base), Some(index)) => {
                let index = scaled(index, self.insn.memory_index_scale());
                base.value.plus(index.value, (base.id, index.id))
            }
            (None, Some(index)) => scaled(index, self.insn.memory_index_scale()).value,
            (None, None) => return Err(Violation::new(Rule::Address, "absolute addresses are not allowed")),
        };
        let displacement = self.insn.memory_displacement64();
        Ok(if displacement == 0 { sum } else { sum.plus(Value::exact(displacement), (0, 0)) })
    }

    fn part(&mut self, register: Register) -> Checked<Option<Cell>> {
        if register == Register::None {
            return Ok(None);
        }
        match general(register) {
            Some((number, 8)) => Ok(Some(self.named(number))),
            _ => Err(Violation::new(Rule::Address, "addresses are sums of 64-bit general registers")),
        }
    }

    /// The pointer that the memory operand denotes.
    pub(super) fn address(&mut self) -> Checked<Ptr> {
        match self.effective()? {
            Value::Ptr(ptr) => Ok(ptr),
            _ => Err(Violation::new(Rule::Address, "the address is no pointer that the code may use, or goes too far")),
        }
    }

    /// What a write to the stack pointer may leave in it.
    pub(super) fn check_stack_pointer(&self, value: Value) -> Checked {
        let Value::Ptr(Ptr { to: Region::Frame, lo, hi, .. }) = value else {
            return Err(Violation::new(Rule::Frame, "the stack pointer would leave the frame"));
        };
        ensure(lo == hi && lo % 8 == 0, Rule::Frame, "the stack pointer would not be known")?;
        // The host may write below it where code was stopped.
        ensure(lo >= self.state.floor(), Rule::Stack, "the stack is used deeper than it was compared with the limit")?;
        ensure(lo >= -FRAME_BYTES_MAX, Rule::Budget, "the function's frame is too large")?;
        ensure(lo <= self.frame_end(), Rule::Frame, "the stack pointer would rise into the caller's frame")
    }

    /// What lies below the stack pointer the host may overwrite at any time: in a call, or where guest code was stopped.
    /// So nothing is ever known of it: what moves the stack pointer forgets.
    pub(super) fn forget_below_stack_pointer(&mut self) {
        let rsp = self.state.rsp();
        self.state.frame.forget_below(rsp);
    }

    /// Just above the last parameter on the stack.
    pub(super) fn frame_end(&self) -> i64 {
        8 + self.own_stack_bytes()
    }

    /// Whether these bytes of the frame may be used now.
    pub(super) fn frame_range(&self, at: i64, bytes: i64) -> Checked {
        ensure(at >= self.state.rsp(), Rule::Frame, "this lies below the stack pointer")?;
        ensure(at >= self.state.floor(), Rule::Stack, "the stack is used deeper than it was compared with the limit")?;
        ensure(at >= -FRAME_BYTES_MAX, Rule::Budget, "the function's frame is too large")?;
        let end = at.checked_add(bytes).is_some_and(|end| end <= self.frame_end());
        ensure(end, Rule::Frame, "this reaches into the caller's frame")
    }

    /// The pointer in a register, if it points into the frame and is known.
    pub(super) fn frame_pointer(&self, register: usize) -> Option<i64> {
        debug_assert!(register != RSP);
        match self.state.regs[register].value {
            Value::Ptr(ptr) if ptr.to == Region::Frame => ptr.is_exact(),
            _ => None,
        }
    }
}

/// An index times its scale. The name stays only if it is the whole value's.
fn scaled(index: Cell, scale: u32) -> Cell {
    if scale == 1 {
        return index;
    }
    let num = index.value.num();
    let value = match num.hi.checked_mul(scale.into()) {
        Some(hi) => Num {
            lo: num.lo * u64::from(scale),
            hi,
            zeros: (num.zeros + scale.trailing_zeros() as u8).min(63),
            bytes: num.bytes,
        },
        None => Num { bytes: num.bytes, ..Num::ANY },
    };
    Cell::new(Value::Num(value))
}
