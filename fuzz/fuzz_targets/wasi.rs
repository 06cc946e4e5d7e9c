//! Any bytes as a sequence of calls on a directory: each answers what a model of a directory does.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use selvedge_runtime::Module;

#[allow(dead_code, reason = "the test's part")]
#[path = "../../crates/wasi/tests/model/mod.rs"]
mod model;

use model::{Choices, module, run};

static MODULE: LazyLock<Module> = LazyLock::new(module);

fuzz_target!(|input: &[u8]| {
    if let Err(difference) = run(&MODULE, Choices::Bytes(input)) {
        panic!("{difference}");
    }
});
