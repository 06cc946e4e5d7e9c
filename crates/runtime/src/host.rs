//! Host functions: what guests import.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use selvedge_contract::types::{FuncType, ValType};
use selvedge_native::{Arena, Host, HostBody, HostVerdict, RawValue, SlotId};

use crate::builtins;
use crate::context::{AsContextMut, ContextMut};
use crate::core::StoreId;
use crate::error::HostError;
use crate::externref::ExternRef;
use crate::instance::{Instance, Item};
use crate::limits::LimitError;
use crate::memory::Memory;
use crate::typed::{HostResults, WasmParams, WasmResults, WasmType, for_each_arity};
use crate::value::{Val, fit};

/// The kind of host that stores with this data are.
pub(crate) struct StoreHost<T>(PhantomData<fn() -> T>);

/// A host function of any store with this data. Cheap to clone.
pub(crate) struct HostFunction<T: 'static> {
    ty: Arc<FuncType>,
    native: selvedge_native::HostFunction<StoreHost<T>>,
}

impl<T: 'static> HostFunction<T> {
    /// A host function from its type and what it does: parameters in, results out; there are slots for both.
    pub(crate) fn new<F>(ty: FuncType, function: F) -> HostFunction<T>
    where
        F: Fn(&mut ContextMut<'_, T>, SlotId, &mut [RawValue]) -> HostVerdict + Send + Sync + 'static,
    {
        let values = ty.params.len().max(ty.results.len());
        HostFunction { ty: Arc::new(ty), native: selvedge_native::HostFunction::<StoreHost<T>>::new(values, function) }
    }

    /// A host function whose type is known to the Rust compiler.
    pub(crate) fn of<B: HostBody<StoreHost<T>>>(body: B) -> HostFunction<T> {
        let native = selvedge_native::HostFunction::<StoreHost<T>>::typed(body);
        HostFunction { ty: Arc::new(FuncType::new(B::PARAMS, B::RESULTS)), native }
    }

    pub(crate) fn ty(&self) -> &FuncType {
        &self.ty
    }

    pub(crate) fn native(&self) -> &selvedge_native::HostFunction<StoreHost<T>> {
        &self.native
    }
}

impl<T: 'static> Clone for HostFunction<T> {
    fn clone(&self) -> Self {
        HostFunction { ty: self.ty.clone(), native: self.native.clone() }
    }
}

/// What a host function learns about the call, and its access to the store.
pub struct Caller<'a, T: 'static> {
    pub(crate) context: ContextMut<'a, T>,
    pub(crate) instance: Instance,
}

impl<'a, T: 'static> Caller<'a, T> {
    #[inline]
    pub(crate) fn new(context: &'a mut ContextMut<'_, T>, slot: SlotId) -> Caller<'a, T> {
        let instance = Instance { store: context.inner.core.id, slot };
        Caller { context: context.as_context_mut(), instance }
    }
}

