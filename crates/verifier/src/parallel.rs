//! All functions, on as many threads as the caller gives. What is reported does not depend on timing.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use selvedge_contract::artifact::{ArtifactIndex, TextFunction};

use crate::facts::Facts;
use crate::report::Refusal;
use crate::walk::{Counts, prove};
use crate::{Proof, REFUSALS_MAX, Report};

/// Functions that a thread takes at a time.
const BATCH: usize = 32;

#[derive(Default)]
struct Outcome {
    counts: Counts,
    refused: usize,
    refusals: Vec<Refusal>,
}

/// Proves every text function.
pub(crate) fn prove_all(
    facts: &Facts<'_>,
    artifact: &[u8],
    index: &ArtifactIndex,
    threads: NonZeroUsize,
) -> Result<Proof, Box<Report>> {
    let next = AtomicUsize::new(0);
    let count = facts.records.len();
    let workers = threads.get().min(count.div_ceil(BATCH)).max(1);
    let outcomes = thread::scope(|scope| {
        // Where there are no more threads to be had, fewer do it.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, || work(facts, &next)).ok();
        let spawned: Vec<_> = (1..workers).filter_map(spawn).collect();
        let own = work(facts, &next);
        // A thread that panicked has proved nothing: the panic goes on here.
        let others = spawned.into_iter().map(|w| w.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        others.chain([own]).collect::<Vec<_>>()
    });
    let mut total = Outcome::default();
    outcomes.into_iter().for_each(|outcome| total.add(outcome));
    if total.refused == 0 {
        let code_bytes = facts.records.iter().map(|record| u64::from(record.text_len)).sum();
        return Ok(Proof { functions: count, code_bytes, counts: total.counts });
    }
    total.cut();
    let names = index.names(artifact);
    for refusal in &mut total.refusals {
        let imports = facts.imports.len() as u32;
        let function = match refusal.function {
            Some(TextFunction::Defined(defined)) => Some(imports + defined),
            Some(TextFunction::HostThunk(import) | TextFunction::ImportThunk(import)) => Some(import),
            _ => None,
        };
        refusal.name = function.and_then(|function| names.get(function)).map(str::to_owned);
    }
    Err(Box::new(Report { functions: count, refused: total.refused, refusals: total.refusals }))
}

fn work(facts: &Facts<'_>, next: &AtomicUsize) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= facts.records.len() {
            return outcome;
        }
        for number in first..(first + BATCH).min(facts.records.len()) {
            match prove(facts, number) {
                Ok(counts) => outcome.counts.add(counts),
                Err(refusal) => outcome.refuse(*refusal),
            }
        }
    }
}

impl Outcome {
    fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        // Batches ascend, so the first of each thread include the first of all.
        if self.refusals.len() < REFUSALS_MAX {
            self.refusals.push(refusal);
        }
    }

    /// Leaves the first refusals, in order.
    fn cut(&mut self) {
        self.refusals.sort_by_key(|refusal| refusal.offset);
        self.refusals.truncate(REFUSALS_MAX);
    }

    fn add(&mut self, other: Outcome) {
        self.counts.add(other.counts);
        self.refused += other.refused;
        self.refusals.extend(other.refusals);
    }
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.instructions += other.instructions;
        self.steps += other.steps;
        self.heap_accesses += other.heap_accesses;
        self.indirect_calls += other.indirect_calls;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;

    #[test]
    fn the_first_refusals_of_all_threads_are_left() {
        let refusal = |offset| Refusal {
            function: None,
            name: None,
            offset,
            instruction: String::new(),
            before: Vec::new(),
            rule: Rule::Bytes,
            detail: String::new(),
            state: String::new(),
        };
        let mut outcome = Outcome { refusals: (0..150).rev().map(refusal).collect(), ..Outcome::default() };
        outcome.cut();
        let offsets: Vec<u32> = outcome.refusals.iter().map(|refusal| refusal.offset).collect();
        assert_eq!(offsets, (0..REFUSALS_MAX as u32).collect::<Vec<_>>());
    }
}
