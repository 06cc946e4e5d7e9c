//! What pages show. Templates escape whatever is put into them; the parts marked `safe` there are templates' own.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use askama::Template;
use hyper::StatusCode;

use super::charts::{ago, clock, counted, duration, rate, size, spark};
use super::session::Visitor;
use crate::history::Recent;
use crate::logs::{Entry, Event, now_ms};
use crate::name::Name;
use crate::route::Routes;
use crate::server::Shared;
use crate::site::Site;
use crate::store::{BundleSummary, SiteRecord, VersionRecord};

/// Errors that a site's page shows, equal ones as one.
const ERRORS_SHOWN: usize = 20;
/// Lines of the log that it shows.
const LINES_SHOWN: usize = 100;
/// Methods that can be asked with.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// What all pages have.
pub(super) struct Frame {
    pub(super) tenant: String,
    pub(super) logged_in: bool,
    pub(super) may_change: bool,
    /// What forms must carry.
    pub(super) form: String,
}

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPart {
    tiles: Tiles,
}

struct Tiles {
    per_second: String,
    median: String,
    slowest: String,
    errors: u32,
    live: u32,
    waiting: u32,
}

impl Tiles {
    /// `live` instances and `waiting` requests are of now.
    fn of(recent: &Recent, (live, waiting): (u32, u32)) -> Tiles {
        Tiles {
            per_second: rate(recent.per_second()),
            median: duration(recent.latency(0.5)),
            slowest: duration(recent.latency(0.99)),
            errors: recent.errors(),
            live,
            waiting,
        }
    }
}

/// Instances of a site, and requests that wait for one.
fn now(site: &Site) -> (u32, u32) {
    (site.log.speakers().live, site.counters.waiting.load(Ordering::Relaxed))
}

/// A part of a page, after its id there. Several who look at the same have the same.
pub(super) type Part = (Arc<str>, Arc<str>);

#[derive(Template)]
#[template(path = "sites.html")]
pub(super) struct SitesPart {
    tiles: String,
    /// Of each site, by the row's id.
    rows: Vec<Part>,
    admin: String,
    may_change: bool,
}

impl SitesPart {
    /// The sites that there are, by their rows' ids.
    pub(super) fn shape(&self) -> Vec<Arc<str>> {
        self.rows.iter().map(|(id, _)| id.clone()).collect()
    }

    /// What of it changes while the sites stay the same.
    pub(super) fn parts(self) -> Vec<Part> {
        std::iter::once(("tiles".into(), self.tiles.into())).chain(self.rows).collect()
    }
}

#[derive(Template)]
#[template(path = "site_row.html")]
struct SiteRow {
    name: String,
    hosts: Vec<String>,
    version: Option<u32>,
    /// The canary, and its share in percent.
    canary: Option<(u32, u8)>,
    chart: String,
    tiles: Tiles,
}

/// All sites of a tenant, drawn.
#[derive(Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// Of all of them together.
    all: Recent,
}

struct Row {
    site: Name,
    recent: Recent,
    part: Part,
}

/// Draws all sites of a tenant. That takes a while if there are many.
pub(super) fn rows(server: &Shared, routes: &Routes, tenant: &Name) -> Rows {
    let places = routes.places(tenant);
    let row = |site: Arc<Site>| {
        let recent = site.history.recent();
        let (version, canary) = versions(&site);
        let row = SiteRow {
            name: site.key.site.to_string(),
            hosts: places.get(&site.key.site).cloned().unwrap_or_default(),
            version,
            canary,
            chart: spark(&recent.traffic(), &format!("{} in the last minute", counted(recent.requests(), "request"))),
            tiles: Tiles::of(&recent, now(&site)),
        };
        let part = (format!("site-{}", site.key.site).into(), rendered(&row).into());
        Row { site: site.key.site.clone(), recent, part }
    };
    let rows: Vec<Row> = server.sites_of(tenant).into_iter().map(row).collect();
    let all = together(rows.iter());
    Rows { rows, all }
}

fn together<'r>(rows: impl Iterator<Item = &'r Row>) -> Recent {
    rows.fold(Recent::default(), |all, row| all.and(&row.recent))
}

