//! Globals.

use selvedge_contract::types::GlobalType;
use thiserror::Error;

use crate::context::{AsContext, AsContextMut};
use crate::core::{Core, Place, StoreId};
use crate::value::Val;

/// A global of an instance.
///
/// # Panics
/// Its methods panic if they are given another store than the one it came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Global {
    pub(crate) store: StoreId,
    pub(crate) place: Place,
}

/// A global cannot be set so: the embedder's mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum GlobalError {
    /// It is a constant.
    #[error("the global is immutable")]
    Immutable,
    /// The value has another type than the global.
    #[error("the value does not have the global's type: {0}")]
    Type(GlobalType),
    /// The value is a handle of another store.
    #[error("the value is a handle of another store")]
    WrongStore,
}

impl Core {
    pub(crate) fn global_type(&self, at: Place) -> GlobalType {
        self.instances[at.slot.0 as usize].module.contract().globals[at.defined as usize].ty
    }
}

impl Global {
    /// Its type.
    pub fn ty(&self, store: &impl AsContext) -> GlobalType {
        let core = store.as_context().core();
        core.assert_own(self.store);
        core.global_type(self.place)
    }

    /// Its value.
    pub fn get(&self, store: &impl AsContext) -> Val {
        let ty = self.ty(store);
        let core = store.as_context().core();
        Val::from_raw(ty.value, core.arena.global(self.place.slot, self.place.defined), self.store)
    }

    /// Sets its value.
    ///
    /// # Errors
    /// If it is immutable or of another type.
    pub fn set(&self, store: &mut impl AsContextMut, value: Val) -> Result<(), GlobalError> {
        let (core, _) = store.as_context_mut().into_parts();
        core.assert_own(self.store);
        let ty = core.global_type(self.place);
        if !ty.mutable {
            return Err(GlobalError::Immutable);
        }
        if value.ty() != ty.value {
            return Err(GlobalError::Type(ty));
        }
        let raw = value.to_raw(self.store).ok_or(GlobalError::WrongStore)?;
        core.arena.set_global(self.place.slot, self.place.defined, raw);
        Ok(())
    }
}
