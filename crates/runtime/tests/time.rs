//! Limits on time end calls by their names wherever the guest is; slices let go of the thread.

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use common::load;
use selvedge_runtime::{
    AsContextMut, CallError, Caller, HostError, Instance, InstancePre, Limits, Linker, Outcome, Pool, PoolLimits,
    Store, TimeLimits, Wait,
};

const GUEST: &str = r#"(module
    (import "host" "wait" (func $wait))
    (import "host" "spin" (func $spin))
    (import "host" "back" (func $back))
    (memory 1)
    (func (export "loop") (loop (br 0)))
    (func (export "fills") (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0)))
    (func (export "waits") (call $wait))
    (func (export "spins") (call $spin))
    (func (export "calls back") (call $back))
    (func (export "count") (param i32) (result i32) (local $n i32)
        (loop
            (local.set $n (i32.add (local.get $n) (i32.const 3)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $n))
    (func (export "brief")))"#;

const SHORT: Option<Duration> = Some(Duration::from_millis(5));
const LONG: Option<Duration> = Some(Duration::from_secs(3_600));
const NONE: TimeLimits = TimeLimits { cpu: None, wall: None, slice: None };
const CPU: TimeLimits = TimeLimits { cpu: SHORT, ..NONE };
const WALL: TimeLimits = TimeLimits { wall: SHORT, ..NONE };

/// Works for longer than any short limit, by the clock of this thread.
fn spin() {
    let begin = selvedge_native::CpuClock::this_thread();
    while selvedge_native::CpuClock::this_thread() - begin < Duration::from_millis(12) {}
}

fn prepared() -> InstancePre<()> {
    let mut linker = Linker::<()>::new();
    linker.func_wrap_async("host", "wait", |_: Caller<'_, ()>, ()| {
        Ok(Outcome::Wait(Wait::new(std::future::pending::<()>(), |_, ()| Ok(Outcome::Ready(())))))
    });
    linker.func_wrap("host", "spin", |_: Caller<'_, ()>| spin());
    linker.func_wrap("host", "back", |mut caller: Caller<'_, ()>| -> Result<(), HostError> {
        let inner = caller.instance().get_func(&caller, "loop").ok_or_else(|| HostError::message("no loop"))?;
        inner.call(&mut caller.as_context_mut(), &[])?;
        Ok(())
    });
    linker.prepare(&load(GUEST)).unwrap()
}

fn instance(pre: &InstancePre<()>, time: TimeLimits) -> (Store<()>, Instance) {
    let mut store = Store::new((), Limits { time, ..Limits::default() }).unwrap();
    let instance = pre.instantiate(&mut store).unwrap();
    (store, instance)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait_for<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, asynchronous: bool) -> Result<(), CallError> {
    let call = instance.typed_func::<(), ()>(store, name).unwrap();
    if asynchronous { wait_for(call.call_async(store, ())) } else { call.call(store, ()) }
}

fn is_named(error: &CallError, time: TimeLimits) -> bool {
    match error {
        CallError::CpuTimeExceeded(_) => time.cpu.is_some(),
        CallError::WallTimeExceeded(_) => time.wall.is_some(),
        _ => false,
    }
}

#[test]
fn each_limit_ends_a_call_by_its_name_wherever_the_guest_is() {
    let pre = prepared();
    for time in [CPU, WALL] {
        for name in ["loop", "fills", "spins", "calls back", "waits"] {
            // What waits uses no CPU time.
            if name == "waits" && time.wall.is_none() {
                continue;
            }
            for (asynchronous, slice) in [(false, None), (true, None), (true, Some(Duration::ZERO))] {
                let (mut store, instance) = instance(&pre, TimeLimits { slice, ..time });
                let ended = call(&mut store, instance, name, asynchronous);
                // A host function that was past the limit when it returned may have been the last thing of all.
                if let Err(error) = &ended {
                    assert!(is_named(error, time), "{name}, {time:?}: {error}");
                } else {
                    assert_eq!(name, "spins");
                }
                // Before the start of the next, and again.
                for _ in 0..2 {
                    let next = call(&mut store, instance, "brief", asynchronous).unwrap_err();
                    assert!(is_named(&next, time), "{name}, {time:?}: {next}");
                }
                // More time, and it goes on.
                store.set_time_limits(TimeLimits { cpu: LONG, wall: LONG, slice: None }).unwrap();
                call(&mut store, instance, "brief", asynchronous).unwrap();
                assert!(store.cpu_time() > Duration::ZERO);
            }
        }
    }
}

#[test]
fn a_store_of_a_pool_has_its_own_time() {
    let pre = prepared();
    let store = Limits { time: CPU, ..Limits::default() };
    let pool = Pool::new(PoolLimits { store, ..PoolLimits::guarded(1) }).unwrap();
    for _ in 0..3 {
        let (mut store, instance) = pool.instantiate(&pre, ()).unwrap();
        call(&mut store, instance, "brief", false).unwrap();
        let error = call(&mut store, instance, "loop", true).unwrap_err();
        assert!(matches!(error, CallError::CpuTimeExceeded(_)), "{error}");
        store.set_time_limits(NONE).unwrap();
        call(&mut store, instance, "brief", true).unwrap();
    }
}

