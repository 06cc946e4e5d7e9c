//! Many instances alive at once: each waits in a host call, none knows of the others, and what each takes is little
//! more than the pages it touched. `SELVEDGE_ALIVE` says how many; `cargo run -p bench --release -- density` runs a
//! million.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use common::load_with;
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{CallError, Caller, Limits, Linker, Module, Outcome, Pool, PoolLimits, Wait};

/// Writes what it is given to two pages and a global, waits, and returns the sum of what is there then.
const GUEST: &str = r#"(module (import "host" "wait" (func $wait)) (memory 1 1)
    (global $g (mut i32) (i32.const 0))
    (func (export "run") (param i32) (result i32)
        (i32.store (i32.const 4) (i32.add (i32.load (i32.const 4)) (local.get 0)))
        (i32.store (i32.const 40000) (i32.add (i32.load (i32.const 40000)) (local.get 0)))
        (global.set $g (i32.add (global.get $g) (local.get 0)))
        (call $wait)
        (i32.add (global.get $g) (i32.add (i32.load (i32.const 4)) (i32.load (i32.const 40000))))))"#;

/// Two pages of memory, one for stack and context; beside them the page tables' and the host's own.
const BYTES_EACH_MAX: u64 = 13_800;

type Parked = Pin<Box<dyn Future<Output = Result<i32, CallError>> + Send>>;

/// Pending until someone lets all go on.
struct Gate(Arc<AtomicBool>);

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn poll(call: &mut Parked) -> Poll<Result<i32, CallError>> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn module(layout: MemoryLayout) -> Module {
    load_with(GUEST, &Options { memory: layout, ..Options::default() })
}

/// Parks so many instances, lets all go on, twice; returns the bytes that the process has for each the first time.
fn park(layout: MemoryLayout, count: u32) -> u64 {
    let module = module(layout);
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let mut linker = Linker::<()>::new();
    linker.func_wrap_async("host", "wait", move |_: Caller<'_, ()>, ()| {
        Ok(Outcome::Wait(Wait::new(Gate(gate.clone()), |_, ()| Ok(Outcome::Ready(())))))
    });
    let pre = linker.prepare(&module).unwrap();
    let store = Limits { stack_bytes: 16 << 10, ..Limits::default() };
    let pool = Pool::new(PoolLimits { store, ..PoolLimits::fitting(count, &module) }).unwrap();
    let before = bytes();
    let mut each = 0;
    for round in 0..2 {
        open.store(false, Ordering::Relaxed);
        let make = |number: u32| {
            let (mut store, instance) = pool.instantiate(&pre, ()).unwrap();
            let run = instance.typed_func::<u32, i32>(&store, "run").unwrap();
            let mut call: Parked = Box::pin(async move { run.call_async(&mut store, number).await });
            assert!(poll(&mut call).is_pending());
            call
        };
        let mut parked: Vec<Parked> = (0..count).map(make).collect();
        if round == 0 {
            each = (bytes() - before) / u64::from(count);
        }
        assert!(pool.instantiate(&pre, ()).is_err(), "all slots are in use");
        open.store(true, Ordering::Relaxed);
        for (number, call) in (0..).zip(&mut parked) {
            match poll(call) {
                Poll::Ready(Ok(sum)) => assert_eq!(sum, 3 * number, "each finds its own, and nothing of the last one"),
                other => panic!("instance {number}: {other:?}"),
            }
        }
    }
    each
}

/// What the process has, page tables included.
fn bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name| {
        let line = status.lines().find_map(|line: &str| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    };
    field("VmRSS:") + field("VmPTE:")
}

// One test, so that no other's memory is counted.
#[test]
fn tens_of_thousands_are_alive_and_take_little_more_than_they_touch() {
    let count = std::env::var("SELVEDGE_ALIVE").map_or(50_000, |count| count.parse().expect("a number"));
    let each = park(MemoryLayout::Dense, count);
    assert!(each <= BYTES_EACH_MAX, "{each} bytes each");
    // As many of these as the kernel allows mappings by default, and some to spare.
    park(MemoryLayout::Guarded, count.min(5_000));
}
