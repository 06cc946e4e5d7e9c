//! Hostile bytes as modules and as artifacts: a corpus of thousands, the same at every run. Each must end in
//! an error of its type, or be accepted; nothing panics, nothing takes long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use selvedge_compiler::CompileError;
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_testkit::{compile, loads, options};

/// Inputs per module and way of damaging it.
const ROUNDS: u64 = 120;
/// What even a slow machine needs for a few hundred bytes.
const LONG: Duration = Duration::from_secs(20);

/// Modules that between them have every section and most kinds of instruction.
const MODULES: [&str; 5] = [
    r#"(module
        (import "host" "f" (func $f (param i32) (result i64)))
        (import "host" "m" (memory 1 2))
        (import "host" "g" (global $g i32))
        (type $t (func (param i32) (result i64)))
        (table $t0 4 8 funcref)
        (table 2 externref)
        (elem (i32.const 1) $f $h)
        (elem $passive funcref (ref.func $h) (ref.null func))
        (global $m (mut i64) (i64.const -1))
        (data (i32.const 100) "some bytes") (data $d "passive")
        (func $h (export "h") (type $t)
            (memory.init $d (i32.const 0) (i32.const 0) (i32.const 7))
            (table.init $t0 $passive (i32.const 0) (i32.const 0) (i32.const 2))
            (call_indirect (type $t) (local.get 0) (i32.const 1))
            (global.set $m) (global.get $m)
            (i64.add (call $f (global.get $g))))
        (start $s) (func $s)
        (export "table" (table 0)) (export "memory" (memory 0)))"#,
    r#"(module
        (memory (export "m") 1 4) (memory $n i64 1)
        (func (export "loop") (param i32) (result f64) (local f64 i64)
            (block $out (loop $again
                (br_if $out (i32.eqz (local.get 0)))
                (local.set 1 (f64.add (local.get 1) (f64.load offset=8 (local.get 0))))
                (i64.store $n (i64.extend_i32_u (local.get 0)) (i64.trunc_sat_f64_s (local.get 1)))
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (br $again)))
            (drop (memory.grow (i32.const 1)))
            (local.get 1)))"#,
    r#"(module
        (func $even (export "even") (param i64) (result i32)
            (if (result i32) (i64.eqz (local.get 0)) (then (i32.const 1))
                (else (return_call $odd (i64.sub (local.get 0) (i64.const 1))))))
        (func $odd (param i64) (result i32)
            (if (result i32) (i64.eqz (local.get 0)) (then (i32.const 0))
                (else (return_call $even (i64.sub (local.get 0) (i64.const 1))))))
        (func (export "many") (param i32) (result i32 i64 f32)
            (block (block (block (br_table 0 1 2 (local.get 0)))))
            (i32.div_s (i32.const 1) (local.get 0)) (i64.const 7) (f32.const nan:0x12345)))"#,
    r#"(module
        (memory 1)
        (func (export "simd") (param i32) (result v128)
            (i8x16.shuffle 0 17 2 19 4 21 6 23 8 25 10 27 12 29 14 31
                (v128.load (local.get 0)) (i32x4.add (v128.const i32x4 1 2 3 4) (f32x4.convert_i32x4_s (v128.load32_splat (local.get 0)))))
            (i8x16.relaxed_swizzle (v128.const i64x2 3 4))))"#,
    r#"(module $named
        (func $first (param $x i32) (result i32) (local $y i32) (select (local.get $x) (local.get $y) (i32.const 0)))
        (func (export "") (result externref funcref) (ref.null extern) (ref.func $first))
        (elem declare func $first)
        (@custom "extra" "\00\01\02"))"#,
];

