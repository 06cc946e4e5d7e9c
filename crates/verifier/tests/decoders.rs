//! The verifier believes one decoder. Another one, by other people, reads the same in every instruction of compiled
//! modules, and in random bytes wherever the verifier would let them through: the same length, name, registers,
//! memory operands and branch targets.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use iced_x86::{
    Code, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register, UsedMemory,
};
use selvedge_compiler::{Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::cpu::CpuFeatures;
use selvedge_verifier::straight::{Knowledge, Known, STATUS, after};
use yaxpeax_x86::long_mode::{InstDecoder, Operand, RegSpec};

/// Names that differ: ours, theirs, and why the two mean the same.
const NAMES: &[(&str, &str, &str)] = &[
    ("je", "jz", "two names of one condition"),
    ("jne", "jnz", "two names of one condition"),
    ("jae", "jnb", "two names of one condition"),
    ("jbe", "jna", "two names of one condition"),
    ("cmove", "cmovz", "two names of one condition"),
    ("cmovne", "cmovnz", "two names of one condition"),
    ("cmovae", "cmovnb", "two names of one condition"),
    ("cmovbe", "cmovna", "two names of one condition"),
    ("sete", "setz", "two names of one condition"),
    ("setne", "setnz", "two names of one condition"),
];

/// Instructions of which the other decoder gets an operand's width wrong, or its order: ours, and why.
const OPERANDS: &[(&str, &str)] = &[
    ("movd", "without REX.W it is of 32 bits, whatever REX.B says: Intel's manual, MOVD"),
    ("extractps", "the register is of 32 bits: Intel's manual, EXTRACTPS"),
    ("pextrw", "the register is of 32 bits: Intel's manual, PEXTRW"),
    ("bswap", "without REX.W it is of 32 bits: Intel's manual, BSWAP"),
    ("movsxd", "without REX.W it is of 32 bits: Intel's manual, MOVSX/MOVSXD"),
    ("xchg", "the order of what is exchanged means nothing"),
];

/// How an instruction is read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reading {
    name: String,
    operands: Vec<String>,
}

fn memory(base: &str, index: Option<(&str, u8)>, displacement: i64) -> String {
    let index = index.map_or(String::new(), |(name, scale)| format!("+{name}*{scale}"));
    format!("[{base}{index}{displacement:+}]")
}

fn ours(i: &Instruction) -> Reading {
    let operand = |nth| match i.op_kind(nth) {
        OpKind::Register => Some(register(i.op_register(nth))),
        OpKind::Memory if i.is_ip_rel_memory_operand() => {
            Some(memory("rip", None, i.ip_rel_memory_address().wrapping_sub(i.next_ip()) as i64))
        }
        OpKind::Memory => {
            let base = if i.memory_base() == Register::None { String::new() } else { register(i.memory_base()) };
            let index = register(i.memory_index());
            let index = (i.memory_index() != Register::None).then_some((index.as_str(), i.memory_index_scale() as u8));
            Some(memory(&base, index, i.memory_displacement64() as i64))
        }
        OpKind::NearBranch64 => Some(format!("{:+}", i.near_branch_target().wrapping_sub(i.next_ip()) as i64)),
        // What constants are, the bytes say; whose they are is the form's.
        _ => None,
    };
    let name = format!("{:?}", i.mnemonic()).to_lowercase();
    Reading { name, operands: (0..i.op_count()).filter_map(operand).collect() }
}

fn register(register: Register) -> String {
    let name = format!("{register:?}").to_lowercase();
    match name.strip_suffix('l') {
        Some(number) if number.starts_with('r') => format!("{number}b"),
        _ => name,
    }
}

fn theirs(bytes: &[u8]) -> Result<Reading, String> {
    let decoder = InstDecoder::default();
    let i = decoder.decode_slice(bytes).map_err(|e| format!("these {} bytes are none: {e}", bytes.len()))?;
    if decoder.decode_slice(&bytes[..bytes.len() - 1]).is_ok() {
        return Err("it is shorter".into());
    }
    let name = |reg: RegSpec| reg.name().to_owned();
    let opcode = i.opcode().to_string();
    let branch = opcode.starts_with('j') || opcode == "call";
    let operand = |nth| match i.operand(nth) {
        Operand::Register { reg } => Some(name(reg)),
        Operand::MemDeref { base } => Some(memory(&name(base), None, 0)),
        Operand::Disp { base, disp } => Some(memory(&name(base), None, disp.into())),
        Operand::MemIndexScale { index, scale } => Some(memory("", Some((&name(index), scale)), 0)),
        Operand::MemIndexScaleDisp { index, scale, disp } => Some(memory("", Some((&name(index), scale)), disp.into())),
        Operand::MemBaseIndexScale { base, index, scale } => Some(memory(&name(base), Some((&name(index), scale)), 0)),
        Operand::MemBaseIndexScaleDisp { base, index, scale, disp } => {
            Some(memory(&name(base), Some((&name(index), scale)), disp.into()))
        }
        Operand::ImmediateI8 { imm } if branch => Some(format!("{imm:+}")),
        Operand::ImmediateI32 { imm } if branch => Some(format!("{imm:+}")),
        Operand::ImmediateI8 { .. }
        | Operand::ImmediateU8 { .. }
        | Operand::ImmediateI16 { .. }
        | Operand::ImmediateU16 { .. }
        | Operand::ImmediateI32 { .. }
        | Operand::ImmediateU32 { .. }
        | Operand::ImmediateI64 { .. }
        | Operand::ImmediateU64 { .. } => None,
        other => Some(format!("{other:?}")),
    };
    Ok(Reading { name: opcode, operands: (0..i.operand_count()).filter_map(operand).collect() })
}

