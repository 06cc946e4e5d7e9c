//! Modules that ask for too much: a typed error or success, in bounded time and memory.

use selvedge_contract::MemoryLayout;
use selvedge_contract::limits::*;

use crate::bounds::{MIB, assert_bounded};
use crate::builder::{Wasm, body, func_type, id, leb, name, op, with_index};
use crate::modules::compiles_soundly;

/// What becomes of a module.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    /// It compiles.
    Compiles,
    /// It is refused.
    Refused,
    /// Either will do: whether it fits is the code generator's to say.
    Either,
}
use Outcome::{Compiles, Either, Refused};

/// The most the process may have while it compiles.
const MEMORY_BYTES_MAX: u64 = 2_048 * MIB;

/// Compiles in both layouts, checks the outcome and the bounds.
fn expect(what: &str, outcome: Outcome, wasm: Vec<u8>) {
    for memory in [MemoryLayout::Dense, MemoryLayout::Guarded] {
        let wasm = wasm.clone();
        // Without the checks of intermediate code, as a deployment compiles.
        let options = selvedge_compiler::Options { memory, ..Default::default() };
        let what = format!("{what} ({memory:?}, {} KiB)", wasm.len() / 1024);
        assert_bounded(&what.clone(), MEMORY_BYTES_MAX, move || {
            let compiled = compiles_soundly(&wasm, &options);
            assert!(outcome == Either || compiled == (outcome == Compiles), "{what}: compiled: {compiled}");
        });
    }
}

fn functions(count: u64) -> Vec<u8> {
    let bodies = body(0, &[]);
    Wasm::new().types(&[(0, 0)]).repeated(id::FUNCTION, count, &[0]).repeated(id::CODE, count, &bodies).bytes()
}

#[test]
fn many_functions() {
    expect("1,000,001 functions", Refused, functions(FUNCTIONS_MAX as u64 + 1));
    expect("100,000 functions", Compiles, functions(100_000));
    let claimed = Wasm::new().types(&[(0, 0)]).section(id::FUNCTION, u64::from(u32::MAX), &[0]).bytes();
    expect("4,294,967,295 functions that are not there", Refused, claimed);
}

#[test]
fn large_tables() {
    let table = |min: u64| [vec![op::FUNCREF, 0], leb(min)].concat();
    let tables = |count, min| Wasm::new().repeated(id::TABLE, count, &table(min)).bytes();
    expect("a table of 4 Gi entries", Refused, tables(1, u32::MAX.into()));
    expect("a table of 10,000,001 entries", Refused, tables(1, TABLE_ENTRIES_MAX + 1));
    expect("a table of 10,000,000 entries", Compiles, tables(1, TABLE_ENTRIES_MAX));
    expect("100 tables of 10,000,000 entries", Refused, tables(100, TABLE_ENTRIES_MAX));
    expect("101 tables", Refused, tables(TABLES_MAX as u64 + 1, 0));
    let table64 = [vec![op::FUNCREF, 4], leb(u64::MAX)].concat();
    expect("a table of 2^64 - 1 entries", Refused, Wasm::new().section(id::TABLE, 1, &table64).bytes());
}

#[test]
fn large_memories() {
    let memory = |flags: u8, min: u64| Wasm::new().section(id::MEMORY, 1, &[vec![flags], leb(min)].concat()).bytes();
    expect("a memory of 4 GiB", Compiles, memory(0, 65_536));
    expect("a memory of 4 GiB and a page", Refused, memory(0, 65_537));
    expect("a memory of 64 GiB", Compiles, memory(4, 1 << 20));
    expect("a memory of 2^64 bytes", Refused, memory(4, 1 << 48));
    let memories = Wasm::new().repeated(id::MEMORY, MEMORIES_MAX as u64, &[vec![0], leb(65_536)].concat()).bytes();
    expect("100 memories of 4 GiB", Either, memories);
    expect("101 memories", Refused, Wasm::new().repeated(id::MEMORY, 101, &[0, 0]).bytes());
}

