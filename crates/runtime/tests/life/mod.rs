//! Random lives of instances, up to their ends, and what is seen on the way: in a pool where others lived before, in a
//! new store, in a new process. Shared by the tests and the fuzzer `fuzz/fuzz_targets/endings.rs`.
//!
//! ```text
//!   shapes()   modules, each with as much that can be left behind as it can have
//!   live()     does what was chosen in some store, and tells what was seen
//! ```

mod choices;
mod shapes;

use std::future::Future;
use std::hash::{DefaultHasher, Hasher};
use std::task::{Context, Waker};
use std::time::Duration;

use selvedge_runtime::{
    Caller, HostError, Instance, InstancePre, Item, Limits, Linker, Module, Outcome, Pool, PoolLimits, Recycling,
    Store, TimeLimits, Val, Wait,
};

pub(crate) use choices::Choices;
pub(crate) use shapes::shapes;

/// Often small, often near a page's edge.
fn number(choices: &mut Choices<'_>) -> i32 {
    match choices.below(5) {
        0 => choices.below(6) as i32,
        1 => choices.below(70) as i32,
        2 => (choices.below(7) << 16) as i32 - choices.below(6) as i32,
        3 => choices.below(400_000) as i32,
        _ => choices.number() as i32,
    }
}

pub(crate) fn linker() -> Linker<u32> {
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
fn call(store: &mut Store<u32>, instance: Instance, choices: &mut Choices<'_>, functions: &[String]) -> String {
    let name = &functions[choices.below(functions.len() as u64) as usize];
    let params = [Val::I32(number(choices)), Val::I32(number(choices))];
    let function = instance.get_func(&*store, name).unwrap();
    if name == "wait" || name == "spin" {
        // One waits in a host call, the other is stopped at some instruction.
        store.set_time_limits(TimeLimits { slice: Some(Duration::ZERO), ..TimeLimits::NONE }).unwrap();
        let polled = {
            let mut call = Box::pin(function.call_async(store, &params));
            let pending = call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
            if choices.below(2) == 0 {
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
fn touch(store: &mut Store<u32>, instance: Instance, choices: &mut Choices<'_>) -> String {
    let memory = |store: &Store<u32>, n: usize| instance.get_memory(store, &format!("m{n}"));
    let (m, number) = (memory(store, choices.below(3) as usize), number(choices));
    match (choices.below(8), m) {
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
/// What was done, and what was seen then.
pub(crate) type Seen = Vec<(String, Snapshot)>;

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

/// One life, up to its end; what was seen on the way. The same choices do the same.
pub(crate) fn live(store: &mut Store<u32>, instance: Instance, choices: &mut Choices<'_>) -> Seen {
    let is_action = |name: &String| name != "one" && name != "two";
    let functions: Vec<_> =
        names(store, instance, |item| matches!(item, Item::Func(_))).into_iter().filter(is_action).collect();
    let mut seen = Seen::new();
    // Not each life begins with a look at everything: that opens all pages.
    if choices.below(3) == 0 {
        seen.push(("new".to_string(), snapshot(store, instance)));
    }
    for _ in 0..choices.below(9) {
        let done = match choices.below(3) {
            0 => touch(store, instance, choices),
            _ => call(store, instance, choices, &functions),
        };
        seen.push((done, (Vec::new(), Vec::new())));
    }
    if choices.below(2) == 0 {
        seen.push(("old".to_string(), snapshot(store, instance)));
    }
    if choices.below(4) == 0 {
        store.interrupt_handle().interrupt();
    }
    seen
}

/// Large slots, or such as the module needs, recycled in each way.
pub(crate) fn pools(module: &Module) -> Vec<PoolLimits> {
    [large(), PoolLimits::fitting(2, module)].into_iter().flat_map(ways).collect()
}

/// Slots that have room for every shape of module, in either layout.
pub(crate) fn large() -> PoolLimits {
    PoolLimits { memory_bytes_max: 40 << 30, ..PoolLimits::guarded(2) }
}

/// All ways of recycling such slots, with more pages than may stay resident, and less.
pub(crate) fn ways(slots: PoolLimits) -> impl Iterator<Item = PoolLimits> {
    let ways = [
        (Recycling::Track, u64::MAX),
        (Recycling::Track, 40 << 12),
        (Recycling::Scan, u64::MAX),
        (Recycling::Scan, 3 << 12),
        (Recycling::Discard, 0),
    ];
    ways.into_iter().map(move |(recycling, resident_bytes_per_slot_max)| {
        let store = Limits { stack_bytes: STACK_BYTES, ..Limits::default() };
        PoolLimits { recycling, resident_bytes_per_slot_max, store, ..slots }
    })
}

/// The stack of each instance, in a pool or not: what a life sees depends on it.
const STACK_BYTES: usize = 32 << 10;

/// A life in a new store.
pub(crate) fn in_new_store(pre: &InstancePre<u32>, choices: &mut Choices<'_>) -> Seen {
    let mut store = Store::new(0, Limits { stack_bytes: STACK_BYTES, ..Limits::default() }).unwrap();
    let instance = pre.instantiate(&mut store).unwrap();
    live(&mut store, instance, choices)
}

/// A life in a pool, in which others were before.
pub(crate) fn in_pool(pool: &Pool, pre: &InstancePre<u32>, choices: &mut Choices<'_>) -> Seen {
    let seen = {
        let (mut store, instance) = pool.instantiate(pre, 0).unwrap();
        live(&mut store, instance, choices)
    };
    assert_eq!(pool.idle(), 1, "one instance is used again and again");
    seen
}

/// What differs, if anything does.
pub(crate) fn difference(seen: &Seen, expected: &Seen) -> Option<String> {
    let at = seen.iter().zip(expected).position(|(seen, expected)| seen != expected);
    let Some(at) = at else {
        return (seen.len() != expected.len()).then(|| format!("{} things seen, not {}", seen.len(), expected.len()));
    };
    let done: Vec<_> = seen.iter().map(|(done, _)| done).collect();
    let (seen, expected) = (&seen[at], &expected[at]);
    let bytes = seen.1.0.iter().flatten().zip(expected.1.0.iter().flatten()).position(|(a, b)| a != b);
    let (a, b) = ((&seen.0, &seen.1.1), (&expected.0, &expected.1.1));
    Some(format!("after {done:?}:\n{a:?} is not\n{b:?}; first byte {bytes:?}"))
}

/// What was seen, as a text: for another process.
pub(crate) fn told(seen: &Seen) -> String {
    let hash = |bytes: &Vec<u8>| {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        format!("{} bytes {:016x}", bytes.len(), hasher.finish())
    };
    let line = |(done, (memories, rest)): &(String, Snapshot)| {
        format!("{done:?} {:?} {rest:?}\n", memories.iter().map(hash).collect::<Vec<_>>())
    };
    seen.iter().map(line).collect()
}
