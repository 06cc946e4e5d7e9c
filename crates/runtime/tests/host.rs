//! Host functions: what they get, how they end a call, and that nothing they do takes the process with it.

mod common;

use std::time::Duration;

use common::{load, trap_code};
use selvedge_runtime::{
    AsContextMut, CallError, Caller, ExternRef, Func, FuncType, GuestPtr, HostError, LimitKind, Limits, Linker, Store,
    TrapCode, Val, ValType,
};

/// Calls the export `f` of a module linked with these functions.
fn run<T: Default + Send>(linker: &Linker<T>, wat: &str) -> (Store<T>, Result<Vec<Val>, CallError>) {
    run_with(linker, wat, Limits::default())
}

fn run_with<T: Default + Send>(
    linker: &Linker<T>,
    wat: &str,
    limits: Limits,
) -> (Store<T>, Result<Vec<Val>, CallError>) {
    let mut store = Store::new(T::default(), limits).unwrap();
    let instance = linker.instantiate(&mut store, &load(wat)).unwrap();
    let f = instance.get_func(&store, "f").unwrap();
    let result = f.call(&mut store, &[]);
    (store, result)
}

const CALLS_H: &str =
    r#"(module (import "host" "h" (func $h)) (func $inner (call $h)) (func (export "f") (call $inner)))"#;

