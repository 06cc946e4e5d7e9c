//! Small guests, compiled and run: what only shows with code behind it.

use selvedge_runtime::{CallError, Limits, Linker, Store};
use selvedge_testkit::layouts;
use selvedge_wasi::{Buffer, Stdio, Wasi, add_to_linker};

/// Runs a guest's `_start`; what it wrote to stdout, and how it ended.
fn run(text: &str) -> Vec<(String, Result<(), CallError>)> {
    let mut runs = Vec::new();
    for layout in layouts() {
        let module = selvedge_testkit::module(text, layout).unwrap();
        let stdout = Buffer::new(1 << 10);
        let wasi = Wasi::builder().arg("guest").stdout(Stdio::Buffer(stdout.clone())).build().unwrap();
        let mut store = Store::new(wasi, Limits::default()).unwrap();
        let mut linker = Linker::new();
        add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let start = instance.get_func(&store, "_start").unwrap();
        let ending = start.call(&mut store, &[]).map(drop);
        runs.push((String::from_utf8(stdout.take()).unwrap(), ending));
    }
    runs
}

#[test]
fn a_guest_writes_and_exits() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\08\00\00\00\06\00\00\00hello\n")
        (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
            (call $exit (i32.load (i32.const 16)))
            unreachable))"#;
    for (stdout, ending) in run(text) {
        assert_eq!(stdout, "hello\n");
        assert!(matches!(ending, Err(CallError::Exit(6))), "{ending:?}");
    }
}

#[test]
fn a_signal_ends_the_guest_as_a_shell_would_show() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (drop (call $raise (i32.const 6))) unreachable))"#;
    for (_, ending) in run(text) {
        assert!(matches!(ending, Err(CallError::Exit(134))), "{ending:?}");
    }
}

#[test]
fn a_guest_without_memory_is_told_what_it_lacks() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (func (export "_start") (drop (call $yield))))"#;
    for (_, ending) in run(text) {
        let message = ending.unwrap_err().to_string();
        assert!(message.contains("sched_yield needs the guest's memory"), "{message}");
        assert!(message.contains("exports none as \"memory\""), "{message}");
    }
}
