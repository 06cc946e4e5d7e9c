//! All use of Selvedge.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Task, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use selvedge_compiler::{Cpu, Options};
use selvedge_contract::limits::HOST_PAGE_BYTES;
use selvedge_runtime::{
    CallError, Caller, ExternType, InstancePre, Limits, Linker, Outcome, Pool, PoolLimits, Source, Store, TimeLimits,
    TypedFunc, Val, Wait, WasmParams, WasmResults,
};
use selvedge_wasi::{DirAccess, Wasi};

use crate::engine::{self, BAD_FILE, Interruptible, Settings};
use crate::instances::{Call, Cycles, fill, parts, rotate};
use crate::switching;

struct Engine(Options, TimeLimits);

struct Module(selvedge_runtime::Module, TimeLimits);

struct Instance<T: 'static> {
    store: Store<T>,
    instance: selvedge_runtime::Instance,
}

/// Starts Selvedge with its defaults, but for what `settings` say about the code.
pub(crate) fn start(settings: Settings) -> Box<dyn engine::Engine> {
    Box::new(engine(settings))
}

fn engine(settings: Settings) -> Engine {
    let cpu = match settings.cpu {
        engine::Cpu::Baseline => Cpu::Baseline,
        engine::Cpu::X86_64V3 => Cpu::X86_64V3,
        engine::Cpu::Native => Cpu::Native,
    };
    let memory = match settings.memory {
        engine::Memory::Guarded => selvedge_contract::MemoryLayout::Guarded,
        engine::Memory::Dense => selvedge_contract::MemoryLayout::Dense,
    };
    let meter = settings.meter || settings.interruptible == Interruptible::ByMeter;
    let far = Some(Duration::from_secs(3_600)).filter(|_| settings.interruptible == Interruptible::Yes);
    let time = TimeLimits { cpu: far, wall: far, slice: None };
    Engine(Options { cpu, memory, meter, ..Options::default() }, time)
}

impl engine::Engine for Engine {
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>> {
        Ok(selvedge_compiler::compile(wasm, &self.0, &())?)
    }

    fn load(&self, artifact: &Path) -> Result<Box<dyn engine::Module>> {
        let module = load_trusted(artifact).with_context(|| format!("cannot load {}", artifact.display()))?;
        Ok(Box::new(Module(module, self.1)))
    }
}

#[allow(unsafe_code)]
fn load_trusted(artifact: &Path) -> Result<selvedge_runtime::Module> {
    // SAFETY: the file must be one that Selvedge's compiler wrote and nobody changes while it is mapped:
    // `bench` wrote it itself, into its own folder under target/, from the bytes `compile` returned.
    Ok(unsafe { selvedge_runtime::Module::load_trusted(Source::File(artifact)) }?)
}

impl engine::Module for Module {
    fn instantiate(&self) -> Result<Box<dyn engine::Instance>> {
        let mut store = Store::new((), Limits { time: self.1, ..Limits::default() })?;
        let instance = linker(&self.0).instantiate(&mut store, &self.0)?;
        if let Ok(initialize) = instance.typed_func::<(), ()>(&store, "_initialize") {
            initialize.call(&mut store, ())?;
        }
        Ok(Box::new(Instance { store, instance }))
    }

    fn instantiate_with_wasi(&self, directories: &[PathBuf]) -> Result<Box<dyn engine::Instance>> {
        let mut wasi = Wasi::builder();
        for directory in directories {
            wasi = wasi.preopen_dir(directory, &directory.to_string_lossy(), DirAccess::ReadWrite)?;
        }
        let mut store = Store::new(wasi.build()?, Limits::default())?;
        let mut linker = Linker::new();
        selvedge_wasi::add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
        let instance = linker.instantiate(&mut store, &self.0)?;
        Ok(Box::new(Instance { store, instance }))
    }
}

