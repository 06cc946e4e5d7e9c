//! Calls that wait for more when their meter is used up: what ends them, who waits, and what comes after.
//!
//! That they count and compute what others do is tested in `crates/testkit/tests/metering`.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use common::{load_with, poll};
use selvedge_compiler::Options;
use selvedge_runtime::{
    AsContextMut, CallError, Caller, HostError, Instance, InstancePre, Limits, Linker, Pool, PoolLimits, Store,
    TimeLimits,
};

const GUEST: &str = r#"(module
    (import "host" "back" (func $back))
    (memory 1)
    (func $spin (export "spin") (loop (br 0)))
    (func (export "calls back") (call $back))
    (func (export "count") (param i32) (result i32) (local $n i32)
        (loop
            (i32.store (i32.const 8) (local.tee $n (i32.add (local.get $n) (i32.const 3))))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.load (i32.const 8))))"#;

const LIMIT: u64 = 1_000;

fn prepared() -> InstancePre<u64> {
    let mut linker = Linker::<u64>::new();
    linker.func_wrap("host", "back", |mut caller: Caller<'_, u64>| -> Result<(), HostError> {
        let inner = caller.instance().get_func(&caller, "spin").ok_or_else(|| HostError::message("no spin"))?;
        inner.call(&mut caller.as_context_mut(), &[])?;
        Ok(())
    });
    linker.prepare(&load_with(GUEST, &Options { meter: true, ..Options::default() })).unwrap()
}

fn limits() -> Limits {
    Limits { meter_max: LIMIT, ..Limits::default() }
}

fn instance(pre: &InstancePre<u64>) -> (Store<u64>, Instance) {
    let mut store = Store::new(0, limits()).unwrap();
    let instance = pre.instantiate(&mut store).unwrap();
    (store, instance)
}

/// Polls until it is over.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
}

/// The sum of "count" for a thousand rounds, which a store that was stopped can still do.
fn is_sound(store: &mut Store<u64>, instance: Instance) {
    store.on_meter_used_up(|times, _| {
        *times += 1;
        std::future::ready(137)
    });
    let count = instance.typed_func::<i32, i32>(store, "count").unwrap();
    let before = *store.data();
    assert_eq!(finish(count.call_async(store, 1_000)).unwrap(), 3_000);
    assert!(*store.data() > before + 50, "it was stopped many times");
}

#[test]
fn a_call_that_waits_for_more_ends_as_any_that_waits() {
    let pre = prepared();
    for way in ["refused", "killed", "dropped", "too late", "panics", "panics later"] {
        let (mut store, instance) = instance(&pre);
        let spin = instance.typed_func::<(), ()>(&store, "spin").unwrap();
        let kill = store.interrupt_handle();
        if way == "too late" {
            let wall = Some(Duration::from_millis(5));
            store.set_time_limits(TimeLimits { wall, ..TimeLimits::NONE }).unwrap();
        }
        store.on_meter_used_up(move |times, used_up| {
            *times += 1;
            assert!(used_up.used <= LIMIT + 1 && used_up.missing > 0, "{used_up:?}");
            let first = *times == 1;
            assert!(way != "panics", "a bug of the embedder's");
            std::future::poll_fn(move |_| match way {
                "refused" => Poll::Ready(0),
                _ if first => Poll::Ready(1),
                "panics later" => panic!("a bug of the embedder's"),
                _ => Poll::Pending,
            })
        });
        let ended = {
            let mut call = Box::pin(spin.call_async(&mut store, ()));
            let mut ended = poll(call.as_mut());
            for _ in 0..2_000 {
                if ended.is_ready() || way == "dropped" {
                    break;
                }
                if way == "killed" {
                    assert!(kill.interrupt());
                }
                std::thread::sleep(Duration::from_millis(1));
                ended = poll(call.as_mut());
            }
            ended
        };
        let as_it_should = match (way, &ended) {
            ("refused", Poll::Ready(Err(CallError::MeterExhausted(backtrace)))) => backtrace.frames().len() == 1,
            ("killed", Poll::Ready(Err(CallError::Interrupted(backtrace)))) => backtrace.frames().len() == 1,
            ("dropped", Poll::Pending) => true,
            ("too late", Poll::Ready(Err(CallError::WallTimeExceeded(_)))) => true,
            ("panics" | "panics later", Poll::Ready(Err(CallError::HostPanic { message, .. }))) => {
                message.contains("bug")
            }
            _ => false,
        };
        assert!(as_it_should, "{way}: {ended:?}");
        assert!(store.meter_used() <= LIMIT + 1, "{way}");
        store.set_time_limits(TimeLimits::NONE).unwrap();
        is_sound(&mut store, instance);
    }
}

