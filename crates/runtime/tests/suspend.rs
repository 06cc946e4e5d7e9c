//! Host functions that wait: the guest is suspended, goes on elsewhere, is given up, is interrupted.

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{Wakes, load, poll};
use selvedge_runtime::{
    AsContextMut, CallError, Caller, HostError, Instance, Limits, Linker, Outcome, Pool, PoolLimits, Store, TrapCode,
    Val, Wait,
};

/// A future that is ready once somebody says so.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Option<Waker>)>>);

impl Gate {
    fn open(&self) {
        let mut inner = self.0.lock().unwrap();
        inner.0 = true;
        if let Some(waker) = inner.1.take() {
            waker.wake();
        }
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.lock().unwrap();
        inner.1 = Some(cx.waker().clone());
        if inner.0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Counts what was dropped.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

const GUEST: &str = r#"(module
    (import "host" "wait" (func $wait (param i32 i64) (result i64 i32)))
    (import "host" "again" (func $again (result i32)))
    (global $g (mut i32) (i32.const 5))
    (func $deep (param $n i32) (result i32)
        (if (result i32) (i32.eqz (local.get $n))
            (then (call $again))
            (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get $n) (i32.const 1)))))))
    (func (export "f") (param i32 i64) (result i64)
        (local $a i64) (local $b i32) (local $kept i64)
        (local.set $kept (i64.mul (local.get 1) (i64.const 3)))
        (call $wait (local.get 0) (local.get 1))
        (local.set $b) (local.set $a)
        (i64.add (local.get $kept) (i64.add (local.get $a) (i64.extend_i32_u (local.get $b)))))
    (func (export "deep") (param i32) (result i32) (call $deep (local.get 0)))
    (func (export "g") (result i32) (global.get $g)))"#;

/// `wait(a, b)` is `(b + 1, a + 1)` once the store's gate opens; `again` waits three times.
fn linker() -> Linker<Gate> {
    let mut linker = Linker::<Gate>::new();
    linker.func_wrap_async("host", "wait", |caller: Caller<'_, Gate>, (a, b): (i32, i64)| {
        let gate = caller.data().clone();
        Ok(Outcome::Wait(Wait::new(gate, move |_, ()| Ok(Outcome::Ready((b + 1, a + 1))))))
    });
    fn again(caller: &Caller<'_, Gate>, times: i32) -> Outcome<Gate, i32> {
        let gate = caller.data().clone();
        Outcome::Wait(Wait::new(gate, move |caller: Caller<'_, Gate>, ()| {
            Ok(if times == 3 { Outcome::Ready(times) } else { again(&caller, times + 1) })
        }))
    }
    linker.func_wrap_async("host", "again", |caller: Caller<'_, Gate>, ()| Ok(again(&caller, 1)));
    linker
}

fn instance() -> (Store<Gate>, Instance) {
    let mut store = Store::new(Gate::default(), Limits::default()).unwrap();
    let instance = linker().instantiate(&mut store, &load(GUEST)).unwrap();
    (store, instance)
}

#[test]
fn a_suspended_call_goes_on_where_it_was_on_another_thread() {
    let (mut store, instance) = instance();
    let gate = store.data().clone();
    let f = instance.typed_func::<(i32, i64), i64>(&store, "f").unwrap();
    let mut call = Box::pin(async move {
        let result = f.call_async(&mut store, (7, 100)).await;
        (store, result)
    });
    for _ in 0..3 {
        assert!(poll(call.as_mut()).is_pending());
    }
    let (mut store, result) = std::thread::spawn(move || {
        assert!(poll(call.as_mut()).is_pending());
        gate.open();
        let Poll::Ready(done) = poll(call.as_mut()) else { panic!("the gate is open") };
        done
    })
    .join()
    .unwrap();
    assert_eq!(result.unwrap(), 300 + 101 + 8);
    assert_eq!(instance.typed_func::<(), i32>(&store, "g").unwrap().call(&mut store, ()).unwrap(), 5);
    assert_eq!(f.call(&mut store, (0, 0)).unwrap(), 2, "the gate is open");
}

