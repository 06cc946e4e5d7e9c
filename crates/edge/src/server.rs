//! A server: its parts put together, started, changed and stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::{Request, Response};
use selvedge_runtime::{Module, Pool};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{RwLock, Semaphore, watch};

use crate::admin::AdminAnswer;
use crate::config::{Config, HostLists, Scope, TenantConfig, TokenConfig, TokenHash};
use crate::connection::{self, Answer, Door, Flaw, Peer, accept};
use crate::deploy::{self, Compile, Deploys, Disk};
use crate::error::EdgeError;
use crate::guest::{Interface, Provision, Unfit};
use crate::history;
use crate::limits::{ADMIN_CONNECTIONS_MAX, CONNECTIONS_MAX, DRAIN_MAX, TAKE_MAX};
use crate::logs::ServerLog;
use crate::name::Name;
use crate::outbound::Ways;
use crate::policy::{Policies, policies};
use crate::prepared::{Prepared, prepare};
use crate::reaper::{Loaded, Reaper};
use crate::request_id::RequestIds;
use crate::respond::ResponseBody;
use crate::route::Routes;
use crate::serve::serve;
use crate::site::{Site, Tenant};
use crate::sites::{Health, Sites};
use crate::store::Store;
use crate::tls::{self, Tls};
use crate::traces::Traces;
use crate::turns::{Turns, Whose};
use crate::unrouted::Unrouted;

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    /// As many permits as the pool has slots for requests.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) routes: ArcSwap<Routes>,
    pub(crate) ids: RequestIds,
    interface: Box<dyn Interface>,
    reaper: Reaper,
    pub(crate) compile: Arc<dyn Compile>,
    pub(crate) store: Box<dyn Store>,
    /// For files of deploys under way, on the disk of the store.
    pub(crate) scratch: PathBuf,
    pub(crate) disk: Arc<Disk>,
    pub(crate) deploys: Arc<Deploys>,
    /// Shared by whoever keeps blobs whose record is still to come; who sweeps has it alone.
    pub(crate) keeping: Arc<RwLock<()>>,
    /// Versions that are loaded and proved at once.
    pub(crate) loads: Semaphore,
    processors: usize,
    pub(crate) access: ArcSwap<Access>,
    turns: Arc<Turns>,
    /// By which programs reach other servers.
    ways: Arc<Ways>,
    pub(crate) log: ServerLog,
    pub(crate) unrouted: Unrouted,
    /// None if no collector is configured.
    pub(crate) traces: Option<Arc<Traces>>,
    /// Held by each response that sends a file.
    pub(crate) under_way: Arc<()>,
    pub(crate) sites: Mutex<Sites>,
    draining: AtomicBool,
}

/// Who may do what.
pub(crate) struct Access {
    pub(crate) tenants: BTreeMap<Name, Arc<Tenant>>,
    /// Empty if none is asked for.
    pub(crate) tokens: Vec<Token>,
    /// Where tenants' sites may answer.
    pub(crate) hosts: HostLists,
}

/// For whom a token acts, and what it may.
pub(crate) struct Token {
    pub(crate) hash: TokenHash,
    /// None if it looks at all tenants: then it never may change anything.
    pub(crate) tenant: Option<Name>,
    pub(crate) scope: Arc<Scope>,
}

impl Access {
    /// Of a configuration; tenants that were there before stay the same.
    fn new(config: &Config, mut policies: Policies, ways: &Arc<Ways>, before: Option<&Access>) -> Access {
        let configs = config.tenant_list();
        let mut tenant = |config: &TenantConfig| {
            let known = before.and_then(|before| before.tenants.get(&config.name)).cloned();
            let tenant = known.unwrap_or_else(|| Arc::new(Tenant::new(config)));
            if tenant.gate.load().limits != config.limits {
                tenant.gate.store(Arc::new(tenant.gate.load().limited_to(config.limits)));
            }
            tenant.share.weight.store(config.weight.0, Ordering::Relaxed);
            tenant.policy.store(policies.remove(&config.name));
            tenant.may_ask(&config.outbound, ways);
            (config.name.clone(), tenant)
        };
        let tenants = configs.iter().map(&mut tenant).collect();
        let of = |tenant: &Name, TokenConfig { hash, scope }: TokenConfig| Token {
            hash,
            tenant: Some(tenant.clone()),
            scope: Arc::new(scope),
        };
        let tokens =
            configs.iter().flat_map(|config| config.tokens.iter().map(|token| of(&config.name, token.clone())));
        let operators =
            config.tokens.iter().map(|token| Token { hash: token.hash, tenant: None, scope: Arc::new(token.scope()) });
        let tokens = tokens.chain(operators).collect();
        // What is listened on stays until the next start.
        let hosts = HostLists::new(before.map_or(config.admin.ip(), |before| before.hosts.admin), &configs);
        Access { tenants, tokens, hosts }
    }

