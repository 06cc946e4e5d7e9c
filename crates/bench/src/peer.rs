//! All use of the peer: the newest Wasmtime, with the settings it ships with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use wasmtime::{
    Caller, Config, Enabled, ExternType, InstanceAllocationStrategy, InstancePre, Linker, ModuleExport, OptLevel,
    PoolingAllocationConfig, Store, Val,
};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::engine::{self, BAD_FILE, Interruptible, Settings};
use crate::instances::{Call, Cycles, fill, parts, rotate};

struct Engine(wasmtime::Engine);

struct Module(wasmtime::Module);

struct Instance<T: 'static> {
    store: Store<T>,
    instance: wasmtime::Instance,
}

/// Starts Wasmtime: default settings, optimising for speed (its default too), with fuel for metered code.
pub(crate) fn start(settings: Settings) -> Result<Box<dyn engine::Engine>> {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed);
    config.consume_fuel(settings.meter || settings.interruptible == Interruptible::ByMeter);
    config.epoch_interruption(settings.interruptible == Interruptible::Yes);
    Ok(Box::new(Engine(wasmtime::Engine::new(&config)?)))
}

impl engine::Engine for Engine {
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>> {
        Ok(self.0.precompile_module(wasm)?)
    }

    fn load(&self, artifact: &Path) -> Result<Box<dyn engine::Module>> {
        let module = deserialize(&self.0, artifact).with_context(|| format!("cannot load {}", artifact.display()))?;
        Ok(Box::new(Module(module)))
    }
}

#[allow(unsafe_code)]
fn deserialize(engine: &wasmtime::Engine, artifact: &Path) -> Result<wasmtime::Module> {
    // SAFETY: the file must be one that `precompile_module` wrote and nobody changes while it is mapped:
    // `bench` wrote it itself, into its own folder under target/, from the bytes that call returned.
    Ok(unsafe { wasmtime::Module::deserialize_file(engine, artifact) }?)
}

impl engine::Module for Module {
    fn instantiate(&self) -> Result<Box<dyn engine::Instance>> {
        let mut store = Store::new(self.0.engine(), ());
        // Refused unless the code takes fuel.
        let _ = store.set_fuel(u64::MAX);
        store.set_epoch_deadline(1 << 40);
        let instance = linker(&self.0)?.instantiate(&mut store, &self.0)?;
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut store, "_initialize") {
            initialize.call(&mut store, ())?;
        }
        Ok(Box::new(Instance { store, instance }))
    }

    fn instantiate_with_wasi(&self, directories: &[PathBuf]) -> Result<Box<dyn engine::Instance>> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_blocking_current_thread(true);
        for directory in directories {
            wasi.preopened_dir(directory, directory.to_string_lossy(), FsPerms::ReadWrite)?;
        }
        let mut store = Store::new(self.0.engine(), wasi.build_p1());
        let mut linker = Linker::new(self.0.engine());
        p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi)?;
        let instance = linker.instantiate(&mut store, &self.0)?;
        Ok(Box::new(Instance { store, instance }))
    }
}

/// `host.add`, and a failing stub for every system call the module imports.
fn linker(module: &wasmtime::Module) -> Result<Linker<()>> {
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("host", "add", |a: i32, b: i32| a.wrapping_add(b))?;
    for import in module.imports().filter(|import| import.module() != "host") {
        let ExternType::Func(ty) = import.ty() else { continue };
        linker.func_new(import.module(), import.name(), ty, |_: Caller<'_, ()>, _, results| {
            results.iter_mut().for_each(|result| *result = Val::I32(BAD_FILE));
            Ok(())
        })?;
    }
    Ok(linker)
}

impl<T: 'static> engine::Instance for Instance<T> {
    fn program(&mut self, export: &str) -> Result<Box<dyn FnMut() -> Result<i64> + '_>> {
        let function = self.instance.get_typed_func::<(), i64>(&mut self.store, export)?;
        let store = &mut self.store;
        Ok(Box::new(move || Ok(function.call(&mut *store, ())?)))
    }

    fn unary(&mut self, export: &str) -> Result<Box<dyn FnMut(i32) -> Result<i32> + '_>> {
        let function = self.instance.get_typed_func::<i32, i32>(&mut self.store, export)?;
        let store = &mut self.store;
        Ok(Box::new(move |argument| Ok(function.call(&mut *store, argument)?)))
    }

    fn binary_loop(&mut self, export: &str) -> Result<Box<dyn FnMut(u32) -> Result<i32> + '_>> {
        let function = self.instance.get_typed_func::<(i32, i32), i32>(&mut self.store, export)?;
        let store = &mut self.store;
        Ok(Box::new(move |times| {
            let mut sum = 0;
            for _ in 0..times {
                sum = function.call(&mut *store, (sum, 1))?;
            }
            Ok(sum)
        }))
    }
}

