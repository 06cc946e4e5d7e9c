//! Metering: what metered code counts, and how exactly.
//!
//! **What counts.** Every WebAssembly operator that is executed counts one, but for `block`, `loop`, `else` and
//! `end`, which only give code its structure. `if` counts when its condition is tested, a branch whether it is taken or
//! not, a call for itself, and then what is called. Code of the host counts nothing. Operators that do as much
//! as their operand says count more, before they begin and whatever comes of it:
//!
//! | operators | more |
//! |---|---|
//! | `memory.copy`, `memory.fill`, `memory.init` | one for each whole [`BYTES_PER_COUNT`] bytes |
//! | `memory.grow` | [`COUNTS_PER_PAGE`] for each page, as if it were filled |
//! | `table.copy`, `table.fill`, `table.init`, `table.grow` | one for each element |
//!
//! Each of these operands is first cut to [`OPERAND_MAX`].
//!
//! **How exactly.** The count depends on the module, its input and the host's answers alone: not on memory layout,
//! optimisation, machine or time. It is exact wherever anyone can look: when a call has returned, when a host
//! function is called, and after a trap, where the operator that trapped counts as executed. Only where code was
//! interrupted from outside, at any instruction, the operators of the piece it was in may be missing.
//!
//! **Limits.** Code is checked once in each straight piece: from an operator that can be jumped to, or follows
//! a call, a branch or one of the operators above, up to the next of them. A piece that would exceed the limit
//! does not begin; nor does one of the operators above, which then counts one. So a limit is never exceeded, and
//! where it ends the code depends on module, input and limit alone. The code ends in
//! [`crate::trap::TrapCode::MeterExhausted`], or waits there for a higher limit, and goes on as if it had always had it.
//!
//! **How it is done.** [`crate::vmctx::header::METER`] holds what was executed. A piece adds its operators in a
//! register at its start, compares the sum with [`crate::vmctx::header::METER_LIMIT`], and stores it at its end and, in
//! part, before what may trap or look. An access to memory traps without a store before it: the byte in the trap table
//! says how many operators were executed since the last one ([`crate::trap::TrapSite`]).
//!
//! If the sum is above the limit, code stores it to [`crate::vmctx::header::METER_WANTED`] and executes a breakpoint
//! (`int3`). It is code like any other that goes on behind it, as all registers are kept and none holds what was
//! computed from the limit: a host that has raised the limit lets it go on there. It must be at least what was wanted.

/// Bytes that a bulk operation moves for one count.
pub const BYTES_PER_COUNT: u64 = 64;
/// What growing a memory by a page counts.
pub const COUNTS_PER_PAGE: u64 = crate::limits::WASM_PAGE_BYTES / BYTES_PER_COUNT;
/// What an operand that says how much to do is cut to.
pub const OPERAND_MAX: u64 = u32::MAX as u64;
/// The meter of code without a limit.
pub const UNLIMITED: u64 = i64::MAX as u64;
