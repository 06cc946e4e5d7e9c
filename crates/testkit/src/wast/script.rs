//! A running script: its store, its modules and instances, and what each directive asks.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail};
use selvedge_compiler::Options;
use selvedge_runtime::{ExternRef, Instance, InstantiateError, Limits, Linker, Module, Store, TimeLimits};
use wast::token::Id;
use wast::{QuoteWat, WastDirective};

use super::{reject, spectest};

/// What scripts may use: their modules declare more memory than they touch.
const LIMITS: Limits = Limits {
    stack_bytes: selvedge_contract::limits::STACK_BYTES_DEFAULT,
    memory_bytes_max: 1 << 40,
    table_elements_max: 1 << 30,
    instances_max: 100_000,
    call_depth_max: 100,
    extern_refs_max: 1_000_000,
    meter_max: u64::MAX,
    time: TimeLimits::NONE,
};

/// A running script.
pub(super) struct Script {
    pub(super) store: Store<()>,
    pub(super) linker: Linker<()>,
    pub(super) options: Options,
    definitions: Named<Module>,
    instances: Named<Instance>,
    externs: HashMap<u32, ExternRef>,
}

/// Things by their `$name`, and the last one.
struct Named<T> {
    by_name: HashMap<String, T>,
    last: Option<T>,
}

impl<T: Clone> Named<T> {
    fn new() -> Named<T> {
        Named { by_name: HashMap::new(), last: None }
    }

    fn insert(&mut self, name: Option<Id>, thing: T) {
        if let Some(id) = name {
            self.by_name.insert(id.name().to_owned(), thing.clone());
        }
        self.last = Some(thing);
    }

    fn get(&self, name: Option<Id>) -> Result<T> {
        match name {
            Some(id) => {
                self.by_name.get(id.name()).cloned().with_context(|| format!("nothing is named ${}", id.name()))
            }
            None => self.last.clone().context("there is no module yet"),
        }
    }
}

impl Script {
    /// A script in which only `spectest` can be imported.
    pub(super) fn new(options: Options) -> Result<Script> {
        let mut script = Script {
            store: Store::new((), LIMITS)?,
            linker: Linker::new(),
            options,
            definitions: Named::new(),
            instances: Named::new(),
            externs: HashMap::new(),
        };
        spectest::define(&mut script)?;
        Ok(script)
    }

    /// Does what one directive says; an error says what happened instead.
    pub(super) fn run(&mut self, directive: WastDirective) -> Result<()> {
        match directive {
            WastDirective::Module(wat) => self.define_and_instantiate(wat),
            WastDirective::ModuleDefinition(mut wat) => {
                let (name, module) = (wat.name(), self.compile_quoted(&mut wat)?);
                self.definitions.insert(name, module);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let module = self.definitions.get(module)?;
                let made = self.instantiate(&module)?;
                self.instances.insert(instance, made);
                Ok(())
            }
            WastDirective::Register { name, module, .. } => self.register(name, module),
            WastDirective::Invoke(invoke) => self.invoke(&invoke).map(drop),
            WastDirective::AssertReturn { exec, results, .. } => self.assert_return(exec, &results),
            WastDirective::AssertTrap { exec, message, .. } => self.assert_trap(exec, message),
            WastDirective::AssertExhaustion { call, message, .. } => self.assert_exhaustion(&call, message),
            WastDirective::AssertInvalid { module, message, .. }
            | WastDirective::AssertMalformed { module, message, .. } => reject::check(&self.options, module, message),
            WastDirective::AssertUnlinkable { module, message, .. } => self.assert_unlinkable(module, message),
            WastDirective::AssertInvalidCustom { .. } | WastDirective::AssertMalformedCustom { .. } => {
                bail!("custom sections are not checked: remove this assertion")
            }
            WastDirective::AssertException { .. } | WastDirective::AssertSuspension { .. } => {
                bail!("exceptions and stack switching are not supported")
            }
            WastDirective::Thread(_) | WastDirective::Wait { .. } => bail!("threads are not supported"),
        }
    }

    fn define_and_instantiate(&mut self, mut wat: QuoteWat) -> Result<()> {
        let name = wat.name();
        // A module that fails must not leave the one before it to be tested in its stead.
        self.instances.last = None;
        let module = self.compile_quoted(&mut wat)?;
        let instance = self.instantiate(&module)?;
        self.instances.insert(name, instance);
        Ok(())
    }

    fn compile_quoted(&self, wat: &mut QuoteWat) -> Result<Module> {
        let binary = wat.encode().map_err(|e| anyhow!("the text does not encode: {}", e.message()))?;
        self.compile(&binary)
    }

    /// Compiles and loads.
    pub(super) fn compile(&self, wasm: &[u8]) -> Result<Module> {
        let artifact = selvedge_compiler::compile(wasm, &self.options, &()).context("the module does not compile")?;
        crate::load(&artifact).context("the artifact does not load")
    }

    /// Makes an instance linked to what is registered.
    pub(super) fn instantiate(&mut self, module: &Module) -> Result<Instance, InstantiateError> {
        self.linker.instantiate(&mut self.store, module)
    }

    fn register(&mut self, name: &str, module: Option<Id>) -> Result<()> {
        let instance = self.instances.get(module)?;
        self.linker.instance(&self.store, name, instance);
        Ok(())
    }

    /// An instance by name, or the last.
    pub(super) fn instance(&self, name: Option<Id>) -> Result<Instance> {
        self.instances.get(name)
    }

    /// The host object that scripts call by this number.
    pub(super) fn extern_ref(&mut self, number: u32) -> Result<ExternRef> {
        if let Some(object) = self.externs.get(&number) {
            return Ok(*object);
        }
        let object = self.store.insert_extern(number)?;
        self.externs.insert(number, object);
        Ok(object)
    }
}