#[derive(Debug, thiserror::Error)]
#[error("disk full")]
struct DiskFull(#[source] std::io::Error);

#[test]
fn closures_of_many_shapes() {
    let mut linker = Linker::<Vec<String>>::new();
    linker
        .func_wrap("host", "none", |mut caller: Caller<'_, Vec<String>>| caller.data_mut().push("none".into()))
        .func_wrap("host", "pair", |_: Caller<'_, Vec<String>>, a: i32, b: f64| (b, a))
        .func_wrap("host", "fallible", |_: Caller<'_, Vec<String>>, a: u64| -> Result<u64, HostError> { Ok(a + 1) })
        .func_wrap("host", "refs", |_: Caller<'_, Vec<String>>, f: Option<Func>, o: Option<ExternRef>| (o, f))
        .func_new("host", "sum", FuncType::new([ValType::I32; 3], [ValType::I32]), |mut caller, params, results| {
            caller.data_mut().push(format!("{} params", params.len()));
            results[0] = Val::I32(params.iter().filter_map(Val::i32).sum());
            Ok(())
        });
    let (store, result) = run(
        &linker,
        r#"(module
            (import "host" "none" (func $none))
            (import "host" "pair" (func $pair (param i32 f64) (result f64 i32)))
            (import "host" "fallible" (func $fallible (param i64) (result i64)))
            (import "host" "refs" (func $refs (param funcref externref) (result externref funcref)))
            (import "host" "sum" (func $sum (param i32 i32 i32) (result i32)))
            (elem declare func $none)
            (func (export "f") (result f64 i32 i64 externref funcref i32)
                (call $none)
                (call $pair (i32.const 7) (f64.const 0.25))
                (call $fallible (i64.const -2))
                (call $refs (ref.func $none) (ref.null extern))
                (call $sum (i32.const 1) (i32.const 2) (i32.const 3))))"#,
    );
    let values = result.unwrap();
    assert_eq!(values[..4], [Val::from(0.25), Val::I32(7), Val::I64(-1), Val::ExternRef(None)]);
    assert!(matches!(values[4], Val::FuncRef(Some(_))));
    assert_eq!(values[5], Val::I32(6));
    assert_eq!(store.data(), &["none", "3 params"]);
}

#[test]
fn an_error_of_a_host_function_keeps_its_source_and_place() {
    let mut linker = Linker::<()>::new();
    linker.func_wrap("host", "h", |_: Caller<'_, ()>| -> Result<(), HostError> {
        Err(DiskFull(std::io::Error::other("quota")))?
    });
    let error = run(&linker, CALLS_H).1.unwrap_err();
    let CallError::Host(host) = &error else { panic!("{error:?}") };
    assert_eq!(host.downcast_ref::<DiskFull>().unwrap().0.to_string(), "quota");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "quota");
    let names: Vec<_> = host.backtrace().frames().into_iter().filter_map(|f| f.name).collect();
    assert_eq!(names, ["host h", "inner", "f"]);
    let text = error.to_string();
    assert!(
        text.starts_with("a host function failed: disk full\n    0: host h (host)\n    1: inner (wasm 0x"),
        "{text}"
    );
}

#[test]
fn a_host_function_can_exit_trap_or_panic() {
    let mut linker = Linker::<()>::new();
    linker.func_wrap("host", "h", |_: Caller<'_, ()>| -> Result<(), HostError> { Err(HostError::exit(42)) });
    assert!(matches!(run(&linker, CALLS_H).1, Err(CallError::Exit(42))));
    linker.func_wrap("host", "h", |_: Caller<'_, ()>| -> Result<(), HostError> {
        Err(HostError::trap(TrapCode::Unreachable))
    });
    assert_eq!(trap_code(run(&linker, CALLS_H).1), TrapCode::Unreachable);
    linker.func_wrap("host", "h", |_: Caller<'_, ()>| -> () { panic!("host bug {}", 7) });
    let error = run(&linker, CALLS_H).1.unwrap_err();
    assert!(matches!(&error, CallError::HostPanic { message, .. } if message == "host bug 7"), "{error:?}");
    assert!(error.to_string().starts_with("a host function panicked (a bug in the host): host bug 7"));
}

#[test]
fn results_of_wrong_type_are_the_hosts_fault() {
    let mut linker = Linker::<()>::new();
    linker.func_new("host", "h", FuncType::new([], [ValType::I32]), |_, _, results| {
        results[0] = Val::I64(1);
        Ok(())
    });
    let wat = r#"(module (import "host" "h" (func $h (result i32))) (func (export "f") (drop (call $h))))"#;
    let error = run(&linker, wat).1.unwrap_err();
    assert!(error.to_string().contains("results of other types"), "{error}");
}

#[test]
fn a_host_function_reads_and_writes_the_callers_memory() {
    let mut linker = Linker::<Vec<u8>>::new();
    linker.func_wrap(
        "host",
        "h",
        |mut caller: Caller<'_, Vec<u8>>, from: GuestPtr<u8>, len: u32, to: GuestPtr<u32>| {
            let (memory, data) = caller.memory_and_data()?;
            data.extend(from.slice(len).bytes(memory)?);
            to.write(memory, &(data.len() as u32))?;
            Ok::<_, HostError>(())
        },
    );
    let wat = |from: &str| {
        format!(
            r#"(module (import "host" "h" (func $h (param i32 i32 i32))) (memory (export "memory") 1)
                (data (i32.const 100) "bytes")
                (func (export "f") (result i32) (call $h (i32.const {from}) (i32.const 5) (i32.const 4))
                    (i32.load (i32.const 4))))"#
        )
    };
    let (store, result) = run(&linker, &wat("100"));
    assert_eq!((result.unwrap(), store.data().as_slice()), (vec![Val::I32(5)], b"bytes".as_slice()));
    let error = run(&linker, &wat("65534")).1.unwrap_err();
    assert!(error.to_string().contains("the guest named 5 bytes at 0xfffe, its memory has 65536"), "{error}");
    let error = run(&linker, &wat("100").replace(r#"(export "memory")"#, "")).1.unwrap_err();
    assert!(error.to_string().contains("exports no memory named \"memory\""), "{error}");
}

/// A module whose `f` calls the host, which calls `g`.
fn calls_back(g: &str) -> String {
    format!(
        r#"(module (import "host" "h" (func $h))
            (func $outer (export "f") (call $h)) (func $back (export "g") {g}))"#
    )
}

fn calls_g() -> Linker<u32> {
    let mut linker = Linker::new();
    linker.func_wrap("host", "h", |mut caller: Caller<'_, u32>| -> Result<(), HostError> {
        *caller.data_mut() += 1;
        let g = caller.instance().typed_func::<(), ()>(&caller, "g")?;
        Ok(g.call(&mut caller, ())?)
    });
    linker
}

#[test]
fn a_trap_inside_a_call_back_stays_a_trap_and_shows_both_guests() {
    let (_, result) = run(&calls_g(), &calls_back("unreachable"));
    let error = result.unwrap_err();
    assert_eq!(error.trap_code(), Some(TrapCode::Unreachable));
    let frames = error.backtrace().unwrap().frames();
    let names: Vec<_> = frames.iter().filter_map(|f| f.name.as_deref()).collect();
    assert_eq!(names, ["back", "host h", "outer"]);
    assert!(run(&calls_g(), &calls_back("")).1.is_ok());
}

#[test]
fn recursion_through_the_host_is_bounded() {
    let (store, result) = run(&calls_g(), &calls_back("(call $h)"));
    let error = result.unwrap_err();
    let CallError::Limit(limit) = &error else { panic!("{error:?}") };
    assert_eq!((limit.kind, u64::from(*store.data())), (LimitKind::CallDepth, limit.max));
    // However high the limit, the stacks end first, with a trap.
    let limits = Limits { call_depth_max: u32::MAX, ..Limits::default() };
    let (mut store, result) = run_with(&calls_g(), &calls_back("(call $h)"), limits);
    assert_eq!(trap_code(result), TrapCode::StackOverflow);
    let next = calls_g().instantiate(&mut store, &load(calls_back(""))).unwrap();
    next.typed_func::<(), ()>(&store, "f").unwrap().call(&mut store, ()).unwrap();
}

/// What passes a thousand vectors on moves sixteen kilobytes aside. It did so without asking whether they were there:
/// at some depths a guest that called an import through a table ended the process.
#[test]
fn an_import_that_takes_many_values_can_be_called_through_a_table_at_any_depth() {
    let (list, values) = (["v128"; 1000].join(" "), "(v128.const i64x2 1 2)".repeat(1000));
    let wat = format!(
        r#"(module (type $long (func (param {list}))) (import "host" "h" (func $h (type $long)))
        (table 1 funcref) (elem (i32.const 0) func $h)
        (func $call {values} (call_indirect (type $long) (i32.const 0)))
        (func $f (export "f") (param i32) (if (local.get 0)
            (then (call $f (i32.sub (local.get 0) (i32.const 1))))
            (else (call $call)))))"#
    );
    let mut linker = Linker::<()>::new();
    linker.func_new("host", "h", FuncType::new([ValType::V128; 1000], []), |_, _, _| Ok(()));
    let mut store = Store::new((), Limits { stack_bytes: 96 << 10, ..Limits::default() }).unwrap();
    let f = linker.instantiate(&mut store, &load(wat)).unwrap().typed_func::<i32, ()>(&store, "f").unwrap();
    let ends: Vec<_> = (0..6000).map(|depth| f.call(&mut store, depth).map_err(|error| error.trap_code())).collect();
    let deep = ends.iter().position(Result::is_err).unwrap();
    assert!(deep > 0 && ends[deep..].iter().all(|end| *end == Err(Some(TrapCode::StackOverflow))));
}

