//! What a store holds whatever its data's type: instances, the arena, accounts.
//!
//! Index spaces are resolved here. A module counts its imports first; the arena knows only what a slot
//! defines. A [`Place`] names the original definition, so nothing is ever followed twice.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_contract::abi::FuncRefBits;
use selvedge_contract::artifact::TextFunction;
use selvedge_contract::limits::WASM_PAGE_BYTES;
use selvedge_contract::types::{FuncType, RefType};
use selvedge_contract::{ConstExpr, ConstOp, MemoryPlan, TablePlan};
use selvedge_native::{Arena, FunctionTarget, NativeError, RawValue, SlotId, TableFunction};

use crate::error::{HostError, InstantiateError};
use crate::externref::ExternTable;
use crate::limits::{LimitError, LimitKind, Limits};
use crate::module::Module;
use crate::pool::Home;
use crate::time::Time;

/// Which store a handle belongs to. Never used twice in a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StoreId(NonZeroU64);

impl StoreId {
    pub(crate) fn next() -> StoreId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        StoreId(NonZeroU64::new(id).expect("2^64 stores are more than a process can make"))
    }
}

/// The original definition of a memory, table or global.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place {
    pub(crate) slot: SlotId,
    pub(crate) defined: u32,
}

/// Where an instance's imports are defined. All instances with the same host functions share one.
#[derive(Debug)]
pub(crate) struct Linked {
    /// Functions; `None` for the host's.
    pub(crate) functions: Box<[Option<FunctionTarget>]>,
    pub(crate) memories: Box<[Place]>,
    pub(crate) tables: Box<[Place]>,
    pub(crate) globals: Box<[Place]>,
    /// Bytes of memory and elements of tables that the instance begins with.
    pub(crate) initial: (u64, u64),
}

/// One instance.
pub(crate) struct InstanceData {
    pub(crate) module: Module,
    pub(crate) linked: Arc<Linked>,
    /// Most drop nothing: it is made when it is needed.
    dropped: Option<Box<Dropped>>,
}

/// Segments an instance itself has dropped, on top of those that start dropped.
#[derive(Default)]
struct Dropped {
    data: Vec<bool>,
    elements: Vec<bool>,
}

impl InstanceData {
    pub(crate) fn new(module: Module, linked: Arc<Linked>) -> InstanceData {
        InstanceData { module, linked, dropped: None }
    }

    /// Whether the guest dropped a data segment.
    pub(crate) fn data_is_dropped(&self, segment: u32) -> bool {
        self.dropped.as_ref().and_then(|dropped| dropped.data.get(segment as usize)).is_some_and(|dropped| *dropped)
    }

    /// Whether the guest dropped an element segment.
    pub(crate) fn element_is_dropped(&self, segment: u32) -> bool {
        self.dropped.as_ref().and_then(|dropped| dropped.elements.get(segment as usize)).is_some_and(|dropped| *dropped)
    }

    /// No segment is dropped by the guest.
    fn renew(&mut self) {
        if let Some(dropped) = &mut self.dropped {
            dropped.data.clear();
            dropped.elements.clear();
        }
    }

    pub(crate) fn drop_data(&mut self, segment: u32) {
        let count = self.module.contract().data.len();
        mark(&mut self.dropped.get_or_insert_default().data, segment, count);
    }

    pub(crate) fn drop_element(&mut self, segment: u32) {
        let count = self.module.contract().elements.len();
        mark(&mut self.dropped.get_or_insert_default().elements, segment, count);
    }
}

fn mark(dropped: &mut Vec<bool>, segment: u32, count: usize) {
    dropped.resize(count, false);
    if let Some(flag) = dropped.get_mut(segment as usize) {
        *flag = true;
    }
}

fn place(imported: &[Place], slot: SlotId, index: u32, defined_count: usize) -> Option<Place> {
    match (index as usize).checked_sub(imported.len()) {
        None => imported.get(index as usize).copied(),
        Some(defined) => (defined < defined_count).then_some(Place { slot, defined: defined as u32 }),
    }
}