#[test]
fn damaged_modules_are_refused_or_compiled() {
    let mut outcomes = [0; 2];
    for (module, text) in MODULES.iter().enumerate() {
        let wasm = selvedge_compiler::to_binary(text.as_bytes()).expect("the module is text").into_owned();
        let whole = damaged(&wasm, module as u64);
        for (case, bytes) in whole {
            let layout = if case % 2 == 0 { MemoryLayout::Guarded } else { MemoryLayout::Dense };
            let result = timed(module, case, &bytes, || selvedge_compiler::compile(&bytes, &options(layout), &()));
            if let Err(error @ CompileError::Codegen { .. }) = &result {
                panic!("module {module}, case {case}: {error}\n{bytes:02x?}");
            }
            outcomes[usize::from(result.is_ok())] += 1;
            if let Ok(artifact) = result {
                loads(&artifact).unwrap_or_else(|error| panic!("module {module}, case {case} does not load: {error}"));
            }
        }
    }
    let [refused, compiled] = outcomes;
    assert!(refused > 2_000 && compiled > 50, "the corpus has lost its bite: {refused} refused, {compiled} compiled");
}

#[test]
fn damaged_artifacts_are_refused_or_consistent() {
    let (mut refused, mut accepted) = (0, 0);
    for (module, text) in MODULES.iter().enumerate() {
        let artifact = compile(text, MemoryLayout::Dense).expect("the module compiles");
        for (case, bytes) in damaged(&artifact, module as u64) {
            let read = timed(module, case, &bytes, || ArtifactIndex::read(&bytes));
            let checked = read.and_then(|index| index.check_tables(&bytes));
            // Loading makes every check again, and maps what it accepts.
            let loaded = timed(module, case, &bytes, || loads(&bytes));
            assert!(loaded.is_err() || checked.is_ok() || ArtifactIndex::read(&bytes).is_ok(), "case {case}");
            if checked.is_ok() { accepted += 1 } else { refused += 1 }
        }
    }
    assert!(refused > 1_000 && accepted > 50, "the corpus has lost its bite: {refused} refused, {accepted} accepted");
}

#[test]
fn random_bytes_are_neither() {
    let mut random = Random(0x5e1f_ed6e);
    for case in 0..1_000 {
        let mut bytes: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
        let start: &[u8] = match case % 4 {
            0 => b"",
            1 => b"\0asm\x01\0\0\0",
            2 => b"\x7fELF\x02\x01\x01\0",
            _ => b"(module ",
        };
        bytes.splice(0..0, start.iter().copied());
        let compiled = timed(0, case, &bytes, || compile(&bytes, MemoryLayout::Guarded));
        assert!(compiled.is_err() || bytes.len() < 20, "case {case} compiles: {bytes:02x?}");
        assert!(timed(0, case, &bytes, || loads(&bytes)).is_err(), "case {case} loads: {bytes:02x?}");
    }
}

/// Every beginning of the bytes (of long ones some), and many other ways of damaging them.
fn damaged(bytes: &[u8], seed: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (seed + 1));
    let step = bytes.len().div_ceil(200);
    let cut = (0..bytes.len()).step_by(step).map(|end| bytes[..end].to_vec());
    let other = (0..ROUNDS * 5).map(move |round| damage(bytes, round % 5, &mut random));
    (0..).zip(cut.chain(other))
}

fn damage(bytes: &[u8], way: u64, random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64) as usize;
        let len = random.below(8) as usize + 1;
        let end = (at + len).min(bytes.len());
        match way {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random.next() as u8][random.below(6) as usize],
            2 => bytes[at..end].fill(0xff),
            3 => drop(bytes.drain(at..end)),
            _ => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() as u64) as usize;
                bytes.splice(to..to, piece);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Runs something that must neither panic nor take long.
fn timed<T>(module: usize, case: u64, bytes: &[u8], run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let took = begun.elapsed();
    assert!(took < LONG, "module {module}, case {case} took {took:?}: {bytes:02x?}");
    outcome.unwrap_or_else(|_| panic!("module {module}, case {case} panicked: {bytes:02x?}"))
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
