//! From uploaded bytes to the version that answers; `docs/deploy-path.md` is the same in prose.
//!
//! Each stage either succeeds or ends the deploy; until the last one, the old version answers. What was told to be
//! deployed is in the store.

mod again;
mod begin;
mod change;
mod compile;
mod hosts;
mod load;
mod queue;
mod quota;
mod room;
mod scratch;
mod spool;
mod turn;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use selvedge_runtime::Module;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub(crate) use self::again::may_pass;
use self::begin::Uploaded;
pub(crate) use self::begin::{Begun, Kind, Received, Receiving, begin};
pub(crate) use self::change::{canary, delete, drop_canary, promote, rollback};
pub use self::compile::{Compile, CompileBroker, CompileCommand, CompileError};
use self::load::disk;
use self::load::{Remade, check, deployment, keep_remade, not_loaded, read, unfit, verified};
pub(crate) use self::load::{judge_again, load_site};
pub(crate) use self::queue::Deploys;
pub(crate) use self::room::Disk;
#[cfg(test)]
pub(crate) use self::room::Space;
use self::scratch::Scratch;
pub(crate) use self::turn::Asker;
use self::turn::{Turn, allowed};
use crate::bundle::{Assets, Bundle};
use crate::error::EdgeError;
use crate::limits::VERSIONS_MAX;
use crate::logs::now_ms;
use crate::name::{Host, Prefix};
use crate::policy::TenantPolicy;
use crate::reaper::Loaded;
use crate::server::Shared;
use crate::site::{Content, Deployment, Serving, Site};
use crate::store::{BundleRecord, Canary, SiteKey, SiteRecord, VersionRecord};
use crate::urgency::later;

/// What a deploy goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The module, or bundle, comes in.
    Upload,
    /// A bundle is looked through.
    Unpack,
    /// It becomes an artifact, elsewhere.
    Compile,
    /// The artifact is proved to keep its contract.
    Verify,
    /// Its imports and exports are a program's.
    Link,
    /// It answers a first request.
    Check,
    /// It is kept.
    Store,
    /// Requests go to it.
    Switch,
}

/// What a client is told meanwhile; a line of JSON each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum Progress {
    /// A stage was passed.
    Passed {
        /// Which.
        stage: Stage,
        /// How long it took, in microseconds.
        micros: u64,
    },
    /// It is done: the version answers, and is kept.
    Deployed {
        /// Its number.
        version: u32,
        /// Where it answers.
        hosts: Vec<Host>,
        /// For which paths.
        #[serde(default)]
        path: Prefix,
        /// Of a hundred requests, those that it answers; all if it is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canary: Option<u8>,
        /// The site's revision now.
        #[serde(default)]
        revision: u64,
    },
    /// It failed; the version before answers as it did.
    Failed {
        /// Where.
        stage: Stage,
        /// Why.
        message: String,
    },
}

/// Tells a client; one that does not listen changes nothing.
struct Reporter {
    to: mpsc::UnboundedSender<Progress>,
    stage: Stage,
    began: Instant,
}

impl Reporter {
    fn new(to: mpsc::UnboundedSender<Progress>) -> Reporter {
        Reporter { to, stage: Stage::Upload, began: Instant::now() }
    }

    /// The stage was passed; the next one begins.
    fn next(&mut self, stage: Stage) {
        let micros = self.began.elapsed().as_micros() as u64;
        self.tell(Progress::Passed { stage: self.stage, micros });
        (self.stage, self.began) = (stage, Instant::now());
    }

    fn tell(&self, progress: Progress) {
        // Whether anybody listens makes no difference to the deploy.
        let _ = self.to.send(progress);
    }

    fn failed(&self, error: &EdgeError) {
        self.tell(Progress::Failed { stage: self.stage, message: error.to_string() });
    }
}

/// What is asked of a deploy beside the module.
#[derive(Default)]
pub(crate) struct Order {
    /// As before if there are none.
    pub(crate) hosts: Vec<Host>,
    /// As before if it is none.
    pub(crate) path: Option<Prefix>,
    /// Of a hundred requests, those that the version answers; all if it is none.
    pub(crate) canary: Option<u8>,
    /// The text of the module's detached signature.
    pub(crate) signature: Option<String>,
    /// Who asks for it.
    pub(crate) asker: Asker,
}

