//! Typed calls whose values are passed in registers, and those beside them whose are not.

mod common;

use std::time::Duration;

use common::load;
use selvedge_runtime::{
    CallError, Caller, HostError, Instance, Limits, Linker, Store, TimeLimits, TrapCode, WasmParams, WasmResults,
};

const GUEST: &str = r#"(module
    (import "host" "call" (func $call (param i32) (result i32)))
    (import "host" "half" (func $half (param f64) (result f64)))
    (export "half" (func $half))
    (func (export "none"))
    (func (export "i64") (param i64) (result i64) (i64.sub (i64.const 0) (local.get 0)))
    (func (export "f32") (param f32) (result f32) (f32.neg (local.get 0)))
    (func (export "five") (param i32 i32 i32 i32 i32) (result i32)
        (i32.sub (local.get 0) (i32.sub (local.get 1) (i32.sub (local.get 2) (i32.sub (local.get 3) (local.get 4))))))
    (func (export "six") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.sub (local.get 5) (local.get 0)))
    (func (export "eight") (param f64 f32 f64 f32 f64 f32 f64 f32) (result f64)
        (f64.sub (local.get 0) (f64.add (local.get 6) (f64.promote_f32 (local.get 7)))))
    (func (export "nine") (param f64 f64 f64 f64 f64 f64 f64 f64 f64) (result f64) (f64.sub (local.get 8) (local.get 0)))
    (func (export "mixed") (param f64 i32 f32 i64 i32) (result i64)
        (i64.add (i64.trunc_f64_s (f64.mul (local.get 0) (f64.promote_f32 (local.get 2))))
            (i64.mul (local.get 3) (i64.extend_i32_s (i32.sub (local.get 1) (local.get 4))))))
    (func (export "two") (param i32 i32) (result i32 i32) (local.get 1) (local.get 0))
    (func (export "trap") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func $deep (export "deep") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1))))) (else (unreachable))))
    (func (export "nested") (param i32) (result i32) (call $call (local.get 0))))"#;

fn call<P: WasmParams, R: WasmResults>(store: &mut Store<()>, instance: Instance, name: &str, params: P) -> R {
    instance.typed_func::<P, R>(store, name).unwrap().call(store, params).unwrap()
}

fn all(store: &mut Store<()>, instance: Instance) {
    call::<(), ()>(store, instance, "none", ());
    assert_eq!(call::<i64, i64>(store, instance, "i64", i64::MIN + 1), i64::MAX);
    assert_eq!(call::<f32, f32>(store, instance, "f32", 1.5), -1.5);
    assert_eq!(call::<_, i32>(store, instance, "five", (10_000, 2_000, 300, 40, 5)), 10_000 - 2_000 + 300 - 40 + 5);
    assert_eq!(call::<_, i32>(store, instance, "six", (1, 2, 3, 4, 5, 60)), 59);
    let eight = (0.5, 1f32, 2.0, 3f32, 4.0, 5f32, 6.0, 7f32);
    assert_eq!(call::<_, f64>(store, instance, "eight", eight), 0.5 - 13.0);
    assert_eq!(call::<_, f64>(store, instance, "nine", (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)), 7.5);
    assert_eq!(call::<_, i64>(store, instance, "mixed", (3.0, -7, 2.5f32, -1i64 << 40, 9)), 7 + (16 << 40));
    assert_eq!(call::<_, (u32, u32)>(store, instance, "two", (1, u32::MAX)), (u32::MAX, 1));
    // An import that is exported again, and a host call on the way.
    assert_eq!(call::<f64, f64>(store, instance, "half", 9.0), 4.5);
    assert_eq!(call::<i32, i32>(store, instance, "nested", 6), 3 + 5 + 1);
}

fn linker() -> Linker<()> {
    let mut linker = Linker::new();
    linker.func_wrap("host", "half", |_: Caller<'_, ()>, n: f64| n / 2.0);
    linker.func_wrap("host", "call", |mut caller: Caller<'_, ()>, n: i32| -> Result<i32, HostError> {
        // Within a call, values go by way of memory.
        let instance = caller.instance();
        let half = instance.typed_func::<f64, f64>(&caller, "half")?.call(&mut caller, n.into())?;
        let five = instance.typed_func::<(i32, i32, i32, i32, i32), i32>(&caller, "five")?;
        let trap = instance.typed_func::<(i32, i32), i32>(&caller, "trap")?;
        assert_eq!(trap.call(&mut caller, (1, 0)).unwrap_err().trap_code(), Some(TrapCode::IntegerDivisionByZero));
        Ok(half as i32 + five.call(&mut caller, (5, 0, 0, 0, 0))? + trap.call(&mut caller, (1, 1))?)
    });
    linker
}

#[test]
fn values_of_every_kind_arrive_in_order_with_and_without_limits_on_time() {
    let far = Some(Duration::from_secs(3_600));
    let module = load(GUEST);
    for time in [TimeLimits::NONE, TimeLimits { cpu: far, wall: far, slice: None }] {
        let mut store = Store::new((), Limits { time, ..Limits::default() }).unwrap();
        let instance = linker().instantiate(&mut store, &module).unwrap();
        (0..3).for_each(|_| all(&mut store, instance));
        // A request to give way, of which calls like these take no notice.
        let handle = store.interrupt_handle();
        for _ in 0..3 {
            assert!(handle.preempt());
            all(&mut store, instance);
        }
    }
}

#[test]
fn a_call_without_a_trampoline_traps_with_its_frames_and_the_store_goes_on() {
    let mut store = Store::new((), Limits::default()).unwrap();
    let instance = linker().instantiate(&mut store, &load(GUEST)).unwrap();
    let trap = instance.typed_func::<(i32, i32), i32>(&store, "trap").unwrap();
    let deep = instance.typed_func::<i32, i32>(&store, "deep").unwrap();
    for _ in 0..2 {
        let error = trap.call(&mut store, (1, 0)).unwrap_err();
        assert_eq!(error.trap_code(), Some(TrapCode::IntegerDivisionByZero));
        assert_eq!(error.backtrace().unwrap().frames().len(), 1, "{error}");
        let error = deep.call(&mut store, 4).unwrap_err();
        assert_eq!(error.trap_code(), Some(TrapCode::Unreachable));
        assert_eq!(error.backtrace().unwrap().frames().len(), 5, "{error}");
        all(&mut store, instance);
    }
}

#[test]
fn limits_on_depth_and_requests_to_end_hold_before_the_first_instruction() {
    let mut store = Store::new((), Limits { call_depth_max: 1, ..Limits::default() }).unwrap();
    let instance = linker().instantiate(&mut store, &load(GUEST)).unwrap();
    let negate = instance.typed_func::<i64, i64>(&store, "i64").unwrap();
    let nested = instance.typed_func::<i32, i32>(&store, "nested").unwrap();
    for _ in 0..2 {
        assert!(store.interrupt_handle().interrupt());
        assert!(matches!(negate.call(&mut store, 1), Err(CallError::Interrupted(_))));
        assert_eq!(negate.call(&mut store, 1).unwrap(), -1);
        assert!(nested.call(&mut store, 1).is_err(), "it calls one deeper");
    }
}
