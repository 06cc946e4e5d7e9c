//! Any text as a configuration of the edge server: one, or a mistake in a line of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_edge::fuzzing;

fuzz_target!(|input: &[u8]| fuzzing::config(&String::from_utf8_lossy(input)));
