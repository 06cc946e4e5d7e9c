//! Machine code that was tampered with and is proved nevertheless may do nonsense, trap or loop, and nothing else.
//!
//! Bits and pieces of real artifacts are changed; what the verifier still proves is run in a child process, in the
//! middle of three slots whose outer ones hold a secret. A fault that the runtime cannot explain ends the child. What
//! is checked: the neighbours and the host keep all their bytes; the guest has seen no secret and no address.
//!
//! `SELVEDGE_TAMPERED` is how many proved mutants are run of each layout (1,500 or what ten seconds are enough
//! for), `SELVEDGE_TAMPERED_SEED` the first one's seed: a failure names the seed that replays it.

mod common;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::Random;
use selvedge_compiler::{Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::types::ValType;
use selvedge_runtime::{
    Caller, Func, Instance, Item, Limits, Linker, Module, Pool, PoolLimits, Store, TimeLimits, Val,
};

/// What neighbours hold: its bytes at any place are no other number.
const SECRET: u64 = 0x5ec2_e75e_c2e7_5ec3;

const GUEST: &str = r#"(module
    (type $unary (func (param i32) (result i32)))
    (import "host" "call" (func $host (param i32 i64) (result i64)))
    (memory (export "memory") 1 4)
    (table $table (export "table") 4 8 funcref)
    (elem (i32.const 1) $leaf $twice)
    (global $mutable (export "global") (mut i64) (i64.const 1))
    (global $vector (mut v128) (v128.const i64x2 1 2))
    (func $leaf (export "leaf") (type $unary) (i32.add (local.get 0) (i32.const 1)))
    (func $twice (type $unary) (i32.mul (call $leaf (local.get 0)) (i32.const 2)))
    (func (export "load") (type $unary) (i32.load offset=4 (local.get 0)))
    (func (export "load far") (type $unary) (i32.load offset=0x8000000 (local.get 0)))
    (func (export "load bytes") (param i32) (result i64)
        (i64.add (i64.load8_s offset=3 (local.get 0)) (i64.load32_u (i32.shl (local.get 0) (i32.const 3)))))
    (func (export "store") (param i32 i64) (i64.store offset=8 (local.get 0) (local.get 1)))
    (func (export "store narrow") (param i32 i64)
        (i64.store8 (local.get 0) (local.get 1)) (i64.store16 offset=300 (local.get 0) (local.get 1)))
    (func (export "wide") (param i32) (v128.store offset=16 (local.get 0)
        (i8x16.swizzle (v128.load (local.get 0)) (global.get $vector))))
    (func (export "globals") (param i64) (result i64)
        (global.set $vector (i64x2.splat (local.get 0)))
        (global.set $mutable (i64.add (global.get $mutable) (local.get 0)))
        (global.get $mutable))
    (func (export "indirect") (type $unary) (call_indirect $table (type $unary) (local.get 0) (local.get 0)))
    (func (export "tail") (type $unary)
        (return_call_indirect $table (type $unary) (local.get 0) (i32.and (local.get 0) (i32.const 3))))
    (func (export "host") (param i32) (result i64) (call $host (local.get 0) (i64.const 77)))
    (func (export "tables") (param i32) (result i32)
        (table.set $table (i32.and (local.get 0) (i32.const 3)) (ref.func $leaf))
        (i32.add (table.size $table) (ref.is_null (table.get $table (local.get 0)))))
    (func (export "grow") (param i32) (result i32)
        (drop (memory.grow (i32.and (local.get 0) (i32.const 1)))) (memory.size))
    (func (export "fill") (param i32) (memory.fill (local.get 0) (i32.const 7) (i32.const 100)))
    (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func (export "switch") (type $unary)
        (block (block (block (block (br_table 0 1 2 3 (local.get 0)))
            (return (i32.const 7))) (return (i32.const 8))) (return (i32.const 9))) (i32.const 10))
    (func $many (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
        i64.const 1 i64.const 2 i64.const 3 i64.const 4 i64.const 5
        i64.const 6 i64.const 7 i64.const 8 i64.const 9 i64.const 10)
    (func (export "many") (result i64) call $many drop drop drop drop drop drop drop drop drop)
    (func $eight (export "eight") (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
        (i64.xor (local.get 7) (i64.sub (local.get 6) (local.get 0))))
    (func (export "spills") (param i32) (result i64) (local $a i64) (local $b i64) (local $c i64) (local $d i64)
        (local.set $a (i64.load (local.get 0))) (local.set $b (i64.load offset=8 (local.get 0)))
        (local.set $c (i64.mul (local.get $a) (local.get $b))) (local.set $d (i64.rotl (local.get $a) (i64.const 7)))
        (i64.add (call $eight (local.get $a) (local.get $b) (local.get $c) (local.get $d)
            (i64.const 1) (local.get $d) (local.get $c) (local.get $b))
            (i64.add (local.get $a) (i64.add (local.get $c) (local.get $d)))))
    (func $deep (export "deep") (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
            (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
    (func (export "sum") (param i32) (result i64) (local $sum i64)
        (loop $next
            (local.set $sum (i64.add (local.get $sum)
                (i64.load (i32.and (i32.mul (local.get 0) (i32.const 8)) (i32.const 0xfff8)))))
            (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $sum))
    (func (export "floats") (param f64 i32) (result f64)
        (f64.add (f64.sqrt (local.get 0)) (f64.convert_i32_u (i32.trunc_sat_f64_s (f64.load (local.get 1))))))
)"#;

/// Tells the child what to do: the layout, the first seed, how many.
const CHILD: &str = "SELVEDGE_TAMPERED_CHILD";

/// A bug would write over it, or not.
static CANARY: AtomicU64 = AtomicU64::new(SECRET);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|n| n.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn run_child(layout: MemoryLayout) {
    let count = number("SELVEDGE_TAMPERED");
    let seed = number("SELVEDGE_TAMPERED_SEED").unwrap_or(1);
    let plan = format!("{layout:?} {seed} {}", count.unwrap_or(0));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["what_is_proved_harms_nobody", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, plan)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rev().find(|line| line.starts_with("seed ")).unwrap_or("no mutant was run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{layout:?}: {}, after `{last}`: {errors}", output.status);
    let run = said.lines().filter(|line| line.starts_with("seed ")).count();
    println!("{layout:?}: {run} mutants were proved and run");
    assert!(run > 100 || count.is_some_and(|count| count < 100), "{layout:?}: only {run} mutants were run");
}

#[test]
fn what_is_proved_harms_nobody() {
    let Ok(plan) = std::env::var(CHILD) else {
        return [MemoryLayout::Guarded, MemoryLayout::Dense].into_iter().for_each(run_child);
    };
    let mut words = plan.split(' ');
    let layout = if words.next() == Some("Dense") { MemoryLayout::Dense } else { MemoryLayout::Guarded };
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let (seed, count) = (number(), number());
    let (count, patience) = if count > 0 { (count, Duration::MAX) } else { (1_500, Duration::from_secs(10)) };
    let surroundings = Surroundings::new(layout);
    let begun = Instant::now();
    let run = (seed..).map(|seed| u64::from(surroundings.tamper(seed)));
    let mut done = 0;
    for one in run.take_while(|_| begun.elapsed() < patience) {
        done += one;
        if done >= count {
            break;
        }
    }
}

/// What stands around a mutant, and must not change.
struct Surroundings {
    artifact: Vec<u8>,
    index: ArtifactIndex,
    linker: Linker<()>,
    pool: Pool,
    neighbours: Vec<(Store<()>, Instance)>,
}

impl Surroundings {
    fn new(memory: MemoryLayout) -> Surroundings {
        let artifact = compile(GUEST.as_bytes(), &Options { memory, ..Options::default() }, &()).unwrap();
        let index = ArtifactIndex::read(&artifact).unwrap();
        let mut linker = Linker::<()>::new();
        linker.func_wrap("host", "call", |_: Caller<'_, ()>, a: i32, b: i64| -> i64 {
            assert_no_secret("a parameter of the host's function", b as u64);
            i64::from(a).wrapping_add(b)
        });
        let module = Module::load_untrusted(&artifact, NonZeroUsize::MIN).unwrap();
        let pre = linker.prepare(&module).unwrap();
        let time = TimeLimits { cpu: Some(Duration::from_millis(2)), ..TimeLimits::default() };
        let store = Limits { stack_bytes: 64 << 10, time, ..Limits::default() };
        let pool = Pool::new(PoolLimits { store, ..PoolLimits::fitting(3, &module) }).unwrap();
        let mut all: Vec<_> = (0..3).map(|_| pool.instantiate(&pre, ()).unwrap()).collect();
        // The one in the middle is the mutants' slot.
        all.sort_by_key(|(store, instance)| memory_of(store, *instance).as_ptr() as usize);
        drop(all.remove(1));
        for (store, instance) in &mut all {
            let memory = instance.get_memory(&*store, "memory").unwrap();
            memory.data_mut(store).as_chunks_mut::<8>().0.fill(SECRET.to_le_bytes());
            let globals = instance.typed_func::<i64, i64>(&*store, "globals").unwrap();
            globals.call(store, SECRET as i64 - 1).unwrap();
        }
        Surroundings { artifact, index, linker, pool, neighbours: all }
    }

    /// Changes the code, and runs it if it is proved.
    fn tamper(&self, seed: u64) -> bool {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| _ = random.next());
        let mut bytes = self.artifact.clone();
        for _ in 0..1 + random.below(2) {
            self.change(&mut bytes, &mut random);
        }
        let Ok(module) = Module::load_untrusted(&bytes, NonZeroUsize::MIN) else { return false };
        if bytes == self.artifact {
            return false;
        }
        println!("seed {seed}");
        self.run(&module, &mut random);
        true
    }

    /// Changes some bytes of a function: a bit, a byte, or an instruction's worth that stands elsewhere.
    fn change(&self, bytes: &mut [u8], random: &mut Random) {
        let records = self.index.functions(&self.artifact);
        let nth = random.below(records.len() as u64) as usize;
        let record = records.iter().nth(nth).unwrap();
        let text = self.index.text().start;
        let start = text + record.text_offset as usize;
        let at = start + random.below(record.text_len.into()) as usize;
        match random.below(4) {
            0 => bytes[at] = random.next() as u8,
            1 => {
                let from = start + random.below(record.text_len.into()) as usize;
                let end = text + record.text_end() as usize;
                let len = (1 + random.below(8) as usize).min(end - at).min(end - from);
                bytes.copy_within(from..from + len, at);
            }
            _ => bytes[at] ^= 1 << random.below(8),
        }
    }

    fn run(&self, module: &Module, random: &mut Random) {
        let Ok(pre) = self.linker.prepare(module) else { return };
        let (mut store, instance) = self.pool.instantiate(&pre, ()).expect("the middle slot is free");
        // With those of this mutant's code.
        let mappings = mappings();
        let names: Vec<String> = instance.exports(&store).map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let Some(Item::Func(function)) = instance.get_export(&store, &name) else { continue };
            for _ in 0..2 {
                let parameters = parameters(&function, &store, random);
                // However it ends; what it returns must be its own. After its time is over nothing runs any more.
                for value in function.call(&mut store, &parameters).into_iter().flatten() {
                    look_at(&mappings, &name, value);
                }
            }
        }
        for word in memory_of(&store, instance).as_chunks::<8>().0 {
            look(&mappings, "memory", u64::from_le_bytes(*word));
        }
        if let Some(value) = instance.get_global(&store, "global").map(|global| global.get(&store)) {
            look_at(&mappings, "the global", value);
        }
        self.check();
    }

    /// Neighbours and host are as they were.
    fn check(&self) {
        assert_eq!(CANARY.load(Ordering::Relaxed), SECRET);
        for (store, instance) in &self.neighbours {
            let words = memory_of(store, *instance).as_chunks::<8>().0;
            assert!(words.iter().all(|word| *word == SECRET.to_le_bytes()), "a neighbour's memory was changed");
            let global = instance.get_global(store, "global").unwrap().get(store);
            assert_eq!(global, Val::I64(SECRET as i64), "a neighbour's global was changed");
        }
    }
}

fn look_at(mappings: &[Range<u64>], what: &str, value: Val) {
    match value {
        Val::I64(value) => look(mappings, what, value as u64),
        Val::F64(value) => look(mappings, what, value),
        Val::V128(value) => {
            [value as u64, (value >> 64) as u64].into_iter().for_each(|half| look(mappings, what, half))
        }
        _ => {}
    }
}

/// A number that a guest has is no secret and no address.
fn look(mappings: &[Range<u64>], what: &str, value: u64) {
    assert_no_secret(what, value);
    let address = value >= 1 << 32 && mappings.iter().any(|mapping| mapping.contains(&value));
    assert!(!address, "{what} holds an address of the process: {value:#x}");
}

fn assert_no_secret(what: &str, value: u64) {
    let secret = (0..8).any(|bytes| value == SECRET.rotate_left(8 * bytes));
    assert!(!secret, "{what} holds a neighbour's secret");
}

fn memory_of(store: &Store<()>, instance: Instance) -> &[u8] {
    instance.get_memory(store, "memory").expect("it is exported").data(store)
}

/// Parameters at the edges of what there is.
fn parameters(function: &Func, store: &Store<()>, random: &mut Random) -> Vec<Val> {
    const EDGES: [u64; 10] = [0, 1, 2, 3, 65_528, 65_536, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff_ffff_ffff];
    let ty = function.ty(store).expect("it is this store's");
    let mut number = || match random.below(3) {
        0 => random.next(),
        1 => random.below(70_000),
        _ => EDGES[random.below(EDGES.len() as u64) as usize],
    };
    let value = |ty: &ValType| match ty {
        ValType::I32 => Val::I32(number() as i32),
        ValType::I64 => Val::I64(number() as i64 >> 20),
        ValType::F32 => Val::F32(number() as u32),
        ValType::F64 => Val::F64(number()),
        other => Val::default_of(*other),
    };
    ty.params.iter().map(value).collect()
}

/// What is mapped and accessible. Without the guards: they are so large that the bits of a NaN, two bytes off, are
/// within them in one run of forty.
fn mappings() -> Vec<Range<u64>> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux says what is mapped");
    let range = |line: &str| {
        let mut words = line.split(' ');
        let (start, end) = words.next()?.split_once('-')?;
        words.next().filter(|access| !access.starts_with("---"))?;
        Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
    };
    let mappings: Vec<_> = maps.lines().filter_map(range).collect();
    let code = what_is_proved_harms_nobody as *const () as u64;
    assert!(mappings.iter().any(|mapping| mapping.contains(&code)), "the test's own code is mapped");
    mappings
}
