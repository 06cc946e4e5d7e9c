//! What the tests share: from text to a module, and from an artifact to an instance.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use selvedge_compiler::compile;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{Instance, InstantiateError, Limits, Linker, Module, Store};
use selvedge_wasi::Wasi;

/// Compiles and loads a module given as text.
pub fn module(wat: &str, memory: MemoryLayout) -> anyhow::Result<Module> {
    let options = selvedge_compiler::Options { memory, verify_ir: true, ..Default::default() };
    Ok(load(&compile(wat.as_bytes(), &options, &())?))
}

/// Loads what compiler and initialiser have just written, proved on the way.
pub fn load(artifact: &[u8]) -> Module {
    Module::load_untrusted(artifact, std::num::NonZeroUsize::MIN).expect("what was just written is proved")
}

/// An instance in a store of its own, with WASI that grants nothing; other functions refuse.
pub fn instantiate(module: &Module) -> Result<(Store<Wasi>, Instance), InstantiateError> {
    let mut store = Store::new(Wasi::builder().build().expect("nothing is granted"), Limits::default())?;
    let mut linker = Linker::new();
    selvedge_wasi::add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
    linker.define_unknown_imports_as_traps(module);
    let instance = linker.instantiate(&mut store, module)?;
    Ok((store, instance))
}