/// `host.add`, and a failing stub for every system call the module imports.
fn linker(module: &selvedge_runtime::Module) -> Linker<()> {
    let mut linker = Linker::new();
    linker.func_wrap("host", "add", |_: selvedge_runtime::Caller<'_, ()>, a: i32, b: i32| a.wrapping_add(b));
    for import in module.imports().iter().filter(|import| import.module != "host") {
        let ExternType::Func(ty) = &import.ty else { continue };
        linker.func_new(&import.module, &import.name, ty.clone(), |_, _, results| {
            results.iter_mut().for_each(|result| *result = Val::I32(BAD_FILE));
            Ok(())
        });
    }
    linker
}

impl<T: 'static> engine::Instance for Instance<T> {
    fn program(&mut self, export: &str) -> Result<Box<dyn FnMut() -> Result<i64> + '_>> {
        let function = self.instance.typed_func::<(), i64>(&self.store, export)?;
        let store = &mut self.store;
        Ok(Box::new(move || Ok(function.call(store, ())?)))
    }

    fn unary(&mut self, export: &str) -> Result<Box<dyn FnMut(i32) -> Result<i32> + '_>> {
        let function = self.instance.typed_func::<i32, i32>(&self.store, export)?;
        let store = &mut self.store;
        Ok(Box::new(move |argument| Ok(function.call(store, argument)?)))
    }

    fn binary_loop(&mut self, export: &str) -> Result<Box<dyn FnMut(u32) -> Result<i32> + '_>> {
        let function = self.instance.typed_func::<(i32, i32), i32>(&self.store, export)?;
        let store = &mut self.store;
        Ok(Box::new(move |times| {
            let mut sum = 0;
            for _ in 0..times {
                sum = function.call(store, (sum, 1))?;
            }
            Ok(sum)
        }))
    }
}

/// A pool with the defaults, and a module in it.
pub(crate) struct Pooled {
    pool: Pool,
    pre: InstancePre<()>,
    call: Option<Call>,
}

/// Compiles a module for a pool.
pub(crate) fn pool(wasm: &[u8], call: Option<Call>, settings: Settings) -> Result<Box<dyn Cycles>> {
    let artifact = selvedge_compiler::compile(wasm, &engine(settings).0, &())?;
    Ok(Box::new(pool_of(&artifact, call)?))
}

/// Compiles modules for one pool.
pub(crate) fn shared_pool(
    modules: &[Vec<u8>],
    call: Option<Call>,
    slots: u32,
    settings: Settings,
) -> Result<Vec<Box<dyn Cycles>>> {
    let pool = Pool::new(PoolLimits::guarded(slots))?;
    let pooled = |wasm: &Vec<u8>| -> Result<Box<dyn Cycles>> {
        let artifact = selvedge_compiler::compile(wasm, &engine(settings).0, &())?;
        Ok(Box::new(in_pool(&pool, &artifact, call)?))
    };
    modules.iter().map(pooled).collect()
}

/// A pool for an artifact.
pub(crate) fn pool_of(artifact: &[u8], call: Option<Call>) -> Result<Pooled> {
    in_pool(&Pool::new(PoolLimits::guarded(300))?, artifact, call)
}

fn in_pool(pool: &Pool, artifact: &[u8], call: Option<Call>) -> Result<Pooled> {
    let module = load_bytes(artifact)?;
    let pre = linker(&module).prepare(&module)?;
    Ok(Pooled { pool: pool.clone(), pre, call })
}

/// Compiles and loads a module.
pub(crate) fn load_fresh(options: &Options, wasm: &[u8]) -> Result<selvedge_runtime::Module> {
    load_bytes(&selvedge_compiler::compile(wasm, options, &())?)
}

#[allow(unsafe_code)]
fn load_bytes(artifact: &[u8]) -> Result<selvedge_runtime::Module> {
    // SAFETY: the bytes are what the compiler has just returned, or its initialisation in advance.
    Ok(unsafe { selvedge_runtime::Module::load_trusted(artifact) }?)
}

/// Makes a call, if there is one.
fn make_call(store: &mut Store<()>, instance: selvedge_runtime::Instance, call: Option<Call>) -> Result<()> {
    match call {
        None => {}
        Some(Call::Plain(export)) => instance.typed_func::<(), ()>(store, export)?.call(store, ())?,
        Some(Call::Request { export, at, bytes, answer }) => {
            let memory = instance.get_memory(store, "memory").context("it exports its memory")?;
            memory.write(store, at, bytes)?;
            let answered = instance.typed_func::<i32, i32>(store, export)?.call(store, bytes.len() as i32)?;
            ensure!(answered == answer, "it answered {answered} bytes");
        }
    }
    Ok(())
}