#[test]
fn a_function_may_wait_several_times_however_deep_the_guest_is() {
    let (mut store, instance) = instance();
    let gate = store.data().clone();
    let deep = instance.get_func(&store, "deep").unwrap();
    let mut call = pin!(deep.call_async(&mut store, &[Val::I32(1000)]));
    assert!(poll(call.as_mut()).is_pending());
    gate.open();
    let Poll::Ready(result) = poll(call) else { panic!("the gate is open") };
    assert_eq!(result.unwrap(), [Val::I32(1003)]);
}

#[test]
fn without_an_executor_the_thread_waits() {
    let (mut store, instance) = instance();
    let gate = store.data().clone();
    let opener = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        gate.open();
    });
    let f = instance.typed_func::<(i32, i64), i64>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, (1, 1)).unwrap(), 3 + 2 + 2);
    opener.join().unwrap();
}

#[test]
fn a_call_from_a_host_function_waits_on_its_thread() {
    let mut linker = linker();
    let inner = load(GUEST);
    let own = linker.clone();
    linker.func_wrap("host", "nested", move |mut caller: Caller<'_, Gate>| -> Result<i32, HostError> {
        caller.data().open();
        let instance = own.instantiate(&mut caller, &inner)?;
        let deep = instance.typed_func::<i32, i32>(&caller, "deep")?;
        Ok(deep.call(&mut caller.as_context_mut(), 10)?)
    });
    let outer = load(
        r#"(module (import "host" "nested" (func $n (result i32)))
        (func (export "f") (result i32) (i32.mul (call $n) (i32.const 2))))"#,
    );
    let mut store = Store::new(Gate::default(), Limits::default()).unwrap();
    let instance = linker.instantiate(&mut store, &outer).unwrap();
    let f = instance.typed_func::<(), i32>(&store, "f").unwrap();
    let Poll::Ready(result) = poll(pin!(f.call_async(&mut store, ()))) else { panic!("it waits on the thread") };
    assert_eq!(result.unwrap(), 26);
}

#[test]
fn a_dropped_call_frees_what_it_waited_for_and_the_store_goes_on() {
    let dropped = Arc::new(AtomicU32::new(0));
    let counted = dropped.clone();
    let mut linker = linker();
    linker.func_wrap_async("host", "again", move |_: Caller<'_, Gate>, ()| {
        let counted = Counted(counted.clone());
        Ok(Outcome::Wait(Wait::new(std::future::pending::<()>(), move |_, ()| {
            drop(counted);
            Ok(Outcome::Ready(0))
        })))
    });
    let mut store = Store::new(Gate::default(), Limits::default()).unwrap();
    let instance = linker.instantiate(&mut store, &load(GUEST)).unwrap();
    let deep = instance.typed_func::<i32, i32>(&store, "deep").unwrap();
    for round in 1..=3 {
        {
            let mut call = pin!(deep.call_async(&mut store, 10));
            assert!(poll(call.as_mut()).is_pending());
            assert_eq!(dropped.load(Ordering::SeqCst), round - 1);
        }
        assert_eq!(dropped.load(Ordering::SeqCst), round);
        assert_eq!(instance.typed_func::<(), i32>(&store, "g").unwrap().call(&mut store, ()).unwrap(), 5);
    }
    // A call that nobody dropped is given up by the next.
    let mut call = Box::pin(deep.call_async(&mut store, 10));
    assert!(poll(call.as_mut()).is_pending());
    drop(call);
    drop(store);
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
}

/// Says when it is dropped, and how many instances are idle then.
struct Noted(&'static str, Pool, Arc<Mutex<Vec<(&'static str, usize)>>>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.2.lock().unwrap().push((self.0, self.1.idle()));
    }
}

