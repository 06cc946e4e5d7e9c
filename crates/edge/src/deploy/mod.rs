//! From uploaded bytes to the version that answers; `docs/deploy-path.md` is the same in prose.
//!
//! Each stage either succeeds or ends the deploy; until the last one, the old version answers. What was told to be
//! deployed is in the store.

mod compile;
mod load;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub use self::compile::{Compile, CompileCommand, CompileError};
use self::load::{check, load_version, read, verified};
pub(crate) use self::load::{disk, load_active};
use crate::error::EdgeError;
use crate::guest::Program;
use crate::limits::{HOSTS_MAX, VERSIONS_MAX};
use crate::logs::now_ms;
use crate::name::Host;
use crate::server::Shared;
use crate::site::{Deployment, Site};
use crate::store::{SiteKey, SiteRecord, VersionRecord};

/// What a deploy goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The module comes in.
    Upload,
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
pub(crate) struct Reporter {
    to: mpsc::UnboundedSender<Progress>,
    stage: Stage,
    began: Instant,
}

impl Reporter {
    pub(crate) fn new(to: mpsc::UnboundedSender<Progress>) -> Reporter {
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

    pub(crate) fn failed(&self, error: &EdgeError) {
        self.tell(Progress::Failed { stage: self.stage, message: error.to_string() });
    }
}

/// Deploys an uploaded module, from compiling to the switch.
pub(crate) async fn deploy(
    server: &Arc<Shared>,
    site: &Arc<Site>,
    hosts: Vec<Host>,
    module: tempfile::TempPath,
    reporter: &mut Reporter,
) -> Result<(), EdgeError> {
    let _turn = server.deploys.acquire().await;
    reporter.next(Stage::Compile);
    let artifact = compile_uploaded(server, &module).await?;
    reporter.next(Stage::Verify);
    let bytes = Arc::new(artifact);
    let loaded = blocking({
        let bytes = bytes.clone();
        move || verified(&bytes)
    });
    let loaded = loaded.await?;
    reporter.next(Stage::Link);
    let program = server.interface.prepare(&loaded).map_err(|unfit| EdgeError::Unfit(unfit.to_string()))?;
    reporter.next(Stage::Check);
    check(server, site, &program).await?;
    reporter.next(Stage::Store);
    let record = keep(server, site, hosts, module, bytes).await?;
    reporter.next(Stage::Switch);
    switch(server, site, &record, program);
    reporter.next(Stage::Switch);
    reporter.tell(Progress::Deployed { version: record.active, hosts: record.hosts });
    Ok(())
}

/// Goes back to a version that was deployed before: the one named, or the one before the active one.
pub(crate) async fn rollback(server: &Arc<Shared>, site: &Arc<Site>, to: Option<u32>) -> Result<SiteRecord, EdgeError> {
    let _turn = server.deploys.acquire().await;
    let record = record_of(server, &site.key).await?.ok_or_else(|| EdgeError::NoSite(site.key.site.to_string()))?;
    let before = || record.versions.iter().map(|version| version.number).filter(|n| *n < record.active).max();
    let number = to.or_else(before).ok_or_else(|| {
        EdgeError::NoVersion(format!(
            "version {} is the oldest there is; `selvedge versions` lists them",
            record.active
        ))
    })?;
    let version = record.version(number).cloned().ok_or_else(|| {
        EdgeError::NoVersion(format!("there is no version {number}; `selvedge versions` lists those there are"))
    })?;
    let program = load_version(server, version).await?;
    let mut record = SiteRecord { active: number, ..record };
    record.revision += 1;
    let record = put(server, record).await?;
    switch(server, site, &record, program);
    Ok(record)
}

/// Requests that begin from now on go to the new version; those under way end with the old one.
pub(crate) fn switch(server: &Shared, site: &Arc<Site>, record: &SiteRecord, program: Arc<dyn Program>) {
    site.active.store(Some(Arc::new(Deployment { version: record.active, program })));
    server.publish(site, &record.hosts);
}

async fn compile_uploaded(server: &Arc<Shared>, module: &Path) -> Result<Vec<u8>, EdgeError> {
    let (server, module) = (server.clone(), module.to_owned());
    blocking(move || load::compiled(&server, &module)).await
}

/// Runs what may wait for the disk or another process on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, EdgeError> + Send + 'static,
) -> Result<T, EdgeError> {
    tokio::task::spawn_blocking(run).await.map_err(|error| EdgeError::Internal(error.to_string()))?
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

/// Keeps module and artifact, then the record that names them.
async fn keep(
    server: &Arc<Shared>,
    site: &Site,
    hosts: Vec<Host>,
    module: tempfile::TempPath,
    artifact: Arc<Vec<u8>>,
) -> Result<SiteRecord, EdgeError> {
    let (server, key) = (server.clone(), site.key.clone());
    blocking(move || {
        let before = server.store.site(&key)?;
        let module = server.store.put_blob(&read(&module)?)?;
        let artifact = server.store.put_blob(&artifact)?;
        let record =
            with_version(key, before, hosts, VersionRecord { number: 0, module, artifact, deployed_ms: now_ms() })?;
        server.store.put_site(&record)?;
        Ok(record)
    })
    .await
}

/// The record with one version more, which is the active one.
fn with_version(
    key: SiteKey,
    before: Option<SiteRecord>,
    hosts: Vec<Host>,
    version: VersionRecord,
) -> Result<SiteRecord, EdgeError> {
    let new = || SiteRecord { key, hosts: Vec::new(), versions: Vec::new(), active: 0, revision: 0 };
    let mut record = before.unwrap_or_else(new);
    if !hosts.is_empty() {
        record.hosts = hosts;
    }
    if record.hosts.is_empty() {
        record.hosts = vec![Host::new(&format!("{}.localhost", record.key.site))?];
    }
    if record.hosts.len() > HOSTS_MAX {
        return Err(EdgeError::TooManyHosts(HOSTS_MAX));
    }
    let number = record.versions.iter().map(|version| version.number).max().unwrap_or(0) + 1;
    record.versions.push(VersionRecord { number, ..version });
    let excess = record.versions.len().saturating_sub(VERSIONS_MAX);
    record.versions.drain(..excess);
    (record.active, record.revision) = (number, record.revision + 1);
    Ok(record)
}
