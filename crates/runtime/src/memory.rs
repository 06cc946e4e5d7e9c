//! Linear memories.

use selvedge_contract::limits::WASM_PAGE_BYTES;
use selvedge_contract::types::MemoryType;

use crate::context::{AsContext, AsContextMut};
use crate::core::{Place, StoreId};
use crate::guest::{GuestFault, GuestPtr};

/// A memory of an instance.
///
/// # Panics
/// Its methods panic if they are given another store than the one it came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Memory {
    pub(crate) store: StoreId,
    pub(crate) place: Place,
}

impl Memory {
    /// Its type, with the size it has now as the minimum.
    pub fn ty(&self, store: &impl AsContext) -> MemoryType {
        let core = store.as_context().core();
        core.assert_own(self.store);
        MemoryType { min_pages: self.size(store), ..core.memory_plan(self.place).ty }
    }

    /// Its size, in pages of 64 KiB.
    pub fn size(&self, store: &impl AsContext) -> u64 {
        self.data(store).len() as u64 / WASM_PAGE_BYTES
    }

    /// Its bytes.
    pub fn data<'a>(&self, store: &'a impl AsContext) -> &'a [u8] {
        let core = store.as_context().core();
        core.assert_own(self.store);
        core.memory(self.place)
    }

    /// Its bytes, writable.
    pub fn data_mut<'a>(&self, store: &'a mut impl AsContextMut) -> &'a mut [u8] {
        self.data_and_store_mut(store).0
    }

    /// Its bytes and the host's data, both at once.
    pub fn data_and_store_mut<'a, C: AsContextMut>(&self, store: &'a mut C) -> (&'a mut [u8], &'a mut C::Data) {
        let (core, data) = store.as_context_mut().into_parts();
        core.assert_own(self.store);
        (core.memory_mut(self.place), data)
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// If the memory does not have them all.
    pub fn read(&self, store: &impl AsContext, address: u64, into: &mut [u8]) -> Result<(), GuestFault> {
        let memory = self.data(store);
        let fault = GuestFault { address, len: into.len() as u64, memory_bytes: memory.len() as u64 };
        let range = crate::guest::range(address, into.len() as u64, memory.len()).ok_or(fault)?;
        into.copy_from_slice(&memory[range]);
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// If the memory does not have the place.
    pub fn write(&self, store: &mut impl AsContextMut, address: u64, from: &[u8]) -> Result<(), GuestFault> {
        let memory = self.data_mut(store);
        let fault = GuestFault { address, len: from.len() as u64, memory_bytes: memory.len() as u64 };
        let range = crate::guest::range(address, from.len() as u64, memory.len()).ok_or(fault)?;
        memory[range].copy_from_slice(from);
        Ok(())
    }

    /// A little-endian number or structure.
    ///
    /// # Errors
    /// If the memory does not have it.
    pub fn get<V: crate::GuestValue>(&self, store: &impl AsContext, at: GuestPtr<V>) -> Result<V, GuestFault> {
        at.read(self.data(store))
    }

    /// Sets a little-endian number or structure.
    ///
    /// # Errors
    /// If the memory does not have the place.
    pub fn set<V: crate::GuestValue>(
        &self,
        store: &mut impl AsContextMut,
        at: GuestPtr<V>,
        value: &V,
    ) -> Result<(), GuestFault> {
        at.write(self.data_mut(store), value)
    }

    /// Grows it by so many pages and returns the size it had, or `None` if its maximum, a limit of the store or
    /// the machine does not allow it.
    pub fn grow(&self, store: &mut impl AsContextMut, delta_pages: u64) -> Option<u64> {
        let (core, _) = store.as_context_mut().into_parts();
        core.assert_own(self.store);
        core.memory_grow(self.place, delta_pages)
    }
}
