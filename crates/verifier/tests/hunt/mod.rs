//! A hunt for programs that are proved and should not be.
//!
//! Random programs, with loops, calls, spills and calls through tables, are made acceptable: whatever the verifier
//! refuses is left out until it refuses nothing. Each is then run on two machines (`machine`) that have in common what
//! a guest may know, and nothing else: addresses, what other functions leave behind and what lies below the stack
//! pointer differ. At each step everything that the proof claims (`claims`) must be so on both: bounds, alignment,
//! pointers, names, keys and epochs of table entries, saved registers, flags, and what may be looked at. No access may
//! be anywhere else than where guest code may go, no callee of another type or given another's context, and the machines
//! take the same branches and store and pass the same.
//!
//! So it is the way to the fixed point that is looked at: joins, loops, blocks that are found late, and what an
//! instruction makes of a state that came from several ways. What instructions do to one state, all of them, is compared
//! with a processor elsewhere (`native`'s test `transfer`).
//!
//! Memories are guarded ones and dense ones; one is imported, and of 64 bits. Not here: tail calls and returns, jump
//! tables, constants, host calls, globals, parameters and results in memory, vectors, and the trap table.
//!
//! `SELVEDGE_HUNT` says how many programs, `SELVEDGE_HUNT_SEED` where to begin: what fails names its seed. For each change
//! that `cargo xtask mutants` makes it asks for fewer.

mod claims;
mod encode;
mod generate;
mod machine;
mod op;
mod random;
mod subject;
mod world;

use iced_x86::{Decoder, DecoderOptions, Instruction};
use selvedge_contract::MemoryLayout;

use self::encode::Assembled;
use self::machine::{Callee, Machine, Moment, Stop};
use self::op::Op;
use self::random::Random;
use self::subject::Subject;
use self::world::{BOTH, World};
use super::{Walk, block_number};
use crate::budget::Budget;
use crate::exec::Exec;
use crate::facts::Facts;
use crate::report::{Rule, describe};
use crate::state::State;
use crate::value::Value;

/// Programs that are made unasked.
const PROGRAMS: u64 = 6000;
/// How often each is run, in other worlds.
const RUNS: u64 = 4;
/// Instructions of a run.
const STEPS_MAX: u64 = 300;
/// How many instructions may be left out of a program.
const REMOVED_MAX: usize = 300;

/// What was done.
#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    proved: u64,
    steps: u64,
    /// Calls through tables that were made.
    table_calls: u64,
    /// Accesses to memories that were proved.
    accesses: u64,
}

/// What became of a program.
enum Verdict {
    /// Everything that is claimed of it is so.
    Proved(Counts),
    /// The instruction of this number is refused.
    Refused(usize),
    /// Its proof takes too long.
    Exhausted,
    /// What is claimed is not so.
    Wrong(String),
}

#[test]
fn what_is_claimed_of_random_programs_holds_on_two_machines() {
    let (first, programs) = (asked("SELVEDGE_HUNT_SEED").unwrap_or(1), asked("SELVEDGE_HUNT").unwrap_or(PROGRAMS));
    let subjects = [MemoryLayout::Guarded, MemoryLayout::Dense].map(Subject::new);
    let mut all = Counts::default();
    for seed in first..first + programs {
        all.add(hunt(&subjects[seed as usize % 2], seed));
    }
    println!("of {programs} programs: {all:?}");
    let few = programs < PROGRAMS;
    assert!(
        few || all.proved > programs / 2 && all.table_calls > 100 && all.accesses > 1000,
        "too few are left: {all:?}"
    );
}

/// A number that the environment may give.
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number: u32 = text.parse().unwrap_or_else(|_| panic!("{name} is a number less than {}", u32::MAX));
    Some(number.into())
}

/// Makes a program and runs it.
fn hunt(subject: &Subject, seed: u64) -> Counts {
    let mut ops = generate::program(&mut Random::new(seed), &subject.module);
    for _ in 0..REMOVED_MAX {
        match judge(subject, &ops, seed) {
            Verdict::Proved(counts) => return counts,
            Verdict::Exhausted => break,
            Verdict::Refused(number) if is_needed(&ops, number) => break,
            Verdict::Refused(number) => op::remove(&mut ops, number),
            Verdict::Wrong(what) => {
                let (ops, what) = shrink(subject, ops, what, seed);
                let listing = op::listing(&ops, &encode::assemble(&ops).starts);
                panic!("SELVEDGE_HUNT_SEED={seed} SELVEDGE_HUNT=1: it is proved, but {what}\n{listing}");
            }
        }
    }
    Counts::default()
}

/// Whether a program is none without this instruction.
fn is_needed(ops: &[Op], number: usize) -> bool {
    number < generate::PROLOGUE || number + 2 >= ops.len()
}

/// Leaves out whatever can be without the mistake going away; what is left, and what is wrong with it.
fn shrink(subject: &Subject, mut ops: Vec<Op>, mut what: String, seed: u64) -> (Vec<Op>, String) {
    let mut number = ops.len();
    while number > 0 {
        number -= 1;
        if is_needed(&ops, number) {
            continue;
        }
        let mut fewer = ops.clone();
        op::remove(&mut fewer, number);
        if let Verdict::Wrong(found) = judge(subject, &fewer, seed) {
            // Others may go now that did not.
            (ops, what, number) = (fewer, found, ops.len() - 1);
        }
    }
    (ops, what)
}

