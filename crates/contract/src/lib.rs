//! The vocabulary that compiler, verifier and runtime share.
//!
//! ```text
//!   types ─► contract ─► vmctx      what a module is, what it may do, where its state lies
//!              │           │
//!              ▼           ▼
//!          artifact ◄──── abi       how it is written down, how code and host call each other
//! ```
//!
//! Beside them, [`policy`] and [`signature`]: which contracts a host accepts, and from whom.
//!
//! Invariants:
//! * A layout is defined once, here. The compiler emits offsets from it, the runtime writes through
//!   it, the verifier recomputes it; nobody stores an offset in the artifact.
//! * Every length read from outside is capped ([`limits`]) before it is used.
//! * Nothing here runs code, maps memory or knows Cranelift. There is no `unsafe`.
#![warn(missing_docs)]

pub mod abi;
pub mod artifact;
mod contract;
pub mod cpu;
pub mod limits;
pub mod meter;
pub mod policy;
pub mod signature;
pub mod trap;
pub mod types;
pub mod vmctx;

pub use contract::{
    ConstExpr, ConstOp, Contract, DataSegment, ElementItems, ElementSegment, Export, Extern, GlobalPlan, ImageRun,
    Import, Interruption, MemoryLayout, MemoryPlan, Provenance, SegmentMode, TablePlan,
};
