//! A pool, a host function that waits, a limit on time: a fresh instance for every request. Run with
//! `cargo run -p selvedge-runtime --example pool`.

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use selvedge_compiler::{Options, compile};
use selvedge_runtime::{CallError, Caller, Limits, Linker, Module, Outcome, Pool, PoolLimits, Wait};

const GUEST: &str = r#"(module
    (import "host" "sleep" (func $sleep (param i32) (result i32)))
    (memory (export "memory") 1)
    (global $requests (mut i32) (i32.const 0))
    (func (export "handle") (param i32) (result i32)
        (global.set $requests (i32.add (global.get $requests) (i32.const 1)))
        (drop (call $sleep (local.get 0)))
        (global.get $requests))
    (func (export "spin") (loop (br 0))))"#;

/// Pending until a moment. A real host waits for a timer or a socket of its executor.
struct Until(Instant);

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        cx.waker().wake_by_ref();
        if Instant::now() >= self.0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let artifact = compile(GUEST.as_bytes(), &Options::default(), &())?;
    // The machine code is proved to keep its contract, whoever wrote it.
    let module = Module::load_untrusted(&artifact, thread::available_parallelism()?)?;
    let mut linker = Linker::<()>::new();
    linker.func_wrap_async("host", "sleep", |_: Caller<'_, ()>, ms: u32| {
        let until = Until(Instant::now() + Duration::from_millis(ms.into()));
        Ok(Outcome::Wait(Wait::new(until, |_, ()| Ok(Outcome::Ready(1)))))
    });

    // Found once: imports, and the slots for a thousand instances.
    let handler = linker.prepare(&module)?;
    let store = Limits { memory_bytes_max: 1 << 20, ..Limits::default() };
    let pool = Pool::new(PoolLimits { store, ..PoolLimits::guarded(1_000) })?;

    // Each request has an instance that nobody used before; dropping the store recycles it.
    for request in 1..=3 {
        let (mut store, instance) = pool.instantiate(&handler, ())?;
        let handle = instance.typed_func::<u32, i32>(&store, "handle")?;
        let mut call = pin!(handle.call_async(&mut store, 5));
        let mut polls = 0;
        let count = loop {
            polls += 1;
            if let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                break result?;
            }
        };
        println!("request {request}: the instance has seen {count}, and waited ({})", polls > 1);
    }

    // A guest that does not end is stopped, at whatever instruction it is.
    let (mut store, instance) = pool.instantiate(&handler, ())?;
    let kill = store.interrupt_handle();
    let watchdog = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        kill.interrupt()
    });
    match instance.typed_func::<(), ()>(&store, "spin")?.call(&mut store, ()) {
        Err(CallError::Interrupted(at)) => println!("stopped:\n{at}"),
        other => println!("not stopped: {other:?}"),
    }
    println!("the watchdog found it: {:?}", watchdog.join());
    Ok(())
}
