//! Is a decoded contract one the compiler could have written? Indices, caps, order.

use super::read::{ArtifactError, cap};
use super::{ArtifactIndex, TextCounts, TextFunction};
use crate::contract::{
    ConstExpr, ConstOp, Contract, ElementItems, Extern, MemoryLayout, MemoryPlan, SegmentMode, TablePlan,
};
use crate::limits::*;
use crate::trap::TrapSite;
use crate::types::FuncType;
use crate::vmctx::VmLayout;

fn inconsistent<T>(problem: impl Into<String>) -> Result<T, ArtifactError> {
    Err(ArtifactError::Inconsistent(problem.into()))
}

fn ensure(good: bool, problem: &str) -> Result<(), ArtifactError> {
    if good { Ok(()) } else { inconsistent(problem) }
}

/// Sizes of the module's index spaces.
struct Spaces {
    functions: u32,
    tables: u32,
    memories: u32,
    globals: u32,
}

/// Checks everything in a contract that does not need other sections, and lays out its context.
pub(super) fn contract(contract: &Contract) -> Result<VmLayout, ArtifactError> {
    counts(contract)?;
    let spaces = Spaces {
        functions: contract.function_count() as u32,
        tables: (contract.imported_tables().count() + contract.tables.len()) as u32,
        memories: (contract.imported_memories().count() + contract.memories.len()) as u32,
        globals: (contract.imported_globals().count() + contract.globals.len()) as u32,
    };
    imports(contract, &signatures(contract)?)?;
    exports(contract, &spaces)?;
    contract.memories.iter().try_for_each(memory)?;
    contract.tables.iter().try_for_each(table)?;
    contract.globals.iter().try_for_each(|global| const_expr(&global.init, &spaces))?;
    for segment in &contract.elements {
        segment_mode(&segment.mode, spaces.tables, &spaces)?;
        match &segment.items {
            ElementItems::Functions(items) => {
                ensure(items.iter().all(|f| *f < spaces.functions), "an element segment names no function")?;
            }
            ElementItems::Expressions(items) => items.iter().try_for_each(|expr| const_expr(expr, &spaces))?,
        }
    }
    contract.data.iter().try_for_each(|segment| segment_mode(&segment.mode, spaces.memories, &spaces))?;
    ensure(contract.start.is_none_or(|f| f < spaces.functions), "the start function does not exist")?;
    Ok(VmLayout::new(contract)?)
}

fn counts(contract: &Contract) -> Result<(), ArtifactError> {
    let items: usize = contract.elements.iter().map(|e| e.items.len()).sum();
    let counts = [
        ("the list of types", contract.types.len(), TYPES_MAX),
        ("the list of imports", contract.imports.len(), IMPORTS_MAX),
        ("the list of exports", contract.exports.len(), EXPORTS_MAX),
        ("the list of functions", contract.function_count(), FUNCTIONS_MAX),
        ("the list of memories", contract.memories.len(), MEMORIES_MAX),
        ("the list of tables", contract.tables.len(), TABLES_MAX),
        ("the list of globals", contract.globals.len(), GLOBALS_MAX),
        ("the list of element segments", contract.elements.len(), ELEMENT_SEGMENTS_MAX),
        ("the list of element items", items, ELEMENT_ITEMS_MAX),
        ("the list of data segments", contract.data.len(), DATA_SEGMENTS_MAX),
    ];
    counts.iter().try_for_each(|(what, count, max)| cap(what, *count as u64, *max as u64))
}

type Signatures<'a> = Vec<(u64, &'a FuncType)>;

/// The declared types by signature id, ascending; no id names two of them.
fn signatures(contract: &Contract) -> Result<Signatures<'_>, ArtifactError> {
    let too_long = |ty: &FuncType| ty.params.len().max(ty.results.len()) > PARAMS_MAX;
    ensure(!contract.types.iter().any(too_long), "a function type is too long")?;
    let mut ids: Signatures<'_> = contract.types.iter().map(|ty| (ty.signature_id(), ty)).collect();
    ids.sort_by_key(|(id, _)| *id);
    let clash = ids.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1);
    ensure(!clash, "two function types have one signature id")?;
    Ok(ids)
}

fn imports(contract: &Contract, declared: &Signatures<'_>) -> Result<(), ArtifactError> {
    let long = |name: &str| name.len() > NAME_BYTES_MAX;
    let bad = contract.imports.iter().any(|i| long(&i.module) || long(&i.name));
    ensure(!bad, "an import's name is too long")?;
    let known = |ty: &FuncType| {
        let at = declared.binary_search_by_key(&ty.signature_id(), |(id, _)| *id);
        at.is_ok_and(|at| declared[at].1 == ty)
    };
    ensure(contract.imported_functions().all(known), "an imported function's type is not among the types")
}

fn exports(contract: &Contract, spaces: &Spaces) -> Result<(), ArtifactError> {
    let exists = |item: Extern| match item {
        Extern::Func(i) => i < spaces.functions,
        Extern::Table(i) => i < spaces.tables,
        Extern::Memory(i) => i < spaces.memories,
        Extern::Global(i) => i < spaces.globals,
    };
    ensure(contract.exports.iter().all(|e| exists(e.item)), "an export names nothing")?;
    let mut names: Vec<_> = contract.exports.iter().map(|e| e.name.as_str()).collect();
    ensure(names.iter().all(|name| name.len() <= NAME_BYTES_MAX), "an export's name is too long")?;
    names.sort_unstable();
    ensure(names.windows(2).all(|pair| pair[0] != pair[1]), "two exports have one name")
}

