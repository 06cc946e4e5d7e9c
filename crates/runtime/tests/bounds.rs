//! An access traps exactly where its last byte lies beyond the memory, wherever index and offset put it: in all
//! layouts, with offsets around each border the code distinguishes. What is expected is computed here.

mod common;

use common::{load_with, trap_code};
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_contract::limits::DENSE_GUARD_BYTES;
use selvedge_runtime::{Limits, Linker, Store, TrapCode, Val};

const PAGE: u64 = 1 << 16;

/// Instructions that read so many bytes, and what becomes of these.
const LOADS: [(u64, &str); 3] = [(1, "i32.load8_u"), (4, "i32.load"), (8, "i64.load")];

/// Borders between classes of offsets, the guard's end, the memory's size, its maximum, a sign.
fn offsets(wide: bool) -> Vec<u64> {
    let borders = [0, 1 << 12, DENSE_GUARD_BYTES, PAGE, 2 * PAGE, 3 * PAGE, 32 << 20, 1 << 31, (1 << 32) - 20];
    let wide_borders = [1 << 32, 1 << 36, u64::MAX - 20];
    let borders = borders.into_iter().chain(wide_borders.into_iter().filter(|_| wide));
    borders.flat_map(|border| [border.saturating_sub(9), border.saturating_sub(1), border, border + 5]).collect()
}

fn module(wide: bool, max: u64) -> String {
    let (ty, declared) = if wide { ("i64", "i64") } else { ("i32", "") };
    let mut functions = String::new();
    for (number, offset) in offsets(wide).into_iter().enumerate() {
        for (bytes, load) in LOADS {
            let load = format!("({load} offset={offset} (local.get 0))");
            functions += &format!(r#"(func (export "{bytes} {number}") (param {ty}) (drop {load}))"#);
        }
    }
    format!("(module (memory {declared} 1 {max}) {functions})")
}

/// Indices that bring an access near a border of the memory, and some that are far away.
fn indices(offset: u64, wide: bool) -> impl Iterator<Item = u64> {
    let ends = [0, PAGE, 2 * PAGE, 3 * PAGE];
    let near = ends.into_iter().flat_map(move |end| (0..10).map(move |back| end.wrapping_sub(offset + back)));
    let far = [0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, u64::MAX];
    near.chain(far).filter(move |index| wide || *index < 1 << 32)
}

fn check(layout: MemoryLayout, wide: bool, max: u64) {
    let module = load_with(module(wide, max), &Options { memory: layout, ..Options::default() });
    let mut store = Store::new((), Limits::default()).unwrap();
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    for (number, offset) in offsets(wide).into_iter().enumerate() {
        for (bytes, _) in LOADS {
            let load = instance.get_func(&store, &format!("{bytes} {number}")).unwrap();
            for index in indices(offset, wide) {
                let end = u128::from(index) + u128::from(offset) + u128::from(bytes);
                let param = if wide { Val::I64(index as i64) } else { Val::I32(index as i32) };
                let result = load.call(&mut store, &[param]);
                match end <= u128::from(PAGE) {
                    true => {
                        assert!(result.is_ok(), "{layout:?}, {bytes} bytes at {index:#x} + {offset:#x}: {result:?}")
                    }
                    false => assert_eq!(trap_code(result), TrapCode::MemoryOutOfBounds, "{index:#x} + {offset:#x}"),
                }
            }
        }
    }
}

#[test]
fn accesses_end_within_the_memory_or_trap() {
    for max in [1, 2, 3, 65536] {
        check(MemoryLayout::Guarded, false, max);
        check(MemoryLayout::Dense, false, max);
        check(MemoryLayout::Dense, true, max);
    }
}
