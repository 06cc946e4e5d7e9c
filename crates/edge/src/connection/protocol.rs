//! One connection, from its first byte: TLS if the listener has it, then the version of HTTP, then requests.
//!
//! By TLS, ALPN names the version. In plain text whoever begins with HTTP/2's preface speaks it ("prior knowledge");
//! there is no upgrade from HTTP/1.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::heads::HeadTimer;
use super::stalling::Stalling;
use super::streams::{Activity, Streams};
use super::{Answer, Flaw, Overdue, Peer, Unsent, Way};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, FAREWELL_MAX, HEAD_BYTES_MAX, HEAD_TIMEOUT, STREAM_PIECE_BYTES, STREAM_WINDOW_BYTES,
    STREAMS_MAX, STREAMS_RESET_MAX,
};

/// What a client that speaks HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Read at once to tell the version.
const FIRST_BYTES: usize = 4 << 10;

/// Where a connection comes from, and to.
#[derive(Clone, Copy)]
struct Ends {
    remote: SocketAddr,
    local_port: u16,
    secure: bool,
}

impl Ends {
    fn peer(self, overdue: Arc<Overdue>) -> Peer {
        let Ends { remote, local_port, secure } = self;
        Peer::new(remote, local_port, secure, overdue)
    }
}

/// One connection, to its end. How it ends is the client's affair; requests have accounts of their own.
pub(super) async fn connection(
    stream: TcpStream,
    remote: SocketAddr,
    way: Way,
    mut stop: watch::Receiver<bool>,
    answer: impl Answer,
) {
    let ends =
        Ends { remote, local_port: stream.local_addr().map_or(0, |local| local.port()), secure: way.tls.is_some() };
    // Without it small responses may wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let Some(tls) = way.tls else {
        return if way.http2 {
            plain(stream, ends, stop, answer).await;
        } else {
            http1(Vec::new(), stream, ends, stop, answer).await;
        };
    };
    let begun = tokio::select! {
        biased;
        begun = timeout(HEAD_TIMEOUT, tls.acceptor(way.http2).accept(stream)) => begun,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let stream = match begun {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Flaw::of_tls(&error).into_iter().for_each(|flaw| answer.refuse(flaw)),
        Err(_) => return,
    };
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2(Vec::new(), stream, ends, stop, answer).await,
        _ => http1(Vec::new(), stream, ends, stop, answer).await,
    }
}

/// A connection in plain text that was not accepted here.
pub(crate) async fn serve_stream<S>(
    stream: S,
    remote: SocketAddr,
    local_port: u16,
    stop: watch::Receiver<bool>,
    answer: impl Answer,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    plain(stream, Ends { remote, local_port, secure: false }, stop, answer).await;
}

/// A connection in plain text.
async fn plain<S>(mut stream: S, ends: Ends, mut stop: watch::Receiver<bool>, answer: impl Answer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = tokio::select! {
        // What has come already is answered.
        biased;
        begun = timeout(HEAD_TIMEOUT, beginning(&mut stream)) => begun,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let Ok(Ok(first)) = begun else { return };
    match first.starts_with(PREFACE) {
        true => http2(first, stream, ends, stop, answer).await,
        false => http1(first, stream, ends, stop, answer).await,
    }
}

/// As much as is needed to tell the version.
async fn beginning(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(FIRST_BYTES);
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        if stream.read_buf(&mut first).await? == 0 {
            break;
        }
    }
    Ok(first)
}

async fn http1<S>(first: Vec<u8>, stream: S, ends: Ends, stop: watch::Receiver<bool>, answer: impl Answer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let overdue = Arc::<Overdue>::default();
    let (peer, counts) = (Arc::new(ends.peer(overdue.clone())), answer.clone());
    let service = service_fn(move |request| answer.clone().answer(peer.clone(), request));
    let mut builder = http1::Builder::new();
    builder.timer(HeadTimer::default()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(Stalling::new(first, stream, overdue), service));
    let ended = match until(connection.as_mut(), stop).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    let flaw = ended.err().as_ref().and_then(Flaw::of_http1);
    flaw.into_iter().for_each(|flaw| counts.refuse(flaw));
}

/// What a future comes to, or none if the server is told to stop before. That is looked at as seldom as can be: the
/// future is polled for each request.
async fn until<F: Future>(mut future: Pin<&mut F>, mut stop: watch::Receiver<bool>) -> Option<F::Output> {
    let seen = stop.clone();
    let mut stopped = pin!(stop.wait_for(|stop| *stop));
    let mut woken: Option<Waker> = None;
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        let is_woken = woken.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if is_woken && matches!(seen.has_changed(), Ok(false)) {
            return Poll::Pending;
        }
        woken = Some(context.waker().clone());
        stopped.as_mut().poll(context).map(|_| None)
    })
    .await
}

