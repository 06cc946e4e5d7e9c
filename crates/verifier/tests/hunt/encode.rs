//! Programs as machine code.

use iced_x86::{Code, Encoder, Instruction, MemoryOperand, Register};

use super::op::{Alu, Cond, Mem, Op, Reg};
use crate::state::reg::RSP;

/// Where the function that is called starts in text.
pub(super) const CALLEE_AT: u32 = 0x20000;
/// Where the stub for bad calls starts.
pub(super) const BAD_CALL_AT: u32 = 0x40000;

/// Machine code, and where in it each instruction starts.
pub(super) struct Assembled {
    pub(super) code: Vec<u8>,
    pub(super) starts: Vec<u64>,
}

/// Machine code that starts at offset 0 of text.
pub(super) fn assemble(ops: &[Op]) -> Assembled {
    let mut starts = vec![0; ops.len()];
    let mut code = Vec::new();
    // No instruction's length depends on where another lies: the second time all are known.
    for _ in 0..2 {
        code.clear();
        for (number, op) in ops.iter().enumerate() {
            let at = code.len() as u64;
            let mut encoder = Encoder::new(64);
            encoder.encode(&instruction(*op, &starts), at).unwrap_or_else(|error| panic!("{op:?}: {error}"));
            starts[number] = at;
            code.extend(encoder.take_buffer());
        }
    }
    Assembled { code, starts }
}

fn instruction(op: Op, starts: &[u64]) -> Instruction {
    use Code as C;
    let made = match op {
        Op::Regs(op, size, to, from) => Instruction::with2(of_registers(op, size), sized(to, size), sized(from, size)),
        Op::Imm(op, size, to, number) => Instruction::with2(of_number(op, size), sized(to, size), number),
        Op::Slot(op, size, to, at) => Instruction::with2(of_memory(op, size), sized(to, size), slot(at)),
        Op::MovAbs(to, number) => Instruction::with2(C::Mov_r64_imm64, sized(to, 8), number),
        Op::Shl(size, to, by) => {
            Instruction::with2(wide(size, C::Shl_rm64_imm8, C::Shl_rm32_imm8), sized(to, size), u32::from(by))
        }
        Op::Shr(size, to, by) => {
            Instruction::with2(wide(size, C::Shr_rm64_imm8, C::Shr_rm32_imm8), sized(to, size), u32::from(by))
        }
        Op::Cmov(cond, size, to, from) => Instruction::with2(cmov(cond, size), sized(to, size), sized(from, size)),
        Op::CmovSlot(cond, to, at) => Instruction::with2(cmov(cond, 8), sized(to, 8), slot(at)),
        Op::Set(cond, to) => Instruction::with1(set(cond), sized(to, 1)),
        Op::Lea(to, base, index, scale, disp) => {
            let at =
                MemoryOperand::with_base_index_scale_displ_size(sized(base, 8), sized(index, 8), scale, disp.into(), 8);
            Instruction::with2(C::Lea_r64_m, sized(to, 8), at)
        }
        Op::Load(1, to, at) => Instruction::with2(C::Movzx_r32_rm8, sized(to, 4), memory(at)),
        Op::Load(size, to, at) => Instruction::with2(of_memory(Alu::Mov, size), sized(to, size), memory(at)),
        Op::Store(1, at, from) => Instruction::with2(C::Mov_rm8_r8, memory(at), sized(from, 1)),
        Op::Store(size, at, from) => Instruction::with2(of_registers(Alu::Mov, size), memory(at), sized(from, size)),
        Op::Xchg(a, b) => Instruction::with2(C::Xchg_rm64_r64, sized(a, 8), sized(b, 8)),
        Op::Push(from) => Instruction::with1(C::Push_r64, sized(from, 8)),
        Op::Pop(to) => Instruction::with1(C::Pop_r64, sized(to, 8)),
        Op::Bsf(size, to, from) => {
            Instruction::with2(wide(size, C::Bsf_r64_rm64, C::Bsf_r32_rm32), sized(to, size), sized(from, size))
        }
        Op::Movzx(to, from) => Instruction::with2(C::Movzx_r32_rm8, sized(to, 4), sized(from, 1)),
        Op::Movsxd(to, from) => Instruction::with2(C::Movsxd_r64_rm32, sized(to, 8), sized(from, 4)),
        Op::LeaBadCall(to) => {
            let at = MemoryOperand::with_base_displ_size(Register::RIP, BAD_CALL_AT.into(), 8);
            Instruction::with2(C::Lea_r64_m, sized(to, 8), at)
        }
        Op::Call => Instruction::with_branch(C::Call_rel32_64, CALLEE_AT.into()),
        Op::CallReg(code) => Instruction::with1(C::Call_rm64, sized(code, 8)),
        Op::Jcc(cond, to) => Instruction::with_branch(jump(cond), starts[to]),
        Op::Jmp(to) => Instruction::with_branch(C::Jmp_rel32_64, starts[to]),
        Op::Ud2 => Ok(Instruction::with(C::Ud2)),
        Op::AddRsp(by) => Instruction::with2(C::Add_rm64_imm32, Register::RSP, by),
    };
    made.unwrap_or_else(|error| panic!("{op:?}: {error}"))
}

