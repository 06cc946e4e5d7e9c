//! Any bytes as what a program writes first: the same head, or the same refusal, however it is cut into writes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_edge::fuzzing;

fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    fuzzing::cgi_head(rest, usize::from(*first));
});
