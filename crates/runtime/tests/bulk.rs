//! Operations on much memory and large tables: done in pieces, which nobody sees, and cut short when their guest is to end.

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Random, load_with};
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{CallError, Instance, InstancePre, Limits, Linker, Pool, PoolLimits, Recycling, Store, Val};

/// 64 MiB, of which the second half may be copied over the first.
const BYTES: usize = 64 << 20;
const ELEMENTS: u64 = 100_000;

const GUEST: &str = r#"(module
    (memory (export "memory") 1024)
    (table (export "table") 100000 100000 externref)
    (func (export "fill") (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x4000000)))
    (func (export "fill half") (memory.fill (i32.const 0x2000000) (i32.const 7) (i32.const 0x2000000)))
    (func (export "copy") (memory.copy (i32.const 0) (i32.const 0x2000000) (i32.const 0x2000000)))
    (func (export "fill part") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
    (func (export "copy part") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
    (func (export "fill table") (param i32 externref i32) (table.fill (local.get 0) (local.get 1) (local.get 2)))
    (func (export "copy table") (param i32 i32 i32) (table.copy (local.get 0) (local.get 1) (local.get 2))))"#;

fn prepared(memory: MemoryLayout) -> InstancePre<()> {
    Linker::new().prepare(&load_with(GUEST, &Options { memory, ..Options::default() })).unwrap()
}

/// An interruption that comes when the first byte has been written; says whether the last was not.
fn is_cut(store: &mut Store<()>, instance: Instance, how: &str) -> bool {
    let memory = instance.get_memory(&*store, "memory").unwrap();
    let (first, end) = (memory.data(store).as_ptr() as u64, if how == "fill" { BYTES } else { BYTES / 2 });
    let (handle, over) = (store.interrupt_handle(), AtomicBool::new(false));
    let operation = instance.typed_func::<(), ()>(store, how).unwrap();
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let own = File::open("/proc/self/mem").unwrap();
            let mut byte = [0];
            // What nobody has touched may be unreadable.
            while byte != [7] && !over.load(Ordering::Relaxed) {
                let _ = own.read_exact_at(&mut byte, first);
            }
            handle.interrupt();
        });
        let ended = operation.call(store, ());
        over.store(true, Ordering::Relaxed);
        ended
    });
    assert!(matches!(ended, Ok(()) | Err(CallError::Interrupted(_))), "{ended:?}");
    let bytes = memory.data(store);
    bytes[0] == 7 && bytes[end - 1] == 0
}

/// A guest that filled all its memory could be ended only after that: for gigabytes, seconds later.
#[test]
fn a_bulk_operation_is_cut_in_its_middle_and_the_next_instance_sees_nothing_of_it() {
    for (layout, recycling) in [
        (MemoryLayout::Guarded, Recycling::Track),
        (MemoryLayout::Dense, Recycling::Scan),
        (MemoryLayout::Guarded, Recycling::Discard),
    ] {
        let (pre, pool) = (prepared(layout), Pool::new(PoolLimits { recycling, ..PoolLimits::guarded(1) }).unwrap());
        for how in ["fill", "copy"] {
            let cut = (0..100).any(|_| {
                let (mut store, instance) = pool.instantiate(&pre, ()).unwrap();
                let memory = instance.get_memory(&store, "memory").unwrap();
                assert!(memory.data(&store).iter().step_by(1 << 12).all(|byte| *byte == 0), "{how}, {recycling:?}");
                if how == "copy" {
                    instance.typed_func::<(), ()>(&store, "fill half").unwrap().call(&mut store, ()).unwrap();
                }
                is_cut(&mut store, instance, how)
            });
            assert!(cut, "{how}, {layout:?}: each time it was done before anybody could cut it");
        }
    }
}

#[test]
fn pieces_make_up_the_whole_wherever_they_overlap() {
    let mut random = Random(0x5eed);
    let mut store = Store::new((), Limits::default()).unwrap();
    let instance = prepared(MemoryLayout::Dense).instantiate(&mut store).unwrap();
    let memory = instance.get_memory(&store, "memory").unwrap();
    let [fill, copy] = ["fill part", "copy part"].map(|name| {
        let part = instance.typed_func::<(u32, u32, u32), ()>(&store, name).unwrap();
        move |store: &mut Store<()>, [a, b, c]: [usize; 3]| part.call(store, (a as u32, b as u32, c as u32)).unwrap()
    });
    let mut expected: Vec<u8> = (0..8 << 20).map(|_| random.next() as u8).collect();
    memory.data_mut(&mut store)[..8 << 20].copy_from_slice(&expected);
    // Less, as much and more than a piece; so do source and destination overlap.
    let sizes = [1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20, (3 << 20) + 12345];
    for len in sizes {
        for distance in [1, 4097, (1 << 20) - 1, 1 << 20, 2 << 20] {
            for (to, from) in [(777, 777 + distance), (777 + distance, 777)] {
                copy(&mut store, [to, from, len]);
                expected.copy_within(from..from + len, to);
                assert!(memory.data(&store)[..8 << 20] == expected, "{len} bytes from {from} to {to}");
            }
        }
        fill(&mut store, [len, len & 0xff, len]);
        expected[len..2 * len].fill(len as u8);
        assert!(memory.data(&store)[..8 << 20] == expected, "{len} bytes");
    }
}

#[test]
fn pieces_of_tables_make_up_the_whole() {
    let mut store = Store::new((), Limits::default()).unwrap();
    let instance = prepared(MemoryLayout::Dense).instantiate(&mut store).unwrap();
    let table = instance.get_table(&store, "table").unwrap();
    let objects: Vec<_> = (0..9).map(|n| Val::ExternRef(Some(store.insert_extern(n).unwrap()))).collect();
    let [fill, copy] = ["fill table", "copy table"].map(|name| instance.get_func(&store, name).unwrap());
    let mut expected = vec![Val::ExternRef(None); ELEMENTS as usize];
    let all = |store: &Store<()>| (0..ELEMENTS).map(|n| table.get(store, n).unwrap()).collect::<Vec<_>>();
    for (object, n) in objects.iter().zip(0..) {
        let (at, len) = (n * 9_000, 8_193 + n);
        fill.call(&mut store, &[Val::I32(at as i32), *object, Val::I32(len as i32)]).unwrap();
        expected[at..at + len].fill(*object);
    }
    assert!(all(&store) == expected);
    for (to, from, len) in [(5, 0, 50_000), (0, 5, 50_000), (30_000, 20_000, 60_000), (1, 8_193, 8_192)] {
        copy.call(&mut store, &[to, from, len].map(|n| Val::I32(n as i32))).unwrap();
        expected.copy_within(from..from + len, to);
        assert!(all(&store) == expected, "{len} from {from} to {to}");
    }
}