    /// Whether a tenant is there; one that was taken away and added again is another.
    pub(crate) fn check_tenant(&self, tenant: &Arc<Tenant>) -> Result<(), EdgeError> {
        match self.tenants.get(&tenant.name) {
            Some(present) if Arc::ptr_eq(present, tenant) => Ok(()),
            Some(_) => Err(EdgeError::Revoked(format!("the tenant {} was configured anew meanwhile", tenant.name))),
            None => Err(EdgeError::Revoked(format!("the tenant {} is not configured any more", tenant.name))),
        }
    }

    /// What a tenant's token may by now, or whoever has none.
    pub(crate) fn scope(&self, tenant: &Arc<Tenant>, token: Option<TokenHash>) -> Result<Arc<Scope>, EdgeError> {
        self.check_tenant(tenant)?;
        if token.is_none() && self.tokens.is_empty() {
            return Ok(Arc::default());
        }
        let of_tenant = self.tokens.iter().filter(|known| known.tenant.as_ref() == Some(&tenant.name));
        let known = of_tenant.into_iter().find(|known| Some(known.hash) == token);
        let gone = || EdgeError::Revoked(format!("what was asked with is no token of the tenant {} now", tenant.name));
        known.map(|known| known.scope.clone()).ok_or_else(gone)
    }

    /// The tenants whose policy will be another one.
    fn tenants_of_changed(&self, policies: &Policies) -> BTreeSet<Name> {
        let same = |tenant: &Tenant| match (tenant.policy.load().as_deref(), policies.get(&tenant.name)) {
            (Some(old), Some(new)) => old.says_the_same(new),
            (old, new) => old.is_none() && new.is_none(),
        };
        self.tenants.values().filter(|tenant| !same(tenant)).map(|tenant| tenant.name.clone()).collect()
    }
}

