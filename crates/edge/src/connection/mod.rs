//! Connections: accepted up to a number, served until they end, cut off when they stall.
//!
//! ```text
//!   accept ─► TLS (tls.rs) ─► which version ─► HTTP/1 ─► a request after the other      protocol.rs
//!                                           └► HTTP/2 ─► a task for each request         streams.rs
//! ```
//!
//! Slow clients are bounded here: a connection has a time for its beginning and for each head, [`stalling`] gives each
//! write its own, [`streams`] each response of HTTP/2, and `upload` the pauses of a body.

mod heads;
mod protocol;
mod room;
mod stalling;
mod streams;
mod unsent;

pub(crate) use self::protocol::serve_stream;
pub(crate) use self::stalling::Stalling;
pub(crate) use self::unsent::Unsent;

use std::error::Error;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use selvedge_wasi::Environment;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::limits::CUT_OFF_GRACE;
use crate::tls::Tls;

/// What is known of a request's connection.
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    pub(crate) local_port: u16,
    /// Whether it is by TLS.
    pub(crate) secure: bool,
    /// What programs are told of it at each request, once one was.
    pub(crate) variables: OnceLock<Environment>,
    /// Where what waits to be sent is counted, if it is of HTTP/2.
    pub(crate) unsent: Option<Arc<Unsent>>,
    overdue: Arc<Overdue>,
}

/// When the time of the request that is answered now is over.
pub(crate) struct Overdue {
    made: Instant,
    /// Since then, in nanoseconds; 0 if there is no such time.
    at_ns: AtomicU64,
}

impl Default for Overdue {
    fn default() -> Overdue {
        Overdue { made: Instant::now(), at_ns: AtomicU64::new(0) }
    }
}

impl Overdue {
    fn set(&self, at: Option<Instant>) {
        // The first nanosecond is over by now.
        let ns = |at: Instant| at.saturating_duration_since(self.made).as_nanos().max(1) as u64;
        self.at_ns.store(at.map_or(0, ns), Ordering::Relaxed);
    }

    fn at(&self) -> Option<Instant> {
        let ns = self.at_ns.load(Ordering::Relaxed);
        (ns > 0).then(|| self.made + Duration::from_nanos(ns))
    }

    fn is_over(&self) -> bool {
        self.at().is_some_and(|at| at <= Instant::now())
    }
}

impl Peer {
    pub(crate) fn new(remote: SocketAddr, local_port: u16, secure: bool, overdue: Arc<Overdue>) -> Peer {
        Peer { remote, local_port, secure, variables: OnceLock::new(), unsent: None, overdue }
    }

    /// Ends the connection, or the stream of it, a little after this time, if its client then takes nothing of what a guest has for
    /// it: the guest, which waits, would never be asked again. Until what is returned is dropped.
    pub(crate) fn cut_off_at(self: Arc<Peer>, at: Instant) -> CutOff {
        self.overdue.set(Some(at + CUT_OFF_GRACE));
        CutOff(self)
    }
}

/// A guest that a connection waits for.
pub(crate) struct CutOff(Arc<Peer>);

impl Drop for CutOff {
    fn drop(&mut self) {
        self.0.overdue.set(None);
    }
}

/// Answers requests of many connections.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    fn answer(
        self,
        peer: Arc<Peer>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Self::Body>, std::convert::Infallible>> + Send;

    /// A connection is refused, or ends, for what there is no request to answer.
    fn refuse(&self, _: Flaw) {}
}

/// What is wrong with a connection, where there is no request that could be refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// It is one too many.
    TooMany,
    /// What should agree on TLS does not.
    Tls,
    /// A request's head is too long, or has too many fields.
    HeadLimit,
    /// What should be a request is none.
    Malformed,
    /// A request is one too many of those that are under way on connections of HTTP/2.
    TooManyStreams,
}

