//! The instructions of the programs.

/// A general register, by its number in the encoding.
pub(super) type Reg = usize;

/// What is computed of two operands; flags are set by all but `Mov`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alu {
    Mov,
    Add,
    Sub,
    And,
    Or,
    Xor,
    Cmp,
    Test,
    Imul,
}

impl Alu {
    /// Whether it sets flags alone.
    pub(super) fn compares(self) -> bool {
        matches!(self, Alu::Cmp | Alu::Test)
    }
}

/// A condition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cond {
    B,
    Be,
    E,
    Ne,
    A,
    Ae,
}

impl Cond {
    pub(super) const ALL: [Cond; 6] = [Cond::B, Cond::Be, Cond::E, Cond::Ne, Cond::A, Cond::Ae];
}

/// A place in memory.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Mem {
    pub(super) base: Reg,
    pub(super) index: Option<Reg>,
    pub(super) disp: i32,
}

/// An instruction. Sizes are bytes; jumps lead to the instruction of that number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Op {
    /// Of two registers: operation, size, destination, source.
    Regs(Alu, usize, Reg, Reg),
    /// Of a register and a number.
    Imm(Alu, usize, Reg, i32),
    /// Of a register and what lies so far above the stack pointer.
    Slot(Alu, usize, Reg, i32),
    MovAbs(Reg, u64),
    Shl(usize, Reg, u8),
    Shr(usize, Reg, u8),
    Cmov(Cond, usize, Reg, Reg),
    /// From above the stack pointer, eight bytes.
    CmovSlot(Cond, Reg, i32),
    Set(Cond, Reg),
    /// Destination, base, index, scale, displacement.
    Lea(Reg, Reg, Reg, u32, i32),
    Load(usize, Reg, Mem),
    Store(usize, Mem, Reg),
    Xchg(Reg, Reg),
    Push(Reg),
    Pop(Reg),
    Bsf(usize, Reg, Reg),
    /// The low byte, extended by zeros.
    Movzx(Reg, Reg),
    /// The low four bytes, extended by their sign.
    Movsxd(Reg, Reg),
    /// The stub for bad calls.
    LeaBadCall(Reg),
    Call,
    CallReg(Reg),
    Jcc(Cond, usize),
    Jmp(usize),
    Ud2,
    AddRsp(i32),
}

impl Op {
    /// Where it may jump to.
    pub(super) fn target(&mut self) -> Option<&mut usize> {
        match self {
            Op::Jcc(_, to) | Op::Jmp(to) => Some(to),
            _ => None,
        }
    }

    /// Whether it writes this register.
    pub(super) fn writes(self, reg: Reg) -> bool {
        match self {
            Op::Regs(op, _, to, _) | Op::Imm(op, _, to, _) | Op::Slot(op, _, to, _) => to == reg && !op.compares(),
            Op::Xchg(a, b) => a == reg || b == reg,
            Op::MovAbs(to, _)
            | Op::Shl(_, to, _)
            | Op::Shr(_, to, _)
            | Op::Cmov(_, _, to, _)
            | Op::CmovSlot(_, to, _)
            | Op::Set(_, to)
            | Op::Lea(to, ..)
            | Op::Load(_, to, _)
            | Op::Pop(to)
            | Op::Bsf(_, to, _)
            | Op::Movzx(to, _)
            | Op::Movsxd(to, _)
            | Op::LeaBadCall(to) => to == reg,
            Op::Store(..) | Op::Push(_) | Op::Call | Op::CallReg(_) => false,
            Op::Jcc(..) | Op::Jmp(_) | Op::Ud2 | Op::AddRsp(_) => false,
        }
    }
}

/// Leaves out one instruction; what led to it leads to the next.
pub(super) fn remove(ops: &mut Vec<Op>, number: usize) {
    ops.remove(number);
    let last = ops.len() - 1;
    for to in ops.iter_mut().filter_map(Op::target).filter(|to| **to > number) {
        *to = (*to - 1).min(last);
    }
}

/// A program as people read it: each instruction with its number and its offset.
pub(super) fn listing(ops: &[Op], starts: &[u64]) -> String {
    let line = |(number, (op, start)): (usize, (&Op, &u64))| format!("{number:3} {start:4x} {op:?}\n");
    ops.iter().zip(starts).enumerate().map(line).collect()
}
