//! Connections: accepted up to a number, served until they end, cut off when they stall.
//!
//! Slow clients are bounded here: hyper gives a request's head its time, [`Stalling`] gives each write its own, and
//! `upload` the pauses of a body.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Sleep;

use crate::limits::{HEAD_BYTES_MAX, HEAD_TIMEOUT, WRITE_STALL_MAX};

/// What is known of a connection.
pub(crate) struct Peer {
    pub(crate) remote: SocketAddr,
    pub(crate) local_port: u16,
    /// When the time of the request that is answered now is over.
    overdue: Mutex<Option<Instant>>,
}

impl Peer {
    /// Ends the connection at this time, if its client then takes nothing of what a guest has for it: the guest, which
    /// waits, would never be asked again. Until what is returned is dropped.
    pub(crate) fn cut_off_at(self: &Arc<Peer>, at: Instant) -> CutOff {
        self.set(Some(at));
        CutOff(self.clone())
    }

    fn set(&self, overdue: Option<Instant>) {
        *self.overdue.lock().unwrap_or_else(PoisonError::into_inner) = overdue;
    }

    fn is_overdue(&self) -> bool {
        let overdue = *self.overdue.lock().unwrap_or_else(PoisonError::into_inner);
        overdue.is_some_and(|at| at <= Instant::now())
    }
}

/// A guest that a connection waits for.
pub(crate) struct CutOff(Arc<Peer>);

impl Drop for CutOff {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Answers requests of many connections.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    fn answer(
        &self,
        peer: Arc<Peer>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Self::Body>, std::convert::Infallible>> + Send;
}

/// Said to one connection too many.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nx-selvedge-error: connections_limit\r\n\
    connection: close\r\ncontent-length: 0\r\n\r\n";

/// Accepts connections until told to stop, then lets those that are there end.
pub(crate) async fn accept(
    listener: TcpListener,
    connections_max: usize,
    stop: watch::Receiver<bool>,
    answer: impl Answer,
) {
    let room = Arc::new(Semaphore::new(connections_max));
    let mut stopping = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
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
        match room.clone().try_acquire_owned() {
            Ok(place) => {
                let (stop, answer) = (stop.clone(), answer.clone());
                tokio::spawn(async move {
                    connection(stream, remote, stop, answer).await;
                    drop(place);
                });
            }
            Err(_) => {
                // Whoever does not hear it is refused all the same.
                let _ = stream.try_write(TOO_MANY);
            }
        }
    }
}

/// One connection, to its end. How it ends is the client's affair; requests have accounts of their own.
async fn connection(stream: TcpStream, remote: SocketAddr, mut stop: watch::Receiver<bool>, answer: impl Answer) {
    let local_port = stream.local_addr().map_or(0, |local| local.port());
    // Without it small responses may wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let peer = Arc::new(Peer { remote, local_port, overdue: Mutex::new(None) });
    let stream = Stalling { stream: TokioIo::new(stream), stalled: None, peer: peer.clone() };
    let service = service_fn(move |request| {
        let (answer, peer) = (answer.clone(), peer.clone());
        async move { answer.answer(peer, request).await }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// A stream on which a write that does not get on is an error after a while.
struct Stalling {
    stream: TokioIo<TcpStream>,
    stalled: Option<Pin<Box<Sleep>>>,
    peer: Arc<Peer>,
}

impl Stalling {
    fn after<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_STALL_MAX)));
        if stalled.as_mut().poll(context).is_ready() || self.peer.is_overdue() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl Read for Stalling {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl Write for Stalling {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.after(context, poll)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_flush(context);
        this.after(context, poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.after(context, poll)
    }
}