/// The part of the first page that changes: of the tenant's sites those that the visitor may see.
pub(super) fn sites(rows: &Rows, visitor: &Visitor, admin: &str) -> SitesPart {
    let seen = || rows.rows.iter().filter(|row| visitor.scope.is_for(&row.site));
    let all = if visitor.scope.sites.is_none() { rows.all.clone() } else { together(seen()) };
    let gate = visitor.tenant.gate.load();
    let tiles = rendered(&ActivityPart { tiles: Tiles::of(&all, (gate.live(), gate.waiting())) });
    let rows = seen().map(|row| row.part.clone()).collect();
    SitesPart { tiles, rows, admin: admin.to_string(), may_change: visitor.scope.may_change() }
}

#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    pub(super) frame: Frame,
    pub(super) activity: String,
}

#[derive(Template)]
#[template(path = "site_activity.html")]
struct SiteActivityPart {
    tiles: Tiles,
    most: String,
    worst: Option<String>,
    traffic: String,
    slowest: String,
}

/// The numbers and charts of a site.
pub(super) fn activity(site: &Site) -> String {
    let recent = site.history.recent();
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let (traffic, slowest) = (recent.traffic(), recent.slowest());
    rendered(&SiteActivityPart {
        tiles: Tiles::of(&recent, now(site)),
        most: rate(most(&traffic)),
        worst: Some(most(&slowest)).filter(|worst| *worst > 0.0).map(duration),
        traffic: spark(&traffic, "requests in each second of the last minute"),
        slowest: spark(&slowest, "latency of the slowest hundredth in each second of the last minute"),
    })
}

#[derive(Template)]
#[template(path = "running.html")]
struct RunningPart {
    version: Option<u32>,
    canary: Option<(u32, u8)>,
}

/// What of a site answers, beside its name.
pub(super) fn running(site: &Site) -> String {
    let (version, canary) = versions(site);
    rendered(&RunningPart { version, canary })
}

#[derive(Template)]
#[template(path = "errors.html")]
struct ErrorsPart {
    errors: Vec<ErrorRow>,
}

struct ErrorRow {
    /// What it is known by while it is drawn anew.
    id: u64,
    name: String,
    /// How often it is in the log; time and request are the last one's.
    times: usize,
    time: String,
    request: String,
    /// The message's first line.
    first: String,
    message: String,
}

impl ErrorRow {
    fn new(entry: &Entry, name: &str, message: &str) -> ErrorRow {
        let mut hasher = DefaultHasher::new();
        (name, message).hash(&mut hasher);
        ErrorRow {
            id: hasher.finish(),
            name: name.to_string(),
            times: 1,
            time: clock(entry.time_ms),
            request: entry.request.to_string(),
            first: message.lines().next().unwrap_or_default().to_string(),
            message: message.to_string(),
        }
    }
}

/// What went wrong lately, the newest first. What many requests met is there once: else it hides all others.
pub(super) fn errors(entries: &[Entry]) -> String {
    rendered(&ErrorsPart { errors: error_rows(entries) })
}

fn error_rows(entries: &[Entry]) -> Vec<ErrorRow> {
    let (mut rows, mut places) = (Vec::<ErrorRow>::new(), HashMap::<(&str, &str), usize>::new());
    for entry in entries.iter().rev() {
        let Event::Failure { name, message } = &entry.event else { continue };
        let next = places.len();
        let place = *places.entry((name, message)).or_insert(next);
        match rows.get_mut(place) {
            Some(row) => row.times += 1,
            None if place < ERRORS_SHOWN => rows.push(ErrorRow::new(entry, name, message)),
            None => {}
        }
    }
    rows
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPart {
    lines: Vec<LogRow>,
}

struct LogRow {
    kind: &'static str,
    time: String,
    text: String,
}

/// The last lines of a site's log, the newest first.
pub(super) fn log(entries: &[Entry]) -> String {
    let row = |entry: &Entry| {
        let (kind, text) = match &entry.event {
            Event::Guest { line } => ("guest", line.clone()),
            Event::Failure { name, message } => {
                ("failure", format!("{name}: {}", message.lines().next().unwrap_or_default()))
            }
            Event::Request { line, status, micros, error, .. } => {
                let kind = if error.is_some() { "failure" } else { "request" };
                (kind, format!("{line} {status} {}", duration(*micros as f64)))
            }
        };
        LogRow { kind, time: clock(entry.time_ms), text }
    };
    rendered(&LogPart { lines: entries.iter().rev().take(LINES_SHOWN).map(row).collect() })
}

#[derive(Template)]
#[template(path = "site.html")]
pub(super) struct SitePage {
    pub(super) frame: Frame,
    pub(super) name: String,
    pub(super) hosts: Vec<String>,
    pub(super) running: String,
    pub(super) revision: u64,
    pub(super) activity: String,
    pub(super) errors: String,
    pub(super) log: String,
    pub(super) methods: &'static [&'static str],
    pub(super) ask: Ask,
    pub(super) answer: Option<Answer>,
    pub(super) versions: Vec<VersionRow>,
}

