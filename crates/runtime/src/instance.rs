//! Instances and what they export.

use selvedge_contract::Extern;
use selvedge_contract::types::ExternType;
use selvedge_native::SlotId;

use crate::context::AsContext;
use crate::core::{Core, StoreId};
use crate::error::{BadCall, CallError};
use crate::func::{Func, TypedFunc};
use crate::global::Global;
use crate::memory::Memory;
use crate::module::Module;
use crate::table::Table;
use crate::typed::{WasmParams, WasmResults};

/// An instance of a module in a store.
///
/// # Panics
/// Its methods panic if they are given another store than the one it came from, unless they return a
/// [`CallError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Instance {
    pub(crate) store: StoreId,
    pub(crate) slot: SlotId,
}

/// Something an instance exports or a module imports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// A function.
    Func(Func),
    /// A table.
    Table(Table),
    /// A memory.
    Memory(Memory),
    /// A global.
    Global(Global),
}

impl Item {
    pub(crate) fn store(&self) -> StoreId {
        match self {
            Item::Func(func) => func.store,
            Item::Table(table) => table.store,
            Item::Memory(memory) => memory.store,
            Item::Global(global) => global.store,
        }
    }

    /// Its type; a memory's or table's minimum is the size it has now.
    ///
    /// # Panics
    /// If it is of another store.
    pub fn ty(&self, store: &impl AsContext) -> ExternType {
        self.type_in(store.as_context().core())
    }

    pub(crate) fn type_in(&self, core: &Core) -> ExternType {
        core.assert_own(self.store());
        match self {
            Item::Func(func) => ExternType::Func(func.type_in(core).cloned().unwrap_or_default()),
            Item::Table(table) => {
                let mut ty = core.table_plan(table.place).ty;
                ty.min = core.table_size(table.place);
                ExternType::Table(ty)
            }
            Item::Memory(memory) => {
                let mut ty = core.memory_plan(memory.place).ty;
                ty.min_pages = core.memory(memory.place).len() as u64 / selvedge_contract::limits::WASM_PAGE_BYTES;
                ExternType::Memory(ty)
            }
            Item::Global(global) => ExternType::Global(core.global_type(global.place)),
        }
    }
}

impl Core {
    /// A handle for an item of an instance's index spaces.
    pub(crate) fn item(&self, slot: SlotId, item: Extern) -> Option<Item> {
        let store = self.id;
        Some(match item {
            Extern::Func(function) => Item::Func(Func { store, instance: slot.0, function }),
            Extern::Table(index) => Item::Table(Table { store, place: self.table_place(slot, index)? }),
            Extern::Memory(index) => Item::Memory(Memory { store, place: self.memory_place(slot, index)? }),
            Extern::Global(index) => Item::Global(Global { store, place: self.global_place(slot, index)? }),
        })
    }
}

impl Instance {
    /// The module it is an instance of.
    pub fn module<'a>(&self, store: &'a impl AsContext) -> &'a Module {
        let core = store.as_context().core();
        core.assert_own(self.store);
        &core.instances[self.slot.0 as usize].module
    }

    /// An export.
    pub fn get_export(&self, store: &impl AsContext, name: &str) -> Option<Item> {
        let item = self.module(store).export(name)?;
        store.as_context().core().item(self.slot, item)
    }

    /// An exported function.
    pub fn get_func(&self, store: &impl AsContext, name: &str) -> Option<Func> {
        if let Item::Func(func) = self.get_export(store, name)? { Some(func) } else { None }
    }

    /// An exported function as one of these Rust types: `instance.typed_func::<(i32, i32), i32>(&store, "add")`.
    ///
    /// # Errors
    /// [`CallError::BadCall`] if there is none of this name and type.
    pub fn typed_func<P: WasmParams, R: WasmResults>(
        &self,
        store: &impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>, CallError> {
        store.as_context().core().check(self.store)?;
        let func = self.get_func(store, name).ok_or_else(|| BadCall::NoFunction(name.to_string()))?;
        func.typed(store)
    }

    /// An exported memory.
    pub fn get_memory(&self, store: &impl AsContext, name: &str) -> Option<Memory> {
        if let Item::Memory(memory) = self.get_export(store, name)? { Some(memory) } else { None }
    }

    /// An exported table.
    pub fn get_table(&self, store: &impl AsContext, name: &str) -> Option<Table> {
        if let Item::Table(table) = self.get_export(store, name)? { Some(table) } else { None }
    }

    /// An exported global.
    pub fn get_global(&self, store: &impl AsContext, name: &str) -> Option<Global> {
        if let Item::Global(global) = self.get_export(store, name)? { Some(global) } else { None }
    }

    /// Every export with its name, in order.
    pub fn exports<'a>(&self, store: &'a impl AsContext) -> impl Iterator<Item = (&'a str, Item)> {
        let (core, slot) = (store.as_context().core(), self.slot);
        let exports = &self.module(store).contract().exports;
        exports.iter().filter_map(move |export| Some((export.name.as_str(), core.item(slot, export.item)?)))
    }
}
