//! Large programs that others compiled, as `cargo xtask modules` fetches them: every function of each is proved, in both
//! layouts, for the baseline and for a processor with everything. Without being asked, of the smaller ones.
//!
//! `SELVEDGE_PROGRAMS=all` takes all of them, `SELVEDGE_PROGRAMS=clang,cpython` those; with `--release -- --nocapture`
//! that takes minutes and says what it took.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use selvedge_compiler::{Cpu, Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::cpu::CpuFeatures;
use selvedge_verifier::verify;

/// Bytes of WebAssembly of what is proved unasked.
const UNASKED_BYTES_MAX: u64 = 2 << 20;

/// What was proved.
#[derive(Default)]
struct Total {
    artifacts: usize,
    functions: usize,
    code_bytes: u64,
    time: Duration,
}

impl Total {
    fn prove(&mut self, name: &str, wasm: &[u8], options: &Options) {
        let artifact = compile(wasm, options, &()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let index = ArtifactIndex::read(&artifact).unwrap_or_else(|error| panic!("{name}: {error}"));
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let begun = Instant::now();
        let proof = verify(&artifact, &index, threads);
        let time = begun.elapsed();
        let proof = proof.unwrap_or_else(|report| panic!("{name}, {:?}, {:?}: {report}", options.memory, options.cpu));
        self.add(proof.functions, proof.code_bytes, time);
        let (functions, megabytes) = (proof.functions, proof.code_bytes as f64 / 1e6);
        println!(
            "{name}, {:?}, {}: {functions} functions, {megabytes:.1} MB, {time:.1?}",
            options.memory,
            cpu(options)
        );
    }

    fn add(&mut self, functions: usize, code_bytes: u64, time: Duration) {
        self.artifacts += 1;
        self.functions += functions;
        self.code_bytes += code_bytes;
        self.time += time;
    }
}

fn cpu(options: &Options) -> &str {
    if matches!(options.cpu, Cpu::Baseline) { "baseline" } else { "all features" }
}

/// The programs that are asked for; none where nothing was fetched, which in continuous integration is an error.
fn programs() -> Vec<(String, PathBuf)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/modules");
    let Ok(entries) = fs::read_dir(&directory) else {
        assert!(std::env::var_os("CI").is_none(), "run `cargo xtask modules` first");
        eprintln!("\n*** NOT TESTED: run `cargo xtask modules` first ***\n");
        return Vec::new();
    };
    let asked = std::env::var("SELVEDGE_PROGRAMS").ok();
    let wanted = |name: &str, bytes: u64| match asked.as_deref() {
        None => bytes <= UNASKED_BYTES_MAX,
        Some("all") => true,
        Some(names) => names.split(',').any(|asked| asked == name),
    };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "wasm"))
    {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if wanted(&name, fs::metadata(&path).map_or(0, |data| data.len())) {
            found.push((name, path));
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there is no such program in {}", directory.display());
    found
}

#[test]
fn programs_of_others_are_proved() {
    let mut total = Total::default();
    for (name, path) in programs() {
        let wasm = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for memory in [MemoryLayout::Guarded, MemoryLayout::Dense] {
            for cpu in [Cpu::Baseline, Cpu::Features(CpuFeatures::ALL)] {
                total.prove(&name, &wasm, &Options { memory, cpu, ..Options::default() });
            }
        }
    }
    let Total { artifacts, functions, code_bytes, time } = total;
    println!("{artifacts} artifacts, {functions} functions, {:.1} MB, {time:.1?}", code_bytes as f64 / 1e6);
}
