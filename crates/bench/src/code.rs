//! `bench code`: how fast compiled guests run, against the peer's code and native code of the same source.
//!
//! Every sample is a fresh instance (natively: a fresh process) that runs the program once; the clock is
//! the CPU time of the running thread around that call alone. All checksums must agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::engine::{Contestant, Module, Settings};
use crate::measure::{Sampler, interleaved, thread_cpu};
use crate::programs::{Built, build, output_folder};
use crate::report::{Figure, Report};

/// Runs the verb.
pub(crate) fn run(options: &Options, meter: bool) -> Result<()> {
    let runs = options.runs(11, 3);
    let programs = build(|name| options.wants(name))?;
    let mut report = Report::new("Run time of C programs, clang -O3 (CPU time, medians)", options.json);
    for program in &programs {
        eprintln!("bench: running {}", program.name);
        report.add(compare(program, options.settings, meter, runs).with_context(|| program.name.clone())?);
    }
    if let Some(mean) = Figure::mean("code/geometric mean".into(), report.figures()) {
        report.add(mean);
    }
    report.finish();
    Ok(())
}

/// One program in every contestant, in turns.
fn compare(program: &Built, settings: Settings, meter: bool, runs: usize) -> Result<Figure> {
    let (_, expected) = run_native(&program.native)?;
    let wasm = fs::read(&program.wasm).with_context(|| format!("cannot read {}", program.wasm.display()))?;
    let peer = prepare(Contestant::Peer, settings, &program.name, &wasm)?;
    let ours = prepare(Contestant::Ours, settings, &program.name, &wasm)?;
    let metered = if meter { Some(metered(settings, &program.name, &wasm)?) } else { None };

    let mut samplers: Vec<Sampler<'_>> = vec![
        Box::new(|| milliseconds(run_native(&program.native)?, expected, "native")),
        Box::new(|| milliseconds(run_guest(&*ours)?, expected, "ours")),
        Box::new(|| milliseconds(run_guest(&*peer)?, expected, "peer")),
    ];
    if let Some([ours, peer]) = &metered {
        samplers.push(Box::new(|| milliseconds(run_guest(&**ours)?, expected, "ours, metered,")));
        samplers.push(Box::new(|| milliseconds(run_guest(&**peer)?, expected, "peer with fuel")));
    }
    let medians = interleaved(&mut samplers, runs)?;
    let name = format!("code/{}", program.name);
    let figure = Figure::new(name, Some(medians[1]), Some(medians[2]), "ms", runs).with_native(medians[0]);
    Ok(if let [_, _, _, ours, peer] = medians[..] { figure.with_metered(ours, peer) } else { figure })
}

/// Both engines' code that counts what it executes.
fn metered(settings: Settings, name: &str, wasm: &[u8]) -> Result<[Box<dyn Module>; 2]> {
    let (settings, name) = (Settings { meter: true, ..settings }, format!("{name}-metered"));
    let prepare = |contestant| prepare(contestant, settings, &name, wasm);
    Ok([prepare(Contestant::Ours)?, prepare(Contestant::Peer)?])
}

/// Compiles a program, writes the artifact under `target/bench` and loads it.
pub(crate) fn prepare(contestant: Contestant, settings: Settings, name: &str, wasm: &[u8]) -> Result<Box<dyn Module>> {
    let engine = contestant.start(settings)?;
    let path = artifact_path(contestant, name)?;
    let artifact = engine.compile(wasm).with_context(|| format!("{} cannot compile it", contestant.name()))?;
    fs::write(&path, artifact).with_context(|| format!("cannot write {}", path.display()))?;
    engine.load(&path)
}

/// Where an engine's artifact of this name is kept.
pub(crate) fn artifact_path(contestant: Contestant, name: &str) -> Result<PathBuf> {
    let folder = output_folder().join("artifacts");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder.join(format!("{name}.{}", contestant.name())))
}

/// Nanoseconds and checksum of one run in a fresh instance.
pub(crate) fn run_guest(module: &dyn Module) -> Result<(f64, i64)> {
    let mut instance = module.instantiate()?;
    let mut program = instance.program("bench_run")?;
    let (time, checksum) = thread_cpu(&mut program)?;
    Ok((time.as_nanos() as f64, checksum))
}

/// Nanoseconds and checksum of one run in a child, as the child itself measured them.
pub(crate) fn run_native(path: &Path) -> Result<(f64, i64)> {
    let output = Command::new(path).output().with_context(|| format!("cannot run {}", path.display()))?;
    ensure!(output.status.success(), "{} ended with {}", path.display(), output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    let time: i64 = words.next().context("no time printed")?.parse()?;
    let checksum = words.next().context("no checksum printed")?.parse()?;
    Ok((time as f64, checksum))
}

pub(crate) fn milliseconds((nanoseconds, checksum): (f64, i64), expected: i64, who: &str) -> Result<f64> {
    ensure!(checksum == expected, "{who} computed {checksum}, native code {expected}");
    Ok(nanoseconds / 1e6)
}
