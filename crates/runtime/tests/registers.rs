//! Host functions whose values are passed in registers, and those of one value more: each gets what the guest passed,
//! bit for bit and in order, and the guest gets what it returned.

mod common;

use std::future::Future;
use std::task::{Context, Poll, Waker};

use common::load;
use selvedge_runtime::{
    AsContextMut, Caller, HostError, Instance, InterruptHandle, Limits, Linker, Store, TrapCode, V128, Val,
};

type Seen = Vec<u64>;

/// The export `f` of a module that calls `h` with these constants, linked with this function.
fn instance(linker: &Linker<Seen>, ty: &str, constants: &[&str]) -> (Store<Seen>, Instance) {
    let params = constants.iter().map(|constant| format!("({constant})")).collect::<String>();
    let wat = format!(
        r#"(module (import "host" "h" (func $h {ty})) (memory (export "memory") 1)
            (table funcref (elem $h)) (type $h (func {ty}))
            (func (export "f") {result} (call $h {params}))
            (func (export "tail") {result} (return_call $h {params}))
            (func (export "indirect") {result} (call_indirect (type $h) {params} (i32.const 0))))"#,
        result = ty.find("(result").map_or("", |at| &ty[at..]),
    );
    let mut store = Store::new(Seen::new(), Limits::default()).unwrap();
    let instance = linker.instantiate(&mut store, &load(wat)).unwrap();
    (store, instance)
}

/// Calls `h` in every way there is; what it saw each time must be `seen`, what it returned `result`.
#[track_caller]
fn check(linker: &Linker<Seen>, ty: &str, constants: &[&str], seen: &[u64], result: Option<Val>) {
    let (mut store, instance) = instance(linker, ty, constants);
    for export in ["f", "tail", "indirect"] {
        let results = instance.get_func(&store, export).unwrap().call(&mut store, &[]).unwrap();
        assert_eq!((results.first(), results.len()), (result.as_ref(), usize::from(result.is_some())), "{export}");
        assert_eq!(std::mem::take(store.data_mut()), seen, "{export}");
    }
}

macro_rules! host {
    ($caller:ident, ($($name:ident: $ty:ty),*) -> $result:ty, [$($bits:expr),*], $value:expr) => {{
        let mut linker = Linker::<Seen>::new();
        linker.func_wrap("host", "h", |mut $caller: Caller<'_, Seen>, $($name: $ty),*| -> $result {
            $caller.data_mut().extend([$($bits as u64),*]);
            $value
        });
        linker
    }};
}

#[test]
fn integers_fill_their_registers_and_one_more_goes_by_the_array() {
    let five = host!(c, (a: i32, b: u64, d: u32, e: i64, f: i32) -> i64, [a as u32, b, d, e, f as u32], -3);
    let constants = ["i32.const -1", "i64.const -2", "i32.const 3", "i64.const 0x123456789abcdef0", "i32.const 5"];
    let seen = [0xffff_ffff, u64::MAX - 1, 3, 0x1234_5678_9abc_def0, 5];
    check(&five, "(param i32 i64 i32 i64 i32) (result i64)", &constants, &seen, Some(Val::I64(-3)));

    let six = host!(c, (a: i32, b: i32, d: i32, e: i32, f: i32, g: i32) -> i32, [a, b, d, e, f, g], 7);
    let constants = ["i32.const 1", "i32.const 2", "i32.const 3", "i32.const 4", "i32.const 5", "i32.const 6"];
    check(&six, "(param i32 i32 i32 i32 i32 i32) (result i32)", &constants, &[1, 2, 3, 4, 5, 6], Some(Val::I32(7)));
}

#[test]
fn floats_keep_their_bits_among_integers() {
    let mixed = host!(
        c,
        (a: f32, b: i32, d: f64, e: f32, f: i64, g: f64, h: f32, i: f64, j: f32, k: f64, l: i32) -> f64,
        [a.to_bits(), b, d.to_bits(), e.to_bits(), f, g.to_bits(), h.to_bits(), i.to_bits(), j.to_bits(), k.to_bits(), l],
        f64::from_bits(0x7ff0_dead_beef_0001)
    );
    let ty = "(param f32 i32 f64 f32 i64 f64 f32 f64 f32 f64 i32) (result f64)";
    let constants = [
        "f32.const nan:0x200001",
        "i32.const 1",
        "f64.const nan:0x4000000000001",
        "f32.const -0",
        "i64.const 2",
        "f64.const 1.5",
        "f32.const 2.5",
        "f64.const -inf",
        "f32.const inf",
        "f64.const 5e-324",
        "i32.const 3",
    ];
    let seen = [
        0x7fa0_0001,
        1,
        0x7ff4_0000_0000_0001,
        0x8000_0000,
        2,
        1.5f64.to_bits(),
        2.5f32.to_bits().into(),
        f64::NEG_INFINITY.to_bits(),
        f32::INFINITY.to_bits().into(),
        1,
        3,
    ];
    check(&mixed, ty, &constants, &seen, Some(Val::F64(0x7ff0_dead_beef_0001)));
}

