//! What a server opens before it serves: addresses, certificates, what is kept, and room for instances.
//!
//! No thread is started and nothing of a stranger is read meanwhile, so that whoever jails the process does it between
//! [`prepare`] and [`Prepared::start`].

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::net::sockopt;
use selvedge_native::jail::Dialer;
use selvedge_runtime::{Limits, Pool, PoolLimits};
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::deploy::Disk;
use crate::error::EdgeError;
use crate::guest::Interface;
use crate::guest::cgi::Cgi;
use crate::limits::{ADMIN_GONE_AFTER, ADMIN_KEEPALIVE, MEMORY_BYTES_MAX};
use crate::outbound::Ways;
use crate::policy::{Policies, policies};
use crate::reaper::Reaper;
use crate::store::DiskStore;
use crate::tls::Tls;
use crate::traces::Collector;
use crate::urgency::answers_clients;

/// A server that listens, and lets nobody in yet.
pub struct Prepared {
    pub(crate) config: Config,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) policies: Policies,
    pub(crate) listen: TcpListener,
    pub(crate) secure: Option<TcpListener>,
    pub(crate) admin: TcpListener,
    pub(crate) store: DiskStore,
    /// For files of deploys under way, on the disk of the store.
    pub(crate) scratch: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) pool: Pool,
    pub(crate) interface: Box<dyn Interface>,
    pub(crate) collector: Option<Collector>,
    pub(crate) ways: Ways,
    pub(crate) processors: usize,
}

/// Opens what a server needs.
///
/// # Errors
/// If the configuration does not hold, an address is taken, or what is kept cannot be opened.
pub async fn prepare(config: Config) -> Result<Prepared, EdgeError> {
    config.check()?;
    let system = |error: &dyn std::fmt::Display| EdgeError::System(error.to_string());
    let tls = config.tls.as_ref().map(Tls::new).transpose().map_err(|error| error.of(&config))?.map(Arc::new);
    let policies = policies(&config)?;
    let collector = config.traces.as_ref().map(|traces| Collector::new(&config, traces)).transpose()?;
    let ways = Ways::of(&config)?;
    let plain = listen(config.listen, "listen").await?;
    let secure = match &config.tls {
        Some(tls) => Some(listen(tls.listen, "tls.listen").await?),
        None => None,
    };
    let admin = listen(config.admin, "admin").await?;
    ask_after_the_quiet(&admin).map_err(|error| system(&error))?;
    let store = DiskStore::open(&config.state)?;
    let scratch = config.state.join("scratch");
    // What a process that was killed has left.
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch).map_err(|error| system(&error))?;
    let disk = Disk::of(&scratch).map_err(|error| system(&error))?;
    let limits = Limits { memory_bytes_max: MEMORY_BYTES_MAX, ..Limits::default() };
    let pool = Pool::new(PoolLimits { store: limits, ..PoolLimits::guarded(config.slots + Reaper::SLOTS) });
    let pool = pool.map_err(|error| system(&error))?;
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Ok(Prepared {
        config,
        tls,
        policies,
        listen: plain,
        secure,
        admin,
        store,
        scratch,
        disk,
        pool,
        interface: Box::new(Cgi::new()),
        collector,
        ways,
        processors,
    })
}

/// A socket that any executor can wait for.
async fn listen(address: SocketAddr, what: &'static str) -> Result<TcpListener, EdgeError> {
    let listener = tokio::net::TcpListener::bind(address).await.and_then(tokio::net::TcpListener::into_std);
    listener.map_err(|source| EdgeError::Listen { address, what, source })
}

/// Whoever follows a log says nothing, and hears nothing of a quiet site: the kernel asks whether they are still there. What
/// is accepted inherits it.
fn ask_after_the_quiet(listener: &TcpListener) -> std::io::Result<()> {
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, ADMIN_KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(listener, ADMIN_KEEPALIVE)?;
    Ok(sockopt::set_tcp_user_timeout(listener, ADMIN_GONE_AFTER.as_millis() as u32)?)
}

impl Prepared {
    /// Where the collector of traces is, `HOST:PORT`, if there is one. In a jail it cannot be reached: see
    /// [`Prepared::dial_by`].
    pub fn collector(&self) -> Option<String> {
        self.collector.as_ref().map(Collector::authority)
    }

    /// Lets another process, which connects to [`Prepared::collector`], do so for this one.
    pub fn dial_by(self, dialer: Dialer) -> Prepared {
        let dialer = Arc::new(dialer);
        Prepared { collector: self.collector.map(|collector| collector.through(dialer)), ..self }
    }

    /// Lets another process, which does what [`crate::Dialing`] does, connect to the servers that programs may ask. In a
    /// jail none can be reached else.
    pub fn dial_outbound_by(self, dialer: Dialer) -> Prepared {
        Prepared { ways: self.ways.through(dialer), ..self }
    }

    /// Threads that answer clients, as many as there are processors. They have little to do at a time, and the kernel is told so.
    /// End them by `shutdown_timeout`: others that it has may wait for a name server, which nobody can call off.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn executor(&self) -> Result<Runtime, EdgeError> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(self.processors).on_thread_start(answers_clients).enable_all();
        builder.build().map_err(|error| EdgeError::System(format!("cannot start threads: {error}")))
    }
}
