//! Initialisation once, at compile time: artifact in, artifact out.
//!
//! ```text
//!   module ─► instantiate ─► start, _initialize, EXPORT ─► freeze ─► artifact
//!   (loaded)  imports refused or deterministic             memories, globals, tables, dropped segments
//! ```
//!
//! The module runs in the sandbox like any other; what it has become is written down as the state that every
//! later instance begins with. **The code stays as it was compiled**: only contract, image and data change, so
//! that nothing is compiled twice and backtraces still speak of the module the user knows.
//!
//! Invariants:
//! * **What ran does not run again.** The start function is gone, and so are the exports of the functions that
//!   were called, under every name they had.
//! * The same module and [`Options`] give the same bytes: imports are refused, or answered by a system
//!   interface without grants whose clock and randomness are fixed. Two things are the machine's: what it
//!   refuses to a growing memory, and the time limit, which gives an error, never another artifact.
//! * The module is hostile: it has a time limit, the store's limits, and a bound on what it prints.
//! * What cannot be written down is refused by name: host objects, functions of other instances, imports that
//!   are no functions.
//! * The state is sparse: pages of zeros are left out, but for short gaps between others.
//!
//! Not here: compiling; loading, which is a matter of trust and therefore the caller's.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod allow;
mod error;
mod freeze;
mod image;
mod references;
mod run;

pub use allow::{Allow, UnknownImport};
pub use error::PreinitError;
pub use freeze::freeze;
pub use run::{Options, initialise};
