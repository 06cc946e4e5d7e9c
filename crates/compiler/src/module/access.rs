//! How code reaches memories and tables: the contract's plans, made quick to look up.

use selvedge_contract::limits::{DENSE_GUARD_BYTES, GUARDED_GUARD_BYTES, GUARDED_RESERVATION_BYTES};
use selvedge_contract::vmctx::{Reach, VmLayout};
use selvedge_contract::{Contract, MemoryLayout};

/// How code reaches one memory.
pub(crate) struct MemoryAccess {
    /// Where its base is.
    pub(crate) reach: Reach,
    /// Offset of the field that holds the definition, or a pointer to it if imported.
    pub(crate) definition: i32,
    /// Whether addresses are 64 bits wide.
    pub(crate) memory64: bool,
    /// Its reservation; `None` if only the definition knows.
    pub(crate) bound: Option<u64>,
    /// What may follow a clamped index.
    pub(crate) guard_bytes: u64,
}

/// How code reaches one table.
pub(crate) struct TableAccess {
    /// Where its entries are.
    pub(crate) reach: Reach,
    /// Offset of the field that holds the definition, or a pointer to it if imported.
    pub(crate) definition: i32,
    /// Whether indices are 64 bits wide.
    pub(crate) table64: bool,
    /// Entries reserved; `None` if only the definition knows.
    pub(crate) bound: Option<u64>,
}

/// All memories by index. Imported 32-bit memories of a guarded module are guarded too: the runtime links
/// no others.
pub(super) fn memories(contract: &Contract, layout: &VmLayout, mode: MemoryLayout) -> Vec<MemoryAccess> {
    let imported = contract.imported_memories().enumerate().map(|(i, ty)| {
        let guarded = mode == MemoryLayout::Guarded && !ty.memory64;
        let definition = layout.import_memory(i as u32);
        MemoryAccess {
            reach: layout.reach_memory(i as u32),
            definition,
            memory64: ty.memory64,
            bound: guarded.then_some(GUARDED_RESERVATION_BYTES),
            guard_bytes: if guarded { GUARDED_GUARD_BYTES } else { DENSE_GUARD_BYTES },
        }
    });
    let first = contract.imported_memories().count();
    let own = contract.memories.iter().enumerate().map(|(i, plan)| MemoryAccess {
        reach: layout.reach_memory((first + i) as u32),
        definition: layout.memory_def(i as u32),
        memory64: plan.ty.memory64,
        bound: Some(plan.reservation_bytes),
        guard_bytes: plan.guard_bytes,
    });
    imported.chain(own).collect()
}

/// All tables by index.
pub(super) fn tables(contract: &Contract, layout: &VmLayout) -> Vec<TableAccess> {
    let imported = contract.imported_tables().enumerate().map(|(i, ty)| TableAccess {
        reach: layout.reach_table(i as u32),
        definition: layout.import_table(i as u32),
        table64: ty.table64,
        bound: None,
    });
    let first = contract.imported_tables().count();
    let own = contract.tables.iter().enumerate().map(|(i, plan)| TableAccess {
        reach: layout.reach_table((first + i) as u32),
        definition: layout.table_def(i as u32),
        table64: plan.ty.table64,
        bound: Some(plan.entries_max),
    });
    imported.chain(own).collect()
}