#[test]
fn cpu_time_is_the_stores_own_and_adds_up_over_suspensions() {
    let pre = prepared();
    let (mut spinning, first) = instance(&pre, TimeLimits { cpu: LONG, slice: Some(Duration::ZERO), ..NONE });
    let (mut idle, second) = instance(&pre, TimeLimits { cpu: LONG, ..NONE });
    let mut context = Context::from_waker(Waker::noop());
    {
        let waits = second.typed_func::<(), ()>(&idle, "waits").unwrap();
        let mut waits = pin!(waits.call_async(&mut idle, ()));
        let endless = first.typed_func::<(), ()>(&spinning, "loop").unwrap();
        let mut endless = pin!(endless.call_async(&mut spinning, ()));
        for _ in 0..20 {
            assert!(waits.as_mut().poll(&mut context).is_pending());
            assert!(endless.as_mut().poll(&mut context).is_pending());
        }
    }
    assert!(spinning.cpu_time() > 2 * idle.cpu_time(), "{:?}, {:?}", spinning.cpu_time(), idle.cpu_time());
}

#[test]
fn what_is_used_elsewhere_for_a_guest_is_counted_and_ends_it_when_it_goes_on() {
    let mut linker = Linker::<u32>::new();
    // Waits each time once.
    linker.func_wrap_poll("host", "use", |mut caller: Caller<'_, u32>, _: &mut Context<'_>, ()| {
        caller.add_cpu_time(Duration::from_secs(1_000));
        *caller.data_mut() += 1;
        if *caller.data() % 2 == 1 { Poll::Pending } else { Poll::Ready(Ok(())) }
    });
    let guest = r#"(module (import "host" "use" (func $use)) (func (export "run") (loop (call $use) (br 0))))"#;
    let mut store = Store::new(0, Limits { time: TimeLimits { cpu: LONG, ..NONE }, ..Limits::default() }).unwrap();
    let instance = linker.prepare(&load(guest)).unwrap().instantiate(&mut store).unwrap();
    let run = instance.typed_func::<(), ()>(&store, "run").unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let ended = {
        let mut run = pin!(run.call_async(&mut store, ()));
        loop {
            if let Poll::Ready(ended) = run.as_mut().poll(&mut context) {
                break ended;
            }
        }
    };
    assert!(matches!(ended, Err(CallError::CpuTimeExceeded(_))), "{ended:?}");
    // The limit is reached by the fourth, and seen when the next has waited.
    assert_eq!(*store.data(), 5);
    assert!(store.cpu_time() >= Duration::from_secs(5_000));
}

#[test]
fn a_kill_is_told_before_a_limit() {
    let pre = prepared();
    let (mut store, instance) = instance(&pre, TimeLimits { cpu: LONG, wall: LONG, slice: None });
    store.interrupt_handle().interrupt();
    let error = call(&mut store, instance, "loop", false).unwrap_err();
    assert!(matches!(error, CallError::Interrupted(_)), "{error}");
    call(&mut store, instance, "brief", false).unwrap();
}

type Job = Pin<Box<dyn Future<Output = Result<i32, CallError>> + Send>>;

#[test]
fn calls_with_slices_take_turns_on_one_thread() {
    let pre = prepared();
    let job = |name: &'static str| -> Job {
        let (mut store, instance) = instance(&pre, TimeLimits { slice: Some(Duration::from_millis(2)), ..NONE });
        Box::pin(async move {
            if name == "loop" {
                instance.typed_func::<(), ()>(&store, name).unwrap().call_async(&mut store, ()).await?;
            }
            instance.typed_func::<i32, i32>(&store, "count").unwrap().call_async(&mut store, 300_000_000).await
        })
    };
    let mut jobs = [job("loop"), job("count"), job("loop"), job("count")];
    let mut context = Context::from_waker(Waker::noop());
    let (mut done, mut turns) = (0, 0);
    while done < 2 {
        turns += 1;
        for at in [0, 1, 2, 3] {
            let Poll::Ready(result) = jobs[at].as_mut().poll(&mut context) else { continue };
            assert!(at % 2 == 1 && result.unwrap() == 900_000_000);
            done += 1;
            jobs[at] = Box::pin(std::future::pending());
        }
    }
    assert!(turns > 2, "each gave way");
}

#[test]
fn a_call_that_gave_way_is_interrupted_or_dropped_and_the_store_goes_on() {
    let pre = prepared();
    let slice = Some(Duration::ZERO);
    let (mut store, instance) = instance(&pre, TimeLimits { slice, ..NONE });
    let handle = store.interrupt_handle();
    let endless = instance.typed_func::<(), ()>(&store, "loop").unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut frames = 0;
    for round in 0..20 {
        let mut call = Box::pin(endless.call_async(&mut store, ()));
        (0..=round % 3).for_each(|_| assert!(call.as_mut().poll(&mut context).is_pending()));
        if round % 2 == 0 {
            assert!(handle.interrupt());
            let Poll::Ready(Err(CallError::Interrupted(at))) = call.as_mut().poll(&mut context) else {
                panic!("interrupted")
            };
            // None if it gave way before its first instruction.
            assert!(at.frames().len() <= 1, "{at}");
            frames += at.frames().len();
        }
        drop(call);
        let count = instance.typed_func::<i32, i32>(&store, "count").unwrap();
        assert_eq!(count.call(&mut store, 10).unwrap(), 30);
    }
    assert!(frames > 0);
}

#[test]
fn calls_that_cannot_be_parked_take_no_notice_of_slices() {
    let pre = prepared();
    let (mut store, instance) = instance(&pre, TimeLimits { slice: Some(Duration::ZERO), ..NONE });
    let handle = store.interrupt_handle();
    let count = instance.typed_func::<i32, i32>(&store, "count").unwrap();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asker = std::thread::spawn({
        let over = over.clone();
        move || {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                handle.preempt();
            }
        }
    });
    assert_eq!(count.call(&mut store, 30_000_000).unwrap(), 90_000_000);
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    asker.join().unwrap();
}
