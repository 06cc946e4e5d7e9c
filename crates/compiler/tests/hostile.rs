//! Whatever comes in, a module or an error comes out: no panic, no hang, no growth without bound.

use selvedge_compiler::{CompileError, Options, compile, to_binary};
use selvedge_contract::artifact::ArtifactIndex;

fn outcome(input: &[u8]) -> Result<Vec<u8>, CompileError> {
    compile(input, &Options { threads: Some(1), ..Options::default() }, &())
}

fn accepted(wat: &str) -> ArtifactIndex {
    let artifact = outcome(wat.as_bytes()).unwrap_or_else(|error| panic!("refused: {error}"));
    let index = ArtifactIndex::read(&artifact).expect("the artifact is consistent");
    index.check_tables(&artifact).expect("its tables are in order");
    index
}

fn refused(input: &[u8]) -> String {
    outcome(input).map(|_| ()).expect_err("it is refused").to_string()
}

const SAMPLE: &str = r#"(module
  (import "env" "f" (func (param i32) (result i64)))
  (memory 1 2) (table 3 funcref) (global (mut i32) (i32.const 1))
  (type $t (func (param i32) (result i32)))
  (func $f (export "f") (type $t)
    (block $out (result i32)
      (loop $in (br_if $in (i32.load8_u offset=3 (local.get 0))))
      (br_table $out $out (i32.const 1) (local.get 0))))
  (func (result i64) (drop (call_indirect (type $t) (i32.const 1) (i32.const 2))) (call 0 (i32.const 1)))
  (elem (i32.const 0) $f) (data (i32.const 4) "data"))"#;

#[test]
fn truncated_modules_are_refused() {
    let wasm = to_binary(SAMPLE.as_bytes()).unwrap();
    for len in 9..wasm.len() {
        // A module may end between two sections, if no later one is needed.
        if let Ok(artifact) = outcome(&wasm[..len]) {
            ArtifactIndex::read(&artifact).expect("the artifact is consistent");
        }
    }
    assert!(refused(&wasm[..wasm.len() - 1]).starts_with("not valid WebAssembly at offset "));
}

#[test]
fn mutated_modules_never_panic() {
    let wasm = to_binary(SAMPLE.as_bytes()).unwrap().into_owned();
    // xorshift64: the seed replays.
    let mut state: u64 = 0x5e1f_ed6e;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..3000 {
        let mut mutant = wasm.clone();
        for _ in 0..=random(3) {
            let at = 8 + random(mutant.len() - 8);
            match random(3) {
                0 => mutant[at] = random(256) as u8,
                1 => mutant[at] ^= 1 << random(8),
                _ => drop(mutant.remove(at)),
            }
        }
        if let Ok(artifact) = outcome(&mutant) {
            let index = ArtifactIndex::read(&artifact).expect("the artifact is consistent");
            index.check_tables(&artifact).expect("its tables are in order");
        }
    }
}

#[test]
fn other_proposals_are_refused_by_name() {
    let cases = [
        ("(module (type (struct)))", "gc"),
        ("(module (tag))", "exceptions"),
        ("(module (memory 1 1 shared))", "threads"),
        ("(module (func (param (ref func))))", "function-references"),
    ];
    for (wat, feature) in cases {
        let message = refused(wat.as_bytes());
        assert!(message.contains(feature) && message.contains("not supported"), "{wat}: {message}");
    }
}

