//! Random lives and endings of pooled instances: whatever the last one did, the next behaves as one in a new store.
//! `SELVEDGE_ENDINGS` says how many lives a shape of module gets.

mod common;

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use common::{Random, load_with};
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{
    Caller, HostError, Instance, InstancePre, Item, Limits, Linker, Module, Outcome, Pool, PoolLimits, Recycling,
    Store, TimeLimits, Val, Wait,
};

/// What every module has: globals, tables, segments, ways to end.
const COMMON: &str = r#"
    (import "host" "fail" (func $fail))
    (import "host" "panic" (func $panic))
    (import "host" "exit" (func $exit))
    (import "host" "wait" (func $wait))
    (table $funcs (export "t0") 4 64 funcref)
    (table $objects (export "t1") 2 40 externref)
    (elem (table $funcs) (i32.const 1) func $one $two)
    (elem $passive func $two $one $two)
    (global (export "g0") (mut i32) (i32.const 3))
    (global $wide (export "g1") (mut v128) (v128.const i64x2 5 6))
    (global $f (export "g2") (mut funcref) (ref.null func))
    (global $o (export "g3") (mut externref) (ref.null extern))
    (global $n (export "g4") (mut f64) (f64.const 1.5))
    (func $one (export "one") (result i32) (i32.const 1))
    (func $two (export "two") (result i32) (i32.const 2))
    (func (export "set") (param i32 i32)
        (global.set 0 (local.get 0))
        (global.set $wide (i32x4.splat (local.get 1)))
        (global.set $n (f64.convert_i32_u (local.get 1)))
        (global.set $f (ref.func $two)))
    (func (export "set_table") (param i32 i32) (table.set $funcs (local.get 0) (ref.func $two)))
    (func (export "clear_table") (param i32 i32) (table.set $funcs (local.get 0) (ref.null func)))
    (func (export "grow_table") (param i32 i32) (drop (table.grow $funcs (ref.func $one) (local.get 0))))
    (func (export "fill_table") (param i32 i32) (table.fill $funcs (local.get 0) (ref.func $one) (local.get 1)))
    (func (export "copy_table") (param i32 i32) (table.copy $funcs $funcs (local.get 0) (local.get 1) (i32.const 2)))
    (func (export "init_table") (param i32 i32) (table.init $funcs $passive (local.get 0) (i32.const 0) (i32.const 3)))
    (func (export "drop_elem") (param i32 i32) (elem.drop $passive))
    (func (export "grow_objects") (param i32 i32) (drop (table.grow $objects (global.get $o) (local.get 0))))
    (func (export "indirect") (param i32 i32) (global.set 0 (call_indirect $funcs (result i32) (local.get 0))))
    (func $deep (param i32 i32)
        (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))))
    (func (export "deep") (param i32 i32) (call $deep (i32.mul (local.get 0) (local.get 0)) (local.get 1)))
    (func (export "overflow") (param i32 i32) (call $deep (i32.const -1) (local.get 1)))
    (func (export "fail") (param i32 i32) (call $fail))
    (func (export "panic") (param i32 i32) (call $panic))
    (func (export "exit") (param i32 i32) (call $exit))
    (func (export "wait") (param i32 i32) (call $wait))
    (func (export "spin") (param i32 i32) (loop (call $deep (i32.const 40) (local.get 1)) (br 0)))
    (func (export "unreachable") (param i32 i32) (unreachable))
    (func (export "divide") (param i32 i32) (global.set 0 (i32.div_s (local.get 0) (i32.const 0))))"#;