/// What is waited for may use what the store holds, and objects of guests what its data holds.
#[test]
fn what_a_dropped_call_held_goes_in_order_and_its_slot_is_free_before_the_data_goes() {
    let (order, pool) = (Arc::<Mutex<Vec<_>>>::default(), Pool::new(PoolLimits::guarded(1)).unwrap());
    let noted = |what| Noted(what, pool.clone(), order.clone());
    let mut linker = Linker::<Noted>::new();
    let wait = |caller: Caller<'_, Noted>, (): ()| {
        let noted = |what| Noted(what, caller.data().1.clone(), caller.data().2.clone());
        let (future, finish) = (noted("future"), noted("finish"));
        let future = async move {
            let _held = &future;
            std::future::pending::<()>().await;
        };
        Ok(Outcome::Wait(Wait::new(future, move |_, ()| {
            drop(finish);
            Ok(Outcome::Ready(()))
        })))
    };
    linker.func_wrap_async("host", "wait", wait);
    let module = load(r#"(module (import "host" "wait" (func $wait)) (memory 1) (func (export "f") (call $wait)))"#);
    let pre = linker.prepare(&module).unwrap();
    for elsewhere in [false, true] {
        let (mut store, instance) = pool.instantiate(&pre, noted("data")).unwrap();
        store.insert_extern(noted("object")).unwrap();
        let f = instance.typed_func::<(), ()>(&store, "f").unwrap();
        let mut call = Box::pin(async move { f.call_async(&mut store, ()).await });
        assert!(poll(call.as_mut()).is_pending());
        assert_eq!(order.lock().unwrap()[..], []);
        match elsewhere {
            true => std::thread::spawn(move || drop(call)).join().unwrap(),
            false => drop(call),
        }
        let order = std::mem::take(&mut *order.lock().unwrap());
        assert_eq!(order, [("future", 0), ("finish", 0), ("object", 0), ("data", 1)]);
    }
}

#[test]
fn a_suspended_call_is_interrupted_and_its_executor_woken() {
    let (mut store, instance) = instance();
    let handle = store.interrupt_handle();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let deep = instance.typed_func::<i32, i32>(&store, "deep").unwrap();
    {
        let mut call = pin!(deep.call_async(&mut store, 2));
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(handle.interrupt());
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let Poll::Ready(Err(CallError::Interrupted(at))) = call.poll(&mut Context::from_waker(&waker)) else {
            panic!("interrupted")
        };
        assert_eq!(at.frames().len(), 5, "{at}");
    }
    assert!(!handle.is_pending());
    assert_eq!(instance.typed_func::<(), i32>(&store, "g").unwrap().call(&mut store, ()).unwrap(), 5);
}

#[test]
fn what_fails_after_waiting_ends_the_call_with_a_backtrace() {
    type Finish = fn() -> Result<Outcome<Gate, i32>, HostError>;
    type Expected = fn(&CallError) -> bool;
    let failures: [(Finish, Expected); 3] = [
        (
            || Err(HostError::message("no luck")),
            |e| matches!(e, CallError::Host(_)) && e.to_string().contains("no luck"),
        ),
        (|| Err(HostError::trap(TrapCode::Unreachable)), |e| e.trap_code() == Some(TrapCode::Unreachable)),
        (|| panic!("oh no"), |e| matches!(e, CallError::HostPanic { message, .. } if message == "oh no")),
    ];
    for (finish, expected) in failures {
        let mut linker = linker();
        linker.func_wrap_async("host", "again", move |_: Caller<'_, Gate>, ()| {
            Ok(Outcome::Wait(Wait::new(std::future::ready(()), move |_, ()| finish())))
        });
        let mut store = Store::new(Gate::default(), Limits::default()).unwrap();
        let instance = linker.instantiate(&mut store, &load(GUEST)).unwrap();
        let deep = instance.typed_func::<i32, i32>(&store, "deep").unwrap();
        for asynchronous in [true, false] {
            let error = if asynchronous {
                let Poll::Ready(result) = poll(pin!(deep.call_async(&mut store, 2))) else { panic!("it is ready") };
                result.unwrap_err()
            } else {
                deep.call(&mut store, 2).unwrap_err()
            };
            assert!(expected(&error), "{error}");
            let frames = error.backtrace().unwrap().frames();
            assert_eq!(frames.iter().filter(|f| f.name.as_deref() == Some("deep")).count(), 4, "{error}");
        }
        assert_eq!(instance.typed_func::<(), i32>(&store, "g").unwrap().call(&mut store, ()).unwrap(), 5);
    }
}

/// A linker whose `again` waits, and then calls the guest's `inner`.
fn calls_back() -> Linker<Gate> {
    let mut linker = linker();
    linker.func_wrap_async("host", "again", |caller: Caller<'_, Gate>, ()| {
        let gate = caller.data().clone();
        Ok(Outcome::Wait(Wait::new(gate, |mut caller: Caller<'_, Gate>, ()| {
            let inner = caller.instance().get_func(&caller, "inner").ok_or_else(|| HostError::message("no inner"))?;
            let [Val::I32(n)] = inner.call(&mut caller, &[])?[..] else { return Err(HostError::message("no number")) };
            Ok(Outcome::Ready(n))
        })))
    });
    linker
}

