//! Any bytes as a bundle: one whose files are within it, or refused by name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_edge::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::bundle(input));