#[test]
fn what_is_no_module_is_called_what_it_is() {
    let cases: [(&[u8], &str); 5] = [
        (b"(component)", "this is a component"),
        (b"\0asm\x0d\0\x01\0", "wasm32-wasip1"),
        (b"\x7fELF\x02\x01\x01\0", "begins with 7f 45 4c 46 (an ELF program or library)"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "compressed by gzip"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "begins with ff d8 ff e0, a module with 00 61 73 6d"),
    ];
    for (bytes, expected) in cases {
        let message = refused(bytes);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    let message = refused(b"(module\n  (func (i32.const)))");
    assert!(message.contains(":2:"), "line and column: {message}");
    let message = refused(b"(module (func $good) (func $bad (result i32) (i64.const 1)))");
    assert_eq!(
        message,
        "not valid WebAssembly at offset 0x21 in function 1 (bad): type mismatch: expected i32, found i64"
    );
    let small = Options { memory_max_bytes: Some(65536), table_entries_max: Some(3), ..Options::default() };
    let refused = |wat: &str| compile(wat.as_bytes(), &small, &()).unwrap_err().to_string();
    assert_eq!(
        refused("(module (memory 2))"),
        "memory 0 starts with 131072 bytes, more than the 65536 it may have; raise the memory maximum or shrink the \
         module's initial memory"
    );
    assert!(refused("(module (table 4 funcref))").starts_with("table 0 starts with 4 entries, more than the 3"));
}

#[test]
fn too_many_of_anything_is_refused() {
    let types = format!("(module {})", "(type (func (param i32)))".repeat(100_001));
    assert!(refused(types.as_bytes()).contains("the function types: 100001, more than the 100000"), "types");
    let memories = format!("(module {})", "(memory 0)".repeat(101));
    assert!(refused(memories.as_bytes()).contains("memor"), "memories");
    let locals = format!("(module (func (local {})))", "i64 ".repeat(50_001));
    assert!(refused(locals.as_bytes()).contains("too many locals"), "locals");
    let table = "(module (table 10_000_001 externref))";
    assert!(refused(table.as_bytes()).contains("more than the 10000000"), "table");
}

#[test]
fn deep_nesting_does_not_recurse() {
    let nested = |open: &str, depth: usize| {
        format!("(module (func (param i32) {} {}))", open.repeat(depth), "end ".repeat(depth))
    };
    accepted(&nested("block ", 50_000));
    for open in ["loop ", "local.get 0 if "] {
        accepted(&nested(open, 9_000));
        assert!(refused(nested(open, 50_000).as_bytes()).contains("open at once"), "{open}");
    }
}

#[test]
fn many_locals_and_blocks_cost_no_square() {
    let uses: String = (0..50_000).map(|i| format!("local.get {i} i32.const 1 i32.add local.set {i} ")).collect();
    accepted(&format!("(module (func (local {}) {uses}))", "i32 ".repeat(50_000)));
    let branches = "block local.get 0 br_if 0 end ".repeat(20_000);
    let gets: String = (0..50_000).map(|i| format!("local.get {i} drop ")).collect();
    accepted(&format!("(module (func (local {}) {branches} {gets}))", "i32 ".repeat(50_000)));
}

/// 200,000 `if`s took the register allocator three minutes: giants are allocated quickly, not well.
#[test]
fn giant_functions_are_compiled_in_linear_time() {
    let ifs = "local.get 0 if local.get 1 i32.const 1 i32.add local.set 1 end ".repeat(60_000);
    accepted(&format!("(module (func (param i32) (result i32) (local i32) {ifs} local.get 1))"));
}

#[test]
fn huge_jump_tables_are_compiled() {
    let targets = "0 1 ".repeat(100_000);
    accepted(&format!("(module (func (param i32) block block local.get 0 br_table {targets} end end))"));
}

#[test]
fn huge_memories_take_no_room_in_the_artifact() {
    let wat = "(module (memory 65536) (data (i32.const 0xfffffffc) \"abcd\") (data (i32.const 0) \"x\"))";
    let artifact = outcome(wat.as_bytes()).unwrap();
    assert!(artifact.len() < 64 << 10, "{} bytes", artifact.len());
    let index = ArtifactIndex::read(&artifact).unwrap();
    assert_eq!(index.contract.image.iter().map(|run| run.pages).sum::<u64>(), 2);
}

#[test]
fn wide_signatures_are_compiled() {
    let wide = "i64 f64 v128 ".repeat(300);
    let gets: String = (0..900).map(|i| format!("local.get {i} ")).collect();
    accepted(&format!(
        "(module (type $t (func (param {wide}) (result {wide})))
           (import \"a\" \"b\" (func $import (type $t))) (table 1 funcref)
           (func (type $t) {gets} call $import)
           (func (type $t) {gets} return_call $import)
           (func (type $t) {gets} i32.const 0 call_indirect (type $t)))"
    ));
}