/// A store without its data. There may be a million: what few need is in boxes, what many share is shared.
pub(crate) struct Core {
    pub(crate) id: StoreId,
    pub(crate) arena: Arena,
    /// By slot number.
    pub(crate) instances: Vec<InstanceData>,
    /// As they were at first; shared by all stores of a pool.
    pub(crate) limits: Arc<Limits>,
    /// [`Limits::memory_bytes_max`] as it is now.
    pub(crate) memory_bytes_max: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) table_elements: u64,
    /// A memory could not grow because of the store's limit.
    pub(crate) memory_refused: bool,
    pub(crate) externs: ExternTable,
    pub(crate) time: Time,
    /// Calls into guests under way.
    pub(crate) depth: u32,
    /// The error of the host function that has just ended a call.
    pub(crate) pending: Option<HostError>,
    /// Once there are two modules.
    signatures: Option<Box<Signatures>>,
    /// Where it goes back to, if it is a pool's.
    pub(crate) home: Option<Home>,
    /// Recycling has left the tables null: they are filled before the next use.
    pub(crate) tables_are_null: bool,
}

/// The type behind each signature id.
#[derive(Default)]
struct Signatures {
    types: HashMap<u64, FuncType>,
    /// Of so many instances.
    interned: usize,
}

impl Core {
    pub(crate) fn new(arena: Arena, limits: Arc<Limits>) -> Core {
        Core {
            id: StoreId::next(),
            arena,
            instances: Vec::new(),
            memory_bytes_max: limits.memory_bytes_max,
            time: Time::begin(limits.time),
            limits,
            memory_bytes: 0,
            table_elements: 0,
            memory_refused: false,
            externs: ExternTable::default(),
            depth: 0,
            pending: None,
            signatures: None,
            home: None,
            tables_are_null: false,
        }
    }

    /// Makes a pooled core what it was when its instance was new.
    pub(crate) fn recycle(&mut self) -> Result<(), NativeError> {
        let [instance] = self.instances.as_mut_slice() else { return Err(NativeError::NotPooled) };
        (self.memory_bytes, self.table_elements) = instance.linked.initial;
        instance.renew();
        (self.memory_bytes_max, self.memory_refused) = (self.limits.memory_bytes_max, false);
        self.tables_are_null |= self.arena.recycle()?.tables_are_null;
        self.pending = None;
        self.depth = 0;
        self.externs.clear();
        Ok(())
    }

    pub(crate) fn instance(&self, slot: SlotId) -> Option<&InstanceData> {
        self.instances.get(slot.0 as usize)
    }

    pub(crate) fn memory_place(&self, slot: SlotId, index: u32) -> Option<Place> {
        let instance = self.instance(slot)?;
        place(&instance.linked.memories, slot, index, instance.module.contract().memories.len())
    }

    pub(crate) fn table_place(&self, slot: SlotId, index: u32) -> Option<Place> {
        let instance = self.instance(slot)?;
        place(&instance.linked.tables, slot, index, instance.module.contract().tables.len())
    }

    pub(crate) fn global_place(&self, slot: SlotId, index: u32) -> Option<Place> {
        let instance = self.instance(slot)?;
        place(&instance.linked.globals, slot, index, instance.module.contract().globals.len())
    }

    pub(crate) fn memory_plan(&self, at: Place) -> &MemoryPlan {
        &self.instances[at.slot.0 as usize].module.contract().memories[at.defined as usize]
    }

    pub(crate) fn table_plan(&self, at: Place) -> &TablePlan {
        &self.instances[at.slot.0 as usize].module.contract().tables[at.defined as usize]
    }

    pub(crate) fn memory(&self, at: Place) -> &[u8] {
        self.arena.memory(at.slot, at.defined)
    }

    pub(crate) fn memory_mut(&mut self, at: Place) -> &mut [u8] {
        self.arena.memory_mut(at.slot, at.defined)
    }

    /// Grows a memory and returns its old size in pages, or `None` if that exceeds its plan, a limit, or what
    /// the machine has.
    pub(crate) fn memory_grow(&mut self, at: Place, delta_pages: u64) -> Option<u64> {
        let old_pages = self.memory(at).len() as u64 / WASM_PAGE_BYTES;
        let pages = old_pages.checked_add(delta_pages).filter(|n| *n <= self.memory_plan(at).pages_max)?;
        // Within the plan, which is within the reservation: this cannot overflow.
        let added = delta_pages * WASM_PAGE_BYTES;
        let total = self.memory_bytes.saturating_add(added);
        if total > self.memory_bytes_max {
            self.memory_refused = true;
            return None;
        }
        if delta_pages > 0 {
            self.arena.memory_grow(at.slot, at.defined, pages * WASM_PAGE_BYTES).ok()?;
            self.memory_bytes = total;
        }
        Some(old_pages)
    }