#[test]
fn after_a_stack_overflow_the_next_instance_runs() {
    let wat = r#"(module (func $f (export "f") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0)))))"#;
    let module = load(wat);
    let linker = Linker::new();
    for stack_bytes in [16 << 10, 64 << 10, 1 << 20] {
        let mut store = Store::new((), Limits { stack_bytes, ..Limits::default() }).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let f = instance.typed_func::<i32, i32>(&store, "f").unwrap();
        for _ in 0..3 {
            let error = f.call(&mut store, i32::MAX).unwrap_err();
            assert_eq!(error.trap_code(), Some(TrapCode::StackOverflow));
            let frames = error.backtrace().unwrap().frames();
            assert!(frames.len() >= 16 && frames.len() <= 64, "{}", frames.len());
            assert_eq!(f.call(&mut store, 100).unwrap(), 100);
        }
        let other = linker.instantiate(&mut store, &module).unwrap();
        assert_eq!(other.typed_func::<i32, i32>(&store, "f").unwrap().call(&mut store, 10).unwrap(), 10);
    }
}

#[test]
fn a_host_function_instantiates_and_calls_another_module() {
    let inner = load(
        r#"(module (import "host" "double" (func $d (param i32) (result i32)))
        (func (export "run") (result i32) (call $d (i32.const 21))))"#,
    );
    let mut linker = Linker::<()>::new();
    linker.func_wrap("host", "double", |_: Caller<'_, ()>, x: i32| x * 2);
    let own = linker.clone();
    linker.func_wrap("host", "spawn", move |mut caller: Caller<'_, ()>| -> Result<i32, HostError> {
        let instance = own.instantiate(&mut caller, &inner)?;
        let run = instance.typed_func::<(), i32>(&caller, "run")?;
        Ok(run.call(&mut caller.as_context_mut(), ())?)
    });
    let wat = r#"(module (import "host" "spawn" (func $spawn (result i32)))
        (func (export "f") (result i32) (i32.add (call $spawn) (call $spawn))))"#;
    assert_eq!(run(&linker, wat).1.unwrap(), [Val::I32(84)]);
}

