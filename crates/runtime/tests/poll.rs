//! Host functions that are attempts, made again until they are ready.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Wakes, load, poll};
use selvedge_runtime::{
    CallError, Caller, HostError, Instance, Limits, Linker, Outcome, Pool, PoolLimits, Store, TrapCode, TypedFunc,
    V128, Val, Wait,
};

/// What the attempts of one store know.
#[derive(Default)]
struct Attempts {
    /// How many there are before one is ready.
    needed: u32,
    made: u32,
    /// Whom the last one said to wake.
    waker: Option<Waker>,
}

const GUEST: &str = r#"(module
    (import "host" "swap" (func $swap (param i32 i64) (result i64 i32)))
    (import "host" "fail" (func $fail))
    (import "host" "future" (func $future (result i32)))
    (import "host" "call" (func $call (result i32)))
    (func $deep (param $n i32) (param $kept i64) (result i64)
        (if (result i64) (i32.eqz (local.get $n))
            (then (call $swap (i32.const 7) (local.get $kept)) (i64.extend_i32_u) (i64.add))
            (else (i64.add (i64.const 1000)
                (call $deep (i32.sub (local.get $n) (i32.const 1)) (i64.add (local.get $kept) (i64.const 1)))))))
    (func (export "f") (result i64) (call $deep (i32.const 3) (i64.const 10)))
    (func (export "fail") (result i64) (call $fail) (i64.const 0))
    (func (export "both") (result i64) (drop (call $future)) (call $deep (i32.const 0) (i64.const 20)))
    (func (export "nested") (result i64) (i64.extend_i32_u (call $call)))
    (func (export "inner") (result i32) (drop (call $deep (i32.const 1) (i64.const 1))) (i32.const 41))
    (func (export "g") (result i64) (i64.const 5)))"#;
/// What "f" gives.
const F: i64 = 3000 + 13 + 1 + 7 + 2;

/// One more attempt; whether it is the last.
fn attempt(caller: &mut Caller<'_, Attempts>, cx: &mut Context<'_>) -> Poll<()> {
    let data = caller.data_mut();
    data.made += 1;
    if data.made > data.needed {
        return Poll::Ready(());
    }
    data.waker = Some(cx.waker().clone());
    Poll::Pending
}

/// `swap(a, b)` is `(b + 1, a + 2)` once enough attempts were made; `call` then calls the guest.
fn linker(fail: fn() -> Poll<Result<(), HostError>>) -> Linker<Attempts> {
    let mut linker = Linker::new();
    linker.func_wrap_poll(
        "host",
        "swap",
        |mut caller: Caller<'_, Attempts>, cx: &mut Context<'_>, (a, b): (i32, i64)| {
            attempt(&mut caller, cx).map(|()| Ok((b + 1, a + 2)))
        },
    );
    linker.func_wrap_poll(
        "host",
        "fail",
        move |mut caller: Caller<'_, Attempts>, cx: &mut Context<'_>, ()| {
            if attempt(&mut caller, cx).is_ready() { fail() } else { Poll::Pending }
        },
    );
    linker.func_wrap_async("host", "future", |_: Caller<'_, Attempts>, ()| {
        let mut asked = false;
        let twice =
            std::future::poll_fn(
                move |_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending },
            );
        Ok(Outcome::Wait(Wait::new(twice, |_, ()| Ok(Outcome::Ready(1)))))
    });
    linker.func_wrap_poll("host", "call", |mut caller: Caller<'_, Attempts>, cx: &mut Context<'_>, ()| {
        if attempt(&mut caller, cx).is_pending() {
            return Poll::Pending;
        }
        let inner = caller.instance().typed_func::<(), i32>(&caller, "inner");
        Poll::Ready(inner.and_then(|inner| Ok(inner.call(&mut caller, ())? + 1)).map_err(HostError::new))
    });
    linker
}

fn instance(needed: u32) -> (Store<Attempts>, Instance) {
    let mut store = Store::new(Attempts { needed, ..Attempts::default() }, Limits::default()).unwrap();
    let instance = linker(|| Poll::Ready(Ok(()))).instantiate(&mut store, &load(GUEST)).unwrap();
    (store, instance)
}

fn export(store: &Store<Attempts>, instance: Instance, name: &str) -> TypedFunc<(), i64> {
    instance.typed_func(store, name).unwrap()
}

