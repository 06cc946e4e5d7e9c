//! Requests that programs make of other servers: of those that their tenant's list names, and of no others.
//!
//! ```text
//!   program ─► guest/cgi/http.rs ─► Outbound: the tenant's list, its requests at once
//!                                       │ Pool: connections that wait for the next request (pool.rs)
//!                                   Connector (connect.rs): places (shares.rs), TLS
//!                                       │ jailed: HOST:PORT ─► Dialing, in another process (dialer.rs)
//!                                       └ else: here
//! ```
//!
//! A name is looked up by whoever connects, and what it connects to is an address that it has looked at: names that begin to
//! stand for an address of this machine, or of its network, lead nowhere, unless the list says that they may.

mod account;
mod address;
mod connect;
mod destination;
mod dialer;
mod pool;
mod shares;

use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

pub(crate) use self::account::Bill;
use self::connect::Connector;
pub(crate) use self::connect::Ways;
pub use self::destination::Destination;
pub(crate) use self::destination::{PrivateDestination, Target};
pub use self::dialer::Dialing;
use self::pool::{Failure, Lease, Pool};
use crate::limits::{OUTBOUND_ASKED_OF_TENANT_MAX, OUTBOUND_WAIT_MAX};
use crate::name::Name;
use crate::turns::Share;

/// What one tenant's programs may reach.
pub(crate) struct Outbound {
    destinations: Arc<[Destination]>,
    pool: Arc<Pool>,
    asked: Asked,
}

/// Requests of one tenant's programs under way, to the ends of their answers.
#[derive(Clone)]
pub(crate) struct Asked(Arc<Semaphore>);

impl Default for Asked {
    fn default() -> Asked {
        Asked(Arc::new(Semaphore::new(OUTBOUND_ASKED_OF_TENANT_MAX)))
    }
}

#[cfg(test)]
impl Asked {
    fn left(&self) -> usize {
        self.0.available_permits()
    }
}

/// The place of a request among those of its tenant, and its use of a connection.
pub(crate) struct Place(#[expect(dead_code, reason = "it is held")] (Lease, OwnedSemaphorePermit));

/// A request is not answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum OutboundError {
    /// It is no URL of a server.
    #[error("its URL is none of a server: http://HOST or https://HOST, perhaps with a port")]
    Url,
    /// The tenant's list does not have it.
    #[error("the server is not on the list of those that the tenant's programs may ask (`outbound`)")]
    NotAllowed,
    /// It does not answer.
    #[error("{0}")]
    Failed(String),
}

impl Outbound {
    /// For a tenant with these destinations.
    pub(crate) fn new(
        (tenant, share, asked): (&Name, &Arc<Share>, &Asked),
        destinations: &[Destination],
        ways: &Arc<Ways>,
    ) -> Outbound {
        let destinations: Arc<[Destination]> = destinations.into();
        let connector = Connector::new(tenant.clone(), share.clone(), destinations.clone(), ways.clone());
        Outbound { destinations, pool: Pool::new(connector), asked: asked.clone() }
    }

    /// Whether these are its destinations.
    pub(crate) fn is_for(&self, destinations: &[Destination]) -> bool {
        *self.destinations == *destinations
    }

    /// The server of a URL, if it may be asked.
    pub(crate) fn check(&self, url: &Uri) -> Result<Target, OutboundError> {
        let target = Target::of(url).ok_or(OutboundError::Url)?;
        let known = destination::way(&self.destinations, &target);
        known.map(|_| target).ok_or(OutboundError::NotAllowed)
    }

    /// Makes a request of a server that was checked; the answer when its head is there, with a place to be held to its end.
    /// What is computed for it elsewhere is put on the program's bill.
    pub(crate) async fn request(
        self: Arc<Self>,
        target: Target,
        request: Request<Full<Bytes>>,
        bill: Arc<Bill>,
    ) -> Result<(Response<Incoming>, Place), OutboundError> {
        let until = Instant::now() + OUTBOUND_WAIT_MAX;
        // Whoever waits may have answers open that others wait for.
        let Ok(Ok(place)) = timeout_at(until, self.asked.0.clone().acquire_owned()).await else {
            let seconds = OUTBOUND_WAIT_MAX.as_secs();
            let message =
                format!("no place for it in {seconds} s: the tenant has {OUTBOUND_ASKED_OF_TENANT_MAX} requests");
            return Err(OutboundError::Failed(message));
        };
        let answer = self.pool.clone().request(target, request, bill, until);
        drop(self);
        let (answer, lease) = answer.await.map_err(|failure| match failure {
            Failure::Connect(error) => OutboundError::Failed(told(&error)),
            Failure::Send(error) => OutboundError::Failed(told(&error)),
        })?;
        Ok((answer, Place((lease, place))))
    }
}

