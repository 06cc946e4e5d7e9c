//! Metered code counts what it executes, exactly.
//!
//! The oracles: counts worked out by hand, and modules rewritten to count themselves operator by operator. The
//! layouts, optimisation levels and numbers of threads must agree with them and with each other, and so must the
//! places where limits end the code. `SELVEDGE_SEED=N` replays one module, `SELVEDGE_CASES=N` runs so many.

#[path = "metering/by_hand.rs"]
mod by_hand;
#[path = "metering/counter.rs"]
mod counter;
#[allow(dead_code, reason = "the fuzz target's part")]
#[path = "differential/generate.rs"]
mod generate;

use generate::Random;
use selvedge_compiler::{OptLevel, Options};
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{CallError, Instance, InstantiateError, Limits, Linker, Module, Store, TrapCode, Val, ValType};
use selvedge_testkit::{module, module_with, options};

/// Modules, unless `SELVEDGE_CASES` says otherwise: some ten seconds on one core, in a build for tests.
const CASES: u64 = 300;

/// Ways to compile that must not matter.
fn ways() -> [Options; 3] {
    let metered = |layout| Options { meter: true, ..options(layout) };
    [
        metered(MemoryLayout::Guarded),
        Options { threads: Some(3), ..metered(MemoryLayout::Dense) },
        Options { opt: OptLevel::None, ..metered(MemoryLayout::Guarded) },
    ]
}

#[test]
fn counts_are_those_of_code_that_counts_itself() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SELVEDGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SELVEDGE_CASES").unwrap_or(CASES),
    };
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        one(seed, &mut seen).unwrap_or_else(|difference| panic!("SELVEDGE_SEED={seed}: {difference}"));
    }
    println!("{} modules: {seen:?}", seeds.end - seeds.start);
    let many = seeds.end - seeds.start >= CASES;
    let enough = seen.trapped > seen.calls / 50 && seen.counted > 100_000 && seen.limited > CASES / 4;
    assert!(!many || enough, "too little was seen to tell much: {seen:?}");
}

/// What the test has come across.
#[derive(Default, Debug)]
struct Seen {
    calls: u64,
    trapped: u64,
    counted: u64,
    limited: u64,
}

/// How a call ended, as far as the meter goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Returned,
    Trapped(TrapCode),
    Exhausted,
}

/// An instance that is called.
struct Runner {
    store: Store<()>,
    instance: Instance,
}

impl Runner {
    /// `None` if the start function or a segment traps.
    fn new(module: &Module, meter_max: u64) -> Option<Runner> {
        let limits = Limits { stack_bytes: 4 << 20, meter_max, ..Limits::default() };
        let mut store = Store::new((), limits).expect("the limits are in order");
        match Linker::new().instantiate(&mut store, module) {
            Ok(instance) => Some(Runner { store, instance }),
            Err(InstantiateError::Start(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn call(&mut self, name: &str, args: &[Val]) -> End {
        let function = self.instance.get_func(&self.store, name).expect("the function is exported");
        match function.call(&mut self.store, args) {
            Ok(_) => End::Returned,
            Err(CallError::Trap(trap)) => End::Trapped(trap.code),
            Err(CallError::MeterExhausted(_)) => End::Exhausted,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    fn used(&self) -> u64 {
        self.store.meter_used()
    }

    /// What the module counted itself.
    fn counted(&self) -> u64 {
        let global = self.instance.get_global(&self.store, counter::METER).expect("the meter is exported");
        global.get(&self.store).i64().expect("it is an integer") as u64
    }
}

/// The functions a module exports with arguments for each, the same for the same seed.
fn calls(module: &Module, seed: u64) -> Vec<(String, Vec<Val>)> {
    let mut random = Random::new(seed ^ 0x0b5e_55ed);
    let functions = module.exports().filter_map(|(name, ty)| match ty {
        selvedge_runtime::ExternType::Func(ty) => Some((name.to_owned(), ty)),
        _ => None,
    });
    let args = |ty: &ValType, random: &mut Random| match ty {
        ValType::I32 => Val::I32(random.below(200) as i32 - 3),
        ValType::I64 => Val::I64(random.below(200) as i64 - 3),
        ty => Val::default_of(*ty),
    };
    functions.map(|(name, ty)| (name, ty.params.iter().map(|ty| args(ty, &mut random)).collect())).collect()
}

fn one(seed: u64, seen: &mut Seen) -> Result<(), String> {
    let wasm = generate::module(seed);
    let oracle = module(counter::counting(&wasm), MemoryLayout::Guarded).map_err(|e| format!("the oracle: {e:#}"))?;
    let metered = ways().map(|options| module_with(&wasm, &options).expect("the module compiles"));
    let calls = calls(&metered[0], seed);
    let Some(mut oracle) = Runner::new(&oracle, u64::MAX) else { return Ok(()) };
    let mut runners =
        metered.each_ref().map(|module| Runner::new(module, u64::MAX).expect("it starts as the oracle did"));
    for (name, args) in &calls {
        let expected = oracle.call(name, args);
        let ends = runners.each_mut().map(|runner| runner.call(name, args));
        let overflowed = End::Trapped(TrapCode::StackOverflow);
        if expected == overflowed || ends.contains(&overflowed) {
            // How deep it goes is no part of the promise.
            return Ok(());
        }
        let counts = runners.each_ref().map(Runner::used);
        if ends != [expected; 3] || counts != [oracle.counted(); 3] {
            return Err(format!("{name}{args:?}: {ends:?} {counts:?}, it should be {expected:?} {}", oracle.counted()));
        }
        seen.calls += 1;
        seen.trapped += u64::from(matches!(expected, End::Trapped(_)));
    }
    seen.counted += oracle.counted();
    limited(&metered, &calls, oracle.counted(), seed, seen)
}

/// With a limit below the total, every way ends at one place, and none exceeds it.
fn limited(
    metered: &[Module; 3],
    calls: &[(String, Vec<Val>)],
    total: u64,
    seed: u64,
    seen: &mut Seen,
) -> Result<(), String> {
    let limit = Random::new(seed).below(total.max(1));
    let outcomes = metered.each_ref().map(|module| {
        let mut runner = Runner::new(module, limit)?;
        let end = calls.iter().position(|(name, args)| runner.call(name, args) == End::Exhausted);
        Some((end, runner.used()))
    });
    let within = outcomes[0].is_none_or(|(_, used)| used <= limit);
    let ended = total == 0 || outcomes[0].is_none_or(|(end, _)| end.is_some());
    if outcomes != [outcomes[0]; 3] || !within || !ended {
        return Err(format!("limit {limit} of {total}: {outcomes:?}"));
    }
    seen.limited += u64::from(outcomes[0].is_some_and(|(end, _)| end.is_some()));
    Ok(())
}