impl Order {
    /// Whether the site will answer elsewhere than it does.
    fn moves(&self, record: &SiteRecord) -> bool {
        let hosts: BTreeSet<_> = self.hosts.iter().collect();
        let other_hosts = !hosts.is_empty() && hosts != record.hosts.iter().collect();
        other_hosts || self.path.as_ref().is_some_and(|path| *path != record.path)
    }
}

/// Deploys what was uploaded, from compiling to the switch, as soon as its place has its turn.
async fn deploy(
    server: &Arc<Shared>,
    site: &Arc<Site>,
    order: Order,
    Uploaded { kind, file, place }: Uploaded,
    reporter: &mut Reporter,
) -> Result<(), EdgeError> {
    place.turn().await;
    allowed(server, site, &order.asker)?;
    let unpacked = match kind {
        Kind::Module => Unpacked { module: Some(file), bundle: None },
        Kind::Bundle => {
            reporter.next(Stage::Unpack);
            unpack(server, file).await?
        }
    };
    let policy = site.tenant.policy.load_full();
    let made = make(server, site, &order, &unpacked, reporter).await?;
    let (program, artifact) = made.unzip();
    reporter.next(Stage::Store);
    let turn = Turn::of(server, site, &order.asker).await?;
    let (beside, remade) = beside(server, &turn, &order).await?.unzip();
    let kept = keep(server, &turn, order, unpacked, artifact).await.inspect_err(|_| sweep(server))?;
    let Kept { record, dropped, assets } = kept;
    reporter.next(Stage::Switch);
    let deployed = record.versions.last().map_or(record.active, |version| version.number);
    let new = Deployment::new(deployed, Content { program, assets });
    let serving = match (beside, record.canary) {
        (Some(active), Some(canary)) => Serving::new(active, Some((new, canary.percent))),
        _ => Serving::new(new, None),
    };
    turn.publish(server, &record, serving)?;
    let site = turn.site.clone();
    keep_remade(server, &site, Vec::from_iter(remade.flatten())).await;
    drop(turn);
    // Another policy came meanwhile: it may have judged the version before.
    if !is_same(policy.as_ref(), site.tenant.policy.load_full().as_ref()) {
        judge_again(server, &site).await;
    }
    if dropped > 0 {
        sweep(server);
    }
    reporter.next(Stage::Switch);
    let SiteRecord { hosts, path, revision, .. } = record;
    let canary = record.canary.map(|canary| canary.percent);
    reporter.tell(Progress::Deployed { version: deployed, hosts, path, canary, revision });
    Ok(())
}

fn is_same(before: Option<&Arc<TenantPolicy>>, now: Option<&Arc<TenantPolicy>>) -> bool {
    before.map(Arc::as_ptr) == now.map(Arc::as_ptr)
}

/// Files of a deploy. What has one open comes before its name.
struct Unpacked {
    module: Option<Scratch>,
    bundle: Option<(Bundle, Scratch)>,
}

/// Looks through an archive, and takes the program out of it: the compiler reads a file.
async fn unpack(server: &Arc<Shared>, archive: Scratch) -> Result<Unpacked, EdgeError> {
    let server = server.clone();
    blocking(move || {
        let bundle = Bundle::read(std::fs::File::open(&*archive).map_err(disk)?);
        let bundle = bundle.map_err(|error| EdgeError::Bundle(error.to_string()))?;
        let module = bundle.module().map(|module| archive.beside(&server, module)).transpose()?;
        Ok(Unpacked { module, bundle: Some((bundle, archive)) })
    })
    .await
}

/// A program and its artifact.
type Made = (Arc<Loaded>, Arc<Vec<u8>>);

