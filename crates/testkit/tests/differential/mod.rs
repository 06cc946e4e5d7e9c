//! One module, two engines: do they agree on everything a guest can see?
//!
//! ```text
//!   generate   seed ─► module
//!   ours       the module on Selvedge, in either memory layout,
//!              in new stores or in a slot that is recycled      ┐
//!   peer       the module on wasmi, an interpreter              ┘─► compare, call by call
//! ```
//!
//! Compared are how instantiation and every call end (results, or the kind of trap) and afterwards all
//! memories, globals and tables. Left out: the stack's depth, which is each engine's own, and which of two
//! names a function has that is exported twice.

pub(crate) mod compare;
pub(crate) mod generate;
mod ours;
mod peer;
pub(crate) mod value;
