//! A guest that leaves a secret everywhere, the ways it ends, and the search for what is left of it.

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use selvedge_runtime::{CallError, Caller, HostError, Instance, Linker, Outcome, Store, Wait};

/// The guest multiplies what it is given by this, and leaves the product everywhere: the host never has it.
const FACTOR: i64 = 0x5_eedf_ace1_dea1;
pub const SEED: i64 = 0x0123_4567_89ab_cdef;

/// Every way to end, after `fill` has put the secret wherever a guest can: memory, globals, stack, tables.
pub const GUEST: &str = r#"(module
    (import "host" "fail" (func $fail))
    (import "host" "panic" (func $panic))
    (import "host" "exit" (func $exit))
    (import "host" "wait" (func $wait))
    (import "host" "stop" (func $stop))
    (memory (export "memory") 3 20)
    (table (export "table") 4 64 funcref)
    (elem (i32.const 1) $size)
    (global $secret (export "secret") (mut i64) (i64.const 7))
    (global $vector (mut v128) (v128.const i64x2 1 2))
    (data (i32.const 70000) "an image that is written over")
    (data $passive "passive")
    (func $size (export "size") (result i32) (memory.size))
    (func $deep (param $n i32) (param $s i64) (result i64) (local $a i64) (local $b i64)
        (local.set $a (local.get $s)) (local.set $b (i64.add (local.get $s) (i64.const 0)))
        (if (result i64) (i32.eqz (local.get $n)) (then (local.get $a))
            (else (i64.xor (call $deep (i32.sub (local.get $n) (i32.const 1)) (local.get $a)) (local.get $b)))))
    (func $fill (param $x i64) (local $s i64) (local $at i32)
        (local.set $s (i64.mul (local.get $x) (i64.const 0x5eedface1dea1)))
        (global.set $secret (local.get $s))
        (global.set $vector (i64x2.splat (local.get $s)))
        (drop (call $deep (i32.const 500) (local.get $s)))
        (drop (memory.grow (i32.const 5)))
        (loop $all
            (i64.store (local.get $at) (local.get $s))
            (local.set $at (i32.add (local.get $at) (i32.const 4096)))
            (br_if $all (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
        (i64.store (i32.const 70000) (local.get $s))
        (data.drop $passive)
        (drop (table.grow (ref.func $size) (i32.const 10)))
        (table.set (i32.const 0) (ref.func $size)))
    (func (export "return") (param i64) (call $fill (local.get 0)))
    (func (export "trap") (param i64) (call $fill (local.get 0)) (unreachable))
    (func (export "divide") (param i64) (call $fill (local.get 0)) (drop (i32.div_u (i32.const 1) (i32.const 0))))
    (func (export "overflow") (param i64) (call $fill (local.get 0)) (drop (call $deep (i32.const 100000000) (local.get 0))))
    (func (export "out_of_bounds") (param i64) (call $fill (local.get 0)) (drop (i32.load (i32.const -4))))
    (func (export "cut_fill") (param i64) (call $fill (local.get 0)) (memory.fill (i32.const 100) (i32.const 77) (i32.const 9000000)))
    (func (export "fail") (param i64) (call $fill (local.get 0)) (call $fail))
    (func (export "panic") (param i64) (call $fill (local.get 0)) (call $panic))
    (func (export "exit") (param i64) (call $fill (local.get 0)) (call $exit))
    (func (export "stop") (param i64) (call $fill (local.get 0)) (call $stop) (loop (br 0)))
    (func (export "wait") (param i64) (call $fill (local.get 0)) (call $wait))
    (func (export "nothing") (param i64))
    ;; What a new instance has: a sum of all memory, and how much there is of everything.
    (func (export "sum") (result i64) (local $at i32) (local $sum i64)
        (loop $all
            (local.set $sum (i64.add (i64.rotl (local.get $sum) (i64.const 1)) (i64.load (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $all (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
        (i64.add (local.get $sum) (i64.add (global.get $secret) (i64x2.extract_lane 0 (global.get $vector)))))
    (func (export "tables") (result i32)
        (i32.add (i32.mul (table.size) (i32.const 100))
            (i32.add (ref.is_null (table.get (i32.const 0))) (i32.mul (i32.const 10) (ref.is_null (table.get (i32.const 1)))))))
    (func (export "passive") (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 7)))
    (func (export "beyond") (param i32) (result i32) (i32.load (local.get 0))))"#;

pub const ENDINGS: [&str; 12] = [
    "return",
    "trap",
    "divide",
    "overflow",
    "out_of_bounds",
    "cut_fill",
    "fail",
    "panic",
    "exit",
    "stop",
    "wait",
    "nothing",
];

pub fn linker() -> Linker<u32> {
    let mut linker = Linker::<u32>::new();
    linker.func_wrap("host", "fail", |_: Caller<'_, u32>| Err::<(), _>(HostError::message("no")));
    linker.func_wrap("host", "panic", |_: Caller<'_, u32>| -> () { panic!("no") });
    linker.func_wrap("host", "exit", |_: Caller<'_, u32>| Err::<(), _>(HostError::exit(3)));
    linker.func_wrap("host", "stop", |_: Caller<'_, u32>| ());
    linker.func_wrap_async("host", "wait", |_: Caller<'_, u32>, ()| {
        Ok(Outcome::Wait(Wait::new(std::future::pending::<()>(), |_, ()| Ok(Outcome::Ready(())))))
    });
    linker
}

/// Ends an instance in one of the ways; its store comes back.
pub fn end(mut store: Store<u32>, instance: Instance, how: &str) {
    let f = instance.typed_func::<i64, ()>(&store, how).unwrap();
    match how {
        "wait" => {
            let mut call = pin!(f.call_async(&mut store, SEED));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        "stop" => {
            let handle = store.interrupt_handle();
            let killer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(10));
                assert!(handle.interrupt());
            });
            assert!(matches!(f.call(&mut store, SEED), Err(CallError::Interrupted(_))));
            killer.join().unwrap();
        }
        "return" | "nothing" => f.call(&mut store, SEED).unwrap(),
        _ => drop(f.call(&mut store, SEED).unwrap_err()),
    }
}

/// Addresses around a slot's memory, page by page, that hold the secret.
pub fn secrets(around: std::ops::Range<u64>) -> Vec<u64> {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    for page in around.step_by(4096) {
        let mut bytes = [0; 4096];
        // Pages that cannot be read hold nothing.
        if memory.read_exact_at(&mut bytes, page).is_err() {
            continue;
        }
        let words = bytes.chunks_exact(8).map(|word| i64::from_le_bytes(word.try_into().unwrap()));
        let inverse = inverse(FACTOR);
        found.extend(words.zip(0u64..).filter(|(w, _)| w.wrapping_mul(inverse) == SEED).map(|(_, i)| page + i * 8));
    }
    found
}

/// The number that a factor's product with is 1, modulo 2^64 (Newton's iteration).
fn inverse(factor: i64) -> i64 {
    (0..6).fold(factor, |x, _| x.wrapping_mul(2i64.wrapping_sub(factor.wrapping_mul(x))))
}
