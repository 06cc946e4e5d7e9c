//! The VM context: what generated code finds through its first argument.
//!
//! ```text
//!            table entries
//!            imported functions   {code, ctx, host, owner} each    ([`import_function`])
//!            imported memories    → that memory's definition
//!            imported tables      → that table's definition
//!            imported globals     → that global's cell
//!            tables               {base, size, bound, owner} each  ([`table_def`])
//!            memories             {base, size, bound} each         ([`memory_def`])
//!            globals              16 bytes each, the first nearest
//!            header: stack limit, host entries, identity, meter   ([`header`])
//!  ctx ────► memory 0 (the first the module defines): its guest address 0
//! ```
//!
//! The context pointer is the address of memory 0, and everything else lies below it: heap accesses, the
//! most frequent instructions, need neither a base load nor a 32-bit displacement. Fields that every
//! function uses lie within an 8-bit displacement.
//!
//! Guest code writes nothing below the pointer but mutable globals and its meter; everything else is the host's to
//! write, before the guest runs or while it is in a host call. Base addresses never change while an
//! instance lives. All defined tables lie at fixed distances from the context, so that code reaches them
//! without loading a base.

mod field;

pub use field::Field;

use thiserror::Error;

use crate::contract::{Contract, MemoryPlan, TablePlan};
use crate::limits::VMCTX_BYTES_MAX;
use crate::types::RefType;

/// The header that ends every context. All fields are 8 bytes; offsets are from the context pointer.
pub mod header {
    /// Lowest stack address that guest code may use; prologues compare with it.
    pub const STACK_LIMIT: i32 = -8;
    /// Address of the stub that host thunks call ([`crate::abi`]).
    pub const HOST_CALL: i32 = -16;
    /// Address of the stub for explicit traps.
    pub const RAISE: i32 = -24;
    /// Address of the activation that runs on this stack; the stubs' alone.
    pub const ACTIVATION: i32 = -32;
    /// [`crate::abi::FuncRefBits::base`] of this instance.
    pub const FUNCREF_BASE: i32 = -40;
    /// Number of this instance in its store, for the host.
    pub const INSTANCE: i32 = -48;
    /// Address of the stub that calls a [`crate::abi::Builtin`].
    pub const BUILTIN: i32 = -56;
    /// What metered code has executed ([`crate::meter`]). Code writes it.
    pub const METER: i32 = -64;
    /// Bytes in all; the rest is reserved and zero.
    pub const BYTES: u32 = 64;
    /// What metered code may have executed in all; only there is this field.
    pub const METER_LIMIT: i32 = -72;
    /// What metered code would have executed when the piece ends that its limit stops; beside it.
    pub const METER_WANTED: i32 = -80;
    /// Bytes in all where code is metered.
    pub const METERED_BYTES: u32 = 80;
}

/// An imported function's slot.
pub mod import_function {
    /// Address of the code.
    pub const CODE: i32 = 0;
    /// What to pass it in the context's place: to a guest function its context, to a stub of the host's whatever
    /// that expects. Code passes it on and looks no further.
    pub const CTX: i32 = 8;
    /// Of a host function: where the stubs for host calls go; theirs alone.
    pub const HOST: i32 = 16;
    /// Of a host function: the context that this slot is part of; the stubs' alone.
    pub const OWNER: i32 = 24;
    /// Bytes of a slot.
    pub const BYTES: u32 = 32;
}

/// A memory's definition.
pub mod memory_def {
    /// Address of its first byte.
    pub const BASE: i32 = 0;
    /// Current size, in bytes.
    pub const SIZE: i32 = 8;
    /// Its reservation, in bytes: a larger index is clamped to this.
    pub const BOUND: i32 = 16;
    /// Bytes of a definition.
    pub const BYTES: u32 = 32;
}

/// A table's definition.
pub mod table_def {
    /// Address of its first entry.
    pub const BASE: i32 = 0;
    /// Current size, in entries.
    pub const SIZE: i32 = 8;
    /// Entries reserved: a larger index is clamped to this, which is a null entry.
    pub const BOUND: i32 = 16;
    /// Context of the instance that owns it.
    pub const OWNER: i32 = 24;
    /// Bytes of a definition.
    pub const BYTES: u32 = 32;
}

