//! Instructions of every form that there is, with random operands.

use iced_x86::{Code, Encoder, Instruction, MemoryOperand, Mnemonic, OpCodeOperandKind as Kind, OpKind, Register};

use crate::random::Random;

/// Numbers of the registers that instructions use: few, so that they meet.
const NAMES: [u32; 8] = [0, 1, 2, 3, 6, 8, 13, 15];

/// Every form of 64-bit code.
pub(crate) fn all() -> Vec<Code> {
    let possible = |code: &Code| {
        let op_code = code.op_code();
        op_code.mode64() && code.mnemonic() != Mnemonic::INVALID
    };
    Code::values().filter(possible).collect()
}

/// An instruction of this form, as bytes; `None` if its operands are of no kind that code may use.
pub(crate) fn instruction(code: Code, random: &mut Random) -> Option<Vec<u8>> {
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    let op_code = code.op_code();
    for nth in 0..op_code.op_count() {
        operand(&mut instruction, nth, op_code.op_kind(nth), random)?;
    }
    let mut encoder = Encoder::new(64);
    encoder.encode(&instruction, 0).ok()?;
    Some(encoder.take_buffer())
}

fn operand(instruction: &mut Instruction, nth: u32, kind: Kind, random: &mut Random) -> Option<()> {
    use Kind::*;
    let general = |first: Register, random: &mut Random| {
        let number = if random.below(40) == 0 { 4 } else { NAMES[random.below(8) as usize] };
        first + number
    };
    let byte = |random: &mut Random| match NAMES[random.below(8) as usize] {
        number @ 0..4 => Register::AL + number,
        number => Register::SPL + (number - 4),
    };
    let vector = |random: &mut Random| Register::XMM0 + random.below(5) as u32;
    let register = match kind {
        r8_or_mem | r16_or_mem | r32_or_mem | r64_or_mem | xmm_or_mem | mem if kind == mem || random.below(3) == 0 => {
            instruction.set_op_kind(nth, OpKind::Memory);
            let at = if random.below(8) == 0 { random.below(100) } else { 8 * random.below(14) };
            let memory = MemoryOperand::with_base_displ(Register::RSP, at as i64);
            instruction.set_memory_base(memory.base);
            instruction.set_memory_displacement64(at);
            instruction.set_memory_displ_size(1);
            return Some(());
        }
        r8_or_mem | r8_reg | r8_opcode => byte(random),
        r16_or_mem | r16_reg | r16_rm | r16_opcode => general(Register::AX, random),
        r32_or_mem | r32_reg | r32_rm | r32_opcode | r32_vvvv => general(Register::EAX, random),
        r64_or_mem | r64_reg | r64_rm | r64_opcode | r64_vvvv => general(Register::RAX, random),
        xmm_or_mem | xmm_reg | xmm_rm | xmm_vvvv | xmm_is4 => vector(random),
        al => Register::AL,
        cl => Register::CL,
        ax => Register::AX,
        eax => Register::EAX,
        rax => Register::RAX,
        other => return immediate(instruction, nth, other, random),
    };
    instruction.set_op_kind(nth, OpKind::Register);
    instruction.set_op_register(nth, register);
    Some(())
}

fn immediate(instruction: &mut Instruction, nth: u32, kind: Kind, random: &mut Random) -> Option<()> {
    let small = random.number() as i8;
    let number = random.number();
    let (kind, value) = match kind {
        Kind::imm8 => (OpKind::Immediate8, u64::from(number as u8)),
        Kind::imm8_const_1 => (OpKind::Immediate8, 1),
        Kind::imm8sex16 => (OpKind::Immediate8to16, i64::from(small) as u64),
        Kind::imm8sex32 => (OpKind::Immediate8to32, i64::from(small) as u64),
        Kind::imm8sex64 => (OpKind::Immediate8to64, i64::from(small) as u64),
        Kind::imm16 => (OpKind::Immediate16, number & 0xffff),
        Kind::imm32 => (OpKind::Immediate32, number & 0xffff_ffff),
        Kind::imm32sex64 => (OpKind::Immediate32to64, i64::from(number as i32) as u64),
        Kind::imm64 => (OpKind::Immediate64, number),
        _ => return None,
    };
    instruction.set_op_kind(nth, kind);
    match kind {
        OpKind::Immediate8to16 => instruction.set_immediate8to16(value as i16),
        OpKind::Immediate8to32 => instruction.set_immediate8to32(value as i32),
        OpKind::Immediate8to64 => instruction.set_immediate8to64(value as i64),
        OpKind::Immediate32to64 => instruction.set_immediate32to64(value as i64),
        OpKind::Immediate8 => instruction.set_immediate8(value as u8),
        OpKind::Immediate16 => instruction.set_immediate16(value as u16),
        OpKind::Immediate32 => instruction.set_immediate32(value as u32),
        _ => instruction.set_immediate64(value),
    }
    Some(())
}