/// An error and what caused it, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some say what their cause says.
        if !told.ends_with(&more) {
            told = format!("{told}: {more}");
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use http_body_util::BodyExt;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    use super::shares::Bounds;
    use super::*;
    use crate::config::Config;
    use crate::site::Tenant;

    /// Answers `ok` to each request but those for `/never`, of which it counts those that wait.
    async fn server() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let (port, never) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let waiting = never.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, never.clone()));
            }
        });
        (port, waiting)
    }

    async fn serve(stream: TcpStream, never: Arc<AtomicUsize>) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                Some(stream.read_line(&mut head).await.ok()?).filter(|count| *count > 0)?;
            }
            if head.starts_with("GET /never ") {
                never.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read_u8().await;
                never.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.ok()?;
        }
    }

    fn ways(all: usize, of_tenant: usize) -> Arc<Ways> {
        Arc::new(Ways::with(None, Bounds { all, of_tenant }, Bounds { all: 1_000, of_tenant: 100 }))
    }

    /// A tenant that may ask servers at this port, of these addresses.
    fn tenant(name: &str, ways: &Arc<Ways>, port: u16, addresses: &[&str]) -> Tenant {
        let mut config = Config::default().tenant_list().remove(0);
        config.name = Name::new(name).unwrap();
        let tenant = Tenant::new(&config);
        let list: Vec<_> = addresses.iter().map(|at| format!("http://{at}:{port}").parse().unwrap()).collect();
        tenant.may_ask(&list, ways);
        tenant
    }

    fn ask(tenant: &Tenant, url: &str) -> JoinHandle<Result<Bytes, OutboundError>> {
        let (outbound, url) = (tenant.outbound.load_full().unwrap(), url.parse().unwrap());
        let target = outbound.check(&url).unwrap();
        let request = Request::get(url).body(Full::default()).unwrap();
        tokio::spawn(async move {
            let (answer, _place) = outbound.request(target, request, Arc::default()).await?;
            Ok(answer.into_body().collect().await.unwrap().to_bytes())
        })
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        for waited in 0.. {
            if holds() {
                return;
            }
            assert!(waited < 1_000, "{what} does not come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A dozen tenants together had all connections, for as long as their programs ran.
    #[tokio::test]
    async fn however_many_tenants_ask_all_they_can_one_that_comes_new_is_answered() {
        let (port, never) = server().await;
        let (ways, url) = (ways(64, 16), format!("http://127.0.0.1:{port}"));
        let greedy: Vec<_> = (0..25).map(|number| tenant(&format!("t{number}"), &ways, port, &["127.0.0.1"])).collect();
        let asked: Vec<_> = (0..16)
            .flat_map(|_| greedy.iter().map(|tenant| ask(tenant, &format!("{url}/never"))).collect::<Vec<_>>())
            .collect();
        until("all that they can have", || never.load(Ordering::Relaxed) >= 44).await;
        let new = tenant("new", &ways, port, &["127.0.0.1"]);
        assert_eq!(ask(&new, &url).await.unwrap().unwrap(), "ok");
        assert!(asked.iter().all(|asked| !asked.is_finished()));
    }

    #[tokio::test]
    async fn connections_that_nobody_uses_give_way_to_those_of_others() {
        let (port, never) = server().await;
        let ways = ways(32, 8);
        let idle = tenant("idle", &ways, port, &["127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4"]);
        for address in 1..=4 {
            assert_eq!(ask(&idle, &format!("http://127.0.1.{address}:{port}")).await.unwrap().unwrap(), "ok");
        }
        let others: Vec<_> = (0..32).map(|number| tenant(&format!("t{number}"), &ways, port, &["127.0.0.1"])).collect();
        let _asked: Vec<_> = others.iter().map(|one| ask(one, &format!("http://127.0.0.1:{port}/never"))).collect();
        until("everybody's connection", || never.load(Ordering::Relaxed) == 32).await;
    }

    /// What runs keeps its list, and with that had connections of its own, beside those of the new list.
    #[tokio::test]
    async fn a_list_that_changes_does_not_double_what_a_tenant_has() {
        let (port, never) = server().await;
        let ways = ways(100, 4);
        let tenant = tenant("a", &ways, port, &["127.0.0.1"]);
        let mut asked = Vec::new();
        for list in [&["127.0.0.1"][..], &[], &["127.0.0.1", "127.0.0.2"]] {
            let list: Vec<_> = list.iter().map(|at| format!("http://{at}:{port}").parse().unwrap()).collect();
            tenant.may_ask(&list, &ways);
            if !list.is_empty() {
                asked.extend((0..3).map(|_| ask(&tenant, &format!("http://127.0.0.1:{port}/never"))));
            }
        }
        until("what it may have", || never.load(Ordering::Relaxed) == 4).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(never.load(Ordering::Relaxed), 4);
        // One that ends makes room for another, by whichever list.
        asked.remove(0).abort();
        until("the next", || never.load(Ordering::Relaxed) == 4).await;
        let requests = || tenant.asked.left();
        until("the one that was given up", || requests() == OUTBOUND_ASKED_OF_TENANT_MAX - asked.len()).await;
    }
}
