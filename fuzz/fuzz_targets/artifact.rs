//! Any bytes as an artifact: refused, or consistent. What is accepted is never run: code that was tampered with
//! is the verifier's to find.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_contract::artifact::ArtifactIndex;

fuzz_target!(|input: &[u8]| {
    let Ok(index) = ArtifactIndex::read(input) else { return };
    if index.check_tables(input).is_ok() {
        let names = index.names(input);
        (0..index.contract.function_count() as u32).for_each(|function| _ = names.get(function));
        let (text, functions, traps) = (index.text(), index.functions(input), index.traps(input));
        (0..text.len() as u32).step_by(251).for_each(|at| _ = (functions.find(at), traps.find(at)));
    }
});