/// A module in Wasmtime's pooling allocator.
struct Pooled {
    engine: wasmtime::Engine,
    pre: InstancePre<()>,
    call: Option<(Call, ModuleExport)>,
    memory: Option<ModuleExport>,
}

/// Compiles a module for a pool.
pub(crate) fn pool(wasm: &[u8], call: Option<Call>) -> Result<Box<dyn Cycles>> {
    Ok(Box::new(in_pool(&pooling_engine(300)?, wasm, call)?))
}

/// Compiles modules for one pool.
pub(crate) fn shared_pool(modules: &[Vec<u8>], call: Option<Call>, slots: u32) -> Result<Vec<Box<dyn Cycles>>> {
    let engine = pooling_engine(slots)?;
    let pooled = |wasm: &Vec<u8>| -> Result<Box<dyn Cycles>> { Ok(Box::new(in_pool(&engine, wasm, call)?)) };
    modules.iter().map(pooled).collect()
}

/// The pooling allocator with the settings that were found quickest.
fn pooling_engine(slots: u32) -> Result<wasmtime::Engine> {
    let mut pooling = PoolingAllocationConfig::default();
    pooling.total_core_instances(slots).total_memories(slots).total_tables(slots);
    pooling.linear_memory_keep_resident(1 << 20).table_keep_resident(1 << 20);
    pooling.pagemap_scan(if PoolingAllocationConfig::is_pagemap_scan_available() { Enabled::Yes } else { Enabled::No });
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed).memory_init_cow(true);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    Ok(wasmtime::Engine::new(&config)?)
}

fn in_pool(engine: &wasmtime::Engine, wasm: &[u8], call: Option<Call>) -> Result<Pooled> {
    let module = wasmtime::Module::new(engine, wasm)?;
    let pre = linker(&module)?.instantiate_pre(&module)?;
    let export =
        |call: Call| anyhow::Ok((call, module.get_export_index(call.export()).context("the export is there")?));
    let call = call.map(export).transpose()?;
    Ok(Pooled { engine: engine.clone(), pre, call, memory: module.get_export_index("memory") })
}

impl Pooled {
    fn make(&self, call: bool) -> Result<Store<()>> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store)?;
        if call {
            self.call(&mut store, &instance)?;
        }
        Ok(store)
    }

    fn call(&self, mut store: &mut Store<()>, instance: &wasmtime::Instance) -> Result<()> {
        let Some((call, export)) = &self.call else { return Ok(()) };
        let function = instance.get_module_export(&mut store, export).and_then(|export| export.into_func());
        let function = function.context("it is a function")?;
        match *call {
            Call::Plain(_) => function.typed::<(), ()>(&store)?.call(&mut store, ())?,
            Call::Request { at, bytes, answer, .. } => {
                let memory = self.memory.and_then(|memory| instance.get_module_export(&mut store, &memory));
                let memory = memory.and_then(|memory| memory.into_memory()).context("it exports its memory")?;
                memory.write(&mut store, at as usize, bytes)?;
                let answered = function.typed::<i32, i32>(&store)?.call(&mut store, bytes.len() as i32)?;
                ensure!(answered == answer, "it answered {answered} bytes");
            }
        }
        Ok(())
    }
}

impl Cycles for Pooled {
    fn cycle(&self, call: bool) -> Result<()> {
        self.make(call).map(drop)
    }

    fn parts(&self) -> Result<[f64; 3]> {
        let make = || {
            let mut store = Store::new(&self.engine, ());
            let instance = self.pre.instantiate(&mut store)?;
            Ok((store, instance))
        };
        parts(make, |(store, instance)| self.call(store, instance))
    }

    fn fill(&self, count: usize) -> Result<Vec<f64>> {
        fill(count, || self.make(true))
    }

    fn rotate(&self, held: usize, batches: usize) -> Result<Vec<f64>> {
        rotate(held, batches, || self.make(true))
    }
}
