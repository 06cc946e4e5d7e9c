//! `bench verify`: the proof of artifacts, in megabytes of machine code a second, on one thread and on all; beside
//! it the peer's way to code it may trust, which is to compile the module.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_verifier::verify;

use crate::Options;
use crate::engine::{Contestant, Settings};
use crate::measure::{Sampler, interleaved, median};
use crate::modules::{self, Input};
use crate::report::{Figure, Report};

/// The fetched modules that are proved unasked: of four compilers, from one megabyte of code to thirty-eight.
const REAL: [&str; 4] = ["quickjs", "dprint", "cpython", "compilekv"];

/// Runs the verb.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runs = options.runs(15, 3);
    let mut report = Report::new("Proof of machine code (medians)", options.json);
    let chosen = |input: &Input| match options.only.is_empty() {
        true => REAL.contains(&input.name.as_str()),
        false => options.wants(&input.name),
    };
    let inputs: Vec<_> = modules::fetched().into_iter().filter(chosen).collect();
    ensure!(!inputs.is_empty(), "no fetched module has that name; `cargo xtask modules` fetches them");
    for input in &inputs {
        measure(input, options.settings, runs, &mut report).with_context(|| input.name.clone())?;
    }
    report.finish();
    Ok(())
}

fn measure(input: &Input, settings: Settings, runs: usize, report: &mut Report) -> Result<()> {
    let wasm = fs::read(&input.path).with_context(|| format!("cannot read {}", input.path.display()))?;
    let artifact = Contestant::Ours.start(settings)?.compile(&wasm)?;
    let index = ArtifactIndex::read(&artifact)?;
    let all = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut samplers: Vec<Sampler<'_>> = Vec::new();
    for threads in [NonZeroUsize::MIN, all] {
        let (artifact, index) = (&artifact, &index);
        samplers.push(Box::new(move || prove(artifact, index, threads)));
    }
    let medians = interleaved(&mut samplers, runs)?;
    let megabytes = index.functions(&artifact).iter().map(|f| f64::from(f.text_len)).sum::<f64>() / 1e6;
    let rate = |seconds: f64| Some(megabytes / seconds);
    report.add(Figure::new(format!("verify/{}/1", input.name), rate(medians[0]), None, "MB/s", runs));
    report.add(Figure::new(format!("verify/{}/{all}", input.name), rate(medians[1]), None, "MB/s", runs));
    let peer = Contestant::Peer.start(settings)?;
    let once = || -> Result<f64> {
        let start = Instant::now();
        peer.compile(&wasm)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let compiled = median((0..runs.min(3)).map(|_| once()).collect::<Result<_>>()?);
    let (proof, compiled) = (medians[1] * 1e3, compiled * 1e3);
    report.add(Figure::new(format!("trust/{}", input.name), Some(proof), Some(compiled), "ms", runs));
    Ok(())
}

/// Seconds to prove the artifact.
fn prove(artifact: &[u8], index: &ArtifactIndex, threads: NonZeroUsize) -> Result<f64> {
    let start = Instant::now();
    let proof = verify(artifact, index, threads).map_err(|report| anyhow!("{report}"))?;
    let time = start.elapsed();
    ensure!(proof.functions > 0, "nothing was proved");
    Ok(time.as_secs_f64())
}
