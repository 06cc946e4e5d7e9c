//! What an operator does with one site.

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::{HeaderMap, Response, StatusCode, header};
use selvedge_contract::limits::SIGNATURE_BYTES_MAX;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::reply::{Failure, ReplyBody, json, line, lines};
use super::streams::Streams;
use super::{Asked, SiteInfo, access};
use crate::bundle::BUNDLE_TYPE;
use crate::config::ByteCount;
use crate::deploy::{self, Asker, Begun, Kind, Order, Progress, Received, Receiving, blocking};
use crate::error::EdgeError;
use crate::limits::{
    ADMIN_STREAM_QUIET_MAX, ADMIN_STREAM_TICK, BODY_STALL_MAX, BUNDLE_BYTES_MAX, HOSTS_MAX, MODULE_BYTES_MAX,
    UPLOAD_MAX,
};
use crate::logs::{Entry, Event, now_ms};
use crate::name::{Host, Prefix};
use crate::request_id::RequestId;
use crate::server::Shared;
use crate::site::{Site, Tenant};
use crate::store::{SiteRecord, Store, StoreError};

/// A deploy's signature.
pub(crate) const SIGNATURE_HEADER: &str = "x-selvedge-signature";

/// Lines on their way to a client.
const LINES_MAX: usize = 64;

/// In place of a request's id, in what is said to whoever reads a log.
const READER: RequestId = RequestId::known("log");

pub(super) async fn list(server: &Arc<Shared>, asked: &Asked) -> Result<Response<ReplyBody>, Failure> {
    let (shared, tenants) = (server.clone(), asked.tenants.clone());
    let records = blocking(move || Ok(records_of(&*shared.store, &tenants)?)).await?;
    let seen = records.into_iter().filter(|record| asked.scope.is_for(&record.key.site));
    let info = seen.map(|record| SiteInfo {
        tenant: record.key.tenant,
        site: record.key.site,
        hosts: record.hosts,
        path: record.path,
        active: record.active,
        canary: record.canary,
        versions: record.versions.len(),
        revision: record.revision,
    });
    Ok(json(StatusCode::OK, &info.collect::<Vec<_>>()))
}

/// Those of others are not read: one that is damaged is no affair of these, nor how many there are.
fn records_of(store: &dyn Store, tenants: &[Arc<Tenant>]) -> Result<Vec<SiteRecord>, StoreError> {
    let of_each: Result<Vec<_>, _> = tenants.iter().map(|tenant| store.sites_of(&tenant.name)).collect();
    Ok(of_each?.into_iter().flatten().collect())
}

pub(super) async fn versions(server: &Arc<Shared>, asked: &Asked, site: &str) -> Result<Response<ReplyBody>, Failure> {
    let key = asked.key(site)?;
    let record = deploy::record_of(server, &key).await?;
    Ok(json(StatusCode::OK, &record.ok_or(EdgeError::NoSite(site.to_string()))?))
}

pub(super) async fn rollback(server: &Arc<Shared>, asked: &Asked, site: &str) -> Result<Response<ReplyBody>, Failure> {
    let to = asked.number("version")?;
    let change = move |server, site, asker| async move { deploy::rollback(&server, (&site, &asker), to).await };
    changed(server, asked, site, change).await
}

pub(super) async fn canary(server: &Arc<Shared>, asked: &Asked, site: &str) -> Result<Response<ReplyBody>, Failure> {
    let missing = |name: &str| Failure::bad(format!("{name}: found nothing, expected a number"));
    let version = asked.number("version")?.ok_or_else(|| missing("version"))?;
    let percent = asked.percent("percent")?.ok_or_else(|| missing("percent"))?;
    let change =
        move |server, site, asker| async move { deploy::canary(&server, (&site, &asker), version, percent).await };
    changed(server, asked, site, change).await
}

pub(super) async fn promote(server: &Arc<Shared>, asked: &Asked, site: &str) -> Result<Response<ReplyBody>, Failure> {
    let change = |server, site, asker| async move { deploy::promote(&server, (&site, &asker)).await };
    changed(server, asked, site, change).await
}

pub(super) async fn drop_canary(
    server: &Arc<Shared>,
    asked: &Asked,
    site: &str,
) -> Result<Response<ReplyBody>, Failure> {
    let change = |server, site, asker| async move { deploy::drop_canary(&server, (&site, &asker)).await };
    changed(server, asked, site, change).await
}

