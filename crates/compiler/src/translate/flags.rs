//! What Cranelift may assume about each memory access.
//!
//! Accesses of different [`Regions`] never alias. Only fields that no one writes while a function runs
//! are read-only.

use cranelift_codegen::ir::{AliasRegion, AliasRegionData, Endianness, Function, MemFlagsData, TrapCode};

/// Between vectors of one size the bits do not move.
pub(super) const VECTOR_BITCAST: MemFlagsData = MemFlagsData::new().with_endianness(Endianness::Little);

/// A field of the context that no one writes while the instance lives.
pub(super) const FIXED_FIELD: MemFlagsData = MemFlagsData::trusted().with_readonly().with_can_move();

/// The disjoint kinds of memory that generated code reads or writes.
#[derive(Clone, Copy)]
pub(super) struct Regions {
    heap: AliasRegion,
    tables: AliasRegion,
    context: AliasRegion,
    imported_globals: AliasRegion,
}

/// The meter in the context of metered code.
pub(super) fn meter(func: &mut Function) -> MemFlagsData {
    MemFlagsData::trusted().with_alias_region(Some(declare(func, 4, "meter")))
}

/// Own globals from this one on share a region: a function can name only so many.
const OWN_GLOBALS: u32 = 64;
const FIRST_OWN_GLOBAL: u32 = 16;

fn declare(func: &mut Function, user_id: u32, description: &'static str) -> AliasRegion {
    func.dfg.alias_regions.insert(AliasRegionData { user_id, description: description.into() })
}

impl Regions {
    /// Declares the regions in a function.
    pub(super) fn new(func: &mut Function) -> Regions {
        Regions {
            heap: declare(func, 0, "heap"),
            tables: declare(func, 1, "tables"),
            context: declare(func, 2, "context"),
            imported_globals: declare(func, 3, "imported globals"),
        }
    }

    /// An access to linear memory: unaligned, may trap.
    pub(super) fn heap(self) -> MemFlagsData {
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        flags.with_trap_code(Some(TrapCode::HEAP_OUT_OF_BOUNDS)).with_alias_region(Some(self.heap))
    }

    /// An access to a table's entry whose index has been clamped.
    pub(super) fn table(self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.tables))
    }

    /// A field of the context, or of a definition, that the host may change while it is called.
    pub(super) fn context(self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.context))
    }

    /// An access to the cell of a mutable global of another module; two imports may be one cell.
    pub(super) fn imported_globals(self) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.imported_globals))
    }

    /// An access to the cell of the module's own `defined`-th global.
    pub(super) fn own_global(self, func: &mut Function, defined: u32) -> MemFlagsData {
        let region = declare(func, FIRST_OWN_GLOBAL + defined.min(OWN_GLOBALS), "global");
        MemFlagsData::trusted().with_alias_region(Some(region))
    }
}
