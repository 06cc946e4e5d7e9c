//! `bench compile`: what compiling costs: wall time, CPU time, peak memory.
//!
//! Every sample is a child process of its own, so that its peak memory is one compilation's.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::Options;
use crate::engine::{Contestant, Settings};
use crate::measure::{median, process_cost};
use crate::modules::{self, Input};
use crate::report::{Figure, Report};

/// Modules above this are measured only when named with `--only`: minutes each.
const BYTES_MAX_UNASKED: u64 = 32 << 20;
/// From this size on a run takes so long that three are enough.
const BYTES_LARGE: u64 = 4 << 20;

/// What one compilation cost.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    peak_mib: f64,
    artifact_mib: f64,
}

/// Runs the verb.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut report = Report::new("Compiling (medians; every core, a process each)", options.json);
    let mut inputs = modules::own(|name| options.wants(name))?;
    let fetched = modules::fetched();
    if fetched.is_empty() {
        report.note("nothing under target/modules: run `cargo xtask modules` to measure large modules too");
    }
    inputs.extend(fetched.into_iter().filter(|input| chosen(options, input)));
    ensure!(!inputs.is_empty(), "no module has that name");
    for input in &inputs {
        compare(input, options, &mut report).with_context(|| input.name.clone())?;
    }
    report.finish();
    Ok(())
}

fn chosen(options: &Options, input: &Input) -> bool {
    let named = !options.only.is_empty();
    options.wants(&input.name) && (named || modules::size(&input.path) <= BYTES_MAX_UNASKED)
}

fn compare(input: &Input, options: &Options, report: &mut Report) -> Result<()> {
    let bytes = modules::size(&input.path);
    let runs = if bytes >= BYTES_LARGE { options.runs(3, 1) } else { options.runs(7, 3) };
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (contestant, costs) in Contestant::ALL.into_iter().zip(&mut costs) {
            costs.push(in_child(contestant, options.settings, &input.path)?);
        }
    }
    let mut add = |what: &str, unit: &'static str, pick: fn(&Cost) -> f64| {
        let [ours, peer] = costs.each_ref().map(|costs| median(costs.iter().map(pick).collect()));
        report.add(Figure::new(format!("compile/{}/{what}", input.name), Some(ours), Some(peer), unit, runs));
    };
    add("wall", "s", |cost| cost.wall_s);
    add("cpu", "s", |cost| cost.cpu_s);
    add("peak-memory", "MiB", |cost| cost.peak_mib);
    add("artifact", "MiB", |cost| cost.artifact_mib);
    Ok(())
}

fn in_child(contestant: Contestant, settings: Settings, module: &Path) -> Result<Cost> {
    let itself = std::env::current_exe().context("cannot find this program")?;
    let output = Command::new(itself)
        .args(["compile-once", contestant.name()])
        .arg(module)
        .args(settings.arguments())
        .output()
        .context("cannot start a child")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} cannot compile it: {}", contestant.name(), said.trim());
    serde_json::from_slice(&output.stdout).context("the child printed something else than its cost")
}

/// The child: compiles the module once, prints the cost.
pub(crate) fn once(contestant: Contestant, module: &Path, settings: Settings) -> Result<()> {
    let engine = contestant.start(settings)?;
    let wasm = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let (wall, cpu, artifact) = process_cost(|| engine.compile(&wasm))?;
    let cost = Cost {
        wall_s: wall.as_secs_f64(),
        cpu_s: cpu.as_secs_f64(),
        peak_mib: peak_memory_kib()? / 1024.0,
        artifact_mib: artifact.len() as f64 / f64::from(1 << 20),
    };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// The most memory this process ever had resident.
fn peak_memory_kib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in it")?;
    line.trim().trim_end_matches(" kB").parse().context("VmHWM is no number")
}
