//! The machine: address space, code mappings, stacks, traps. The only home of `unsafe`.
//!
//! ```text
//!   ArtifactFile ─► Code ─► Arena (slots, one stack) ─► enter ─► Exit
//!     bytes          text     memory, context            switch.s, signals
//! ```
//!
//! Beside it, the [`jail`]: what a process gives up before it looks at what strangers sent.
//!
//! Everything unsafe rests on one promise, made where code is published ([`Code::publish`]): *the text keeps
//! its contract*. It touches only the slot whose context it is given, calls the host only through import slots and
//! the context's stubs, and returns with the stack as it was. Given that, every other function here is safe
//! to call: indices are checked, addresses are computed from the contract's layout, never passed in.
//!
//! Invariants:
//! * Guest code runs only inside [`enter_callable`], [`enter_direct`] and [`start`], on the arena's stack; host code never runs on it, except the
//!   few instructions of the stubs.
//! * All guest text of the process lies in one reserved region, and nothing else lies there: whether a
//!   program counter is guest code is two comparisons, fit for a signal handler.
//! * No Rust frame is ever unwound or jumped over. A trap abandons guest frames only.
//! * Slots of an arena live until the arena is dropped: pointers between them cannot dangle.
#![warn(missing_docs)]

mod arena;
mod artifact_file;
mod barrier;
mod callable;
mod clock;
mod code;
mod control;
mod direct;
mod enter;
mod error;
mod handed_on;
mod host;
mod interrupt;
pub mod jail;
mod kernel;
mod left;
mod pages;
mod pool;
mod read_only;
mod region;
mod registers;
mod scan;
mod signals;
mod slot;
mod switch;
mod thread;
mod urgency;

pub use arena::{Arena, ArenaLimits, FunctionTarget, HostFunctions, Recycled, SlotId, TableFunction};
pub use artifact_file::ArtifactFile;
pub use callable::{Callable, CodeFunction};
pub use clock::CpuClock;
pub use code::Code;
pub use direct::{Shape, ValueTypes};
pub use enter::{
    Ending, Exhausted, Exit, Trap, enter_callable, enter_direct, park_start, proceed, start, take_results,
};
pub use error::NativeError;
pub use handed_on::{HandOn, HandedOn};
pub use host::{Host, HostBody, HostFunction, HostVerdict, ask_again};
pub use interrupt::{InterruptHandle, Interruption};
#[doc(hidden)]
pub use kernel::{LesserKernel, pretend_kernel};
pub use pages::Recycling;
pub use pool::{Pool, SlotLimits};
#[doc(hidden)]
pub use registers::{LesserMachine, pretend};
pub use urgency::{set_urgency, urgency};

/// One slot of a `values` array ([`selvedge_contract::abi`]), little-endian; the upper bytes of a narrower
/// value are undefined.
pub type RawValue = u128;

const _: () = assert!(size_of::<RawValue>() == selvedge_contract::abi::VALUE_BYTES);
