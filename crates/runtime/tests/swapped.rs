//! Pages of an instance that the kernel has swapped out are the instance's as much as others: the next sees none of them.
//! Where the machine has no swap, they stay where they are, and this says no more than other tests.

mod common;

use common::load_with;
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{Linker, Module, Pool, PoolLimits, Recycling};

/// Pages of memory, of which every second is in the image and begins with its number.
const PAGES: usize = 512;
/// Uses of a slot after which it is worth marking its pages.
const USES: usize = 30;

/// `write` writes the beginning of so many pages from the first.
fn guest(layout: MemoryLayout) -> Module {
    let data: String = (0..PAGES).step_by(2).map(|n| format!("(data (i32.const {}) \"{n}\")", n << 12)).collect();
    let wat = format!(
        r#"(module (memory (export "memory") {} 40) {data}
        (func (export "write") (param $pages i32) (local $at i32)
            (loop
                (i64.store (local.get $at) (i64.const -1))
                (local.set $at (i32.add (local.get $at) (i32.const 4096)))
                (br_if 0 (local.tee $pages (i32.sub (local.get $pages) (i32.const 1)))))))"#,
        PAGES >> 4
    );
    load_with(wat, &Options { memory: layout, ..Options::default() })
}

fn is_new(memory: &[u8]) -> bool {
    memory.chunks(4096).enumerate().all(|(n, page)| {
        let number = if n % 2 == 0 { n.to_string() } else { String::new() };
        page.starts_with(number.as_bytes()) && page[number.len()..].iter().all(|byte| *byte == 0)
    })
}

/// Asks the kernel to swap pages out; says how much of the process is out then.
#[allow(unsafe_code)]
fn swap_out(address: usize) -> u64 {
    let memory = address as *mut std::ffi::c_void;
    // SAFETY: the slot is mapped as long as its pool is there, and what pages hold does not change.
    unsafe { rustix::mm::madvise(memory, PAGES << 12, rustix::mm::Advice::LinuxPageOut) }.unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmSwap:")?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0)
}

#[test]
fn the_next_instance_sees_nothing_of_pages_that_were_swapped_out() {
    for layout in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let pre = Linker::<()>::new().prepare(&guest(layout)).unwrap();
        for recycling in [Recycling::Discard, Recycling::Scan, Recycling::Track] {
            let pool = Pool::new(PoolLimits { recycling, ..PoolLimits::guarded(1) }).unwrap();
            let mut out_kib = 0;
            for round in 0..USES + 8 {
                let (mut store, instance) = pool.instantiate(&pre, ()).unwrap();
                let memory = instance.get_memory(&store, "memory").unwrap();
                assert!(is_new(memory.data(&store)), "{layout:?}, {recycling:?}, {round}");
                let address = memory.data(&store).as_ptr() as usize;
                let few_or_all = if round % 4 == 0 { PAGES as i32 } else { 5 };
                let write = instance.typed_func::<i32, ()>(&store, "write").unwrap();
                write.call(&mut store, few_or_all).unwrap();
                // While it lives, and what it has left in its slot.
                out_kib = swap_out(address).max(out_kib);
                drop(store);
                out_kib = swap_out(address).max(out_kib);
            }
            println!("{layout:?}, {recycling:?}: up to {out_kib} KiB were swapped out");
        }
    }
}
