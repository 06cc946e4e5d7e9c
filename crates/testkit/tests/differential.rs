//! Seeded modules behave on Selvedge, in both memory layouts, as they do on an interpreter: in new stores, and where others
//! have lived and ended before.
//!
//! `SELVEDGE_SEED=N` replays one module, `SELVEDGE_CASES=N` runs so many. Modules that differ are kept under
//! the target directory; the message says where.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

#[allow(dead_code, reason = "the fuzz target's part")]
#[path = "differential/mod.rs"]
mod differential;

use differential::compare::{Compared, compare, wasmi_errs};
use differential::generate;

/// Modules, unless `SELVEDGE_CASES` says otherwise: well under a minute on one core, in a build for tests.
const CASES: u64 = 2_000;
/// Differences after which the test stops looking.
const DIFFERENCES_MAX: usize = 10;

#[test]
fn modules_behave_as_on_an_interpreter() {
    let seeds = match number("SELVEDGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SELVEDGE_CASES").unwrap_or(CASES),
    };
    let (mut compared, mut differences) = (Compared::default(), Vec::new());
    for seed in seeds.clone() {
        match one(seed) {
            Ok(one) => compared.add(one),
            Err(difference) => differences.push(difference),
        }
        if differences.len() == DIFFERENCES_MAX {
            break;
        }
    }
    println!("{} modules: {compared:?}", seeds.end - seeds.start);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let many = seeds.end - seeds.start >= CASES;
    assert!(!many || compared.returned * 5 > compared.calls, "too few calls return to tell much: {compared:?}");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|e| panic!("{variable} is not a number: {e}")))
}

/// Compares the module of one seed, or leaves it out if wasmi is known to err on it; a difference names the seed and the files it left.
fn one(seed: u64) -> Result<Compared, String> {
    let wasm = generate::module(seed);
    if wasmi_errs(&wasm) {
        return Ok(Compared { left_out: 1, ..Compared::default() });
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("differential-{seed}.wasm"));
    std::fs::write(&kept, &wasm).expect("writing under the target directory");
    let found = match catch_unwind(AssertUnwindSafe(|| compare(&wasm, seed))) {
        Ok(found) => found,
        Err(panic) => Err(format!("panicked: {}", message(&*panic))),
    };
    let described = found.map_err(|difference| describe(seed, &kept, &wasm, &difference));
    if described.is_ok() {
        // What is left over after a crash of the whole test tells whose module it was.
        std::fs::remove_file(&kept).expect("removing what was just written");
    }
    described
}

fn describe(seed: u64, kept: &Path, wasm: &[u8], difference: &str) -> String {
    format!("SELVEDGE_SEED={seed} ({} bytes, kept as {}): {difference}", wasm.len(), kept.display())
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("(no message)").to_owned()
}
