//! Part of `bench instances`: a JavaScript engine with an application loaded, initialised in advance, as a fresh
//! instance for each request. The guest is `guests/c/javascript.c` (QuickJS-ng).

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use selvedge_contract::limits::HOST_PAGE_BYTES;

use crate::Options;
use crate::instances::{Call, Cycles, TURN, both_ends, hot, percentile, two_threads};
use crate::programs::workspace;
use crate::report::{Figure, Report};
use crate::{ours, peer, snapshot};

/// Name of the figure.
pub(crate) const NAME: &str = "cycle_javascript";
/// What initialises the guest.
const INITIALISE: &str = "wizer.initialize";
/// A request, and how many bytes are answered: `{"id":42,"name":"article 42","price":59.8}`.
const REQUEST: (&[u8], i32) = (b"/article/article 42", 42);
/// Times that the pages are copied, to know what one costs.
const COPIES: usize = 1_000;

/// Cycles of both engines from the same snapshot; what of them is JavaScript, and what its pages cost at least.
pub(crate) fn cycles(report: &mut Report, options: &Options, turns: usize) -> Result<()> {
    let path = workspace().join("target/guests/c-javascript.wasm");
    let wasm = fs::read(&path).with_context(|| {
        format!("cannot read {}: build it with `cargo xtask guests --only c-javascript`", path.display())
    })?;
    let artifact = ours::initialised(&wasm, Some(INITIALISE), options.settings)?;
    let snapshot = snapshot::as_wasm(&wasm, &artifact)?;
    let at = ours::address(&artifact, "request")?;
    let call = Call::Request { export: "answer", at, bytes: REQUEST.0, answer: REQUEST.1 };
    let pools: [Box<dyn Cycles>; 2] =
        [Box::new(ours::pool_of(&artifact, Some(call))?), peer::pool(&snapshot, Some(call))?];
    hot(report, NAME, true, &pools, turns)?;
    two_threads(report, NAME, &pools, turns, None)?;
    instance_alone(report, &pools, turns)?;
    floor(report, &artifact, call)
}

/// What of a cycle is the instance, made and dropped, and what the guest.
fn instance_alone(report: &mut Report, pools: &[Box<dyn Cycles>; 2], turns: usize) -> Result<()> {
    let mut samples: [[Vec<f64>; 2]; 2] = Default::default();
    for _ in 0..turns {
        for (pool, samples) in pools.iter().zip(&mut samples) {
            for _ in 0..TURN {
                let [make, call, dropped] = pool.parts()?;
                samples[0].push(make + dropped);
                samples[1].push(call);
            }
        }
    }
    let [[our_instance, our_guest], [peers_instance, peers_guest]] = samples;
    both_ends(report, "javascript/instance", &[our_instance, peers_instance], turns * TURN);
    both_ends(report, "javascript/guest", &[our_guest, peers_guest], turns * TURN);
    Ok(())
}

/// What it costs to copy the pages that a request changes, and those that recycling resets because it has written them.
fn floor(report: &mut Report, artifact: &[u8], call: Call) -> Result<()> {
    let (changed, written) = (ours::changed_pages(artifact, call)?, ours::kept_pages(artifact, call)?);
    let page = copy_of_a_page(written);
    let floor = |pages: u64| Some(pages as f64 * page);
    report.add(Figure::new("javascript/floor/changed".into(), floor(changed), None, "ns", 1));
    report.add(Figure::new("javascript/floor/written".into(), floor(written), None, "ns", 1));
    report.note(&format!(
        "{NAME}: a request changes {changed} pages of memory and writes {written}, stack included; copying one takes {page:.0} ns"
    ));
    Ok(())
}

/// Nanoseconds to copy a page, among so many that are copied again and again.
fn copy_of_a_page(pages: u64) -> f64 {
    let bytes = (pages * HOST_PAGE_BYTES) as usize;
    let (from, mut to) = (vec![1u8; bytes], vec![0u8; bytes]);
    let sample = |_| {
        let start = Instant::now();
        for (to, from) in to.chunks_mut(HOST_PAGE_BYTES as usize).zip(from.chunks(HOST_PAGE_BYTES as usize)) {
            to.copy_from_slice(black_box(from));
        }
        black_box(&mut to);
        start.elapsed().as_nanos() as f64 / pages as f64
    };
    percentile((0..COPIES).map(sample).collect(), 50)
}
