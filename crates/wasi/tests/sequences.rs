//! Random sequences of calls: against a model of a directory, and without any sense. `SELVEDGE_WASI_SEED` repeats
//! one; `SELVEDGE_WASI_RUNS` makes more.

mod model;

use model::{Choices, module, run, wild};
use selvedge_runtime::Module;

/// Choices of a sequence: about 150 calls.
const CHOICES: u32 = 1500;

fn for_each_seed(run: fn(&Module, Choices<'_>) -> Result<(), String>) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SELVEDGE_WASI_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SELVEDGE_WASI_RUNS").unwrap_or(150),
    };
    let module = module();
    for seed in seeds {
        if let Err(difference) = run(&module, Choices::Seed(seed, CHOICES)) {
            panic!("{difference}\nrepeat it with SELVEDGE_WASI_SEED={seed}");
        }
    }
}

#[test]
fn sequences_of_calls_do_what_a_model_does() {
    for_each_seed(run);
}

#[test]
fn calls_without_sense_harm_nobody() {
    for_each_seed(wild::run);
}
