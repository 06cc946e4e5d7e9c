use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

/// What the operating system refused. The operator's to mend: limits, address space, files.
#[derive(Debug, Error)]
pub enum NativeError {
    /// A file could not be opened or mapped.
    #[error("cannot map {path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Errno,
    },
    /// Address space could not be reserved or made accessible.
    #[error("cannot {what} ({bytes} bytes): {source}; see `ulimit -v` and vm.max_map_count")]
    Memory {
        /// What was tried.
        what: &'static str,
        /// How much of it.
        bytes: u64,
        /// Why not.
        source: Errno,
    },
    /// The region for machine code is used up.
    #[error("no room for {bytes} bytes of machine code: unload modules first")]
    CodeRegionFull {
        /// How much was wanted.
        bytes: usize,
    },
    /// The artifact's code is empty or its function table is damaged.
    #[error("the artifact's function table is damaged: {0}")]
    Functions(&'static str),
    /// Signal handlers could not be installed.
    #[error("cannot install signal handlers: {0}")]
    Signals(Errno),
    /// There is no thread to be had, to watch over limits on time.
    #[error("cannot start a thread: {0}; see `ulimit -u`")]
    Thread(std::io::Error),
    /// Every slot of a pool is in use. The operator's to size, the embedder's to wait.
    #[error("all {slots} slots of the pool are in use")]
    PoolExhausted {
        /// How many there are.
        slots: u32,
    },
    /// An arena of its own address space was to be recycled.
    #[error("only instances in a pool are recycled")]
    NotPooled,
    /// A size outside its limits.
    #[error("{what} of {bytes} bytes is outside {min}..={max}")]
    Limit {
        /// What has that size.
        what: &'static str,
        /// The size.
        bytes: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
}
