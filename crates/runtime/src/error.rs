//! How things end, and whose fault it is.

use std::error::Error;
use std::fmt;

use selvedge_contract::artifact::ArtifactError;
use selvedge_contract::cpu::CpuFeatures;
use selvedge_contract::policy::Violations;
use selvedge_contract::trap::TrapCode;
use selvedge_contract::types::FuncType;
use selvedge_native::NativeError;
use thiserror::Error;

use crate::backtrace::Backtrace;
use crate::limits::LimitError;
use crate::matching::LinkError;

/// A call into a guest did not return.
#[derive(Debug)]
pub enum CallError {
    /// The guest trapped. The guest's fault.
    Trap(Trap),
    /// A host function returned an error. The host function says whose fault.
    Host(HostError),
    /// A host function ended the instance with this exit code, because the guest asked for it: no fault.
    Exit(i32),
    /// A host function panicked. The host's fault; the guest is not resumed.
    HostPanic {
        /// What the panic said.
        message: String,
        /// Where the guest was.
        backtrace: Backtrace,
    },
    /// The host interrupted the guest ([`crate::Store::interrupt_handle`]); this is where it was.
    Interrupted(Backtrace),
    /// The store has used all its CPU time ([`crate::TimeLimits::cpu`]); this is where it was. The guest's fault, or the
    /// limit is too low.
    CpuTimeExceeded(Backtrace),
    /// The store's time is over ([`crate::TimeLimits::wall`]); this is where it was. The guest's fault, or of whom it
    /// waited for, or the limit is too low.
    WallTimeExceeded(Backtrace),
    /// Metered code has executed all the instructions it may ([`crate::Limits::meter_max`]); this is where it was. The
    /// guest's fault, or the limit is too low.
    MeterExhausted(Backtrace),
    /// A limit of the store was reached. The guest's fault, or the limit is too low.
    Limit(LimitError),
    /// The call could not begin. The embedder's fault.
    BadCall(BadCall),
}

impl CallError {
    /// Where the guest was, if it had begun.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        match self {
            CallError::Trap(trap) => Some(&trap.backtrace),
            CallError::Host(error) => Some(error.backtrace()),
            CallError::HostPanic { backtrace, .. }
            | CallError::Interrupted(backtrace)
            | CallError::CpuTimeExceeded(backtrace)
            | CallError::WallTimeExceeded(backtrace)
            | CallError::MeterExhausted(backtrace) => Some(backtrace),
            CallError::Exit(_) | CallError::Limit(_) | CallError::BadCall(_) => None,
        }
    }

    pub(crate) fn backtrace_mut(&mut self) -> Option<&mut Backtrace> {
        match self {
            CallError::Trap(trap) => Some(&mut trap.backtrace),
            CallError::Host(error) => Some(&mut error.0.backtrace),
            CallError::HostPanic { backtrace, .. }
            | CallError::Interrupted(backtrace)
            | CallError::CpuTimeExceeded(backtrace)
            | CallError::WallTimeExceeded(backtrace)
            | CallError::MeterExhausted(backtrace) => Some(backtrace),
            CallError::Exit(_) | CallError::Limit(_) | CallError::BadCall(_) => None,
        }
    }

    /// The trap's code, if it was a trap.
    pub fn trap_code(&self) -> Option<TrapCode> {
        if let CallError::Trap(trap) = self { Some(trap.code) } else { None }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Trap(trap) => trap.fmt(f),
            CallError::Host(error) => write!(f, "a host function failed: {error}\n{}", error.backtrace()),
            CallError::Exit(code) => write!(f, "the instance ended with exit code {code}"),
            CallError::HostPanic { message, backtrace } => {
                write!(f, "a host function panicked (a bug in the host): {message}\n{backtrace}")
            }
            CallError::Interrupted(backtrace) => write!(f, "the instance was interrupted\n{backtrace}"),
            CallError::CpuTimeExceeded(backtrace) => {
                write!(f, "the instance has used all the CPU time it may (limits.time.cpu)\n{backtrace}")
            }
            CallError::WallTimeExceeded(backtrace) => {
                write!(f, "the instance's time is over (limits.time.wall)\n{backtrace}")
            }
            CallError::MeterExhausted(backtrace) => {
                write!(f, "the instance has executed all the instructions it may (meter_max)\n{backtrace}")
            }
            CallError::Limit(limit) => limit.fmt(f),
            CallError::BadCall(bad) => bad.fmt(f),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CallError::Host(error) => error.as_error().and_then(|e| e.source()),
            _ => None,
        }
    }
}

impl From<LimitError> for CallError {
    fn from(error: LimitError) -> CallError {
        CallError::Limit(error)
    }
}

impl From<BadCall> for CallError {
    fn from(error: BadCall) -> CallError {
        CallError::BadCall(error)
    }
}

/// The guest trapped.
#[derive(Clone, Debug)]
pub struct Trap {
    /// Why.
    pub code: TrapCode,
    /// Where.
    pub backtrace: Backtrace,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}\n{}", self.code, self.backtrace)
    }
}

impl Error for Trap {}