/// The program, if there is one, compiled, proved, accepted and tried.
async fn make(
    server: &Arc<Shared>,
    site: &Arc<Site>,
    order: &Order,
    unpacked: &Unpacked,
    reporter: &mut Reporter,
) -> Result<Option<Made>, EdgeError> {
    let Some(module) = &unpacked.module else { return Ok(None) };
    reporter.next(Stage::Compile);
    let artifact = Arc::new(compile_uploaded(server, module).await?);
    reporter.next(Stage::Verify);
    let loaded = accepted(site, order, module, artifact.clone()).await?;
    reporter.next(Stage::Link);
    let provision = unpacked.bundle.as_ref().map(|(bundle, _)| bundle.provision()).unwrap_or_default();
    let program = server.program(&site.tenant, loaded, provision).map_err(unfit)?;
    reporter.next(Stage::Check);
    check(server, site, &program).await?;
    Ok(Some((program, artifact)))
}

/// The artifact, loaded, if it is proved and the tenant's policy accepts it.
async fn accepted(site: &Site, order: &Order, module: &Path, artifact: Arc<Vec<u8>>) -> Result<Module, EdgeError> {
    let (policy, module) = (site.tenant.policy.load_full(), module.to_owned());
    let signature = order.signature.clone();
    blocking(move || {
        verified(&artifact, policy.as_deref(), || read(&module), signature.as_deref())?.map_err(not_loaded)
    })
    .await
}

/// The version that goes on answering beside a canary, and what was made anew for it.
async fn beside(
    server: &Arc<Shared>,
    turn: &Turn,
    order: &Order,
) -> Result<Option<(Arc<Deployment>, Option<Remade>)>, EdgeError> {
    match beside_what(turn.record.as_ref(), order)? {
        Some(record) => deployment(server, &turn.site, record, record.active).await.map(Some),
        None => Ok(None),
    }
}

/// The site that goes on answering beside a canary.
fn beside_what<'r>(before: Option<&'r SiteRecord>, order: &Order) -> Result<Option<&'r SiteRecord>, EdgeError> {
    let none = || EdgeError::NoVersion("a canary answers beside another version: deploy without --canary first".into());
    order.canary.map(|_| before.ok_or_else(none)).transpose()
}

/// Removes what no site needs, as soon as nobody keeps anything whose record is still to come.
pub(crate) fn sweep(server: &Arc<Shared>) {
    let server = server.clone();
    tokio::spawn(async move {
        let alone = server.keeping.clone().write_owned().await;
        let shared = server.clone();
        let swept = blocking(move || {
            let _alone = alone;
            Ok(shared.store.sweep()?)
        });
        if let Err(error) = swept.await {
            server.log.line(error.to_string());
        }
    });
}

async fn compile_uploaded(server: &Arc<Shared>, module: &Path) -> Result<Vec<u8>, EdgeError> {
    let (server, module) = (server.clone(), module.to_owned());
    blocking(move || load::compiled(&server, &module)).await
}

/// Runs what may wait for the disk or another process, or compute for long, on a thread of its own, behind clients.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, EdgeError> + Send + 'static,
) -> Result<T, EdgeError> {
    later(run).await.map_err(|error| EdgeError::Internal(error.to_string()))?
}

pub(crate) async fn record_of(server: &Arc<Shared>, key: &SiteKey) -> Result<Option<SiteRecord>, EdgeError> {
    let (server, key) = (server.clone(), key.clone());
    blocking(move || Ok(server.store.site(&key)?)).await
}

async fn put(server: &Arc<Shared>, record: SiteRecord) -> Result<SiteRecord, EdgeError> {
    let server = server.clone();
    blocking(move || {
        server.store.put_site(&record)?;
        Ok(record)
    })
    .await
}

/// What was kept.
struct Kept {
    record: SiteRecord,
    /// How many older versions it names no more.
    dropped: usize,
    /// Had only now: a bundle that is not kept is removed where that may take its time, by whoever has it open last.
    assets: Option<Arc<Assets>>,
}