#[test]
fn only_calls_that_can_be_parked_wait() {
    let pre = prepared();
    let (mut store, instance) = instance(&pre);
    store.on_meter_used_up(|times, _| {
        *times += 1;
        std::future::ready(1_000_000)
    });
    let spin = instance.typed_func::<(), ()>(&store, "spin").unwrap();
    assert!(matches!(spin.call(&mut store, ()), Err(CallError::MeterExhausted(_))), "its caller waits");
    let back = instance.typed_func::<(), ()>(&store, "calls back").unwrap();
    instance.set_meter_limit(&mut store, 2 * LIMIT);
    let ended = finish(back.call_async(&mut store, ()));
    assert!(matches!(ended, Err(CallError::MeterExhausted(_))), "a host function waits for it: {ended:?}");
    assert_eq!(*store.data(), 0, "nobody was asked");
    is_sound(&mut store, instance);
}

#[test]
fn no_more_than_a_meter_holds_is_refilled() {
    let (mut store, instance) = instance(&prepared());
    store.on_meter_used_up(|times, _| {
        *times += 1;
        std::future::ready(u64::MAX)
    });
    let count = instance.typed_func::<i32, i32>(&store, "count").unwrap();
    assert_eq!(finish(count.call_async(&mut store, 100_000)).unwrap(), 300_000);
    assert_eq!(*store.data(), 1, "that was enough");
}

#[test]
fn a_recycled_instance_knows_nothing_of_refills() {
    let pool = Pool::new(PoolLimits { store: limits(), ..PoolLimits::guarded(1) }).unwrap();
    let pre = prepared();
    let asked = Arc::<AtomicU64>::default();
    for round in 1..=3 {
        let (mut store, instance) = pool.instantiate(&pre, 0).unwrap();
        assert_eq!(store.meter_used(), 0);
        let spin = instance.typed_func::<(), ()>(&store, "spin").unwrap();
        let ended = finish(spin.call_async(&mut store, ()));
        assert!(matches!(ended, Err(CallError::MeterExhausted(_))), "{ended:?}");
        assert_eq!(store.meter_used(), LIMIT);
        let asked_too = asked.clone();
        store.on_meter_used_up(move |_, _| {
            asked_too.fetch_add(1, Ordering::Relaxed);
            std::future::pending()
        });
        // Parked at its meter as its slot is recycled.
        let mut call = Box::pin(async move { spin.call_async(&mut store, ()).await });
        assert!(poll(call.as_mut()).is_pending());
        drop(call);
        assert_eq!(asked.load(Ordering::Relaxed), round);
    }
}

/// Two instances of one store, each of whose meters is used up again and again: it is that one's that is refilled.
#[test]
fn of_linked_instances_the_one_whose_meter_is_used_up_is_refilled() {
    let metered = Options { meter: true, ..Options::default() };
    let user = load_with(
        r#"(module (import "library" "count" (func $count (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (local $n i32)
                (loop
                    (local.set $n (i32.add (local.get $n) (call $count (i32.const 100))))
                    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                (local.get $n)))"#,
        &metered,
    );
    let (mut store, library) = instance(&prepared());
    let mut linker = Linker::new();
    linker.instance(&store, "library", library);
    let user = linker.instantiate(&mut store, &user).unwrap();
    const TIMES_MAX: u64 = 5_000;
    store.on_meter_used_up(|times, used_up| {
        *times += 1;
        assert!((1..50).contains(&used_up.missing), "{used_up:?}");
        std::future::ready(if *times < TIMES_MAX { 50 } else { 0 })
    });
    let run = user.typed_func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(finish(run.call_async(&mut store, 200)).unwrap(), 200 * 300);
    let (of_user, of_library) = (user.meter_used(&store).unwrap(), library.meter_used(&store).unwrap());
    let refills = [of_user, of_library].map(|used| (used - LIMIT).div_ceil(50));
    assert!(refills[0] > 10 && refills[1] > 1_000, "both were stopped: {refills:?}");
    assert_eq!(*store.data(), refills[0] + refills[1], "none for naught");
}
