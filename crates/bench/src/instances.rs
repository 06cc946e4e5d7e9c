//! `bench instances`: what a fresh instance costs, made, called and dropped, beside the peer's pooling allocator.
//!
//! The peer runs with the best settings found for it: pooling, copy-on-write images, 1 MiB kept resident, pages
//! scanned where the kernel can. Cycles are timed in batches of eight, and both engines take turns.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::ceiling::Pair;
use crate::ours::Waits;
use crate::programs::build_handler;
use crate::report::{Figure, Report};
use crate::{interruption, javascript, ours, peer, slots};

/// Cycles that are timed together.
const BATCH: usize = 8;
/// Batches of one engine before the other's turn.
pub(crate) const TURN: usize = 500;
/// Instances held while the oldest is replaced.
const ROTATION: usize = 256;
/// Suspensions that are timed together.
const SWITCHES: i32 = 100_000;

/// A module ready for one instance after the other.
pub(crate) trait Cycles: Sync {
    /// Makes an instance, calls what is to be called, if anything is, and drops it.
    fn cycle(&self, call: bool) -> Result<()>;

    /// A cycle's parts in nanoseconds: making the instance, the call, dropping it.
    fn parts(&self) -> Result<[f64; 3]>;

    /// Makes so many instances, calls them and keeps them until the last is made; nanoseconds of each.
    fn fill(&self, count: usize) -> Result<Vec<f64>>;

    /// Cycles with so many instances held, the oldest dropped each time; returns nanoseconds a cycle, by batches.
    fn rotate(&self, held: usize, batches: usize) -> Result<Vec<f64>>;
}

/// What an instance is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// An exported `() -> ()`.
    Plain(&'static str),
    /// An exported `(i32) -> i32`, which is given the number of bytes that were put into the exported memory, and
    /// returns `answer`.
    Request { export: &'static str, at: u64, bytes: &'static [u8], answer: i32 },
}

impl Call {
    pub(crate) fn export(self) -> &'static str {
        match self {
            Call::Plain(export) | Call::Request { export, .. } => export,
        }
    }
}

/// What is made: the figure's name, the module, what is called.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) wasm: Vec<u8>,
    pub(crate) call: Option<Call>,
}

/// 17 pages and 10 KiB of data, as a small C program has.
pub(crate) const TRIVIAL: &str = r#"(module (memory (export "memory") 17) (data (i32.const 1048576) "0123456789abcdef")
    (data (i32.const 1058800) "fedcba9876543210") (func (export "run")))"#;

