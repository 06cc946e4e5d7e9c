//! Host functions: what guests import.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use selvedge_contract::abi::BUILTIN_BASE;
use selvedge_contract::types::FuncType;
use selvedge_native::{Arena, Host, HostVerdict, RawValue, SlotId};

use crate::builtins;
use crate::context::{AsContextMut, ContextMut};
use crate::core::StoreId;
use crate::error::HostError;
use crate::externref::ExternRef;
use crate::instance::{Instance, Item};
use crate::limits::LimitError;
use crate::memory::Memory;
use crate::typed::{HostResults, WasmParams, WasmResults, WasmType, for_each_arity, func_type};
use crate::value::{Val, fit};

/// A host function of any store with this data.
pub(crate) type HostFunction<T> = Arc<dyn HostCall<T>>;

pub(crate) trait HostCall<T: 'static>: Send + Sync {
    fn ty(&self) -> &FuncType;

    /// Parameters in, results out; there are slots for both.
    fn call(&self, caller: Caller<'_, T>, values: &mut [RawValue]) -> Result<(), HostError>;
}

/// What a host function learns about the call, and its access to the store.
pub struct Caller<'a, T: 'static> {
    pub(crate) context: ContextMut<'a, T>,
    pub(crate) instance: Instance,
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
        self.instance.get_memory(&self.context, "memory")
    }

    /// The bytes of that memory and the host's data, both at once.
    ///
    /// # Errors
    /// If the instance exports no such memory.
    pub fn memory_and_data(&mut self) -> Result<(&mut [u8], &mut T), HostError> {
        let memory = self.memory().ok_or_else(|| HostError::message("the instance exports no memory named \"memory\""));
        memory.map(|memory| memory.data_and_store_mut(&mut self.context))
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
    fn func_type() -> FuncType;

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
            fn func_type() -> FuncType {
                func_type::<($($name,)*), R::Values>()
            }

            #[inline]
            #[allow(non_snake_case)]
            fn invoke(&self, caller: Caller<'_, T>, values: &mut [RawValue]) -> Result<(), HostError> {
                let store = caller.store_id();
                if values.len() < <($($name,)*)>::COUNT {
                    return Err(too_few_values());
                }
                let ($($name,)*) = <($($name,)*) as WasmResults>::load(values, store);
                let results = self(caller, $($name),*).into_result()?;
                if values.len() < R::Values::COUNT {
                    return Err(too_few_values());
                }
                results.store(values, store).ok_or_else(foreign_handle)
            }
        }
    };
}

for_each_arity!(into_host_func);

#[cold]
fn too_few_values() -> HostError {
    HostError::message("the artifact's code passes too few values to a host function: it is damaged")
}

#[cold]
fn foreign_handle() -> HostError {
    HostError::message("a host function returned a handle of another store")
}

struct Closure<F> {
    ty: FuncType,
    function: F,
}

/// Wraps a typed closure.
pub(crate) fn typed<T, P, R, F>(function: F) -> HostFunction<T>
where
    T: 'static,
    P: 'static,
    R: 'static,
    F: IntoHostFunc<T, P, R>,
{
    let ty = F::func_type();
    dynamic(ty, move |caller, values: &mut [RawValue]| function.invoke(caller, values))
}