    pub(crate) fn table_size(&self, at: Place) -> u64 {
        self.arena.table_size(at.slot, at.defined)
    }

    /// Grows a table and returns its old size, or `None` if that exceeds its plan or a limit. New elements are
    /// null.
    pub(crate) fn table_grow(&mut self, at: Place, delta: u64) -> Option<u64> {
        let old = self.table_size(at);
        let size = old.checked_add(delta).filter(|n| *n <= self.table_plan(at).entries_max)?;
        let total = self.table_elements.checked_add(delta).filter(|n| *n <= self.limits.table_elements_max)?;
        self.table_elements = total;
        self.arena.table_set_size(at.slot, at.defined, size);
        Some(old)
    }

    /// The reference in a table; the index must be within its size.
    pub(crate) fn table_get(&self, at: Place, index: u64) -> u64 {
        let bits = self.arena.table_entry(at.slot, at.defined, index);
        let of_owner = bits != 0 && bits >> 32 == 0 && self.table_plan(at).ty.element == RefType::Func;
        if of_owner { bits | FuncRefBits::base(at.slot.0) } else { bits }
    }

    /// Sets part of a table to one reference, or says that the reference leads nowhere. The range must be
    /// within the table's size.
    pub(crate) fn table_fill(&mut self, at: Place, range: std::ops::Range<u64>, bits: u64) -> Option<()> {
        match self.table_plan(at).ty.element {
            RefType::Func => {
                let function = self.table_function(bits)?;
                range.for_each(|index| self.arena.set_table_func(at.slot, at.defined, index, function));
            }
            RefType::Extern => range.for_each(|index| self.arena.set_table_extern(at.slot, at.defined, index, bits)),
        }
        Some(())
    }

    /// What a table entry of this reference holds (inner `None` for null), or `None` for bits that no one made.
    pub(crate) fn table_function(&self, bits: u64) -> Option<Option<TableFunction>> {
        if bits == 0 {
            return Some(None);
        }
        let (instance, function) = FuncRefBits(bits).parts()?;
        let target = self.target(SlotId(instance), function)?;
        Some(Some(TableFunction { target, funcref: FuncRefBits(bits) }))
    }

    /// Where a function is defined; for the host's, the thunk that calls it.
    pub(crate) fn target(&self, slot: SlotId, function: u32) -> Option<FunctionTarget> {
        let instance = self.instance(slot)?;
        match self.text_function(slot, function)? {
            TextFunction::ImportThunk(import) => {
                let own = FunctionTarget { slot, function: TextFunction::ImportThunk(import) };
                Some(instance.linked.functions.get(import as usize).copied().flatten().unwrap_or(own))
            }
            function => Some(FunctionTarget { slot, function }),
        }
    }

    /// The code of a function by its index in the module.
    pub(crate) fn text_function(&self, slot: SlotId, function: u32) -> Option<TextFunction> {
        self.instance(slot)?.module.text_function(function)
    }

    /// The value of a constant expression in an instance, or `None` for one that validation would refuse.
    pub(crate) fn evaluate(&self, slot: SlotId, expr: &ConstExpr) -> Option<RawValue> {
        let mut stack: Vec<RawValue> = Vec::new();
        let [op] = expr.0.as_slice() else {
            for op in &expr.0 {
                self.evaluate_op(slot, op, &mut stack)?;
            }
            return stack.pop();
        };
        self.evaluate_leaf(slot, op)
    }

