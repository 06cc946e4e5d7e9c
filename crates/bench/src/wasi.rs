//! `bench wasi`: what system calls cost, beside the peer's preview 1.
//!
//! Guests make the calls in loops. The peer is allowed to block the calling thread, which is its quickest way;
//! so all work of both is done by this thread, and its CPU time is the figure.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::code::artifact_path;
use crate::engine::{Contestant, Instance};
use crate::measure::{Sampler, interleaved, thread_cpu};
use crate::programs::output_folder;
use crate::report::{Figure, Report};

const GUEST: &str = include_str!("../programs/wasi.wat");

const LARGE_BYTES: u64 = 1 << 30;
const FILES: usize = 10_000;

/// What is measured: an export of the guest, what it is called with, what it must return, and in what unit.
struct Call {
    export: &'static str,
    count: i32,
    result: i32,
    unit: Unit,
}

#[derive(Clone, Copy)]
enum Unit {
    NanosecondsPerCall,
    Milliseconds,
}

const CALLS: [Call; 5] = [
    Call { export: "clock_time_get", count: 500_000, result: 500_000, unit: Unit::NanosecondsPerCall },
    Call { export: "fd_write", count: 200_000, result: 200_000, unit: Unit::NanosecondsPerCall },
    Call { export: "path_open", count: 20_000, result: 20_000, unit: Unit::NanosecondsPerCall },
    Call { export: "fd_read", count: 16_384, result: 16_384, unit: Unit::Milliseconds },
    // And `.` and `..`.
    Call { export: "fd_readdir", count: 1, result: FILES as i32 + 2, unit: Unit::Milliseconds },
];

/// Runs the verb.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runs = options.runs(21, 7);
    let mut report = Report::new("System calls (CPU time, medians)", options.json);
    let wasm = wat::parse_str(GUEST).context("programs/wasi.wat")?;
    let directories = directories()?;
    let mut instances = Vec::new();
    for contestant in Contestant::ALL {
        let engine = contestant.start(options.settings)?;
        let path = artifact_path(contestant, "wasi")?;
        fs::write(&path, engine.compile(&wasm)?).with_context(|| format!("cannot write {}", path.display()))?;
        instances.push(engine.load(&path)?.instantiate_with_wasi(&directories)?);
    }
    for call in CALLS.iter().filter(|call| options.wants(call.export)) {
        report.add(compare(&mut instances, call, runs)?);
    }
    let names = CALLS.map(|call| call.export).join(", ");
    ensure!(!report.figures().is_empty(), "no call has that name; there are: {names}");
    report.finish();
    Ok(())
}

/// What the guest finds as descriptors 3, 4 and 5.
fn directories() -> Result<[PathBuf; 3]> {
    let folder = output_folder().join("wasi");
    let (large, many) = (folder.join("one"), folder.join("many"));
    make(&large, &many).with_context(|| format!("cannot make files in {}", folder.display()))?;
    Ok([PathBuf::from("/dev"), large, many])
}

fn make(large: &Path, many: &Path) -> std::io::Result<()> {
    fs::create_dir_all(large)?;
    fs::create_dir_all(many)?;
    File::options().create(true).truncate(false).write(true).open(large.join("large"))?.set_len(LARGE_BYTES)?;
    (0..FILES).try_for_each(|number| File::create(many.join(format!("file-{number:05}"))).map(drop))
}

fn compare(instances: &mut [Box<dyn Instance>], call: &Call, runs: usize) -> Result<Figure> {
    let mut samplers: Vec<Sampler<'_>> = Vec::new();
    for instance in instances {
        samplers.push(Box::new(move || sample(&mut **instance, call)));
    }
    let medians = interleaved(&mut samplers, runs)?;
    let unit = match call.unit {
        Unit::NanosecondsPerCall => "ns",
        Unit::Milliseconds => "ms",
    };
    Ok(Figure::new(format!("wasi/{}", call.export), Some(medians[0]), Some(medians[1]), unit, runs))
}

fn sample(instance: &mut dyn Instance, call: &Call) -> Result<f64> {
    let mut function = instance.unary(call.export)?;
    let (time, result) = thread_cpu(|| function(call.count))?;
    ensure!(result == call.result, "{} returned {result}, not {}", call.export, call.result);
    Ok(match call.unit {
        Unit::NanosecondsPerCall => time.as_nanos() as f64 / f64::from(call.count),
        Unit::Milliseconds => time.as_nanos() as f64 / 1e6,
    })
}
