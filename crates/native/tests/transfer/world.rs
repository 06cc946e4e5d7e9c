//! Two machines that differ in what the guest may not know, and whether they still do no more than that.

use std::num::NonZeroUsize;

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use selvedge_compiler::{Options, compile};
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::cpu::CpuFeatures;
use selvedge_verifier::straight::{Knowledge, Known, STATUS, after};

use crate::processor::{Processor, Registers};
use crate::random::Random;

/// Slots of the frame that are described.
const SLOTS: usize = 32;
/// Where the stack pointer is at first, in bytes below the frame's start.
const DEPTH: i64 = 128;
/// Bytes below the frame that a signal's handler may use, and above it.
const ROOM: usize = 64 << 10;
const RSP: usize = 4;

pub(crate) struct World {
    artifact: Vec<u8>,
    index: ArtifactIndex,
    processor: Processor,
    stacks: [Vec<u64>; 2],
}

/// One machine before and after.
struct Machine {
    registers: Registers,
    frame: i64,
    context: i64,
    slots: Vec<u64>,
}

impl World {
    pub(crate) fn new() -> World {
        let artifact = compile(b"(module (func))", &Options::default(), &()).expect("it compiles");
        let mut index = ArtifactIndex::read(&artifact).expect("it is an artifact");
        index.contract.cpu = CpuFeatures::host();
        selvedge_verifier::verify(&artifact, &index, NonZeroUsize::MIN).expect("it is proved");
        let stack = vec![0; ROOM / 4];
        World { artifact, index, processor: Processor::new(), stacks: [stack.clone(), stack] }
    }

    /// Whether this processor has the instruction at all.
    pub(crate) fn has(&self, mnemonic: Mnemonic) -> bool {
        let vex = format!("{mnemonic:?}").starts_with('V');
        let v3 = CpuFeatures::host().contains(CpuFeatures::X86_64_V3);
        let bits = ["Andn", "Bzhi", "Blsi", "Blsmsk", "Blsr", "Sarx", "Shlx", "Shrx", "Rorx", "Mulx", "Lzcnt", "Tzcnt"];
        v3 || !vex && !bits.contains(&format!("{mnemonic:?}").as_str())
    }

    /// A random state of knowledge.
    pub(crate) fn describe(&self, random: &mut Random) -> Knowledge {
        let mut registers = std::array::from_fn(|_| known(random));
        registers[RSP] = Known::Pointer { frame: true, lo: -DEPTH, hi: -DEPTH, zeros: 63 };
        let shown = |random: &mut Random| match random.below(4) {
            0 => 0,
            1 => 1 << random.below(16),
            2 => (1 << (8 * random.below(2))) - 1,
            _ => u16::MAX,
        };
        Knowledge {
            registers,
            vectors: std::array::from_fn(|_| (shown(random), false)),
            flags: if random.below(3) > 0 { STATUS } else { 0 },
            frame: (0..SLOTS).map(|_| known(random)).collect(),
        }
    }

    /// All that there is may be looked at: then most is let through.
    pub(crate) fn all_is_shown() -> Knowledge {
        let any = Known::Number { lo: 0, hi: u64::MAX, zeros: 0, bytes: 8 };
        let mut registers = [any; 16];
        registers[RSP] = Known::Pointer { frame: true, lo: -DEPTH, hi: -DEPTH, zeros: 63 };
        Knowledge { registers, vectors: [(u16::MAX, false); 16], flags: STATUS, frame: vec![any; SLOTS] }
    }

    /// Whether all of this code is let through.
    pub(crate) fn allows(&self, before: &Knowledge, code: &[u8]) -> bool {
        after(&self.artifact, &self.index, code, before).is_ok()
    }