async fn http2<S>(first: Vec<u8>, stream: S, ends: Ends, mut stop: watch::Receiver<bool>, answer: impl Answer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new());
    let (seen, counts, refuses) = (activity.clone(), answer.clone(), answer.clone());
    let unsent = Arc::<Unsent>::default();
    let streams = Streams::new(activity.clone(), move || refuses.refuse(Flaw::TooManyStreams));
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, asked, unsent) = (answer.clone(), seen.asked(), Some(unsent.clone()));
        async move {
            let peer = Arc::new(Peer { unsent, ..ends.peer(Streams::overdue()) });
            let response = answer.answer(peer, request).await;
            asked.answered();
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let mut builder = http2::Builder::new(streams);
    builder.max_concurrent_streams(STREAMS_MAX).max_header_list_size(HEAD_BYTES_MAX as u32);
    builder.initial_stream_window_size(STREAM_WINDOW_BYTES).initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder.max_send_buf_size(STREAM_PIECE_BYTES);
    builder.max_pending_accept_reset_streams(STREAMS_RESET_MAX as usize);
    builder.max_local_error_reset_streams(STREAMS_RESET_MAX as usize);
    let stream = Stalling::new(first, stream, Arc::default());
    let mut connection = pin!(builder.serve_connection(stream, service));
    let stopped = tokio::select! {
        biased;
        ended = connection.as_mut() => {
            let flaw = ended.err().as_ref().and_then(Flaw::of_http2);
            return flaw.into_iter().for_each(|flaw| counts.refuse(flaw));
        }
        _ = stop.wait_for(|stop| *stop) => true,
        () = activity.over() => false,
    };
    connection.as_mut().graceful_shutdown();
    if stopped {
        let _ = connection.await;
    } else {
        let _ = timeout(FAREWELL_MAX, connection).await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;
    use std::time::Duration;

    use hyper::body::{Body, Bytes, Frame};
    use hyper::{Method, Response};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, Sleep, sleep_until};

    use super::*;
    use crate::connection::CutOff;
    use crate::limits::{CUT_OFF_GRACE, HTTP2_IDLE_MAX};

    /// Answers with a word, or to POST with a body that has no end, and a second to take it.
    #[derive(Clone)]
    struct Simple;

    struct Words(Option<(CutOff, Pin<Box<Sleep>>)>, bool);

    impl Body for Words {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let Words(endless, said) = self.get_mut();
            if let Some((_, end)) = endless {
                // As a guest's own clock does, it wakes whoever asks.
                let _ = end.as_mut().poll(context);
            } else if std::mem::replace(said, true) {
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 64 << 10])))))
        }
    }

    impl Answer for Simple {
        type Body = Words;

        async fn answer(self, peer: Arc<Peer>, request: Request<Incoming>) -> Result<Response<Words>, Infallible> {
            let at = Instant::now() + Duration::from_secs(1);
            let endless = (request.method() == Method::POST).then(|| (peer.cut_off_at(at), Box::pin(sleep_until(at))));
            Ok(Response::new(Words(endless, false)))
        }
    }

    /// A connection that begins with some bytes; the client's side and when it ends.
    fn begun(bytes: &'static [u8]) -> (DuplexStream, tokio::task::JoinHandle<Instant>) {
        let (mut client, server) = duplex(1 << 20);
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let ends = Ends { remote: address, local_port: 2, secure: false };
        let task = tokio::spawn(async move {
            let (_keep, stop) = watch::channel(false);
            plain(server, ends, stop, Simple).await;
            Instant::now()
        });
        let written = async move {
            client.write_all(bytes).await.unwrap();
            client
        };
        (now(written), task)
    }

    /// What is ready at once.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off_with_its_guests_time() {
        let began = Instant::now();
        let (_client, end) = begun(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(end.await.unwrap() - began, Duration::from_secs(1) + CUT_OFF_GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_say_nothing_or_never_all_end_in_time() {
        for (bytes, time) in [
            (&b""[..], HEAD_TIMEOUT),
            (b"PRI * HTT", HEAD_TIMEOUT),
            (b"GET / HTTP/1.1\r\nHost: a", HEAD_TIMEOUT),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HEAD_TIMEOUT),
            // Its settings never come; they come and nothing else; the head of a request never ends.
            (PREFACE, HTTP2_IDLE_MAX + FAREWELL_MAX),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", HTTP2_IDLE_MAX + FAREWELL_MAX),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x82",
                HTTP2_IDLE_MAX + FAREWELL_MAX,
            ),
        ] {
            let began = Instant::now();
            let (_client, end) = begun(bytes);
            let took = end.await.unwrap() - began;
            assert!(took <= time + HEAD_TIMEOUT, "{:?} after {bytes:?}", took);
        }
    }
}
