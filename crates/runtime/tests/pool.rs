//! Pooled instances: fresh each time, whatever happened before; bounded; refused when stale.

mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::secrets::{ENDINGS, GUEST, SEED, end, linker, secrets};
use common::{kernel_of_child, load_with, on_older_kernels};
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{
    AsContextMut, CallError, Instance, InstancePre, InstantiateError, Limits, Linker, Module, NativeError, Pool,
    PoolLimits, Recycling, Store, TimeLimits, Val,
};

fn module(wat: &str, layout: MemoryLayout) -> Module {
    load_with(wat, &Options { memory: layout, ..Options::default() })
}

fn limits(slots: u32) -> PoolLimits {
    PoolLimits { store: Limits { stack_bytes: 256 << 10, ..Limits::default() }, ..PoolLimits::guarded(slots) }
}

/// Slots of both kinds, and every way of recycling, with all pages resident or next to none.
fn every_way(module: &Module) -> Vec<PoolLimits> {
    let (small, large) = (PoolLimits::fitting(1, module), limits(1));
    let small = PoolLimits { store: large.store, ..small };
    let ways = [Recycling::Track, Recycling::Scan, Recycling::Discard];
    let residents = ways.into_iter().flat_map(|way| [(way, u64::MAX), (way, 5 << 12)]);
    let pools = residents.map(|(recycling, resident_bytes_per_slot_max)| {
        [large, small].map(|slots| PoolLimits { recycling, resident_bytes_per_slot_max, ..slots })
    });
    pools.flatten().collect()
}

/// What can be seen of an instance.
fn observe(store: &mut Store<u32>, instance: Instance) -> Vec<Val> {
    let mut call = |name: &str| instance.get_func(&*store, name).unwrap().call(store, &[]).unwrap();
    let mut seen = call("size");
    for name in ["sum", "tables", "passive", "sum"] {
        seen.extend(call(name));
    }
    seen
}

#[test]
fn a_recycled_instance_is_a_new_one_whatever_ended_the_last() {
    kernel_of_child();
    for layout in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let module = module(GUEST, layout);
        let pre = linker().prepare(&module).unwrap();
        let mut fresh = Store::new(0, Limits::default()).unwrap();
        let instance = pre.instantiate(&mut fresh).unwrap();
        let expected = observe(&mut fresh, instance);
        for limits in every_way(&module) {
            let pool = Pool::new(limits).unwrap();
            for how in ENDINGS.into_iter().chain(ENDINGS) {
                let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
                let memory = instance.get_memory(&store, "memory").unwrap();
                let base = memory.data(&store).as_ptr() as u64;
                let around = base - (512 << 10)..base + (20 << 16);
                assert_eq!(observe(&mut store, instance), expected, "{limits:?}, before {how}");
                drop(store);
                let (store, instance) = pool.instantiate(&pre, 1).unwrap();
                end(store, instance, how);
                assert_eq!(secrets(around.clone()), [0; 0], "{layout:?}, {limits:?}, after {how}");
                assert_eq!(pool.idle(), 1, "{layout:?}, {limits:?}, after {how}");
                let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
                assert_eq!(instance.get_memory(&store, "memory").unwrap().data(&store).as_ptr() as u64, base);
                assert_eq!(observe(&mut store, instance), expected, "{layout:?}, {limits:?}, after {how}");
            }
        }
    }
}

/// Each way falls back to the next where the kernel lacks what it needs.
#[test]
fn so_it_is_on_kernels_that_can_do_less() {
    on_older_kernels("a_recycled_instance_is_a_new_one_whatever_ended_the_last");
    on_older_kernels("memory_that_was_grown_before_is_out_of_bounds_again");
}

