//! Part of `bench instances`: what it costs that guests can be interrupted, and how soon they are.
//!
//! The peer's ways are epochs (a check in each loop) and fuel (a count of what is executed).

use std::fs;

use anyhow::{Context, Result};

use crate::Options;
use crate::code::{milliseconds, prepare, run_guest, run_native};
use crate::engine::{Contestant, Interruptible, Settings};
use crate::instances::percentile;
use crate::measure::{Sampler, geometric_mean, interleaved, thread_cpu};
use crate::ours;
use crate::programs::{Built, build};
use crate::report::{Figure, Report};

/// Guests that end by themselves never, and after so many rounds.
const GUEST: &str = r#"(module
    (func (export "loop") (loop (br 0)))
    (func (export "work") (param i32) (result i32) (local $n i32)
        (loop
            (local.set $n (i32.add (i32.rotl (local.get $n) (i32.const 3)) (local.get 0)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $n)))"#;
/// Rounds of "work": some tenths of a second.
const ROUNDS: i32 = 300_000_000;

/// How long after the request a tight loop has ended, in ticks: by a handle, and by a limit on wall time.
pub(crate) fn latency(report: &mut Report, options: &Options) -> Result<()> {
    let wasm = wat::parse_str(GUEST)?;
    let kills = options.runs(2_000, 200);
    let by_handle = ours::kill_latencies(&wasm, kills, options.settings)?;
    let limits = options.runs(400, 50);
    let by_limit = ours::limit_latencies(&wasm, limits, options.settings)?;
    for (name, samples) in [("kill_latency", by_handle), ("limit_latency", by_limit)] {
        for (percent, suffix) in [(50, ""), (99, "/p99")] {
            let ticks = percentile(samples.clone(), percent) / ours::TICK.as_nanos() as f64;
            report.add(Figure::new(format!("{name}{suffix}"), Some(ticks), None, "ticks", samples.len()));
        }
    }
    Ok(())
}

/// What it costs a guest to be stopped and to go on: CPU time of its thread, the kernel's part included.
pub(crate) fn preemption(report: &mut Report, options: &Options) -> Result<()> {
    let wasm = wat::parse_str(GUEST)?;
    let runs = options.runs(9, 3);
    let sample = |_| {
        let (alone, _) = thread_cpu(|| ours::preempted(&wasm, ROUNDS, false, options.settings))?;
        let (stopped, times) = thread_cpu(|| ours::preempted(&wasm, ROUNDS, true, options.settings))?;
        Ok((stopped.as_nanos() as f64 - alone.as_nanos() as f64) / times as f64)
    };
    let samples = (0..runs).map(sample).collect::<Result<Vec<_>>>()?;
    report.add(Figure::new("preempt_resume".into(), Some(percentile(samples, 50)), None, "ns", runs));
    Ok(())
}

/// Programs that can be interrupted against those that cannot: the geometric mean of their run times' ratios.
pub(crate) fn interruptible(report: &mut Report, options: &Options) -> Result<()> {
    let runs = options.runs(5, 3);
    let mut ratios = [Vec::new(), Vec::new(), Vec::new()];
    for program in &build(|_| true)? {
        eprintln!("bench: running {}", program.name);
        let medians = compare(program, options.settings, runs).with_context(|| program.name.clone())?;
        let [ours, watched, peer, epochs, fuel] = medians[..] else { unreachable!("each contestant has a median") };
        for (ratios, ratio) in ratios.iter_mut().zip([watched / ours, epochs / peer, fuel / peer]) {
            ratios.push(ratio);
        }
    }
    let [ours, epochs, fuel] = ratios.map(geometric_mean);
    report.add(Figure::new("interruptible".into(), ours, epochs, "×", runs));
    report.add(Figure::new("interruptible/fuel".into(), ours, fuel, "×", runs));
    Ok(())
}

fn compare(program: &Built, settings: Settings, runs: usize) -> Result<Vec<f64>> {
    let (_, expected) = run_native(&program.native)?;
    let wasm = fs::read(&program.wasm).with_context(|| format!("cannot read {}", program.wasm.display()))?;
    let contestants = [
        (Contestant::Ours, Interruptible::No),
        (Contestant::Ours, Interruptible::Yes),
        (Contestant::Peer, Interruptible::No),
        (Contestant::Peer, Interruptible::Yes),
        (Contestant::Peer, Interruptible::ByMeter),
    ];
    let modules = contestants.map(|(contestant, interruptible)| {
        let name = format!("{}-{interruptible:?}", program.name);
        prepare(contestant, settings.interruptible(interruptible), &name, &wasm)
    });
    let modules = modules.into_iter().collect::<Result<Vec<_>>>()?;
    let mut samplers: Vec<Sampler<'_>> = Vec::new();
    for (module, (contestant, _)) in modules.iter().zip(contestants) {
        samplers.push(Box::new(move || milliseconds(run_guest(&**module)?, expected, contestant.name())));
    }
    interleaved(&mut samplers, runs)
}
