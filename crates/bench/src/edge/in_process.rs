//! A request without sockets and without other threads: what the server itself costs, beside hyper alone.
//!
//! A connection in memory asks again as soon as it was answered. What is left out is the same for every server: the
//! kernel's work, and waking up.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use anyhow::{Result, ensure};
use hyper_util::rt::TokioIo;
use selvedge_edge::client::Payload;
use selvedge_edge::{CompileCommand, Config};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use super::load::request;
use super::serve;
use super::{Bed, Edge, deploy_to, files, read};
use crate::measure::{Sampler, interleaved, thread_cpu};
use crate::report::{Figure, Report};

/// Sites: of the program that the other figures are of, of one that does as little as can be, and of a file.
const HOSTS: [&str; 3] = ["loop", "least", "file"];
const PATH: &str = "/some/page.txt";

pub(super) fn measure(report: &mut Report, options: &Edge, bed: &Bed) -> Result<()> {
    let (runs, requests) = options.pick((11, 200_000), (3, 50_000));
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let config = bed.config("loop", "")?;
    let compiler = CompileCommand::new(std::env::current_exe()?, ["edge-compile"]);
    let server = runtime.block_on(selvedge_edge::start(Config::read(&config)?, Arc::new(compiler)))?;
    let file = files(&[(PATH, "hello from a file\n")])?;
    let payloads: [Payload; 3] = [read(&bed.hello)?.into(), read(&bed.least)?.into(), file];
    for (host, payload) in HOSTS.into_iter().zip(payloads) {
        deploy_to(server.admin(), None, host, payload)?;
    }
    let ours = |host| per_request_us(&runtime, (host, requests), |stream| server.serve_stream(stream, peer()));
    let ours = &ours;
    let native = |stream| serve::native_connection(TokioIo::new(stream));
    let native = || per_request_us(&runtime, (HOSTS[0], requests), native);
    let ours = HOSTS.map(|host| Box::new(move || ours(host)) as Sampler<'_>);
    let mut samplers: Vec<Sampler<'_>> = ours.into_iter().chain([Box::new(native) as Sampler<'_>]).collect();
    let medians = interleaved(&mut samplers, runs)?;
    for (name, ours) in ["cpu", "cpu_of_least", "cpu_of_file"].into_iter().zip(&medians) {
        let figure = Figure::new(format!("edge/in_process/{name}"), Some(*ours), None, "us", runs);
        report.add(figure.with_native(medians[HOSTS.len()]));
    }
    Ok(())
}

fn peer() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 40_000).into()
}

/// CPU time of this thread for each request, in microseconds.
fn per_request_us<F: Future>(
    runtime: &Runtime,
    (host, requests): (&str, u64),
    serve: impl Fn(Again) -> F,
) -> Result<f64> {
    let answered = Answered::default();
    let stream = Again { request: request(host, PATH), left: requests, asked: false, answered: answered.clone() };
    let (took, ()) = thread_cpu(|| {
        runtime.block_on(turning(serve(stream)));
        Ok(())
    })?;
    let (fine, pieces) = answered.counts();
    // A program that was stopped between head and body has its answer in pieces.
    let odd = answered.odd();
    ensure!(fine == requests, "of {requests} requests {fine} were answered well, in {pieces} pieces; another: {odd:?}");
    Ok(took.as_nanos() as f64 / 1e3 / requests as f64)
}

/// Polls again whatever is pending: nothing here waits for anything.
async fn turning<F: Future>(future: F) {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        context.waker().wake_by_ref();
        polled.map(drop)
    })
    .await;
}

/// What was answered.
#[derive(Clone, Default)]
struct Answered(Arc<Counts>);

#[derive(Default)]
struct Counts {
    fine: AtomicU64,
    pieces: AtomicU64,
    /// The first answer that was not.
    odd: OnceLock<String>,
}

impl Answered {
    fn add(&self, piece: &[u8]) {
        if piece.starts_with(b"HTTP/1.1 200 ") {
            self.0.fine.fetch_add(1, Ordering::Relaxed);
        } else if piece.starts_with(b"HTTP/") {
            self.0.odd.get_or_init(|| String::from_utf8_lossy(piece).into_owned());
        }
        self.0.pieces.fetch_add(1, Ordering::Relaxed);
    }

    /// How many answers were fine, and in how many pieces all came.
    fn counts(&self) -> (u64, u64) {
        (self.0.fine.load(Ordering::Relaxed), self.0.pieces.load(Ordering::Relaxed))
    }

    fn odd(&self) -> Option<&str> {
        self.0.odd.get().map(String::as_str)
    }
}

/// A client that asks the same again and again, and then closes.
struct Again {
    request: Vec<u8>,
    left: u64,
    asked: bool,
    answered: Answered,
}

impl AsyncRead for Again {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.asked {
            return Poll::Pending;
        }
        if this.left > 0 {
            this.left -= 1;
            this.asked = true;
            buffer.put_slice(&this.request);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Again {
    /// Answers are small and come in one piece.
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.asked = false;
        this.answered.add(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.asked = false;
        this.answered.add(parts.first().map_or(&[], |first| first));
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
