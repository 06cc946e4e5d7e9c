//! Random lives and endings of pooled instances: whatever the last one did, the next behaves as one in a new store, and
//! as one in a new process; so it does where the last one was of another module. `SELVEDGE_ENDINGS` says how many lives
//! a shape of module gets, `SELVEDGE_ENDINGS_PROCESSES` how many of them are compared with processes.

mod common;
mod life;

use std::process::Command;

use common::{kernel_of_child, load_untrusted, on_older_kernels};
use life::{Choices, difference, in_new_store, in_pool, large, linker, pools, shapes, told, ways};
use selvedge_compiler::{Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{InstancePre, Pool, PoolLimits};

/// Each shape of module in each layout: the artifact, ready to be instantiated, and what it is.
fn guests() -> impl Iterator<Item = (Vec<u8>, InstancePre<u32>, String)> {
    let layouts = [MemoryLayout::Guarded, MemoryLayout::Dense];
    let all = layouts.into_iter().flat_map(|layout| (0..).zip(shapes()).map(move |(n, shape)| (layout, n, shape)));
    all.map(|(memory, number, shape)| {
        let artifact = compile(shape.as_bytes(), &Options { memory, ..Options::default() }, &()).unwrap();
        let pre = linker().prepare(&load_untrusted(&artifact)).unwrap();
        (artifact, pre, format!("{memory:?}, shape {number}"))
    })
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Seeds of lives.
fn seeds(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn whatever_the_last_one_did_the_next_is_as_in_a_new_store() {
    let lives = number("SELVEDGE_ENDINGS", if kernel_of_child() { 15 } else { 60 });
    for (_, pre, what) in guests() {
        for limits in pools(pre.module()) {
            let pool = Pool::new(limits).unwrap();
            for seed in seeds(lives) {
                let expected = in_new_store(&pre, &mut Choices::Seed(seed));
                let seen = in_pool(&pool, &pre, &mut Choices::Seed(seed));
                if let Some(difference) = difference(&seen, &expected) {
                    panic!("{what}, {limits:?}, seed {seed:#x}, {difference}");
                }
            }
        }
    }
}

#[test]
fn so_it_is_on_kernels_that_can_do_less() {
    on_older_kernels("whatever_the_last_one_did_the_next_is_as_in_a_new_store");
    on_older_kernels("whatever_module_had_the_slot_the_next_is_as_in_a_new_store");
}

/// One slot for guests of both layouts, or a small one for those that fit it.
fn shared_slots(all: &[InstancePre<u32>]) -> [(PoolLimits, Vec<&InstancePre<u32>>); 2] {
    let is_dense = |pre: &&InstancePre<u32>| {
        pre.module().contract().memories.iter().all(|memory| memory.layout == MemoryLayout::Dense)
    };
    let dense: Vec<_> = all.iter().filter(is_dense).collect();
    let small = dense.iter().map(|pre| PoolLimits::fitting(1, pre.module()));
    let small = small.reduce(|a, b| PoolLimits {
        memory_bytes_max: a.memory_bytes_max.max(b.memory_bytes_max),
        context_bytes_max: a.context_bytes_max.max(b.context_bytes_max),
        ..a
    });
    [(PoolLimits { slots: 1, ..large() }, all.iter().collect()), (small.unwrap(), dense)]
}

#[test]
fn whatever_module_had_the_slot_the_next_is_as_in_a_new_store() {
    let turns = number("SELVEDGE_ENDINGS", if kernel_of_child() { 15 } else { 60 });
    let all: Vec<_> = guests().map(|(_, pre, _)| pre).collect();
    let pools =
        shared_slots(&all).into_iter().flat_map(|(slots, guests)| ways(slots).map(move |way| (way, guests.clone())));
    for (limits, guests) in pools {
        let pool = Pool::new(limits).unwrap();
        for seed in seeds(turns) {
            let mut random = Choices::Seed(seed);
            let number = random.below(guests.len() as u64) as usize;
            // Now and then so many that the slot's pages are marked before the next module has it.
            let lives = if random.below(4) == 0 { 24 } else { 1 + random.below(4) };
            for life in 0..lives {
                let mut choices = Choices::Seed(random.number());
                let expected = in_new_store(guests[number], &mut choices.clone());
                let seen = in_pool(&pool, guests[number], &mut choices);
                if let Some(difference) = difference(&seen, &expected) {
                    panic!("{limits:?}, seed {seed:#x}, guest {number}, life {life}, {difference}");
                }
            }
        }
    }
}

/// Tells the child which life to live: the artifact's path, and the seed.
const CHILD: &str = "SELVEDGE_ENDINGS_CHILD";
/// Before what the child tells.
const BEGIN: &str = "it has seen:\n";

/// What a new process sees of a life.
fn in_new_process(artifact: &std::path::Path, seed: u64) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["whatever_the_last_one_did_the_next_is_as_in_a_new_process", "--exact", "--nocapture"])
        .env(CHILD, format!("{seed} {}", artifact.display()))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {said} {}", output.status, String::from_utf8_lossy(&output.stderr));
    let seen = said.split_once(BEGIN).and_then(|(_, rest)| rest.rsplit_once("it has ended"));
    seen.expect("the child tells what it has seen").0.to_string()
}

#[test]
fn whatever_the_last_one_did_the_next_is_as_in_a_new_process() {
    if let Ok(plan) = std::env::var(CHILD) {
        let (seed, artifact) = plan.split_once(' ').expect("a seed and a path");
        let module = load_untrusted(&std::fs::read(artifact).unwrap());
        let mut choices = Choices::Seed(seed.parse().expect("a number"));
        let seen = in_new_store(&linker().prepare(&module).unwrap(), &mut choices);
        return println!("{BEGIN}{}it has ended", told(&seen));
    }
    let path = std::env::temp_dir().join(format!("selvedge-endings-{}.selv", std::process::id()));
    let lives = number("SELVEDGE_ENDINGS_PROCESSES", 2);
    // Each guest in another of the pools, lives before those that are compared.
    for (nth, (artifact, pre, what)) in guests().enumerate() {
        std::fs::write(&path, &artifact).unwrap();
        let pools = pools(pre.module());
        let limits = pools[nth % pools.len()];
        let pool = Pool::new(limits).unwrap();
        for (n, seed) in (0..).zip(seeds(lives * 5)) {
            let seen = told(&in_pool(&pool, &pre, &mut Choices::Seed(seed)));
            if n % 5 == 4 {
                assert_eq!(seen, in_new_process(&path, seed), "{what}, {limits:?}, seed {seed:#x}");
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
}
