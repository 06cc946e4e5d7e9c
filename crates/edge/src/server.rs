//! A server: its parts put together, started, changed and stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::{Request, Response};
use selvedge_runtime::{Module, Pool};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::admin::AdminAnswer;
use crate::admission::Gate;
use crate::config::{Config, Scope, TenantConfig, TokenConfig, TokenHash};
use crate::connection::{self, Answer, Door, Flaw, Peer, accept};
use crate::deploy::{self, Compile};
use crate::error::EdgeError;
use crate::guest::cgi::Cgi;
use crate::guest::{Interface, Provision, Unfit};
use crate::history;
use crate::limits::{ADMIN_CONNECTIONS_MAX, CONNECTIONS_MAX, DEPLOYS_MAX, DRAIN_MAX};
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
use crate::store::{SiteKey, SiteRecord, Store};
use crate::tls::{self, Tls};
use crate::traces::Traces;
use crate::turns::Turns;
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
    pub(crate) deploys: Semaphore,
    /// Versions that are loaded and proved at once.
    pub(crate) loads: Semaphore,
    processors: usize,
    pub(crate) access: ArcSwap<Access>,
    pub(crate) turns: Arc<Turns>,
    /// By which programs reach other servers.
    ways: Arc<Ways>,
    pub(crate) log: ServerLog,
    pub(crate) unrouted: Unrouted,
    /// None if no collector is configured.
    pub(crate) traces: Option<Arc<Traces>>,
    /// Held by each response that sends a file.
    pub(crate) under_way: Arc<()>,
    sites: Mutex<BTreeMap<SiteKey, Arc<Site>>>,
    draining: AtomicBool,
}

/// Who may do what.
pub(crate) struct Access {
    pub(crate) tenants: BTreeMap<Name, Arc<Tenant>>,
    /// Empty if none is asked for.
    pub(crate) tokens: Vec<Token>,
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
                tenant.gate.store(Arc::new(Gate::new(config.limits)));
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
        Access { tenants, tokens: tokens.chain(operators).collect() }
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
    fn lock_sites(&self) -> MutexGuard<'_, BTreeMap<SiteKey, Arc<Site>>> {
        // Nothing below leaves it half changed.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A module as a program, whoever has it last.
    pub(crate) fn program(&self, module: Module, provision: Provision) -> Result<Arc<Loaded>, Unfit> {
        // The module goes with the program, and so by the reaper.
        let program = self.interface.prepare(&module, provision)?;
        Ok(Arc::new(Loaded::new(program, self.reaper.clone())))
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// A site that requests go to.
    pub(crate) fn site(&self, key: &SiteKey) -> Option<Arc<Site>> {
        self.lock_sites().get(key).cloned()
    }

    /// The sites of a tenant, by name.
    pub(crate) fn sites_of(&self, tenant: &Name) -> Vec<Arc<Site>> {
        self.lock_sites().values().filter(|site| site.key.tenant == *tenant).cloned().collect()
    }

    pub(crate) fn all_sites(&self) -> Vec<Arc<Site>> {
        self.lock_sites().values().cloned().collect()
    }

    /// The site of a tenant, or a new one that no requests go to yet.
    pub(crate) fn site_or_new(&self, key: &SiteKey, tenant: &Arc<Tenant>) -> Arc<Site> {
        let new = || Arc::new(Site::new(key.clone(), tenant.clone(), self.log.clone()));
        self.site(key).unwrap_or_else(new)
    }

    /// Requests for these hosts and paths, and no others, go to the site from now on.
    pub(crate) fn publish(&self, site: &Arc<Site>, record: &SiteRecord) {
        let mut sites = self.lock_sites();
        sites.insert(site.key.clone(), site.clone());
        self.routes.store(Arc::new(self.routes.load().with(site, &record.hosts, &record.path)));
    }

    /// No requests go to the site from now on.
    pub(crate) fn withdraw(&self, site: &Arc<Site>) {
        let mut sites = self.lock_sites();
        sites.remove(&site.key);
        self.routes.store(Arc::new(self.routes.load().without(site)));
    }

    /// Publishes sites that are kept and not served yet, to be loaded; the log names those that have no tenant.
    fn adopt(&self, records: &[SiteRecord]) -> Vec<Arc<Site>> {
        let access = self.access.load();
        let mut sites = self.lock_sites();
        let mut routes = (**self.routes.load()).clone();
        let mut adopted = Vec::new();
        let new: Vec<_> = records.iter().filter(|record| !sites.contains_key(&record.key)).collect();
        for record in new {
            let Some(tenant) = access.tenants.get(&record.key.tenant) else {
                self.log.line(format!("{} is not served: no such tenant is configured", record.key));
                continue;
            };
            let site = Arc::new(Site::new(record.key.clone(), tenant.clone(), self.log.clone()));
            routes.add(&site, &record.hosts, &record.path);
            sites.insert(record.key.clone(), site.clone());
            adopted.push(site);
        }
        self.routes.store(Arc::new(routes));
        adopted
    }

    /// Withdraws the sites of tenants that are not there any more.
    fn withdraw_strangers(&self) {
        let access = self.access.load();
        let strangers = |site: &&Arc<Site>| !access.tenants.contains_key(&site.key.tenant);
        let strangers: Vec<_> = self.lock_sites().values().filter(strangers).cloned().collect();
        for site in strangers {
            self.log.line(format!("{} is not served any more: its tenant is not configured", site.key));
            self.withdraw(&site);
        }
    }

    /// How many sites there are, are still to be loaded, and have no version that can be run.
    pub(crate) fn health(&self) -> Health {
        let sites = self.lock_sites();
        let loading = sites.values().filter(|site| !site.is_settled()).count();
        let failed = sites.values().filter(|site| site.is_settled() && site.serving().is_none()).count();
        Health { sites: sites.len(), loading, failed }
    }
}

/// What `GET /healthz` says, to anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// Sites that are served.
    pub sites: usize,
    /// Those of them that are still to be loaded; a request for one is answered as soon as it is.
    pub loading: usize,
    /// Those that have no version that can be run.
    pub failed: usize,
}

