//! Interruptions at random times, against instances at every stage: each is obeyed once or void, and none harms
//! another instance. `SELVEDGE_KILLS` says how many instances; without it, 100,000 or what five seconds are enough for.

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use common::{Random, load};
use selvedge_runtime::{
    CallError, Caller, Instance, InstancePre, InterruptHandle, Limits, Linker, Outcome, Pool, PoolLimits, Store, Wait,
};

/// Guest loops that only an interruption ends, and what ends by itself.
const GUEST: &str = r#"(module
    (import "host" "call" (func $call))
    (import "host" "wait" (func $wait))
    (memory 1 4)
    (func (export "loop") (loop (br 0)))
    (func (export "calls") (loop (call $call) (br 0)))
    (func (export "fills") (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0)))
    (func (export "waits") (call $wait))
    (func (export "brief") (i32.store (i32.const 40000) (i32.const 1)) (call $call))
    (func (export "sum") (param i32) (result i32) (local $s i32)
        (loop
            (local.set $s (i32.add (local.get $s) (i32.load (i32.mul (local.get 0) (i32.const 8)))))
            (local.set $s (i32.add (local.get $s) (local.get 0)))
            (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (br_if 0 (local.get 0)))
        (local.get $s)))"#;

const ENDLESS: [&str; 4] = ["loop", "calls", "fills", "waits"];

/// How many instances, and how long at most: on a machine that is busy otherwise each takes a turn of the scheduler.
fn kills() -> (u64, Duration) {
    match std::env::var("SELVEDGE_KILLS") {
        Ok(kills) => (kills.parse().expect("SELVEDGE_KILLS is a number"), Duration::MAX),
        Err(_) => (100_000, Duration::from_secs(5)),
    }
}

fn pause(random: &mut Random, most: u64) {
    (0..random.below(most)).for_each(|_| std::hint::spin_loop());
}

fn prepared() -> InstancePre<()> {
    let mut linker = Linker::<()>::new();
    linker.func_wrap("host", "call", |_: Caller<'_, ()>| ());
    linker.func_wrap_async("host", "wait", |_: Caller<'_, ()>, ()| {
        Ok(Outcome::Wait(Wait::new(std::future::pending::<()>(), |_, ()| Ok(Outcome::Ready(())))))
    });
    linker.prepare(&load(GUEST)).unwrap()
}

fn pool(slots: u32) -> Pool {
    let store = Limits { stack_bytes: 64 << 10, ..Limits::default() };
    Pool::new(PoolLimits { store, ..PoolLimits::guarded(slots) }).unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a call on this thread, parked while it is suspended.
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

/// What the victim shares with who kills it.
#[derive(Default)]
struct Shared {
    target: Mutex<Option<InterruptHandle>>,
    over: AtomicBool,
    /// Requests that found somebody.
    asked: AtomicU64,
}

/// Kills whatever is there, each once, at a random time; keeps the handles, to try them again when they are stale.
fn kill(shared: &Shared, mut random: Random) {
    let mut stale = Vec::new();
    while !shared.over.load(Ordering::Relaxed) {
        let Some(handle) = shared.target.lock().unwrap().take() else {
            std::thread::yield_now();
            continue;
        };
        pause(&mut random, 400);
        shared.asked.fetch_add(u64::from(handle.interrupt()), Ordering::Relaxed);
        stale.push(handle);
        if stale.len() == 16 {
            // The last one's instance may still live: it is left alone.
            let last = stale.pop().unwrap();
            assert!(stale.drain(..).all(|handle| !handle.interrupt()), "an instance that has ended cannot be killed");
            stale.push(last);
        }
    }
}

/// One instance that somebody is about to kill: whether the request was obeyed in it.
fn live(pool: &Pool, pre: &InstancePre<()>, random: &mut Random, shared: &Shared) -> bool {
    let (mut store, instance) = pool.instantiate(pre, ()).unwrap();
    let handle = store.interrupt_handle();
    *shared.target.lock().unwrap() = Some(handle.clone());
    pause(random, 200);
    if random.below(4) == 0 {
        // It ends by itself, before the request, or because of it, or with one that is void.
        let brief = instance.typed_func::<(), ()>(&store, "brief").unwrap();
        let killed = (0..random.below(8)).any(|_| brief.call(&mut store, ()).is_err());
        return killed;
    }
    let how = ENDLESS[random.below(4) as usize];
    let call = instance.typed_func::<(), ()>(&store, how).unwrap();
    let result =
        if random.below(2) == 0 { call.call(&mut store, ()) } else { wait_for(call.call_async(&mut store, ())) };
    assert!(matches!(result, Err(CallError::Interrupted(_))), "{how}: {result:?}");
    // Obeyed once: the store goes on.
    assert!(!handle.is_pending());
    let sum = instance.typed_func::<i32, i32>(&store, "sum").unwrap();
    sum.call(&mut store, 10).unwrap();
    true
}

/// An instance that nobody kills, on the same pool: it must always come to the right result.
fn bystander(pool: &Pool, pre: &InstancePre<()>, over: &AtomicBool) -> u64 {
    let mut runs = 0;
    while !over.load(Ordering::Relaxed) || runs == 0 {
        let (mut store, instance) = pool.instantiate(pre, ()).unwrap();
        let sum = instance.typed_func::<i32, i32>(&store, "sum").unwrap();
        assert_eq!(sum.call(&mut store, 1_000).unwrap(), 500_500);
        runs += 1;
        // There are few processors: the others need them.
        std::thread::sleep(Duration::from_micros(200));
    }
    runs
}

#[test]
fn every_kill_is_obeyed_once_or_void_and_harms_nobody_else() {
    let (pool, pre) = (pool(8), prepared());
    let (shared, (most, patience), begin) = (Shared::default(), kills(), Instant::now());
    let mut kills = 0;
    let obeyed = std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill(&shared, Random(0x5eed)));
        let other = scope.spawn(|| bystander(&pool, &pre, &shared.over));
        let mut random = Random(0xace1);
        let mut obeyed = 0;
        while kills < most && begin.elapsed() < patience {
            obeyed += u64::from(live(&pool, &pre, &mut random, &shared));
            kills += 1;
        }
        shared.over.store(true, Ordering::Relaxed);
        killer.join().unwrap();
        assert!(other.join().unwrap() > 0);
        obeyed
    });
    let asked = shared.asked.load(Ordering::Relaxed);
    // Who is asked and ends by itself before it looks leaves the request void; nobody obeys what was not asked.
    assert!(obeyed <= asked && asked <= kills, "{obeyed} obeyed of {asked} of {kills}");
    assert!(obeyed >= kills / 2, "{obeyed} obeyed of {asked} of {kills}");
}