impl Shared {
    /// A tenant's module as a program, whoever has it last.
    pub(crate) fn program(
        &self,
        tenant: &Arc<Tenant>,
        module: Module,
        provision: Provision,
    ) -> Result<Arc<Loaded>, Unfit> {
        // The module goes with the program, and so by the reaper.
        let program = self.interface.prepare(&module, provision)?;
        Ok(Arc::new(Loaded::new(program, Whose::new(&self.turns, tenant), self.reaper.clone())))
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A server that runs, until it is told to stop.
pub struct Server {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// Places for clients' connections.
    room: Arc<Semaphore>,
    listen: SocketAddr,
    secure: Option<SocketAddr>,
    admin: SocketAddr,
    tls: Option<Arc<Tls>>,
    config: Config,
}

/// Answers clients.
#[derive(Clone)]
pub(crate) struct SiteAnswer(pub(crate) Arc<Shared>);

impl Answer for SiteAnswer {
    type Body = ResponseBody;

    fn answer(
        self,
        peer: Arc<Peer>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, std::convert::Infallible>> + Send {
        serve(self.0, peer, request)
    }

    fn refuse(&self, flaw: Flaw) {
        self.0.unrouted.refuse(flaw);
    }
}

/// Starts a server: [`prepare`], then [`Prepared::start`].
///
/// # Errors
/// If the configuration does not hold, an address is taken, or what is kept cannot be read.
pub async fn start(config: Config, compile: Arc<dyn Compile>) -> Result<Server, EdgeError> {
    prepare(config).await?.start(compile).await
}

impl Prepared {
    /// Begins to serve: what is kept is loaded, and clients are let in.
    ///
    /// # Errors
    /// If what is kept cannot be read, or the operating system refuses.
    pub async fn start(self, compile: Arc<dyn Compile>) -> Result<Server, EdgeError> {
        let Prepared { config, tls, listen, secure, admin, .. } = &self;
        let (config, tls) = (config.clone(), tls.clone());
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let plain = door(listen, &room)?;
        let secure = secure.as_ref().map(|listener| door(listener, &room)).transpose()?;
        let admin = door(admin, &Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX)))?;
        let shared = Arc::new(shared(self, compile)?);
        find_sites(&shared).await?;
        let (stop, stopped) = watch::channel(false);
        let (listen, admin_address) = (plain.address(config.listen), admin.address(config.admin));
        let secure_address = secure.as_ref().zip(config.tls.as_ref()).map(|(door, tls)| door.address(tls.listen));
        let answer = SiteAnswer(shared.clone());
        tokio::spawn(accept(Door { http2: true, ..plain }, stopped.clone(), answer.clone()));
        if let Some(door) = secure {
            tokio::spawn(accept(Door { tls: tls.clone(), http2: true, ..door }, stopped.clone(), answer));
        }
        tokio::spawn(history::keep(Arc::downgrade(&shared), stopped.clone()));
        let admin = Door { tls: tls.clone().filter(|_| config.admin_by_tls()), ..admin };
        tokio::spawn(accept(admin, stopped, AdminAnswer::new(shared.clone(), listen.port())));
        Ok(Server { shared, stop, room, listen, secure: secure_address, admin: admin_address, tls, config })
    }
}

/// Lets clients in, in plain text and to HTTP/1.
fn door(listener: &std::net::TcpListener, room: &Arc<Semaphore>) -> Result<Door, EdgeError> {
    let listener = listener.try_clone().and_then(TcpListener::from_std);
    let listener = listener.map_err(|error| EdgeError::System(error.to_string()))?;
    Ok(Door { listener, tls: None, http2: false, room: room.clone() })
}

fn shared(prepared: Prepared, compile: Arc<dyn Compile>) -> Result<Shared, EdgeError> {
    let Prepared { config, policies, store, scratch, disk, pool, interface, collector, ways, processors, .. } =
        prepared;
    let ways = Arc::new(ways);
    let log = ServerLog::start(config.access_log, config.log_format);
    let log = log.map_err(|error| EdgeError::System(error.to_string()))?;
    Ok(Shared {
        pool,
        slots: Arc::new(Semaphore::new(config.slots as usize)),
        routes: ArcSwap::default(),
        ids: RequestIds::new(),
        interface,
        reaper: Reaper::start().map_err(|error| EdgeError::System(error.to_string()))?,
        compile,
        store: Box::new(store),
        scratch,
        disk: Arc::new(disk),
        deploys: Arc::default(),
        keeping: Arc::default(),
        loads: Semaphore::new(processors),
        processors,
        access: ArcSwap::from_pointee(Access::new(&config, policies, &ways, None)),
        turns: Arc::new(
            Turns::start(processors, &Handle::current()).map_err(|error| EdgeError::System(error.to_string()))?,
        ),
        ways,
        unrouted: Unrouted::new(log.clone()),
        log,
        traces: collector.map(Traces::start).map(Arc::new),
        under_way: Arc::default(),
        sites: Mutex::default(),
        draining: AtomicBool::new(false),
    })
}

/// Finds what is kept; it is loaded while requests are served already, those that are asked for first.
async fn find_sites(shared: &Arc<Shared>) -> Result<(), EdgeError> {
    let kept = shared.clone();
    let (free, busy) = deploy::blocking(move || Ok(kept.unserved()?)).await?;
    // Those that somebody changes now are waited for, and hold up no others.
    for keys in [free, busy] {
        let kept = shared.clone();
        let adopted = deploy::blocking(move || Ok(kept.adopt(&keys)?)).await?;
        load_sites(shared, adopted);
    }
    Ok(())
}

fn load_sites(shared: &Arc<Shared>, sites: Vec<Arc<Site>>) {
    let processors = shared.processors.min(sites.len());
    let queue = Arc::new(Mutex::new(sites));
    for _ in 0..processors {
        let (shared, queue) = (shared.clone(), queue.clone());
        tokio::spawn(async move {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(site) = next else { return };
                deploy::load_site(shared.clone(), site).await;
            }
        });
    }
}