const SUSPENDED: &str = r#"(module (import "host" "wait" (func $wait)) (func (export "run") (param i32)
    (loop (call $wait) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

/// Runs the verb.
pub(crate) fn run(options: &Options) -> Result<()> {
    let turns = options.runs(20, 4);
    let mut report = Report::new("A fresh instance (wall time)", options.json);
    for case in cases()?.iter().filter(|case| options.wants(case.name)) {
        let pools: [Box<dyn Cycles>; 2] =
            [ours::pool(&case.wasm, case.call, options.settings)?, peer::pool(&case.wasm, case.call)?];
        hot(&mut report, case.name, case.call.is_some(), &pools, turns)?;
        if case.call.is_some() {
            let apart = Pair::start(case.name, options.settings)?;
            two_threads(&mut report, case.name, &pools, turns, Some(apart))?;
        }
    }
    if options.wants("rotation_256") {
        let case = &cases()?[2];
        let pools = [ours::pool(&case.wasm, case.call, options.settings)?, peer::pool(&case.wasm, case.call)?];
        rotation(&mut report, &pools, turns)?;
    }
    if options.wants("fiber_switch") {
        let wasm = wat::parse_str(SUSPENDED).context("the guest that suspends")?;
        for (name, waits) in [("fiber_switch", Waits::Attempt), ("fiber_switch/future", Waits::Future)] {
            let sample = |_| ours::suspend(&wasm, waits, SWITCHES, options.settings);
            let samples = (0..=turns).map(sample).collect::<Result<Vec<_>>>()?;
            report.add(Figure::new(name.into(), Some(percentile(samples, 50)), None, "ns", turns));
        }
        let sample = |_| ours::switch_alone(&wasm, SWITCHES, options.settings);
        let samples = (0..=turns).map(sample).collect::<Result<Vec<_>>>()?;
        report.add(Figure::new("fiber_switch/alone".into(), Some(percentile(samples, 50)), None, "ns", turns));
        report.note(
            "fiber_switch: a poll of a call, in which an attempt is made again, and another first; fiber_switch/future: in which \
            a future is ready, and another first polled; fiber_switch/alone: without what makes a future of a call",
        );
    }
    if options.wants(javascript::NAME) {
        javascript::cycles(&mut report, options, turns)?;
    }
    slots::measure(&mut report, options, turns)?;
    interruptions(&mut report, options)?;
    ensure!(!report.figures().is_empty(), "nothing here has that name");
    report.finish();
    Ok(())
}

fn interruptions(report: &mut Report, options: &Options) -> Result<()> {
    if options.wants("kill_latency") {
        interruption::latency(report, options)?;
    }
    if options.wants("preempt_resume") {
        interruption::preemption(report, options)?;
    }
    if options.wants("interruptible") {
        interruption::interruptible(report, options)?;
    }
    Ok(())
}

pub(crate) fn cases() -> Result<[Case; 3]> {
    let run = Some(Call::Plain("run"));
    let empty = Case { name: "instantiate_empty", wasm: wat::parse_str("(module)")?, call: None };
    let trivial = Case { name: "cycle_trivial_hot", wasm: wat::parse_str(TRIVIAL)?, call: run };
    let hello = Case { name: "cycle_wasi_hello_hot", wasm: build_handler()?, call: run };
    Ok([empty, trivial, hello])
}

/// The middle and the slow end of cycles on one thread.
pub(crate) fn hot(
    report: &mut Report,
    name: &str,
    call: bool,
    pools: &[Box<dyn Cycles>; 2],
    turns: usize,
) -> Result<()> {
    let mut samples = [Vec::new(), Vec::new()];
    for turn in 0..=turns {
        for (pool, samples) in pools.iter().zip(&mut samples) {
            for _ in 0..TURN {
                let start = Instant::now();
                for _ in 0..BATCH {
                    pool.cycle(call)?;
                }
                // The first turn warms up.
                if turn > 0 {
                    samples.push(start.elapsed().as_nanos() as f64 / BATCH as f64);
                }
            }
        }
    }
    both_ends(report, name, &samples, turns * TURN);
    Ok(())
}

/// The middle and the slow end of samples of ours and the peer's.
pub(crate) fn both_ends(report: &mut Report, name: &str, [ours, peer]: &[Vec<f64>; 2], runs: usize) {
    for (percent, suffix) in [(50, ""), (99, "/p99")] {
        let of = |samples: &[f64]| Some(percentile(samples.to_vec(), percent));
        report.add(Figure::new(format!("{name}{suffix}"), of(ours), of(peer), "ns", runs));
    }
}

/// How long threads cycle for one sample.
pub(crate) const SPAN: Duration = Duration::from_millis(100);

/// Cycles of two threads at once against those of one, in the same time; and of two processes, which share nothing.
pub(crate) fn two_threads(
    report: &mut Report,
    name: &str,
    pools: &[Box<dyn Cycles>; 2],
    turns: usize,
    mut apart: Option<Pair>,
) -> Result<()> {
    let mut figures = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    let mut processes = [Vec::new(), Vec::new()];
    for _ in 0..turns.div_ceil(2) {
        for (pool, figures) in pools.iter().zip(&mut figures) {
            for (threads, figure) in (1..).zip(figures) {
                figure.push(nanoseconds(throughput(&**pool, threads, SPAN)?));
            }
        }
        if let Some(pair) = &mut apart {
            for (count, figure) in (1..).zip(&mut processes) {
                figure.push(nanoseconds(pair.cycles(count)?));
            }
        }
    }
    let scaling = |[one, two]: [f64; 2]| one / two;
    let [ours, peer] = figures.map(|figures| figures.map(|samples| percentile(samples, 50)));
    report.note(&format!(
        "{name}: two threads do {:.2} times what one does; the peer's {:.2} times",
        scaling(ours),
        scaling(peer)
    ));
    report.add(Figure::new(format!("{name}_2_threads"), Some(ours[1]), Some(peer[1]), "ns", turns.div_ceil(2)));
    if apart.is_some() {
        let apart = processes.map(|samples| percentile(samples, 50));
        let times = scaling(apart);
        report.note(&format!("{name}: two processes, which share nothing, do {times:.2} times what one does alone"));
        report.add(Figure::new(format!("{name}_2_processes"), Some(apart[1]), None, "ns", turns.div_ceil(2)));
    }
    Ok(())
}

/// A cycle's share of a [`SPAN`] that had so many.
fn nanoseconds(cycles: u64) -> f64 {
    SPAN.as_nanos() as f64 / cycles as f64
}

/// How many cycles so many threads do together.
pub(crate) fn throughput(pool: &dyn Cycles, threads: usize, time: Duration) -> Result<u64> {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let mut cycles = 0;
        while !over.load(Ordering::Relaxed) {
            pool.cycle(true)?;
            cycles += 1;
        }
        done.fetch_add(cycles, Ordering::Relaxed);
        anyhow::Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker returns its errors"))
    })?;
    Ok(done.into_inner())
}