#[test]
fn an_attempt_is_made_once_a_poll_with_the_parameters_of_the_call_on_any_thread() {
    for needed in [0, 1, 5] {
        let (mut store, instance) = instance(needed);
        let f = export(&store, instance, "f");
        let mut call = Box::pin(async move {
            let result = f.call_async(&mut store, ()).await;
            (store, result)
        });
        let done = std::thread::scope(|scope| {
            for _ in 0..needed {
                call = scope
                    .spawn(|| {
                        assert!(poll(call.as_mut()).is_pending());
                        call
                    })
                    .join()
                    .unwrap();
            }
            poll(call.as_mut())
        });
        let Poll::Ready((mut store, result)) = done else { panic!("enough attempts were made") };
        assert_eq!(result.unwrap(), F);
        assert_eq!(store.data().made, needed + 1);
        assert_eq!(export(&store, instance, "g").call(&mut store, ()).unwrap(), 5);
    }
}

#[test]
fn futures_and_attempts_take_turns_in_one_call() {
    let (mut store, instance) = instance(2);
    let both = export(&store, instance, "both");
    let mut call = pin!(both.call_async(&mut store, ()));
    let mut polls = 1;
    let result = loop {
        match poll(call.as_mut()) {
            Poll::Pending => polls += 1,
            Poll::Ready(result) => break result,
        }
    };
    assert_eq!(result.unwrap(), 21 + 9);
    assert_eq!(polls, 1 + 1 + 2);
}

#[test]
fn without_an_executor_the_thread_waits_for_the_waker() {
    let (mut store, instance) = instance(0);
    let mut linker = Linker::<Attempts>::new();
    linker.func_wrap_poll("host", "wait", |mut caller: Caller<'_, Attempts>, cx: &mut Context<'_>, ()| {
        let polled = attempt(&mut caller, cx);
        let waker = cx.waker().clone();
        std::thread::spawn(move || waker.wake());
        polled.map(Ok)
    });
    let guest =
        load(r#"(module (import "host" "wait" (func $w)) (func (export "f") (result i64) (call $w) (i64.const 3)))"#);
    let waits = linker.instantiate(&mut store, &guest).unwrap();
    store.data_mut().needed = 4;
    assert_eq!(export(&store, waits, "f").call(&mut store, ()).unwrap(), 3);
    assert_eq!(store.data().made, 5);
    assert_eq!(export(&store, instance, "f").call(&mut store, ()).unwrap(), F);
}

#[test]
fn the_last_attempt_may_call_the_guest() {
    for needed in [0, 3] {
        let (mut store, instance) = instance(needed);
        let nested = export(&store, instance, "nested");
        let mut call = pin!(nested.call_async(&mut store, ()));
        for _ in 0..needed {
            assert!(poll(call.as_mut()).is_pending());
        }
        let Poll::Ready(result) = poll(call) else { panic!("enough attempts were made") };
        assert_eq!(result.unwrap(), 42);
    }
}

#[test]
fn what_fails_at_any_attempt_ends_the_call_with_a_backtrace() {
    type Fail = fn() -> Poll<Result<(), HostError>>;
    type Expected = fn(&CallError) -> bool;
    let failures: [(Fail, Expected); 3] = [
        (|| Poll::Ready(Err(HostError::message("no luck"))), |e| e.to_string().contains("no luck")),
        (|| Poll::Ready(Err(HostError::trap(TrapCode::Unreachable))), |e| e.trap_code() == Some(TrapCode::Unreachable)),
        (|| panic!("oh no"), |e| matches!(e, CallError::HostPanic { message, .. } if message == "oh no")),
    ];
    for (fail, expected) in failures {
        for needed in [0, 1, 2] {
            let mut store = Store::new(Attempts { needed, ..Attempts::default() }, Limits::default()).unwrap();
            let instance = linker(fail).instantiate(&mut store, &load(GUEST)).unwrap();
            let f = export(&store, instance, "fail");
            {
                let mut call = pin!(f.call_async(&mut store, ()));
                for _ in 0..needed {
                    assert!(poll(call.as_mut()).is_pending());
                }
                let Poll::Ready(Err(error)) = poll(call) else { panic!("it fails") };
                assert!(expected(&error), "{error}");
                assert!(
                    error.backtrace().unwrap().frames().iter().any(|f| f.name.as_deref() == Some("fail")),
                    "{error}"
                );
            }
            assert_eq!(export(&store, instance, "g").call(&mut store, ()).unwrap(), 5);
        }
    }
}

#[test]
fn the_task_that_polled_last_is_woken_by_attempts_and_by_a_request_to_end() {
    let (mut store, instance) = instance(u32::MAX);
    let handle = store.interrupt_handle();
    let f = export(&store, instance, "f");
    let wakes = [0, 1].map(|_| Arc::new(Wakes::default()));
    let wakers = wakes.each_ref().map(|wakes| Waker::from(wakes.clone()));
    let woken = || wakes.each_ref().map(|wakes| wakes.0.load(Ordering::SeqCst));
    for round in 1..=3 {
        {
            let mut call = pin!(f.call_async(&mut store, ()));
            for waker in [&wakers[0], &wakers[0], &wakers[1], &wakers[1]] {
                assert!(call.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            }
            assert!(handle.interrupt());
            assert_eq!(woken(), [0, 2 * round - 1]);
            let Poll::Ready(Err(CallError::Interrupted(at))) = call.poll(&mut Context::from_waker(&wakers[1])) else {
                panic!("interrupted")
            };
            assert_eq!(at.frames().iter().filter(|f| f.name.as_deref() == Some("deep")).count(), 4, "{at}");
        }
        store.data_mut().waker.take().unwrap().wake();
        assert_eq!(woken(), [0, 2 * round]);
    }
    drop((store, wakers));
    assert_eq!(wakes.map(|wakes| Arc::strong_count(&wakes)), [1, 1], "nobody keeps a task");
}

#[test]
fn a_thread_that_waits_is_interrupted() {
    let (mut store, instance) = instance(u32::MAX);
    let handle = store.interrupt_handle();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        assert!(handle.interrupt());
    });
    let ended = export(&store, instance, "f").call(&mut store, ());
    assert!(matches!(ended, Err(CallError::Interrupted(_))), "{ended:?}");
    killer.join().unwrap();
    assert_eq!(export(&store, instance, "g").call(&mut store, ()).unwrap(), 5);
}