impl Server {
    /// Where clients connect.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where clients connect by TLS, if they can.
    pub fn secure(&self) -> Option<SocketAddr> {
        self.secure
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Whether operators connect by TLS.
    pub fn admin_by_tls(&self) -> bool {
        self.config.admin_by_tls()
    }

    /// Whether the admin API asks for no token.
    pub fn open(&self) -> bool {
        self.shared.access.load().tokens.is_empty()
    }

    /// How many sites are served.
    pub fn sites(&self) -> usize {
        self.shared.health().sites
    }

    /// How many sites are served, and how many of them are ready.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Serves a connection in plain text that came by another way than the server's own doors: by a Unix socket, for
    /// example. `remote` is what its programs are told. How many there may be at once is the embedder's to bound.
    pub fn serve_stream<S>(&self, stream: S, remote: SocketAddr) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stop, answer) = (self.stop.subscribe(), SiteAnswer(self.shared.clone()));
        connection::serve_stream(stream, remote, self.listen.port(), stop, answer)
    }

    /// How many instances are at work.
    pub fn live_instances(&self) -> usize {
        self.config.slots as usize - self.shared.slots.available_permits()
    }

    /// Takes over tenants, tokens, limits, policies and certificates of another configuration, whose files are read again;
    /// requests and connections under way keep what they have. Versions that a new policy refuses answer no more, a
    /// little later.
    /// Returns the keys that only another start can change, and that differ.
    ///
    /// # Errors
    /// If it does not hold; then nothing changes.
    pub fn reload(&self, config: &Config) -> Result<Vec<&'static str>, EdgeError> {
        config.check()?;
        let certificates = config.tls.as_ref().map(tls::prepare).transpose().map_err(|error| error.of(config))?;
        let policies = policies(config)?;
        self.shared.ways.suffice(config)?;
        let judged = self.shared.access.load().tenants_of_changed(&policies);
        let access = Access::new(config, policies, &self.shared.ways, Some(&self.shared.access.load()));
        self.shared.access.store(Arc::new(access));
        self.shared.withdraw_strangers();
        let shared = self.shared.clone();
        tokio::spawn(async move {
            if let Err(error) = find_sites(&shared).await {
                shared.log.line(error.to_string());
            }
            for site in shared.all_sites().into_iter().filter(|site| judged.contains(&site.key.tenant)) {
                deploy::judge_again(&shared, &site).await;
            }
        });
        if let (Some(tls), Some(certificates)) = (&self.tls, certificates) {
            tls.replace(certificates);
        }
        let Config { listen, admin, state, slots, access_log, log_format, traces, outbound_ca, .. } = &self.config;
        let secure = |config: &Config| config.tls.as_ref().map(|tls| tls.listen);
        let fixed = [
            ("listen", *listen == config.listen),
            ("tls.listen", secure(&self.config) == secure(config)),
            ("admin", *admin == config.admin),
            ("tls.admin", self.config.admin_by_tls() == config.admin_by_tls()),
            ("traces", *traces == config.traces),
            ("outbound_ca", *outbound_ca == config.outbound_ca),
            ("state", *state == config.state),
            ("slots", *slots == config.slots),
            ("access_log", *access_log == config.access_log),
            ("log_format", *log_format == config.log_format),
        ];
        Ok(fixed.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect())
    }

    /// Accepts nothing more, waits for requests under way and until clients have taken what was answered, and returns how many
    /// requests had to be given up.
    pub async fn stop(self) -> usize {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.stop.send_replace(true);
        let end = tokio::time::Instant::now() + DRAIN_MAX;
        let under_way = || self.live_instances() + Arc::strong_count(&self.shared.under_way) - 1;
        while under_way() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let given_up = under_way();
        // What was answered may lie in buffers of this process yet.
        let end = end.min(tokio::time::Instant::now() + TAKE_MAX);
        while self.room.available_permits() < CONNECTIONS_MAX && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        given_up
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::deploy::{CompileError, Space};

    struct NoCompiler;

    impl Compile for NoCompiler {
        fn compile(&self, _: &Path, _: &Path) -> Result<(), CompileError> {
            Err(CompileError::Timeout)
        }
    }

    impl Server {
        pub(crate) fn shared(&self) -> &Arc<Shared> {
            &self.shared
        }
    }

    /// A configuration with free addresses, and its state in a directory.
    pub(crate) fn config(text: &str, state: &TempDir) -> Config {
        let text = format!("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nslots = 2\n{text}");
        let mut config = Config::parse(&text, "edge.toml").unwrap();
        config.state = state.path().to_owned();
        config
    }

    /// A server that compiles nothing, and where its state is.
    pub(crate) async fn server(text: &str) -> (Server, TempDir) {
        let state = tempfile::tempdir().unwrap();
        (start(config(text, &state), Arc::new(NoCompiler)).await.unwrap(), state)
    }

    /// The same, on a disk that says this of a directory with files of deploys.
    pub(crate) async fn server_on(space: fn(&Path) -> Space) -> (Server, TempDir) {
        let state = tempfile::tempdir().unwrap();
        let prepared = prepare(config("", &state)).await.unwrap();
        let scratch = prepared.scratch.clone();
        let disk = Disk::asked(move || Ok(space(&scratch)));
        (Prepared { disk, ..prepared }.start(Arc::new(NoCompiler)).await.unwrap(), state)
    }
}
