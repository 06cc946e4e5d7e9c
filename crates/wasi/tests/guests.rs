//! Small guests, compiled and run: what only shows with code behind it.

use std::sync::{Arc, Mutex};

use selvedge_runtime::{CallError, Limits, Linker, Store};
use selvedge_testkit::layouts;
use selvedge_wasi::{Buffer, Clocks, DirAccess, Stdio, Tracer, Wasi, WasiBuilder, add_to_linker, add_traced_to_linker};

/// Runs a guest's `_start`; what it wrote to stdout, and how it ended.
fn run(text: &str) -> Vec<(String, Result<(), CallError>)> {
    run_with(text, Wasi::builder(), None)
}

fn run_with(text: &str, builder: WasiBuilder, tracer: Option<&Tracer>) -> Vec<(String, Result<(), CallError>)> {
    let mut runs = Vec::new();
    for layout in layouts() {
        let module = selvedge_testkit::module(text, layout).unwrap();
        let stdout = Buffer::new(1 << 10);
        let wasi = builder.clone().arg("guest").stdout(Stdio::Buffer(stdout.clone())).build().unwrap();
        let mut store = Store::new(wasi, Limits::default()).unwrap();
        let mut linker = Linker::new();
        match tracer {
            None => add_to_linker(&mut linker, |wasi: &mut Wasi| wasi),
            Some(tracer) => add_traced_to_linker(&mut linker, |wasi: &mut Wasi| wasi, tracer),
        }
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

/// Opens a file of ten bytes by the interface before, seeks, looks at its attributes, waits for a clock, and exits
/// with what it found: a bit for each answer that is right.
const OLD: &str = r#"(module
    (import "wasi_unstable" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_unstable" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_unstable" "fd_filestat_get" (func $stat (param i32 i32) (result i32)))
    (import "wasi_unstable" "path_filestat_get" (func $path_stat (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_unstable" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "file")
    (global $right (mut i32) (i32.const 0))
    (func $check (param i32)
        (global.set $right (i32.add (i32.shl (global.get $right) (i32.const 1)) (local.get 0))))
    (func $seek_to (param i32 i64) (result i64)
        (drop (call $seek (i32.const 4) (local.get 1) (local.get 0) (i32.const 16)))
        (i64.load (i32.const 16)))
    (func (export "_start")
        (call $check (i32.eqz (call $open
            (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0)
            (i64.const 0x200026) (i64.const 0) (i32.const 0) (i32.const 8))))
        (call $check (i64.eq (call $seek_to (i32.const 2) (i64.const 3)) (i64.const 3)))
        (call $check (i64.eq (call $seek_to (i32.const 0) (i64.const 4)) (i64.const 7)))
        (call $check (i64.eq (call $seek_to (i32.const 1) (i64.const -1)) (i64.const 9)))
        (call $check (i32.eqz (call $stat (i32.const 4) (i32.const 1024))))
        (call $check (i32.eq (i32.load (i32.const 1044)) (i32.const 1)))
        (call $check (i64.eq (i64.load (i32.const 1048)) (i64.const 10)))
        (call $check (i64.eqz (i64.load (i32.const 1080))))
        (call $check (i32.eqz (call $path_stat
            (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 2048))))
        (call $check (i64.eq (i64.load (i32.const 2072)) (i64.const 10)))
        ;; Two clocks, an hour and a second away: the second comes.
        (i64.store (i32.const 4096) (i64.const 71))
        (i64.store (i32.const 4128) (i64.const 3600000000000))
        (i64.store (i32.const 4152) (i64.const 72))
        (i32.store (i32.const 4176) (i32.const 1))
        (i64.store (i32.const 4184) (i64.const 1000000000))
        (call $check (i32.eqz (call $poll (i32.const 4096) (i32.const 5000) (i32.const 2) (i32.const 6000))))
        (call $check (i32.eq (i32.load (i32.const 6000)) (i32.const 1)))
        (call $check (i64.eq (i64.load (i32.const 5000)) (i64.const 72)))
        (call $exit (global.get $right))))"#;

#[test]
fn the_interface_before_has_its_own_layouts_and_numbers() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("file"), "0123456789").unwrap();
    let builder = Wasi::builder().clocks(Clocks::Fixed { realtime_ns: 0, step_ns: 0 });
    let builder = builder.preopen_dir(place.path(), "/", DirAccess::ReadOnly).unwrap();
    for (_, ending) in run_with(OLD, builder, None) {
        assert!(matches!(ending, Err(CallError::Exit(0b1_1111_1111_1111))), "{ending:?}");
    }
}

#[test]
fn a_trace_tells_of_every_call() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("file"), "0123456789").unwrap();
    let builder = Wasi::builder().clocks(Clocks::Fixed { realtime_ns: 0, step_ns: 0 });
    let builder = builder.preopen_dir(place.path(), "/", DirAccess::ReadOnly).unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let told = lines.clone();
    let tracer = Tracer::new(move |line| told.lock().unwrap().push(line.to_owned())).without_times();
    run_with(OLD, builder, Some(&tracer));
    let lines = lines.lock().unwrap();
    let (first, second) = lines.split_at(lines.len() / 2);
    assert_eq!(first, second, "a run is told of as the other");
    let stat = first.iter().position(|line| line.starts_with("fd_filestat_get(4) = {dev=")).unwrap();
    assert!(first[stat].contains(", regular_file, nlink=1, size=10, atim="), "{}", first[stat]);
    let expected = [
        "path_open(3, 0, \"file\", 0, fd_read|fd_seek|fd_tell|fd_filestat_get, 0, 0) = 4",
        "fd_seek(4, 3, set) = 3",
        "fd_seek(4, 4, cur) = 7",
        "fd_seek(4, -1, end) = 9",
    ];
    assert_eq!(first[..4], expected);
    let expected =
        ["poll_oneoff([0x47: realtime +3600000000000, 0x48: monotonic +1000000000]) = 1 [0x48]", "proc_exit(8191) = ?"];
    assert_eq!(first[first.len() - 2..], expected);
}
