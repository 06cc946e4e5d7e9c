//! Guests that wait hold no thread: here, many on one.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::task::Poll;

use async_io::block_on;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{CallError, Limits, Linker, Module, Store};
use selvedge_wasi::{Buffer, Stdio, Wasi, WasiBuilder, add_to_linker, pipe};

/// Reads lines of four bytes and answers each with the same bytes, one higher, until the end; says first what it was
/// told to.
const PLAYER: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\04\00\00\00")
    (func $say (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "_start")
        (drop (call $args (i32.const 32) (i32.const 36)))
        (if (i32.gt_u (i32.load (i32.const 32)) (i32.const 1)) (then (call $say)))
        (block $end (loop $again
            (br_if $end (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br_if $end (i32.eqz (i32.load (i32.const 8))))
            (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
            (br_if $end (i32.eq (i32.load (i32.const 16)) (i32.const 200)))
            (call $say)
            (br $again)))))"#;

fn module(text: &str) -> Module {
    selvedge_testkit::module(text, MemoryLayout::Dense).unwrap()
}

fn linker() -> Linker<Wasi> {
    let mut linker = Linker::new();
    add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
    linker
}

/// Runs a guest's `_start`. The builder is dropped, so that the guest's ends of pipes close with the guest.
async fn run(module: &Module, builder: WasiBuilder) -> Result<(), CallError> {
    let wasi = builder.build().unwrap();
    drop(builder);
    let mut store = Store::new(wasi, Limits::default()).unwrap();
    let instance = linker().instantiate(&mut store, module).unwrap();
    let start = instance.typed_func::<(), ()>(&store, "_start").unwrap();
    start.call_async(&mut store, ()).await
}

/// All of these, taking turns on this thread.
fn all<'f, T>(futures: Vec<Pin<Box<dyn Future<Output = T> + 'f>>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (future, None)).collect();
    block_on(poll_fn(|context| {
        for (future, result) in futures.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *result = Some(value);
            }
        }
        if futures.iter().all(|(_, result)| result.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    }));
    futures.into_iter().filter_map(|(_, result)| result).collect()
}

#[test]
fn guests_on_one_thread_wait_for_each_other() {
    let module = module(PLAYER);
    let ends = |bytes_max| (pipe(bytes_max), pipe(bytes_max));
    let mut players: Vec<Pin<Box<dyn Future<Output = _>>>> = Vec::new();
    for game in 0..50 {
        // Pipes that hold a message, and little more: in smaller ones two who write all of theirs wait for each other.
        let ((here, there), (over_here, over_there)) = ends(4 + game % 6);
        let first =
            Wasi::builder().arg("player").arg("first").stdin(Stdio::reader(here)).stdout(Stdio::writer(over_there));
        let second = Wasi::builder().arg("player").stdin(Stdio::reader(over_here)).stdout(Stdio::writer(there));
        players.push(Box::pin(run(&module, first)));
        players.push(Box::pin(run(&module, second)));
    }
    for ending in all(players) {
        ending.unwrap();
    }
}

#[test]
fn pipes_and_sockets_of_the_host_are_waited_for_together() {
    let module = module(PLAYER);
    let mut players: Vec<Pin<Box<dyn Future<Output = _>>>> = Vec::new();
    for _ in 0..20 {
        let (one, other) = UnixStream::pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let first = Wasi::builder().arg("player").arg("first");
        let first = first.stdin(Stdio::file(reader)).stdout(Stdio::file(one));
        let second = Wasi::builder().arg("player").stdin(Stdio::file(other)).stdout(Stdio::file(writer));
        players.push(Box::pin(run(&module, first)));
        players.push(Box::pin(run(&module, second)));
    }
    for ending in all(players) {
        ending.unwrap();
    }
}

/// Accepts a connection, receives three bytes, waits a thousandth of a second, and sends them back.
const SERVER: &str = r#"(module
    (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_recv" (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\03\00\00\00")
    (func $check (param i32) (if (local.get 0) (then unreachable)))
    (func (export "_start")
        (call $check (call $accept (i32.const 3) (i32.const 0) (i32.const 32)))
        (call $check (call $recv
            (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 2) (i32.const 8) (i32.const 12)))
        (i32.store (i32.const 144) (i32.const 1))
        (i64.store (i32.const 152) (i64.const 1000000))
        (call $check (call $poll (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 64)))
        (call $check (call $send
            (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 8)))))"#;

#[test]
fn servers_share_a_listener_and_a_thread() {
    const SERVERS: usize = 20;
    let module = module(SERVER);
    let place = tempfile::tempdir().unwrap();
    let address = place.path().join("socket");
    let listener = UnixListener::bind(&address).unwrap();
    let client = std::thread::spawn(move || {
        for _ in 0..SERVERS {
            let mut server = UnixStream::connect(&address).unwrap();
            server.write_all(b"a").unwrap();
            server.write_all(b"bc").unwrap();
            let mut answer = [0; 3];
            server.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"abc");
        }
    });
    let serve = || {
        let builder = Wasi::builder().preopen_socket(listener.try_clone().unwrap());
        Box::pin(run(&module, builder)) as Pin<Box<dyn Future<Output = Result<(), CallError>>>>
    };
    for ending in all((0..SERVERS).map(|_| serve()).collect()) {
        ending.unwrap();
    }
    client.join().unwrap();
}

#[test]
fn a_guest_that_waits_can_be_interrupted_in_either_kind_of_call() {
    let module = module(PLAYER);
    let waits = || {
        let (reader, writer) = pipe(1);
        let wasi = Wasi::builder().stdin(Stdio::reader(reader)).build().unwrap();
        (Store::new(wasi, Limits::default()).unwrap(), writer)
    };
    for suspends in [false, true] {
        let (mut store, _writer) = waits();
        let instance = linker().instantiate(&mut store, &module).unwrap();
        let start = instance.typed_func::<(), ()>(&store, "_start").unwrap();
        let handle = store.interrupt_handle();
        let interrupter = std::thread::spawn(move || {
            // Once, at whatever moment: no request is lost.
            handle.interrupt()
        });
        let ending = if suspends { block_on(start.call_async(&mut store, ())) } else { start.call(&mut store, ()) };
        assert!(interrupter.join().unwrap());
        assert!(matches!(ending, Err(CallError::Interrupted(_))), "{ending:?}");
    }
}

#[test]
fn a_call_that_is_given_up_leaves_the_store_usable() {
    let module = module(PLAYER);
    let (reader, mut writer) = pipe(8);
    let stdout = Buffer::new(100);
    let builder = Wasi::builder().stdin(Stdio::reader(reader)).stdout(Stdio::Buffer(stdout.clone()));
    let mut store = Store::new(builder.build().unwrap(), Limits::default()).unwrap();
    let instance = linker().instantiate(&mut store, &module).unwrap();
    let start = instance.typed_func::<(), ()>(&store, "_start").unwrap();
    {
        let mut call = Box::pin(start.call_async(&mut store, ()));
        let polled = block_on(poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())));
        assert!(polled, "it waits");
    }
    writer.write_all(&[5, 0, 0, 0]).unwrap();
    drop(writer);
    start.call(&mut store, ()).unwrap();
    assert_eq!(stdout.take(), [6, 0, 0, 0]);
    drop(builder);
}
