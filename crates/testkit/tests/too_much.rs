//! Modules that ask for too much: each ends in an error that names the limit, or is simply compiled. None
//! takes long, none grows without bound.

use std::time::{Duration, Instant};

use selvedge_contract::MemoryLayout;
use selvedge_testkit::compile;

/// Generous: the tests' build of the code generator is slow, and the machine may be busy.
const LONG: Duration = Duration::from_secs(300);

/// A binary with these sections.
fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    for (id, contents) in sections {
        bytes.push(*id);
        bytes.extend(leb(contents.len() as u64));
        bytes.extend(contents);
    }
    bytes
}

fn leb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn vector(count: u64, item: &[u8]) -> Vec<u8> {
    [leb(count), item.repeat(count as usize)].concat()
}

/// One function of type `() -> ()` with this body, locals included, `end` not.
fn function(body: &[u8]) -> Vec<u8> {
    let body = [body, &[0x0b]].concat();
    let code = [leb(1), leb(body.len() as u64), body].concat();
    module(&[(1, vec![1, 0x60, 0, 0]), (3, vec![1, 0]), (10, code)])
}

/// What compiling says, quickly.
fn error_of(wasm: &[u8]) -> String {
    let begun = Instant::now();
    let result = compile(wasm, MemoryLayout::Dense);
    assert!(begun.elapsed() < LONG, "took {:?}", begun.elapsed());
    result.map_or_else(|error| error.to_string(), |artifact| format!("compiled to {} bytes", artifact.len()))
}

#[track_caller]
fn refused(wasm: &[u8], says: &str) {
    let said = error_of(wasm);
    assert!(said.contains(says), "expected an error with {says:?}, got: {said}");
}

#[test]
fn too_many_functions() {
    let many = 1_000_001;
    refused(&module(&[(1, vec![1, 0x60, 0, 0]), (3, vector(many, &[0]))]), "functions");
    // A count that the bytes do not bear out.
    refused(&module(&[(1, vec![1, 0x60, 0, 0]), (3, leb(u32::MAX.into()))]), "offset");
}

#[test]
fn tables_too_large() {
    refused(b"(module (table 0xffffffff funcref))", "table");
    refused(b"(module (table i64 0xffffffffffffffff funcref))", "table");
    let many = format!("(module {})", "(table 9000000 funcref)".repeat(100));
    refused(many.as_bytes(), "table");
}

#[test]
fn memories_too_large() {
    refused(b"(module (memory i64 0x1000000000000))", "memory");
    refused(b"(module (memory i64 0x100000000))", "memory");
    assert!(error_of(b"(module (memory 65536))").starts_with("compiled"), "4 GiB is what a memory may have");
}

#[test]
fn deep_nesting() {
    // Blocks, loops and ifs, one inside the other. Generated code nests blocks deeply, a switch's arms; the time
    // that loops and ifs take grows with the square of their depth.
    for (opener, depth) in [(&[0x02, 0x40][..], 1_000_000), (&[0x03, 0x40], 5_000), (&[0x41, 1, 0x04, 0x40], 5_000)] {
        let body = [&[0][..], &opener.repeat(depth), &[0x0b].repeat(depth)].concat();
        let said = error_of(&function(&body));
        assert!(said.starts_with("compiled") || said.contains("supported"), "{said}");
    }
    let text = format!("(module (func {} {}))", "(block ".repeat(1_000_000), ")".repeat(1_000_000));
    assert!(error_of(text.as_bytes()).starts_with("compiled"));
}

#[test]
fn many_locals() {
    let locals = |count: u64| [leb(1), leb(count), vec![0x7f]].concat();
    assert!(error_of(&function(&locals(50_000))).starts_with("compiled"));
    refused(&function(&locals(50_001)), "locals");
    refused(&function(&locals(u32::MAX.into())), "locals");
}

#[test]
fn long_bodies() {
    // Ten thousand targets of one branch table; a stack of a hundred thousand values.
    let table = [&[0, 0x41, 0, 0x0e][..], &vector(10_000, &[0]), &[0]].concat();
    assert!(error_of(&function(&table)).starts_with("compiled"));
    let stack = [vec![0], [0x41, 1].repeat(100_000), [0x1a].repeat(100_000)].concat();
    assert!(error_of(&function(&stack)).starts_with("compiled"));
}

#[test]
fn wide_types() {
    refused(format!("(module (func (param {})))", "i32 ".repeat(1_001)).as_bytes(), "param");
    refused(format!("(module (type (func (result {}))))", "i64 ".repeat(1_001)).as_bytes(), "returns");
    let widest = format!("(module (func (param {})))", "i64 ".repeat(1_000));
    assert!(error_of(widest.as_bytes()).starts_with("compiled"));
}

#[test]
fn long_names() {
    let name = "n".repeat(200_000);
    refused(format!("(module (func (export \"{name}\")))").as_bytes(), "");
    refused(format!("(module (import \"{name}\" \"f\" (func)))").as_bytes(), "");
}
