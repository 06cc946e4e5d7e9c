//! `bench call`: what one call costs, in each direction.
//!
//! Calls made by the guest are timed in a loop inside it, less the same loop with the work done in place;
//! each call takes the result of the one before, so that none can be hidden behind another.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::code::artifact_path;
use crate::engine::{Contestant, Instance, Settings};
use crate::measure::{Sampler, interleaved, thread_cpu};
use crate::report::{Figure, Report};

const GUEST: &str = include_str!("../programs/call.wat");

/// What is measured: the figure's name, and the guest's loop; none where the host does the looping.
const CALLS: [(&str, Option<&str>); 4] = [
    ("host-to-guest", None),
    ("guest-to-host", Some("to_host")),
    ("call-indirect", Some("indirect")),
    ("call-direct", Some("direct")),
];

const CALLS_PER_SAMPLE: i32 = 2_000_000;

/// Runs the verb.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runs = options.runs(21, 7);
    let mut report = Report::new("One call (CPU time, medians)", options.json);
    let wasm = wat::parse_str(GUEST).context("programs/call.wat")?;
    let mut instances = Vec::new();
    for contestant in Contestant::ALL {
        instances.push(instantiate(contestant, options.settings, &wasm)?);
    }
    for (name, guest_loop) in CALLS.into_iter().filter(|(name, _)| options.wants(name)) {
        report.add(compare(&mut instances, name, guest_loop, runs)?);
    }
    ensure!(
        !report.figures().is_empty(),
        "no call has that name; there are: {}",
        CALLS.map(|(name, _)| name).join(", ")
    );
    report.finish();
    Ok(())
}

fn instantiate(contestant: Contestant, settings: Settings, wasm: &[u8]) -> Result<Box<dyn Instance>> {
    let engine = contestant.start(settings)?;
    let path = artifact_path(contestant, "call")?;
    fs::write(&path, engine.compile(wasm)?).with_context(|| format!("cannot write {}", path.display()))?;
    engine.load(&path)?.instantiate()
}

fn compare(instances: &mut [Box<dyn Instance>], name: &str, guest_loop: Option<&str>, runs: usize) -> Result<Figure> {
    let mut samplers: Vec<Sampler<'_>> = Vec::new();
    for instance in instances {
        samplers.push(match guest_loop {
            Some(export) => Box::new(move || in_guest(&mut **instance, export)),
            None => Box::new(move || from_host(&mut **instance)),
        });
    }
    let medians = interleaved(&mut samplers, runs)?;
    Ok(Figure::new(format!("call/{name}"), Some(medians[0]), Some(medians[1]), "ns", runs))
}

/// Nanoseconds a call, the host calling the guest's `add`.
fn from_host(instance: &mut dyn Instance) -> Result<f64> {
    let mut calls = instance.binary_loop("add")?;
    let (time, sum) = thread_cpu(|| calls(CALLS_PER_SAMPLE as u32))?;
    ensure!(sum == CALLS_PER_SAMPLE, "the calls added up to {sum}");
    Ok(time.as_nanos() as f64 / f64::from(CALLS_PER_SAMPLE))
}

/// Nanoseconds a call, the guest calling; the cost of its loop taken off.
fn in_guest(instance: &mut dyn Instance, export: &str) -> Result<f64> {
    let with_calls = one_loop(instance, export)?;
    let without = one_loop(instance, "empty")?;
    Ok((with_calls - without).max(0.0))
}

fn one_loop(instance: &mut dyn Instance, export: &str) -> Result<f64> {
    let mut call = instance.unary(export)?;
    let (time, sum) = thread_cpu(|| call(CALLS_PER_SAMPLE))?;
    ensure!(sum == CALLS_PER_SAMPLE, "the loop `{export}` added up to {sum}");
    Ok(time.as_nanos() as f64 / f64::from(CALLS_PER_SAMPLE))
}
