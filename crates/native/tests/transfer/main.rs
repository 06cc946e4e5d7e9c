//! What the verifier believes instructions do, against what a processor does.
//!
//! From a random state of knowledge two machines are made that the guest cannot tell apart: the same numbers where
//! it may look, others where it may not, frames and contexts at other addresses. Code that the verifier lets through
//! runs on both. Then every number must lie within its bounds, every pointer where it is said to point, and what
//! the verifier says may be looked at must be the same on both: else it would tell the guest something it must not know.
//!
//! Every form of instruction that there is is tried alone; random programs try what several know together.
//! Random bytes try encodings that no assembler makes, of which a processor may know nothing.
//! `SELVEDGE_TRANSFER` is how many programs there are, `SELVEDGE_TRANSFER_SEED` the first one's seed.

mod bytes;
mod forms;
mod processor;
mod random;
mod world;

use std::collections::BTreeSet;

use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic};
use random::Random;
use world::World;

fn setting(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |n| n.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Mnemonics that the verifier's lists name, read from their source.
fn listed() -> BTreeSet<String> {
    let general = include_str!("../../../verifier/src/exec/general.rs");
    let start = general.find("match self.insn.mnemonic()").expect("the list of general instructions");
    let end = general[start..].find("_ if").expect("its end") + start;
    let words = general[start..end].split("Mnemonic::").skip(1);
    let general = words.map(|word| word.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned());
    let vectors = include_str!("../../../verifier/src/exec/list.rs");
    let vectors = vectors.split("list! {").nth(1).expect("the list of vector instructions");
    let groups = vectors.split(';').filter_map(|group| group.split_once("=>"));
    let vectors = groups.flat_map(|(_, names)| names.split_whitespace().map(str::to_owned));
    general.chain(vectors).collect()
}

#[test]
fn every_listed_instruction_does_what_is_believed() {
    let mut world = World::new();
    let mut done = BTreeSet::new();
    for code in forms::all() {
        let tried = (0..400).filter(|seed| alone(&mut world, code, *seed)).take(24).count();
        if tried > 0 {
            done.insert(format!("{:?}", code.mnemonic()));
        }
    }
    // What this processor does not have the verifier refuses, for its contract cannot declare it.
    let possible = |name: &&String| Mnemonic::values().any(|m| format!("{m:?}") == **name && world.has(m));
    let missing: Vec<String> = listed().iter().filter(possible).filter(|name| !done.contains(*name)).cloned().collect();
    assert!(missing.is_empty(), "listed, but never run here: {missing:?}");
    let conditional = ["Cmova", "Cmovae", "Cmovb", "Cmovbe", "Cmove", "Cmovne", "Cmovg", "Cmovl", "Seta", "Sete"];
    assert!(conditional.iter().all(|name| done.contains(*name)), "{done:?}");
}

/// Runs one instruction of a form; `false` if it is refused.
fn alone(world: &mut World, code: Code, seed: u64) -> bool {
    let mut random = Random::new(seed << 20 | code as u64);
    let Some(bytes) = forms::instruction(code, &mut random) else { return false };
    let before = world.describe(&mut random);
    world.compare(&before, &bytes, &mut random, &format!("{code:?}, seed {seed}"))
}

#[test]
fn programs_do_what_is_believed() {
    let mut world = World::new();
    let forms = forms::all();
    // What is related to other values comes often.
    let related: Vec<Code> = forms.iter().copied().filter(|code| is_related(*code)).collect();
    let first = setting("SELVEDGE_TRANSFER_SEED", 1);
    let mut run = 0;
    for seed in first..first + setting("SELVEDGE_TRANSFER", 4_000) {
        let mut random = Random::new(seed);
        let before = world.describe(&mut random);
        let mut program = Vec::new();
        let mut length = 0;
        for _ in 0..60 {
            let from = if random.below(4) == 0 { &forms } else { &related };
            let code = from[random.below(from.len() as u64) as usize];
            let Some(bytes) = forms::instruction(code, &mut random) else { continue };
            let longer = [&program[..], &bytes].concat();
            if world.allows(&before, &longer) {
                program = longer;
                length += 1;
            }
            if length == 12 {
                break;
            }
        }
        run += u64::from(world.compare(&before, &program, &mut random, &format!("program of seed {seed}")));
    }
    assert!(run > 0);
}

fn is_related(code: Code) -> bool {
    let name = format!("{:?}", code.mnemonic());
    let moves = ["Mov", "Movzx", "Movsx", "Movsxd", "Lea", "Push", "Pop", "Xchg", "Cmp", "Test", "Bsf", "Bsr"];
    let sums = ["Add", "Sub", "And", "Or", "Xor", "Shl", "Shr", "Sbb", "Imul", "Pxor", "Pshufb", "Movq", "Movdqu"];
    moves.contains(&name.as_str()) || sums.contains(&name.as_str()) || name.starts_with("Cmov")
}

#[test]
fn random_bytes_that_pass_do_what_is_believed() {
    let mut world = World::new();
    let first = setting("SELVEDGE_TRANSFER_SEED", 1);
    let mut run = 0;
    for seed in first..first + 50 * setting("SELVEDGE_TRANSFER", 4_000) {
        let mut random = Random::new(seed);
        let bytes = bytes::instruction(&mut random);
        let length = Decoder::new(64, &bytes, DecoderOptions::NONE).decode().len();
        let before = if random.below(4) == 0 { world.describe(&mut random) } else { World::all_is_shown() };
        run += u64::from(world.compare(&before, &bytes[..length], &mut random, &format!("bytes of seed {seed}")));
    }
    assert!(run > 100, "only {run} of them pass");
}

#[test]
#[should_panic(expected = "no such instruction")]
fn what_the_processor_does_not_have_is_noticed() {
    World::new().run_unproved(&[0x0f, 0x0b]);
}