/// An entry of a table of functions. All zero is null.
pub mod table_entry {
    /// Address of the code.
    pub const CODE: i32 = 0;
    /// [`crate::types::FuncType::signature_id`]; 0 in a null entry, so that it equals none.
    pub const SIGNATURE: i32 = 8;
    /// Context to pass it; 0 means the context of the table's owner.
    pub const CTX: i32 = 16;
    /// [`crate::abi::FuncRefBits`] of the function.
    pub const FUNCREF: i32 = 24;
    /// Bytes of an entry.
    pub const BYTES: u32 = 32;
}

/// Bytes of an entry in a table of host references.
pub const EXTERN_ENTRY_BYTES: u32 = 8;
/// Context and tables begin at a multiple of this, so that a stack may end there.
pub const CONTEXT_ALIGN: u64 = 16;
/// Bytes of a global's cell.
pub const GLOBAL_BYTES: u32 = 16;

/// The module wants more state than a context may have.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("context and tables would take {bytes} bytes, more than {VMCTX_BYTES_MAX}: lower the tables' maximum")]
pub struct LayoutError {
    /// What they would take.
    pub bytes: u64,
}

/// Where everything of one module lies. Offsets are bytes from the context pointer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VmLayout {
    header_bytes: u32,
    import_functions: i32,
    import_memories: i32,
    import_tables: i32,
    import_globals: i32,
    memories: i32,
    tables: i32,
    globals: i32,
    globals_count: u32,
    imported: Imported,
    table_entries: Vec<i32>,
    context_bytes: u64,
    memory_offsets: Vec<u64>,
    total_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Imported {
    memories: u32,
    tables: u32,
    globals: u32,
}

/// How generated code reaches a memory, table or global.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It lies at this distance from the context.
    Inline(i32),
    /// The definition at this offset holds its base.
    Definition(i32),
    /// The pointer at this offset leads to a definition (of a global: to its cell) in another instance.
    Imported(i32),
}

impl VmLayout {
    /// Lays out a module's context.
    ///
    /// # Errors
    /// If the tables do not fit. Counts are bounded by [`crate::limits`], checked when a contract is made.
    pub fn new(contract: &Contract) -> Result<VmLayout, LayoutError> {
        let imported = Imported {
            memories: contract.imported_memories().count() as u32,
            tables: contract.imported_tables().count() as u32,
            globals: contract.imported_globals().count() as u32,
        };
        let header_bytes = if contract.metered { header::METERED_BYTES } else { header::BYTES };
        let mut below = Below(header_bytes);
        let globals = below.take(contract.globals.len(), GLOBAL_BYTES);
        let memories = below.take(contract.memories.len(), memory_def::BYTES);
        let tables = below.take(contract.tables.len(), table_def::BYTES);
        let import_globals = below.take(imported.globals as usize, 8);
        let import_tables = below.take(imported.tables as usize, 8);
        let import_memories = below.take(imported.memories as usize, 8);
        let import_functions = below.take(contract.imported_functions().count(), import_function::BYTES);
        let (table_entries, context_bytes) = place_tables(below.0, &contract.tables)?;
        let (memory_offsets, total_bytes) = place_memories(&contract.memories);
        let globals_count = contract.globals.len() as u32;
        Ok(VmLayout {
            header_bytes,
            import_functions,
            import_memories,
            import_tables,
            import_globals,
            memories,
            tables,
            globals,
            globals_count,
            imported,
            table_entries,
            context_bytes,
            memory_offsets,
            total_bytes,
        })
    }

    /// Offset of an imported function's slot.
    pub fn import_function(&self, index: u32) -> i32 {
        self.import_functions + (index * import_function::BYTES) as i32
    }

    /// Offset of the pointer to an imported memory's definition.
    pub fn import_memory(&self, index: u32) -> i32 {
        self.import_memories + (index * 8) as i32
    }

    /// Offset of the pointer to an imported table's definition.
    pub fn import_table(&self, index: u32) -> i32 {
        self.import_tables + (index * 8) as i32
    }

