//! Any bytes as a sequence of calls on a directory: each answers what a model of a directory does. With the first
//! bit set, calls without sense: they harm nobody.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use selvedge_runtime::Module;

#[path = "../../crates/wasi/tests/model/mod.rs"]
mod model;

use model::{Choices, module, run, wild};

static MODULE: LazyLock<Module> = LazyLock::new(module);

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let run = if first & 1 == 0 { run } else { wild::run };
    if let Err(difference) = run(&MODULE, Choices::Bytes(rest)) {
        panic!("{difference}");
    }
});
