//! Linking: what fits what, what the errors say, and that linked instances share what they should.

mod common;

use common::{load, load_with, start_trap, store, trap_code};
use selvedge_compiler::Options;
use selvedge_runtime::{
    Caller, Found, HostError, InstantiateError, LimitKind, Limits, LinkError, Linker, Store, TrapCode, Val,
};

fn link_error<T: std::fmt::Debug>(result: Result<T, InstantiateError>) -> LinkError {
    match result {
        Err(InstantiateError::Link(error)) => error,
        other => panic!("expected a link error, got {other:?}"),
    }
}

const NEEDY: &str = r#"(module
    (import "env" "log" (func (param i32 f64) (result i64)))
    (import "env" "memory" (memory 2 5))
    (import "env" "wrong" (func (param i32)))
    (import "env" "fine" (func))
    (import "env" "table" (table 1 funcref))
    (import "env" "global" (global (mut i32))))"#;

#[test]
fn every_missing_or_unfit_import_is_named_with_its_type() {
    let mut linker = Linker::<()>::new();
    linker.func_wrap("env", "wrong", |_: Caller<'_, ()>, _: i64| {}).func_wrap("env", "fine", |_: Caller<'_, ()>| {});
    let mut store = store();
    let error = link_error(linker.instantiate(&mut store, &load(NEEDY)));
    let expected = "5 imports are missing or unfit:\n\
        \x20 env log: needs func (i32, f64) -> (i64), nothing of this name is there\n\
        \x20 env memory: needs memory 2 5, nothing of this name is there\n\
        \x20 env wrong: needs func (i32) -> (), there is func (i64) -> ()\n\
        \x20 env table: needs table 1 funcref, nothing of this name is there\n\
        \x20 env global: needs global (mut i32), nothing of this name is there";
    assert_eq!(error.to_string(), expected);
    assert_eq!(linker.prepare(&load(NEEDY)).err().unwrap().problems.len(), 5);
}