/// A call that lives on its own: many are suspended at once, and polled by whoever is there.
type Task = Pin<Box<dyn Future<Output = (Store<()>, Instance, Result<(), CallError>)> + Send>>;

fn task(pool: &Pool, pre: &InstancePre<()>) -> (InterruptHandle, Task) {
    let (mut store, instance) = pool.instantiate(pre, ()).unwrap();
    let waits = instance.typed_func::<(), ()>(&store, "waits").unwrap();
    let handle = store.interrupt_handle();
    let task = async move {
        let result = waits.call_async(&mut store, ()).await;
        (store, instance, result)
    };
    (handle, Box::pin(task))
}

#[test]
fn only_those_that_are_meant_are_killed_among_many_that_are_suspended() {
    let (pool, pre) = (pool(64), prepared());
    let mut random = Random(0xbea7);
    let mut context = Context::from_waker(Waker::noop());
    let mut tasks: Vec<_> = (0..64).map(|_| task(&pool, &pre)).collect();
    tasks.iter_mut().for_each(|(_, task)| assert!(task.as_mut().poll(&mut context).is_pending()));
    let ((kills, patience), begin) = (kills(), Instant::now());
    for _ in (0..kills / 25).take_while(|_| begin.elapsed() < patience) {
        let meant: Vec<bool> = tasks.iter().map(|_| random.below(4) == 0).collect();
        std::thread::scope(|scope| {
            let asked = tasks.iter().zip(&meant).filter(|(_, meant)| **meant).map(|((handle, _), _)| handle.clone());
            let asked: Vec<_> = asked.collect();
            scope.spawn(move || asked.iter().for_each(|handle| assert!(handle.interrupt())));
        });
        for ((_, task), meant) in tasks.iter_mut().zip(&meant) {
            let polled = task.as_mut().poll(&mut context);
            assert_eq!(polled.is_ready(), *meant);
            if let Poll::Ready((mut store, instance, result)) = polled {
                assert!(matches!(result, Err(CallError::Interrupted(_))));
                let sum = instance.typed_func::<i32, i32>(&store, "sum").unwrap();
                assert_eq!(sum.call(&mut store, 100).unwrap(), 5_050);
            }
        }
        for (slot, _) in tasks.iter_mut().zip(&meant).filter(|(_, meant)| **meant) {
            *slot = self::task(&pool, &pre);
            assert!(slot.1.as_mut().poll(&mut context).is_pending());
        }
    }
    assert!(tasks.len() == 64 && tasks.iter().all(|(handle, _)| !handle.is_pending()));
}
