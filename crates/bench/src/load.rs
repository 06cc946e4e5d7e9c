//! `bench load`: from a trusted artifact on disk to a module that can be instantiated.
//!
//! The file is in the page cache, as it is for a server that restarts; dropping is not timed.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::code::artifact_path;
use crate::engine::{Contestant, Engine, Settings};
use crate::measure::{Sampler, interleaved};
use crate::modules::{self, Input};
use crate::report::{Figure, Report};

/// The fetched module loaded unasked: its artifact has about 25 MB. Others by name.
const REAL: &str = "cpython";

/// Runs the verb.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runs = options.runs(41, 11);
    let mut report = Report::new("Loading a trusted artifact (medians)", options.json);
    let mut inputs = Vec::new();
    if options.wants(modules::GROWN) {
        inputs.push(modules::grown()?);
    }
    let chosen = |input: &Input| options.only.contains(&input.name) || (options.only.is_empty() && input.name == REAL);
    inputs.extend(modules::fetched().into_iter().filter(chosen));
    ensure!(!inputs.is_empty(), "no module has that name");
    for input in &inputs {
        report.add(compare(input, options.settings, runs, &report).with_context(|| input.name.clone())?);
    }
    report.finish();
    Ok(())
}

fn compare(input: &Input, settings: Settings, runs: usize, report: &Report) -> Result<Figure> {
    let wasm = fs::read(&input.path).with_context(|| format!("cannot read {}", input.path.display()))?;
    let mut samplers: Vec<Sampler<'_>> = Vec::new();
    for contestant in Contestant::ALL {
        let engine = contestant.start(settings)?;
        let path = artifact_path(contestant, &input.name)?;
        fs::write(&path, engine.compile(&wasm)?).with_context(|| format!("cannot write {}", path.display()))?;
        let megabytes = modules::size(&path) as f64 / 1e6;
        report.note(&format!("{}: {}'s artifact has {megabytes:.1} MB", input.name, contestant.name()));
        samplers.push(Box::new(move || time_load(&*engine, &path)));
    }
    let medians = interleaved(&mut samplers, runs)?;
    Ok(Figure::new(format!("load/{}", input.name), Some(medians[0]), Some(medians[1]), "ms", runs))
}

/// Milliseconds to load the artifact.
fn time_load(engine: &dyn Engine, artifact: &Path) -> Result<f64> {
    let start = Instant::now();
    let module = engine.load(artifact)?;
    let time = start.elapsed();
    drop(module);
    Ok(time.as_secs_f64() * 1e3)
}