impl<T: 'static> Caller<'_, T> {
    /// The instance that calls.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        &self.context.inner.data
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.context.inner.data
    }

    /// An export of the instance that calls.
    pub fn get_export(&self, name: &str) -> Option<Item> {
        self.instance.get_export(&self.context, name)
    }

    /// The memory that the calling instance exports as `memory`, by convention the one it means.
    pub fn memory(&self) -> Option<Memory> {
        let (core, Instance { store, slot }) = (&self.context.inner.core, self.instance);
        let place = core.memory_place(slot, core.instance(slot)?.module.memory()?)?;
        Some(Memory { store, place })
    }

    /// The bytes of that memory and the host's data, both at once.
    ///
    /// # Errors
    /// If the instance exports no such memory.
    pub fn memory_and_data(&mut self) -> Result<(&mut [u8], &mut T), HostError> {
        let memory = self.memory().ok_or_else(|| HostError::message("the instance exports no memory named \"memory\""));
        memory.map(|memory| memory.data_and_store_mut(&mut self.context))
    }

    /// Whether the guest is suspended if this function waits ([`crate::Outcome::Wait`]); else this thread waits, and
    /// a function may as well wait itself.
    pub fn can_suspend(&self) -> bool {
        self.context.inner.core.arena.can_suspend()
    }

    /// Has `waker` woken by the next request to interrupt the guest; says whether there is one already. For
    /// functions that wait themselves.
    pub fn wake_on_interrupt(&self, waker: &Waker) -> bool {
        self.context.inner.core.arena.wake_on_interrupt(waker)
    }

    /// Counts CPU time that was used elsewhere for the guest as its own, if that has a limit. Where the limit is reached by
    /// it, the call ends when it next goes on after it waited, and no other begins.
    pub fn add_cpu_time(&mut self, used: Duration) {
        self.context.inner.core.time.add_used(used);
    }

    /// Hands a host object to the store, to be passed to the guest.
    ///
    /// # Errors
    /// At [`crate::Limits::extern_refs_max`].
    pub fn insert_extern(&mut self, object: impl Any + Send) -> Result<ExternRef, LimitError> {
        self.context.inner.core.insert_extern(Box::new(object))
    }

    /// The object behind a reference, unless it was removed or is of another store.
    pub fn extern_object(&self, object: ExternRef) -> Option<&(dyn Any + Send)> {
        self.context.inner.core.extern_object(object)
    }

    /// The object behind a reference.
    pub fn extern_object_mut(&mut self, object: ExternRef) -> Option<&mut (dyn Any + Send)> {
        self.context.inner.core.extern_object_mut(object)
    }

    /// Takes an object back; references to it lead nowhere from now on.
    pub fn remove_extern(&mut self, object: ExternRef) -> Option<Box<dyn Any + Send>> {
        self.context.inner.core.remove_extern(object)
    }

    fn store_id(&self) -> StoreId {
        self.context.inner.core.id
    }
}

/// Closures that [`crate::Linker::func_wrap`] takes: `Fn(Caller<'_, T>, A, B, …) -> R` with up to sixteen
/// [`WasmType`] parameters and [`HostResults`]. Sealed.
pub trait IntoHostFunc<T: 'static, Params, Results>: Send + Sync + 'static {
    #[doc(hidden)]
    const PARAMS: &'static [ValType];

    #[doc(hidden)]
    const RESULTS: &'static [ValType];

