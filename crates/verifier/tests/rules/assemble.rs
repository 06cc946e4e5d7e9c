//! A small assembler: one instruction in Intel's syntax to bytes, for 64-bit code.
//!
//! Of all encodings of a mnemonic that fit the operands, the shortest is taken. Branches have 32-bit distances, those of
//! `short.mnemonic` 8-bit ones. AVX-512 encodings are those of `evex.mnemonic`. Numbers may be names: `[rdi + stack_limit]`, `lea rax, [@bad_call]`.

use std::collections::HashMap;
use std::sync::OnceLock;

use iced_x86::{Code, Encoder, Instruction, Mnemonic, OpKind, Register};

/// What names in a listing stand for.
pub(crate) type Symbols = HashMap<String, i64>;

#[derive(Clone, Copy, Debug)]
enum Operand {
    Register(Register),
    Memory { base: Register, index: Register, scale: u32, displacement: i64, bytes: Option<usize> },
    Number(i64),
    Place(u64),
}

const IMMEDIATES: [OpKind; 8] = [
    OpKind::Immediate8,
    OpKind::Immediate8to16,
    OpKind::Immediate8to32,
    OpKind::Immediate8to64,
    OpKind::Immediate16,
    OpKind::Immediate32,
    OpKind::Immediate32to64,
    OpKind::Immediate64,
];

/// Assembles an instruction that lies at `at`.
pub(crate) fn assemble(line: &str, at: u64, symbols: &Symbols) -> Result<Vec<u8>, String> {
    let (mnemonic, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if mnemonic == "bytes" {
        return rest.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).map_err(|e| e.to_string())).collect();
    }
    if mnemonic == "offset" {
        let distance = number(rest.trim(), symbols)? as i32;
        return Ok(distance.to_le_bytes().to_vec());
    }
    let texts = rest.split(',').map(str::trim).filter(|text| !text.is_empty());
    let operands = texts.map(|text| operand(text, symbols)).collect::<Result<Vec<_>, _>>()?;
    let codes = codes().get(mnemonic).ok_or_else(|| format!("no instruction is called {mnemonic}"))?;
    let fitting = codes.iter().flat_map(|code| encodings(*code, &operands, at));
    fitting.min_by_key(Vec::len).ok_or_else(|| "no encoding fits these operands".to_string())
}

/// All codes by their mnemonic, those that listings have no use for left out.
fn codes() -> &'static HashMap<String, Vec<Code>> {
    static CODES: OnceLock<HashMap<String, Vec<Code>>> = OnceLock::new();
    CODES.get_or_init(|| {
        let mut codes: HashMap<String, Vec<Code>> = HashMap::new();
        for code in Code::values() {
            let name = format!("{code:?}");
            let odd = name.contains("_16") || name.contains("ST");
            if code.mnemonic() != Mnemonic::INVALID && !odd {
                let short = if name.contains("rel8") { "short." } else { "" };
                let set = if name.starts_with("EVEX") { "evex." } else { short };
                let mnemonic = format!("{set}{:?}", code.mnemonic()).to_lowercase();
                codes.entry(mnemonic).or_default().push(code);
            }
        }
        codes
    })
}

/// The bytes of an instruction with these operands, in each way that there is.
fn encodings(code: Code, operands: &[Operand], at: u64) -> Vec<Vec<u8>> {
    let mut plain = Instruction::default();
    plain.set_code(code);
    let has_number = operands.iter().any(|operand| matches!(operand, Operand::Number(_)));
    let kinds = if has_number { &IMMEDIATES[..] } else { &IMMEDIATES[..1] };
    let mut found = Vec::new();
    for kind in kinds {
        let mut instruction = plain;
        if operands.len() != instruction.op_count() as usize {
            continue;
        }
        let set = (0..).zip(operands).try_for_each(|(nth, operand)| set(&mut instruction, nth, *operand, *kind));
        let mut encoder = Encoder::new(64);
        if set.is_some() && encoder.encode(&instruction, at).is_ok() {
            found.push(encoder.take_buffer());
        }
    }
    found
}

