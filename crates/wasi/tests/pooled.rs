//! WASI in pooled instances, whose memory is protected until it is touched: the kernel must be able to read and
//! write it all the same.

use std::io::{Seek, Write};

use selvedge_runtime::{Instance, InstancePre, Linker, Pool, PoolLimits, Store};
use selvedge_testkit::{layouts, module};
use selvedge_wasi::{Stdio, Wasi, add_to_linker};

/// Reads from stdin into pages that nothing has touched, writes from such pages and random bytes into others. Of each
/// some are the image's, and some zero.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 4)
    (data (i32.const 0) "\ff\ff\00\00\03\20\00\00" "\00\00\02\00\00\10\00\00")
    (data (i32.const 70000) "read over") (data (i32.const 131172) "written") (data (i32.const 201000) "made random")
    (func (export "nothing") (result i32) (i32.const 0))
    (func (export "errors") (result i32)
        (i32.add (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16))
            (i32.add (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 20))
                (call $random (i32.const 199999) (i32.const 5000)))))
    (func (export "done") (result i32) (i32.add (i32.load (i32.const 16)) (i32.load (i32.const 20)))))"#;

/// Uses of a slot after which its pool tells what is touched from what is not.
const USES: usize = 50;

fn call(store: &mut Store<Wasi>, instance: Instance, name: &str) -> i32 {
    instance.typed_func::<(), i32>(&*store, name).unwrap().call(store, ()).unwrap()
}

fn read_write_and_roll(pool: &Pool, pre: &InstancePre<Wasi>) {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(&[7; 10_000]).unwrap();
    input.rewind().unwrap();
    let output = tempfile::tempfile().unwrap();
    let wasi = Wasi::builder().stdin(Stdio::file(input)).stdout(Stdio::file(output)).build().unwrap();
    let (mut store, instance) = pool.instantiate(pre, wasi).unwrap();
    assert_eq!(call(&mut store, instance, "errors"), 0);
    assert_eq!(call(&mut store, instance, "done"), 0x2003 + 0x1000);
    let memory = instance.get_memory(&store, "memory").unwrap().data(&store);
    assert_eq!(memory[0xffff..0xffff + 0x2003], [7; 0x2003]);
    assert_ne!(memory[201_000..201_011], *b"made random");
    assert!(memory[199_999..201_000].iter().any(|byte| *byte != 0));
    assert_eq!(memory[204_999..], [0; (4 << 16) - 204_999][..]);
}

#[test]
fn system_calls_reach_pages_that_nothing_touched() {
    let mut linker = Linker::new();
    add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
    for layout in layouts() {
        let module = module(GUEST, layout).unwrap();
        let pre = linker.prepare(&module).unwrap();
        for limits in [PoolLimits::guarded(2), PoolLimits::fitting(2, &module)] {
            let pool = Pool::new(limits).unwrap();
            for _ in 0..3 {
                read_write_and_roll(&pool, &pre);
            }
            // Those of another slot are not known yet.
            let pool = Pool::new(limits).unwrap();
            for _ in 0..USES {
                let (mut store, instance) = pool.instantiate(&pre, Wasi::builder().build().unwrap()).unwrap();
                call(&mut store, instance, "nothing");
            }
            for _ in 0..3 {
                read_write_and_roll(&pool, &pre);
            }
        }
    }
}
