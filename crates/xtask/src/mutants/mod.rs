//! `cargo xtask mutants`: deleting any check of the verifier must fail one of its tests.
//!
//! A copy of the crate with all changes in it (`sites`) is built once below `target/mutants/`. Its tests are run
//! once without changes, which tells what makes a difference in which of them; then for each change those tests are run
//! until one fails. A change that no test notices is a failure, unless the record says why it changes nothing.

mod copy;
mod record;
mod sites;
mod tests;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};

use self::copy::Named;
use self::record::Record;
use self::tests::Test;
use crate::repo;

/// What survives and may.
const RECORD: &str = "crates/verifier/tests/equivalent.toml";

/// Which mutants to run.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Only those of these files of the crate, by their ends.
    #[arg(long, value_delimiter = ',')]
    file: Vec<String>,
    /// Only those whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// Only every nth of them: a sample.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Leave out so many before the first of them.
    #[arg(long, default_value_t = 0)]
    from: u32,
    /// How many to run at once.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Only list them.
    #[arg(long)]
    list: bool,
    /// Say of each which test noticed it.
    #[arg(long)]
    verbose: bool,
}

/// Every how many mutants continuous integration runs one.
const SAMPLE: u32 = 24;

/// What came of the mutants.
#[derive(Debug, Default)]
struct Outcome {
    noticed: usize,
    explained: usize,
    survive: usize,
    /// Names of what the record explains although a test notices it.
    needless: Vec<String>,
}

/// Runs a sample: always the same of one commit, of others others, so that in time all are run.
pub fn sample() -> Result<()> {
    let from = repo::commit().map_or(0, |hash| hash % SAMPLE);
    println!("a sample of the mutants: cargo xtask mutants --every {SAMPLE} --from {from}");
    let choice = Choice { every: SAMPLE, from, jobs: 2, ..Choice::default() };
    ensure!(run(&choice)?, "a change of the verifier that no test notices, above");
    Ok(())
}

/// Runs the chosen mutants; `true` if all that survive are explained.
pub fn run(choice: &Choice) -> Result<bool> {
    let root = repo::root();
    let record = Record::load(&root.join(RECORD))?;
    let copy = root.join(copy::DIRECTORY);
    let all = copy::write(&root, &copy)?;
    let (from, every) = (choice.from as usize, choice.every as usize);
    let chosen: Vec<&Named> = all.iter().filter(|m| choice.has(m)).skip(from).step_by(every).collect();
    if choice.list {
        chosen.iter().for_each(|m| println!("{}: {}", m.place, m.name));
        return Ok(true);
    }
    let tests = tests::all(&root, &copy)?;
    let begun = Instant::now();
    let outcome = run_all(choice, &root, &record, &tests, &chosen)?;
    let names: Vec<String> = all.iter().map(|m| m.name.clone()).collect();
    let stale: Vec<&str> = record.stale(&names).collect();
    stale.iter().for_each(|name| println!("explained, but there is no such mutant: {name}"));
    outcome.needless.iter().for_each(|name| println!("explained, but a test notices it: {name}"));
    let Outcome { noticed, explained, survive, needless } = outcome;
    let (count, seconds) = (chosen.len(), begun.elapsed().as_secs());
    println!("{noticed} of {count} mutants noticed, {explained} explained, {survive} survive, in {seconds} s");
    Ok(survive == 0 && stale.is_empty() && needless.is_empty())
}

/// Runs these mutants, several at once.
fn run_all(choice: &Choice, root: &Path, record: &Record, tests: &[Test], chosen: &[&Named]) -> Result<Outcome> {
    let outcome = Mutex::new(Outcome::default());
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(mutant) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let killer = killer(root, tests, mutant)?;
            let mut outcome = outcome.lock().unwrap_or_else(|poison| poison.into_inner());
            outcome.add(record, mutant, killer, choice.verbose);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..choice.jobs).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().try_for_each(join)
    })?;
    Ok(outcome.into_inner().unwrap_or_else(|poison| poison.into_inner()))
}

/// The first test that fails with this change.
fn killer<'t>(root: &Path, tests: &'t [Test], mutant: &Named) -> Result<Option<&'t Test>> {
    for test in tests {
        if test.notices(root, mutant.number)? {
            return Ok(Some(test));
        }
    }
    Ok(None)
}

impl Outcome {
    fn add(&mut self, record: &Record, mutant: &Named, killer: Option<&Test>, verbose: bool) {
        let known = record.explains(&mutant.name);
        match killer {
            Some(test) => {
                self.noticed += 1;
                if known {
                    self.needless.push(mutant.name.clone());
                }
                if verbose {
                    println!("noticed by {}: {}: {}", test.name, mutant.place, mutant.name);
                }
            }
            None if known => self.explained += 1,
            None => {
                self.survive += 1;
                println!("survives: {}: {}", mutant.place, mutant.name);
            }
        }
    }
}

impl Choice {
    fn has(&self, mutant: &Named) -> bool {
        let file = mutant.name.split(':').next().unwrap_or_default();
        (self.file.is_empty() || self.file.iter().any(|wanted| file.ends_with(wanted.as_str())))
            && self.only.as_ref().is_none_or(|only| mutant.name.contains(only.as_str()))
    }
}