#[test]
fn an_endless_loop_is_interrupted_and_the_store_goes_on() {
    let module = load(r#"(module (func (export "f") (loop (br 0))) (func (export "g") (result i32) (i32.const 1)))"#);
    let mut store = Store::new((), Limits::default()).unwrap();
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    let handle = store.interrupt_handle();
    let watchdog = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        handle.interrupt();
    });
    let result = instance.typed_func::<(), ()>(&store, "f").unwrap().call(&mut store, ());
    assert!(matches!(&result, Err(CallError::Interrupted(_))), "{result:?}");
    watchdog.join().unwrap();
    let names: Vec<_> = result.unwrap_err().backtrace().unwrap().frames().into_iter().filter_map(|f| f.name).collect();
    assert_eq!(names, ["f"]);
    assert_eq!(instance.typed_func::<(), i32>(&store, "g").unwrap().call(&mut store, ()).unwrap(), 1);
}

#[test]
fn host_objects_are_bounded_and_removable() {
    let mut linker = Linker::<()>::new();
    linker.func_wrap("host", "make", |mut caller: Caller<'_, ()>| -> Result<Option<ExternRef>, HostError> {
        Ok(Some(caller.insert_extern(5i32)?))
    });
    linker.func_wrap("host", "take", |mut caller: Caller<'_, ()>, object: Option<ExternRef>| {
        let object = object.and_then(|o| caller.remove_extern(o));
        object.and_then(|o| o.downcast::<i32>().ok()).map_or(-1, |o| *o)
    });
    let wat = |body: &str| {
        format!(
            r#"(module (import "host" "make" (func $make (result externref)))
                (import "host" "take" (func $take (param externref) (result i32))) (global $g (mut externref) (ref.null extern))
                (func (export "f") (result i32) {body}))"#
        )
    };
    let limits = Limits { extern_refs_max: 2, ..Limits::default() };
    let twice = "(global.set $g (call $make)) (drop (call $take (global.get $g))) (call $take (global.get $g))";
    assert_eq!(run_with(&linker, &wat(twice), limits).1.unwrap(), [Val::I32(-1)]);
    let endless = "(loop (drop (call $make)) (br 0)) (i32.const 0)";
    let error = run_with(&linker, &wat(endless), limits).1.unwrap_err();
    assert!(error.to_string().contains("more than 2 host objects (extern_refs_max)"), "{error}");
}