#[test]
fn the_search_for_secrets_finds_them() {
    let module = module(GUEST, MemoryLayout::Guarded);
    let pre = linker().prepare(&module).unwrap();
    let pool = Pool::new(limits(1)).unwrap();
    let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
    instance.typed_func::<i64, ()>(&store, "return").unwrap().call(&mut store, SEED).unwrap();
    let base = instance.get_memory(&store, "memory").unwrap().data(&store).as_ptr() as u64;
    assert!(secrets(base..base + (8 << 16)).len() > 100, "in memory");
    assert!(secrets(base - 4096..base).len() > 1, "in globals");
    assert!(secrets(base - (512 << 10)..base - 4096).len() > 100, "on the stack");
}

#[test]
fn memory_that_was_grown_before_is_out_of_bounds_again() {
    kernel_of_child();
    for layout in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let pre = linker().prepare(&module(GUEST, layout)).unwrap();
        let pool = Pool::new(limits(1)).unwrap();
        for _ in 0..3 {
            let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
            let beyond = instance.typed_func::<i32, i32>(&store, "beyond").unwrap();
            assert!(beyond.call(&mut store, 3 << 16).is_err());
            assert_eq!(beyond.call(&mut store, (3 << 16) - 4).unwrap(), 0);
            let memory = instance.get_memory(&store, "memory").unwrap();
            memory.grow(&mut store, 2).unwrap();
            assert_eq!(beyond.call(&mut store, 3 << 16).unwrap(), 0);
            memory.data_mut(&mut store)[4 << 16] = 1;
            assert_eq!(beyond.call(&mut store, 4 << 16).unwrap(), 1);
            assert!(beyond.call(&mut store, 5 << 16).is_err());
        }
    }
}

#[test]
fn a_pool_is_bounded_and_another_modules_idle_instance_gives_way() {
    let pre = |wat: &str| linker().prepare(&module(wat, MemoryLayout::Guarded)).unwrap();
    let first = pre(r#"(module (memory 1) (func (export "f") (result i32) (i32.const 1)))"#);
    let second = pre(r#"(module (memory 2) (func (export "f") (result i32) (memory.size)))"#);
    let call = |(mut store, instance): (Store<u32>, Instance)| {
        let f = instance.typed_func::<(), i32>(&store, "f").unwrap();
        f.call(&mut store, ()).unwrap()
    };
    let pool = Pool::new(limits(2)).unwrap();
    let held = pool.instantiate(&first, 1).unwrap();
    let other = pool.instantiate(&first, 1).unwrap();
    let full = |pre: &InstancePre<u32>| match pool.instantiate_within(pre, 1, Duration::from_millis(5)) {
        Err(InstantiateError::Native(NativeError::PoolExhausted { slots: 2 })) => true,
        other => panic!("{:?}", other.map(|_| ())),
    };
    assert!(full(&first) && full(&second));
    drop(other);
    assert_eq!((pool.idle(), call(pool.instantiate(&second, 1).unwrap())), (1, 2));
    assert_eq!(call(pool.instantiate(&first, 1).unwrap()), 1);
    // Whoever waits gets the slot that another thread gives back.
    let others = pool.instantiate(&first, 1).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| call(pool.instantiate_within(&second, 1, Duration::from_secs(60)).unwrap()));
        std::thread::sleep(Duration::from_millis(20));
        drop(others);
        assert_eq!(waiter.join().unwrap(), 2);
    });
    assert_eq!(call(held), 1);
}

/// A server that replaces its modules kept the code of all of them, each with a file, until their slots were wanted.
#[test]
fn what_can_be_instantiated_no_more_keeps_no_instance() {
    let module = module(GUEST, MemoryLayout::Guarded);
    let (pre, other) = (linker().prepare(&module).unwrap(), linker().prepare(&module).unwrap());
    let pools = [Pool::new(limits(4)).unwrap(), Pool::new(limits(2)).unwrap()];
    let use_of = |pool: &Pool, pre: &InstancePre<u32>| pool.instantiate(pre, 1).unwrap();
    drop([use_of(&pools[0], &pre), use_of(&pools[0], &pre), use_of(&pools[0], &other), use_of(&pools[1], &pre)]);
    let in_use = use_of(&pools[0], &pre);
    let clone = pre.clone();
    drop(pre);
    assert_eq!([pools[0].idle(), pools[1].idle()], [2, 1], "a clone is there");
    drop(clone);
    assert_eq!([pools[0].idle(), pools[1].idle()], [1, 0], "the other module's");
    let resident = pools[0].resident_bytes();
    drop(in_use);
    assert_eq!((pools[0].idle(), pools[0].resident_bytes()), (1, resident));
    let held: Vec<_> = (0..4).map(|_| use_of(&pools[0], &other)).collect();
    drop(held);
    assert_eq!(pools[0].idle(), 4);
}

