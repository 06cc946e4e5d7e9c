//! The same programs under our system interface and the peer's, each in its own copy of the same directory:
//! what they print, how they end and what they leave behind must be the same.
//!
//! Programs come from `guests/cases`. What differs on purpose is in `wasi/differences.toml`, with its reason; an
//! entry that nothing needs any more is a failure.

#[path = "wasi/differences.rs"]
mod differences;
#[path = "wasi/ours.rs"]
mod ours;
#[path = "wasi/peer.rs"]
mod peer;
#[path = "wasi/tree.rs"]
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use selvedge_testkit::cases::Program;

use differences::Differences;
use tree::Entry;

/// More than any of the programs prints.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// Compiling larger modules twice, by unoptimised compilers, takes longer than all the rest.
const MODULE_BYTES_MAX: u64 = 2 << 20;

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Exit(i32),
    Trap,
}

/// What came of a run.
#[derive(Debug)]
struct Outcome {
    ending: Ending,
    stdout: String,
    stderr: String,
    tree: BTreeMap<String, Entry>,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Whether there is anything to run; in continuous integration there must be.
fn built() -> bool {
    let built = ["target/guests", "target/modules"].iter().all(|directory| root().join(directory).is_dir());
    const FIRST: &str = "run `cargo xtask guests` and `cargo xtask modules` first";
    assert!(built || std::env::var_os("CI").is_none(), "{FIRST}");
    if !built {
        eprintln!("\n*** NOT TESTED: {FIRST} ***\n");
    }
    built
}

#[test]
fn programs_behave_as_under_the_peer() {
    if !built() {
        return;
    }
    let mut differences = Differences::load(&root().join("crates/bench/tests/wasi/differences.toml")).unwrap();
    let mut engines = (ours::Ours::default(), peer::Peer::start().unwrap());
    let mut findings = Vec::new();
    let programs = Program::all(root(), MODULE_BYTES_MAX).unwrap();
    let compared: Vec<_> = programs.iter().filter(|program| !differences.leaves_out(&program.name)).collect();
    for program in &compared {
        match compare(program, &mut engines, &mut differences) {
            Ok(found) => findings.extend(found.into_iter().map(|finding| format!("{}: {finding}", program.name))),
            Err(error) => findings.push(format!("{}: {error:#}", program.name)),
        }
    }
    findings.extend(differences.unused());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(compared.len() > 50, "only {} programs were compared", compared.len());
}

fn compare(
    program: &Program,
    (ours, peer): &mut (ours::Ours, peer::Peer),
    differences: &mut Differences,
) -> Result<Vec<String>> {
    let (ours, theirs) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| in_directory(program, |directory| ours.run(program, directory)));
        let theirs = in_directory(program, |directory| peer.run(program, directory));
        (ours.join().unwrap_or_else(|_| Err(anyhow!("it panicked"))), theirs)
    });
    let (ours, theirs) = (ours.context("ours")?, theirs.context("the peer")?);
    let mut findings = Vec::new();
    if ours.ending != theirs.ending {
        findings.push(format!("ended with {:?}, the peer's with {:?}", ours.ending, theirs.ending));
    }
    findings.extend(differences.between(&program.name, &ours.stdout, &theirs.stdout));
    findings.extend(differences.between(&program.name, &ours.stderr, &theirs.stderr));
    findings.extend(tree::differences(&ours.tree, &theirs.tree));
    Ok(findings)
}

/// Runs in a fresh copy of the program's directory, and adds what it left there.
fn in_directory(program: &Program, run: impl FnOnce(Option<&Path>) -> Result<Outcome>) -> Result<Outcome> {
    let Some(files) = &program.files else { return run(None) };
    let directory = tempfile::TempDir::new().context("making a directory for the guest")?;
    for (name, contents) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().context("a file has a directory")?)?;
        std::fs::write(&path, contents).with_context(|| format!("writing {name}"))?;
    }
    let outcome = run(Some(directory.path()))?;
    Ok(Outcome { tree: tree::read(directory.path())?, ..outcome })
}