pub(super) async fn delete(server: &Arc<Shared>, asked: &Asked, site: &str) -> Result<Response<ReplyBody>, Failure> {
    let change = |server, site, asker| async move { deploy::delete(&server, (&site, &asker)).await };
    changed(server, asked, site, change).await
}

/// Changes a site, to the end, whatever becomes of the client; what there is to say of it then.
async fn changed<F, T>(
    server: &Arc<Shared>,
    asked: &Asked,
    site: &str,
    change: impl FnOnce(Arc<Shared>, Arc<Site>, Asker) -> F,
) -> Result<Response<ReplyBody>, Failure>
where
    F: Future<Output = Result<T, EdgeError>> + Send + 'static,
    T: Serialize + Send + 'static,
{
    let site = asked.site(server, site)?;
    let done = tokio::spawn(change(server.clone(), site, asked.asker()?)).await;
    let said = done.map_err(|error| EdgeError::Internal(error.to_string()))??;
    Ok(json(StatusCode::OK, &said))
}

impl Asked {
    /// A number among the parameters.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        let wrong = |text: &String| Failure::bad(format!("{name}: found {text:?}, expected a number like 3"));
        self.all(name).first().map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }

    /// The module's signature: its text, as JSON, since a header has no lines.
    fn signature(&self) -> Result<Option<String>, Failure> {
        let Some(header) = self.request.headers().get(SIGNATURE_HEADER) else { return Ok(None) };
        let text: Result<String, _> = serde_json::from_slice(header.as_bytes());
        let text = text.ok().filter(|text| text.len() <= SIGNATURE_BYTES_MAX);
        let wrong =
            || Failure::bad(format!("{SIGNATURE_HEADER}: expected the text of a .minisig file as a JSON string"));
        text.map(Some).ok_or_else(wrong)
    }

    fn percent(&self, name: &str) -> Result<Option<u8>, Failure> {
        let wrong = |found: u32| Failure::bad(format!("{name}: found {found}, expected 0 to 100"));
        let checked = |number: u32| u8::try_from(number).ok().filter(|p| *p <= 100).ok_or_else(|| wrong(number));
        self.number(name)?.map(checked).transpose()
    }
}

/// Receives the module, then tells of each stage as it is passed.
pub(super) async fn deploy(server: &Arc<Shared>, asked: Asked, site: &str) -> Result<Response<ReplyBody>, Failure> {
    let key = asked.key(site)?;
    let hosts = asked.all("host").iter().map(|host| Host::new(host)).collect::<Result<Vec<_>, _>>();
    let hosts = hosts.map_err(|error| Failure::bad(error.to_string()))?;
    if hosts.len() > HOSTS_MAX {
        return Err(EdgeError::TooManyHosts(HOSTS_MAX).into());
    }
    let path = asked.all("path").first().map(|path| Prefix::new(path)).transpose();
    let path = path.map_err(|error| Failure::bad(error.to_string()))?;
    let (canary, signature, asker) = (asked.percent("canary")?, asked.signature()?, asked.asker()?);
    let order = Order { hosts, path, canary, signature, asker };
    let begun = deploy::begin(server, asked.tenant()?, &key, order).await?;
    let (headers, body) = (asked.request.headers().clone(), asked.request.into_body());
    let received = upload(begun, &headers, body, (MODULE_BYTES_MAX, BUNDLE_BYTES_MAX)).await?;
    Ok(told_in_lines(received.deploy()))
}

/// What is told, as lines of JSON.
pub(super) fn told_in_lines(told: mpsc::UnboundedReceiver<Progress>) -> Response<ReplyBody> {
    lines(as_lines(told))
}

fn as_lines(mut told: mpsc::UnboundedReceiver<Progress>) -> mpsc::Receiver<Bytes> {
    let (to, lines) = mpsc::channel(LINES_MAX);
    tokio::spawn(async move {
        while let Some(progress) = told.recv().await {
            if to.send(line(&progress)).await.is_err() {
                return;
            }
        }
    });
    lines
}