    /// Runs code that is let through on both machines, and compares; `false` if it is not.
    pub(crate) fn compare(&mut self, before: &Knowledge, code: &[u8], random: &mut Random, name: &str) -> bool {
        let Ok(known) = after(&self.artifact, &self.index, code, before) else { return false };
        let (first, second) = self.machines(before, random);
        let (one, two) = (self.run(code, first, 0), self.run(code, second, 1));
        let say = |problem: String| panic!("{name}: {problem}\n{}\nfrom {before:x?}\nto {known:x?}", listing(code));
        if one.registers.faulted != two.registers.faulted {
            say("whether it faults depends on what may not be known".into());
        }
        if one.registers.faulted != 0 {
            return true;
        }
        check(&known, &one, &two).unwrap_or_else(say);
        true
    }

    /// Runs code that the verifier has not seen: it may do no more than [`Processor::run`] says.
    pub(crate) fn run_unproved(&mut self, code: &[u8]) {
        let (machine, _) = self.machines(&World::all_is_shown(), &mut Random::new(1));
        self.run(code, machine, 0);
    }

    fn machines(&self, before: &Knowledge, random: &mut Random) -> (Machine, Machine) {
        let [one, two] = [0, 1].map(|nth| {
            let stack = &self.stacks[nth];
            // The frame starts, as in a call, 8 bytes off a multiple of 16.
            let frame = (stack.as_ptr() as i64 + ROOM as i64) / 16 * 16 + 8;
            let context = 0x7e00_0000_0000 + ((random.next() & 0xff_ffff) << 12) as i64;
            let registers = Registers { general: [0; 16], flags: 0x202, faulted: 0, vectors: [[0; 16]; 16] };
            Machine { registers, frame, context, slots: vec![0; SLOTS] }
        });
        let (mut one, mut two) = (one, two);
        for (nth, known) in before.registers.iter().enumerate() {
            let (a, b) = concrete(*known, [(one.frame, one.context), (two.frame, two.context)], random);
            (one.registers.general[nth], two.registers.general[nth]) = (a, b);
        }
        for (nth, known) in before.frame.iter().enumerate() {
            let (a, b) = concrete(*known, [(one.frame, one.context), (two.frame, two.context)], random);
            (one.slots[nth], two.slots[nth]) = (a, b);
        }
        for (nth, (shown, _)) in before.vectors.iter().enumerate() {
            for byte in 0..16 {
                let (a, b) = (random.number() as u8, random.number() as u8);
                one.registers.vectors[nth][byte] = a;
                two.registers.vectors[nth][byte] = if shown >> byte & 1 == 1 { a } else { b };
            }
        }
        one.registers.flags |= random.next() & STATUS;
        let shown = before.flags;
        two.registers.flags |= (one.registers.flags & shown | random.next() & !shown) & STATUS;
        (one, two)
    }

    fn run(&mut self, code: &[u8], mut machine: Machine, nth: usize) -> Machine {
        let stack = &mut self.stacks[nth];
        let first = (machine.frame as usize - stack.as_ptr() as usize) / 8;
        for (slot, value) in machine.slots.iter().enumerate() {
            stack[first - 1 - slot] = *value;
        }
        // SAFETY: the verifier lets through what touches the frame from the stack pointer up to the return address
        // only, which is what is tested; around it are 64 KiB of the same vector, and no operand of the forms that
        // are run is further away.
        unsafe { self.processor.run(code, &mut machine.registers) };
        for (slot, value) in machine.slots.iter_mut().enumerate() {
            *value = stack[first - 1 - slot];
        }
        machine
    }
}

/// What may be known of a value, at random.
fn known(random: &mut Random) -> Known {
    let number = |lo, hi, zeros, bytes| Known::Number { lo, hi, zeros, bytes };
    match random.below(9) {
        0 => number(0, u64::MAX, 0, 0),
        1 | 2 => number(0, u64::MAX, 0, 8),
        3 => number(0, u64::MAX, 0, [1, 2, 4, 4, 5][random.below(5) as usize]),
        4 => {
            let n = random.number();
            number(n, n, n.trailing_zeros().min(63) as u8, 8)
        }
        5 => number(0, random.number(), 0, 8),
        6 => {
            let (a, b) = (random.number(), random.number());
            number(a.min(b), a.max(b), 0, 8)
        }
        7 => number(0, u64::MAX, random.below(12) as u8, 8),
        _ => Known::Pointer { frame: false, lo: 0, hi: random.below(1 << 33) as i64, zeros: 0 },
    }
}

