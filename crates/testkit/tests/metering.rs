//! Metered code counts what it executes, exactly.
//!
//! The oracles: counts worked out by hand, and modules rewritten to count themselves operator by operator. The
//! layouts, optimisation levels and numbers of threads must agree with them and with each other, and so must the
//! places where limits end the code. Code that is stopped at its limit and refilled comes to the same end with the same
//! count, wherever that is. `SELVEDGE_SEED=N` replays one module, `SELVEDGE_CASES=N` runs so many.

#[path = "metering/by_hand.rs"]
mod by_hand;
#[path = "metering/counter.rs"]
mod counter;
#[allow(dead_code, reason = "the fuzz target's part")]
#[path = "differential/generate.rs"]
mod generate;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

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
    let enough =
        seen.trapped > seen.calls / 50 && seen.counted > 100_000 && seen.limited > CASES / 4 && seen.refilled > CASES;
    assert!(!many || enough, "too little was seen to tell much: {seen:?}");
}

/// What the test has come across.
#[derive(Default, Debug)]
struct Seen {
    calls: u64,
    trapped: u64,
    counted: u64,
    limited: u64,
    refilled: u64,
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
        self.call_for(name, args).0
    }

    /// With the results, as text: so that what is not equal to itself is.
    fn call_for(&mut self, name: &str, args: &[Val]) -> (End, String) {
        let function = self.instance.get_func(&self.store, name).expect("the function is exported");
        Runner::ended(name, function.call(&mut self.store, args))
    }

    /// As [`Runner::call_for`], refilled with up to `most` whenever the meter is used up, by turns at once and when it
    /// is asked once more; adds how often that was.
    fn call_refilled(&mut self, name: &str, args: &[Val], (seed, most): (u64, u64), times: &mut u64) -> (End, String) {
        let refills = Arc::<AtomicU64>::default();
        let (counted, mut random) = (refills.clone(), Random::new(seed));
        self.store.on_meter_used_up(move |(), used_up| {
            assert!(used_up.missing > 0);
            let now = counted.fetch_add(1, Ordering::Relaxed) % 2 == 0;
            let (more, mut asked) = (1 + random.below(most), now);
            std::future::poll_fn(
                move |_| if std::mem::replace(&mut asked, true) { Poll::Ready(more) } else { Poll::Pending },
            )
        });
        let function = self.instance.get_func(&self.store, name).expect("the function is exported");
        let ended = {
            let mut call = pin!(function.call_async(&mut self.store, args));
            loop {
                if let Poll::Ready(ended) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    break ended;
                }
            }
        };
        *times += refills.load(Ordering::Relaxed);
        Runner::ended(name, ended)
    }

    fn ended(name: &str, ended: Result<Vec<Val>, CallError>) -> (End, String) {
        let end = match ended {
            Ok(results) => return (End::Returned, format!("{results:?}")),
            Err(CallError::Trap(trap)) => End::Trapped(trap.code),
            Err(CallError::MeterExhausted(_)) => End::Exhausted,
            Err(error) => panic!("{name}: {error}"),
        };
        (end, String::new())
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
    limited(&metered, &calls, oracle.counted(), seed, seen)?;
    refilled(&metered, &calls, oracle.counted(), seed, seen)
}

/// With limits that are refilled when they are reached, every way gives what it gives without, and counts the same.
fn refilled(
    metered: &[Module; 3],
    calls: &[(String, Vec<Val>)],
    total: u64,
    seed: u64,
    seen: &mut Seen,
) -> Result<(), String> {
    for module in metered {
        // The start function cannot wait.
        let begun = Runner::new(module, u64::MAX).map_or(0, |runner| runner.used());
        let mut free = Runner::new(module, u64::MAX).ok_or("it started before")?;
        let mut stopped = Runner::new(module, begun).ok_or("it started before")?;
        // Some hundred times at most.
        let most = Random::new(seed).below(60).max(total / 100) + 1;
        for (name, args) in calls {
            let refilled = stopped.call_refilled(name, args, (seed, most), &mut seen.refilled);
            let expected = free.call_for(name, args);
            if refilled != expected || stopped.used() != free.used() {
                let (used, of) = (stopped.used(), free.used());
                return Err(format!("{name}{args:?} refilled: {refilled:?} {used}, it should be {expected:?} {of}"));
            }
        }
    }
    Ok(())
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