/// What a module has for a memory, in text with its name, its number, the type of its addresses and how to get one.
fn memory_functions(number: usize, wide: bool) -> String {
    let address = |local: &str| if wide { format!("(i64.extend_i32_u {local})") } else { local.to_string() };
    let (a, n) = (address("(local.get 0)"), number);
    let (size, zero) = (address("(i32.and (local.get 1) (i32.const 65535))"), address("(i32.const 0)"));
    let delta = address("(i32.and (local.get 1) (i32.const 3))");
    format!(
        r#"
    (func (export "store{n}") (param i32 i32) (i32.store {n} {a} (local.get 1)))
    (func (export "load{n}") (param i32 i32) (global.set 0 (i32.load8_u {n} {a})))
    (func (export "fill{n}") (param i32 i32) (memory.fill {n} {a} (local.get 1) {size}))
    (func (export "copy{n}") (param i32 i32) (memory.copy {n} {n} {zero} {a} {size}))
    (func (export "init{n}") (param i32 i32) (memory.init {n} $bytes {a} (i32.const 0) (i32.const 5)))
    (func (export "grow{n}") (param i32 i32) (drop (memory.grow {n} {delta})))"#
    )
}

/// Modules of different shapes: the text of each, with its memories.
fn shapes() -> Vec<String> {
    let bytes = "(data $bytes \"bytes\") (func (export \"drop_data\") (param i32 i32) (data.drop $bytes))";
    let image = "(data (memory 0) (i32.const 65534) \"an image on two pages\")";
    let plain = format!("(memory (export \"m0\") 2 6) {image} {bytes} {}", memory_functions(0, false));
    let small = format!(
        "(memory (export \"m0\") 1 1) (data (i32.const 65530) \"edge\") {bytes} {}",
        memory_functions(0, false)
    );
    let empty = format!("(memory (export \"m0\") 0 5) {bytes} {}", memory_functions(0, false));
    let wide = format!(
        "(memory (export \"m0\") i64 1 5) (data (i64.const 100) \"wide\") {bytes} {}",
        memory_functions(0, true)
    );
    let several = format!(
        "(memory (export \"m0\") 1 4) (memory (export \"m1\") 2 5) (memory (export \"m2\") i64 0 3)
        {} (data (memory 1) (i32.const 4000) \"other image on two pages\" ) {bytes} {}",
        "(data (memory 0) (i32.const 1) \"x\")",
        (0..3).map(|n| memory_functions(n, n == 2)).collect::<String>()
    );
    let start = format!(
        "{plain} (func $start (i32.store (i32.const 9000) (i32.const 9)) (call $deep (i32.const 300) (i32.const 1))) (start $start)"
    );
    let late = format!("{plain} (data (i32.add (i32.const 70000) (i32.const 7777)) \"late\")");
    // More runs of an image than are copied into a small slot.
    let runs: String = (0..7).map(|n| format!("(data (memory 0) (i32.const {}) \"run {n}\")", n * 20_000)).collect();
    let scattered = format!("{plain} {runs}");
    let mut shapes = vec![String::new(), plain, small, empty, wide, several, start, late, scattered];
    shapes.iter_mut().for_each(|shape| *shape = format!("(module {COMMON} {shape})"));
    shapes
}

/// Often small, often near a page's edge.
fn number(random: &mut Random) -> i32 {
    match random.below(5) {
        0 => random.below(6) as i32,
        1 => random.below(70) as i32,
        2 => (random.below(7) << 16) as i32 - random.below(6) as i32,
        3 => random.below(400_000) as i32,
        _ => random.next() as i32,
    }
}

fn linker() -> Linker<u32> {
    let mut linker = Linker::<u32>::new();
    linker.func_wrap("host", "fail", |_: Caller<'_, u32>| Err::<(), _>(HostError::message("no")));
    linker.func_wrap("host", "panic", |_: Caller<'_, u32>| -> () { std::panic::resume_unwind(Box::new("no")) });
    linker.func_wrap("host", "exit", |_: Caller<'_, u32>| Err::<(), _>(HostError::exit(3)));
    linker.func_wrap_async("host", "wait", |_: Caller<'_, u32>, ()| {
        Ok(Outcome::Wait(Wait::new(std::future::pending::<()>(), |_, ()| Ok(Outcome::Ready(())))))
    });
    linker
}

/// The names of a kind of export.
fn names(store: &Store<u32>, instance: Instance, kind: fn(&Item) -> bool) -> Vec<String> {
    let mut names: Vec<_> =
        instance.exports(store).filter(|(_, item)| kind(item)).map(|(name, _)| name.to_string()).collect();
    names.sort();
    names
}

/// One function of the guest's is called; how that ended.
fn call(store: &mut Store<u32>, instance: Instance, random: &mut Random, functions: &[String]) -> String {
    let name = &functions[random.below(functions.len() as u64) as usize];
    let params = [Val::I32(number(random)), Val::I32(number(random))];
    let function = instance.get_func(&*store, name).unwrap();
    if name == "wait" || name == "spin" {
        // One waits in a host call, the other is stopped at some instruction.
        store.set_time_limits(TimeLimits { slice: Some(Duration::ZERO), ..TimeLimits::NONE }).unwrap();
        let polled = {
            let mut call = Box::pin(function.call_async(store, &params));
            let pending = call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
            if random.below(2) == 0 {
                std::mem::forget(call);
            }
            pending
        };
        store.set_time_limits(TimeLimits::NONE).unwrap();
        return format!("{name} {polled}");
    }
    match function.call(store, &params) {
        Ok(_) => format!("{name} {params:?}"),
        Err(error) => format!("{name} {params:?}: {error}"),
    }
}

/// One thing that the host does to an instance.
fn touch(store: &mut Store<u32>, instance: Instance, random: &mut Random) -> String {
    let memory = |store: &Store<u32>, n: usize| instance.get_memory(store, &format!("m{n}"));
    let (m, number) = (memory(store, random.below(3) as usize), number(random));
    match (random.below(8), m) {
        (0, Some(memory)) => {
            let bytes = memory.data_mut(store);
            let len = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(number as u32 as usize % len) {
                *byte ^= 0x5a;
            }
            "wrote".into()
        }
        (1, Some(memory)) => format!("grown {:?}", memory.grow(store, number as u64 % 4)),
        (2, Some(memory)) => {
            // By a thread that has never run a guest, page by page, while all may still be cold.
            let bytes = memory.data(store);
            let sum = || bytes.iter().step_by(1000).fold(0u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
            let sums = std::thread::scope(|scope| [scope.spawn(sum), scope.spawn(sum)].map(|t| t.join().unwrap()));
            format!("read {sums:?}")
        }
        (3, _) => {
            let global = instance.get_global(&*store, "g0").unwrap();
            format!("{:?}", global.set(store, Val::I32(number)))
        }
        (4, _) => {
            let object = store.insert_extern(number).unwrap();
            let set = instance.get_global(&*store, "g3").unwrap().set(store, Val::ExternRef(Some(object)));
            let table = instance.get_table(&*store, "t1").unwrap();
            format!("{set:?} {:?}", table.set(store, number as u64 % 3, Val::ExternRef(Some(object))))
        }
        (5, _) => {
            let function = instance.get_func(&*store, "two");
            let table = instance.get_table(&*store, "t0").unwrap();
            let set = table.set(store, number as u64 % 6, Val::FuncRef(function));
            format!("{set:?} {:?}", table.grow(store, number as u64 % 4, Val::FuncRef(None)))
        }
        (6, _) => format!("{}", store.interrupt_handle().interrupt()),
        _ => format!("{}", store.memory_bytes()),
    }
}

/// Bytes of memories; everything else.
type Snapshot = (Vec<Vec<u8>>, Vec<String>);

/// Everything that can be seen of an instance without running it.
fn snapshot(store: &Store<u32>, instance: Instance) -> Snapshot {
    let memories = names(store, instance, |item| matches!(item, Item::Memory(_)));
    let bytes = memories.iter().map(|name| instance.get_memory(store, name).unwrap().data(store).to_vec()).collect();
    let plain = |value: Val| match value {
        Val::FuncRef(function) => format!("function {}", function.is_some()),
        Val::ExternRef(object) => {
            let object =
                object.map(|object| store.extern_object(object).and_then(|o| o.downcast_ref::<i32>().copied()));
            format!("object {object:?}")
        }
        value => format!("{value:?}"),
    };
    let mut seen = vec![format!("{}", store.memory_bytes())];
    for name in names(store, instance, |item| matches!(item, Item::Global(_))) {
        seen.push(plain(instance.get_global(store, &name).unwrap().get(store)));
    }
    for name in names(store, instance, |item| matches!(item, Item::Table(_))) {
        let table = instance.get_table(store, &name).unwrap();
        seen.extend((0..table.size(store)).map(|index| plain(table.get(store, index).unwrap())));
    }
    (bytes, seen)
}

/// One life, up to its end; what was seen on the way. The same seed does the same.
fn live(store: &mut Store<u32>, instance: Instance, seed: u64) -> Vec<(String, Snapshot)> {
    let mut random = Random(seed);
    let is_action = |name: &String| name != "one" && name != "two";
    let functions: Vec<_> =
        names(store, instance, |item| matches!(item, Item::Func(_))).into_iter().filter(is_action).collect();
    let mut seen = Vec::new();
    // Not each life begins with a look at everything: that opens all pages.
    if random.below(3) == 0 {
        seen.push(("new".to_string(), snapshot(store, instance)));
    }
    for _ in 0..random.below(9) {
        let done = match random.below(3) {
            0 => touch(store, instance, &mut random),
            _ => call(store, instance, &mut random, &functions),
        };
        seen.push((done, (Vec::new(), Vec::new())));
    }
    if random.below(2) == 0 {
        seen.push(("old".to_string(), snapshot(store, instance)));
    }
    if random.below(4) == 0 {
        store.interrupt_handle().interrupt();
    }
    seen
}

/// Large slots, or such as the module needs; all ways of recycling; with more pages than may stay resident, and less.
fn pools(module: &Module) -> Vec<PoolLimits> {
    let large = PoolLimits { memory_bytes_max: 40 << 30, ..PoolLimits::guarded(2) };
    let mut pools = Vec::new();
    for slots in [large, PoolLimits::fitting(2, module)] {
        for (recycling, resident) in [
            (Recycling::Track, u64::MAX),
            (Recycling::Track, 40 << 12),
            (Recycling::Scan, u64::MAX),
            (Recycling::Scan, 3 << 12),
            (Recycling::Discard, 0),
        ] {
            let store = Limits { stack_bytes: 32 << 10, ..Limits::default() };
            pools.push(PoolLimits { recycling, resident_bytes_per_slot_max: resident, store, ..slots });
        }
    }
    pools
}

fn compare(pool: &Pool, pre: &InstancePre<u32>, lives: u64, what: &str) {
    for seed in (1..=lives).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
        let mut fresh = Store::new(0, pool.limits().store).unwrap();
        let instance = pre.instantiate(&mut fresh).unwrap();
        let expected = live(&mut fresh, instance, seed);
        let (mut store, instance) = pool.instantiate(pre, 0).unwrap();
        let seen = live(&mut store, instance, seed);
        let differs = seen.iter().zip(&expected).position(|(seen, expected)| seen != expected);
        if let Some(at) = differs {
            let done: Vec<_> = seen.iter().map(|(done, _)| done).collect();
            let (seen, expected) = (&seen[at], &expected[at]);
            let bytes = seen.1.0.iter().flatten().zip(expected.1.0.iter().flatten()).position(|(a, b)| a != b);
            let (a, b) = ((&seen.0, &seen.1.1), (&expected.0, &expected.1.1));
            panic!("{what}, seed {seed:#x}, after {done:?}:\n{a:?} is not\n{b:?}; first byte {bytes:?}");
        }
        assert_eq!(seen.len(), expected.len());
        drop(store);
        assert_eq!(pool.idle(), 1, "one instance is used again and again");
    }
}

#[test]
fn whatever_the_last_one_did_the_next_is_as_in_a_new_store() {
    let lives = std::env::var("SELVEDGE_ENDINGS").map_or(60, |lives| lives.parse().expect("a number"));
    for layout in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        for (number, shape) in shapes().iter().enumerate() {
            let module = load_with(shape, &Options { memory: layout, ..Options::default() });
            let pre = linker().prepare(&module).unwrap();
            for limits in pools(&module) {
                let pool = Pool::new(limits).unwrap();
                compare(&pool, &pre, lives, &format!("{layout:?}, shape {number}, {limits:?}"));
            }
        }
    }
}