    fn evaluate_op(&self, slot: SlotId, op: &ConstOp, stack: &mut Vec<RawValue>) -> Option<()> {
        let value = match self.evaluate_leaf(slot, op) {
            Some(value) => value,
            None => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                arithmetic(op, left, right)?
            }
        };
        stack.push(value);
        Some(())
    }

    fn evaluate_leaf(&self, slot: SlotId, op: &ConstOp) -> Option<RawValue> {
        Some(match op {
            ConstOp::I32Const(value) => (*value as u32).into(),
            ConstOp::I64Const(value) => (*value as u64).into(),
            ConstOp::F32Const(bits) => (*bits).into(),
            ConstOp::F64Const(bits) => (*bits).into(),
            ConstOp::V128Const(bits) => *bits,
            ConstOp::GlobalGet(index) => {
                let at = self.global_place(slot, *index)?;
                self.arena.global(at.slot, at.defined)
            }
            ConstOp::RefNull(_) => 0,
            ConstOp::RefFunc(function) => FuncRefBits::new(slot.0, *function).0.into(),
            _ => return None,
        })
    }

    /// Counts a new instance's memories and tables.
    pub(crate) fn account(&mut self, module: &Module) -> Result<(), LimitError> {
        if self.instances.len() as u64 >= u64::from(self.limits.instances_max) {
            return Err(LimitError::new(LimitKind::Instances, self.limits.instances_max));
        }
        let (bytes, elements) = initial(module);
        let bytes = self.memory_bytes.saturating_add(bytes);
        if bytes > self.memory_bytes_max {
            return Err(LimitError::new(LimitKind::MemoryBytes, self.memory_bytes_max));
        }
        let elements = self.table_elements.saturating_add(elements);
        if elements > self.limits.table_elements_max {
            return Err(LimitError::new(LimitKind::TableElements, self.limits.table_elements_max));
        }
        (self.memory_bytes, self.table_elements) = (bytes, elements);
        Ok(())
    }

    /// Makes sure that one signature id names one type in the whole store. Within a module the artifact's
    /// reader has made sure; nothing is done until a second module comes.
    pub(crate) fn intern_signatures(&mut self, module: &Module) -> Result<(), InstantiateError> {
        let known = |instance: &InstanceData| instance.module.is(module);
        if self.instances.is_empty() || self.instances.iter().any(known) {
            return Ok(());
        }
        let Signatures { types, interned } = &mut **self.signatures.get_or_insert_default();
        for earlier in &self.instances[*interned..] {
            intern_types(types, &earlier.module.contract().types)?;
            *interned += 1;
        }
        intern_types(types, &module.contract().types)
    }
}

/// Bytes of memory and elements of tables that an instance begins with.
pub(crate) fn initial(module: &Module) -> (u64, u64) {
    let contract = module.contract();
    let pages: u64 = contract.memories.iter().map(|plan| plan.ty.min_pages).sum();
    (pages.saturating_mul(WASM_PAGE_BYTES), contract.tables.iter().map(|plan| plan.ty.min).sum())
}

fn intern_types(signatures: &mut HashMap<u64, FuncType>, types: &[FuncType]) -> Result<(), InstantiateError> {
    for ty in types {
        let known = signatures.entry(ty.signature_id()).or_insert_with(|| ty.clone());
        if known != ty {
            return Err(InstantiateError::SignatureClash(known.clone(), ty.clone()));
        }
    }
    Ok(())
}

fn arithmetic(op: &ConstOp, left: RawValue, right: RawValue) -> Option<RawValue> {
    let (narrow, wide) = ((left as u32, right as u32), (left as u64, right as u64));
    Some(match op {
        ConstOp::I32Add => narrow.0.wrapping_add(narrow.1).into(),
        ConstOp::I32Sub => narrow.0.wrapping_sub(narrow.1).into(),
        ConstOp::I32Mul => narrow.0.wrapping_mul(narrow.1).into(),
        ConstOp::I64Add => wide.0.wrapping_add(wide.1).into(),
        ConstOp::I64Sub => wide.0.wrapping_sub(wide.1).into(),
        ConstOp::I64Mul => wide.0.wrapping_mul(wide.1).into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_contract::types::ValType;

    #[test]
    fn one_signature_id_for_two_types_is_refused() {
        let (first, second) = (FuncType::new([ValType::I32], []), FuncType::new([ValType::I64], []));
        let mut signatures = HashMap::new();
        intern_types(&mut signatures, &[first.clone(), second.clone()]).unwrap();
        intern_types(&mut signatures, std::slice::from_ref(&first)).unwrap();
        signatures.insert(second.signature_id(), first);
        let clash = intern_types(&mut signatures, &[second]).unwrap_err();
        assert!(matches!(clash, InstantiateError::SignatureClash(..)));
    }
}