/// Whether both read the same; if not, what each reads.
fn compare(i: &Instruction, bytes: &[u8]) -> Result<(), String> {
    let ours = ours(i);
    let theirs = theirs(bytes).map_err(|problem| format!("{i}: {problem}"))?;
    let named = NAMES.iter().any(|(a, b, why)| *a == ours.name && *b == theirs.name && !why.is_empty());
    if (named || ours.name == theirs.name) && ours.operands == theirs.operands {
        return Ok(());
    }
    // Of these the length and the memory operand must still be the same.
    let memory = |reading: &Reading| reading.operands.iter().find(|operand| operand.starts_with('[')).cloned();
    if OPERANDS.iter().any(|(name, why)| *name == ours.name && !why.is_empty()) && memory(&ours) == memory(&theirs) {
        return Ok(());
    }
    Err(format!("{ours:?} against {theirs:?}"))
}

/// All differences, one example of each name.
#[derive(Default)]
struct Differences(BTreeMap<Mnemonic, String>);

impl Differences {
    fn look(&mut self, i: &Instruction, bytes: &[u8]) {
        if let Err(problem) = compare(i, bytes) {
            self.0.entry(i.mnemonic()).or_insert_with(|| format!("{bytes:02x?}: {problem}"));
        }
    }

    fn none(self) {
        let all: Vec<_> = self.0.into_values().collect();
        assert!(all.is_empty(), "{} instructions are read differently:\n{}", all.len(), all.join("\n"));
    }
}

#[test]
fn two_decoders_agree_on_compiled_code() {
    let mut differences = Differences::default();
    let mut count = 0;
    for memory in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let options = Options { memory, ..Options::default() };
        for module in [&include_bytes!("modules/shapes.wat")[..], include_bytes!("rules/module.wat")] {
            let artifact = compile(module, &options, &()).expect("it compiles");
            let index = ArtifactIndex::read(&artifact).expect("it is an artifact");
            let text = &artifact[index.text()];
            for record in index.functions(&artifact).iter() {
                let code = &text[record.text_offset as usize..record.text_end() as usize];
                for i in Decoder::with_ip(64, code, 0, DecoderOptions::NONE).iter().take_while(|i| !i.is_invalid()) {
                    let bytes = &code[i.ip() as usize..i.next_ip() as usize];
                    // Constants and tables follow the code; what the verifier refuses is no business of ours.
                    if bytes[0] == 0 {
                        break;
                    }
                    differences.look(&i, bytes);
                    count += 1;
                }
            }
        }
    }
    differences.none();
    assert!(count > 1_000, "only {count} instructions");
}

#[test]
fn two_decoders_agree_on_what_the_verifier_lets_through() {
    let artifact = compile(b"(module (func))", &Options::default(), &()).expect("it compiles");
    let mut index = ArtifactIndex::read(&artifact).expect("it is an artifact");
    index.contract.cpu = CpuFeatures::X86_64_V3;
    selvedge_verifier::verify(&artifact, &index, NonZeroUsize::MIN).expect("it is proved");
    let mut differences = Differences::default();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut accepted = 0;
    for _ in 0..300_000 {
        let mut bytes = [next().to_le_bytes(), next().to_le_bytes()].concat();
        // Prefixes in front: what begins like many real instructions.
        let opening = [&[][..], &[0x48], &[0x0f], &[0x66, 0x0f], &[0xf3, 0x0f], &[0xc5], &[0xc4, 0xe2], &[0x66, 0x41]];
        bytes.splice(0..0, opening[next() as usize % opening.len()].iter().copied());
        let i = Decoder::new(64, &bytes, DecoderOptions::NONE).decode();
        if i.code() == Code::INVALID {
            continue;
        }
        let code = &bytes[..i.len()];
        let knowledge = knowledge(next());
        if after(&artifact, &index, code, &knowledge).is_ok() {
            accepted += 1;
            differences.look(&i, code);
            assert!(is_plain(&i), "{code:02x?}: {i}");
        }
    }
    differences.none();
    assert!(accepted > 10_000, "only {accepted} of 300,000 are let through");
}

/// Whether all the memory it uses is that of its operand, by the decoder's own knowledge, and it does nothing else.
fn is_plain(i: &Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let mut memory = factory.info(i).used_memory().iter();
    let stack = i.is_stack_instruction();
    let own = |used: &UsedMemory| used.base() == i.memory_base() && used.memory_size() == i.memory_size();
    let whose = memory.all(|used| matches!(used.segment(), Register::DS | Register::SS) && (stack || own(used)));
    whose && !i.is_privileged() && !i.is_string_instruction() && !i.is_save_restore_instruction()
}

/// Numbers to calculate and to index with, and pointers to the middle of the frame.
fn knowledge(choice: u64) -> Knowledge {
    let number = |hi, bytes| Known::Number { lo: 0, hi, zeros: 0, bytes };
    let register = |nth: usize| match (choice >> (2 * nth)) & 3 {
        _ if nth == 4 => Known::Pointer { frame: true, lo: -1000, hi: -1000, zeros: 63 },
        0 | 1 => Known::Pointer { frame: true, lo: -504, hi: -504, zeros: 63 },
        2 => Known::Number { lo: 8, hi: 8, zeros: 3, bytes: 8 },
        _ => number(u64::MAX, 8),
    };
    Knowledge {
        registers: std::array::from_fn(register),
        vectors: [(u16::MAX, false); 16],
        flags: STATUS,
        frame: vec![number(u64::MAX, 8); 125],
    }
}
