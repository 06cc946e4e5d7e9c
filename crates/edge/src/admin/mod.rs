//! The admin API: HTTP with JSON, on an address of its own.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /v1/sites` | the tenant's sites |
//! | `POST /v1/sites/SITE/versions?host=HOST&path=PATH&canary=PERCENT` | deploys the module in the body; lines of progress |
//! | `GET /v1/sites/SITE/versions` | what was deployed |
//! | `POST /v1/sites/SITE/rollback?version=N` | makes an earlier version the active one |
//! | `POST /v1/sites/SITE/canary?version=N&percent=P` | lets a version answer some of the requests |
//! | `POST /v1/sites/SITE/promote` | lets the canary answer all of them |
//! | `DELETE /v1/sites/SITE/canary` | lets the canary answer no more |
//! | `DELETE /v1/sites/SITE` | removes a site |
//! | `GET /v1/sites/SITE/logs?follow=true` | its log, lines of JSON |
//! | `GET /v1/top` | what its sites are doing |
//! | `GET /metrics` | the same for Prometheus |
//! | `GET /openapi.json` | all of this for programs; asks for no token, nor does `HEAD` |
//! | `GET /healthz` | whether all sites are loaded; asks for no token, nor does `HEAD` |
//!
//! Whatever changes a site takes `revision=N`, and is refused if that is not the site's any more (0: there is none).
//! With an operator's token those that only look do so at all tenants. Each takes `tenant=NAME`, and what is about one site
//! then needs it, if there are several.

mod access;
mod dashboard;
mod reply;
mod site;
mod streams;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};

pub(crate) use self::access::CLIENT_HEADER;
use self::access::Who;
pub(crate) use self::dashboard::COOKIES;
use self::dashboard::Dashboard;
use self::reply::{Failure, ReplyBody, json, typed};
pub(crate) use self::site::SIGNATURE_HEADER;
use self::streams::Streams;
use crate::config::{Scope, TokenHash};
use crate::connection::{Answer, Peer};
use crate::deploy::Asker;
use crate::exposition::{Exposition, Family};
use crate::metrics::Counted;
use crate::name::{Host, Name, Prefix};
use crate::server::Shared;
use crate::site::{Site, Tenant};
use crate::store::{Canary, SiteKey};

static TENANT_LIVE: Family =
    Family::gauge("selvedge_tenant_instances_live", "Instances of a tenant, which its limit is on.");
static TENANT_WAITING: Family =
    Family::gauge("selvedge_tenant_requests_waiting", "Requests of a tenant that wait for an instance.");
static SPANS_SENT: Family = Family::counter("selvedge_spans_sent_total", "Spans that the collector has taken.");
static SPANS_DROPPED: Family = Family::counter("selvedge_spans_dropped_total", "Spans that it has not taken in time.");

/// What `GET /v1/sites` says of a site.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteInfo {
    /// Whose it is.
    pub tenant: Name,
    /// Its name.
    pub site: Name,
    /// Where it answers.
    pub hosts: Vec<Host>,
    /// For which paths.
    #[serde(default)]
    pub path: Prefix,
    /// The version that answers.
    pub active: u32,
    /// The version that answers some of the requests.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// How many versions are kept.
    pub versions: usize,
    /// How often it was changed, which whoever changes it can name.
    #[serde(default)]
    pub revision: u64,
}

/// What `GET /v1/top` says of a site.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteActivity {
    /// Whose it is.
    pub tenant: Name,
    /// Its name.
    pub site: Name,
    /// The version that answers, if one could be loaded.
    pub version: Option<u32>,
    /// The version that answers some of the requests.
    #[serde(default)]
    pub canary: Option<u32>,
    /// Its instances at work.
    #[serde(default)]
    pub live: u32,
    /// Its requests that wait for one.
    #[serde(default)]
    pub waiting: u32,
    /// What was counted since the server's start.
    pub counted: Counted,
}

/// What `GET /v1/top` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Activity {
    /// Instances of the tenant at work; of all tenants, if an operator looks at all of them.
    pub live: u32,
    /// Requests that wait for one.
    pub waiting: u32,
    /// Each of the sites.
    pub sites: Vec<SiteActivity>,
}

/// Answers operators, and their browsers.
#[derive(Clone)]
pub(crate) struct AdminAnswer {
    server: Arc<Shared>,
    dashboard: Arc<Dashboard>,
    streams: Arc<Streams>,
}