#[test]
fn a_call_that_is_given_up_leaves_the_store_and_its_pool_usable() {
    let pool = Pool::new(PoolLimits { slots: 1, ..PoolLimits::default() }).unwrap();
    let pre = linker(|| Poll::Ready(Ok(()))).prepare(&load(GUEST)).unwrap();
    for needed in [3, 1, 0, 2] {
        let (mut store, instance) = pool.instantiate(&pre, Attempts { needed: 1, ..Attempts::default() }).unwrap();
        let f = export(&store, instance, "f");
        assert!(poll(pin!(f.call_async(&mut store, ()))).is_pending());
        // Given up; the next begins anew.
        *store.data_mut() = Attempts { needed, ..Attempts::default() };
        let mut call = Box::pin(f.call_async(&mut store, ()));
        for _ in 0..needed {
            assert!(poll(call.as_mut()).is_pending());
        }
        let Poll::Ready(result) = poll(call.as_mut()) else { panic!("enough attempts were made") };
        assert_eq!(result.unwrap(), F);
        drop(call);
        let mut call = Box::pin(f.call_async(&mut store, ()));
        let _ = poll(call.as_mut());
    }
}

/// As many values as fit registers, and one result of each kind.
const MANY: &str = r#"(module
    (import "host" "i32" (func $i32 (param i32 f64 i64 f32 i32 f32 f64 i64 f32 i32 f64 f32 f64) (result i32)))
    (import "host" "i64" (func $i64 (param i64) (result i64)))
    (import "host" "f32" (func $f32 (param f32) (result f32)))
    (import "host" "f64" (func $f64 (param f64) (result f64)))
    (import "host" "v128" (func $v128 (param v128) (result v128)))
    (func $inner (export "inner") (param i32) (result i32) (local i64 i64 i64 i64)
        (if (result i32) (i32.eqz (local.get 0))
            (then (i32.const 1))
            (else (i32.add (i32.const 1) (call $inner (i32.sub (local.get 0) (i32.const 1)))))))
    (func (export "f") (result i64)
        (i64.extend_i32_u (call $i32 (i32.const 1) (f64.const 2) (i64.const 3) (f32.const 4) (i32.const 5) (f32.const 6)
            (f64.const 7) (i64.const 8) (f32.const 9) (i32.const 10) (f64.const 11) (f32.const 12) (f64.const 13)))
        (call $i64 (i64.const 0x100000000))
        (i64.trunc_f32_s (call $f32 (f32.const 0.5)))
        (i64.trunc_f64_s (call $f64 (f64.const 0.25)))
        (i64x2.extract_lane 1 (call $v128 (v128.const i64x2 1 1000000)))
        (i64.add) (i64.add) (i64.add) (i64.add)))"#;

