//! All that an instance holds, exported or not: for those who write it down, or look at it from outside.
//!
//! Index spaces here are those of what the module *defines*; what it imports is another's.

use selvedge_contract::types::{RefType, ValType};

use crate::context::AsContext;
use crate::core::{Core, InstanceData, Place};
use crate::instance::Instance;
use crate::module::Module;
use crate::value::Val;

/// What an instance holds at this moment.
#[derive(Clone, Copy)]
pub struct InstanceState<'a> {
    core: &'a Core,
    data: &'a InstanceData,
    instance: Instance,
}

impl Instance {
    /// What it holds at this moment, exported or not.
    pub fn state<'a>(&self, store: &'a impl AsContext) -> InstanceState<'a> {
        let core = store.as_context().core();
        core.assert_own(self.store);
        InstanceState { core, data: &core.instances[self.slot.0 as usize], instance: *self }
    }
}

impl<'a> InstanceState<'a> {
    /// The module it is an instance of.
    pub fn module(&self) -> &'a Module {
        &self.data.module
    }

    fn place(&self, defined: u32, count: usize) -> Option<Place> {
        ((defined as usize) < count).then_some(Place { slot: self.instance.slot, defined })
    }

    /// A memory's bytes.
    pub fn memory(&self, defined: u32) -> Option<&'a [u8]> {
        let at = self.place(defined, self.module().contract().memories.len())?;
        Some(self.core.memory(at))
    }

    /// A table's size, in elements.
    pub fn table_size(&self, defined: u32) -> Option<u64> {
        let at = self.place(defined, self.module().contract().tables.len())?;
        Some(self.core.table_size(at))
    }

    /// A table's element, a reference.
    pub fn table_element(&self, defined: u32, index: u64) -> Option<Val> {
        let at = self.place(defined, self.module().contract().tables.len())?;
        if index >= self.core.table_size(at) {
            return None;
        }
        let ty = match self.core.table_plan(at).ty.element {
            RefType::Func => ValType::FuncRef,
            RefType::Extern => ValType::ExternRef,
        };
        Some(Val::from_raw(ty, self.core.table_get(at, index).into(), self.instance.store))
    }

    /// A global's value.
    pub fn global(&self, defined: u32) -> Option<Val> {
        let at = self.place(defined, self.module().contract().globals.len())?;
        let raw = self.core.arena.global(at.slot, at.defined);
        Some(Val::from_raw(self.core.global_type(at).value, raw, self.instance.store))
    }

    /// The index in the module of a function, if it is this instance's.
    pub fn own_function(&self, func: crate::Func) -> Option<u32> {
        (func.store == self.instance.store && func.instance == self.instance.slot.0).then_some(func.function)
    }

    /// Whether the guest dropped a data segment.
    pub fn data_is_dropped(&self, segment: u32) -> bool {
        self.data.data_is_dropped(segment)
    }

    /// Whether the guest dropped an element segment.
    pub fn element_is_dropped(&self, segment: u32) -> bool {
        self.data.element_is_dropped(segment)
    }
}

impl std::fmt::Debug for InstanceState<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceState").field("instance", &self.instance).finish_non_exhaustive()
    }
}
