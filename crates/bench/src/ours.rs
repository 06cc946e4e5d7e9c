//! All use of Selvedge.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use selvedge_compiler::{Cpu, Options};
use selvedge_runtime::{ExternType, Limits, Linker, Source, Store, Val};
use selvedge_wasi::{DirAccess, Wasi};

use crate::engine::{self, BAD_FILE, Settings};

struct Engine(Options);

struct Module(selvedge_runtime::Module);

struct Instance<T: 'static> {
    store: Store<T>,
    instance: selvedge_runtime::Instance,
}

/// Starts Selvedge with its defaults, but for what `settings` say about the code.
pub(crate) fn start(settings: Settings) -> Box<dyn engine::Engine> {
    let cpu = match settings.cpu {
        engine::Cpu::Baseline => Cpu::Baseline,
        engine::Cpu::X86_64V3 => Cpu::X86_64V3,
        engine::Cpu::Native => Cpu::Native,
    };
    let memory = match settings.memory {
        engine::Memory::Guarded => selvedge_contract::MemoryLayout::Guarded,
        engine::Memory::Dense => selvedge_contract::MemoryLayout::Dense,
    };
    Box::new(Engine(Options { cpu, memory, meter: settings.meter, ..Options::default() }))
}

impl engine::Engine for Engine {
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>> {
        Ok(selvedge_compiler::compile(wasm, &self.0, &())?)
    }

    fn load(&self, artifact: &Path) -> Result<Box<dyn engine::Module>> {
        let module = load_trusted(artifact).with_context(|| format!("cannot load {}", artifact.display()))?;
        Ok(Box::new(Module(module)))
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
        let mut store = Store::new((), Limits::default())?;
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
