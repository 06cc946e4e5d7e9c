//! The stages that deal with one module or artifact, and what is done with those that are kept already.

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hyper::Request;
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;
use selvedge_native::NativeError;
use selvedge_runtime::{LoadError, Module};

use super::{again, record_of};
use crate::admission::Admission;
use crate::bundle::Bundle;
use crate::config::ByteCount;
use crate::connection::Peer;
use crate::error::EdgeError;
use crate::exchange::Exchange;
use crate::guest::{Call, Origin};
use crate::limits::{CHECK_TIMEOUT, SiteLimits};
use crate::logs::GuestLog;
use crate::name::Host;
use crate::policy::TenantPolicy;
use crate::reaper::Loaded;
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::respond::{Progress, Running};
use crate::server::Shared;
use crate::site::{Content, Deployment, Serving, Site, Tenant};
use crate::store::{Canary, Digest, SiteRecord, StoreError, VersionRecord};
use crate::turns::Fair;

/// A version's first request, which nobody has asked.
const CHECK: RequestId = RequestId::known("check");

/// Compiles a module; returns the artifact.
pub(super) fn compiled(server: &Shared, module: &Path) -> Result<Vec<u8>, EdgeError> {
    let place = tempfile::tempdir_in(&server.scratch).map_err(disk)?;
    let artifact = place.path().join("artifact");
    server.compile.compile(module, &artifact)?;
    let length = std::fs::metadata(&artifact).map_err(disk)?.len();
    if length > ARTIFACT_BYTES_MAX as u64 {
        let most = ByteCount(ARTIFACT_BYTES_MAX as u64);
        return Err(EdgeError::Unfit(format!("the artifact has {length} bytes, more than {most}")));
    }
    read(&artifact)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, EdgeError> {
    std::fs::read(path).map_err(disk)
}

pub(crate) fn disk(source: std::io::Error) -> EdgeError {
    let what = "use the state directory for a deploy".to_string();
    EdgeError::Store(StoreError::Disk { what, source: source.into() })
}

/// Loads an artifact, proved, if its tenant's policy accepts it.
pub(super) fn verified(
    artifact: &[u8],
    policy: Option<&TenantPolicy>,
    module: impl FnOnce() -> Result<Vec<u8>, EdgeError>,
    signature: Option<&str>,
) -> Result<Result<Module, LoadError>, EdgeError> {
    Ok(match policy {
        None => Module::load_untrusted(artifact, NonZeroUsize::MIN),
        Some(policy) if policy.names_signers() => policy.load(artifact, &module()?, signature),
        Some(policy) => policy.load(artifact, &[], None),
    })
}

pub(super) fn unfit(error: impl std::fmt::Display) -> EdgeError {
    EdgeError::Unfit(error.to_string())
}

/// Why an artifact cannot be loaded: for what it is, or for what the machine has not got now.
pub(super) fn not_loaded(error: LoadError) -> EdgeError {
    use NativeError::{CodeRegionFull, File, Memory, Signals, Thread};
    let native = matches!(
        error,
        LoadError::Native(File { .. } | Memory { .. } | CodeRegionFull { .. } | Signals(_) | Thread(_))
    );
    if native || matches!(error, LoadError::Read(_)) { EdgeError::Shortage(error.to_string()) } else { unfit(error) }
}

/// Lets a program answer `GET /`: it must end or begin to answer in time, and not with a server's error.
pub(super) async fn check(server: &Shared, site: &Arc<Site>, program: &Loaded) -> Result<(), EdgeError> {
    let failed = |refusal: Refusal| {
        let backtrace = refusal.detail().map(|detail| format!("\n{detail}")).unwrap_or_default();
        EdgeError::Unfit(format!("its first request, GET /, failed with {}: {refusal}{backtrace}", refusal.name()))
    };
    let gate = site.tenant.gate.load_full();
    let admission = gate.admit(&server.slots, &site.counters.waiting).await.map_err(failed)?;
    let exchange = Exchange::default();
    let now = Instant::now();
    let mut limits = gate.limits;
    limits.wall.0 = limits.wall.0.min(CHECK_TIMEOUT);
    let guest = first_guest(server, site, program, (&exchange, admission, now, limits))?;
    let mut running = Running::new(guest, exchange.clone(), limits, None);
    if let Progress::Ended(end) = poll_fn(|context| running.poll_head(context)).await {
        end.map_err(failed)?;
    }
    let status = exchange.take_head().ok_or_else(|| failed(Refusal::NoResponse))?.status;
    if status.is_server_error() {
        return Err(EdgeError::Unfit(format!("its first request, GET /, was answered with {status}")));
    }
    Ok(())
}

fn first_guest(
    server: &Shared,
    site: &Arc<Site>,
    program: &Loaded,
    (exchange, admission, now, limits): (&Exchange, Admission, Instant, SiteLimits),
) -> Result<Fair, EdgeError> {
    let request = Request::builder().uri("/").header("user-agent", "selvedge-check");
    let (mut parts, ()) = request.body(()).expect("it is well formed").into_parts();
    let peer = Peer::new((Ipv4Addr::LOCALHOST, 0).into(), 0, false, Arc::default());
    let host = Host::new("localhost").expect("it is a name");
    let origin = Origin { request_id: CHECK, peer: &peer, host: &host, prefix_bytes: 0 };
    let log = GuestLog::new(site.log.clone(), CHECK, limits.log, exchange.clone());
    let exchange = exchange.clone();
    let call = Call { parts: &mut parts, body: None, origin, site, limits, now, exchange, log, admission };
    program.start(&server.pool, call).map_err(unfit)
}

/// An artifact that was made anew, of a version that another release had compiled.
pub(super) struct Remade {
    version: u32,
    artifact: Vec<u8>,
}

/// Makes a version that is kept ready to answer.
async fn load_version(
    server: &Arc<Shared>,
    tenant: &Arc<Tenant>,
    version: VersionRecord,
) -> Result<(Content, Option<Remade>), EdgeError> {
    let (shared, tenant, policy) = (server.clone(), tenant.clone(), tenant.policy.load_full());
    // So many at once as there are processors: proving is computing.
    let _turn = server.loads.acquire().await;
    super::blocking(move || {
        let bundle = version.bundle.map(|bundle| kept_bundle(&shared, &bundle.digest)).transpose()?;
        let assets = bundle.as_ref().and_then(Bundle::assets);
        let (Some(module), Some(artifact)) = (version.module, version.artifact) else {
            return Ok((Content { program: None, assets }, None));
        };
        let (loaded, artifact) =
            load_kept(&shared, policy.as_deref(), (&module, &artifact), version.signature.as_deref())?;
        let provision = bundle.as_ref().map(Bundle::provision).unwrap_or_default();
        let program = Some(shared.program(&tenant, loaded, provision).map_err(unfit)?);
        Ok((Content { program, assets }, artifact.map(|artifact| Remade { version: version.number, artifact })))
    })
    .await
}

fn kept_bundle(server: &Shared, digest: &Digest) -> Result<Bundle, EdgeError> {
    Bundle::read(server.store.open_blob(digest)?).map_err(|error| match error.is_of_the_disk() {
        true => EdgeError::Shortage(error.to_string()),
        false => EdgeError::Bundle(error.to_string()),
    })
}

/// Loads an artifact that is kept, or one made anew of its module, which is told, too.
fn load_kept(
    server: &Shared,
    policy: Option<&TenantPolicy>,
    (module, artifact): (&Digest, &Digest),
    signature: Option<&str>,
) -> Result<(Module, Option<Vec<u8>>), EdgeError> {
    let load = |artifact: &[u8]| verified(artifact, policy, || Ok(server.store.blob(module)?), signature);
    match load(&server.store.blob(artifact)?)? {
        // Another release of Selvedge wrote it: the module is still there.
        Err(LoadError::Artifact(_)) => {
            let artifact = recompiled(server, module)?;
            Ok((load(&artifact)?.map_err(not_loaded)?, Some(artifact)))
        }
        loaded => Ok((loaded.map_err(not_loaded)?, None)),
    }
}

fn recompiled(server: &Shared, module: &Digest) -> Result<Vec<u8>, EdgeError> {
    let mut file = tempfile::NamedTempFile::new_in(&server.scratch).map_err(disk)?;
    std::io::Write::write_all(&mut file, &server.store.blob(module)?).map_err(disk)?;
    compiled(server, file.path())
}

/// A version of a site: the one that answers already, or loaded. What was made anew for it is to be kept
/// ([`keep_remade`]).
pub(super) async fn deployment(
    server: &Arc<Shared>,
    site: &Site,
    record: &SiteRecord,
    number: u32,
) -> Result<(Arc<Deployment>, Option<Remade>), EdgeError> {
    if let Some(deployment) = site.deployment(number) {
        return Ok((deployment, None));
    }
    let missing = || EdgeError::NoVersion(format!("the record has no version {number}"));
    let version = record.version(number).cloned().ok_or_else(missing)?;
    let (content, remade) = load_version(server, &site.tenant, version).await?;
    Ok((Deployment::new(number, content), remade))
}

/// What answers by a record, and what was made anew for it.
pub(super) async fn serving(
    server: &Arc<Shared>,
    site: &Site,
    record: &SiteRecord,
) -> Result<(Serving, Vec<Remade>), EdgeError> {
    let (active, remade) = deployment(server, site, record, record.active).await?;
    let mut all_remade = Vec::from_iter(remade);
    let canary = match record.canary {
        Some(Canary { version, percent }) => {
            let (canary, remade) = deployment(server, site, record, version).await?;
            all_remade.extend(remade);
            Some((canary, percent))
        }
        None => None,
    };
    Ok((Serving::new(active, canary), all_remade))
}

/// Loads a site that is kept, unless somebody has already. One whose version cannot be loaded answers 503, and the log
/// says why; if that may pass, it is tried again.
pub(crate) async fn load_site(server: Arc<Shared>, site: Arc<Site>) {
    let is_first = !site.is_stuck() && !settled(&server, &site).await && site.get_stuck();
    if is_first {
        again::later(&server, site, |server, site| async move { settled(&server, &site).await });
    }
}

/// Whether it is known by now what answers for a site.
async fn settled(server: &Arc<Shared>, site: &Arc<Site>) -> bool {
    let _own = site.turn.lock().await;
    if site.is_settled() {
        return true;
    }
    let loaded = match record_of(server, &site.key).await {
        Ok(Some(record)) => serving(server, site, &record).await.map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match loaded {
        Ok(loaded) => {
            if site.is_stuck() {
                server.log.line(format!("{} is loaded now", site.key));
            }
            let (serving, remade) = loaded.unzip();
            site.settle(serving);
            keep_remade(server, site, remade.unwrap_or_default()).await;
        }
        Err(error) if again::may_pass(&error) => {
            if !site.is_stuck() {
                server.log.line(format!("{} cannot be loaded now, and is tried again: {error}", site.key));
            }
            return false;
        }
        Err(error) => {
            server.log.line(format!("{} has no version that can be run: {error}", site.key));
            site.settle(None);
        }
    }
    true
}

/// Keeps what was made anew, so that whoever needs it next has it. Only for whoever has the site's turn, and holds no record
/// that they will still write: it would name what was before.
pub(super) async fn keep_remade(server: &Arc<Shared>, site: &Site, remade: Vec<Remade>) {
    if remade.is_empty() {
        return;
    }
    // Nothing is swept between the blobs and the record that names them.
    let keeping = server.keeping.clone().read_owned().await;
    let (shared, key) = (server.clone(), site.key.clone());
    let kept = super::blocking(move || {
        let _keeping = keeping;
        remade.into_iter().try_for_each(|Remade { version, artifact }| {
            let artifact = shared.store.put_blob(&artifact)?;
            Ok(shared.store.renew_artifact(&key, version, artifact)?)
        })
    });
    if let Err(error) = kept.await {
        server.log.line(format!("{}: what was compiled anew is not kept: {error}", site.key));
    }
}

/// A site whose tenant's policy has changed: what that refuses answers no more, what it accepts answers again. The log
/// says of which it is so.
pub(crate) async fn judge_again(server: &Arc<Shared>, site: &Arc<Site>) {
    if !is_judged(server, site).await {
        again::later(server, site.clone(), |server, site| async move { is_judged(&server, &site).await });
    }
}

/// Judges a site's versions; whether it is decided of all.
async fn is_judged(server: &Arc<Shared>, site: &Arc<Site>) -> bool {
    let _own = site.turn.lock().await;
    if !site.is_settled() {
        return true;
    }
    let record = match record_of(server, &site.key).await {
        Ok(Some(record)) => record,
        Ok(None) => return true,
        Err(error) => return !again::may_pass(&error),
    };
    let (active, mut decided) = judged(server, site, &record, record.active).await;
    let canary = match record.canary {
        Some(Canary { version, percent }) => {
            let (canary, of_canary) = judged(server, site, &record, version).await;
            decided &= of_canary;
            canary.map(|canary| (canary, percent))
        }
        None => None,
    };
    site.settle(active.map(|active| Serving::new(active, canary)));
    decided
}

/// A version, if it may still answer, and whether that is decided.
async fn judged(
    server: &Arc<Shared>,
    site: &Site,
    record: &SiteRecord,
    number: u32,
) -> (Option<Arc<Deployment>>, bool) {
    let Some(version) = record.version(number).cloned() else { return (None, true) };
    match load_version(server, &site.tenant, version).await {
        Ok((content, remade)) => {
            keep_remade(server, site, Vec::from_iter(remade)).await;
            (Some(site.deployment(number).unwrap_or_else(|| Deployment::new(number, content))), true)
        }
        Err(EdgeError::Unfit(why)) => {
            server.log.line(format!("{}: version {number} answers no more: {why}", site.key));
            (None, true)
        }
        // Nobody has said that it may not.
        Err(error) => {
            server.log.line(format!("{}: version {number} cannot be judged again: {error}", site.key));
            (site.deployment(number), !again::may_pass(&error))
        }
    }
}