    /// `values` has slots for all parameters, and for all results.
    #[doc(hidden)]
    fn invoke(&self, caller: Caller<'_, T>, values: &mut [RawValue]) -> Result<(), HostError>;
}

macro_rules! into_host_func {
    ($($name:ident $index:tt),*) => {
        impl<T, F, R, $($name),*> IntoHostFunc<T, ($($name,)*), R> for F
        where
            T: 'static,
            F: Fn(Caller<'_, T>, $($name),*) -> R + Send + Sync + 'static,
            R: HostResults,
            $($name: WasmType,)*
        {
            const PARAMS: &'static [ValType] = <($($name,)*)>::TYPES;
            const RESULTS: &'static [ValType] = R::Values::TYPES;

            #[inline]
            #[allow(non_snake_case)]
            fn invoke(&self, caller: Caller<'_, T>, values: &mut [RawValue]) -> Result<(), HostError> {
                let store = caller.store_id();
                let ($($name,)*) = <($($name,)*) as WasmResults>::load(values, store);
                let results = self(caller, $($name),*).into_result()?;
                results.store(values, store).ok_or_else(foreign_handle)
            }
        }
    };
}

for_each_arity!(into_host_func);

#[cold]
pub(crate) fn too_few_values() -> HostError {
    HostError::message("the artifact's code passes too few values to a host function: it is damaged")
}

#[cold]
pub(crate) fn foreign_handle() -> HostError {
    HostError::message("a host function returned a handle of another store")
}

/// A typed closure.
struct Typed<F, P, R> {
    function: F,
    marker: PhantomData<fn(P) -> R>,
}

impl<T, P, R, F> HostBody<StoreHost<T>> for Typed<F, P, R>
where
    T: 'static,
    P: 'static,
    R: 'static,
    F: IntoHostFunc<T, P, R>,
{
    const PARAMS: &'static [ValType] = F::PARAMS;
    const RESULTS: &'static [ValType] = F::RESULTS;

    #[inline]
    fn call(&self, context: &mut ContextMut<'_, T>, slot: SlotId, values: &mut [RawValue]) -> HostVerdict {
        match self.function.invoke(Caller::new(context, slot), values) {
            Ok(()) => HostVerdict::Resume,
            Err(error) => refuse(context, error),
        }
    }
}

/// Wraps a typed closure.
pub(crate) fn typed<T, P, R, F>(function: F) -> HostFunction<T>
where
    T: 'static,
    P: 'static,
    R: 'static,
    F: IntoHostFunc<T, P, R>,
{
    HostFunction::of(Typed { function, marker: PhantomData })
}

fn dynamic<T, F>(ty: FuncType, function: F) -> HostFunction<T>
where
    T: 'static,
    F: Fn(Caller<'_, T>, &mut [RawValue]) -> Result<(), HostError> + Send + Sync + 'static,
{
    HostFunction::new(ty, move |context: &mut ContextMut<'_, T>, slot, values: &mut [RawValue]| {
        match function(Caller::new(context, slot), values) {
            Ok(()) => HostVerdict::Resume,
            Err(error) => refuse(context, error),
        }
    })
}

/// Wraps a closure over [`Val`]s.
pub(crate) fn untyped<T, F>(ty: FuncType, function: F) -> HostFunction<T>
where
    T: 'static,
    F: Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), HostError> + Send + Sync + 'static,
{
    let own = ty.clone();
    dynamic(ty, move |caller, values: &mut [RawValue]| {
        let FuncType { params, results } = &own;
        let count = params.len().max(results.len());
        if values.len() < count {
            return Err(too_few_values());
        }
        if count <= FEW_VALUES {
            let (mut inputs, mut outputs) = ([Val::I32(0); FEW_VALUES], [Val::I32(0); FEW_VALUES]);
            call_untyped(&function, caller, &own, (&mut inputs, &mut outputs), values)
        } else {
            let (mut inputs, mut outputs) = (vec![Val::I32(0); count], vec![Val::I32(0); count]);
            call_untyped(&function, caller, &own, (&mut inputs, &mut outputs), values)
        }
    })
}

/// Values that are passed to an untyped host function without allocation.
const FEW_VALUES: usize = 8;

/// Calls an untyped function; the buffers and `values` have room for all parameters, and for all results.
fn call_untyped<T: 'static>(
    function: &impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), HostError>,
    caller: Caller<'_, T>,
    FuncType { params, results }: &FuncType,
    (inputs, outputs): (&mut [Val], &mut [Val]),
    values: &mut [RawValue],
) -> Result<(), HostError> {
    let store = caller.store_id();
    let (inputs, outputs) = (&mut inputs[..params.len()], &mut outputs[..results.len()]);
    for ((input, ty), raw) in inputs.iter_mut().zip(params).zip(&*values) {
        *input = Val::from_raw(*ty, *raw, store);
    }
    for (output, ty) in outputs.iter_mut().zip(results) {
        *output = Val::default_of(*ty);
    }
    function(caller, inputs, outputs)?;
    if !fit(outputs, results) {
        return Err(HostError::message("a host function set results of other types than it declared"));
    }
    for (slot, value) in values.iter_mut().zip(&*outputs) {
        *slot = value.to_raw(store).ok_or_else(foreign_handle)?;
    }
    Ok(())
}

/// The host functions of one instance, by import; `None` where another instance provides it.
pub(crate) type InstanceHosts<T> = Arc<selvedge_native::HostFunctions<StoreHost<T>>>;

impl<T: 'static> Host for StoreHost<T> {
    type View<'a> = ContextMut<'a, T>;

    #[inline]
    fn arena<'v>(view: &'v mut ContextMut<'_, T>) -> &'v mut Arena {
        &mut view.inner.core.arena
    }

    fn builtin(view: &mut ContextMut<'_, T>, slot: SlotId, index: u32, values: &mut [RawValue]) -> HostVerdict {
        builtins::serve(&mut view.inner.core, slot, index, values)
    }
}

/// What becomes of a call whose host function failed.
#[cold]
pub(crate) fn refuse<T>(context: &mut ContextMut<'_, T>, error: HostError) -> HostVerdict {
    match error.as_trap() {
        Some(code) => HostVerdict::Trap(code),
        None => {
            context.inner.core.pending = Some(error);
            HostVerdict::Leave
        }
    }
}
