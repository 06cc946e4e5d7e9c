//! Access to a store, whether one holds the [`Store`] itself or, in a host function, a [`Caller`].

use std::task::Waker;

use crate::core::Core;
use crate::error::{BadCall, CallError};
use crate::host::Caller;
use crate::pool::Lease;
use crate::refill::Refill;
use crate::store::Store;
use crate::wait::Waiting;

/// What a store holds: what is lent out mutably while guests run. Dropped in this order.
pub(crate) struct Inner<T: 'static> {
    /// What the suspended call waits for.
    pub(crate) waiting: Option<Waiting<T>>,
    /// Who refills its meters.
    pub(crate) refill: Option<Box<Refill<T>>>,
    /// The task that has polled a call last.
    pub(crate) task: Option<Waker>,
    pub(crate) core: Lease,
    pub(crate) data: T,
}

/// Shared access to a store.
pub struct Context<'a, T: 'static> {
    pub(crate) inner: &'a Inner<T>,
}

/// Exclusive access to a store.
pub struct ContextMut<'a, T: 'static> {
    pub(crate) inner: &'a mut Inner<T>,
}

/// Whatever gives shared access to a store: [`Store`], [`Caller`], [`Context`], [`ContextMut`].
pub trait AsContext {
    /// The store's data.
    type Data: 'static;

    /// The access.
    fn as_context(&self) -> Context<'_, Self::Data>;
}

/// Whatever gives exclusive access to a store: [`Store`], [`Caller`], [`ContextMut`].
pub trait AsContextMut: AsContext {
    /// The access.
    fn as_context_mut(&mut self) -> ContextMut<'_, Self::Data>;
}

impl<'a, T: 'static> Context<'a, T> {
    /// The host's data.
    pub fn data(&self) -> &'a T {
        &self.inner.data
    }

    pub(crate) fn core(&self) -> &'a Core {
        &self.inner.core
    }
}

impl<'a, T: 'static> ContextMut<'a, T> {
    /// The host's data.
    pub fn data(&self) -> &T {
        &self.inner.data
    }

    /// The host's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.inner.data
    }

    pub(crate) fn into_parts(self) -> (&'a mut Core, &'a mut T) {
        (&mut self.inner.core, &mut self.inner.data)
    }
}

impl Core {
    /// Refuses a handle of another store.
    #[inline]
    pub(crate) fn check(&self, store: crate::core::StoreId) -> Result<(), CallError> {
        if self.id == store { Ok(()) } else { Err(wrong_store()) }
    }

    /// As [`Core::check`], for handles whose methods return plain data.
    #[inline]
    #[track_caller]
    pub(crate) fn assert_own(&self, store: crate::core::StoreId) {
        assert!(self.id == store, "a handle of another store was used");
    }
}

#[cold]
fn wrong_store() -> CallError {
    CallError::BadCall(BadCall::WrongStore)
}

impl<T: 'static> AsContext for Store<T> {
    type Data = T;

    #[inline]
    fn as_context(&self) -> Context<'_, T> {
        Context { inner: &self.inner }
    }
}

impl<T: 'static> AsContextMut for Store<T> {
    #[inline]
    fn as_context_mut(&mut self) -> ContextMut<'_, T> {
        ContextMut { inner: &mut self.inner }
    }
}

impl<T: 'static> AsContext for Context<'_, T> {
    type Data = T;

    fn as_context(&self) -> Context<'_, T> {
        Context { inner: self.inner }
    }
}

impl<T: 'static> AsContext for ContextMut<'_, T> {
    type Data = T;

    fn as_context(&self) -> Context<'_, T> {
        Context { inner: self.inner }
    }
}

impl<T: 'static> AsContextMut for ContextMut<'_, T> {
    fn as_context_mut(&mut self) -> ContextMut<'_, T> {
        ContextMut { inner: self.inner }
    }
}

impl<T: 'static> AsContext for Caller<'_, T> {
    type Data = T;

    fn as_context(&self) -> Context<'_, T> {
        self.context.as_context()
    }
}

impl<T: 'static> AsContextMut for Caller<'_, T> {
    fn as_context_mut(&mut self) -> ContextMut<'_, T> {
        self.context.as_context_mut()
    }
}

impl<C: AsContext + ?Sized> AsContext for &C {
    type Data = C::Data;

    fn as_context(&self) -> Context<'_, C::Data> {
        (**self).as_context()
    }
}

impl<C: AsContext + ?Sized> AsContext for &mut C {
    type Data = C::Data;

    fn as_context(&self) -> Context<'_, C::Data> {
        (**self).as_context()
    }
}

impl<C: AsContextMut + ?Sized> AsContextMut for &mut C {
    fn as_context_mut(&mut self) -> ContextMut<'_, C::Data> {
        (**self).as_context_mut()
    }
}
