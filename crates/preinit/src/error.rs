//! Why a module could not be initialised in advance, and what to do about it.

use std::time::Duration;

use selvedge_contract::artifact::{ArtifactError, WriteError};
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;
use selvedge_contract::types::ExternType;
use selvedge_runtime::{Backtrace, CallError, InstantiateError, NativeError};
use selvedge_wasi::BuildError;
use thiserror::Error;

/// A module could not be initialised in advance.
#[derive(Debug, Error)]
pub enum PreinitError {
    /// It imports a memory, table or global, whose contents would be another's. The module's maker's choice.
    #[error(
        "it imports {module} {name} ({ty}); a module that is initialised in advance may import functions only: define it in the module"
    )]
    Import {
        /// First-level name.
        module: String,
        /// Second-level name.
        name: String,
        /// What it is.
        ty: Box<ExternType>,
    },
    /// There is nothing that could run.
    #[error("it has neither a start function nor an export _initialize; name the export that initialises it")]
    NothingToRun,
    /// The named export does not exist.
    #[error("it exports no function {name:?}; it has {available}")]
    NoExport {
        /// The name.
        name: String,
        /// The functions it exports.
        available: String,
    },
    /// An export to be called takes or returns values.
    #[error("the export {name:?} is a {ty}; what initialises a module takes and returns nothing")]
    Type {
        /// The export.
        name: String,
        /// What it is.
        ty: Box<ExternType>,
    },
    /// It called an import that was not allowed. The operator may allow it.
    #[error("it called the import {module} {name}, which is not there while it is initialised; {advice}\n{backtrace}")]
    ImportCalled {
        /// First-level name.
        module: String,
        /// Second-level name.
        name: String,
        /// What to do.
        advice: &'static str,
        /// Where it was.
        backtrace: Box<Backtrace>,
    },
    /// It ended itself instead of returning. The module's fault.
    #[error("it ended with exit code {0} instead of returning")]
    Exit(i32),
    /// It took too long. The module's fault, or the limit is too low.
    #[error("it was not initialised after {limit:?}; allow more time\n{backtrace}")]
    Timeout {
        /// The limit.
        limit: Duration,
        /// Where it was.
        backtrace: Box<Backtrace>,
    },
    /// It trapped, or ended in another way. The module's fault.
    #[error(transparent)]
    Call(CallError),
    /// It could not be instantiated.
    #[error(transparent)]
    Instantiate(InstantiateError),
    /// Something holds what cannot be written down.
    #[error("{place} holds {what}, which an artifact cannot hold; clear it before initialisation ends")]
    NotStorable {
        /// The global or table element.
        place: String,
        /// What it holds.
        what: &'static str,
    },
    /// Its memories hold too much.
    #[error(
        "its memories hold {bytes} bytes that are not zero, more than the {ARTIFACT_BYTES_MAX} an artifact may have"
    )]
    TooLarge {
        /// What they hold.
        bytes: u64,
    },
    /// The artifact could not be written: a part is too large.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The artifact it was loaded from is damaged.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The system interface could not be made.
    #[error(transparent)]
    Wasi(#[from] BuildError),
    /// The operating system refused.
    #[error(transparent)]
    Native(#[from] NativeError),
    /// No thread could be started to watch the time.
    #[error("the thread that watches the time cannot be started: {0}")]
    Watch(std::io::Error),
}
