//! What modules may import, by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use selvedge_contract::Import;
use selvedge_contract::types::{ExternType, FuncType};
use selvedge_native::HostFunctions;

use crate::context::{AsContext, AsContextMut};
use crate::core::Core;
use crate::error::{HostError, InstantiateError};
use crate::host::{Caller, HostFunction, InstanceHosts, IntoHostFunc, typed, untyped};
use crate::instance::{Instance, Item};
use crate::instantiate::{Imports, instantiate};
use crate::matching::{Found, ImportProblem, LinkError, check_item};
use crate::module::Module;
use crate::pool::Wanted;
use crate::suspend::{polling, suspending};
use crate::typed::WasmResults;
use crate::value::Val;
use crate::wait::Outcome;

/// Host functions and instances' exports under the names by which modules import them.
///
/// Host functions serve any number of stores. What [`Linker::instance`] defines belongs to one store and
/// is refused in others. A later definition of a name replaces an earlier one. Cheap to clone: functions
/// are shared.
pub struct Linker<T: 'static> {
    modules: HashMap<String, HashMap<String, Definition<T>>>,
}

pub(crate) enum Definition<T: 'static> {
    Host(HostFunction<T>),
    Item(Item),
}

impl<T: 'static> Linker<T> {
    /// A linker that defines nothing.
    pub fn new() -> Linker<T> {
        Linker { modules: HashMap::new() }
    }

    /// Defines a host function from a closure of Rust types, `Fn(Caller<'_, T>, A, B, …) -> R`: up to sixteen
    /// [`crate::WasmType`] parameters, and [`crate::HostResults`].
    pub fn func_wrap<P: 'static, R: 'static>(
        &mut self,
        module: &str,
        name: &str,
        function: impl IntoHostFunc<T, P, R>,
    ) -> &mut Self {
        self.define(module, name, Definition::Host(typed(function)))
    }

    /// Defines a host function of any type from a closure over values. It gets the parameters, and results
    /// that are zero or null, to be set.
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        function: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), HostError> + Send + Sync + 'static,
    ) -> &mut Self {
        self.define(module, name, Definition::Host(untyped(ty, function)))
    }

    /// Defines a host function that may wait: `Fn(Caller<'_, T>, P) -> Result<Outcome<T, R>, HostError>`, where `P`
    /// and `R` are a [`crate::WasmType`] or a tuple of up to sixteen. It returns [`Outcome::Ready`], or an
    /// [`Outcome::Wait`] with a future; while that is pending the guest is suspended if it was called by
    /// [`crate::TypedFunc::call_async`], and otherwise the thread waits.
    ///
    /// ```
    /// use selvedge_runtime::{Caller, Limits, Linker, Module, Outcome, Store, Wait};
    ///
    /// # async fn fetch(key: i32) -> i32 { key * 2 }
    /// # let wat = r#"(module (import "host" "fetch" (func $fetch (param i32) (result i32)))
    /// #     (func (export "run") (result i32) (call $fetch (i32.const 21))))"#;
    /// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &selvedge_compiler::Options::default(), &())?;
    /// // The store's data: how much was fetched.
    /// let mut linker = Linker::<u32>::new();
    /// linker.func_wrap_async("host", "fetch", |_: Caller<'_, u32>, key: i32| {
    ///     // The guest is parked until `fetch` is done; then this continues with the store at hand again.
    ///     Ok(Outcome::Wait(Wait::new(fetch(key), |mut caller, value| {
    ///         *caller.data_mut() += 1;
    ///         Ok(Outcome::Ready(value))
    ///     })))
    /// });
    /// # let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
    /// let mut store = Store::new(0, Limits::default())?;
    /// let run = linker.instantiate(&mut store, &module)?.typed_func::<(), i32>(&store, "run")?;
    /// // `run.call_async(&mut store, ()).await` in an executor's task; here the thread waits.
    /// assert_eq!(run.call(&mut store, ())?, 42);
    /// assert_eq!(*store.data(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn func_wrap_async<P: WasmResults + 'static, R: WasmResults + 'static>(
        &mut self,
        module: &str,
        name: &str,
        function: impl Fn(Caller<'_, T>, P) -> Result<Outcome<T, R>, HostError> + Send + Sync + 'static,
    ) -> &mut Self {
        self.define(module, name, Definition::Host(suspending(function)))
    }

    /// Defines a host function that may wait, as an attempt that is made again: `Fn(Caller<'_, T>, &mut Context<'_>, P)
    /// -> Poll<Result<R, HostError>>`, with `P` and `R` as in [`Linker::func_wrap_async`]. Where that takes a future, which
    /// is allocated for each wait, this is called with the same parameters each time the call is polled, until it is ready;
    /// what it knows between attempts is in the store's data. As with a future's `poll`, it is called again only after the
    /// waker of its context was woken, or when the call is polled anyway.
    ///
    /// ```
    /// use selvedge_runtime::{Caller, Limits, Linker, Module, Store};
    /// use std::task::{Context, Poll};
    ///
    /// # let wat = r#"(module (import "host" "next" (func $next (param i32) (result i32)))
    /// #     (func (export "run") (result i32) (call $next (i32.const 2))))"#;
    /// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &selvedge_compiler::Options::default(), &())?;
    /// let mut linker = Linker::<Vec<i32>>::new();
    /// linker.func_wrap_poll("host", "next", |mut caller: Caller<'_, Vec<i32>>, cx: &mut Context<'_>, least: i32| {
    ///     if let Some(found) = caller.data_mut().pop().filter(|n| *n >= least) {
    ///         return Poll::Ready(Ok(found));
    ///     }
    ///     // Whoever has news wakes this task; here there are some already.
    ///     cx.waker().wake_by_ref();
    ///     Poll::Pending
    /// });
    /// # let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
    /// let mut store = Store::new(vec![5, 1, 0], Limits::default())?;
    /// let run = linker.instantiate(&mut store, &module)?.typed_func::<(), i32>(&store, "run")?;
    /// assert_eq!(run.call(&mut store, ())?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn func_wrap_poll<P: WasmResults + 'static, R: WasmResults + 'static>(
        &mut self,
        module: &str,
        name: &str,
        function: impl Fn(Caller<'_, T>, &mut Context<'_>, P) -> Poll<Result<R, HostError>> + Send + Sync + 'static,
    ) -> &mut Self {
        self.define(module, name, Definition::Host(polling(function)))
    }

    /// Defines an item of an instance.
    pub fn item(&mut self, module: &str, name: &str, item: Item) -> &mut Self {
        self.define(module, name, Definition::Item(item))
    }

    /// Defines everything an instance exports, under a module name.
    ///
    /// # Panics
    /// If the instance is of another store.
    pub fn instance(&mut self, store: &impl AsContext<Data = T>, module: &str, instance: Instance) -> &mut Self {
        for (name, item) in instance.exports(store) {
            self.define(module, name, Definition::Item(item));
        }
        self
    }

    /// Defines everything under one module name under another, too. A module name that defines nothing gives
    /// nothing.
    pub fn alias_module(&mut self, module: &str, other: &str) -> &mut Self {
        for (name, definition) in self.modules.get(module).cloned().unwrap_or_default() {
            self.define(other, &name, definition);
        }
        self
    }

    /// Defines one thing under another name, too, if it is there; says whether it is.
    pub fn alias(&mut self, (module, name): (&str, &str), (other_module, other_name): (&str, &str)) -> bool {
        let Some(definition) = self.get(module, name).cloned() else { return false };
        self.define(other_module, other_name, definition);
        true
    }

    /// Whether something of this name is defined.
    pub fn defines(&self, module: &str, name: &str) -> bool {
        self.get(module, name).is_some()
    }

    /// Defines every function that a module imports and this linker lacks, as one that ends the call with an
    /// error which names the import. For modules that import more than they use.
    pub fn define_unknown_imports_as_traps(&mut self, module: &Module) -> &mut Self {
        for Import { module, name, ty } in module.imports() {
            let ExternType::Func(ty) = ty else { continue };
            if !self.defines(module, name) {
                let text = format!("the host does not provide {module} {name}");
                self.func_new(module, name, ty.clone(), move |_, _, _| Err(HostError::message(&text)));
            }
        }
        self
    }

    fn define(&mut self, module: &str, name: &str, definition: Definition<T>) -> &mut Self {
        self.modules.entry(module.to_string()).or_default().insert(name.to_string(), definition);
        self
    }

    fn get(&self, module: &str, name: &str) -> Option<&Definition<T>> {
        self.modules.get(module)?.get(name)
    }

    /// Makes an instance: finds imports, sets up memories, tables and globals, and runs the start function.
    ///
    /// # Errors
    /// If imports are missing or unfit (the error lists them all), a limit is reached, a segment does not fit,
    /// or the start function does not return. What it did to other instances until then stays done, as the
    /// specification says.
    pub fn instantiate(
        &self,
        store: &mut impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance, InstantiateError> {
        let mut context = store.as_context_mut();
        let imports = self.resolve(module, Some(&context.inner.core))?;
        instantiate(&mut context, module, &imports)
    }

    /// Finds a module's imports once, for many instances.
    ///
    /// # Errors
    /// If imports are missing or unfit; the error lists them all. Items of instances are checked when an
    /// instance is made.
    pub fn prepare(&self, module: &Module) -> Result<InstancePre<T>, LinkError> {
        let imports = self.resolve(module, None)?;
        let wanted = Arc::new(Wanted::new());
        Ok(InstancePre(Arc::new(Prepared { id: wanted.id, wanted, module: module.clone(), imports })))
    }

    fn resolve(&self, module: &Module, core: Option<&Core>) -> Result<Imports<T>, LinkError> {
        let mut definitions = Vec::with_capacity(module.imports().len());
        let mut problems = Vec::new();
        for import in module.imports() {
            match self.find(module, import, core) {
                Ok(definition) => definitions.push(definition.clone()),
                Err(found) => problems.push(ImportProblem::new(import, found)),
            }
        }
        if problems.is_empty() { Ok(Imports::new(module, definitions)) } else { Err(LinkError { problems }) }
    }

    fn find(&self, module: &Module, import: &Import, core: Option<&Core>) -> Result<&Definition<T>, Found> {
        let definition = self.get(&import.module, &import.name).ok_or(Found::Nothing)?;
        definition.check(module, &import.ty, core)?;
        Ok(definition)
    }
}

