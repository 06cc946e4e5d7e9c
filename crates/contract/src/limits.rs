//! Every cap and default, with its unit in its name.
//!
//! Caps bound what a hostile module or artifact can ask for; they are far above what real programs
//! need (619,906 functions in the largest known) and fixed. Defaults can be changed by flags.

/// A WebAssembly page.
pub const WASM_PAGE_BYTES: u64 = 64 << 10;
/// A page of the host (x86-64).
pub const HOST_PAGE_BYTES: u64 = 4 << 10;

/// Largest WebAssembly binary accepted.
pub const WASM_BYTES_MAX: usize = 512 << 20;
/// Largest artifact accepted.
pub const ARTIFACT_BYTES_MAX: usize = 2 << 30;
/// Largest contract section; decoded, it may take thirty times as much.
pub const CONTRACT_BYTES_MAX: usize = 16 << 20;
/// Largest text section: offsets within it are 32-bit signed displacements.
pub const TEXT_BYTES_MAX: usize = 1 << 30;

/// Functions, imports included (the JavaScript API's implementation limit).
pub const FUNCTIONS_MAX: usize = 1_000_000;
/// Function types.
pub const TYPES_MAX: usize = 100_000;
/// Imports.
pub const IMPORTS_MAX: usize = 100_000;
/// Exports.
pub const EXPORTS_MAX: usize = 100_000;
/// Globals.
pub const GLOBALS_MAX: usize = 100_000;
/// Tables.
pub const TABLES_MAX: usize = 100;
/// Memories.
pub const MEMORIES_MAX: usize = 100;
/// Data segments.
pub const DATA_SEGMENTS_MAX: usize = 100_000;
/// Element segments.
pub const ELEMENT_SEGMENTS_MAX: usize = 100_000;
/// Items of all element segments together.
pub const ELEMENT_ITEMS_MAX: usize = 10_000_000;
/// Operators of one constant expression.
pub const CONST_OPS_MAX: usize = 1_000;
/// Parameters, and results, of one function.
pub const PARAMS_MAX: usize = 1_000;
/// Loops and `if`s open at once in one function; code generation takes time in the square of it.
pub const NESTING_MAX: u32 = 10_000;
/// Bytes of one name.
pub const NAME_BYTES_MAX: usize = 100_000;

/// Address space behind a guarded 32-bit memory: what an index alone can reach.
pub const GUARDED_RESERVATION_BYTES: u64 = 4 << 30;
/// Guard after a guarded memory; constant offsets below it need no check.
pub const GUARDED_GUARD_BYTES: u64 = 32 << 20;
/// Guard after a dense memory: as little as lets neighbouring accesses share a bounds check.
pub const DENSE_GUARD_BYTES: u64 = 8 << 10;
/// Largest reservation of a dense or 64-bit memory.
pub const RESERVATION_BYTES_MAX: u64 = 64 << 30;
/// Reservation of a 64-bit or dense memory that declares no maximum.
pub const RESERVATION_BYTES_DEFAULT: u64 = 4 << 30;

/// Most entries of one table.
pub const TABLE_ENTRIES_MAX: u64 = 10_000_000;
/// Entries reserved for a table that declares no (or a larger) maximum, if its minimum is not larger.
pub const TABLE_ENTRIES_DEFAULT: u64 = 1 << 16;
/// Context and tables together: all must lie within a 32-bit displacement of the context pointer.
pub const VMCTX_BYTES_MAX: u64 = 1 << 30;

/// Time that initialising at compile time may take, unless said otherwise, in seconds.
pub const PREINIT_SECONDS_DEFAULT: u64 = 30;
/// What a module may write to its standard streams meanwhile, in bytes.
pub const PREINIT_OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Runs of an image that such a state may become: each is a mapping of its own.
pub const PREINIT_IMAGE_RUNS_MAX: usize = 1_000;
/// Element segments that one table's contents may become before they are written as one, nulls included.
pub const PREINIT_TABLE_RUNS_MAX: usize = 1_000;

/// Largest policy file.
pub const POLICY_BYTES_MAX: usize = 1 << 20;
/// Largest signature file; real ones have a few hundred bytes.
pub const SIGNATURE_BYTES_MAX: usize = 16 << 10;

/// Memory that compiling in the jail may take, unless said otherwise.
pub const JAIL_MEMORY_BYTES_DEFAULT: u64 = 4 << 30;
/// CPU time of all its threads together, unless said otherwise, in seconds.
pub const JAIL_CPU_SECONDS_DEFAULT: u64 = 300;
/// So many times its CPU time may pass until it has ended: on a busy machine it waits for the processor.
pub const JAIL_WALL_FACTOR: u64 = 10;

/// Stack of an instance.
pub const STACK_BYTES_DEFAULT: usize = 1 << 20;
/// Smallest stack that can be asked for.
pub const STACK_BYTES_MIN: usize = 16 << 10;
/// Largest stack that can be asked for.
pub const STACK_BYTES_MAX: usize = 1 << 30;
/// Below the stack limit: room for a frame whose size the prologue does not check and for the stubs.
pub const STACK_RESERVE_BYTES: usize = 8 << 10;
/// Most stack that a function may use without comparing with the limit, if it calls nothing.
pub const STACK_UNCHECKED_BYTES_MAX: usize = 1 << 10;
/// Guard below a stack. Prologues compare with a limit [`STACK_RESERVE_BYTES`] above it.
pub const STACK_GUARD_BYTES: usize = 16 << 10;
/// Slots of a pool up to this size are protected by markers in their page tables instead of by mappings, whose
/// number the kernel bounds; a larger one's markers would take more than the rest of a page-table page.
pub const MARKED_SLOT_BYTES_MAX: u64 = 2 << 20;
/// Pages of a memory image that are copied into a slot which is protected by markers: a mapping costs more.
pub const IMAGE_PAGES_COPIED_MAX: u64 = 4;

const _: () = assert!(STACK_RESERVE_BYTES < STACK_BYTES_MIN);
const _: () = assert!(STACK_UNCHECKED_BYTES_MAX * 2 <= STACK_RESERVE_BYTES);
const _: () = assert!(VMCTX_BYTES_MAX + GUARDED_GUARD_BYTES < i32::MAX as u64);
const _: () = assert!(GUARDED_GUARD_BYTES.is_multiple_of(WASM_PAGE_BYTES));
const _: () = assert!(TEXT_BYTES_MAX < i32::MAX as usize);