fn wide<T>(size: usize, wide: T, narrow: T) -> T {
    if size == 8 { wide } else { narrow }
}

fn sized(reg: Reg, size: usize) -> Register {
    let number = reg as u32;
    match size {
        8 => Register::RAX + number,
        4 => Register::EAX + number,
        _ if number < 4 => Register::AL + number,
        _ => Register::SPL + (number - 4),
    }
}

fn memory(at: Mem) -> MemoryOperand {
    let (base, disp) = (sized(at.base, 8), at.disp.into());
    match at.index {
        Some(index) => MemoryOperand::with_base_index_scale_displ_size(base, sized(index, 8), 1, disp, 8),
        None => MemoryOperand::with_base_displ_size(base, disp, 8),
    }
}

fn slot(disp: i32) -> MemoryOperand {
    memory(Mem { base: RSP, index: None, disp })
}

fn of_registers(op: Alu, size: usize) -> Code {
    match op {
        Alu::Mov => wide(size, Code::Mov_rm64_r64, Code::Mov_rm32_r32),
        Alu::Add => wide(size, Code::Add_rm64_r64, Code::Add_rm32_r32),
        Alu::Sub => wide(size, Code::Sub_rm64_r64, Code::Sub_rm32_r32),
        Alu::And => wide(size, Code::And_rm64_r64, Code::And_rm32_r32),
        Alu::Or => wide(size, Code::Or_rm64_r64, Code::Or_rm32_r32),
        Alu::Xor => wide(size, Code::Xor_rm64_r64, Code::Xor_rm32_r32),
        Alu::Cmp => wide(size, Code::Cmp_rm64_r64, Code::Cmp_rm32_r32),
        Alu::Test => wide(size, Code::Test_rm64_r64, Code::Test_rm32_r32),
        Alu::Imul => wide(size, Code::Imul_r64_rm64, Code::Imul_r32_rm32),
    }
}

fn of_number(op: Alu, size: usize) -> Code {
    match op {
        Alu::Mov => wide(size, Code::Mov_rm64_imm32, Code::Mov_rm32_imm32),
        Alu::Add => wide(size, Code::Add_rm64_imm32, Code::Add_rm32_imm32),
        Alu::Sub => wide(size, Code::Sub_rm64_imm32, Code::Sub_rm32_imm32),
        Alu::And => wide(size, Code::And_rm64_imm32, Code::And_rm32_imm32),
        Alu::Or => wide(size, Code::Or_rm64_imm32, Code::Or_rm32_imm32),
        Alu::Xor => wide(size, Code::Xor_rm64_imm32, Code::Xor_rm32_imm32),
        Alu::Cmp => wide(size, Code::Cmp_rm64_imm32, Code::Cmp_rm32_imm32),
        Alu::Test => wide(size, Code::Test_rm64_imm32, Code::Test_rm32_imm32),
        Alu::Imul => panic!("of a number nothing is multiplied"),
    }
}

fn of_memory(op: Alu, size: usize) -> Code {
    match op {
        Alu::Mov => wide(size, Code::Mov_r64_rm64, Code::Mov_r32_rm32),
        Alu::Cmp => wide(size, Code::Cmp_r64_rm64, Code::Cmp_r32_rm32),
        _ => panic!("from memory it is moved or compared"),
    }
}

fn cmov(cond: Cond, size: usize) -> Code {
    match cond {
        Cond::B => wide(size, Code::Cmovb_r64_rm64, Code::Cmovb_r32_rm32),
        Cond::Be => wide(size, Code::Cmovbe_r64_rm64, Code::Cmovbe_r32_rm32),
        Cond::E => wide(size, Code::Cmove_r64_rm64, Code::Cmove_r32_rm32),
        Cond::Ne => wide(size, Code::Cmovne_r64_rm64, Code::Cmovne_r32_rm32),
        Cond::A => wide(size, Code::Cmova_r64_rm64, Code::Cmova_r32_rm32),
        Cond::Ae => wide(size, Code::Cmovae_r64_rm64, Code::Cmovae_r32_rm32),
    }
}

fn set(cond: Cond) -> Code {
    match cond {
        Cond::B => Code::Setb_rm8,
        Cond::Be => Code::Setbe_rm8,
        Cond::E => Code::Sete_rm8,
        Cond::Ne => Code::Setne_rm8,
        Cond::A => Code::Seta_rm8,
        Cond::Ae => Code::Setae_rm8,
    }
}

fn jump(cond: Cond) -> Code {
    match cond {
        Cond::B => Code::Jb_rel32_64,
        Cond::Be => Code::Jbe_rel32_64,
        Cond::E => Code::Je_rel32_64,
        Cond::Ne => Code::Jne_rel32_64,
        Cond::A => Code::Ja_rel32_64,
        Cond::Ae => Code::Jae_rel32_64,
    }
}
