//! What memories hold, as an image of the pages that are not zero.

use std::ops::Range;

use selvedge_contract::limits::{ARTIFACT_BYTES_MAX, HOST_PAGE_BYTES, PREINIT_IMAGE_RUNS_MAX, WASM_PAGE_BYTES};
use selvedge_contract::{Contract, ImageRun};
use selvedge_runtime::InstanceState;

use crate::error::PreinitError;

const PAGE: usize = HOST_PAGE_BYTES as usize;
/// Runs with no more zero pages between them become one; doubled until there are few enough.
const GAP_PAGES: usize = 4;

/// Sets the memories' sizes and the image's runs; returns the image.
pub(crate) fn memories(contract: &mut Contract, state: &InstanceState<'_>) -> Result<Vec<u8>, PreinitError> {
    let memories: Vec<&[u8]> = (0..contract.memories.len() as u32).filter_map(|i| state.memory(i)).collect();
    for (plan, bytes) in contract.memories.iter_mut().zip(&memories) {
        plan.ty.min_pages = bytes.len() as u64 / WASM_PAGE_BYTES;
    }
    let runs = few(memories.iter().map(|bytes| used(bytes)).collect());
    let pages: usize = runs.iter().flatten().map(ExactSizeIterator::len).sum();
    let bytes = pages as u64 * HOST_PAGE_BYTES;
    if bytes > ARTIFACT_BYTES_MAX as u64 {
        return Err(PreinitError::TooLarge { bytes });
    }
    let mut image = Vec::with_capacity(bytes as usize);
    contract.image.clear();
    for (memory, (runs, bytes)) in (0..).zip(runs.iter().zip(memories)) {
        for run in runs {
            let (page, pages, offset) = (run.start as u64, run.len() as u64, image.len() as u64);
            contract.image.push(ImageRun { memory, page, pages, offset });
            image.extend_from_slice(&bytes[run.start * PAGE..run.end * PAGE]);
        }
    }
    Ok(image)
}

/// The runs of pages that are not zero.
fn used(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (page, bytes) in bytes.chunks_exact(PAGE).enumerate() {
        if *bytes == [0; PAGE] {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == page => run.end += 1,
            _ => runs.push(page..page + 1),
        }
    }
    runs
}

/// Joins runs that are near each other, and more of them until there are few enough.
fn few(mut memories: Vec<Vec<Range<usize>>>) -> Vec<Vec<Range<usize>>> {
    let mut gap = GAP_PAGES;
    loop {
        memories.iter_mut().for_each(|runs| join(runs, gap));
        let count: usize = memories.iter().map(Vec::len).sum();
        // One run a memory is the least.
        if count <= PREINIT_IMAGE_RUNS_MAX.max(memories.len()) {
            return memories;
        }
        gap *= 2;
    }
}

fn join(runs: &mut Vec<Range<usize>>, gap: usize) {
    runs.dedup_by(|next, run| {
        let near = next.start - run.end <= gap;
        if near {
            run.end = next.end;
        }
        near
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_pages_are_left_out_but_for_short_gaps() {
        let mut bytes = vec![0; 20 * PAGE];
        for page in [1, 2, 7, 13] {
            bytes[page * PAGE + 5] = 1;
        }
        assert_eq!(used(&bytes), [1..3, 7..8, 13..14]);
        assert_eq!(few(vec![used(&bytes)]), [vec![1..8, 13..14]]);
    }

    #[test]
    fn scattered_pages_become_few_runs() {
        let scattered: Vec<_> = (0..10_000).map(|i| i * 7..i * 7 + 1).collect();
        let runs = few(vec![scattered.clone()]);
        assert!(runs[0].len() <= PREINIT_IMAGE_RUNS_MAX);
        assert!(scattered.iter().all(|page| runs[0].iter().any(|run| run.contains(&page.start))));
    }
}
