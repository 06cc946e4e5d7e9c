//! The verifier: machine code and its contract in, a proof or a list of violations out.
//!
//! It trusts nobody: not the compiler, not the artifact's tables, not a signature. It decodes the code that
//! control can reach, interprets it over abstract values (`value`) until nothing new is learnt
//! (`walk`), and denies whatever is not listed (`exec`). What it proves holds for every input, in any
//! instance whose imports the runtime linked under their types:
//!
//! **The artifact**
//! 1. *Metadata.* Functions lie in text in order, apart, with breakpoints between; thunks and trampolines have
//!    the types of what they stand for; whatever [`ArtifactIndex`] checks holds.
//! 2. *Bytes.* Each byte of a function has one meaning: it starts an instruction, is inside one, is a
//!    constant, or is in a jump table. What nothing leads to are jumps to known instructions, table
//!    entries that no index takes, or follows the code.
//! 3. *Instructions* are on the list, in an encoding that all decoders read alike, with operands of known
//!    widths, and of processor features the contract declares. So there are no system calls, no privileged,
//!    segment, x87, string, locked or far instructions.
//!
//! **Control**
//!
//! 4. *Branches* lead to instructions of the same function; control does not run off its end.
//! 5. *Jump tables* are indexed within bounds, and every entry within them leads into the function.
//!
//! 12. *Calls* lead to a guest function's start, with the function's own context, or to an import's code
//!     with that import's context. Host thunks are reached through import slots only.
//! 13. *Arguments.* Each parameter of the callee's type was written and may be shown; the area for results that
//!     do not fit registers lies in the caller's frame above the parameters.
//! 14. *Indirect calls* take code from an entry by a conditional move on the comparison of that entry's
//!     signature with a declared type's, else the stub for bad calls; the context comes from the same entry,
//!     read between the same two calls, or is its table's owner's. No branch is needed for it, so it holds
//!     under misprediction.
//! 15. *Host calls* are made by host thunks, for their own import; builtins by anyone, with a known index;
//!     traps with a known code. Values lie in the caller's frame, written before.
//! 16. *Returns* go to the caller, with callee-saved registers restored, the parameters on the stack removed,
//!     and all results of the function's type in place. The same holds for tail calls, whose callee returns
//!     instead.
//! 17. *Stack.* Nothing is touched more than [`STACK_UNCHECKED_BYTES_MAX`] below the entry's stack pointer unless
//!     that was compared with the limit, and no call is made below what was compared. Nor does the stack pointer go
//!     there: the host may write below it, whenever it stops the code.
//!
//! **Memory**
//!
//! 6. *Addresses* are sums of one pointer and bounded numbers.
//! 7. *Heap* accesses lie in their memory's reservation and guard. Bounds come from widths of numbers and from
//!    conditional moves, never from branches: they hold under misprediction.
//! 8. *Frame* accesses lie at known places between the stack pointer and the end of the function's
//!    parameters on the stack; or in the area for results. What was below the stack pointer is forgotten.
//! 9. *Context* fields are read at their offset and width ([`selvedge_contract::vmctx::Field`]); only
//!    mutable globals are written, no wider than they are, and the meter by metered code.
//! 10. *Table* entries are read, never written, through an index that is bounded by the table's.
//! 11. *Constants* are read from the function's own bytes that are no code.
//! 18. *Traps.* What may fault has an entry in the trap table that says why; what cannot has none. Breakpoints are in
//!     metered code alone: there it is stopped, and may go on behind.
//! 19. *Secrets.* What the host, another function or another instance may have left in registers and frames, and
//!     every address, is only moved and restored: never stored, passed, returned or branched on.
//! 20. *Budget.* The proof takes time in proportion to the function's size, and bounded memory, or the function is
//!     refused (`budget`).
//!
//! What is not proved: that the code does what the WebAssembly says, or that metered code counts what it does; anything about timing; anything about
//! misprediction but where it is said above. Vectors are of sixteen bytes: longer ones, and masks, are refused.
//!
//! [`STACK_UNCHECKED_BYTES_MAX`]: selvedge_contract::limits::STACK_UNCHECKED_BYTES_MAX
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod budget;
mod convention;
mod encoding;
mod exec;
mod facts;
mod metadata;
mod parallel;
mod report;
mod slots;
mod state;
mod value;
mod walk;

use std::num::NonZeroUsize;

use selvedge_contract::artifact::ArtifactIndex;

pub use report::{Refusal, Rule};
pub use walk::Counts;
#[doc(hidden)]
pub use walk::straight;

/// What a proved artifact was shown to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Proof {
    /// Text functions.
    pub functions: usize,
    /// Bytes of them.
    pub code_bytes: u64,
    /// What was met on the way.
    pub counts: Counts,
}

impl Proof {
    /// What every proof shows of mispredicted paths, too, since it draws nothing from branches but the stack's limit.
    pub const UNDER_MISPREDICTION: &[&str] =
        &["bounds of memories and tables", "targets of jump tables", "callees of indirect calls"];
}

/// Why an artifact was not proved.
#[derive(Clone, Debug)]
pub struct Report {
    /// Text functions looked at.
    pub functions: usize,
    /// How many of them were refused.
    pub refused: usize,
    /// The first refusals, by offset in text.
    pub refusals: Vec<Refusal>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} functions cannot be proved", self.refused, self.functions)?;
        self.refusals.iter().try_for_each(|refusal| write!(f, "\n{refusal}"))
    }
}

impl std::error::Error for Report {}

/// Proves that an artifact's code keeps its contract.
///
/// `index` was read from `artifact`. Time is linear in the artifact's size, memory bounded by the largest
/// functions'.
///
/// # Errors
/// If it does not, or is not known to: with every place, up to [`REFUSALS_MAX`].
pub fn verify(artifact: &[u8], index: &ArtifactIndex, threads: NonZeroUsize) -> Result<Proof, Box<Report>> {
    let facts = metadata::check(artifact, index)?;
    parallel::prove_all(&facts, artifact, index, threads)
}

/// Refusals that a report lists.
pub const REFUSALS_MAX: usize = 100;