impl<T: 'static> Definition<T> {
    /// Whether it fits an import. Items are checked if there is a store to check them in.
    pub(crate) fn check(&self, module: &Module, expected: &ExternType, core: Option<&Core>) -> Result<(), Found> {
        match self {
            Definition::Host(function) => match expected {
                ExternType::Func(ty) if ty == function.ty() => Ok(()),
                _ => Err(Found::Type(ExternType::Func(function.ty().clone()))),
            },
            Definition::Item(item) => core.map_or(Ok(()), |core| check_item(core, module, expected, *item)),
        }
    }
}

/// A module with its imports found: ready for one instance after the other. Cheap to clone. Pools keep idle instances
/// for it as long as a clone is there. Dropping the last one frees them, with system calls for each: do that on a thread that
/// nobody waits for.
pub struct InstancePre<T: 'static>(Arc<Prepared<T>>);

struct Prepared<T: 'static> {
    /// Never used twice in a process.
    id: u64,
    wanted: Arc<Wanted>,
    module: Module,
    imports: Imports<T>,
}

impl<T: 'static> Drop for Prepared<T> {
    fn drop(&mut self) {
        self.wanted.end();
    }
}

impl<T: 'static> InstancePre<T> {
    /// Makes an instance; see [`Linker::instantiate`].
    ///
    /// # Errors
    /// As [`Linker::instantiate`].
    pub fn instantiate(&self, store: &mut impl AsContextMut<Data = T>) -> Result<Instance, InstantiateError> {
        let Prepared { module, imports, .. } = &*self.0;
        let mut context = store.as_context_mut();
        imports.check(module, &context.inner.core)?;
        instantiate(&mut context, module, imports)
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.0.module
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    pub(crate) fn wanted(&self) -> &Arc<Wanted> {
        &self.0.wanted
    }

    pub(crate) fn imports(&self) -> &Imports<T> {
        &self.0.imports
    }
}