    /// Offset of the pointer to an imported global's cell.
    pub fn import_global(&self, index: u32) -> i32 {
        self.import_globals + (index * 8) as i32
    }

    /// Offset of the definition of the module's own `defined`-th memory.
    pub fn memory_def(&self, defined: u32) -> i32 {
        self.memories + (defined * memory_def::BYTES) as i32
    }

    /// Offset of the definition of the module's own `defined`-th table.
    pub fn table_def(&self, defined: u32) -> i32 {
        self.tables + (defined * table_def::BYTES) as i32
    }

    /// Offset of the cell of the module's own `defined`-th global; the first is nearest to the context.
    pub fn global(&self, defined: u32) -> i32 {
        self.globals + ((self.globals_count - 1 - defined) * GLOBAL_BYTES) as i32
    }

    /// Offset of the entries of the module's own `defined`-th table.
    pub fn table_entries(&self, defined: u32) -> i32 {
        self.table_entries[defined as usize]
    }

    /// How code reaches a memory, by its index in the module.
    pub fn reach_memory(&self, index: u32) -> Reach {
        match index.checked_sub(self.imported.memories) {
            None => Reach::Imported(self.import_memory(index)),
            Some(0) => Reach::Inline(0),
            Some(defined) => Reach::Definition(self.memory_def(defined)),
        }
    }

    /// How code reaches a table's entries, by its index in the module: `Inline` or `Imported`.
    pub fn reach_table(&self, index: u32) -> Reach {
        match index.checked_sub(self.imported.tables) {
            None => Reach::Imported(self.import_table(index)),
            Some(defined) => Reach::Inline(self.table_entries(defined)),
        }
    }

    /// How code reaches a global, by its index in the module: `Inline` or `Imported`.
    pub fn reach_global(&self, index: u32) -> Reach {
        match index.checked_sub(self.imported.globals) {
            None => Reach::Imported(self.import_global(index)),
            Some(defined) => Reach::Inline(self.global(defined)),
        }
    }

    /// Offset of the cells of all the module's own globals, and how many bytes they are.
    pub fn globals(&self) -> (i32, u32) {
        (self.globals, self.globals_count * GLOBAL_BYTES)
    }

    /// Bytes below the context pointer, tables included: a multiple of [`CONTEXT_ALIGN`].
    pub fn context_bytes(&self) -> u64 {
        self.context_bytes
    }

    /// Distance from the context pointer to each of the module's own memories; page-aligned, the first 0.
    pub fn memory_offsets(&self) -> &[u64] {
        &self.memory_offsets
    }

    /// Bytes from the context pointer to the end of the last memory's guard.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }
}

/// Hands out space downwards from the context pointer.
struct Below(u32);

impl Below {
    fn take(&mut self, count: usize, bytes: u32) -> i32 {
        self.0 += count as u32 * bytes;
        -(self.0 as i32)
    }
}

/// Bytes of one entry in a table of this type.
pub fn entry_bytes(element: RefType) -> u32 {
    match element {
        RefType::Func => table_entry::BYTES,
        RefType::Extern => EXTERN_ENTRY_BYTES,
    }
}

fn place_tables(below: u32, tables: &[TablePlan]) -> Result<(Vec<i32>, u64), LayoutError> {
    let mut next = u64::from(below).next_multiple_of(CONTEXT_ALIGN);
    let mut offsets = Vec::with_capacity(tables.len());
    for table in tables {
        // One entry more: the null entry that a clamped index meets.
        let bytes = table.entries_max.saturating_add(1).saturating_mul(u64::from(entry_bytes(table.ty.element)));
        next = next.saturating_add(bytes).checked_next_multiple_of(CONTEXT_ALIGN).unwrap_or(u64::MAX);
        if next > VMCTX_BYTES_MAX {
            return Err(LayoutError { bytes: next });
        }
        offsets.push(-(next as i32));
    }
    Ok((offsets, next))
}