fn memory(plan: &MemoryPlan) -> Result<(), ArtifactError> {
    let reservation = plan.reservation_bytes;
    let guard = match plan.layout {
        MemoryLayout::Guarded => GUARDED_GUARD_BYTES,
        MemoryLayout::Dense => DENSE_GUARD_BYTES,
    };
    ensure(plan.guard_bytes == guard, "a memory's guard has the wrong size")?;
    ensure(reservation.is_multiple_of(WASM_PAGE_BYTES), "a memory's reservation is not a multiple of the page")?;
    let fixed = plan.layout == MemoryLayout::Guarded;
    ensure(!fixed || !plan.ty.memory64, "a 64-bit memory cannot be guarded")?;
    ensure(!fixed || reservation == GUARDED_RESERVATION_BYTES, "a guarded memory does not reserve 4 GiB")?;
    ensure(reservation <= RESERVATION_BYTES_MAX, "a memory reserves too much")?;
    ensure(plan.pages_max <= reservation / WASM_PAGE_BYTES, "a memory may outgrow its reservation")?;
    ensure(plan.ty.min_pages <= plan.pages_max, "a memory's minimum exceeds its maximum")
}

fn table(plan: &TablePlan) -> Result<(), ArtifactError> {
    ensure(plan.ty.min <= plan.entries_max, "a table's minimum exceeds its maximum")?;
    ensure(plan.entries_max <= TABLE_ENTRIES_MAX, "a table reserves too much")
}

fn segment_mode(mode: &SegmentMode, targets: u32, spaces: &Spaces) -> Result<(), ArtifactError> {
    match mode {
        SegmentMode::Active { target, offset } => {
            ensure(*target < targets, "a segment has no target")?;
            const_expr(offset, spaces)
        }
        SegmentMode::Passive | SegmentMode::Dropped => Ok(()),
    }
}

fn const_expr(expr: &ConstExpr, spaces: &Spaces) -> Result<(), ArtifactError> {
    ensure(expr.0.len() <= CONST_OPS_MAX, "a constant expression is too long")?;
    let good = |op: &ConstOp| match op {
        ConstOp::GlobalGet(i) => *i < spaces.globals,
        ConstOp::RefFunc(i) => *i < spaces.functions,
        _ => true,
    };
    ensure(expr.0.iter().all(good), "a constant expression names nothing")
}

/// Checks what a contract says about the image and data sections.
pub(super) fn segments(contract: &Contract, image_bytes: usize, data_bytes: usize) -> Result<(), ArtifactError> {
    let within = |offset: u64, len: u64, bytes: usize| offset.checked_add(len).is_some_and(|end| end <= bytes as u64);
    for segment in &contract.data {
        ensure(within(segment.offset, segment.len, data_bytes), "a data segment lies outside its section")?;
    }
    let mut last = (0, 0);
    for run in &contract.image {
        let Some(memory) = contract.memories.get(run.memory as usize) else {
            return inconsistent("the image belongs to no memory");
        };
        let initial = memory.ty.min_pages * (WASM_PAGE_BYTES / HOST_PAGE_BYTES);
        let end = run.page.checked_add(run.pages).filter(|end| *end <= initial);
        let Some(end) = end else { return inconsistent("the image is larger than its memory") };
        ensure((run.memory, run.page) >= last, "the image's runs are out of order")?;
        ensure(run.offset.is_multiple_of(HOST_PAGE_BYTES), "an image run does not start on a page")?;
        let bytes = run.pages.saturating_mul(HOST_PAGE_BYTES);
        ensure(within(run.offset, bytes, image_bytes), "the image lies outside its section")?;
        last = (run.memory, end);
    }
    Ok(())
}

/// Reads the function, trap and address tables whole.
pub(super) fn tables(index: &ArtifactIndex, bytes: &[u8]) -> Result<(), ArtifactError> {
    let text_bytes = index.text().len() as u64;
    let counts = TextCounts::of(&index.contract);
    let mut end = 0;
    for (i, record) in index.functions(bytes).iter().enumerate() {
        let next = u64::from(record.text_offset) + u64::from(record.text_len);
        ensure(
            u64::from(record.text_offset) >= end && next <= text_bytes,
            "the functions' code overlaps or is missing",
        )?;
        let typed = (record.ty as usize) < index.contract.types.len();
        let stub = counts.at(i) == Some(TextFunction::BadCall);
        ensure(typed || stub, "a function's type does not exist")?;
        end = next;
    }
    let traps = index.traps(bytes);
    let entries = (0..traps.len()).filter_map(|i| traps.get(i));
    ensure(entries.clone().all(|(_, code)| TrapSite::from_byte(code).is_some()), "the trap table has an unknown code")?;
    ascending(entries.map(|(at, _)| at), text_bytes, "the trap table is out of order")?;
    let addresses = index.addresses(bytes);
    let entries = (0..addresses.len()).filter_map(|i| addresses.get(i));
    ascending(entries.map(|(at, _)| at), text_bytes, "the address table is out of order")
}

fn ascending(offsets: impl Iterator<Item = u32>, end: u64, problem: &str) -> Result<(), ArtifactError> {
    let mut next = 0;
    for offset in offsets.map(u64::from) {
        ensure(offset >= next && offset < end, problem)?;
        next = offset + 1;
    }
    Ok(())
}