impl AdminAnswer {
    /// `port` is where sites answer.
    pub(crate) fn new(server: Arc<Shared>, port: u16) -> AdminAnswer {
        let streams = Arc::<Streams>::default();
        AdminAnswer { server, dashboard: Arc::new(Dashboard::new(port, streams.clone())), streams }
    }
}

impl Answer for AdminAnswer {
    type Body = ReplyBody;

    async fn answer(self, peer: Arc<Peer>, request: Request<Incoming>) -> Result<Response<ReplyBody>, Infallible> {
        let AdminAnswer { server, dashboard, streams } = self;
        if dashboard::is_page(request.uri().path()) {
            return Ok(dashboard::answer(&server, &dashboard, &peer, request).await);
        }
        // Whoever asks: that they may not would say less, and to a browser nothing.
        if !is_of_the_api(request.uri().path()) {
            return Ok(dashboard::nowhere(&request));
        }
        Ok(answer(&server, &streams, &peer, request).await.unwrap_or_else(|failure| failure.reply()))
    }
}

/// A request of an operator who may make it.
struct Asked {
    /// One, unless an operator looks at all of them.
    tenants: Vec<Arc<Tenant>>,
    scope: Arc<Scope>,
    /// None where no tokens are asked for.
    token: Option<TokenHash>,
    /// Whose token it is; none is an operator's.
    whose: Option<Name>,
    query: BTreeMap<String, Vec<String>>,
    request: Request<Incoming>,
}

/// Whether a path is one of this API's, by its shape alone: whether there is such a site it does not say.
fn is_of_the_api(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match &parts[..] {
        ["v1", "sites" | "top"] | ["v1", "sites", _] | ["metrics" | "healthz" | "openapi.json"] => true,
        ["v1", "sites", _, does] => ["versions", "rollback", "canary", "promote", "logs"].contains(does),
        _ => false,
    }
}

async fn answer(
    server: &Arc<Shared>,
    streams: &Arc<Streams>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Failure> {
    match request.uri().path() {
        "/healthz" if matches!(*request.method(), Method::GET | Method::HEAD) => return Ok(healthz(server)),
        "/openapi.json" if matches!(*request.method(), Method::GET | Method::HEAD) => {
            return Ok(typed(StatusCode::OK, "application/json", include_str!("../../openapi.json")));
        }
        _ => {}
    }
    let access = server.access.load_full();
    let only_reads = request.method() == Method::GET && request.uri().path() == "/metrics";
    let Who { tenant: whose, scope, token } = access::who(&access, peer, request.headers(), only_reads)?;
    if !only_reads {
        access::may_read(&scope)?;
    }
    if request.method() != Method::GET {
        access::may_change(&scope)?;
    }
    let query = query(request.uri().query().unwrap_or_default())?;
    let named = query.get("tenant").and_then(|values| values.first());
    let tenants = access::tenants(&access, whose.as_ref(), named)?;
    let path = request.uri().path().to_string();
    let method = request.method().clone();
    let asked = Asked { tenants, scope, token, whose, query, request };
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (&method, &parts[..]) {
        (&Method::GET, ["v1", "sites"]) => site::list(server, &asked).await,
        (&Method::POST, ["v1", "sites", site, "versions"]) => site::deploy(server, asked, site).await,
        (&Method::GET, ["v1", "sites", site, "versions"]) => site::versions(server, &asked, site).await,
        (&Method::POST, ["v1", "sites", site, "rollback"]) => site::rollback(server, &asked, site).await,
        (&Method::POST, ["v1", "sites", site, "canary"]) => site::canary(server, &asked, site).await,
        (&Method::POST, ["v1", "sites", site, "promote"]) => site::promote(server, &asked, site).await,
        (&Method::DELETE, ["v1", "sites", site, "canary"]) => site::drop_canary(server, &asked, site).await,
        (&Method::DELETE, ["v1", "sites", site]) => site::delete(server, &asked, site).await,
        (&Method::GET, ["v1", "sites", site, "logs"]) => site::logs(server, streams, &asked, site),
        (&Method::GET, ["v1", "top"]) => Ok(json(StatusCode::OK, &activity(server, &asked))),
        (&Method::GET, ["metrics"]) => {
            Ok(typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics(server, &asked)))
        }
        _ => Err(Failure::new(StatusCode::NOT_FOUND, format!("there is no {method} {path} in this API"))),
    }
}

