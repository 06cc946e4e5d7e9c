//! The jail: what a process gives up before it looks at what strangers sent.
//!
//! ```text
//!   Confined::run (parent) ──stdin: input──►  serve (child): Jail::enter, then its work
//!          ▲                                     │
//!          └────stdout: answer, exit status──────┘
//! ```
//!
//! After [`Jail::enter`] the process, its threads and all it may ever start
//! * open only the files it was granted (landlock), and none if none was granted;
//! * make only the system calls of a program that computes (seccomp): no sockets, no new processes or programs, no
//!   signals to others, no tracing, no shared or executable memory. What is not on the list fails with `EPERM`;
//! * have a cap on memory, on CPU time and on the size of files it may write (resource limits), which cannot be raised again.
//!
//! Descriptors that are open stay open: that is how input and output get in and out. [`serve`] closes all but the three
//! standard ones first.
//!
//! Invariants:
//! * Nothing is left out silently. What the kernel lacks is an error ([`JailError::Lacks`]), unless the caller asked for
//!   [`Jail::enter_with_what_there_is`], which reports each gap.
//! * There is no way back: nothing here can be undone by the process itself.
//! * A parent never takes a child's word without the child having said that it is in the jail ([`Confined`]).
//!
//! What it is not: a defence against the kernel's own faults, or against timing channels between processes.

mod allocator;
mod calls;
mod confined;
mod error;
mod limits;
mod paths;

use std::path::PathBuf;

pub use allocator::{Allocator, is_short as memory_is_short};
pub use confined::{Answer, COMPILE_CHILD, Confined, ConfinedError, serve};
pub use error::{JailError, Lack};

/// What a process keeps when it drops into the jail. Caps have no default: whoever jails something knows how much
/// it may take.
#[derive(Clone, Debug)]
pub struct Jail {
    memory_bytes_max: u64,
    cpu_seconds_max: u64,
    file_bytes_max: Option<u64>,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

impl Jail {
    /// A jail with no files, so much writable memory and so much CPU time of all threads together.
    pub fn new(memory_bytes_max: u64, cpu_seconds_max: u64) -> Jail {
        Jail { memory_bytes_max, cpu_seconds_max, file_bytes_max: None, read: Vec::new(), write: Vec::new() }
    }

    /// Lets it read a file, or everything below a directory.
    pub fn read(mut self, path: impl Into<PathBuf>) -> Jail {
        self.read.push(path.into());
        self
    }

    /// Lets it read and write a file, or make, change and remove everything below a directory; no file may get
    /// longer than this.
    pub fn write(mut self, path: impl Into<PathBuf>, file_bytes_max: u64) -> Jail {
        self.write.push(path.into());
        self.file_bytes_max = self.file_bytes_max.max(Some(file_bytes_max));
        self
    }

    /// Drops this process into the jail, for good.
    ///
    /// Call it before the first thread is started: threads that run already would stay outside.
    ///
    /// # Errors
    /// If the kernel lacks a part of it, a path does not exist, there are other threads, or the operating system
    /// refuses. The process may then be jailed in part: end it.
    pub fn enter(&self) -> Result<(), JailError> {
        let mut lacks = Vec::new();
        self.enter_with_what_there_is(|lack| lacks.push(lack))?;
        if lacks.is_empty() { Ok(()) } else { Err(JailError::Lacks(lacks)) }
    }

    /// As [`Jail::enter`], without what the kernel lacks: `log` is told of each gap, and must tell the operator.
    ///
    /// # Errors
    /// As [`Jail::enter`], but for what the kernel lacks.
    pub fn enter_with_what_there_is(&self, mut log: impl FnMut(Lack)) -> Result<(), JailError> {
        limits::alone()?;
        limits::apply(self.memory_bytes_max, self.cpu_seconds_max, self.file_bytes_max)?;
        paths::restrict(&self.read, &self.write)?.into_iter().for_each(&mut log);
        calls::restrict(!self.read.is_empty(), !self.write.is_empty())?.into_iter().for_each(&mut log);
        allocator::end_when_memory_is_short();
        Ok(())
    }
}