/// Receives a module, or a bundle, whichever it says it is; neither longer than it may be, nor for longer.
pub(super) async fn upload(
    begun: Begun,
    headers: &HeaderMap,
    body: impl Body<Data = Bytes> + Unpin,
    (module_bytes_max, bundle_bytes_max): (u64, u64),
) -> Result<Received, Failure> {
    let (kind, what, bytes_max) = match headers.get(header::CONTENT_TYPE) {
        Some(of_type) if of_type == BUNDLE_TYPE => (Kind::Bundle, "bundle", bundle_bytes_max),
        _ => (Kind::Module, "module", module_bytes_max),
    };
    // What is longer is refused where it gets too long.
    let announced = body.size_hint().lower().min(bytes_max);
    let receiving = begun.receive(kind, announced).await?;
    let received = tokio::time::timeout(UPLOAD_MAX, receive(receiving, what, body, bytes_max)).await;
    let message = || format!("the {what} has taken longer to come than {UPLOAD_MAX:?}");
    received.map_err(|_| Failure::new(StatusCode::REQUEST_TIMEOUT, message()))?
}

async fn receive(
    mut receiving: Receiving,
    what: &str,
    mut body: impl Body<Data = Bytes> + Unpin,
    bytes_max: u64,
) -> Result<Received, Failure> {
    let mut bytes = 0;
    loop {
        let frame = tokio::time::timeout(BODY_STALL_MAX, body.frame()).await;
        let stalled = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, format!("the {what} did not come in time"));
        let Some(frame) = frame.map_err(stalled)? else { break };
        let frame = frame.map_err(|_| Failure::bad(format!("the {what} ended before its end")))?;
        let Some(piece) = frame.data_ref() else { continue };
        bytes += piece.len() as u64;
        if bytes > bytes_max {
            let message = format!("a {what} that is deployed here has at most {}", ByteCount(bytes_max));
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        receiving.write(piece).await?;
    }
    if bytes == 0 {
        return Err(Failure::bad(format!("the request has no body; send the {what} in it")));
    }
    Ok(receiving.end().await?)
}

pub(super) fn logs(
    server: &Arc<Shared>,
    streams: &Arc<Streams>,
    asked: &Asked,
    site: &str,
) -> Result<Response<ReplyBody>, Failure> {
    let site = asked.site(server, site)?;
    let (to, from) = mpsc::channel(LINES_MAX);
    if !asked.all("follow").iter().any(|value| value == "true") {
        tokio::spawn(tail(site, || false, to));
        return Ok(lines(from));
    }
    let place = streams.enter(asked.whose.clone())?;
    let (server, followed, token) = (server.clone(), site.clone(), asked.token);
    let may = move || {
        let key = &followed.key;
        let scope = access::still(&server.access.load(), token, &key.tenant);
        let is_there = server.site(key).is_some_and(|now| Arc::ptr_eq(&now, &followed));
        is_there && scope.is_some_and(|scope| scope.is_for(&key.site)) && !server.is_draining()
    };
    tokio::spawn(async move {
        tail(site, may, to).await;
        drop(place);
    });
    Ok(lines(from))
}

/// Said to whoever reads more slowly than a site's log is written.
fn lost(count: u64) -> Entry {
    let message = format!("{count} lines are not here: they were not read in time");
    Entry { time_ms: now_ms(), request: READER, event: Event::Failure { name: "log_lost".into(), message } }
}