fn place_memories(memories: &[MemoryPlan]) -> (Vec<u64>, u64) {
    let mut next = 0;
    let mut offsets = Vec::with_capacity(memories.len());
    for memory in memories {
        offsets.push(next);
        next += memory.reservation_bytes + memory.guard_bytes;
    }
    (offsets, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{ConstExpr, GlobalPlan, Interruption, Provenance};
    use crate::cpu::CpuFeatures;
    use crate::limits::DENSE_GUARD_BYTES;
    use crate::types::{ExternType, FuncType, GlobalType, TableType, ValType};

    fn contract() -> Contract {
        let global = GlobalPlan { ty: GlobalType { value: ValType::I32, mutable: true }, init: ConstExpr::default() };
        let ty = TableType { element: RefType::Func, min: 3, max: None, table64: false };
        Contract {
            types: vec![],
            imports: vec![],
            exports: vec![],
            defined_functions: 0,
            memories: vec![],
            tables: vec![TablePlan { ty, entries_max: 300 }; 2],
            globals: vec![global; 3],
            elements: vec![],
            data: vec![],
            image: vec![],
            imported_memory_layout: crate::contract::MemoryLayout::Guarded,
            start: None,
            code_section_offset: 0,
            cpu: CpuFeatures::default(),
            interruption: Interruption::Signal,
            metered: false,
            provenance: Provenance::default(),
        }
    }

    #[test]
    fn parts_lie_below_the_context_and_apart() {
        let layout = VmLayout::new(&contract()).unwrap();
        assert_eq!(layout.global(0), -80, "the first global is within an 8-bit displacement");
        assert_eq!(layout.global(2), -112);
        assert_eq!(layout.table_def(1), -112 - 32);
        assert_eq!(layout.table_def(0), -112 - 64);
        let entries = 301 * 32;
        assert_eq!(layout.table_entries(0), -(176 + entries));
        assert_eq!(layout.table_entries(1), -(176 + 2 * entries));
        assert_eq!(layout.context_bytes(), 176 + 2 * 9632, "nothing lies between them");
    }

    #[test]
    fn every_offset_leads_back_to_its_field() {
        let mut contract = contract();
        let import = |ty| crate::contract::Import { module: "m".into(), name: "n".into(), ty };
        let memory = crate::types::MemoryType { min_pages: 1, max_pages: None, memory64: false };
        contract.imports = vec![
            import(ExternType::Func(FuncType::default())),
            import(ExternType::Func(FuncType::default())),
            import(ExternType::Memory(memory)),
            import(ExternType::Table(contract.tables[0].ty)),
            import(ExternType::Global(contract.globals[0].ty)),
        ];
        contract.memories = vec![MemoryPlan {
            ty: memory,
            layout: crate::contract::MemoryLayout::Dense,
            reservation_bytes: 1 << 16,
            guard_bytes: DENSE_GUARD_BYTES,
            pages_max: 1,
        }];
        let layout = VmLayout::new(&contract).unwrap();
        let at = |offset| layout.field_at(offset);
        for defined in 0..3 {
            assert_eq!(at(layout.global(defined) + 8), Some(Field::Global { defined, offset: 8 }));
        }
        let bound = memory_def::BOUND as u32;
        assert_eq!(at(layout.memory_def(0) + memory_def::BOUND), Some(Field::MemoryDef { defined: 0, offset: bound }));
        let owner = table_def::OWNER as u32;
        assert_eq!(at(layout.table_def(1) + table_def::OWNER), Some(Field::TableDef { defined: 1, offset: owner }));
        assert_eq!(at(layout.import_global(0)), Some(Field::ImportGlobal(0)));
        assert_eq!(at(layout.import_table(0)), Some(Field::ImportTable(0)));
        assert_eq!(at(layout.import_memory(0)), Some(Field::ImportMemory(0)));
        assert_eq!(at(layout.import_function(1) + 8), Some(Field::ImportFunction { import: 1, offset: 8 }));
        assert_eq!(at(header::STACK_LIMIT), Some(Field::StackLimit));
        for hidden in [header::ACTIVATION, header::INSTANCE, -7, 0, layout.import_function(0) - 8] {
            assert_eq!(at(hidden), None, "{hidden}");
        }
    }

    #[test]
    fn tables_too_large_are_refused() {
        let mut contract = contract();
        contract.tables[0].entries_max = u64::MAX;
        assert!(VmLayout::new(&contract).is_err());
    }
}