impl<T, F> HostCall<T> for Closure<F>
where
    T: 'static,
    F: Fn(Caller<'_, T>, &mut [RawValue]) -> Result<(), HostError> + Send + Sync,
{
    fn ty(&self) -> &FuncType {
        &self.ty
    }

    fn call(&self, caller: Caller<'_, T>, values: &mut [RawValue]) -> Result<(), HostError> {
        (self.function)(caller, values)
    }
}

fn dynamic<T, F>(ty: FuncType, function: F) -> HostFunction<T>
where
    T: 'static,
    F: Fn(Caller<'_, T>, &mut [RawValue]) -> Result<(), HostError> + Send + Sync + 'static,
{
    Arc::new(Closure { ty, function })
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
pub(crate) type InstanceHosts<T> = Arc<[Option<HostFunction<T>>]>;

/// Doublings of [`HostTable`]: 2^32 instances.
const BUCKETS: usize = 32;

/// The host functions of a store's instances, by slot.
///
/// It only grows, through a shared reference: a host function that runs was borrowed from it, while it may
/// itself add an instance. The first slot, most often the only one, is found without a detour; bucket `k` has
/// room for the next `2^k`.
pub(crate) struct HostTable<T: 'static> {
    first: OnceLock<InstanceHosts<T>>,
    buckets: [OnceLock<Bucket<T>>; BUCKETS],
}

type Bucket<T> = Box<[OnceLock<InstanceHosts<T>>]>;

impl<T: 'static> Default for HostTable<T> {
    fn default() -> HostTable<T> {
        HostTable { first: OnceLock::new(), buckets: [const { OnceLock::new() }; BUCKETS] }
    }
}

impl<T: 'static> HostTable<T> {
    /// Bucket and place in it of a slot after the first.
    fn position(slot: SlotId) -> (usize, usize) {
        let number = u64::from(slot.0);
        let bucket = number.ilog2();
        (bucket as usize, (number - (1 << bucket)) as usize)
    }

    /// Adds a new slot's functions.
    pub(crate) fn insert(&self, slot: SlotId, functions: InstanceHosts<T>) {
        let place = if slot.0 == 0 {
            &self.first
        } else {
            let (bucket, at) = Self::position(slot);
            &self.buckets[bucket].get_or_init(|| (0..1u64 << bucket).map(|_| OnceLock::new()).collect())[at]
        };
        assert!(place.set(functions).is_ok(), "a slot is added once");
    }

    #[inline]
    pub(crate) fn of(&self, slot: SlotId) -> Option<&InstanceHosts<T>> {
        if slot.0 == 0 {
            return self.first.get();
        }
        let (bucket, at) = Self::position(slot);
        self.buckets.get(bucket)?.get()?.get(at)?.get()
    }

    #[inline]
    fn get(&self, slot: SlotId, import: u32) -> Option<&HostFunction<T>> {
        self.of(slot)?.get(import as usize)?.as_ref()
    }
}

impl<T: 'static> Host for ContextMut<'_, T> {
    #[inline]
    fn arena(&mut self) -> &mut Arena {
        &mut self.inner.core.arena
    }

    #[inline]
    fn host_call(&mut self, slot: SlotId, index: u32, values: &mut [RawValue]) -> HostVerdict {
        if index >= BUILTIN_BASE {
            return builtins::serve(&mut self.inner.core, slot, index, values);
        }
        let Some(function) = self.hosts.get(slot, index) else {
            return refuse(self, HostError::message("the artifact's code calls a host function it does not import"));
        };
        let instance = Instance { store: self.inner.core.id, slot };
        let caller = Caller { context: self.as_context_mut(), instance };
        match function.call(caller, values) {
            Ok(()) => HostVerdict::Resume,
            Err(error) => refuse(self, error),
        }
    }
}

#[cold]
fn refuse<T>(context: &mut ContextMut<'_, T>, error: HostError) -> HostVerdict {
    match error.as_trap() {
        Some(code) => HostVerdict::Trap(code),
        None => {
            context.inner.core.pending = Some(error);
            HostVerdict::Leave
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_their_own_place() {
        let table = HostTable::<()>::default();
        for slot in 0..100 {
            assert!(table.of(SlotId(slot)).is_none());
            let functions: InstanceHosts<()> = (0..slot).map(|_| None).collect();
            table.insert(SlotId(slot), functions);
        }
        assert!((0..100).all(|slot| table.of(SlotId(slot)).is_some_and(|f| f.len() == slot as usize)));
        assert!(table.of(SlotId(u32::MAX)).is_none());
    }
}
