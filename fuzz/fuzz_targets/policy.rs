//! Any text as a policy: one that decides the same when it is read again, or a mistake with its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_contract::policy::{Policy, Signers};

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    match Policy::read("policy", &text) {
        Ok(policy) => {
            assert_eq!(Policy::read("policy", &text), Ok(policy.clone()));
            let lines = text.lines().count() as u32;
            assert!(policy.signers.line.is_some_and(|line| (1..=lines).contains(&line)), "a line of the text");
            assert!(!matches!(&policy.signers.value, Signers::Keys(keys) if keys.is_empty()), "somebody may sign");
            policy.imports_allow.value.iter().for_each(|rule| _ = rule.value.name.matches("proc_exit"));
        }
        Err(error) => {
            let lines = text.matches('\n').count() as u32 + 1;
            assert!((1..=lines).contains(&error.line), "{error}");
            assert!(!error.found.is_empty() && !error.expected.is_empty(), "{error}");
        }
    }
});