#[test]
fn imports_match_by_the_specifications_rules() {
    let exporter = r#"(module
        (func (export "f") (param i32)) (global (export "g") i32 (i32.const 0)) (global (export "m") (mut i32) (i32.const 0))
        (memory (export "mem") 2 4) (table (export "tab") 2 4 funcref) (memory $open (export "open") 1)
        (memory (export "mem64") i64 1 2))"#;
    let cases = [
        ("f", "(func (param i32))", true),
        ("f", "(func (param i64))", false),
        ("f", "(func (param i32) (result i32))", false),
        ("f", "(memory 0)", false),
        ("g", "(global i32)", true),
        ("g", "(global (mut i32))", false),
        ("m", "(global i32)", false),
        ("m", "(global (mut i64))", false),
        ("mem", "(memory 1)", true),
        ("mem", "(memory 2 4)", true),
        ("mem", "(memory 2 3)", false),
        ("mem", "(memory 3)", false),
        ("mem", "(memory i64 1)", false),
        ("mem64", "(memory i64 1)", true),
        ("mem64", "(memory 1)", false),
        ("open", "(memory 1 2)", false),
        ("tab", "(table 1 5 funcref)", true),
        ("tab", "(table 1 5 externref)", false),
        ("tab", "(table 3 5 funcref)", false),
    ];
    for (name, needed, fits) in cases {
        let mut store = store();
        let mut linker = Linker::new();
        let instance = linker.instantiate(&mut store, &load(exporter)).unwrap();
        linker.instance(&store, "a", instance);
        let module = load(format!(r#"(module (import "a" "{name}" {needed}))"#));
        let result = linker.instantiate(&mut store, &module);
        assert_eq!(result.is_ok(), fits, "{name} as {needed}: {result:?}");
        let prepared = linker.prepare(&module).and_then(|pre| match pre.instantiate(&mut store) {
            Err(InstantiateError::Link(error)) => Err(error),
            other => Ok(other.unwrap()),
        });
        assert_eq!(prepared.is_ok(), fits, "{name} as {needed}, prepared");
    }
}

#[test]
fn a_grown_memory_fits_what_it_is_now() {
    let mut store = store();
    let mut linker = Linker::new();
    let a = linker.instantiate(&mut store, &load(r#"(module (memory (export "m") 1))"#)).unwrap();
    linker.instance(&store, "a", a);
    let needs_two = load(r#"(module (import "a" "m" (memory 2)))"#);
    assert!(linker.instantiate(&mut store, &needs_two).is_err());
    a.get_memory(&store, "m").unwrap().grow(&mut store, 1).unwrap();
    linker.instantiate(&mut store, &needs_two).unwrap();
}

#[test]
fn linked_instances_share_state() {
    let mut store = store();
    let mut linker = Linker::new();
    let a = load(
        r#"(module (memory (export "memory") 1 3) (table (export "table") 4 funcref)
            (global $g (export "global") (mut i64) (i64.const 5))
            (func (export "add") (param i32) (result i32) (i32.add (local.get 0) (i32.load (i32.const 8))))
            (func (export "global_is") (result i64) (global.get $g))
            (func (export "at") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#,
    );
    let a = linker.instantiate(&mut store, &a).unwrap();
    linker.instance(&store, "a", a);
    let b = load(
        r#"(module (import "a" "memory" (memory 1)) (import "a" "table" (table 2 funcref))
            (import "a" "global" (global $g (mut i64))) (import "a" "add" (func $add (param i32) (result i32)))
            (data (i32.const 8) "\64") (elem (i32.const 2) $mine $own)
            (global $n i32 (i32.const 17))
            (func $own (result i32) (global.get $n))
            (func $mine (result i32) (call $add (i32.const 11)))
            (func (export "run") (result i32)
                (global.set $g (i64.add (global.get $g) (i64.const 1)))
                (drop (memory.grow (i32.const 1)))
                (i32.add (memory.size) (call $add (i32.const 1)))))"#,
    );
    let b = linker.instantiate(&mut store, &b).unwrap();
    assert_eq!(b.typed_func::<(), i32>(&store, "run").unwrap().call(&mut store, ()).unwrap(), 2 + 101);
    assert_eq!(a.typed_func::<(), i64>(&store, "global_is").unwrap().call(&mut store, ()).unwrap(), 6);
    assert_eq!(a.get_memory(&store, "memory").unwrap().size(&store), 2);
    let at = a.typed_func::<i32, i32>(&store, "at").unwrap();
    assert_eq!(at.call(&mut store, 2).unwrap(), 111);
    assert_eq!(at.call(&mut store, 3).unwrap(), 17);
    assert_eq!(trap_code(at.call(&mut store, 1)), TrapCode::UninitializedElement);
}

#[test]
fn a_re_exported_function_is_the_original() {
    let mut linker = Linker::<Vec<u32>>::new();
    linker.func_wrap("host", "h", |mut caller: Caller<'_, Vec<u32>>, x: i32| -> Result<i32, HostError> {
        let size = caller.memory().map_or(0, |memory| memory.size(&caller) as u32);
        caller.data_mut().push(size);
        Ok(x + 1)
    });
    let mut store = Store::new(Vec::new(), Limits::default()).unwrap();
    let first = load(
        r#"(module (import "host" "h" (func $h (param i32) (result i32))) (memory (export "memory") 1)
            (export "h" (func $h)) (func (export "own") (param i32) (result i32) (call $h (local.get 0))))"#,
    );
    let second = load(
        r#"(module (import "a" "h" (func $h (param i32) (result i32)))
            (import "a" "own" (func $own (param i32) (result i32))) (memory (export "memory") 2)
            (export "again" (func $own))
            (func (export "f") (result i32) (call $own (call $h (i32.const 0)))))"#,
    );
    let a = linker.instantiate(&mut store, &first).unwrap();
    linker.instance(&store, "a", a);
    let b = linker.instantiate(&mut store, &second).unwrap();
    assert_eq!(b.typed_func::<(), i32>(&store, "f").unwrap().call(&mut store, ()).unwrap(), 2);
    assert_eq!(store.data(), &[2, 1], "the caller is whoever calls the host");
    assert_eq!(a.get_func(&store, "h").unwrap().call(&mut store, &[Val::I32(4)]).unwrap(), [Val::I32(5)]);
    assert_eq!(b.get_func(&store, "again").unwrap().call(&mut store, &[Val::I32(6)]).unwrap(), [Val::I32(7)]);
}

#[test]
fn instances_of_another_store_are_refused() {
    let (mut a, mut b) = (store(), store());
    let mut linker = Linker::new();
    let instance = linker.instantiate(&mut a, &load(r#"(module (func (export "f")))"#)).unwrap();
    linker.instance(&a, "a", instance);
    let module = load(r#"(module (import "a" "f" (func)))"#);
    let pre = linker.prepare(&module).unwrap();
    assert!(pre.instantiate(&mut a).is_ok());
    for result in [linker.instantiate(&mut b, &module), pre.instantiate(&mut b)] {
        assert_eq!(link_error(result).problems[0].found, Found::OtherStore);
    }
}

#[test]
fn code_that_relies_on_guards_gets_no_dense_memory() {
    let (guarded, dense) =
        (Options::default(), Options { memory: selvedge_contract::MemoryLayout::Dense, ..Options::default() });
    for (exporter, importer, fits) in
        [(&guarded, &guarded, true), (&guarded, &dense, true), (&dense, &dense, true), (&dense, &guarded, false)]
    {
        let mut store = store();
        let mut linker = Linker::new();
        let a = load_with(r#"(module (memory (export "m") 1 2))"#, exporter);
        let a = linker.instantiate(&mut store, &a).unwrap();
        linker.instance(&store, "a", a);
        let b = load_with(
            r#"(module (import "a" "m" (memory 1)) (func (export "f") (param i32) (result i32) (i32.load (local.get 0))))"#,
            importer,
        );
        let result = linker.instantiate(&mut store, &b);
        if !fits {
            assert_eq!(link_error(result).problems[0].found, Found::DenseMemory);
            continue;
        }
        let f = result.unwrap().typed_func::<u32, i32>(&store, "f").unwrap();
        assert_eq!(f.call(&mut store, 65532).unwrap(), 0);
        for outside in [65533, 1 << 20, u32::MAX] {
            assert_eq!(trap_code(f.call(&mut store, outside)), TrapCode::MemoryOutOfBounds, "{outside:#x}");
        }
    }
}

#[test]
fn names_can_be_aliased_and_unknown_functions_trapped() {
    let mut linker = Linker::<()>::new();
    linker.func_wrap("old", "f", |_: Caller<'_, ()>| 1i32);
    linker.alias_module("old", "new");
    assert!(linker.alias(("old", "f"), ("old", "g")) && !linker.alias(("old", "x"), ("old", "y")));
    let module = load(
        r#"(module (import "new" "f" (func $f (result i32))) (import "old" "g" (func $g (result i32)))
            (import "no" "where" (func $where (param i64)))
            (func (export "f") (result i32) (i32.add (call $f) (call $g)))
            (func (export "where") (call $where (i64.const 0))))"#,
    );
    linker.define_unknown_imports_as_traps(&module);
    let mut store = store();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    assert_eq!(instance.typed_func::<(), i32>(&store, "f").unwrap().call(&mut store, ()).unwrap(), 2);
    let error = instance.typed_func::<(), ()>(&store, "where").unwrap().call(&mut store, ()).unwrap_err();
    assert!(error.to_string().contains("the host does not provide no where"), "{error}");
}

#[test]
fn segments_out_of_bounds_and_start_functions_trap() {
    let cases = [
        ("(memory 1) (data (i32.const 65535) \"ab\")", TrapCode::MemoryOutOfBounds),
        ("(memory 1) (data (i32.const -1) \"a\")", TrapCode::MemoryOutOfBounds),
        ("(table 1 funcref) (func $f) (elem (i32.const 1) $f)", TrapCode::TableOutOfBounds),
        ("(func $f unreachable) (start $f)", TrapCode::Unreachable),
    ];
    for (fields, code) in cases {
        let result = Linker::new().instantiate(&mut store(), &load(format!("(module {fields})")));
        assert_eq!(start_trap(result), code, "{fields}");
    }
}

#[test]
fn what_a_failed_instance_did_to_others_stays_done() {
    let mut store = store();
    let mut linker = Linker::new();
    let a = load(
        r#"(module (table (export "t") 2 funcref) (func (export "call") (result i32) (call_indirect (result i32) (i32.const 0))))"#,
    );
    let a = linker.instantiate(&mut store, &a).unwrap();
    linker.instance(&store, "a", a);
    let b = load(
        r#"(module (import "a" "t" (table 2 funcref)) (func $f (result i32) (i32.const 9))
            (elem (i32.const 0) $f) (elem (i32.const 2) $f))"#,
    );
    assert_eq!(start_trap(linker.instantiate(&mut store, &b)), TrapCode::TableOutOfBounds);
    assert_eq!(a.typed_func::<(), i32>(&store, "call").unwrap().call(&mut store, ()).unwrap(), 9);
}

#[test]
fn limits_are_kept_and_named() {
    let limits = Limits { memory_bytes_max: 3 << 16, table_elements_max: 10, instances_max: 2, ..Limits::default() };
    let mut store = Store::new((), limits).unwrap();
    let linker = Linker::new();
    let kind = |result| match result {
        Err(InstantiateError::Limit(limit)) => limit.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(linker.instantiate(&mut store, &load("(module (memory 4))"))), LimitKind::MemoryBytes);
    assert_eq!(kind(linker.instantiate(&mut store, &load("(module (table 11 funcref))"))), LimitKind::TableElements);
    let module = load(
        r#"(module (memory 1) (table $t 2 externref)
            (func (export "memory") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "table") (param i32) (result i32) (table.grow $t (ref.null extern) (local.get 0))))"#,
    );
    let a = linker.instantiate(&mut store, &module).unwrap();
    let mut grow = |name, by| a.typed_func::<i32, i32>(&store, name).unwrap().call(&mut store, by).unwrap();
    assert_eq!([1, 2, -1, 1, 0, 1].map(|by| grow("memory", by)), [1, -1, -1, 2, 3, -1]);
    assert_eq!([8, 1, -1, 0].map(|by| grow("table", by)), [2, -1, -1, 10]);
    assert_eq!(store.memory_bytes(), 3 << 16);
    linker.instantiate(&mut store, &load("(module)")).unwrap();
    let error = linker.instantiate(&mut store, &load("(module)")).unwrap_err();
    assert_eq!(error.to_string(), "the store would exceed 2 instances (instances_max)");
    assert!(Store::new((), Limits { stack_bytes: 1, ..Limits::default() }).is_err());
}
