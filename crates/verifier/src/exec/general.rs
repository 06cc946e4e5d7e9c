//! Instructions on general registers: the list, and those that only move.

use iced_x86::{ConditionCode, Mnemonic, OpKind};

use super::arithmetic::Op;
use super::{Exec, general};
use crate::report::{Checked, Rule, Violation, ensure};
use crate::state::Flags;
use crate::state::reg::{RAX, RDX, RSP};
use crate::value::{Cell, Num, Ptr, Region, Value, mask};

/// Bytes of a jump table's entry.
const JUMP_ENTRY: u32 = 4;

impl Exec<'_, '_> {
    /// Executes an instruction on general registers; `false` if it is none.
    pub(super) fn general(&mut self) -> Checked<bool> {
        match self.insn.mnemonic() {
            Mnemonic::Mov => self.mov()?,
            Mnemonic::Movzx => self.zero_extend()?,
            Mnemonic::Movsx | Mnemonic::Movsxd => self.sign_extend()?,
            Mnemonic::Lea => self.lea()?,
            Mnemonic::Push => self.push()?,
            Mnemonic::Pop => self.pop()?,
            Mnemonic::Xchg => self.exchange()?,
            Mnemonic::Nop => {}
            Mnemonic::Cmp => self.compare()?,
            Mnemonic::Test => self.test()?,
            Mnemonic::Add => self.binary(Op::Add)?,
            Mnemonic::Sub => self.binary(Op::Sub)?,
            Mnemonic::And => self.binary(Op::And)?,
            Mnemonic::Or => self.binary(Op::Or)?,
            Mnemonic::Xor => self.binary(Op::Xor)?,
            Mnemonic::Adc | Mnemonic::Sbb => self.with_carry()?,
            Mnemonic::Inc | Mnemonic::Dec => self.step_by_one()?,
            Mnemonic::Neg | Mnemonic::Not => self.unary()?,
            Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar | Mnemonic::Rol | Mnemonic::Ror => self.shift()?,
            Mnemonic::Shld | Mnemonic::Shrd => self.double_shift()?,
            Mnemonic::Imul => self.imul()?,
            Mnemonic::Mul => self.wide_multiply()?,
            Mnemonic::Div | Mnemonic::Idiv => self.divide()?,
            Mnemonic::Cwde => self.extend_rax(2, 4)?,
            Mnemonic::Cdqe => self.extend_rax(4, 8)?,
            Mnemonic::Cdq => self.sign_of_rax(4)?,
            Mnemonic::Cqo => self.sign_of_rax(8)?,
            // Of two bytes, processors leave what they like.
            Mnemonic::Bswap if self.size(0)? >= 4 => self.opaque(&[0], false)?,
            Mnemonic::Bsf | Mnemonic::Bsr => self.bit_scan()?,
            Mnemonic::Tzcnt | Mnemonic::Lzcnt | Mnemonic::Popcnt => self.count_bits()?,
            Mnemonic::Bt => self.bit_test()?,
            Mnemonic::Blsi | Mnemonic::Blsmsk | Mnemonic::Blsr => self.opaque(&[1], true)?,
            Mnemonic::Andn | Mnemonic::Bzhi => self.opaque(&[1, 2], true)?,
            Mnemonic::Sarx | Mnemonic::Shlx | Mnemonic::Shrx => self.shift_apart()?,
            Mnemonic::Rorx => self.opaque(&[1], false)?,
            Mnemonic::Mulx => self.mulx()?,
            _ if self.insn.condition_code() == ConditionCode::None => return Ok(false),
            _ if self.insn.op_count() == 1 => self.set()?,
            _ => self.conditional_move()?,
        }
        Ok(true)
    }

    fn mov(&mut self) -> Checked {
        let size = self.size(0)?;
        let cell = self.read_as(1, size)?;
        self.write(0, cell)
    }

    fn zero_extend(&mut self) -> Checked {
        let size = self.size(1)?;
        let cell = self.read_as(1, size)?;
        self.write(0, Cell { value: cell.value.truncate(size), ..cell })
    }

    fn sign_extend(&mut self) -> Checked {
        let size = self.size(1)?;
        if let Some(jump) = self.jump_entry(size)? {
            return self.write(0, Cell::new(jump));
        }
        let cell = self.read_as(1, size)?;
        let target = self.size(0)?;
        self.write(0, extended(cell, size, target))
    }