#[test]
fn nine_floats_and_vectors_go_by_the_array() {
    let nine = host!(
        c,
        (a: f32, b: f32, d: f32, e: f32, f: f32, g: f32, h: f32, i: f32, j: f32) -> f32,
        [a, b, d, e, f, g, h, i, j],
        a + j
    );
    let constants: Vec<_> = (1..=9).map(|n| format!("f32.const {n}")).collect();
    let constants: Vec<_> = constants.iter().map(String::as_str).collect();
    let ty = "(param f32 f32 f32 f32 f32 f32 f32 f32 f32) (result f32)";
    check(&nine, ty, &constants, &[1, 2, 3, 4, 5, 6, 7, 8, 9], Some(Val::F32(10f32.to_bits())));

    let vector = host!(c, (a: i32, b: V128) -> V128, [a, b.0, b.0 >> 64], V128(b.0 + 1));
    let constants = ["i32.const 4", "v128.const i64x2 5 6"];
    check(&vector, "(param i32 v128) (result v128)", &constants, &[4, 5, 6], Some(Val::V128((6 << 64) + 6)));
}

#[test]
fn nothing_passed_and_nothing_returned() {
    let none = host!(c, () -> (), [9], ());
    check(&none, "", &[], &[9], None);
    let fails = host!(c, (a: i32) -> Result<(), HostError>, [a], Ok(()));
    check(&fails, "(param i32)", &["i32.const 8"], &[8], None);
}

#[test]
fn a_host_function_enters_the_guest_again_and_both_end_as_they_should() {
    let mut linker = Linker::<Seen>::new();
    linker.func_wrap("host", "h", |mut caller: Caller<'_, Seen>, left: i32| -> Result<i32, HostError> {
        caller.data_mut().push(left as u64);
        if left == 0 {
            return Err(HostError::trap(TrapCode::Unreachable));
        }
        let again = caller.instance().typed_func::<i32, i32>(&caller, "again").unwrap();
        Ok(again.call(&mut caller.as_context_mut(), left - 1).map_or(1, |deeper| deeper + 1))
    });
    let wat = r#"(module (import "host" "h" (func $h (param i32) (result i32)))
        (func (export "again") (param i32) (result i32) (i32.add (call $h (local.get 0)) (i32.const 100))))"#;
    let mut store = Store::new(Seen::new(), Limits::default()).unwrap();
    let instance = linker.instantiate(&mut store, &load(wat)).unwrap();
    let again = instance.typed_func::<i32, i32>(&store, "again").unwrap();
    assert_eq!(again.call(&mut store, 3).unwrap(), 303, "the innermost of four failed, three came back");
    assert_eq!(*store.data(), [3, 2, 1, 0]);
}

/// There is no thunk on the stack that could be found there.
#[test]
fn backtraces_name_the_host_function() {
    let errors: [fn() -> Result<(), HostError>; 3] =
        [|| Err(HostError::message("refused")), || Err(HostError::trap(TrapCode::Unreachable)), || panic!("broken")];
    for error in errors {
        let mut linker = Linker::<Seen>::new();
        linker.func_wrap("host", "other", |_: Caller<'_, Seen>| ());
        linker.func_wrap("host", "h", move |_: Caller<'_, Seen>| error());
        let wat = r#"(module (import "host" "other" (func)) (import "host" "h" (func $h))
            (func $inner (call $h)) (func $outer (export "f") (call $inner)))"#;
        let mut store = Store::new(Seen::new(), Limits::default()).unwrap();
        let instance = linker.instantiate(&mut store, &load(wat)).unwrap();
        let error = instance.get_func(&store, "f").unwrap().call(&mut store, &[]).unwrap_err();
        let backtrace = error.backtrace().unwrap();
        let names: Vec<_> = backtrace.frames().into_iter().map(|frame| frame.name.unwrap()).collect();
        assert_eq!(names, ["host h", "inner", "outer"], "{error:?}");
    }
}

/// A guest that gives way right after a call goes on with the call's result, which is in a register.
#[test]
fn results_outlast_giving_way() {
    let mut linker = Linker::<Option<InterruptHandle>>::new();
    linker.func_wrap("host", "whole", |caller: Caller<'_, Option<InterruptHandle>>, a: i64| {
        caller.data().as_ref().unwrap().preempt();
        a + 1
    });
    linker.func_wrap("host", "float", |caller: Caller<'_, Option<InterruptHandle>>, a: f64| {
        caller.data().as_ref().unwrap().preempt();
        a + 0.5
    });
    let wat = r#"(module
        (import "host" "whole" (func $whole (param i64) (result i64)))
        (import "host" "float" (func $float (param f64) (result f64)))
        (func (export "f") (param i64 f64) (result i64 f64) (local i32)
            (loop
                (local.set 0 (call $whole (local.get 0)))
                (local.set 1 (call $float (local.get 1)))
                (br_if 0 (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 1))) (i32.const 10))))
            (local.get 0) (local.get 1)))"#;
    let mut store = Store::new(None, Limits::default()).unwrap();
    let instance = linker.instantiate(&mut store, &load(wat)).unwrap();
    *store.data_mut() = Some(store.interrupt_handle());
    let f = instance.typed_func::<(i64, f64), (i64, f64)>(&store, "f").unwrap();
    let mut call = std::pin::pin!(f.call_async(&mut store, (7 << 40, 0.25)));
    let mut ways = 0;
    let results = loop {
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(results) => break results.unwrap(),
            Poll::Pending => ways += 1,
        }
    };
    assert_eq!((results, ways), (((7 << 40) + 10, 5.25), 20));
}
