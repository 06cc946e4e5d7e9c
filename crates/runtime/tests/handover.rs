//! Slots of a pool go from use to use and from module to module: who gets which, how many are kept, and that nothing of
//! what one module did is left to another.

mod common;

use common::load_with;
use common::secrets::{ENDINGS, GUEST, end, linker, secrets};
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{Instance, InstancePre, Limits, Pool, PoolLimits, Recycling, Store};

/// Has another size of everything.
const OTHER: &str = r#"(module (memory (export "memory") 2 9) (data (i32.const 5000) "another") (table 3 50 externref)
    (global (export "global") (mut i64) (i64.const 11)) (func (export "size") (result i32) (memory.size)))"#;
/// So often that its pages are marked by then.
const OFTEN: usize = 40;

fn prepared(wat: &str, memory: MemoryLayout) -> InstancePre<u32> {
    linker().prepare(&load_with(wat, &Options { memory, ..Options::default() })).unwrap()
}

/// One slot that has room for both, recycled in every way.
fn one_slot([first, second]: [&InstancePre<u32>; 2]) -> impl Iterator<Item = PoolLimits> {
    let [first, second] = [first, second].map(|pre| PoolLimits::fitting(1, pre.module()));
    let slot = PoolLimits {
        memory_bytes_max: first.memory_bytes_max.max(second.memory_bytes_max),
        context_bytes_max: first.context_bytes_max.max(second.context_bytes_max),
        store: Limits { stack_bytes: 256 << 10, ..Limits::default() },
        ..first
    };
    let ways = [Recycling::Track, Recycling::Scan, Recycling::Discard];
    let residents = ways.into_iter().flat_map(|way| [(way, u64::MAX), (way, 5 << 12)]);
    residents.map(move |(recycling, resident_bytes_per_slot_max)| PoolLimits {
        recycling,
        resident_bytes_per_slot_max,
        ..slot
    })
}

fn address(store: &Store<u32>, instance: Instance) -> u64 {
    instance.get_memory(store, "memory").unwrap().data(store).as_ptr() as u64
}

/// Whether all of an instance of [`OTHER`] is as at first.
fn is_new(store: &Store<u32>, instance: Instance) -> bool {
    let memory = instance.get_memory(store, "memory").unwrap().data(store);
    let (before, rest) = memory.split_at(5000);
    let (data, after) = rest.split_at(7);
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let global = instance.get_global(store, "global").unwrap().get(store);
    memory.len() == 2 << 16 && data == b"another" && zero(before) && zero(after) && format!("{global:?}") == "I64(11)"
}

#[test]
fn another_module_finds_nothing_of_the_one_that_had_its_slot() {
    use MemoryLayout::{Dense, Guarded};
    for layouts in [[Guarded, Dense], [Dense, Guarded], [Guarded, Guarded], [Dense, Dense]] {
        let (leaves, other) = (prepared(GUEST, layouts[0]), prepared(OTHER, layouts[1]));
        for limits in one_slot([&leaves, &other]) {
            let pool = Pool::new(limits).unwrap();
            for (how, uses) in ENDINGS.into_iter().zip([1, OFTEN].into_iter().cycle()) {
                let what = format!("{layouts:?}, {limits:?}, after {how}, {uses} times");
                for _ in 1..uses {
                    let (store, instance) = pool.instantiate(&leaves, 1).unwrap();
                    end(store, instance, "return");
                }
                let (store, instance) = pool.instantiate(&leaves, 1).unwrap();
                let base = address(&store, instance);
                end(store, instance, how);
                let (store, instance) = pool.instantiate(&other, 1).unwrap();
                assert!(address(&store, instance).abs_diff(base) < 1 << 20, "there is one slot");
                assert_eq!(secrets(base - (1 << 20)..base + (20 << 16)), [0; 0], "{what}");
                assert!(is_new(&store, instance), "{what}");
            }
        }
    }
}

#[test]
fn a_slot_stays_with_its_module_and_who_was_used_last_comes_first() {
    let (one, other) = (prepared(GUEST, MemoryLayout::Guarded), prepared(OTHER, MemoryLayout::Dense));
    let pool = Pool::new(PoolLimits::guarded(3)).unwrap();
    let [(first, a), (second, b), (third, c)] = [&one, &one, &other].map(|pre| pool.instantiate(pre, 1).unwrap());
    let places = [address(&first, a), address(&second, b), address(&third, c)];
    drop((first, second, third));
    for _ in 0..5 {
        let [last, before, others] = [&one, &one, &other].map(|pre| pool.instantiate(pre, 1).unwrap());
        let at = |(store, instance): &(Store<u32>, Instance)| address(store, *instance);
        assert_eq!([at(&last), at(&before), at(&others)], [places[1], places[0], places[2]]);
        drop((others, before, last));
        drop(pool.instantiate(&one, 1).unwrap());
    }
}

#[test]
fn all_that_is_idle_keeps_no_more_pages_than_the_pool_may() {
    let pre = prepared(GUEST, MemoryLayout::Dense);
    for recycling in [Recycling::Track, Recycling::Scan, Recycling::Discard] {
        // Each fills three pages of 64 KiB, and the threads that are not here have their share.
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let resident_bytes_max = (threads * 4) << 18;
        let pool = Pool::new(PoolLimits { recycling, resident_bytes_max, ..PoolLimits::guarded(16) }).unwrap();
        for round in 0..OFTEN {
            let held: Vec<_> = (0..16).map(|_| pool.instantiate(&pre, 1).unwrap()).collect();
            held.into_iter().for_each(|(store, instance)| end(store, instance, "return"));
            let (idle, kept) = (pool.idle(), pool.resident_bytes());
            assert!(kept <= resident_bytes_max / threads, "{recycling:?}, round {round}: {kept} bytes");
            match recycling {
                Recycling::Discard => assert_eq!((idle, kept), (16, 0)),
                _ => assert!((1..16).contains(&idle) && kept > 1 << 18, "{recycling:?}: {idle} keep {kept} bytes"),
            }
        }
    }
}
