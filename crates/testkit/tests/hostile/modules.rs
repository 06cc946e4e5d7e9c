//! Damaged modules: compiled into a sound artifact, or refused with a typed error.

use selvedge_compiler::{CompileError, Options, compile};
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_testkit::{layouts, options};

use crate::damage::damaged;
use crate::generate::{self, Random};

/// Damaged copies of each module.
const COPIES: usize = 120;
/// Generated modules, as good ones to start from.
const GENERATED: u64 = 24;
/// Generated modules larger than this are left out: what there is to damage is in small ones too.
const MODULE_BYTES_MAX: usize = 6 << 10;

const TEXTS: [&str; 4] = [
    r#"(module (import "env" "f" (func $f (param i32) (result i64))) (memory (export "memory") 1 3)
        (data (i32.const 8) "some bytes") (data "passive") (table 4 funcref) (elem (i32.const 1) $f $g)
        (func $g (export "g") (param i32) (result i64) (call_indirect (param i32) (result i64)
            (local.get 0) (i32.and (local.get 0) (i32.const 3)))))"#,
    r#"(module (global $n (mut i32) (i32.const 3)) (start $main) (func $main (loop $again
        (global.set $n (i32.sub (global.get $n) (i32.const 1))) (br_if $again (global.get $n))))
        (func (export "pick") (param i32) (result i32) (block (block (block
            (br_table 0 1 2 (local.get 0))) (return (i32.const 10))) (return (i32.const 20))) (i32.const 30)))"#,
    r#"(module (memory 1) (memory i64 2 4) (func (export "v") (param v128 i64) (result v128)
        (v128.store 1 (local.get 1) (f32x4.add (local.get 0) (v128.const f32x4 1 2 3 4)))
        (memory.copy 0 1 (i32.const 0) (local.get 1) (i32.const 16)) (i8x16.swizzle (local.get 0) (local.get 0))))"#,
    r#"(module (table $t 2 8 externref) (func $odd (param i64) (result i32) (if (result i32) (i64.eqz (local.get 0))
        (then (i32.const 0)) (else (return_call $even (i64.sub (local.get 0) (i64.const 1))))))
        (func $even (export "even") (param i64) (result i32) (if (result i32) (i64.eqz (local.get 0))
        (then (i32.const 1)) (else (return_call $odd (i64.sub (local.get 0) (i64.const 1))))))
        (func (export "x") (param externref) (table.set $t (i32.const 1) (local.get 0))))"#,
];

/// Good modules: those above and generated ones.
pub(crate) fn good_modules() -> Vec<Vec<u8>> {
    let texts =
        TEXTS.iter().map(|text| selvedge_compiler::to_binary(text.as_bytes()).expect("text above").into_owned());
    let generated = (1_000_000..).map(generate::module).filter(|wasm| wasm.len() <= MODULE_BYTES_MAX);
    texts.chain(generated.take(GENERATED as usize)).collect()
}

/// Compiles anything; what comes out must be sound, what is refused must be the input's fault.
pub(crate) fn compiles_soundly(input: &[u8], options: &Options) -> bool {
    match compile(input, options, &()) {
        Ok(artifact) => {
            let index = ArtifactIndex::read(&artifact).expect("what the compiler writes can be read");
            index.check_tables(&artifact).expect("what the compiler writes is consistent");
            true
        }
        Err(CompileError::Codegen { message, place }) => panic!("no code for a valid module{place}: {message}"),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

#[test]
fn damaged_modules_are_refused_or_compile_soundly() {
    let modules = good_modules();
    let (mut inputs, mut compiled) = (0, 0);
    for (number, good) in modules.iter().enumerate() {
        assert!(compiles_soundly(good, &options(layouts()[0])), "module {number} is good");
        let mut random = Random::new(number as u64);
        for copy in 0..COPIES {
            let other = &modules[random.below(modules.len() as u64) as usize];
            let bad = damaged(&mut random, good, other);
            let options = options(layouts()[copy % 2]);
            let outcome = std::panic::catch_unwind(|| compiles_soundly(&bad, &options));
            compiled += usize::from(outcome.unwrap_or_else(|_| panic!("module {number}, copy {copy}: {bad:02x?}")));
            inputs += 1;
        }
    }
    println!("{inputs} damaged modules, {compiled} of them valid");
    assert!(compiled > inputs / 20 && compiled < inputs, "{compiled} of {inputs} compiled");
}

#[test]
fn random_bytes_are_refused() {
    let mut random = Random::new(7);
    for round in 0..2_000 {
        let len = random.below(200) as usize;
        let noise = random.bytes(len);
        let header: &[u8] = if round % 2 == 0 { b"\0asm\x01\0\0\0" } else { b"" };
        let bytes = [header, &noise].concat();
        compiles_soundly(&bytes, &options(layouts()[0]));
    }
}

/// A good module cut off anywhere is never good, but for where a section ends.
#[test]
fn truncated_modules_are_refused_or_compile_soundly() {
    for good in good_modules().iter().take(TEXTS.len()) {
        (0..good.len()).for_each(|len| _ = compiles_soundly(&good[..len], &options(layouts()[0])));
    }
}