impl Pooled {
    fn make(&self, call: bool) -> Result<Store<()>> {
        let (mut store, instance) = self.pool.instantiate(&self.pre, ())?;
        make_call(&mut store, instance, self.call.filter(|_| call))?;
        Ok(store)
    }
}

impl Cycles for Pooled {
    fn cycle(&self, call: bool) -> Result<()> {
        self.make(call).map(drop)
    }

    fn parts(&self) -> Result<[f64; 3]> {
        let make = || Ok(self.pool.instantiate(&self.pre, ())?);
        parts(make, |(store, instance)| make_call(store, *instance, self.call))
    }

    fn fill(&self, count: usize) -> Result<Vec<f64>> {
        fill(count, || self.make(true))
    }

    fn rotate(&self, held: usize, batches: usize) -> Result<Vec<f64>> {
        rotate(held, batches, || self.make(true))
    }
}

/// The artifact of a module that is initialised in advance, by its start function or an export, too.
pub(crate) fn initialised(wasm: &[u8], export: Option<&str>, settings: Settings) -> Result<Vec<u8>> {
    let mut options = selvedge_preinit::Options { export: export.map(str::to_owned), ..Default::default() };
    options.allow.add("wasi")?;
    Ok(selvedge_preinit::initialise(&load_fresh(&engine(settings).0, wasm)?, &options)?)
}

/// An instance of an artifact in a store of its own.
fn alone(artifact: &[u8]) -> Result<(Store<()>, selvedge_runtime::Instance)> {
    let module = load_bytes(artifact)?;
    let mut store = Store::new((), Limits::default())?;
    let instance = linker(&module).instantiate(&mut store, &module)?;
    Ok((store, instance))
}

/// The address that an export `() -> i32` gives.
pub(crate) fn address(artifact: &[u8], export: &str) -> Result<u64> {
    let (mut store, instance) = alone(artifact)?;
    Ok(u64::from(instance.typed_func::<(), u32>(&store, export)?.call(&mut store, ())?))
}

/// Pages of memory that differ after a call.
pub(crate) fn changed_pages(artifact: &[u8], call: Call) -> Result<u64> {
    let (mut store, instance) = alone(artifact)?;
    let memory = instance.get_memory(&store, "memory").context("it exports its memory")?;
    let before = memory.data(&store).to_vec();
    make_call(&mut store, instance, Some(call))?;
    let pages = |bytes| <[u8]>::chunks(bytes, HOST_PAGE_BYTES as usize);
    let changed = pages(&before).zip(pages(memory.data(&store))).filter(|(before, after)| before != after);
    Ok(changed.count() as u64)
}

/// Pages that a pooled instance keeps after a call: those it wrote, its stack's among them.
pub(crate) fn kept_pages(artifact: &[u8], call: Call) -> Result<u64> {
    let pooled = pool_of(artifact, Some(call))?;
    // Until slots are marked.
    (0..1_000).try_for_each(|_| pooled.cycle(true))?;
    Ok(pooled.pool.resident_bytes() / HOST_PAGE_BYTES)
}

/// How a host function waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waits {
    /// It is an attempt that is made again.
    Attempt,
    /// It gives a future.
    Future,
}

/// Nanoseconds for a guest to be suspended in a host call and to go on, in a loop of so many.
pub(crate) fn suspend(wasm: &[u8], waits: Waits, switches: i32, settings: Settings) -> Result<f64> {
    let module = load_fresh(&engine(settings).0, wasm)?;
    let mut linker = Linker::new();
    match waits {
        Waits::Attempt => {
            linker.func_wrap_poll("host", "wait", |mut caller: Caller<'_, bool>, _: &mut Task<'_>, ()| {
                let waited = caller.data_mut();
                *waited = !*waited;
                if *waited { Poll::Pending } else { Poll::Ready(Ok(())) }
            })
        }
        Waits::Future => linker.func_wrap_async("host", "wait", |_: Caller<'_, bool>, ()| {
            Ok(Outcome::Wait(Wait::new(Twice(false), |_, ()| Ok(Outcome::Ready(())))))
        }),
    };
    let mut store = Store::new(false, Limits::default())?;
    let run = linker.instantiate(&mut store, &module)?.typed_func::<i32, ()>(&store, "run")?;
    let mut call = std::pin::pin!(run.call_async(&mut store, switches));
    let mut context = Task::from_waker(Waker::noop());
    let (start, mut waited) = (Instant::now(), 0);
    loop {
        if let Poll::Ready(result) = call.as_mut().poll(&mut context) {
            result?;
            ensure!(waited == switches, "it waited {waited} times");
            return Ok(start.elapsed().as_nanos() as f64 / f64::from(switches));
        }
        waited += 1;
    }
}