/// Proves a program and runs it.
fn judge(subject: &Subject, ops: &[Op], seed: u64) -> Verdict {
    let assembled = encode::assemble(ops);
    let facts = subject.facts(&assembled.code);
    let mut walk = match subject::prove(&facts) {
        Ok(walk) => walk,
        Err((_, violation)) if violation.rule == Rule::Budget => return Verdict::Exhausted,
        Err((at, violation)) => {
            let number = assembled.starts.iter().position(|start| *start == u64::from(at));
            return number.map_or_else(|| Verdict::Wrong(format!("{violation:?} where nothing is")), Verdict::Refused);
        }
    };
    let mut counts = Counts { proved: 1, accesses: walk.counts.heap_accesses, ..Counts::default() };
    for run in 0..RUNS {
        let mut random = Random::new(seed * RUNS + run);
        let world = World::new(seed * RUNS + run, &mut random, &subject.module, &facts);
        let mut pair = Pair::new(&world, &mut random, &mut walk, &facts);
        if let Err(what) = pair.run(ops, &assembled, &mut random) {
            return Verdict::Wrong(format!("in run {run}, {what}"));
        }
        counts.steps += pair.steps;
        counts.table_calls += pair.table_calls;
    }
    Verdict::Proved(counts)
}

/// Two machines, and what the proof says of where they are.
struct Pair<'p, 'a> {
    world: &'p World<'p>,
    facts: &'p Facts<'a>,
    walk: &'p mut Walk<'a>,
    machines: [Machine; 2],
    steps: u64,
    table_calls: u64,
}

impl<'p, 'a> Pair<'p, 'a> {
    fn new(world: &'p World<'p>, random: &mut Random, walk: &'p mut Walk<'a>, facts: &'p Facts<'a>) -> Pair<'p, 'a> {
        let parameter = random.below(64) as u32;
        let machines = BOTH.map(|number| Machine::new(number, world, random, parameter));
        Pair { world, facts, walk, machines, steps: 0, table_calls: 0 }
    }

    /// Runs a program, its claims checked before each instruction.
    fn run(&mut self, ops: &[Op], assembled: &Assembled, random: &mut Random) -> Result<(), String> {
        let mut state = None;
        let (mut number, mut version) = (0, 1);
        for step in 0..STEPS_MAX {
            let at = assembled.starts[number] as u32;
            if let Some(block) = block_number(self.walk.meaning[at as usize]) {
                state = Some(self.walk.blocks[block].state.clone());
            }
            let known = state.as_mut().ok_or("nothing is known at the start")?;
            let before = |what: String| format!("before instruction {number}, at step {step}: {what}");
            claims::check(known, &self.machines, self.world, self.facts).map_err(before)?;
            let callee = self.callee(ops[number], known);
            version += u64::from(matches!(ops[number], Op::Call | Op::CallReg(_)));
            let now = Moment { step, version };
            let shown = known.clone();
            self.believe(known, &assembled.code, at)?;
            match self.execute(number, ops[number], now, callee) {
                Ok(Some(next)) => number = next,
                Ok(None) | Err(Stop::Unmodelled) => break,
                Err(Stop::Wrong(what)) => {
                    return Err(format!("at instruction {number}, step {step}: {what}\n{}", describe(&shown)));
                }
            }
            self.steps += 1;
            self.machines.iter_mut().for_each(|machine| machine.disturb(self.world, random));
        }
        Ok(())
    }

    /// Whom the verifier takes a call to be for.
    fn callee(&mut self, op: Op, state: &State) -> Callee {
        let Op::CallReg(code) = op else { return Callee { binary: false } };
        self.table_calls += 1;
        let Value::Callable(_, ty) = state.regs[code].value else { return Callee { binary: false } };
        Callee { binary: self.facts.contract.types[ty as usize].params.len() == 2 }
    }

    /// What the verifier makes of a state. It has done so before, so nothing is new to it.
    fn believe(&mut self, state: &mut State, code: &[u8], at: u32) -> Result<(), String> {
        let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        self.walk.decode(&mut decoder, at, &mut instruction).map_err(|violation| format!("{violation:?}"))?;
        self.walk.budget = Budget::new(1 << 20);
        let result = Exec { walk: self.walk, state, insn: &instruction, at }.step();
        result.map_err(|violation| format!("at {at:#x} it is refused once more: {violation:?}"))?;
        if self.walk.queue.is_empty() { Ok(()) } else { Err(format!("at {at:#x} something is learnt anew")) }
    }

    /// Executes an instruction on both machines; the next one.
    fn execute(&mut self, number: usize, op: Op, now: Moment, callee: Callee) -> Result<Option<usize>, Stop> {
        let [first, second] = &mut self.machines;
        let first = first.step(number, op, self.world, now, callee)?;
        let second = second.step(number, op, self.world, now, callee)?;
        if first == second {
            return Ok(first.next);
        }
        Err(Stop::Wrong(format!("it tells what nobody may know: {first:?} and {second:?}")))
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.proved += other.proved;
        self.steps += other.steps;
        self.table_calls += other.table_calls;
        self.accesses += other.accesses;
    }
}
