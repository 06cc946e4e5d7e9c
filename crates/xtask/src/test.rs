//! `cargo xtask test`: everything a change must pass, ending in one line, `N passed, N failed`.
//!
//! A gate that fails does not stop the next one, so that one run tells all; it counts as one failure.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{guests, modules, mutants, repo, tidy};

const FORMAT: &[&str] = &["fmt", "--all", "--check"];
const CLIPPY: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
const TESTS: &[&str] = &["test", "--workspace", "--no-fail-fast"];

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Test programs begun, less those that gave their result: the ones that crashed.
    open: usize,
    /// What failed, by name.
    names: Vec<String>,
}

/// Runs every gate and every test; `true` if nothing failed. `quick` takes guests as they are.
pub fn run(quick: bool) -> Result<bool> {
    let root = repo::root();
    let mut tally = Tally::default();
    if !quick {
        tally.gate("guests", guests::build(&[]));
        tally.gate("modules", modules::fetch(&[]));
    }
    tally.gate("format", components(&root).and_then(|()| succeed(&root, FORMAT)));
    tally.gate("clippy", succeed(&root, CLIPPY));
    tally.gate("tidy", tidied());
    if !quick {
        tally.gate("mutants", mutants::sample());
    }
    tally.tests(&root)?;
    tally.names.iter().for_each(|name| println!("failed: {name}"));
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally.failed == 0)
}

/// `tidy` prints what it finds; here it counts as one.
fn tidied() -> Result<()> {
    ensure!(tidy::run(false)?, "findings above");
    Ok(())
}

/// Adds rustfmt and clippy to a toolchain installed without them.
fn components(root: &Path) -> Result<()> {
    let present = |verb| cargo(root, &[verb, "--version"]).output().is_ok_and(|o| o.status.success());
    if present("fmt") && present("clippy") {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    let status = rustup.args(["component", "add", "rustfmt", "clippy"]).current_dir(root).status();
    let status = status.context("rustfmt or clippy is missing, and so is rustup: install them")?;
    ensure!(status.success(), "rustup could not add rustfmt and clippy");
    Ok(())
}

fn cargo(root: &Path, args: &[&str]) -> Command {
    let name = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(name);
    command.args(args).current_dir(root);
    command
}

fn succeed(root: &Path, args: &[&str]) -> Result<()> {
    let status = cargo(root, args).status().context("running cargo")?;
    ensure!(status.success(), "`cargo {}` ended with {status}", args.join(" "));
    Ok(())
}

impl Tally {
    /// Names the gate, and counts it if it failed.
    fn gate(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => println!("{name}: passed"),
            Err(error) => {
                println!("{name}: FAILED: {error:#}");
                self.failed += 1;
                self.names.push(name.to_owned());
            }
        }
    }

    /// Runs the tests, passing their output on as it comes.
    fn tests(&mut self, root: &Path) -> Result<()> {
        let mut child = cargo(root, TESTS).stdout(Stdio::piped()).spawn().context("running cargo test")?;
        let before = self.failed;
        let output = child.stdout.take().context("no output of cargo test")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("reading the output of cargo test")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            self.read(&line);
        }
        let status = child.wait().context("waiting for cargo test")?;
        self.close(status.success(), before);
        Ok(())
    }

    /// Counts the test programs that gave no result, given the failures before them.
    fn close(&mut self, success: bool, before: usize) {
        self.failed += self.open;
        if self.open > 0 {
            self.names.push(format!("test programs that ended early: {}", self.open));
        }
        if !success && self.failed == before {
            self.failed += 1;
            self.names.push("cargo test, without a result".to_owned());
        }
    }

    /// Takes in one line of a test program.
    fn read(&mut self, line: &str) {
        if is_start(line) {
            self.open += 1;
        }
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names.push(name.to_owned());
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            self.open = self.open.saturating_sub(1);
            self.passed += count(result, "passed");
            self.failed += count(result, "failed");
        }
    }
}

/// `running 12 tests`
fn is_start(line: &str) -> bool {
    let number = line.strip_prefix("running ").and_then(|rest| rest.split_once(" test"));
    number.is_some_and(|(number, _)| number.parse::<usize>().is_ok())
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(result: &str, word: &str) -> usize {
    let words: Vec<&str> = result.split([' ', ';']).collect();
    let pair = words.windows(2).find(|pair| pair[1] == word);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_and_crashes_are_failures() {
        let ok = "running 3 tests\ntest a ... ok\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 m";
        let bad = "running 1 test\ntest b ... FAILED\ntest result: FAILED. 0 passed; 1 failed; 0 ignored";
        let crash = "running 7 tests\ntest a ... ok";
        for (output, success, passed, failed, names) in [
            (String::new(), true, 0, 0, &[][..]),
            (String::new(), false, 0, 1, &["cargo test, without a result"]),
            (ok.to_owned(), true, 3, 0, &[]),
            (format!("{ok}\n{bad}"), false, 3, 1, &["b"]),
            (format!("{crash}\n{ok}"), false, 3, 1, &["test programs that ended early: 1"]),
            ("running a guest test\n5 passed".to_owned(), true, 0, 0, &[]),
        ] {
            let mut tally = Tally::default();
            output.lines().for_each(|line| tally.read(line));
            tally.close(success, 0);
            assert_eq!((tally.passed, tally.failed), (passed, failed), "{output}");
            assert_eq!(tally.names, names, "{output}");
        }
    }

    #[test]
    fn a_gate_counts_only_when_it_fails() {
        let mut tally = Tally::default();
        tally.gate("good", Ok(()));
        tally.gate("bad", Err(anyhow::anyhow!("no")));
        assert_eq!(tally, Tally { failed: 1, names: vec!["bad".to_owned()], ..Tally::default() });
    }
}
