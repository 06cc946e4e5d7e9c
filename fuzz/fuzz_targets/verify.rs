//! Compiled code, damaged: refused, or proved, within the verifier's budget and without a panic. What is proved holds no
//! instruction that a guest must not run, and is proved again.
//!
//! The input's first byte chooses a module; then come changes, four bytes and more each: where (an instruction, by
//! number), how, and with what.
#![no_main]

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::LazyLock;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, Register};
use libfuzzer_sys::fuzz_target;
use selvedge_compiler::compile;
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_testkit::{layouts, options};
use selvedge_verifier::{Proof, verify};

/// Code of every shape, and vectors.
const MODULES: [&[u8]; 2] = [
    include_bytes!("../../crates/verifier/tests/modules/shapes.wat"),
    include_bytes!("../../crates/verifier/tests/modules/vectors.wat"),
];
/// Changes to one module.
const CHANGES_MAX: usize = 16;

struct Base {
    artifact: Vec<u8>,
    index: ArtifactIndex,
    /// Offset in text and length of each instruction, as far as one follows the other.
    places: Vec<(usize, usize)>,
}

static BASES: LazyLock<Vec<Base>> = LazyLock::new(|| {
    let bases = MODULES.iter().flat_map(|module| layouts().into_iter().map(move |layout| (module, layout)));
    bases.map(|(module, layout)| Base::new(compile(module, &options(layout), &()).expect("it compiles"))).collect()
});

impl Base {
    fn new(artifact: Vec<u8>) -> Base {
        let index = ArtifactIndex::read(&artifact).expect("it is an artifact");
        assert!(proof(&artifact, &index).is_some(), "what the compiler wrote is proved");
        let places = instructions(&artifact, &index);
        Base { artifact, index, places }
    }
}

/// Every function's bytes from the first to the last, constants read as code among them.
fn instructions(artifact: &[u8], index: &ArtifactIndex) -> Vec<(usize, usize)> {
    let text = &artifact[index.text()];
    let functions = index.functions(artifact);
    let in_function = functions.iter().flat_map(|function| {
        let (start, end) = (function.text_offset as usize, function.text_end() as usize);
        let decoder = Decoder::with_ip(64, &text[start..end], start as u64, DecoderOptions::NONE);
        decoder.into_iter().map(|i| (i.ip() as usize, i.len())).collect::<Vec<_>>()
    });
    in_function.collect()
}

fn proof(artifact: &[u8], index: &ArtifactIndex) -> Option<Proof> {
    verify(artifact, index, NonZeroUsize::MIN).ok()
}

/// Applies a change; what does not fit is cut off. Returns what is left of the input.
fn change<'a>(text: &mut [u8], places: &[(usize, usize)], input: &'a [u8]) -> Option<&'a [u8]> {
    let (&[low, high, how, count], rest) = input.split_first_chunk()?;
    let (at, len) = places[usize::from(u16::from_le_bytes([low, high])) % places.len()];
    let given = &rest[..rest.len().min(usize::from(count % 16))];
    let rest = &rest[given.len()..];
    match how % 5 {
        // Other bytes, from the instruction's beginning on.
        0 => text[at..].iter_mut().zip(given).for_each(|(byte, new)| *byte = *new),
        // Other bits.
        1 => text[at..].iter_mut().zip(given).for_each(|(byte, bits)| *byte ^= bits),
        // Nothing in its place.
        2 => text[at..at + len].fill(0x90),
        // Another instruction in its place, and nothing after that.
        3 => {
            let other = given.first_chunk::<2>().map_or(0, |bytes| usize::from(u16::from_le_bytes(*bytes)));
            let (from, other_len) = places[other % places.len()];
            if other_len <= len {
                text.copy_within(from..from + other_len, at);
                text[at + other_len..at + len].fill(0x90);
            }
        }
        // Other bytes at its end, where displacements and constants are.
        _ => text[at + len - given.len().min(len)..].iter_mut().zip(given).for_each(|(byte, new)| *byte = *new),
    }
    Some(rest)
}

/// Whether a guest may execute this: said from the decoder's own knowledge, not the verifier's list.
fn is_harmless(i: &Instruction) -> bool {
    let flow = match i.flow_control() {
        // A breakpoint is how metered code stops; `ud2` how code traps.
        FlowControl::Interrupt => i.code() == Code::Int3,
        FlowControl::XbeginXabortXend => false,
        FlowControl::Call | FlowControl::IndirectCall => !i.is_call_far() && !i.is_call_far_indirect(),
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => !i.is_jmp_far() && !i.is_jmp_far_indirect(),
        FlowControl::Return => i.mnemonic() == Mnemonic::Ret,
        _ => true,
    };
    let named = !matches!(
        i.mnemonic(),
        Mnemonic::Syscall
            | Mnemonic::Sysenter
            | Mnemonic::Wrpkru
            | Mnemonic::Rdpkru
            | Mnemonic::Wrfsbase
            | Mnemonic::Wrgsbase
            | Mnemonic::Rdtsc
            | Mnemonic::Rdtscp
            | Mnemonic::Xrstor
            | Mnemonic::Fxrstor
            | Mnemonic::Ldmxcsr
            | Mnemonic::Cpuid
            | Mnemonic::Rdrand
            | Mnemonic::Popfq
            | Mnemonic::Std
    );
    let segments = i.segment_prefix() == Register::None && !used_segments(i);
    flow && named && segments && !i.is_privileged() && !i.is_string_instruction() && !i.is_invalid()
}

/// Looks at all that can be reached from a function's start without jump tables.
fn check(text: &[u8], function: Range<usize>) {
    let (mut seen, mut open) = (BTreeSet::new(), vec![function.start]);
    while let Some(at) = open.pop() {
        if !function.contains(&at) || !seen.insert(at) {
            continue;
        }
        let i = Decoder::with_ip(64, &text[at..function.end], at as u64, DecoderOptions::NONE).decode();
        assert!(is_harmless(&i), "{at:#x}: {i:?} was proved");
        let (target, next) = (i.near_branch_target() as usize, i.next_ip() as usize);
        match i.flow_control() {
            FlowControl::UnconditionalBranch => open.push(target),
            FlowControl::ConditionalBranch => open.extend([target, next]),
            FlowControl::Return | FlowControl::IndirectBranch | FlowControl::Exception => {}
            _ => open.push(next),
        }
    }
}

/// Whether it loads a segment register.
fn used_segments(i: &Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    factory.info(i).used_registers().iter().any(|used| {
        let writes = !matches!(used.access(), iced_x86::OpAccess::Read | iced_x86::OpAccess::CondRead);
        used.register().is_segment_register() && writes
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((which, mut input)) = input.split_first() else { return };
    let base = &BASES[usize::from(*which) % BASES.len()];
    let mut artifact = base.artifact.clone();
    let text = base.index.text();
    for _ in 0..CHANGES_MAX {
        let Some(rest) = change(&mut artifact[text.clone()], &base.places, input) else { break };
        input = rest;
    }
    let Some(proved) = proof(&artifact, &base.index) else { return };
    assert_eq!(proof(&artifact, &base.index), Some(proved), "it is proved again");
    let text = &artifact[text];
    base.index.functions(&artifact).iter().for_each(|f| check(text, f.text_offset as usize..f.text_end() as usize));
});
