//! Modules from text, in one call.

use anyhow::Result;
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{Instance, Limits, Linker, Module, Store};

/// Both memory layouts.
pub fn layouts() -> [MemoryLayout; 2] {
    [MemoryLayout::Guarded, MemoryLayout::Dense]
}

/// A layout as it is called on the command line.
pub fn layout_name(layout: MemoryLayout) -> &'static str {
    match layout {
        MemoryLayout::Guarded => "guarded",
        MemoryLayout::Dense => "dense",
    }
}

/// Options for tests: everything checked, one thread, this layout.
pub fn options(layout: MemoryLayout) -> Options {
    Options { memory: layout, verify_ir: true, threads: Some(1), ..Options::default() }
}

/// Compiles a module, in text or binary.
///
/// # Errors
/// If it does not compile.
pub fn compile(wasm: impl AsRef<[u8]>, layout: MemoryLayout) -> Result<Vec<u8>> {
    Ok(selvedge_compiler::compile(wasm.as_ref(), &options(layout), &())?)
}

/// Compiles and loads a module, in text or binary.
///
/// # Errors
/// If it does not compile or load.
pub fn module(wasm: impl AsRef<[u8]>, layout: MemoryLayout) -> Result<Module> {
    module_with(wasm, &options(layout))
}

/// Compiles and loads a module, in text or binary, with options of one's own.
///
/// # Errors
/// If it does not compile or load.
pub fn module_with(wasm: impl AsRef<[u8]>, options: &Options) -> Result<Module> {
    crate::compile_and_load(wasm.as_ref(), options)
}

/// Compiles, loads and instantiates a module without imports, in a store of its own.
///
/// # Errors
/// If it does not get that far.
pub fn instance(wasm: impl AsRef<[u8]>, layout: MemoryLayout) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new((), Limits::default())?;
    let instance = Linker::new().instantiate(&mut store, &module(wasm, layout)?)?;
    Ok((store, instance))
}
