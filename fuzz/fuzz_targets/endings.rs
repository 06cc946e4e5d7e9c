//! Any bytes as lives of instances, one after another in one pool: each sees what it would see in a new store, and now
//! and then what it would in a new process. The first three bytes are the guest, the pool and how many lives are
//! compared with processes; the rest is what is done.
#![no_main]

use std::collections::HashMap;
use std::process::Command;
use std::sync::Mutex;

use libfuzzer_sys::{Corpus, fuzz_target};
use selvedge_runtime::{InstancePre, Pool};
use selvedge_testkit::{layouts, module};

#[path = "../../crates/runtime/tests/life/mod.rs"]
mod life;

use life::{Choices, difference, in_new_store, in_pool, linker, pools, shapes, told};

/// Most lives in one pool.
const LIVES_MAX: usize = 6;
/// Tells a child where in the input its life begins.
const CHILD: &str = "SELVEDGE_FUZZ_LIFE";

/// The guest of this number, compiled once.
fn guest(number: usize) -> InstancePre<u32> {
    static GUESTS: Mutex<Option<HashMap<usize, InstancePre<u32>>>> = Mutex::new(None);
    let mut guests = GUESTS.lock().expect("nobody panics who has it");
    let compiled = || {
        let (shapes, layout) = (shapes(), layouts()[number % 2]);
        let module = module(&shapes[number / 2 % shapes.len()], layout).expect("the guests are valid, and proved");
        linker().prepare(&module).expect("the guests' imports are there")
    };
    guests.get_or_insert_default().entry(number % (2 * shapes().len())).or_insert_with(compiled).clone()
}

/// What a process of its own sees of the life that begins at an offset of the input: this fuzzer, once.
fn in_new_process(input: &[u8], offset: usize) -> String {
    let file = std::env::temp_dir().join(format!("selvedge-endings-{}", std::process::id()));
    std::fs::write(&file, input).expect("writing the input");
    let own = std::env::current_exe().expect("the fuzzer's own path");
    let output = Command::new(own).arg(&file).env(CHILD, offset.to_string()).output().expect("starting the fuzzer");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("what was seen is text")
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((&[number, way, processes], mut rest)) = input.split_first_chunk() else { return Corpus::Reject };
    let pre = guest(number.into());
    if let Some(offset) = std::env::var_os(CHILD) {
        let offset: usize = offset.to_string_lossy().parse().expect("an offset");
        print!("{}", told(&in_new_store(&pre, &mut Choices::Bytes(&input[offset..]))));
        // To leave the process here would be a finding to libFuzzer.
        return Corpus::Reject;
    }
    let ways = pools(pre.module());
    let pool = Pool::new(ways[usize::from(way) % ways.len()]).expect("there is address space");
    // One in 32 inputs: a process takes a thousand times as long as a life.
    let processes = if processes % 32 == 31 { LIVES_MAX } else { 0 };
    for life in 0..LIVES_MAX {
        let offset = input.len() - rest.len();
        let expected = in_new_store(&pre, &mut Choices::Bytes(rest));
        let mut choices = Choices::Bytes(rest);
        let seen = in_pool(&pool, &pre, &mut choices);
        rest = &rest[rest.len() - choices.left()..];
        if let Some(difference) = difference(&seen, &expected) {
            panic!("life {life}, {difference}");
        }
        if life < processes {
            assert_eq!(told(&seen), in_new_process(input, offset), "life {life}");
        }
        if rest.is_empty() {
            break;
        }
    }
    Corpus::Keep
});