    /// An entry of the jump table at a known place, by an index that is known to be small.
    fn jump_entry(&mut self, size: usize) -> Checked<Option<Value>> {
        let indexed = self.insn.op1_kind() == OpKind::Memory && self.insn.memory_index_scale() == JUMP_ENTRY;
        let (Some((base, 8)), Some((index, 8))) = (general(self.insn.memory_base()), general(self.insn.memory_index()))
        else {
            return Ok(None);
        };
        let Value::Ptr(Ptr { to: Region::Text, lo, hi, .. }) = self.state.regs[base].value else { return Ok(None) };
        if !indexed || lo != hi || size != JUMP_ENTRY as usize || self.insn.memory_displacement64() != 0 {
            return Ok(None);
        }
        let index = self.state.regs[index].value.num();
        let count = index.hi.checked_add(1).filter(|count| *count <= u64::from(self.walk.len() / JUMP_ENTRY));
        let Some(count) = count.filter(|_| index.bytes == 8) else {
            return Err(Violation::new(Rule::JumpTable, "the index is not bounded by the table's length"));
        };
        let Ok(table) = u32::try_from(lo) else {
            return Err(Violation::new(Rule::JumpTable, "the table does not lie in text"));
        };
        // It is read now, whatever becomes of it.
        self.walk.table(lo..lo + i64::from(JUMP_ENTRY) * count as i64)?;
        Ok(Some(Value::Jump(table, count as u32)))
    }

    fn lea(&mut self) -> Checked {
        let value = self.effective()?;
        let Some((register, size)) = self.register(0) else { return self.denied() };
        self.write_register((register, size), Cell::new(value.truncate(size)))
    }

    fn push(&mut self) -> Checked {
        let Some((register, 8)) = self.register(0) else { return self.denied() };
        let cell = self.read_register((register, 8));
        let at = self.state.rsp() - 8;
        self.state.regs[RSP] = Cell::new(Value::Ptr(Ptr::exact(Region::Frame, at)));
        self.frame_range(at, 8)?;
        self.state.frame.write(at, 8, cell);
        Ok(())
    }

    fn pop(&mut self) -> Checked {
        let Some((register, 8)) = self.register(0) else { return self.denied() };
        let at = self.state.rsp();
        self.frame_range(at, 8)?;
        let cell = self.state.frame.read(at, 8);
        self.state.regs[RSP] = Cell::new(Value::Ptr(Ptr::exact(Region::Frame, at + 8)));
        self.forget_below_stack_pointer();
        self.write_register((register, 8), cell)
    }

    fn exchange(&mut self) -> Checked {
        let (Some(a), Some(b)) = (self.register(0), self.register(1)) else { return self.denied() };
        let (first, second) = (self.read_register(a), self.read_register(b));
        self.write_register(a, second)?;
        self.write_register(b, first)
    }

    /// `cwde`, `cdqe`.
    fn extend_rax(&mut self, from: usize, to: usize) -> Checked {
        let cell = self.read_register((RAX, from));
        self.write_register((RAX, to), extended(cell, from, to))
    }

    /// `cdq`, `cqo`: all bits of `rdx` are the sign of `rax`.
    fn sign_of_rax(&mut self, size: usize) -> Checked {
        let shown = usize::from(self.read_register((RAX, size)).value.readable()) >= size;
        self.write_register((RDX, size), Cell::new(opaque(shown)))
    }

    /// An instruction whose result may be anything, made of all bytes of what it reads; it writes operand 0.
    pub(super) fn opaque(&mut self, sources: &[u32], flags: bool) -> Checked {
        let mut shown = true;
        for operand in sources {
            let size = match self.insn.op_kind(*operand) {
                OpKind::Register | OpKind::Memory => self.size(*operand)?,
                _ => 8,
            };
            shown &= usize::from(self.read(*operand)?.value.readable()) >= size;
        }
        if flags {
            self.keep_flags(shown);
        }
        self.write(0, Cell::new(opaque(shown)))
    }

    /// Shifts that read one register and write another, by the low byte of a third.
    fn shift_apart(&mut self) -> Checked {
        let size = self.size(0)?;
        let value = usize::from(self.read_as(1, size)?.value.readable()) >= size;
        let count = self.read_as(2, 1)?.value.readable() >= 1;
        self.write(0, Cell::new(opaque(value && count)))
    }

    fn count_bits(&mut self) -> Checked {
        let size = self.size(1)?;
        let shown = usize::from(self.read_as(1, size)?.value.readable()) >= size;
        self.keep_flags(shown);
        let count = if shown { Value::Num(Num::up_to(64)) } else { Value::SECRET };
        self.write(0, Cell::new(count))
    }

