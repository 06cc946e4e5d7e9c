//! What instances of a pool only read of their memory image is not theirs: nothing to keep, nothing to reset.

mod common;

use common::load_with;
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{InstancePre, Linker, Module, Pool, PoolLimits, Store};

/// Pages of the image; each begins with its number.
const PAGES: i32 = 600;
/// Uses of a slot after which its pool tells what is touched from what is not.
const USES: usize = 100;
/// Pages of the stack and of what is not in the image that an instance may touch.
const FEW_BYTES: u64 = 6 << 12;

/// `read` adds up the numbers of all pages, `write` writes one in so many.
fn guest(layout: MemoryLayout) -> Module {
    let data: String =
        (0..PAGES).map(|n| format!("(data (i32.const {}) \"\\{:02x}\\{:02x}\")", n << 12, n & 255, n >> 8)).collect();
    let wat = format!(
        r#"(module (memory (export "memory") 40 41) {data}
        (func (export "read") (result i32) (local $page i32) (local $sum i32)
            (loop
                (local.set $sum (i32.add (local.get $sum) (i32.load16_u (i32.shl (local.get $page) (i32.const 12)))))
                (br_if 0 (i32.lt_s (local.tee $page (i32.add (local.get $page) (i32.const 1))) (i32.const {PAGES}))))
            (local.get $sum))
        (func (export "write") (param $step i32) (local $page i32)
            (loop
                (i64.store (i32.shl (local.get $page) (i32.const 12)) (i64.const -1))
                (br_if 0 (i32.lt_s (local.tee $page (i32.add (local.get $page) (local.get $step))) (i32.const {PAGES}))))))"#
    );
    load_with(wat, &Options { memory: layout, ..Options::default() })
}

/// What a new instance reads.
const SUM: i32 = PAGES * (PAGES - 1) / 2;

fn reads(store: &mut Store<()>, instance: selvedge_runtime::Instance) -> i32 {
    instance.typed_func::<(), i32>(&*store, "read").unwrap().call(store, ()).unwrap()
}

/// An instance that reads all of its image, and writes one page in `step` if it is said so.
fn use_of(pool: &Pool, pre: &InstancePre<()>, step: Option<i32>) {
    let (mut store, instance) = pool.instantiate(pre, ()).unwrap();
    assert_eq!(reads(&mut store, instance), SUM, "before it writes one page in {step:?}");
    if let Some(step) = step {
        instance.typed_func::<i32, ()>(&store, "write").unwrap().call(&mut store, step).unwrap();
        assert_ne!(reads(&mut store, instance), SUM);
    }
}

#[test]
fn what_is_only_read_of_the_image_is_not_kept_nor_reset() {
    for layout in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let pre = Linker::<()>::new().prepare(&guest(layout)).unwrap();
        let pool = Pool::new(PoolLimits::guarded(2)).unwrap();
        (0..USES).for_each(|_| use_of(&pool, &pre, None));
        assert!(pool.resident_bytes() <= FEW_BYTES, "{layout:?}: {} bytes are kept", pool.resident_bytes());
        (0..USES).for_each(|_| use_of(&pool, &pre, Some(200)));
        let kept = pool.resident_bytes();
        assert!((3 << 12..=FEW_BYTES + (3 << 12)).contains(&kept), "{layout:?}: {kept} bytes are kept");
        // A slot that begins with what is known.
        let held = pool.instantiate(&pre, ()).unwrap();
        (0..USES).for_each(|_| use_of(&pool, &pre, Some(200)));
        drop(held);
        assert!(pool.resident_bytes() <= 2 * (FEW_BYTES + (3 << 12)));
    }
}

/// Each page that is written lies between two that are not, and takes mappings of its own: there are bounds.
#[test]
fn what_is_written_here_and_there_is_reset_however_much_it_is() {
    for layout in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let pre = Linker::<()>::new().prepare(&guest(layout)).unwrap();
        for steps in [[Some(2), Some(1)], [Some(30), Some(3)], [Some(300), None]] {
            // Learnt by faults, or by asking the kernel.
            for known in [None, steps[0]] {
                let pool = Pool::new(PoolLimits::guarded(1)).unwrap();
                (0..USES).for_each(|_| use_of(&pool, &pre, known));
                steps.into_iter().chain(steps).for_each(|step| use_of(&pool, &pre, step));
                use_of(&pool, &pre, None);
                assert_eq!(pool.idle(), 1);
            }
        }
    }
}

#[test]
fn the_host_writes_to_what_was_only_read() {
    let pre = Linker::<()>::new().prepare(&guest(MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(PoolLimits::guarded(1)).unwrap();
    for at in 0..USES {
        let (mut store, instance) = pool.instantiate(&pre, ()).unwrap();
        assert_eq!(reads(&mut store, instance), SUM);
        let memory = instance.get_memory(&store, "memory").unwrap();
        memory.write(&mut store, (at as u64) << 12, &[0xff; 2]).unwrap();
        assert_eq!(reads(&mut store, instance), SUM - at as i32 + 0xffff);
    }
}

/// As an embedder does that lets the kernel write guest memory.
#[test]
fn the_kernel_writes_to_what_was_touched_for_writing() {
    let pre = Linker::<()>::new().prepare(&guest(MemoryLayout::Guarded)).unwrap();
    let pool = Pool::new(PoolLimits::guarded(1)).unwrap();
    (0..USES).for_each(|_| use_of(&pool, &pre, None));
    let (mut store, instance) = pool.instantiate(&pre, ()).unwrap();
    let memory = instance.get_memory(&store, "memory").unwrap();
    let bytes = &mut memory.data_mut(&mut store)[5000..20_000];
    let before = bytes.to_vec();
    selvedge_runtime::touch_mut(bytes);
    assert_eq!(bytes, before, "nothing changes");
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/zero").unwrap(), bytes).unwrap();
    assert_eq!(bytes, [0; 15_000]);
}