/// Cycles through many instances, cold in the processor's caches.
fn rotation(report: &mut Report, pools: &[Box<dyn Cycles>; 2], turns: usize) -> Result<()> {
    let mut samples = [Vec::new(), Vec::new()];
    for turn in 0..=turns {
        for (pool, samples) in pools.iter().zip(&mut samples) {
            let times = pool.rotate(ROTATION, TURN)?;
            // The first turn warms up: it marks the pages of all slots.
            if turn > 0 {
                samples.extend(times);
            }
        }
    }
    both_ends(report, "rotation_256", &samples, turns * TURN);
    Ok(())
}

/// Times the parts of a cycle: what [`Cycles::parts`] does.
pub(crate) fn parts<S>(make: impl FnOnce() -> Result<S>, call: impl FnOnce(&mut S) -> Result<()>) -> Result<[f64; 3]> {
    let start = Instant::now();
    let mut instance = make()?;
    let made = Instant::now();
    call(&mut instance)?;
    let called = Instant::now();
    drop(instance);
    let dropped = Instant::now();
    Ok([made - start, called - made, dropped - called].map(|part| part.as_nanos() as f64))
}

/// Times instances that are all kept: what [`Cycles::fill`] does.
pub(crate) fn fill<S>(count: usize, make: impl Fn() -> Result<S>) -> Result<Vec<f64>> {
    let made = (0..count).map(|_| {
        let start = Instant::now();
        let instance = make()?;
        Ok((start.elapsed().as_nanos() as f64, instance))
    });
    let made = made.collect::<Result<Vec<_>>>()?;
    Ok(made.iter().map(|(time, _)| *time).collect())
}

/// Times batches of cycles through `held` instances, the oldest dropped each time: what [`Cycles::rotate`] does.
pub(crate) fn rotate<S>(held: usize, batches: usize, make: impl Fn() -> Result<S>) -> Result<Vec<f64>> {
    let mut stores = (0..held).map(|_| make()).collect::<Result<VecDeque<_>>>()?;
    let mut batch = || {
        let start = Instant::now();
        for _ in 0..BATCH {
            stores.pop_front();
            stores.push_back(make()?);
        }
        Ok(start.elapsed().as_nanos() as f64 / BATCH as f64)
    };
    (0..batches).map(|_| batch()).collect()
}

pub(crate) fn percentile(mut samples: Vec<f64>, percent: usize) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[(samples.len() - 1) * percent / 100]
}
