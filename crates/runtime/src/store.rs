//! One isolated little world: data, limits, instances.

use std::any::Any;
use std::sync::Arc;

use selvedge_native::{Arena, ArenaLimits, InterruptHandle, NativeError};

use crate::context::Inner;
use crate::core::Core;
use crate::externref::ExternRef;
use crate::limits::{LimitError, Limits};
use crate::pool::Lease;
use crate::time;

/// Instances that may be linked to each other, what they may use, and the host's data for them.
///
/// Everything in a store lives until the store is dropped. Make one per request or tenant, not one per
/// process. It can be moved to another thread between calls.
pub struct Store<T: 'static> {
    pub(crate) inner: Inner<T>,
}

impl<T: 'static> Store<T> {
    /// An empty store.
    ///
    /// # Errors
    /// If [`Limits::stack_bytes`] is outside what is allowed, or there is no thread to watch over [`Limits::time`].
    pub fn new(data: T, limits: Limits) -> Result<Store<T>, NativeError> {
        time::prepare(&limits.time)?;
        let arena = Arena::new(ArenaLimits { stack_bytes: limits.stack_bytes })?;
        Ok(Store {
            inner: Inner {
                waiting: None,
                refill: None,
                task: None,
                core: Lease::new(Box::new(Core::new(arena, Arc::new(limits)))),
                data,
            },
        })
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        &self.inner.data
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.inner.data
    }

    /// Ends the store and returns the host's data.
    pub fn into_data(self) -> T {
        self.inner.data
    }

    /// Its limits, as they are now.
    pub fn limits(&self) -> Limits {
        let core = &self.inner.core;
        Limits { memory_bytes_max: core.memory_bytes_max, time: core.time.limits(), ..*core.limits }
    }

    /// Size of all its memories together, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.inner.core.memory_bytes
    }

    /// Changes [`Limits::memory_bytes_max`] from now on, for this store alone: the next one from the same pool has the
    /// pool's again. What is in use already stays.
    pub fn set_memory_bytes_max(&mut self, bytes: u64) {
        self.inner.core.memory_bytes_max = bytes;
    }

    /// Whether a memory could not grow because of [`Limits::memory_bytes_max`].
    pub fn memory_limit_reached(&self) -> bool {
        self.inner.core.memory_refused
    }

    /// A handle to interrupt the store from another thread: the call under way, or else the next, ends with
    /// [`crate::CallError::Interrupted`].
    ///
    /// ```
    /// use selvedge_runtime::{CallError, Limits, Linker, Module, Store};
    ///
    /// # let wat = r#"(module (func (export "spin") (loop (br 0))))"#;
    /// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &selvedge_compiler::Options::default(), &())?;
    /// let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
    /// let mut store = Store::new((), Limits::default())?;
    /// let spin = Linker::new().instantiate(&mut store, &module)?.typed_func::<(), ()>(&store, "spin")?;
    ///
    /// let kill = store.interrupt_handle();
    /// let killer = std::thread::spawn({
    ///     let kill = kill.clone();
    ///     move || kill.interrupt()
    /// });
    /// assert!(matches!(spin.call(&mut store, ()), Err(CallError::Interrupted(_))));
    /// assert!(killer.join().unwrap(), "there was someone to ask");
    ///
    /// drop(store);
    /// assert!(!kill.interrupt(), "nobody is left");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.inner.core.arena.interrupt_handle()
    }

    /// Hands a host object to the store, to be passed to guests.
    ///
    /// # Errors
    /// At [`Limits::extern_refs_max`].
    pub fn insert_extern(&mut self, object: impl Any + Send) -> Result<ExternRef, LimitError> {
        self.inner.core.insert_extern(Box::new(object))
    }

    /// The object behind a reference, unless it was removed or is of another store.
    pub fn extern_object(&self, object: ExternRef) -> Option<&(dyn Any + Send)> {
        self.inner.core.extern_object(object)
    }

    /// The object behind a reference.
    pub fn extern_object_mut(&mut self, object: ExternRef) -> Option<&mut (dyn Any + Send)> {
        self.inner.core.extern_object_mut(object)
    }

    /// Takes an object back; references to it lead nowhere from now on.
    pub fn remove_extern(&mut self, object: ExternRef) -> Option<Box<dyn Any + Send>> {
        self.inner.core.remove_extern(object)
    }
}

impl Core {
    pub(crate) fn insert_extern(&mut self, object: Box<dyn Any + Send>) -> Result<ExternRef, LimitError> {
        let bits = self.externs.insert(object, self.limits.extern_refs_max)?;
        Ok(ExternRef { store: self.id, bits })
    }

    pub(crate) fn extern_object(&self, object: ExternRef) -> Option<&(dyn Any + Send)> {
        if object.store == self.id { self.externs.get(object.bits) } else { None }
    }

    pub(crate) fn extern_object_mut(&mut self, object: ExternRef) -> Option<&mut (dyn Any + Send)> {
        if object.store == self.id { self.externs.get_mut(object.bits) } else { None }
    }

    pub(crate) fn remove_extern(&mut self, object: ExternRef) -> Option<Box<dyn Any + Send>> {
        if object.store == self.id { self.externs.remove(object.bits) } else { None }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let core = &self.inner.core;
        f.debug_struct("Store")
            .field("data", &self.inner.data)
            .field("instances", &core.instances.len())
            .field("memory_bytes", &core.memory_bytes)
            .finish_non_exhaustive()
    }
}