/// Sends what is in the log, and what comes, until the client is gone or may see no more. While nothing comes it sends an empty
/// line now and then: what lies between may take who says nothing for gone.
async fn tail(site: Arc<Site>, may: impl Fn() -> bool, to: mpsc::Sender<Bytes>) {
    let (mut next, mut sent) = (0, Instant::now());
    loop {
        let (entries, after, missed) = site.log.since(next);
        // At the beginning, what is gone is only old.
        let lost = (missed > 0 && next > 0).then(|| lost(missed));
        next = after;
        let mut told: Vec<Bytes> = lost.iter().chain(&entries).map(line).collect();
        if told.is_empty() && sent.elapsed() >= ADMIN_STREAM_QUIET_MAX {
            told.push(Bytes::from_static(b"\n"));
        }
        for line in told {
            if to.send(line).await.is_err() {
                return;
            }
            sent = Instant::now();
        }
        if !may() {
            return;
        }
        tokio::select! {
            () = site.log.wait(next) => {}
            () = tokio::time::sleep(ADMIN_STREAM_TICK) => {}
            () = to.closed() => return,
        }
        // What has come meanwhile is for whoever still may see it.
        if !may() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::path::Path;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll};
    use std::time::Duration;

    use http_body_util::Full;
    use hyper::body::Frame;
    use hyper::header::HeaderValue;
    use tokio::time::{Sleep, sleep};

    use super::*;
    use crate::config::Config;
    use crate::deploy::{Space, Stage};
    use crate::limits::{DISK_RESERVE_BYTES, LOG_LINE_BYTES_MAX, LOG_RING_BYTES_MAX};
    use crate::logs::ServerLog;
    use crate::name::Name;
    use crate::server::Server;
    use crate::server::tests::server_on;
    use crate::store::{DiskStore, SiteKey};

    fn site() -> Arc<Site> {
        let tenant = Arc::new(Tenant::new(&Config::default().tenant_list()[0]));
        let key = SiteKey { tenant: tenant.name.clone(), site: Name::new("a").unwrap() };
        Arc::new(Site::new(key, tenant, Arc::default(), ServerLog::silent()))
    }

    /// A damaged record of one tenant's was the end of every other's list, which read all there were.
    #[test]
    fn a_list_reads_no_records_of_other_tenants() {
        let state = tempfile::tempdir().unwrap();
        let store = DiskStore::open(state.path()).unwrap();
        let tenant = |name: &str| {
            let config = Config::parse(&format!("[tenants.{name}]"), "edge.toml").unwrap();
            Arc::new(Tenant::new(&config.tenant_list()[0]))
        };
        let key = |tenant: &str| SiteKey { tenant: Name::new(tenant).unwrap(), site: Name::new("a").unwrap() };
        for name in ["alpha", "alpha-2", "beta"] {
            store.put_site(&SiteRecord { revision: 1, ..SiteRecord::new(key(name)) }).unwrap();
        }
        store.damage(&key("beta"));
        let listed = |names: &[&str]| {
            let tenants: Vec<_> = names.iter().map(|name| tenant(name)).collect();
            let records = records_of(&store, &tenants)?;
            Ok::<_, StoreError>(records.into_iter().map(|record| record.key).collect::<Vec<_>>())
        };
        assert_eq!(listed(&["alpha"]).unwrap(), [key("alpha")]);
        assert_eq!(listed(&["alpha", "alpha-2"]).unwrap(), [key("alpha"), key("alpha-2")]);
        assert!(matches!(listed(&["alpha", "beta"]), Err(StoreError::Damaged(_))));
    }

    #[tokio::test]
    async fn who_reads_a_log_too_slowly_is_told_what_is_lost() {
        let (site, (to, mut from)) = (site(), mpsc::channel(1));
        let says = |line: String| site.log.add(READER, Event::Guest { line });
        says("first".into());
        tokio::spawn(tail(site.clone(), || true, to));
        let mut next = async || serde_json::from_slice::<Entry>(&from.recv().await.unwrap()).unwrap().to_string();
        assert_eq!(next().await, "log | first");
        tokio::task::yield_now().await;
        let count = 2 * LOG_RING_BYTES_MAX / LOG_LINE_BYTES_MAX;
        (0..count).for_each(|_| says("x".repeat(LOG_LINE_BYTES_MAX)));
        let kept = site.log.since(0).0.len();
        assert_eq!(
            next().await,
            format!("log ! log_lost: {} lines are not here: they were not read in time", count - kept)
        );
        for _ in 0..kept {
            assert!(next().await.starts_with("log | xxx"));
        }
    }

    async fn begun(server: &Server) -> Begun {
        let key = site().key.clone();
        let tenant = server.shared().access.load().tenants[&key.tenant].clone();
        deploy::begin(server.shared(), &tenant, &key, Order::default()).await.unwrap()
    }

    /// A byte now and then, until its time is over.
    struct Trickle {
        pause: Pin<Box<Sleep>>,
        end: Instant,
    }

    impl Body for Trickle {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
            std::task::ready!(self.pause.as_mut().poll(context));
            let now = Instant::now();
            self.pause.as_mut().reset(now + BODY_STALL_MAX / 2);
            Poll::Ready((now < self.end).then(|| Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    /// Whoever sent a byte now and then deployed what had been allowed days before.
    #[tokio::test(start_paused = true)]
    async fn an_upload_that_never_stalls_has_its_time_all_the_same() {
        let (server, _state) = crate::server::tests::server("").await;
        let until = async |time: Duration| {
            let body = Trickle { pause: Box::pin(sleep(Duration::ZERO)), end: Instant::now() + time };
            upload(begun(&server).await, &HeaderMap::new(), body, (MODULE_BYTES_MAX, BUNDLE_BYTES_MAX)).await
        };
        assert!(until(UPLOAD_MAX - BODY_STALL_MAX).await.is_ok());
        let failure = until(2 * UPLOAD_MAX).await.err().unwrap();
        assert_eq!(failure.status, StatusCode::REQUEST_TIMEOUT);
        assert!(failure.message.contains("longer to come than 1800s"), "{}", failure.message);
    }

    /// So many MiB, of which it does not say how many they are.
    struct Unannounced(u32);

    impl Body for Unannounced {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
            let left = self.0.checked_sub(1);
            self.0 = left.unwrap_or(0);
            Poll::Ready(left.map(|_| Ok(Frame::data(vec![b' '; 1 << 20].into()))))
        }
    }

    /// What deploys have written, and 3 MiB less that.
    fn three_mib(scratch: &Path) -> Space {
        let lengths = std::fs::read_dir(scratch).unwrap().filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
        Space { free: (DISK_RESERVE_BYTES + (3 << 20)).saturating_sub(lengths.sum()), all: 1 << 40 }
    }

    /// Whoever did not say how much was to come filled the disk, to its end.
    #[tokio::test]
    async fn an_upload_takes_what_the_disk_has_whether_it_says_how_much_or_not() {
        let (server, _state) = server_on(three_mib).await;
        let (none, max) = (HeaderMap::new(), (MODULE_BYTES_MAX, BUNDLE_BYTES_MAX));
        for (mib, is_room) in [(1, true), (3, true), (4, false), (100, false)] {
            let expected = (!is_room).then_some(StatusCode::INSUFFICIENT_STORAGE);
            let announced = Full::new(Bytes::from(vec![b' '; mib << 20]));
            let answer = upload(begun(&server).await, &none, announced, max).await;
            assert_eq!(answer.err().map(|failure| failure.status), expected, "{mib} MiB");
            nothing_is_left(&server).await;
            let answer = upload(begun(&server).await, &none, Unannounced(mib as u32), max).await;
            assert_eq!(answer.err().map(|failure| failure.status), expected, "{mib} MiB, unannounced");
            nothing_is_left(&server).await;
        }
    }

    async fn nothing_is_left(server: &Server) {
        let is_left = || std::fs::read_dir(&server.shared().scratch).unwrap().count() > 0;
        while is_left() || server.shared().disk.promised() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// What was taken out of a bundle was written whether there was room for it or not.
    #[tokio::test]
    async fn a_bundles_program_needs_room_beside_the_bundle() {
        let (server, _state) = server_on(three_mib).await;
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(BUNDLE_TYPE))]);
        for (mib, expected) in [(1, Stage::Compile), (2, Stage::Unpack)] {
            let (mut archive, mut entry) = (tar::Builder::new(Vec::new()), tar::Header::new_gnu());
            entry.set_size(mib << 20);
            archive.append_data(&mut entry, "app.wasm", io::repeat(b' ').take(mib << 20)).unwrap();
            let body = Full::new(Bytes::from(archive.into_inner().unwrap()));
            let max = (MODULE_BYTES_MAX, BUNDLE_BYTES_MAX);
            let mut told = upload(begun(&server).await, &headers, body, max).await.unwrap().deploy();
            let mut last = None;
            while let Some(progress) = told.recv().await {
                last = Some(progress);
            }
            let Some(Progress::Failed { stage, message }) = last else { panic!("{last:?}") };
            assert!(stage == expected && message.contains("bytes left") == (mib == 2), "{stage:?}: {message}");
            nothing_is_left(&server).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_follows_a_quiet_log_gets_an_empty_line_and_nothing_more_once_they_may_not() {
        let (site, (to, mut from)) = (site(), mpsc::channel(8));
        let (may, asked) = (Arc::new(AtomicBool::new(true)), Instant::now());
        let still = may.clone();
        tokio::spawn(tail(site.clone(), move || still.load(Ordering::Relaxed), to));
        for times in 1..4 {
            assert_eq!(from.recv().await.unwrap(), "\n");
            assert_eq!(asked.elapsed().as_secs(), times * ADMIN_STREAM_QUIET_MAX.as_secs());
        }
        site.log.add(READER, Event::Guest { line: "said".into() });
        assert_eq!(serde_json::from_slice::<Entry>(&from.recv().await.unwrap()).unwrap().to_string(), "log | said");
        may.store(false, Ordering::Relaxed);
        site.log.add(READER, Event::Guest { line: "secret".into() });
        assert_eq!(from.recv().await, None);
    }
}