#[test]
fn far_and_scattered_data() {
    let segment = |at: u64| [vec![0, op::I32_CONST], signed(at as i32), vec![op::END, 1, b'x']].concat();
    let module = |pages: u64, at: &[u64]| {
        let segments: Vec<u8> = at.iter().flat_map(|at| segment(*at)).collect();
        let memory = [vec![0], leb(pages)].concat();
        Wasm::new().section(id::MEMORY, 1, &memory).section(id::DATA, at.len() as u64, &segments).bytes()
    };
    expect("data at both ends of 4 GiB", Compiles, module(65_536, &[0, u64::from(u32::MAX)]));
    expect("data beyond the memory", Compiles, module(1, &[u64::from(u32::MAX)]));
    let scattered: Vec<u64> = (0..DATA_SEGMENTS_MAX as u64).map(|i| i * 5 * HOST_PAGE_BYTES % (4 << 30)).collect();
    expect("100,000 bytes on as many pages", Compiles, module(65_536, &scattered));
}

fn signed(value: i32) -> Vec<u8> {
    let mut value = value;
    let mut bytes = Vec::new();
    loop {
        let byte = value as u8 & 0x7f;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

#[test]
fn deep_nesting() {
    const DEPTH: usize = 100_000;
    let nested = |open: &[u8], depth: usize| {
        let operators = [open.repeat(depth), vec![op::END; depth]].concat();
        Wasm::new().types(&[(0, 0)]).function(1, &operators).bytes()
    };
    expect("100,000 blocks deep", Compiles, nested(&[op::BLOCK, op::EMPTY], DEPTH));
    // Where control flow nests, the code generator takes time quadratic in the depth.
    expect("9,000 loops deep", Compiles, nested(&[op::LOOP, op::EMPTY], 9_000));
    expect("9,000 conditions deep", Compiles, nested(&[op::LOCAL_GET, 0, op::IF, op::EMPTY], 9_000));
    expect("40,000 loops deep", Refused, nested(&[op::LOOP, op::EMPTY], 40_000));
    expect("40,000 conditions deep", Refused, nested(&[op::LOCAL_GET, 0, op::IF, op::EMPTY], 40_000));
    let sum = [[op::I32_CONST, 1].repeat(DEPTH), vec![op::I32_ADD; DEPTH - 1], vec![op::DROP]].concat();
    expect("an operand stack of 100,000", Either, Wasm::new().types(&[(0, 0)]).function(0, &sum).bytes());
    for (what, text) in [
        ("100,000 parentheses", "(".repeat(DEPTH)),
        ("100,000 folded operators", format!("(module (func {}", "(drop (i32.eqz ".repeat(DEPTH / 2))),
        ("100,000 comments", "(;".repeat(DEPTH)),
        ("100,000 blocks in text", format!("(module (func {}", "(block ".repeat(DEPTH))),
    ] {
        expect(what, Refused, text.into_bytes());
    }
}

#[test]
fn many_locals() {
    let module = |locals, operators: &[u8]| Wasm::new().types(&[(0, 0)]).function(locals, operators).bytes();
    expect("50,001 locals", Refused, module(50_001, &[]));
    let each = |f: &dyn Fn(u64) -> Vec<u8>| (0..50_000).flat_map(f).collect::<Vec<u8>>();
    let set = each(&|i| [vec![op::LOCAL_GET, 0], with_index(op::LOCAL_SET, i)].concat());
    let read = each(&|i| [with_index(op::LOCAL_GET, i), vec![op::DROP]].concat());
    expect("50,000 locals", Compiles, module(50_000, &[set.clone(), read.clone()].concat()));
    let looped = [vec![op::LOOP, op::EMPTY], set, read, vec![op::LOCAL_GET, 0, op::BR_IF, 0, op::END]].concat();
    expect("50,000 locals in a loop", Either, module(50_000, &looped));
}

/// Every local is read in the innermost loop, so that each loop around it must carry them all.
#[test]
fn many_locals_in_many_loops() {
    let read: Vec<u8> = (0..5_000).flat_map(|i| [with_index(op::LOCAL_GET, i), vec![op::DROP]].concat()).collect();
    let operators = [[op::LOOP, op::EMPTY].repeat(200), read, vec![op::END; 200]].concat();
    expect("5,000 locals in 200 loops", Either, Wasm::new().types(&[(0, 0)]).function(5_000, &operators).bytes());
}

#[test]
fn huge_branch_tables() {
    let table = |entries: u64| {
        let branch =
            [vec![op::LOCAL_GET, 0], with_index(op::BR_TABLE, entries), vec![0; entries as usize + 1]].concat();
        Wasm::new().types(&[(0, 0)]).function(1, &[vec![op::BLOCK, op::EMPTY], branch, vec![op::END]].concat()).bytes()
    };
    expect("a branch of 1,000,000 targets", Either, table(1_000_000));
    expect("a branch of 8,000,000 targets", Refused, table(8_000_000));
}

#[test]
fn many_of_everything() {
    let count = TYPES_MAX as u64;
    let types = |count: u64| Wasm::new().repeated(id::TYPE, count, &func_type(1, 1));
    expect("100,000 types", Compiles, types(count).bytes());
    expect("100,001 types", Refused, types(count + 1).bytes());
    let global = [op::I64, 0, 0x42, 0, op::END];
    expect("100,000 globals", Compiles, Wasm::new().repeated(id::GLOBAL, count, &global).bytes());
    expect("100,001 globals", Refused, Wasm::new().repeated(id::GLOBAL, count + 1, &global).bytes());
    let export = |i: u64| [name(&format!("g{i}")), vec![3, 0]].concat();
    let exports = |count: u64| {
        let items: Vec<u8> = (0..count).flat_map(export).collect();
        Wasm::new().section(id::GLOBAL, 1, &global).section(id::EXPORT, count, &items).bytes()
    };
    expect("100,000 exports", Compiles, exports(count));
    expect("100,001 exports", Refused, exports(count + 1));
    let segment = [vec![1, 0], leb(1), vec![0]].concat();
    let elements = |count: u64| {
        let module = Wasm::new().types(&[(0, 0)]).section(id::FUNCTION, 1, &[0]);
        module.repeated(id::ELEMENT, count, &segment).section(id::CODE, 1, &body(0, &[])).bytes()
    };
    expect("100,000 element segments", Compiles, elements(ELEMENT_SEGMENTS_MAX as u64));
    expect("100,001 element segments", Refused, elements(ELEMENT_SEGMENTS_MAX as u64 + 1));
}

#[test]
fn many_imports() {
    let import = [name("m"), name("f"), vec![0, 0]].concat();
    let imports = |count: u64| Wasm::new().types(&[(1, 1)]).repeated(id::IMPORT, count, &import).bytes();
    expect("100,001 imports", Refused, imports(IMPORTS_MAX as u64 + 1));
    expect("20,000 imports", Compiles, imports(20_000));
}

/// As many types as imports, each import of a type of its own.
#[test]
fn many_imports_of_many_types() {
    const COUNT: u64 = 20_000;
    // The bits of the number as types make each type another.
    let distinct = |i: u64| {
        let params: Vec<u8> = (0..17).map(|bit| if i >> bit & 1 == 0 { op::I32 } else { op::I64 }).collect();
        [vec![0x60], leb(17), params, vec![0]].concat()
    };
    let types: Vec<u8> = (0..COUNT).flat_map(distinct).collect();
    let imports: Vec<u8> = (0..COUNT).flat_map(|i| [name("m"), name("f"), vec![0], leb(i)].concat()).collect();
    let module = Wasm::new().section(id::TYPE, COUNT, &types).section(id::IMPORT, COUNT, &imports);
    expect("20,000 imports of as many types", Compiles, module.bytes());
}

#[test]
fn long_signatures() {
    let module = |params: usize, results: usize| {
        let constants = [op::I32_CONST, 1].repeat(results);
        Wasm::new().types(&[(params, results)]).function(0, &constants).bytes()
    };
    expect("1,000 parameters and results", Compiles, module(PARAMS_MAX, PARAMS_MAX));
    expect("1,001 parameters", Refused, module(PARAMS_MAX + 1, 0));
    expect("1,001 results", Refused, module(0, PARAMS_MAX + 1));
    // Each call passes on what the one before returned.
    let calls = [[op::I32_CONST, 1].repeat(PARAMS_MAX), with_index(op::CALL, 0).repeat(50)].concat();
    let chain = Wasm::new().types(&[(PARAMS_MAX, PARAMS_MAX)]).function(0, &calls).bytes();
    expect("50 calls with 1,000 parameters and results", Either, chain);
}
