//! WASI preview 1: the system interface of a guest, as host functions.
//!
//! ```text
//!   Wasi::builder() ─► Wasi, one a store ─► add_to_linker: 46 imports, and the 45 of wasi_unstable
//!                        │
//!                        ├─ args, env, clocks, randomness
//!                        └─ descriptors: number ─► rights + stream in memory │ host file │ directory
//!                                                                                            │
//!                              memory (what a guest says) ─► resolve (beneath, or not at all)┘
//! ```
//!
//! Invariants:
//! * **Capabilities.** A guest reaches the descriptors it was given and what lies beneath the directories
//!   among them. After [`WasiBuilder::preopen_dir`] no path is ever looked up from the host's root or
//!   current directory; paths are followed in `resolve` and `walk` and nowhere else.
//! * **Guests allege.** Pointers, lengths and paths are checked in `memory` before anything is done, and
//!   places for results before the deed: a call that answers an errno has written nothing.
//! * **Rights shrink.** A descriptor has base and inheriting rights as the witx document says; every
//!   use names the right it needs. A read-only grant is not a matter of rights but answers `EROFS`.
//! * **Granting `/` grants no process.** Nothing on procfs is opened or read, wherever it is mounted.
//! * **Nothing pretends.** What cannot be done answers the errno that says so.
//! * **Bounded.** Every count a guest chooses has a cap in `limits`.
//! * What may have to wait is an attempt, made again when its time has come: the guest is suspended meanwhile
//!   where it can be (`readiness`), and else the thread waits (`wait`).
//!
//! Not here: reading of the host's environment, arguments or current directory; making of sockets.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod args;
mod builder;
mod clocks;
mod descriptor;
mod dir;
mod doorbell;
mod environment;
mod errno;
mod file;
mod flags;
mod functions;
mod host;
mod io;
mod limits;
mod linker;
mod memory;
mod open;
mod path;
mod pipe;
mod poll;
mod process;
mod procfs;
mod quota;
mod random;
mod readiness;
mod resolve;
mod sock;
mod stdio;
mod streams;
#[cfg(test)]
mod tests;
mod trace;
mod tree;
mod types;
mod unstable;
mod wait;
mod walk;

pub use builder::{BuildError, DirAccess, WasiBuilder};
pub use cap_std::fs::Dir;
pub use clocks::Clocks;
pub use environment::{Environment, VariableName};
pub use errno::Errno;
pub use linker::{add_to_linker, add_traced_to_linker};
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use quota::{Quota, Quotas, Usage};
pub use random::Randomness;
pub use stdio::{Buffer, Reader, Stdio, Writer};
pub use streams::{InputStream, OutputStream};
pub use trace::Tracer;
pub use tree::{Tree, TreeBuilder, TreeError};

/// The system interface of one store: what its guest was granted, and what it has opened since.
#[derive(Debug)]
pub struct Wasi {
    args: args::Strings,
    env: args::Strings,
    table: descriptor::Table,
    meter: quota::Meter,
    time: clocks::Time,
    random: Randomness,
    pending: wait::Pending,
    /// Made when this first waits in a thread of its own.
    doorbell: Option<std::sync::Arc<doorbell::Doorbell>>,
}

impl Wasi {
    /// A builder that grants nothing yet.
    pub fn builder() -> WasiBuilder {
        WasiBuilder::default()
    }
}
