//! Guest interfaces: how a program is asked for a response.
//!
//! An interface turns a module into a [`Program`], once; a program turns a request into a [`Guest`], each time with a
//! fresh instance. The guest is a future: it runs when it is polled, and dropping it recycles the instance.

pub(crate) mod cgi;
pub(crate) mod notes;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::http::request::Parts;
use selvedge_runtime::{CallError, InstantiateError, Module, NativeError, Pool};
use selvedge_wasi::Tree;
use thiserror::Error;

use crate::admission::Admission;
use crate::connection::Peer;
use crate::exchange::Exchange;
use crate::limits::SiteLimits;
use crate::logs::{self, GuestLog};
use crate::name::Host;
use crate::request_id::RequestId;
use crate::site::Site;

/// A way to ask programs for responses.
pub(crate) trait Interface: Send + Sync {
    /// Whether a module is a program of this interface, and what is needed to start it.
    fn prepare(&self, module: &Module, provision: Provision) -> Result<Box<dyn Program>, Unfit>;
}

/// What a program has for all its requests.
#[derive(Clone, Default, Debug)]
pub(crate) struct Provision {
    /// Arguments before those of a request.
    pub(crate) args: Vec<String>,
    /// What it finds at `/`, to read.
    pub(crate) files: Option<Tree>,
}

/// A module, ready to be started for one request after the other.
pub(crate) trait Program: Send + Sync {
    /// A fresh instance that is about to answer a request.
    fn start(&self, pool: &Pool, call: Call<'_>) -> Result<Guest, StartError>;
}

/// One request, as a guest gets it.
pub(crate) struct Call<'r> {
    /// Its headers may be taken.
    pub(crate) parts: &'r mut Parts,
    /// None if there is nothing in it.
    pub(crate) body: Option<Incoming>,
    pub(crate) origin: Origin<'r>,
    pub(crate) site: &'r Arc<Site>,
    pub(crate) limits: SiteLimits,
    /// From when its time counts.
    pub(crate) now: Instant,
    pub(crate) exchange: Exchange,
    pub(crate) log: GuestLog,
    /// To be held until the instance is gone.
    pub(crate) admission: Admission,
}

/// Where a request came from, and to.
pub(crate) struct Origin<'r> {
    pub(crate) request_id: RequestId,
    pub(crate) peer: &'r Peer,
    /// The host that was asked for, without a port.
    pub(crate) host: &'r Host,
    /// How much of the path is the site's prefix.
    pub(crate) prefix_bytes: usize,
}

/// An instance that answers a request. It keeps its limits on time and memory by itself.
pub(crate) type Guest = Pin<Box<dyn Future<Output = Ending> + Send>>;

/// How an instance ended.
pub(crate) struct Ending {
    pub(crate) result: Result<(), CallError>,
    /// Whether it asked for more memory than it may have.
    pub(crate) memory_refused: bool,
    pub(crate) used: Used,
    /// What more there is to say of a failure, to people, once that was looked up.
    pub(crate) explanation: Option<String>,
}

impl Ending {
    /// Whether there is anything to look up.
    pub(crate) fn is_unexplained(&self) -> bool {
        let is_plain = match &self.result {
            Ok(()) | Err(CallError::Exit(_) | CallError::CpuTimeExceeded(_) | CallError::WallTimeExceeded(_)) => true,
            Err(_) => self.memory_refused,
        };
        !is_plain && self.explanation.is_none()
    }

    /// Looks up names and lines of code. That may take long: how much there is to read the program's maker decides.
    pub(crate) fn explained(mut self) -> Ending {
        if self.is_unexplained() {
            self.explanation = self.result.as_ref().err().map(|error| match error {
                CallError::Trap(trap) => logs::message(&trap.backtrace.to_string()),
                other => logs::message(&other.to_string()),
            });
        }
        self
    }
}

/// What an instance has used.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    pub(crate) memory_bytes: u64,
}

/// An instance could not be made. The operator's to mend, or the guest's start function failed.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Instantiate(#[from] InstantiateError),
    #[error("the request does not fit into a system interface: {0}")]
    Wasi(#[from] selvedge_wasi::BuildError),
    #[error("the instance has {bytes} bytes of memory at its start, more than the limit of {bytes_max}")]
    Memory { bytes: u64, bytes_max: u64 },
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Native(#[from] NativeError),
}

/// A module is no program of an interface. Its maker's to mend.
#[derive(Debug, Error)]
pub(crate) enum Unfit {
    #[error("it exports no function _start: build a program (a command), not a library")]
    NoStart,
    #[error("its _start cannot be called without parameters, for no result: {0}")]
    StartType(CallError),
    #[error("it has a start function, which would run before its limits hold: export it as _start instead")]
    StartFunction,
    #[error("its imports are not what programs are given here: {0}")]
    Imports(#[from] selvedge_runtime::LinkError),
}