/// All of them were out of reach until the last was freed, and who asked meanwhile was told that the pool is full.
#[test]
fn instances_of_a_module_that_goes_give_way_while_they_are_freed() {
    let module = module("(module (memory 1))", MemoryLayout::Guarded);
    let (pool, next) = (Pool::new(limits(100)).unwrap(), linker().prepare(&module).unwrap());
    let all = |pre: &InstancePre<u32>, count| -> Vec<_> { (0..count).map(|_| pool.instantiate(pre, 1)).collect() };
    for round in 0..20 {
        let gone = linker().prepare(&module).unwrap();
        drop(all(&gone, 100));
        let freeing = std::thread::spawn(move || drop(gone));
        // The one that is just being freed is nobody's.
        let refused = all(&next, 99).iter().filter(|instance| instance.is_err()).count();
        freeing.join().unwrap();
        assert_eq!((round, refused), (round, 0));
    }
}

/// What an instance has touched once would be reset for ever.
#[test]
fn pages_that_are_touched_no_more_are_kept_no_more() {
    let module = module(
        r#"(module (memory 4) (data (i32.const 0) "image") (func (export "touch") (param i32) (result i32) (local $old i32)
            (local.set $old (i32.load (i32.const 0)))
            (loop (i32.store (local.get 0) (i32.const -1))
                (br_if 0 (i32.ge_s (local.tee 0 (i32.sub (local.get 0) (i32.const 4096))) (i32.const 0))))
            (local.get $old)))"#,
        MemoryLayout::Guarded,
    );
    let pre = linker().prepare(&module).unwrap();
    for slots in [limits(1), PoolLimits { store: limits(1).store, ..PoolLimits::fitting(1, &module) }] {
        let pool = Pool::new(slots).unwrap();
        let touch = |bytes: i32| {
            let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
            let touch = instance.typed_func::<i32, i32>(&store, "touch").unwrap();
            assert_eq!(touch.call(&mut store, bytes).unwrap(), i32::from_le_bytes(*b"imag"));
        };
        (0..100).for_each(|_| touch(60 << 12));
        assert!(pool.resident_bytes() >= 60 << 12, "{slots:?}: {} bytes are kept", pool.resident_bytes());
        // Longer than anything is remembered.
        (0..1 << 17).for_each(|_| touch(0));
        assert!(pool.resident_bytes() < 10 << 12, "{slots:?}: {} bytes are kept", pool.resident_bytes());
    }
}