/// Keeps module, artifact and bundle, then the record that names them.
async fn keep(
    server: &Arc<Shared>,
    turn: &Turn,
    order: Order,
    unpacked: Unpacked,
    artifact: Option<Arc<Vec<u8>>>,
) -> Result<Kept, EdgeError> {
    let (server, key, before) = (server.clone(), turn.site.key.clone(), turn.record.clone());
    let (scope, limits) = (turn.scope.clone(), turn.site.tenant.gate.load().limits);
    // Nothing is swept between the blobs and the record that names them.
    let keeping = server.keeping.clone().read_owned().await;
    blocking(move || {
        let _keeping = keeping;
        let store = &server.store;
        let Unpacked { module, bundle } = unpacked;
        let assets = bundle.as_ref().and_then(|(bundle, _)| bundle.assets());
        let module = module.map(|module| store.put_file(&module)).transpose()?;
        let artifact = artifact.map(|artifact| store.put_blob(&artifact)).transpose()?;
        let bundle = bundle.map(|(bundle, archive)| {
            store.put_file(&archive).map(|digest| BundleRecord { digest, summary: bundle.summary() })
        });
        let (bundle, signature) = (bundle.transpose()?, order.signature.clone());
        let version = VersionRecord { number: 0, module, artifact, bundle, signature, deployed_ms: now_ms() };
        let (answering, kept) = before.as_ref().map_or((0, 0), |before| (before.active, before.versions.len()));
        let mut record = with_version(&key, before, order, version)?;
        hosts::check(&server, &record.key, &record.hosts)?;
        quota::fit(&*server.store, &mut record, answering, &limits)?;
        server.store.put_site_within(&record, &scope)?;
        let dropped = kept + 1 - record.versions.len();
        Ok(Kept { record, dropped, assets })
    })
    .await
}

/// The record of a site that will answer where it is to.
fn placed(key: &SiteKey, before: Option<SiteRecord>, order: &Order) -> Result<SiteRecord, EdgeError> {
    let mut record = before.unwrap_or_else(|| SiteRecord::new(key.clone()));
    if order.canary.is_some() && order.moves(&record) {
        return Err(EdgeError::CanaryMoves);
    }
    record.hosts = hosts::of_next(key, Some(&record), &order.hosts)?;
    record.path = order.path.clone().unwrap_or(record.path);
    Ok(record)
}

/// The record with one version more, which is the active one, or the canary. Of too many the oldest goes, but for the one
/// that answers until then: a rollback leads back to it.
fn with_version(
    key: &SiteKey,
    before: Option<SiteRecord>,
    order: Order,
    version: VersionRecord,
) -> Result<SiteRecord, EdgeError> {
    let answering = before.as_ref().map(|before| before.active);
    let mut record = placed(key, before, &order)?;
    let number = record.versions.iter().map(|version| version.number).max().unwrap_or(0) + 1;
    record.versions.push(VersionRecord { number, ..version });
    record.revision += 1;
    record.canary = order.canary.map(|percent| Canary { version: number, percent });
    if record.canary.is_none() {
        record.active = number;
    }
    while record.versions.len() > VERSIONS_MAX {
        let may_go = |version: &VersionRecord| version.number != number && Some(version.number) != answering;
        let Some(oldest) = record.versions.iter().position(may_go) else { break };
        record.versions.remove(oldest);
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    /// After a rollback the version that answered was the oldest, and went: the next rollback found none.
    #[test]
    fn the_version_that_answered_is_kept_however_old_it_is() {
        let name = |text| Name::new(text).unwrap();
        let key = SiteKey { tenant: name("default"), site: name("a") };
        let version =
            VersionRecord { number: 0, module: None, artifact: None, bundle: None, signature: None, deployed_ms: 0 };
        let next = |before, order| with_version(&key, before, order, version.clone()).unwrap();
        let all = (0..VERSIONS_MAX).fold(None, |before, _| Some(next(before, Order::default()))).unwrap();
        let back = SiteRecord { active: 1, ..all };
        let numbers = |record: &SiteRecord| record.versions.iter().map(|version| version.number).collect::<Vec<_>>();
        let last = VERSIONS_MAX as u32 + 1;
        let kept: Vec<u32> = [1].into_iter().chain(3..=last).collect();
        let after = next(Some(back.clone()), Order::default());
        assert_eq!((after.active, numbers(&after)), (last, kept.clone()));
        let beside = next(Some(back), Order { canary: Some(10), ..Order::default() });
        assert_eq!((beside.active, numbers(&beside)), (1, kept));
    }
}