impl<T: 'static> Imports<T> {
    /// Checks the items of instances, once there is a store.
    pub(crate) fn check(&self, module: &Module, core: &Core) -> Result<(), LinkError> {
        if self.only_host_functions() {
            return Ok(());
        }
        let pairs = module.imports().iter().zip(self.definitions());
        let problem = |(import, definition): (&Import, &Definition<T>)| {
            let found = definition.check(module, &import.ty, Some(core)).err()?;
            Some(ImportProblem::new(import, found))
        };
        let problems: Vec<_> = pairs.filter_map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(LinkError { problems }) }
    }
}

/// The functions that the host provides itself, among a module's imports.
pub(crate) fn host_functions<T>(module: &Module, definitions: &[Definition<T>]) -> InstanceHosts<T> {
    let functions = module.imported().functions.iter().map(|at| &definitions[*at as usize]);
    let own = |definition: &Definition<T>| match definition {
        Definition::Host(function) => Some(function.native().clone()),
        Definition::Item(_) => None,
    };
    Arc::new(HostFunctions(functions.map(own).collect()))
}

impl<T: 'static> Default for Linker<T> {
    fn default() -> Self {
        Linker::new()
    }
}

impl<T: 'static> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker { modules: self.modules.clone() }
    }
}

impl<T: 'static> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        InstancePre(self.0.clone())
    }
}

impl<T: 'static> Clone for Definition<T> {
    fn clone(&self) -> Self {
        match self {
            Definition::Host(function) => Definition::Host(function.clone()),
            Definition::Item(item) => Definition::Item(*item),
        }
    }
}