impl Flaw {
    pub(crate) const ALL: [Flaw; 5] =
        [Flaw::TooMany, Flaw::Tls, Flaw::HeadLimit, Flaw::Malformed, Flaw::TooManyStreams];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Flaw::TooMany => "connections_limit",
            Flaw::Tls => "tls",
            Flaw::HeadLimit => "request_head_limit",
            Flaw::Malformed => "malformed_request",
            Flaw::TooManyStreams => "streams_limit",
        }
    }

    /// What a connection of HTTP/1 ended for. None if its client went away, or let it stand: that is no flaw.
    fn of_http1(error: &hyper::Error) -> Option<Flaw> {
        let flaw = if error.is_parse_too_large() { Flaw::HeadLimit } else { Flaw::Malformed };
        error.is_parse().then_some(flaw)
    }

    /// The same of HTTP/2, which refuses a head that is too long by itself, and goes on.
    fn of_http2(error: &hyper::Error) -> Option<Flaw> {
        let went_away = error.source().is_none_or(|cause| cause.is::<std::io::Error>());
        (!went_away).then_some(Flaw::Malformed)
    }

    /// The same of TLS, before there is any HTTP.
    fn of_tls(error: &std::io::Error) -> Option<Flaw> {
        (error.kind() == std::io::ErrorKind::InvalidData).then_some(Flaw::Tls)
    }
}

/// Said to one connection too many.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nx-selvedge-error: connections_limit\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// How a connection is spoken to.
struct Way {
    tls: Option<Arc<Tls>>,
    http2: bool,
}

/// Where connections come from.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    /// None if they are in plain text.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Whether HTTP/2 is spoken here, too.
    pub(crate) http2: bool,
    /// Places for connections.
    pub(crate) room: Arc<Semaphore>,
}

impl Door {
    /// Where it is, if asked for any port.
    pub(crate) fn address(&self, asked: SocketAddr) -> SocketAddr {
        self.listener.local_addr().unwrap_or(asked)
    }
}

/// Says that a connection is one too many. As a stream of the executor's it could not be written yet: that learns only later
/// that there is room.
fn turn_away(stream: TcpStream) -> io::Result<()> {
    let mut stream = stream.into_std()?;
    stream.write_all(TOO_MANY)?;
    stream.shutdown(Shutdown::Write)
}

/// Accepts connections until told to stop, then lets those that are there end.
pub(crate) async fn accept(door: Door, stop: watch::Receiver<bool>, answer: impl Answer) {
    let mut stopping = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = door.listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            // Out of descriptors, most likely: some connection will end.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        match door.room.clone().try_acquire_owned() {
            Ok(place) => {
                let (stop, answer) = (stop.clone(), answer.clone());
                let way = Way { tls: door.tls.clone(), http2: door.http2 };
                tokio::spawn(async move {
                    protocol::connection(stream, remote, way, stop, answer).await;
                    drop(place);
                });
            }
            // Whoever does not hear it is refused all the same.
            Err(_) => {
                answer.refuse(Flaw::TooMany);
                if door.tls.is_none() {
                    let _ = turn_away(stream);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[derive(Clone)]
    struct Nobody;

    impl Answer for Nobody {
        type Body = String;

        async fn answer(self, _: Arc<Peer>, _: Request<Incoming>) -> Result<Response<String>, Infallible> {
            Ok(Response::new("there was a place".into()))
        }
    }

    /// Most saw only that their connection was closed.
    #[tokio::test]
    async fn one_connection_too_many_is_told_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door { listener, tls: None, http2: true, room: Arc::new(Semaphore::new(0)) };
        let (_go_on, stop) = watch::channel(false);
        tokio::spawn(accept(door, stop, Nobody));
        for _ in 0..20 {
            let mut said = String::new();
            TcpStream::connect(address).await.unwrap().read_to_string(&mut said).await.unwrap();
            assert_eq!(said.as_bytes(), TOO_MANY);
            assert!(said.contains("\r\nretry-after: 1\r\n"));
        }
    }
}
