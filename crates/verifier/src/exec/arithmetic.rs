//! Sums, differences, products, shifts: their bounds, and what of them may be read.
//!
//! Low bytes of a sum, difference, product, left shift or bitwise operation depend on low bytes of the
//! operands only, so as many may be read as of each operand. Of the others all or nothing.

use iced_x86::{Mnemonic, OpKind};

use super::Exec;
use super::general::opaque;
use crate::report::Checked;
use crate::state::Flags;
use crate::value::{Cell, Num, Value, mask};

/// An operation of two operands whose low bytes depend on low bytes only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    And,
    Or,
    Xor,
}

impl Exec<'_, '_> {
    /// `op dst, src`.
    pub(super) fn binary(&mut self, op: Op) -> Checked {
        let size = self.size(0)?;
        if matches!(op, Op::Xor | Op::Sub) && self.same_value() {
            self.set_flags(true);
            return self.write(0, Cell::new(Value::exact(0)));
        }
        let a = self.read_as(0, size)?;
        let b = self.read_as(1, size)?;
        let value = if size == 8 { combine_whole(op, a, b) } else { combine(op, a.value.num(), b.value.num(), size) };
        let shown = usize::from(a.value.readable().min(b.value.readable())) >= size;
        self.set_flags(shown);
        self.write(0, Cell::new(value))
    }

    /// Whether both operands are registers that hold the same.
    fn same_value(&mut self) -> bool {
        match (self.register(0), self.register(1)) {
            (Some((a, _)), Some((b, _))) => self.named(a).id == self.named(b).id,
            _ => false,
        }
    }

    pub(super) fn with_carry(&mut self) -> Checked {
        let size = self.size(0)?;
        let a = self.read_as(0, size)?;
        let b = self.read_as(1, size)?;
        let known = self.flags_are_known() || self.state.flags == Flags::Carry;
        // `x - x - carry` is a mask of the carry, whatever `x` is.
        let mask_of_carry = self.insn.mnemonic() == Mnemonic::Sbb && self.same_value();
        let shown = known && (mask_of_carry || usize::from(a.value.readable().min(b.value.readable())) >= size);
        self.set_flags(shown);
        self.write(0, Cell::new(opaque(shown)))
    }

    pub(super) fn step_by_one(&mut self) -> Checked {
        let size = self.size(0)?;
        let a = self.read_as(0, size)?;
        let op = if self.insn.mnemonic() == Mnemonic::Inc { Op::Add } else { Op::Sub };
        self.keep_flags(usize::from(a.value.readable()) >= size);
        self.write(0, Cell::new(combine(op, a.value.num(), Num::exact(1), size)))
    }

    pub(super) fn unary(&mut self) -> Checked {
        let size = self.size(0)?;
        let a = self.read_as(0, size)?.value.num();
        if self.insn.mnemonic() == Mnemonic::Neg {
            self.set_flags(usize::from(a.bytes) >= size);
        }
        self.write(0, Cell::new(Value::Num(Num::partly(a.bytes).truncate(size))))
    }

    pub(super) fn shift(&mut self) -> Checked {
        let size = self.size(0)?;
        let a = self.read_as(0, size)?;
        let count = self.read_as(1, 1)?.value.num();
        let whole = usize::from(a.value.readable()) >= size && count.bytes >= 1;
        self.keep_flags_unless(count, whole);
        let bits = 8 * size as u64;
        let value = match (self.insn.mnemonic(), count.is_exact().map(|n| n & (bits.max(32) - 1))) {
            (Mnemonic::Shl, Some(by)) => shift_left(a.value, by as u8, size),
            (Mnemonic::Shl, None) if count.bytes >= 1 => Value::Num(Num::partly(a.value.readable()).truncate(size)),
            (Mnemonic::Shr, Some(by)) if whole => shift_right(a.value.num(), by as u8),
            (Mnemonic::Shr, None) if whole => Value::Num(Num { lo: 0, zeros: 0, ..a.value.num() }),
            (Mnemonic::Sar, Some(by)) if whole && a.value.num().hi <= mask(size) >> 1 => {
                shift_right(a.value.num(), by as u8)
            }
            _ => opaque(whole),
        };
        self.write(0, Cell::new(value))
    }