/// What a site is asked.
pub(super) struct Ask {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: String,
}

impl Default for Ask {
    fn default() -> Ask {
        Ask { method: "GET".into(), path: "/".into(), body: String::new() }
    }
}

/// What it answered.
pub(super) struct Answer {
    pub(super) good: bool,
    pub(super) status: String,
    pub(super) took: String,
    pub(super) headers: String,
    pub(super) body: String,
}

pub(super) struct VersionRow {
    number: u32,
    active: bool,
    /// Its share of the requests, in percent.
    canary: Option<u8>,
    time: String,
    /// The digest of what was uploaded.
    digest: String,
    short: String,
    /// What there is beside a program.
    beside: String,
}

impl VersionRow {
    /// What can be done with one that is not the active one, and what buttons say of it.
    fn changes(&self) -> Vec<(&'static str, String)> {
        match self.canary {
            Some(_) => vec![("promote", format!("Promote {}", self.number)), ("drop", "Drop the canary".to_string())],
            None => vec![("rollback", format!("Switch to {}", self.number))],
        }
    }
}

impl SitePage {
    pub(super) fn new(frame: Frame, site: &Site, record: &SiteRecord) -> SitePage {
        let (entries, _, _) = site.log.since(0);
        let now = now_ms();
        // As among all sites: the record has them as they were deployed.
        let mut hosts: Vec<_> = record.hosts.iter().map(|host| format!("{host}{}", record.path)).collect();
        hosts.sort();
        let version = |version: &VersionRecord| VersionRow {
            number: version.number,
            active: version.number == record.active,
            canary: record.canary.filter(|canary| canary.version == version.number).map(|canary| canary.percent),
            time: ago(version.deployed_ms, now),
            short: uploaded(version)[..12].to_string(),
            digest: uploaded(version),
            beside: version.bundle.map(|bundle| beside(&bundle.summary)).unwrap_or_default(),
        };
        SitePage {
            frame,
            name: site.key.site.to_string(),
            hosts,
            running: running(site),
            revision: record.revision,
            activity: activity(site),
            errors: errors(&entries),
            log: log(&entries),
            methods: &METHODS,
            ask: Ask::default(),
            answer: None,
            versions: record.versions.iter().rev().map(version).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "try.html")]
pub(super) struct TryPage {
    pub(super) frame: Frame,
    pub(super) site: String,
    pub(super) text: String,
    pub(super) module_max: String,
    pub(super) text_max: String,
    pub(super) stages: Vec<StageRow>,
    pub(super) failure: String,
}

pub(super) struct StageRow {
    pub(super) kind: &'static str,
    pub(super) text: String,
}

#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct Login {
    pub(super) error: String,
}

#[derive(Template)]
#[template(path = "failure.html")]
pub(super) struct FailurePage {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

pub(super) fn rendered(page: &impl Template) -> String {
    page.render().expect("these templates call nothing that fails")
}

/// The digest of a version's bundle, or of its module.
fn uploaded(version: &VersionRecord) -> String {
    let digest = version.bundle.map(|bundle| bundle.digest).or(version.module);
    digest.map_or_else(|| " ".repeat(64), |digest| digest.to_string())
}

fn beside(bundle: &BundleSummary) -> String {
    let BundleSummary { assets, asset_bytes, files } = *bundle;
    let assets = (assets > 0).then(|| format!("{}, {}", counted(assets, "asset"), size(asset_bytes)));
    let files = (files > 0).then(|| counted(files, "file"));
    assets.into_iter().chain(files).collect::<Vec<_>>().join(" · ")
}

/// The version that answers, and the canary with its percents, if there is one.
fn versions(site: &Site) -> (Option<u32>, Option<(u32, u8)>) {
    let serving = site.serving().map(|serving| serving.versions());
    (serving.map(|(version, _)| version), serving.and_then(|(_, canary)| canary))
}