#[test]
fn a_large_image_is_whole_again_whatever_was_written() {
    // Each page of 16 MiB holds its number.
    let data: String = (0..4096u32).map(|n| format!("(data (i32.const {}) \"{n}\")", n * 4096)).collect();
    let guest = format!(
        r#"(module (memory (export "memory") 260 300) {data}
        (func (export "write") (param i32 i32) (loop
            (i32.store (local.get 0) (i32.const -1))
            (local.set 0 (i32.add (local.get 0) (i32.const 4096)))
            (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))))"#
    );
    for layout in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let module = module(&guest, layout);
        let pre = linker().prepare(&module).unwrap();
        for limits in every_way(&module) {
            let pool = Pool::new(limits).unwrap();
            if limits.recycling == Recycling::Track {
                // So often that it is worth marking its pages.
                for _ in 0..80 {
                    let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
                    let write = instance.typed_func::<(i32, i32), ()>(&store, "write").unwrap();
                    write.call(&mut store, (7 << 12, 2)).unwrap();
                }
            }
            for (from, pages) in [(0, 1), (100 << 12, 3), (4090 << 12, 70), (0, 4096), (9 << 12, 1)] {
                let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
                let memory = instance.get_memory(&store, "memory").unwrap();
                let whole = memory.data(&store).chunks(4096).zip(0..).all(|(page, n)| {
                    let expected = if n < 4096 { n.to_string() } else { String::new() };
                    page.starts_with(expected.as_bytes()) && page[expected.len()..].iter().all(|byte| *byte == 0)
                });
                assert!(whole, "{layout:?}, {limits:?}, before {pages} pages from {from}");
                let write = instance.typed_func::<(i32, i32), ()>(&store, "write").unwrap();
                write.call(&mut store, (from, pages)).unwrap();
            }
            assert_eq!(pool.idle(), 1);
        }
    }
}

