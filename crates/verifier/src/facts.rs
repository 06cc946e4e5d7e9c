//! What the contract and the tables say, made quick to look up. Claims, all of them: that functions have
//! the types recorded for them is proved function by function, the layout is what the runtime will build.

use std::collections::HashMap;

use selvedge_contract::artifact::{ArtifactIndex, FunctionRecord, TextCounts, TextFunction, TrapTable};
use selvedge_contract::limits::{DENSE_GUARD_BYTES, GUARDED_GUARD_BYTES, GUARDED_RESERVATION_BYTES};
use selvedge_contract::types::{FuncType, GlobalType, RefType};
use selvedge_contract::vmctx::{VmLayout, table_entry};
use selvedge_contract::{Contract, MemoryLayout};

use crate::convention::{Convention, bytes};

/// Functions are looked for within so many bytes of text: a few of them.
const PAGE_BYTES: usize = 4096;

/// What is known of a memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Bytes from its base that belong to it; `None` if only the instance knows.
    pub(crate) reach: Option<u64>,
    /// Bytes after its reservation that belong to it.
    pub(crate) guard: u64,
    /// Its reservation, if known.
    pub(crate) bound: Option<u64>,
}

/// What is known of one of the module's own tables of functions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries {
    /// Its index in the module.
    pub(crate) table: u32,
    /// Where its entries lie, from the context pointer.
    pub(crate) start: i64,
    /// And where they end, the null entry included.
    pub(crate) end: i64,
}

/// Everything to know about the artifact while looking at one of its functions.
pub(crate) struct Facts<'a> {
    pub(crate) contract: &'a Contract,
    pub(crate) layout: &'a VmLayout,
    pub(crate) text: &'a [u8],
    pub(crate) traps: TrapTable<'a>,
    pub(crate) counts: TextCounts,
    pub(crate) records: Vec<FunctionRecord>,
    /// For each page of text, and one more, how many functions start before it.
    pub(crate) pages: Vec<usize>,
    pub(crate) conventions: Vec<Convention>,
    /// A type by its signature id.
    pub(crate) signatures: HashMap<u64, u32>,
    /// The type of each imported function.
    pub(crate) imports: Vec<u32>,
    pub(crate) memories: Vec<Memory>,
    pub(crate) imported_memories: u32,
    /// The own tables of functions.
    pub(crate) tables: Vec<Entries>,
    /// For each imported table, whether it is of functions.
    pub(crate) imported_tables: Vec<bool>,
    pub(crate) imported_globals: Vec<GlobalType>,
}

impl<'a> Facts<'a> {
    /// Collects them from an artifact whose tables were checked.
    pub(crate) fn new(artifact: &'a [u8], index: &'a ArtifactIndex) -> Facts<'a> {
        let contract = &index.contract;
        let types: HashMap<&FuncType, u32> = contract.types.iter().zip(0..).collect();
        let undeclared = contract.types.len() as u32;
        let type_of = |ty| types.get(ty).copied().unwrap_or(undeclared);
        let records: Vec<_> = index.functions(artifact).iter().collect();
        let text = &artifact[index.text()];
        Facts {
            contract,
            layout: &index.layout,
            text,
            traps: index.traps(artifact),
            counts: TextCounts::of(contract),
            pages: pages(&records, text.len()),
            records,
            conventions: contract.types.iter().map(Convention::of).collect(),
            signatures: contract.types.iter().map(FuncType::signature_id).zip(0..).collect(),
            imports: contract.imported_functions().map(type_of).collect(),
            memories: memories(contract),
            imported_memories: contract.imported_memories().count() as u32,
            tables: tables(contract, &index.layout),
            imported_tables: contract.imported_tables().map(|ty| ty.element == RefType::Func).collect(),
            imported_globals: contract.imported_globals().copied().collect(),
        }
    }

    /// The function that starts at this offset in text.
    pub(crate) fn function_at(&self, offset: u32) -> Option<usize> {
        let page = offset as usize / PAGE_BYTES;
        let (from, to) = (*self.pages.get(page)?, *self.pages.get(page + 1)?);
        let found = self.records[from..to].binary_search_by_key(&offset, |record| record.text_offset).ok()?;
        Some(from + found)
    }

    /// The convention of a guest function.
    pub(crate) fn guest_convention(&self, number: usize) -> Option<&Convention> {
        match self.counts.at(number)? {
            TextFunction::Defined(_) | TextFunction::HostThunk(_) | TextFunction::ImportThunk(_) => {
                self.conventions.get(self.records[number].ty as usize)
            }
            TextFunction::Entry(_) | TextFunction::BadCall => None,
        }
    }

    /// The convention of a guest function that others may call directly. Host thunks are only for those
    /// import slots whose function is the host's; whether that is so, only the instance knows.
    pub(crate) fn direct_convention(&self, number: usize) -> Option<&Convention> {
        match self.counts.at(number)? {
            TextFunction::HostThunk(_) => None,
            _ => self.guest_convention(number),
        }
    }

    /// The convention of an imported function.
    pub(crate) fn import_convention(&self, import: u32) -> Option<&Convention> {
        self.conventions.get(*self.imports.get(import as usize)? as usize)
    }

    /// Where the stub for bad calls starts.
    pub(crate) fn bad_call(&self) -> i64 {
        self.records[self.counts.index(TextFunction::BadCall)].text_offset.into()
    }

    /// Bytes of one of the module's own globals, and whether code may write it.
    pub(crate) fn global(&self, defined: u32) -> Option<(u8, bool)> {
        self.contract.globals.get(defined as usize).map(|plan| (bytes(plan.ty.value), plan.ty.mutable))
    }

    /// The same of an imported one.
    pub(crate) fn imported_global(&self, import: u32) -> Option<(u8, bool)> {
        self.imported_globals.get(import as usize).map(|ty| (bytes(ty.value), ty.mutable))
    }
}

pub(crate) fn pages(records: &[FunctionRecord], text_bytes: usize) -> Vec<usize> {
    let before = |page| records.partition_point(|record| (record.text_offset as usize) < page * PAGE_BYTES);
    (0..=text_bytes / PAGE_BYTES + 1).map(before).collect()
}

fn memories(contract: &Contract) -> Vec<Memory> {
    let imported = contract.imported_memories().map(|ty| {
        let guarded = contract.imported_memory_layout == MemoryLayout::Guarded && !ty.memory64;
        Memory {
            reach: guarded.then_some(GUARDED_RESERVATION_BYTES + GUARDED_GUARD_BYTES),
            guard: if guarded { GUARDED_GUARD_BYTES } else { DENSE_GUARD_BYTES },
            bound: None,
        }
    });
    let own = contract.memories.iter().map(|plan| Memory {
        reach: Some(plan.reservation_bytes + plan.guard_bytes),
        guard: plan.guard_bytes,
        bound: Some(plan.reservation_bytes),
    });
    imported.chain(own).collect()
}

fn tables(contract: &Contract, layout: &VmLayout) -> Vec<Entries> {
    let first = contract.imported_tables().count() as u32;
    let own = (0..).zip(&contract.tables).filter(|(_, plan)| plan.ty.element == RefType::Func);
    let place = |(defined, plan): (u32, &selvedge_contract::TablePlan)| {
        let start = i64::from(layout.table_entries(defined));
        // One more: the null entry.
        let bytes = (plan.entries_max as i64 + 1) * i64::from(table_entry::BYTES);
        Entries { table: first + defined, start, end: start + bytes }
    };
    own.map(place).collect()
}
