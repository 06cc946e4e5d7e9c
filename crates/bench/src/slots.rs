//! Part of `bench instances`: what instances cost that are not the usual case: of a large memory image; the first of a
//! module in a slot; one in a slot that another module has had.

use anyhow::{Context, Result};
use wasm_encoder::{ConstExpr, DataSection, Section};

use crate::Options;
use crate::engine::Settings;
use crate::instances::{Call, TRIVIAL, both_ends, hot};
use crate::report::Report;
use crate::{ours, peer};

/// Bytes of the large image.
const IMAGE_BYTES: usize = 64 << 20;
/// Pools, and instances in each that are the first in their slots.
const POOLS: usize = 4;
const FRESH: usize = 64;
/// Times that a slot changes hands, for each turn.
const TAKEN_OVER: usize = 100;

/// Writes four pages far from each other.
const LARGE: &str = r#"(module (memory (export "memory") 1025) (func (export "run")
    (i32.store (i32.const 5000) (i32.const 1)) (i32.store (i32.const 20000000) (i32.const 2))
    (i32.store (i32.const 40000000) (i32.const 3)) (i32.store (i32.const 60000000) (i32.const 4))))"#;

/// Measures what of this is wanted.
pub(crate) fn measure(report: &mut Report, options: &Options, turns: usize) -> Result<()> {
    let wanted = |name: &str| options.wants(name);
    if !["cycle_large_image", "first_in_slot", "slot_taken_over"].into_iter().any(wanted) {
        return Ok(());
    }
    let large = [large(1)?, large(2)?];
    if wanted("cycle_large_image") {
        let pools = [ours::pool(&large[0], RUN, options.settings)?, peer::pool(&large[0], RUN)?];
        hot(report, "cycle_large_image", true, &pools, turns)?;
    }
    let small = [small(1)?, small(2)?];
    for (wasm, suffix) in [(small, ""), (large, "/large_image")] {
        if wanted("first_in_slot") {
            first(report, &format!("first_in_slot{suffix}"), &wasm[0], options.settings)?;
        }
        if wanted("slot_taken_over") {
            taken_over(report, &format!("slot_taken_over{suffix}"), &wasm, options.settings, turns)?;
        }
    }
    Ok(())
}

const RUN: Option<Call> = Some(Call::Plain("run"));

/// The module of `cycle_trivial_hot`, with a byte of its own.
fn small(byte: u8) -> Result<Vec<u8>> {
    let text = TRIVIAL.replace("0123456789abcdef", &format!("{byte:016}"));
    wat::parse_str(text).context("the small module")
}

/// A module whose memory is full at its start.
fn large(seed: u8) -> Result<Vec<u8>> {
    let mut wasm = wat::parse_str(LARGE).context("the large module")?;
    let mut data = DataSection::new();
    let bytes = (0..IMAGE_BYTES).map(|at| (at as u8).wrapping_mul(31) | seed);
    data.active(0, &ConstExpr::i32_const(0), bytes);
    data.append_to(&mut wasm);
    Ok(wasm)
}

/// Instances in slots that nobody has used.
fn first(report: &mut Report, name: &str, wasm: &[u8], settings: Settings) -> Result<()> {
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..POOLS {
        let pools = [ours::pool(wasm, RUN, settings)?, peer::pool(wasm, RUN)?];
        for (pool, samples) in pools.iter().zip(&mut samples) {
            samples.extend(pool.fill(FRESH)?);
        }
    }
    both_ends(report, name, &samples, POOLS * FRESH);
    Ok(())
}

/// Instances of two modules by turns, in the one slot there is.
fn taken_over(report: &mut Report, name: &str, wasm: &[Vec<u8>; 2], settings: Settings, turns: usize) -> Result<()> {
    let pools = [ours::shared_pool(wasm, RUN, 1, settings)?, peer::shared_pool(wasm, RUN, 1)?];
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..turns * TAKEN_OVER {
        for (modules, samples) in pools.iter().zip(&mut samples) {
            for module in modules {
                let [make, call, drop] = module.parts()?;
                samples.push(make + call + drop);
            }
        }
    }
    both_ends(report, name, &samples, turns * TAKEN_OVER);
    Ok(())
}
