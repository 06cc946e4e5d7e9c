//! Why a server cannot start, or an operator's request cannot be met.

use std::io::ErrorKind;
use std::net::SocketAddr;

use thiserror::Error;

use crate::config::{ByteCount, ConfigError, HostError};
use crate::name::NameError;
use crate::store::StoreError;

/// What to do about an address that cannot be listened on.
fn way_out(what: &str, why: &std::io::Error) -> String {
    // What `serve` has an option for.
    let option = if matches!(what, "listen" | "admin") { format!(" (or --{what})") } else { String::new() };
    match why.kind() {
        ErrorKind::PermissionDenied => format!(
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or set `{what}`{option} to another"
        ),
        ErrorKind::AddrNotAvailable => {
            format!("this machine does not have it: set `{what}`{option} to an address that it has")
        }
        _ => format!("set `{what}`{option} to another address, or end what listens there"),
    }
}

/// What went wrong, and whose it is to mend.
#[derive(Debug, Error)]
pub enum EdgeError {
    /// The configuration. The operator's.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on. The operator's.
    #[error("cannot listen on {address}: {source}; {}", way_out(what, source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The key it is set by.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// Certificates. The operator's.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    /// What is kept. See there.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gives no address space or threads. The operator's.
    #[error("cannot start: {0}; fewer slots need less address space")]
    System(String),
    /// A name that cannot be one. The client's.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such site. The client's.
    #[error("there is no site {0:?}; `selvedge sites` lists those there are")]
    NoSite(String),
    /// The site was deleted after the change was asked for. The client's to deploy it again.
    #[error("the site {0:?} was deleted meanwhile; deploy it anew, with its hosts")]
    Deleted(String),
    /// What was allowed when it was asked for is not any more. The operator's.
    #[error("this is not allowed any more: {0}")]
    Revoked(String),
    /// Somebody else changed the site since the client looked at it. The client's to look again.
    #[error("the site {site:?} is at revision {now}, not {expected}: somebody has changed it; see `selvedge versions`")]
    Stale {
        /// Which.
        site: String,
        /// What the client believes.
        expected: u64,
        /// What it is.
        now: u64,
    },
    /// A canary that would move its site, for all requests. The client's.
    #[error(
        "a canary answers where its site does: leave out --host and --path, or deploy without --canary to move the site"
    )]
    CanaryMoves,
    /// There is no such version. The client's.
    #[error("{0}")]
    NoVersion(String),
    /// A host that is not the tenant's to answer for. Says whose it is to mend.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Too many hosts. The client's.
    #[error("a site has at most {0} hosts")]
    TooManyHosts(usize),
    /// The tenant's deploys hold all the places there are for them. Trying again later helps.
    #[error("the tenant has {0} deploys under way already, as many as may be: try again when one has ended")]
    TooManyDeploys(usize),
    /// The tenant has as many sites as it may. Its own to delete one, or the operator's to allow more.
    #[error("the tenant has {found} sites, and limits.sites is {max}: delete one, or have the limit raised")]
    TooManySites {
        /// Those that there are.
        found: usize,
        /// The limit.
        max: u32,
    },
    /// The tenant's versions would take more than they may. Its own to delete a site, or the operator's to allow more.
    #[error(
        "the tenant's versions would take {found} bytes, and limits.storage is {max}, though older ones of this site \
         went: delete another site, or have the limit raised"
    )]
    StorageFull {
        /// What they would take, without the older ones.
        found: u64,
        /// The limit.
        max: ByteCount,
    },
    /// The disk with the state is almost full. The operator's to make room.
    #[error(
        "the disk with the state has {free} bytes left beside what is being uploaded, too few for {bytes} more: \
         {reserve} stay free"
    )]
    DiskFull {
        /// What is left that nobody else has announced.
        free: u64,
        /// What was to come.
        bytes: u64,
        /// What must be left then.
        reserve: u64,
    },
    /// A version cannot be run. Its maker's.
    #[error("{0}")]
    Unfit(String),
    /// The machine is short of what a version needs to be loaded. The operator's; it may pass.
    #[error("{0}")]
    Shortage(String),
    /// An archive is no bundle. Its maker's.
    #[error("{0}")]
    Bundle(String),
    /// The compiler. Says whose.
    #[error(transparent)]
    Compile(#[from] crate::deploy::CompileError),
    /// A task ended early: a bug of the server's.
    #[error("the server made a mistake: {0}")]
    Internal(String),
}
