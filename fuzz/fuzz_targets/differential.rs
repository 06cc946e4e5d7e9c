//! Generated modules do on Selvedge what they do on an interpreter.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[allow(dead_code, reason = "the test's part")]
#[path = "../../crates/testkit/tests/differential/mod.rs"]
mod differential;

use differential::compare::{compare, wasmi_errs};
use differential::generate;

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(wasm) = generate::arbitrary_module(input) else { return Corpus::Reject };
    if wasmi_errs(&wasm) {
        return Corpus::Reject;
    }
    if let Err(difference) = compare(&wasm, input.len() as u64) {
        let kept = std::env::temp_dir().join(format!("selvedge-differential-{}.wasm", std::process::id()));
        std::fs::write(&kept, &wasm).expect("writing the module");
        panic!("{difference}\nthe module is {}", kept.display());
    }
    Corpus::Keep
});
