//! The edge server: many tenants' sites in one process, a fresh instance for every request.
//!
//! ```text
//!   client ─► accept ─► route ─► resolve ─► file ─► admit ─► acquire ─► call ─► respond ─► recycle      serve.rs
//!                         │        │         │        │         │         │
//!                       route     site     bundle  admission  runtime   guest (a trait; CGI)
//!                         ▲        ▲
//!   operator ─► admin ─► deploy: upload, unpack, compile (elsewhere), verify, link, check, store, switch  deploy/
//!                         │
//!                       store: records and blobs, whole or not at all
//! ```
//!
//! Invariants:
//! * **The compiler is not here.** Modules are compiled by whoever the embedder names ([`Compile`]); what comes
//!   back is proved before it is mapped.
//! * **One request, one instance**, recycled however the request ends: it is owned by the response, and goes with it.
//! * **A guest's end is one answer.** Traps, limits and nonsense are named in the response, counted, and logged with
//!   the request's id. The next request does not notice.
//! * **Bounded.** Bodies pass through buffers of fixed size in both directions; queues, logs, headers, connections
//!   and deploys have a place in [`limits`].
//! * **An acknowledged deploy survives** the process's end at any moment (`store`).
//! * What a client, a guest, an operator says is checked where it comes in; each page in `docs/` says what is
//!   trusted at which stop.
//!
//! Not here: HTTP/3, other guest interfaces than CGI, more than one machine.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod admin;
mod admission;
mod bundle;
pub mod client;
pub mod config;
mod connection;
mod deploy;
mod dial;
mod error;
mod exchange;
mod exposition;
#[doc(hidden)]
pub mod fuzzing;
mod guest;
mod history;
pub mod limits;
mod logs;
#[doc(hidden)]
pub mod measuring;
mod metrics;
mod name;
mod outbound;
mod payload;
mod policy;
mod prepared;
mod rate;
mod reaper;
mod refusal;
mod request_id;
mod respond;
mod route;
pub mod schema;
mod serve;
mod server;
pub mod signals;
mod site;
mod sites;
pub mod store;
mod tls;
mod traces;
mod turns;
mod unrouted;
mod upload;
mod urgency;

pub use config::{Config, LogFormat};
pub use deploy::{Compile, CompileBroker, CompileCommand, CompileError};
pub use error::EdgeError;
pub use outbound::{Destination, Dialing};
pub use prepared::{Prepared, prepare};
pub use server::{Server, start};
pub use sites::Health;