/// `a=1&a=2&b=`; names and hosts need no escapes.
fn query(text: &str) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut values = BTreeMap::<String, Vec<String>>::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if pair.contains(['%', '+']) {
            return Err(Failure::bad(format!("{pair:?} has escapes, which no parameter of this API needs")));
        }
        values.entry(key.to_string()).or_default().push(value.to_string());
    }
    Ok(values)
}

impl Asked {
    /// The values of a parameter.
    fn all(&self, name: &str) -> &[String] {
        self.query.get(name).map_or(&[], Vec::as_slice)
    }

    /// The tenant, where a site is asked for: two of them may have one of the same name.
    fn tenant(&self) -> Result<&Arc<Tenant>, Failure> {
        let which = || {
            Failure::bad(
                "this token looks at several tenants: say whose site is meant, by --tenant NAME (tenant=NAME here)",
            )
        };
        self.tenants.first().filter(|_| self.tenants.len() == 1).ok_or_else(which)
    }

    /// Who asks for a change, and of what.
    fn asker(&self) -> Result<Asker, Failure> {
        Ok(Asker { token: self.token, revision: self.number("revision")? })
    }

    fn key(&self, site: &str) -> Result<SiteKey, Failure> {
        let site = Name::new(site).map_err(|error| Failure::bad(error.to_string()))?;
        access::is_for(&self.scope, &site)?;
        Ok(SiteKey { tenant: self.tenant()?.name.clone(), site })
    }

    /// The sites of a tenant that it is for.
    fn sites(&self, server: &Shared, tenant: &Tenant) -> Vec<Arc<Site>> {
        let mut sites = server.sites_of(&tenant.name);
        sites.retain(|site| self.scope.is_for(&site.key.site));
        sites
    }

    /// A site that is there.
    fn site(&self, server: &Shared, site: &str) -> Result<Arc<Site>, Failure> {
        let key = self.key(site)?;
        let found = server.site(&key);
        found.ok_or_else(|| crate::error::EdgeError::NoSite(key.site.to_string()).into())
    }
}

/// For whoever watches over servers, and knows no tenant.
fn healthz(server: &Shared) -> Response<ReplyBody> {
    let health = server.health();
    let ready = health.loading == 0 && !server.is_draining();
    json(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health)
}

fn activity(server: &Shared, asked: &Asked) -> Activity {
    let of = |site: Arc<Site>| SiteActivity {
        tenant: site.key.tenant.clone(),
        site: site.key.site.clone(),
        version: site.serving().and_then(|serving| Some(serving.all().next()?.version)),
        canary: site.serving().and_then(|serving| Some(serving.all().nth(1)?.version)),
        live: site.log.speakers().live,
        waiting: site.counters.waiting.load(Ordering::Relaxed),
        counted: site.counters.counted(),
    };
    let mut activity = Activity { live: 0, waiting: 0, sites: Vec::new() };
    for tenant in &asked.tenants {
        let gate = tenant.gate.load();
        activity.live += gate.live();
        activity.waiting += gate.waiting();
        activity.sites.extend(asked.sites(server, tenant).into_iter().map(of));
    }
    activity
}

fn metrics(server: &Shared, asked: &Asked) -> String {
    let mut exposition = Exposition::default();
    for tenant in &asked.tenants {
        let labels = format!("tenant=\"{}\"", tenant.name);
        let gate = tenant.gate.load();
        exposition.sample(&TENANT_LIVE, &labels, gate.live().into());
        exposition.sample(&TENANT_WAITING, &labels, gate.waiting().into());
        for site in asked.sites(server, tenant) {
            of_site(&site, &labels, &mut exposition);
        }
    }
    if let Some(counts) = server.traces.as_ref().map(|traces| traces.counts()) {
        // Of the whole server: a collector that is away is everybody's affair.
        exposition.sample(&SPANS_SENT, "", counts.sent.load(Ordering::Relaxed));
        exposition.sample(&SPANS_DROPPED, "", counts.dropped.load(Ordering::Relaxed));
    }
    server.unrouted.prometheus(&mut exposition);
    exposition.text()
}

/// Metrics of a site and of its versions; `labels` name its tenant.
fn of_site(site: &Site, labels: &str, exposition: &mut Exposition) {
    let labels = format!("{labels},site=\"{}\"", site.key.site);
    site.counters.prometheus(&labels, &site.log.speakers(), exposition);
    for deployment in site.serving().iter().flat_map(|serving| serving.all()) {
        let labels = format!("{labels},version=\"{}\"", deployment.version);
        deployment.counters.prometheus(&labels, exposition);
    }
}