    /// If all bits are 0, the flags say so and the register stays as it was: all of it, on most processors, whatever
    /// the operand's size. Of two bytes it leaves the others in any case.
    fn bit_scan(&mut self) -> Checked {
        let Some((number, size @ (4 | 8))) = self.register(0) else { return self.denied() };
        let shown = usize::from(self.read_as(1, size)?.value.readable()) >= size;
        let found = Value::Num(Num::up_to(63));
        self.write_register((number, 8), Cell::new(Value::SECRET))?;
        let Cell { id, .. } = self.named(number);
        self.state.flags = if shown { Flags::Scan(id, Cell::new(found)) } else { Flags::Secret };
        Ok(())
    }

    fn bit_test(&mut self) -> Checked {
        // In memory, a bit offset from a register reaches beyond the operand.
        if self.insn.op0_kind() == OpKind::Memory && self.insn.op1_kind() != OpKind::Immediate8 {
            return self.denied();
        }
        let size = self.size(0)?;
        let a = self.read_as(0, size)?;
        // Of the bit's number no more than the low bits say anything: they are in one byte.
        let b = self.read_as(1, size)?;
        // The other flags may stay as they were.
        let shown = usize::from(a.value.readable()) >= size && b.value.readable() >= 1;
        let plain = shown && self.flags_are_known();
        self.state.flags = match shown {
            _ if plain => Flags::Plain,
            true => Flags::Carry,
            false => Flags::Secret,
        };
        Ok(())
    }

    /// Reads `rax`, and whether it may be looked at.
    pub(super) fn rax_is_readable(&mut self, size: usize) -> bool {
        usize::from(self.read_register((RAX, size)).value.readable()) >= size
    }

    fn mulx(&mut self) -> Checked {
        let size = self.size(2)?;
        let source = usize::from(self.read_as(2, size)?.value.readable()) >= size;
        let shown = source && usize::from(self.read_register((RDX, size)).value.readable()) >= size;
        self.write(1, Cell::new(opaque(shown)))?;
        self.write(0, Cell::new(opaque(shown)))
    }

    fn divide(&mut self) -> Checked {
        use selvedge_contract::trap::TrapCode;
        let size = self.size(0)?;
        if size < 4 {
            return self.denied();
        }
        let entry = self.walk.trap(self.at);
        let listed = matches!(entry, Some(TrapCode::IntegerDivisionByZero | TrapCode::IntegerOverflow));
        // So its operand is in no memory: what may fault otherwise has another entry.
        ensure(listed, Rule::Trap, "it may fault, but the trap table does not call it a division")?;
        let divisor = usize::from(self.read_as(0, size)?.value.readable()) >= size;
        let high = usize::from(self.read_register((RDX, size)).value.readable()) >= size;
        let shown = divisor && high && self.rax_is_readable(size);
        ensure(shown, Rule::Secret, "whether it faults depends on what may not be read")?;
        self.keep_flags(true);
        self.write_register((RAX, size), Cell::ANY)?;
        self.write_register((RDX, size), Cell::ANY)
    }

    /// One operand: the product of it and `rax` in `rdx` and `rax`.
    pub(super) fn wide_multiply(&mut self) -> Checked {
        let size = self.size(0)?;
        let source = usize::from(self.read_as(0, size)?.value.readable()) >= size;
        let shown = source && self.rax_is_readable(size);
        self.keep_flags(shown);
        if size == 1 {
            // The whole product is in ax.
            return self.write_register((RAX, 2), Cell::new(opaque(shown)));
        }
        self.write_register((RAX, size), Cell::new(opaque(shown)))?;
        self.write_register((RDX, size), Cell::new(opaque(shown)))
    }

    /// Arithmetic on part of the flags: `inc` and `dec` leave the carry, products on some processors all but it and the
    /// overflow.
    pub(super) fn keep_flags(&mut self, readable: bool) {
        let known = self.flags_are_known();
        self.set_flags(readable && known);
    }

    /// Whether all flags may be looked at.
    pub(super) fn flags_are_known(&self) -> bool {
        !matches!(self.state.flags, Flags::Secret | Flags::Carry | Flags::Scan(..))
    }
}

/// Anything, to be read or not.
pub(super) fn opaque(shown: bool) -> Value {
    if shown { Value::ANY } else { Value::SECRET }
}

/// A cell's low bytes, sign-extended to so many and zero-extended from there.
fn extended(cell: Cell, from: usize, to: usize) -> Cell {
    let num = cell.value.truncate(from).num();
    if num.hi <= mask(from) >> 1 {
        return Cell { value: Value::Num(num), ..cell };
    }
    Cell::new(Value::Num(Num { lo: 0, hi: mask(to), zeros: num.zeros.min(8 * from as u8 - 1), bytes: num.bytes }))
}