    /// A shift by 0 leaves the flags, a rotation all but two of them; of one by more than 1 the overflow may say anything.
    fn keep_flags_unless(&mut self, count: Num, readable: bool) {
        let rotates = matches!(self.insn.mnemonic(), Mnemonic::Rol | Mnemonic::Ror);
        if !rotates && count.is_exact() == Some(1) {
            self.set_flags(readable);
        } else {
            self.keep_flags(readable);
        }
    }

    pub(super) fn double_shift(&mut self) -> Checked {
        let size = self.size(0)?;
        let a = self.read_as(0, size)?.value.readable();
        let b = self.read_as(1, size)?.value.readable();
        let count = self.read_as(2, 1)?.value.readable() >= 1;
        let shown = count && usize::from(a.min(b)) >= size;
        self.keep_flags(shown);
        self.write(0, Cell::new(opaque(shown)))
    }

    pub(super) fn imul(&mut self) -> Checked {
        if self.insn.op_count() == 1 {
            return self.wide_multiply();
        }
        let size = self.size(0)?;
        let (first, second) = if self.insn.op_count() == 2 { (0, 1) } else { (1, 2) };
        let a = self.read_as(first, size)?.value.num();
        let b = self.read_as(second, size)?.value.num();
        let bytes = a.bytes.min(b.bytes);
        self.keep_flags(usize::from(bytes) >= size);
        let product = match (a.lo.checked_mul(b.lo), a.hi.checked_mul(b.hi)) {
            (Some(lo), Some(hi)) => Num { lo, hi, zeros: 0, bytes },
            _ => Num::partly(bytes),
        };
        debug_assert!(self.insn.op0_kind() == OpKind::Register);
        self.write(0, Cell::new(Value::Num(product.truncate(size))))
    }
}

/// Of eight bytes: pointers may be moved.
fn combine_whole(op: Op, a: Cell, b: Cell) -> Value {
    match op {
        Op::Add => a.value.plus(b.value, (a.id, b.id)),
        Op::Sub => match (a.value, b.value.num().is_exact()) {
            (Value::Ptr(_), Some(n)) => a.value.plus(Value::exact(n.wrapping_neg()), (0, 0)),
            (Value::Num(_) | Value::UpTo(..), _) => combine(op, a.value.num(), b.value.num(), 8),
            _ => Value::SECRET,
        },
        Op::And | Op::Or | Op::Xor => combine(op, a.value.num(), b.value.num(), 8),
    }
}

/// Of numbers of so many bytes.
fn combine(op: Op, a: Num, b: Num, size: usize) -> Value {
    let bytes = a.bytes.min(b.bytes);
    let zeros = a.zeros.min(b.zeros);
    let any = Num { zeros, ..Num::partly(bytes) };
    let num = match op {
        Op::Add => match (a.lo.checked_add(b.lo), a.hi.checked_add(b.hi)) {
            (Some(lo), Some(hi)) => Num { lo, hi, ..any },
            _ => any,
        },
        Op::Sub if a.lo >= b.hi => Num { lo: a.lo - b.hi, hi: a.hi - b.lo, ..any },
        Op::Sub => any,
        Op::And => Num { hi: a.hi.min(b.hi), zeros: a.zeros.max(b.zeros), ..any },
        Op::Or | Op::Xor => {
            let bits = 64 - (a.hi | b.hi).leading_zeros();
            Num { hi: if bits == 64 { u64::MAX } else { (1 << bits) - 1 }, ..any }
        }
    };
    Value::Num(num.truncate(size))
}

fn shift_left(value: Value, by: u8, size: usize) -> Value {
    if let (Value::UpTo(bound, 0), 8, ..=crate::value::Bound::ENTRY_SHIFT) = (value, size, by) {
        return Value::UpTo(bound, by);
    }
    let num = value.num();
    let zeros = (num.zeros + by).min(63);
    let shifted = if num.hi.leading_zeros() >= u32::from(by) {
        Num { lo: num.lo << by, hi: num.hi << by, zeros, bytes: num.bytes }
    } else {
        Num { zeros, ..Num::partly(num.bytes) }
    };
    Value::Num(shifted.truncate(size))
}

fn shift_right(num: Num, by: u8) -> Value {
    Value::Num(Num { lo: num.lo >> by, hi: num.hi >> by, zeros: num.zeros.saturating_sub(by), bytes: 8 })
}