/// A call that could not begin: the embedder's mistake.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum BadCall {
    /// The handle is of another store.
    #[error("a handle of another store was used")]
    WrongStore,
    /// The instance is one of another module than the function.
    #[error("a function of a module was looked for in an instance of another")]
    WrongModule,
    /// Parameters or results do not have the function's type.
    #[error("the function has type {expected}, it was used as {found}")]
    Type {
        /// The function's type.
        expected: Box<FuncType>,
        /// What the caller used.
        found: Box<FuncType>,
    },
    /// The instance exports no function of this name.
    #[error("the instance exports no function {0:?}")]
    NoFunction(String),
    /// The artifact's function table does not hold the function: the artifact is damaged.
    #[error("function {0} is missing from the artifact's function table: the artifact is damaged")]
    Damaged(u32),
}

/// What a host function returns when it does not return values.
///
/// Any error converts into it with `?`. An error that came from calling back into the guest
/// ([`CallError`]) goes on outwards as it was, its backtrace extended: a trap stays a trap.
pub struct HostError(Box<Failure>);

struct Failure {
    cause: Cause,
    backtrace: Backtrace,
}

enum Cause {
    Error(Box<dyn Error + Send + Sync>),
    Exit(i32),
    Trap(TrapCode),
}

impl HostError {
    fn from_cause(cause: Cause) -> HostError {
        HostError(Box::new(Failure { cause, backtrace: Backtrace::default() }))
    }

    /// An error; its source is kept.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> HostError {
        HostError::from_cause(Cause::Error(error.into()))
    }

    /// An error that is only text.
    pub fn message(text: impl fmt::Display) -> HostError {
        HostError::new(text.to_string())
    }

    /// Ends the instance with an exit code: the call into it returns [`CallError::Exit`].
    pub fn exit(code: i32) -> HostError {
        HostError::from_cause(Cause::Exit(code))
    }

    /// Traps, as if the guest had.
    pub fn trap(code: TrapCode) -> HostError {
        HostError::from_cause(Cause::Trap(code))
    }

    /// The error, unless this is an exit or a trap.
    pub fn as_error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        if let Cause::Error(error) = &self.0.cause { Some(error.as_ref()) } else { None }
    }

    /// The error, if it is an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.as_error()?.downcast_ref()
    }

    /// Where the guest was when it called the host function; empty until it got there.
    pub fn backtrace(&self) -> &Backtrace {
        &self.0.backtrace
    }

    /// The trap, if it is one.
    pub(crate) fn as_trap(&self) -> Option<TrapCode> {
        if let Cause::Trap(code) = self.0.cause { Some(code) } else { None }
    }

    /// What the call that this error ends returns; the guest's frames are appended.
    pub(crate) fn into_call_error(self, frames: Backtrace) -> CallError {
        let mut error = match self.0.cause {
            Cause::Exit(code) => CallError::Exit(code),
            Cause::Trap(code) => CallError::Trap(Trap { code, backtrace: self.0.backtrace }),
            Cause::Error(error) => match error.downcast::<CallError>() {
                Ok(inner) => *inner,
                Err(error) => {
                    let failure = Failure { cause: Cause::Error(error), backtrace: self.0.backtrace };
                    CallError::Host(HostError(Box::new(failure)))
                }
            },
        };
        if let Some(backtrace) = error.backtrace_mut() {
            backtrace.append(frames);
        }
        error
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for HostError {
    fn from(error: E) -> HostError {
        HostError::new(error)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            Cause::Error(error) => error.fmt(f),
            Cause::Exit(code) => write!(f, "exit with code {code}"),
            Cause::Trap(code) => code.fmt(f),
        }
    }
}

impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.cause {
            Cause::Error(error) => f.debug_tuple("HostError").field(error).finish(),
            Cause::Exit(code) => write!(f, "HostError(exit {code})"),
            Cause::Trap(code) => write!(f, "HostError({code:?})"),
        }
    }
}

/// An artifact could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It is damaged, of another version, or no artifact. Its maker's or carrier's fault.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// It was compiled for a CPU with more features. The operator's choice.
    #[error(
        "the artifact needs CPU features this machine lacks: {missing}; compile it for this machine, for example \
         with --cpu baseline"
    )]
    Cpu {
        /// Which.
        missing: CpuFeatures,
    },
    /// A policy refuses it. Its maker's to mend, or the operator's, whose policy it is.
    #[error(transparent)]
    Policy(#[from] Violations),
    /// Its code is not known to keep its contract. Its maker's fault, the compiler's or an attacker's.
    #[error("the artifact is refused: {0}")]
    Unproved(Box<selvedge_verifier::Report>),
    /// The file cannot be read. The operator's to mend.
    #[error("the artifact cannot be read: {0}")]
    Read(std::io::Error),
    /// The operating system refused. The operator's to mend.
    #[error(transparent)]
    Native(#[from] NativeError),
}

/// An instance could not be made.
#[derive(Debug, Error)]
pub enum InstantiateError {
    /// Imports are missing or do not fit.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The store's limits do not allow it.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The operating system refused.
    #[error(transparent)]
    Native(#[from] NativeError),
    /// A type of the module and a type already in the store have the same signature id: linking them would
    /// open a way out of the sandbox. Never seen in nature; suspect an attack.
    #[error("function types {0} and {1} have one signature id; such modules cannot share a store")]
    SignatureClash(FuncType, FuncType),
    /// Parts of the artifact contradict each other: it is damaged.
    #[error("the artifact contradicts itself ({0}): it is damaged")]
    Damaged(&'static str),
    /// A segment did not fit, or the start function did not return.
    #[error(transparent)]
    Start(#[from] CallError),
}