#[test]
fn handles_of_an_earlier_use_are_refused_and_harm_nobody() {
    let pre = linker().prepare(&module(GUEST, MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(limits(1)).unwrap();
    let (store, old) = pool.instantiate(&pre, 1).unwrap();
    let (stale, size) = (store.interrupt_handle(), old.typed_func::<(), i32>(&store, "size").unwrap());
    drop(store);
    let (mut store, new) = pool.instantiate(&pre, 1).unwrap();
    assert!(!stale.interrupt() && !stale.is_pending());
    assert!(matches!(size.call(&mut store, ()), Err(CallError::BadCall(_))));
    assert!(old.typed_func::<(), i32>(&store, "size").is_err());
    assert_eq!(new.typed_func::<(), i32>(&store, "size").unwrap().call(&mut store, ()).unwrap(), 3);
    // A request that came before the end is void after it.
    assert!(store.interrupt_handle().interrupt());
    drop(store);
    let (mut store, new) = pool.instantiate(&pre, 1).unwrap();
    assert_eq!(new.typed_func::<(), i32>(&store, "size").unwrap().call(&mut store, ()).unwrap(), 3);
}

/// What comes too late for one use, or was said of it alone, is not the next one's.
#[test]
fn what_was_asked_or_set_for_one_use_is_not_the_nexts() {
    let pre = linker().prepare(&module(GUEST, MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(limits(1)).unwrap();
    let time = |limits: TimeLimits| move |store: &mut Store<u32>| store.set_time_limits(limits).unwrap();
    let over = Some(Duration::ZERO);
    type Deed = Box<dyn Fn(&mut Store<u32>)>;
    let deeds: [(&str, Deed); 7] = [
        ("end", Box::new(|store| assert!(store.interrupt_handle().interrupt()))),
        ("give way", Box::new(|store| assert!(store.interrupt_handle().preempt()))),
        ("CPU time", Box::new(time(TimeLimits { cpu: over, ..TimeLimits::NONE }))),
        ("wall time", Box::new(time(TimeLimits { wall: over, ..TimeLimits::NONE }))),
        ("slice", Box::new(time(TimeLimits { slice: over, ..TimeLimits::NONE }))),
        ("memory", Box::new(|store| store.set_memory_bytes_max(0))),
        ("object", Box::new(|store| _ = store.insert_extern(7).unwrap())),
    ];
    for (what, deed) in &deeds {
        for ending in ["none", "return", "wait", "trap"] {
            let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
            if ending != "none" {
                let f = instance.typed_func::<i64, ()>(&store, ending).unwrap();
                let _ = pin!(f.call_async(&mut store, SEED)).poll(&mut Context::from_waker(Waker::noop()));
            }
            deed(&mut store);
            drop(store);
            let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
            let f = instance.typed_func::<i64, ()>(&store, "return").unwrap();
            let done = pin!(f.call_async(&mut store, SEED)).poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(done, Poll::Ready(Ok(()))), "{what}, after {ending}: {done:?}");
            assert_eq!(store.memory_bytes(), 8 << 16, "{what}, after {ending}: it could not grow");
        }
    }
    assert_eq!(pool.idle(), 1);
}

#[test]
fn instances_may_be_dropped_on_other_threads_and_after_their_pool() {
    let pre = linker().prepare(&module(GUEST, MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(limits(64)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..50 {
                    let (mut store, instance) = pool.instantiate(&pre, round).unwrap();
                    instance.typed_func::<i64, ()>(&store, "return").unwrap().call(&mut store, SEED).unwrap();
                    let size = instance.typed_func::<(), i32>(&store, "size").unwrap();
                    assert_eq!(size.call(&mut store, ()).unwrap(), 8);
                    std::thread::spawn(move || drop(store)).join().unwrap();
                }
            });
        }
    });
    let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
    drop(pool);
    assert_eq!(observe(&mut store, instance).len(), 4);
}

#[test]
fn a_store_that_got_more_instances_is_not_used_again() {
    let pre = linker().prepare(&module(GUEST, MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(limits(1)).unwrap();
    let (mut store, _) = pool.instantiate(&pre, 1).unwrap();
    pre.instantiate(&mut store.as_context_mut()).unwrap();
    drop(store);
    assert_eq!(pool.idle(), 0);
    assert!(pool.instantiate(&pre, 1).is_ok());
}

#[test]
fn what_does_not_fit_the_slots_is_refused_by_size() {
    let pool = Pool::new(PoolLimits::dense(1, 1 << 20)).unwrap();
    let pre = linker().prepare(&module(GUEST, MemoryLayout::Guarded)).unwrap();
    let error = pool.instantiate(&pre, 1).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("an instance for the pool's slots"), "{error}");
    let dense = linker().prepare(&module("(module (memory 1 4))", MemoryLayout::Dense)).unwrap();
    assert!(pool.instantiate(&dense, 1).is_ok());
}

#[test]
fn each_use_has_a_meter_of_its_own() {
    let options = Options { meter: true, ..Options::default() };
    let module = load_with(r#"(module (func (export "f") (loop (br 0))) (func (export "g")))"#, &options);
    let pre = linker().prepare(&module).unwrap();
    let limits = limits(1);
    let limits = PoolLimits { store: Limits { meter_max: 1000, ..limits.store }, ..limits };
    let pool = Pool::new(limits).unwrap();
    for name in ["f", "f", "g"] {
        let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
        let result = instance.typed_func::<(), ()>(&store, name).unwrap().call(&mut store, ());
        assert_eq!(result.is_ok(), name == "g", "{result:?}");
    }
}

/// An object whose end goes wrong.
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("an object of the host's panics");
    }
}

#[test]
fn an_object_that_panics_as_it_is_dropped_costs_no_slot() {
    let pre = linker().prepare(&module(GUEST, MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(limits(1)).unwrap();
    for _ in 0..3 {
        let (mut store, _) = pool.instantiate_within(&pre, 1, Duration::MAX).unwrap();
        store.insert_extern(Panics).unwrap();
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(store)));
        assert!(dropped.is_err());
    }
    let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
    assert_eq!(observe(&mut store, instance).len(), 4);
}

#[test]
fn handles_of_a_dropped_store_say_that_nobody_is_there() {
    let pre = linker().prepare(&module(GUEST, MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(limits(1)).unwrap();
    let pooled = pool.instantiate(&pre, 1).unwrap().0;
    for store in [pooled, Store::new(1, Limits::default()).unwrap()] {
        let handle = store.interrupt_handle();
        drop(store);
        assert!(!handle.interrupt() && !handle.is_pending());
    }
}

// Growth that failed half way had opened what an instance before had grown: no bounds are checked there.
#[test]
fn growth_that_fails_opens_nothing() {
    const NAME: &str = "growth_that_fails_opens_nothing";
    if std::env::var_os("SELVEDGE_TEST_LITTLE_MEMORY").is_none() {
        // The limit is the process's: another than the one that the other tests run in.
        let limited = "ulimit -d 300000 && exec \"$0\" --exact \"$1\"";
        let mut command = std::process::Command::new("sh");
        command.args(["-c", limited]).arg(std::env::current_exe().unwrap()).arg(NAME);
        let output = command.env("SELVEDGE_TEST_LITTLE_MEMORY", "1").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let guest = r#"(module (memory 1 20000)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "store") (param i32) (i32.store (local.get 0) (i32.const 77))))"#;
    let pre = linker().prepare(&module(guest, MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(limits(1)).unwrap();
    for _ in 0..3 {
        let (mut store, instance) = pool.instantiate(&pre, 1).unwrap();
        let grow = instance.typed_func::<i32, i32>(&store, "grow").unwrap();
        let load = instance.typed_func::<i32, i32>(&store, "load").unwrap();
        let fill = instance.typed_func::<i32, ()>(&store, "store").unwrap();
        assert_eq!(grow.call(&mut store, 19000).unwrap(), -1, "there is not so much memory");
        assert!(load.call(&mut store, 3 << 16).is_err() && load.call(&mut store, 18000 << 16).is_err());
        assert_eq!(grow.call(&mut store, 9).unwrap(), 1);
        assert_eq!(load.call(&mut store, 3 << 16).unwrap(), 0);
        fill.call(&mut store, 3 << 16).unwrap();
        assert_eq!(grow.call(&mut store, 19000).unwrap(), -1);
        assert_eq!(load.call(&mut store, 3 << 16).unwrap(), 77);
        assert!(load.call(&mut store, 10 << 16).is_err());
    }
}

#[test]
fn what_belongs_to_a_store_cannot_be_imported_in_a_pool() {
    let exporter = module(r#"(module (memory (export "m") 1) (func (export "f")))"#, MemoryLayout::Guarded);
    let mut other = Store::new(0, Limits::default()).unwrap();
    let instance = Linker::new().instantiate(&mut other, &exporter).unwrap();
    let pool = Pool::new(limits(1)).unwrap();
    for import in [r#"(import "x" "m" (memory 1))"#, r#"(import "x" "f" (func))"#] {
        let mut linker = linker();
        linker.instance(&other, "x", instance);
        let pre = linker.prepare(&module(&format!("(module {import})"), MemoryLayout::Guarded)).unwrap();
        let error = pool.instantiate(&pre, 1).map(|_| ()).unwrap_err();
        assert!(matches!(error, InstantiateError::Link(_)), "{error}");
    }
}

/// A platform gives each tenant its own share of memory in one pool: the limit is of one use, and that it was reached
/// can be told from a module that only declares little.
#[test]
fn a_limit_on_memory_is_of_one_use() {
    const GROWS: &str = r#"(module (memory (export "memory") 1 8)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    for layout in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let (pool, pre) = (Pool::new(limits(1)).unwrap(), linker().prepare(&module(GROWS, layout)).unwrap());
        let grow = |bytes_max: Option<u64>, pages: i32| {
            let (mut store, instance) = pool.instantiate(&pre, 0).unwrap();
            if let Some(bytes) = bytes_max {
                store.set_memory_bytes_max(bytes);
            }
            let grow = instance.typed_func::<i32, i32>(&store, "grow").unwrap();
            (grow.call(&mut store, pages).unwrap(), store.memory_limit_reached())
        };
        assert_eq!(grow(Some(3 << 16), 3), (-1, true));
        assert_eq!(grow(Some(3 << 16), 2), (1, false));
        assert_eq!(grow(None, 3), (1, false), "the next use has the pool's");
        assert_eq!(grow(Some(3 << 16), 8), (-1, false), "its own maximum");
    }
}
