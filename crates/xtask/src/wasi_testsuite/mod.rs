//! `cargo xtask wasi-testsuite DIR`: the preview-1 tests of a checkout of WebAssembly/wasi-testsuite, under
//! `selvedge run`, in both memory layouts.
//!
//! The suite is not part of this repository. Its built tests are on its branch `prod/testsuite-base`, in
//! `tests/*/testsuite/wasm32-wasip1`: a module each, most with a manifest and a directory to work in.
//!
//! No test is skipped and none is expected to fail: there is no list of exceptions.

mod case;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::repo;

/// Where a language's built tests are, below its directory in `tests`.
const BUILT: &str = "testsuite/wasm32-wasip1";
const LAYOUTS: [&str; 2] = ["guarded", "dense"];

/// Runs every test of a checkout; `true` if none failed.
pub fn run(checkout: &Path) -> Result<bool> {
    let tests = tests(checkout)?;
    let selvedge = build()?;
    let mut failed = 0;
    for (layout, test) in LAYOUTS.iter().flat_map(|layout| tests.iter().map(move |test| (layout, test))) {
        if let Err(error) = case::run(&selvedge, test, layout) {
            println!("failed: {} {layout}: {error:#}", name(checkout, test));
            failed += 1;
        }
    }
    println!("{} tests in {} layouts", tests.len(), LAYOUTS.len());
    println!("{} passed, {failed} failed", tests.len() * LAYOUTS.len() - failed);
    Ok(failed == 0)
}

/// The modules of a checkout, sorted.
fn tests(checkout: &Path) -> Result<Vec<PathBuf>> {
    let languages = checkout.join("tests");
    let no_checkout = || {
        let (at, built) = (checkout.display(), format!("tests/*/{BUILT}/*.wasm"));
        format!(
            "{at} is no checkout of WebAssembly/wasi-testsuite with built tests (branch prod/testsuite-base): it has no {built}"
        )
    };
    let built = list(&languages).with_context(no_checkout)?.into_iter().map(|language| language.join(BUILT));
    let mut tests = Vec::new();
    for directory in built.filter(|directory| directory.is_dir()) {
        tests.extend(list(&directory)?.into_iter().filter(|file| file.extension().is_some_and(|e| e == "wasm")));
    }
    ensure!(!tests.is_empty(), no_checkout());
    Ok(tests)
}

fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = directory.read_dir().with_context(|| format!("reading {}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// A test as it is called in what we print.
fn name(checkout: &Path, test: &Path) -> String {
    test.strip_prefix(checkout).unwrap_or(test).display().to_string()
}

/// The command, built as this program was.
fn build() -> Result<PathBuf> {
    let own = std::env::current_exe().context("looking for the target directory")?;
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "selvedge-cli", "--profile", profile])
        .current_dir(repo::root())
        .status()
        .context("running cargo")?;
    ensure!(built.success(), "the selvedge command does not build");
    Ok(own.with_file_name("selvedge"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_checkout_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let explain = |path: &Path| format!("{:#}", tests(path).unwrap_err());
        assert!(explain(&directory.path().join("nowhere")).contains("No such file"));
        std::fs::create_dir_all(directory.path().join("tests/c/src")).unwrap();
        let unbuilt = explain(directory.path());
        assert!(unbuilt.contains("prod/testsuite-base") && unbuilt.contains("wasm32-wasip1/*.wasm"), "{unbuilt}");
    }

    #[test]
    fn tests_are_the_modules_of_every_language() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["rust/testsuite/wasm32-wasip1/b.wasm", "c/testsuite/wasm32-wasip1/a.wasm", "c/testsuite/x.wasm"] {
            let file = directory.path().join("tests").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file.with_extension("json"), "{}").unwrap();
            std::fs::write(file, "").unwrap();
        }
        let names: Vec<_> = tests(directory.path()).unwrap().iter().map(|test| name(directory.path(), test)).collect();
        assert_eq!(names, ["tests/c/testsuite/wasm32-wasip1/a.wasm", "tests/rust/testsuite/wasm32-wasip1/b.wasm"]);
    }
}
