//! How much room memories and tables get: what they declare, cut to what the operator allows.

use selvedge_contract::limits::*;
use selvedge_contract::types::{MemoryType, TableType};
use selvedge_contract::{MemoryLayout, MemoryPlan, TablePlan};

use crate::error::CompileError;
use crate::options::Options;

/// Plans a memory the module defines.
pub(super) fn memory(index: u32, ty: MemoryType, options: &Options) -> Result<MemoryPlan, CompileError> {
    let layout = if ty.memory64 { MemoryLayout::Dense } else { options.memory };
    let default = if ty.memory64 { RESERVATION_BYTES_DEFAULT } else { GUARDED_RESERVATION_BYTES };
    let addressable = if ty.memory64 { RESERVATION_BYTES_MAX } else { GUARDED_RESERVATION_BYTES };
    let allowed = options.memory_max_bytes.map_or(addressable, |max| max.min(addressable));
    let min_bytes = u128::from(ty.min_pages) * u128::from(WASM_PAGE_BYTES);
    if min_bytes > u128::from(allowed) {
        return Err(CompileError::MemoryTooLarge { memory: index, min_bytes, max_bytes: allowed });
    }
    let declared = ty.max_pages.map(|pages| pages.saturating_mul(WASM_PAGE_BYTES));
    // Without any maximum a memory gets the default; its minimum may be larger still.
    let wanted = declared.or(options.memory_max_bytes).unwrap_or(default).min(allowed).max(min_bytes as u64);
    let pages_max = wanted / WASM_PAGE_BYTES;
    let (reservation_bytes, guard_bytes) = match layout {
        MemoryLayout::Guarded => (GUARDED_RESERVATION_BYTES, GUARDED_GUARD_BYTES),
        MemoryLayout::Dense => (pages_max.max(1) * WASM_PAGE_BYTES, DENSE_GUARD_BYTES),
    };
    Ok(MemoryPlan { ty, layout, reservation_bytes, guard_bytes, pages_max })
}

/// Plans a table the module defines.
pub(super) fn table(index: u32, ty: TableType, options: &Options) -> Result<TablePlan, CompileError> {
    let allowed = options.table_entries_max.map_or(TABLE_ENTRIES_MAX, |max| max.min(TABLE_ENTRIES_MAX));
    if ty.min > allowed {
        return Err(CompileError::TableTooLarge { table: index, min: ty.min, max: allowed });
    }
    let usual = options.table_entries_max.unwrap_or(TABLE_ENTRIES_DEFAULT).min(allowed);
    let entries_max = ty.max.map_or(usual, |max| max.min(usual)).max(ty.min);
    Ok(TablePlan { ty, entries_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = WASM_PAGE_BYTES;

    fn plan(min_pages: u64, max_pages: Option<u64>, memory64: bool, options: &Options) -> Option<(u64, u64)> {
        let plan = memory(0, MemoryType { min_pages, max_pages, memory64 }, options).ok()?;
        Some((plan.reservation_bytes, plan.pages_max))
    }

    #[test]
    fn memories_get_what_they_declare_cut_to_what_is_allowed() {
        let guarded = Options::default();
        assert_eq!(plan(1, Some(2), false, &guarded), Some((4 << 30, 2)));
        assert_eq!(plan(1, None, false, &guarded), Some((4 << 30, 65536)));
        assert_eq!(plan(0, None, true, &guarded), Some((4 << 30, 65536)), "64-bit memories are dense");
        let dense = Options { memory: MemoryLayout::Dense, memory_max_bytes: Some(10 * PAGE + 1), ..guarded };
        assert_eq!(plan(1, Some(2), false, &dense), Some((2 * PAGE, 2)));
        assert_eq!(plan(1, Some(200), false, &dense), Some((10 * PAGE, 10)));
        assert_eq!(plan(0, Some(0), false, &dense), Some((PAGE, 0)), "at least one page is reserved");
        assert_eq!(plan(11, None, false, &dense), None, "a minimum above the maximum allowed is refused");
    }

    #[test]
    fn tables_get_the_default_at_most_unless_they_start_larger() {
        let entries = |min, max, options: &Options| {
            let ty = TableType { element: selvedge_contract::types::RefType::Func, min, max, table64: false };
            table(0, ty, options).ok().map(|plan| plan.entries_max)
        };
        let options = Options::default();
        assert_eq!(entries(1, None, &options), Some(TABLE_ENTRIES_DEFAULT));
        assert_eq!(entries(1, Some(9), &options), Some(9));
        assert_eq!(entries(100_000, Some(u64::MAX), &options), Some(100_000));
        assert_eq!(entries(TABLE_ENTRIES_MAX + 1, None, &options), None);
        let capped = Options { table_entries_max: Some(5), ..options };
        assert_eq!(entries(1, None, &capped), Some(5));
        assert_eq!(entries(6, None, &capped), None);
    }
}
