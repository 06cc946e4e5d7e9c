//! What an embedder can do: limits, output, host functions of one's own, and what cannot be written down.

mod common;

use std::time::Duration;

use common::{instantiate, load, module};
use selvedge_contract::MemoryLayout::Guarded;
use selvedge_contract::limits::WASM_PAGE_BYTES;
use selvedge_preinit::{Options, PreinitError, freeze, initialise};
use selvedge_runtime::{Caller, ExternRef, HostError, Item, Limits, Linker, Store, Val};

fn with_export(export: &str) -> Options {
    Options { export: Some(export.into()), ..Options::default() }
}

#[test]
fn a_module_that_does_not_end_is_ended() {
    for wat in [
        r#"(module (func $init loop br 0 end) (start $init))"#,
        r#"(module (func (export "_initialize") loop br 0 end))"#,
    ] {
        let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
        let error = initialise(&module(wat, Guarded).unwrap(), &options).unwrap_err();
        assert!(matches!(error, PreinitError::Timeout { .. }), "{error}");
        assert!(error.to_string().contains("not initialised after 50ms; allow more time"), "{error}");
    }
}

#[test]
fn growing_keeps_to_the_limit() {
    let wat = r#"(module (memory 1) (global $got (mut i32) (i32.const 0))
        (func (export "init") (global.set $got (memory.grow (i32.const 3))))
        (func (export "got") (result i32) (global.get $got)))"#;
    let limits = Limits { memory_bytes_max: 3 * WASM_PAGE_BYTES, ..Limits::default() };
    let artifact = initialise(&module(wat, Guarded).unwrap(), &Options { limits, ..with_export("init") }).unwrap();
    let (mut store, instance) = instantiate(&load(&artifact)).unwrap();
    assert_eq!(instance.typed_func::<(), i32>(&store, "got").unwrap().call(&mut store, ()).unwrap(), -1);
}

#[test]
fn what_it_prints_is_kept_up_to_a_bound() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\06\00\00\00")
        (data (i32.const 16) "ready\n")
        (func (export "init")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let mut options = with_export("init");
    options.allow.add("wasi").unwrap();
    initialise(&module(wat, Guarded).unwrap(), &options).unwrap();
    assert_eq!(options.output.contents(), b"ready\nready\n");
}

#[test]
fn the_artifact_says_how_it_was_initialised() {
    let wat = r#"(module (func (export "init")) (func (export "run")))"#;
    let mut options = with_export("init");
    options.allow.add("random_get").unwrap();
    let before = module(wat, Guarded).unwrap();
    let ready = load(&initialise(&before, &options).unwrap());
    let (contract, was) = (ready.contract(), before.contract());
    assert_eq!(
        contract.provenance.options,
        was.provenance.options.clone() + " --preinit=init --preinit-allow random_get"
    );
    assert_eq!(contract.provenance.source_sha256, was.provenance.source_sha256);
    assert_eq!(ready.exports().map(|(name, _)| name).collect::<Vec<_>>(), ["run"]);
}

const HOLDER: &str = r#"(module
    (import "host" "get" (func $get (result externref)))
    (global $object (export "object") (mut externref) (ref.null extern))
    (table $objects 3 externref)
    (table $functions (export "functions") 2 funcref)
    (func (export "keep") (global.set $object (call $get)))
    (func (export "store") (table.set $objects (i32.const 2) (call $get)))
    (func (export "clear") (global.set $object (ref.null extern))))"#;

fn get(mut caller: Caller<'_, ()>) -> Result<Option<ExternRef>, HostError> {
    Ok(Some(caller.insert_extern(7)?))
}

/// An embedder's own host function, and the functions to call before freezing.
fn frozen(calls: &[&str]) -> Result<Vec<u8>, PreinitError> {
    let mut linker = Linker::new();
    linker.func_wrap("host", "get", get);
    let mut store = Store::new((), Limits::default())?;
    let instance = linker.instantiate(&mut store, &module(HOLDER, Guarded).unwrap()).unwrap();
    for name in calls {
        instance.typed_func::<(), ()>(&store, name).unwrap().call(&mut store, ()).unwrap();
    }
    freeze(&store, instance, &[], " --own-host")
}

#[test]
fn host_objects_are_refused_by_name_unless_cleared() {
    let error = frozen(&["keep"]).unwrap_err().to_string();
    assert!(error.contains(r#"global 0 ("object") holds a host object"#), "{error}");
    let error = frozen(&["store"]).unwrap_err().to_string();
    assert!(error.contains("table 0, element 2, holds a host object"), "{error}");
    let artifact = frozen(&["keep", "clear"]).unwrap();
    assert!(load(&artifact).contract().provenance.options.ends_with(" --own-host"));
}

#[test]
fn functions_of_other_instances_are_refused_by_name() {
    let mut store = Store::new((), Limits::default()).unwrap();
    let mut linker = Linker::new();
    let other = module(r#"(module (func (export "f")))"#, Guarded).unwrap();
    let other = linker.instantiate(&mut store, &other).unwrap();
    linker.func_wrap("host", "get", get);
    let instance = linker.instantiate(&mut store, &module(HOLDER, Guarded).unwrap()).unwrap();
    let Some(Item::Table(table)) = instance.get_export(&store, "functions") else { panic!("it exports a table") };
    let foreign = Val::FuncRef(other.get_func(&store, "f"));
    table.set(&mut store, 1, foreign).unwrap();
    let error = freeze(&store, instance, &[], "").unwrap_err().to_string();
    assert!(error.contains(r#"table 1 ("functions"), element 1, holds a function of another instance"#), "{error}");
}