/// A server that runs, until it is told to stop.
pub struct Server {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
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
        Ok(Server { shared, stop, listen, secure: secure_address, admin: admin_address, tls, config })
    }
}

/// Lets clients in, in plain text and to HTTP/1.
fn door(listener: &std::net::TcpListener, room: &Arc<Semaphore>) -> Result<Door, EdgeError> {
    let listener = listener.try_clone().and_then(TcpListener::from_std);
    let listener = listener.map_err(|error| EdgeError::System(error.to_string()))?;
    Ok(Door { listener, tls: None, http2: false, room: room.clone() })
}

fn shared(prepared: Prepared, compile: Arc<dyn Compile>) -> Result<Shared, EdgeError> {
    let Prepared { config, policies, store, scratch, pool, collector, ways, processors, .. } = prepared;
    let ways = Arc::new(ways);
    let log = ServerLog::start(config.access_log, config.log_format);
    let log = log.map_err(|error| EdgeError::System(error.to_string()))?;
    Ok(Shared {
        pool,
        slots: Arc::new(Semaphore::new(config.slots as usize)),
        routes: ArcSwap::default(),
        ids: RequestIds::new(),
        interface: Box::new(Cgi::new()),
        reaper: Reaper::start().map_err(|error| EdgeError::System(error.to_string()))?,
        compile,
        store: Box::new(store),
        scratch,
        deploys: Semaphore::new(DEPLOYS_MAX),
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
    let records = deploy::blocking(move || Ok(kept.store.sites()?)).await?;
    let queue = Arc::new(Mutex::new(shared.adopt(&records)));
    for _ in 0..shared.processors {
        let (shared, queue) = (shared.clone(), queue.clone());
        tokio::spawn(async move {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(site) = next else { return };
                deploy::load_site(shared.clone(), site).await;
            }
        });
    }
    Ok(())
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
        self.shared.lock_sites().len()
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

    /// Accepts nothing more, waits for requests under way, and returns how many had to be given up.
    pub async fn stop(self) -> usize {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.stop.send_replace(true);
        let end = tokio::time::Instant::now() + DRAIN_MAX;
        let under_way = || self.live_instances() + Arc::strong_count(&self.shared.under_way) - 1;
        while under_way() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        under_way()
    }
}
