//! Any bytes as WebAssembly: a sound artifact, or an error that is the input's fault.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_compiler::{CompileError, compile};
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_testkit::{layouts, options};

fuzz_target!(|input: &[u8]| {
    let layout = layouts()[input.len() % 2];
    match compile(input, &options(layout), &()) {
        Ok(artifact) => {
            let index = ArtifactIndex::read(&artifact).expect("what the compiler writes can be read");
            index.check_tables(&artifact).expect("what the compiler writes is consistent");
        }
        Err(CompileError::Codegen { message, place }) => panic!("no code for a valid module{place}: {message}"),
        Err(_) => {}
    }
});