/// Calls the guest, which uses the stack below the guest that waits, and makes another attempt.
fn busy_attempt(caller: &mut Caller<'_, Attempts>, cx: &mut Context<'_>) -> Poll<()> {
    let inner = caller.instance().typed_func::<i32, i32>(caller, "inner").unwrap();
    assert_eq!(inner.call(caller, 50).unwrap(), 51);
    let made = attempt(caller, cx);
    if made.is_ready() {
        caller.data_mut().made = 0;
    }
    made
}

#[test]
fn values_of_every_kind_wait_unharmed_while_attempts_call_the_guest() {
    type C<'a> = Caller<'a, Attempts>;
    type Thirteen = (i32, f64, i64, f32, i32, f32, f64, i64, f32, i32, f64, f32, f64);
    let mut linker = Linker::<Attempts>::new();
    linker.func_wrap_poll("host", "i32", |mut c: C<'_>, cx: &mut Context<'_>, v: Thirteen| {
        let first = (v.0, v.1, v.2, v.3, v.4, v.5, v.6);
        assert_eq!(first, (1, 2.0, 3, 4.0, 5, 6.0, 7.0));
        assert_eq!((v.7, v.8, v.9, v.10, v.11, v.12), (8, 9.0, 10, 11.0, 12.0, 13.0));
        busy_attempt(&mut c, cx).map(|()| Ok(v.0 + v.9))
    });
    linker.func_wrap_poll("host", "i64", |mut c: C<'_>, cx: &mut Context<'_>, v: i64| {
        busy_attempt(&mut c, cx).map(|()| Ok(v * 2))
    });
    linker.func_wrap_poll("host", "f32", |mut c: C<'_>, cx: &mut Context<'_>, v: f32| {
        busy_attempt(&mut c, cx).map(|()| Ok(v * 200.0))
    });
    linker.func_wrap_poll("host", "f64", |mut c: C<'_>, cx: &mut Context<'_>, v: f64| {
        busy_attempt(&mut c, cx).map(|()| Ok(v * 4000.0))
    });
    linker.func_wrap_poll("host", "v128", |mut c: C<'_>, cx: &mut Context<'_>, v: V128| {
        busy_attempt(&mut c, cx).map(|()| Ok(V128(v.0 + (1 << 64))))
    });
    let module = load(MANY);
    for needed in [0, 1, 9] {
        let mut store = Store::new(Attempts { needed, ..Attempts::default() }, Limits::default()).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let f = export(&store, instance, "f");
        let mut call = pin!(f.call_async(&mut store, ()));
        for _ in 0..5 * needed {
            assert!(poll(call.as_mut()).is_pending());
        }
        let Poll::Ready(result) = poll(call) else { panic!("enough attempts were made") };
        assert_eq!(result.unwrap(), 11 + 0x2_0000_0000 + 100 + 1000 + 1_000_001);
    }
}

// The values of such a call lie on its stack.
#[test]
fn a_call_with_more_values_than_its_stack_holds_overflows_it() {
    let guest = format!("(module (func (export \"f\") (param {})) (func (export \"g\")))", "i64 ".repeat(1000));
    let limits = Limits { stack_bytes: 16 << 10, ..Limits::default() };
    let mut store = Store::new((), limits).unwrap();
    let instance = Linker::new().instantiate(&mut store, &load(&guest)).unwrap();
    let f = instance.get_func(&store, "f").unwrap();
    let Poll::Ready(Err(error)) = poll(pin!(f.call_async(&mut store, &[Val::I64(-1); 1000]))) else {
        panic!("it ends")
    };
    assert_eq!(error.trap_code(), Some(TrapCode::StackOverflow));
    let g = instance.get_func(&store, "g").unwrap();
    assert!(matches!(poll(pin!(g.call_async(&mut store, &[]))), Poll::Ready(Ok(_))));
}
