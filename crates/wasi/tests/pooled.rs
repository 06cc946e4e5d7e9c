//! WASI in pooled instances, whose memory is protected until it is touched: the kernel must be able to read and
//! write it all the same.

use std::io::Write;

use selvedge_runtime::{Linker, Pool, PoolLimits};
use selvedge_testkit::{layouts, module};
use selvedge_wasi::{Stdio, Wasi, add_to_linker};

/// Reads from stdin into pages that nothing has touched, writes from such pages and random bytes into others.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 4)
    (data (i32.const 0) "\ff\ff\00\00\03\20\00\00" "\00\00\02\00\00\10\00\00")
    (func (export "errors") (result i32)
        (i32.add (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16))
            (i32.add (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 20))
                (call $random (i32.const 199999) (i32.const 5000)))))
    (func (export "done") (result i32) (i32.add (i32.load (i32.const 16)) (i32.load (i32.const 20)))))"#;

#[test]
fn system_calls_reach_pages_that_nothing_touched() {
    let mut linker = Linker::new();
    add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
    for layout in layouts() {
        let pre = linker.prepare(&module(GUEST, layout).unwrap()).unwrap();
        let pool = Pool::new(PoolLimits::guarded(2)).unwrap();
        for _ in 0..3 {
            let mut input = tempfile::tempfile().unwrap();
            input.write_all(&[7; 10_000]).unwrap();
            std::io::Seek::rewind(&mut input).unwrap();
            let output = Stdio::file(tempfile::tempfile().unwrap());
            let wasi = Wasi::builder().stdin(Stdio::file(input)).stdout(output).build().unwrap();
            let (mut store, instance) = pool.instantiate(&pre, wasi).unwrap();
            let mut call = |name| instance.typed_func::<(), i32>(&store, name).unwrap().call(&mut store, ()).unwrap();
            assert_eq!(call("errors"), 0);
            assert_eq!(call("done"), 0x2003 + 0x1000);
            let memory = instance.get_memory(&store, "memory").unwrap().data(&store);
            assert_eq!(memory[0xffff..0xffff + 0x2003], [7; 0x2003]);
            assert!(memory[199_999..204_999].iter().any(|byte| *byte != 0));
            assert_eq!(memory[204_999..], [0; (4 << 16) - 204_999][..]);
        }
    }
}
