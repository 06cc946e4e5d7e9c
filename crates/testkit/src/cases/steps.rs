//! A library, used step by step in one instance.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{CallError, Instance, Item, Limits, Linker, Memory, Module, Store, Val};
use selvedge_wasi::Wasi;

use super::format::{Case, Step, same, value};

/// Takes a case's steps.
pub(super) fn check(case: &Case, module: &Path, layout: MemoryLayout) -> Result<()> {
    let mut library = Library::open(case, module, layout)?;
    for (number, step) in case.step.iter().enumerate() {
        library.step(step).with_context(|| format!("step {}", number + 1))?;
    }
    Ok(())
}

struct Library {
    store: Store<Wasi>,
    instance: Instance,
    saved: BTreeMap<String, Val>,
}

impl Library {
    fn open(case: &Case, module: &Path, layout: MemoryLayout) -> Result<Library> {
        let wasm = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
        let options = Options { memory: layout, ..Options::default() };
        let mut module = crate::compile_and_load(&wasm, &options)?;
        if let Some(export) = &case.preinit {
            module = initialised(&module, export, &case.preinit_allow)?;
        }
        let mut store = Store::new(Wasi::builder().build()?, Limits::default())?;
        let mut linker = Linker::new();
        selvedge_wasi::add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Library { store, instance, saved: BTreeMap::new() })
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step { call: Some(export), .. } => self.call(export, step),
            Step { write: Some(text), at: Some(at), .. } => {
                let (memory, address) = self.place(at)?;
                Ok(memory.write(&mut self.store, address, text.as_bytes())?)
            }
            Step { read: Some(text), at: Some(at), .. } => {
                let (memory, address) = self.place(at)?;
                let mut found = vec![0; text.len()];
                memory.read(&self.store, address, &mut found)?;
                ensure!(found == text.as_bytes(), "found {:?}", String::from_utf8_lossy(&found));
                Ok(())
            }
            _ => bail!("a step has `call`, or `write` or `read` with `at`"),
        }
    }

    fn call(&mut self, export: &str, step: &Step) -> Result<()> {
        let func = self.instance.get_func(&self.store, export).with_context(|| format!("no function {export:?}"))?;
        let args = step.args.iter().map(|arg| value(arg, &self.saved)).collect::<Result<Vec<_>>>()?;
        match (func.call(&mut self.store, &args), &step.trap) {
            (Err(CallError::Trap(trap)), Some(expected)) => {
                ensure!(trap.code.to_string() == *expected, "expected the trap {expected:?}, got {:?}", trap.code);
                Ok(())
            }
            (Ok(results), Some(expected)) => bail!("expected the trap {expected:?}, it returned {results:?}"),
            (Err(error), _) => Err(error.into()),
            (Ok(results), None) => self.results(step, &results),
        }
    }

    fn results(&mut self, step: &Step, results: &[Val]) -> Result<()> {
        if let Some(expected) = &step.results {
            let expected = expected.iter().map(|text| value(text, &self.saved)).collect::<Result<Vec<_>>>()?;
            let equal = results.len() == expected.len() && results.iter().zip(&expected).all(|(r, e)| same(r, e));
            ensure!(equal, "expected {expected:?}, got {results:?}");
        }
        if let Some(name) = &step.save {
            let [result] = results else { bail!("only one result can be saved, there are {}", results.len()) };
            self.saved.insert(name.clone(), *result);
        }
        Ok(())
    }

    /// A place in the library's one memory.
    fn place(&self, at: &str) -> Result<(Memory, u64)> {
        let mut exports = self.instance.exports(&self.store);
        let memory = exports.find_map(|(_, item)| if let Item::Memory(memory) = item { Some(memory) } else { None });
        let address = match value(at, &self.saved)? {
            Val::I32(address) => (address as u32).into(),
            Val::I64(address) => address as u64,
            other => bail!("{other:?} is no address"),
        };
        Ok((memory.context("the library exports no memory")?, address))
    }
}

/// The module after it was initialised in advance.
fn initialised(module: &Module, export: &str, allowed: &[String]) -> Result<Module> {
    let export = Some(export.to_owned()).filter(|export| !export.is_empty());
    let mut options = selvedge_preinit::Options { export, ..Default::default() };
    allowed.iter().try_for_each(|name| options.allow.add(name))?;
    let artifact = selvedge_preinit::initialise(module, &options).context("initialising it in advance")?;
    Ok(crate::load(&artifact)?)
}