/// As [`suspend`], without what makes a future of a call.
pub(crate) fn switch_alone(wasm: &[u8], switches: i32, settings: Settings) -> Result<f64> {
    switching::round_trip(&selvedge_compiler::compile(wasm, &engine(settings).0, &())?, switches)
}

pub(crate) use selvedge_runtime::TICK;

/// A module without imports, and one of its functions in a new store.
fn fresh<P: WasmParams, R: WasmResults>(
    module: &selvedge_runtime::Module,
    export: &str,
) -> Result<(Store<()>, TypedFunc<P, R>)> {
    let mut store = Store::new((), Limits::default())?;
    let function = Linker::new().instantiate(&mut store, module)?.typed_func(&store, export)?;
    Ok((store, function))
}

/// Nanoseconds from a request to a tight loop's end, so often.
pub(crate) fn kill_latencies(wasm: &[u8], times: usize, settings: Settings) -> Result<Vec<f64>> {
    let module = load_fresh(&engine(settings).0, wasm)?;
    let sample = |n: usize| {
        let (mut store, endless) = fresh::<(), ()>(&module, "loop")?;
        let handle = store.interrupt_handle();
        let asker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(300 + n as u64 % 100));
            let asked = Instant::now();
            handle.interrupt();
            asked
        });
        let ended = endless.call(&mut store, ());
        let now = Instant::now();
        ensure!(matches!(ended, Err(CallError::Interrupted(_))), "it was not interrupted");
        let asked = asker.join().expect("it does not panic");
        Ok((now - asked).as_nanos() as f64)
    };
    (0..times).map(sample).collect()
}

/// Nanoseconds from the end of the time it may take to a tight loop's end, so often.
pub(crate) fn limit_latencies(wasm: &[u8], times: usize, settings: Settings) -> Result<Vec<f64>> {
    let module = load_fresh(&engine(settings).0, wasm)?;
    let sample = |n: usize| {
        let (mut store, endless) = fresh::<(), ()>(&module, "loop")?;
        let most = Duration::from_micros(2_000 + n as u64 * 37 % 1_000);
        let start = Instant::now();
        store.set_time_limits(TimeLimits { wall: Some(most), ..TimeLimits::NONE })?;
        let ended = endless.call(&mut store, ());
        let late = start.elapsed() - most;
        ensure!(matches!(ended, Err(CallError::WallTimeExceeded(_))), "its time was not over");
        Ok(late.as_nanos() as f64)
    };
    (0..times).map(sample).collect()
}

/// Runs "work", stopped again and again if so wanted; how often it was.
pub(crate) fn preempted(wasm: &[u8], rounds: i32, stop: bool, settings: Settings) -> Result<u64> {
    let module = load_fresh(&engine(settings).0, wasm)?;
    let (mut store, work) = fresh::<i32, i32>(&module, "work")?;
    let (handle, over) = (store.interrupt_handle(), AtomicBool::new(!stop));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                handle.preempt();
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        let mut call = std::pin::pin!(work.call_async(&mut store, rounds));
        let mut context = Task::from_waker(Waker::noop());
        let mut times = 0;
        let result = loop {
            match call.as_mut().poll(&mut context) {
                Poll::Pending => times += 1,
                Poll::Ready(result) => break result,
            }
        };
        over.store(true, Ordering::Relaxed);
        result?;
        Ok(times)
    })
}

/// Ready when it is asked again.
struct Twice(bool);

impl Future for Twice {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}