/// Values of both machines of which this is known, of which frame and context are there.
fn concrete(known: Known, places: [(i64, i64); 2], random: &mut Random) -> (u64, u64) {
    match known {
        Known::Number { lo, hi, zeros, bytes } => {
            let width = hi - lo;
            let offset = match random.below(3) {
                0 => 0,
                1 => width,
                _ => random.next().checked_rem(width.wrapping_add(1)).unwrap_or_else(|| random.next()),
            };
            let low = (1u64 << zeros) - 1;
            let one = if lo == hi { lo } else { (lo + offset) & !low };
            let shown = if bytes >= 8 { u64::MAX } else { (1u64 << (8 * bytes)) - 1 };
            (one, if shown == u64::MAX { one } else { one & shown | random.next() & !shown & !low })
        }
        Known::Pointer { frame, lo, hi, .. } => {
            let offset = lo + random.below((hi - lo) as u64 + 1) as i64;
            let [one, two] = places.map(|(start, context)| if frame { start + offset } else { context + offset });
            (one as u64, two as u64)
        }
        Known::Other => (random.next(), random.next()),
    }
}

/// Whether what is known holds of both machines, and what may be looked at is the same.
fn check(known: &Knowledge, one: &Machine, two: &Machine) -> Result<(), String> {
    for (nth, known) in known.registers.iter().enumerate() {
        let values = (one.registers.general[nth], two.registers.general[nth]);
        holds(*known, values, one, two).map_err(|problem| format!("register {nth}: {problem}: {values:x?}"))?;
    }
    for (nth, known) in known.frame.iter().enumerate() {
        let values = (one.slots[nth], two.slots[nth]);
        holds(*known, values, one, two).map_err(|problem| format!("slot {nth}: {problem}: {values:x?}"))?;
    }
    for (nth, (shown, zero)) in known.vectors.iter().enumerate() {
        let (a, b) = (one.registers.vectors[nth], two.registers.vectors[nth]);
        let told = (0..16).find(|byte| shown >> byte & 1 == 1 && a[*byte] != b[*byte]);
        if let Some(byte) = told {
            return Err(format!("byte {byte} of vector {nth} tells what may not be known: {a:x?}, {b:x?}"));
        }
        if *zero && a != [0; 16] {
            return Err(format!("vector {nth} is not zero"));
        }
    }
    let flags = (one.registers.flags & STATUS, two.registers.flags & STATUS);
    if (flags.0 ^ flags.1) & known.flags != 0 {
        return Err(format!("the flags tell what may not be known: {flags:x?}"));
    }
    Ok(())
}

fn holds(known: Known, values: (u64, u64), one: &Machine, two: &Machine) -> Result<(), &'static str> {
    match known {
        Known::Number { lo, hi, zeros, bytes } => {
            let shown = if bytes >= 8 { u64::MAX } else { (1u64 << (8 * bytes)) - 1 };
            if values.0 & shown != values.1 & shown {
                return Err("it tells what may not be known");
            }
            for value in [values.0, values.1] {
                if !(lo..=hi).contains(&value) {
                    return Err("it is out of its bounds");
                }
                if value & ((1u64 << zeros) - 1) != 0 {
                    return Err("its low bits are not zero");
                }
            }
        }
        Known::Pointer { frame, lo, hi, zeros } => {
            for (machine, value) in [(one, values.0), (two, values.1)] {
                let offset = value.wrapping_sub(if frame { machine.frame } else { machine.context } as u64) as i64;
                if !(lo..=hi).contains(&offset) {
                    return Err("it points elsewhere");
                }
                if (offset - lo) as u64 & ((1u64 << zeros) - 1) != 0 {
                    return Err("its distance has low bits");
                }
            }
        }
        Known::Other => {}
    }
    Ok(())
}

fn listing(code: &[u8]) -> String {
    let decoder = Decoder::new(64, code, DecoderOptions::NONE);
    decoder.into_iter().map(|instruction| format!("    {instruction}")).collect::<Vec<_>>().join("\n")
}
