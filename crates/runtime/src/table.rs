//! Tables.

use selvedge_contract::types::TableType;
use thiserror::Error;

use crate::context::{AsContext, AsContextMut};
use crate::core::{Core, Place, StoreId};
use crate::value::Val;

/// A table of an instance.
///
/// # Panics
/// Its methods panic if they are given another store than the one it came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Table {
    pub(crate) store: StoreId,
    pub(crate) place: Place,
}

/// A table cannot be changed so: the embedder's mistake, or a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TableError {
    /// The index is not below the table's size.
    #[error("index {index} is outside the table of {size}")]
    OutOfBounds {
        /// The index.
        index: u64,
        /// The table's size.
        size: u64,
    },
    /// The value has another type than the table's elements.
    #[error("the value does not have the element type of this {0}")]
    Type(TableType),
    /// The value is a handle of another store, or leads nowhere.
    #[error("the value is a handle of another store")]
    WrongStore,
    /// Its maximum or a limit of the store does not allow it to grow so far.
    #[error("the table cannot grow from {size} by {delta}")]
    Full {
        /// Its size.
        size: u64,
        /// By how much it was to grow.
        delta: u64,
    },
}

impl Table {
    /// Its type, with the size it has now as the minimum.
    pub fn ty(&self, store: &impl AsContext) -> TableType {
        let core = store.as_context().core();
        core.assert_own(self.store);
        TableType { min: core.table_size(self.place), ..core.table_plan(self.place).ty }
    }

    /// Its size, in elements.
    pub fn size(&self, store: &impl AsContext) -> u64 {
        let core = store.as_context().core();
        core.assert_own(self.store);
        core.table_size(self.place)
    }

    /// An element, or `None` beyond its size.
    pub fn get(&self, store: &impl AsContext, index: u64) -> Option<Val> {
        let core = store.as_context().core();
        if index >= self.size(store) {
            return None;
        }
        let element = core.table_plan(self.place).ty.element;
        Some(Val::from_raw(element.into(), core.table_get(self.place, index).into(), self.store))
    }

    /// Sets an element.
    ///
    /// # Errors
    /// Beyond its size, or for a value of another type.
    pub fn set(&self, store: &mut impl AsContextMut, index: u64, value: Val) -> Result<(), TableError> {
        let (core, _) = store.as_context_mut().into_parts();
        core.assert_own(self.store);
        let size = core.table_size(self.place);
        if index >= size {
            return Err(TableError::OutOfBounds { index, size });
        }
        let bits = self.bits(core, value)?;
        core.table_fill(self.place, index..index + 1, bits).ok_or(TableError::WrongStore)
    }

    /// Grows it by so many elements, all `init`, and returns the size it had.
    ///
    /// # Errors
    /// If it cannot grow so far, or for a value of another type.
    pub fn grow(&self, store: &mut impl AsContextMut, delta: u64, init: Val) -> Result<u64, TableError> {
        let (core, _) = store.as_context_mut().into_parts();
        core.assert_own(self.store);
        let bits = self.bits(core, init)?;
        let size = core.table_size(self.place);
        let old = core.table_grow(self.place, delta).ok_or(TableError::Full { size, delta })?;
        core.table_fill(self.place, old..old + delta, bits).ok_or(TableError::WrongStore)?;
        Ok(old)
    }

    fn bits(&self, core: &Core, value: Val) -> Result<u64, TableError> {
        let ty = core.table_plan(self.place).ty;
        if value.ty() != ty.element.into() {
            return Err(TableError::Type(ty));
        }
        let bits = value.to_raw(self.store).ok_or(TableError::WrongStore)? as u64;
        let known = !matches!(value, Val::FuncRef(_)) || core.table_function(bits).is_some();
        if known { Ok(bits) } else { Err(TableError::WrongStore) }
    }
}