fn guest_called_back(inner: &str) -> String {
    format!(
        r#"(module
        (import "host" "again" (func $again (result i32)))
        (import "host" "wait" (func $wait (param i32 i64) (result i64 i32)))
        (func $deep (param $n i32) (param $kept i64) (result i64)
            (if (result i64) (i32.eqz (local.get $n))
                (then (i64.extend_i32_u (call $again)))
                (else (i64.add (local.get $kept)
                    (call $deep (i32.sub (local.get $n) (i32.const 1)) (i64.add (local.get $kept) (i64.const 1)))))))
        (func (export "f") (result i64) (call $deep (i32.const 3) (i64.const 10)))
        (func (export "g") (result i32) (i32.const 5))
        (func (export "inner") (result i32) {inner}))"#
    )
}

// A host function that had waited and then called the guest, to have memory for its results as an example, gave up
// the very call that it was part of, and panicked.
#[test]
fn a_function_that_has_waited_may_call_the_guest() {
    let waits = "(call $wait (i32.const 1) (i64.const 2)) (drop) (i32.wrap_i64)";
    for (inner, expected) in [("(i32.const 7)", Ok(7)), (waits, Ok(3)), ("(unreachable)", Err(()))] {
        let mut store = Store::new(Gate::default(), Limits::default()).unwrap();
        let instance = calls_back().instantiate(&mut store, &load(guest_called_back(inner))).unwrap();
        let f = instance.typed_func::<(), i64>(&store, "f").unwrap();
        let gate = store.data().clone();
        for _ in 0..2 {
            let mut call = pin!(f.call_async(&mut store, ()));
            let first = poll(call.as_mut());
            gate.open();
            let Poll::Ready(result) = (if first.is_pending() { poll(call) } else { first }) else { panic!("gate") };
            assert_eq!(result.map_err(drop), expected.map(|n| n + 33), "{inner}");
        }
        assert_eq!(instance.typed_func::<(), i32>(&store, "g").unwrap().call(&mut store, ()).unwrap(), 5);
    }
}

#[test]
fn what_a_function_that_has_waited_calls_is_interrupted() {
    let mut store = Store::new(Gate::default(), Limits::default()).unwrap();
    let module = load(guest_called_back("(loop (br 0)) (unreachable)"));
    let instance = calls_back().instantiate(&mut store, &module).unwrap();
    store.data().open();
    let handle = store.interrupt_handle();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        assert!(handle.interrupt());
    });
    let f = instance.typed_func::<(), i64>(&store, "f").unwrap();
    let Poll::Ready(Err(error)) = poll(pin!(f.call_async(&mut store, ()))) else { panic!("interrupted") };
    assert!(error.to_string().contains("interrupted"), "{error}");
    killer.join().unwrap();
    assert_eq!(instance.typed_func::<(), i32>(&store, "g").unwrap().call(&mut store, ()).unwrap(), 5);
}

/// A waker that interrupts when it is dropped: as one that keeps a task alive may, whose end stops what it started.
struct Stopper(selvedge_runtime::InterruptHandle);

impl Wake for Stopper {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

// Wakers were dropped under the lock that a request takes.
#[test]
fn a_waker_may_interrupt_as_it_is_dropped() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let tester = std::thread::spawn(move || {
        let mut linker = linker();
        linker.func_wrap_async("host", "again", |_: Caller<'_, Gate>, ()| {
            // It keeps no waker.
            Ok(Outcome::Wait(Wait::new(std::future::pending::<()>(), |_, ()| Ok(Outcome::Ready(0)))))
        });
        let mut store = Store::new(Gate::default(), Limits::default()).unwrap();
        let instance = linker.instantiate(&mut store, &load(GUEST)).unwrap();
        let waker = Waker::from(Arc::new(Stopper(store.interrupt_handle())));
        let deep = instance.typed_func::<i32, i32>(&store, "deep").unwrap();
        let mut call = Box::pin(deep.call_async(&mut store, 2));
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        // Another waker takes its place.
        let Poll::Ready(Err(CallError::Interrupted(_))) = poll(call.as_mut()) else { panic!("interrupted") };
        sender.send(()).unwrap();
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("it does not wait for itself");
    tester.join().unwrap();
}