/// Makes an operand the instruction's; `None` if it cannot be.
fn set(instruction: &mut Instruction, nth: u32, operand: Operand, kind: OpKind) -> Option<()> {
    match operand {
        Operand::Register(register) => {
            instruction.set_op_kind(nth, OpKind::Register);
            instruction.set_op_register(nth, register);
        }
        Operand::Memory { base, index, scale, displacement, bytes } => {
            instruction.set_op_kind(nth, OpKind::Memory);
            instruction.set_memory_base(base);
            instruction.set_memory_index(index);
            instruction.set_memory_index_scale(scale);
            instruction.set_memory_displacement64(displacement as u64);
            instruction.set_memory_displ_size(displacement_size(base, displacement));
            let size = instruction.memory_size().size();
            bytes.is_none_or(|bytes| bytes == size).then_some(())?;
        }
        Operand::Number(number) => {
            let fits = match kind {
                OpKind::Immediate8to16 | OpKind::Immediate8to32 | OpKind::Immediate8to64 => {
                    i8::try_from(number).is_ok()
                }
                OpKind::Immediate8 => (-128..256).contains(&number),
                OpKind::Immediate16 => (-32768..65536).contains(&number),
                OpKind::Immediate32 => (-(1 << 31)..1 << 32).contains(&number),
                OpKind::Immediate32to64 => i32::try_from(number).is_ok(),
                _ => true,
            };
            fits.then_some(())?;
            instruction.set_op_kind(nth, kind);
            match kind {
                OpKind::Immediate8 => instruction.set_immediate8(number as u8),
                OpKind::Immediate16 => instruction.set_immediate16(number as u16),
                OpKind::Immediate32 => instruction.set_immediate32(number as u32),
                OpKind::Immediate64 => instruction.set_immediate64(number as u64),
                OpKind::Immediate8to16 => instruction.set_immediate8to16(number as i16),
                OpKind::Immediate8to32 => instruction.set_immediate8to32(number as i32),
                OpKind::Immediate8to64 => instruction.set_immediate8to64(number),
                _ => instruction.set_immediate32to64(number),
            }
        }
        Operand::Place(target) => {
            instruction.set_op_kind(nth, OpKind::NearBranch64);
            instruction.set_near_branch64(target);
        }
    }
    Some(())
}

fn displacement_size(base: Register, displacement: i64) -> u32 {
    match i8::try_from(displacement) {
        _ if base == Register::RIP || base == Register::None => 8,
        Ok(0) => 0,
        Ok(_) => 1,
        Err(_) => 8,
    }
}

fn operand(text: &str, symbols: &Symbols) -> Result<Operand, String> {
    let (bytes, text) = match text.split_once(' ') {
        Some(("byte", rest)) => (Some(1), rest),
        Some(("word", rest)) => (Some(2), rest),
        Some(("dword", rest)) => (Some(4), rest),
        Some(("qword", rest)) => (Some(8), rest),
        Some(("xmmword", rest)) => (Some(16), rest),
        _ => (None, text),
    };
    if let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return memory(inside, bytes, symbols);
    }
    if let Some(register) = register(text) {
        return Ok(Operand::Register(register));
    }
    let value = number(text, symbols)?;
    Ok(if text.starts_with(['@', '.']) { Operand::Place(value as u64) } else { Operand::Number(value) })
}

fn memory(text: &str, bytes: Option<usize>, symbols: &Symbols) -> Result<Operand, String> {
    let (mut base, mut index, mut scale, mut displacement) = (Register::None, Register::None, 1, 0i64);
    for term in text.replace("- ", "+ -").split('+').map(str::trim) {
        match (term.split_once('*'), register(term)) {
            (Some((name, factor)), _) => {
                index = register(name).ok_or_else(|| format!("{name} is no register"))?;
                scale = factor.parse().map_err(|_| format!("{factor} is no scale"))?;
            }
            (None, Some(register)) if base == Register::None => base = register,
            (None, Some(register)) => index = register,
            (None, None) => displacement = displacement.wrapping_add(number(term, symbols)?),
        }
    }
    if text.starts_with(['@', '.']) {
        base = Register::RIP;
    }
    Ok(Operand::Memory { base, index, scale, displacement, bytes })
}

fn register(name: &str) -> Option<Register> {
    static NAMES: OnceLock<HashMap<String, Register>> = OnceLock::new();
    let names = NAMES.get_or_init(|| Register::values().map(|r| (format!("{r:?}").to_lowercase(), r)).collect());
    names.get(name).copied().filter(|register| *register != Register::None)
}

/// A number, decimal or hexadecimal, or a name for one.
fn number(text: &str, symbols: &Symbols) -> Result<i64, String> {
    if let Some((a, b)) = text.split_once(" minus ") {
        return Ok(number(a, symbols)?.wrapping_sub(number(b, symbols)?));
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let parsed = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    };
    let value = parsed.map(|n| n as i64).or_else(|| symbols.get(digits).copied());
    let value = value.ok_or_else(|| format!("{digits} is no number and no name"))?;
    Ok(if negative { value.wrapping_neg() } else { value })
}
