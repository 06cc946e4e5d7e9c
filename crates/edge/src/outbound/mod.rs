//! Requests that programs make of other servers: of those that their tenant's list names, and of no others.
//!
//! ```text
//!   program ─► guest/cgi/http.rs ─► Outbound: the tenant's list, its share of connections
//!                                       │ hyper's client, which keeps connections for the next request
//!                                   Connector (connect.rs): TLS
//!                                       │ jailed: HOST:PORT ─► Dialing, in another process (dialer.rs)
//!                                       └ else: here
//! ```
//!
//! A name is looked up by whoever connects, and what it connects to is an address that it has looked at: names that begin to
//! stand for an address of this machine, or of its network, lead nowhere, unless the list says that they may.

mod address;
mod connect;
mod destination;
mod dialer;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::connect::Connector;
pub(crate) use self::connect::Ways;
pub use self::destination::Destination;
pub(crate) use self::destination::{PrivateDestination, Target};
pub use self::dialer::Dialing;
use crate::limits::{
    HEADERS_MAX, OUTBOUND_ASKED_OF_TENANT_MAX, OUTBOUND_CONNECTIONS_OF_TENANT_MAX, OUTBOUND_DIALS_OF_TENANT_MAX,
    OUTBOUND_HEAD_BYTES_MAX, OUTBOUND_IDLE_MAX, OUTBOUND_IDLE_OF_SERVER_MAX, STREAM_WINDOW_BYTES,
};

/// What one tenant's programs may reach.
pub(crate) struct Outbound {
    destinations: Arc<[Destination]>,
    connector: Connector,
    client: ArcSwap<Client<Connector, Full<Bytes>>>,
    /// Requests under way, to the ends of their answers.
    asked: Arc<Semaphore>,
}

/// The place of a request among those of its tenant.
pub(crate) type Place = OwnedSemaphorePermit;

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
    pub(crate) fn new(destinations: &[Destination], ways: &Arc<Ways>) -> Outbound {
        let destinations: Arc<[Destination]> = destinations.into();
        let (connections, dials) = (OUTBOUND_CONNECTIONS_OF_TENANT_MAX, OUTBOUND_DIALS_OF_TENANT_MAX);
        let connector = Connector::new(destinations.clone(), ways.clone(), connections, dials);
        let (client, asked) = (ArcSwap::from_pointee(client(connector.clone())), OUTBOUND_ASKED_OF_TENANT_MAX);
        Outbound { destinations, connector, client, asked: Arc::new(Semaphore::new(asked)) }
    }
    /// Whether these are its destinations.
    pub(crate) fn is_for(&self, destinations: &[Destination]) -> bool {
        *self.destinations == *destinations
    }

    /// Whether a URL may be asked.
    pub(crate) fn check(&self, url: &Uri) -> Result<(), OutboundError> {
        let target = Target::of(url).ok_or(OutboundError::Url)?;
        let known = destination::way(&self.destinations, &target);
        known.map(drop).ok_or(OutboundError::NotAllowed)
    }

    /// Makes a request whose URL was checked; the answer when its head is there, with a place to be held to its end.
    pub(crate) async fn request(
        self: Arc<Self>,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Place), OutboundError> {
        let closed = |_| OutboundError::Failed("no requests are made any more".into());
        let place = self.asked.clone().acquire_owned().await.map_err(closed)?;
        self.make_room();
        let answer = self.client.load().request(request);
        drop(self);
        // What it says itself is which of its parts says the rest.
        let failed = |error: Error| OutboundError::Failed(told(std::error::Error::source(&error).unwrap_or(&error)));
        Ok((answer.await.map_err(failed)?, place))
    }

    /// Closes the connections that wait for their next requests, if they could be in the way of others to other servers: a client
    /// does so only when it ends.
    fn make_room(&self) {
        if self.connector.left() <= self.asked.available_permits() {
            self.client.store(Arc::new(client(self.connector.clone())));
        }
    }
}

fn client(connector: Connector) -> Client<Connector, Full<Bytes>> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
    builder.pool_idle_timeout(OUTBOUND_IDLE_MAX).pool_max_idle_per_host(OUTBOUND_IDLE_OF_SERVER_MAX);
    builder.http1_max_buf_size(OUTBOUND_HEAD_BYTES_MAX).http1_max_headers(HEADERS_MAX);
    builder.http2_max_header_list_size(OUTBOUND_HEAD_BYTES_MAX as u32);
    builder.http2_initial_stream_window_size(STREAM_WINDOW_BYTES);
    // Of all that may be under way: answers that nobody reads hold up no others.
    builder.http2_initial_connection_window_size(OUTBOUND_ASKED_OF_TENANT_MAX as u32 * STREAM_WINDOW_BYTES);
    builder.http2_keep_alive_interval(Duration::from_secs(10));
    builder.build(connector)
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
