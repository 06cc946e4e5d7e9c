//! Traces, for whoever has a collector: a span for each request, sent by OTLP over HTTP, in JSON.
//!
//! ```text
//!   request ─► Span (context.rs: from `traceparent`, or new) ─► program, as HTTP_TRACEPARENT
//!                │ closed with the request's accounts
//!                └─► queue of bounded length ─► collector, in batches      export.rs
//! ```
//!
//! A request never waits for any of this: what the queue has no room for, and what the collector does not take, is
//! dropped and counted. Without a collector in the configuration there is no span.
//!
//! JSON and not protocol buffers: OTLP has both, and this needs one document of one shape; the usual libraries would
//! bring a second client for HTTP and a third of this server's dependencies again.

mod context;
mod export;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use selvedge_native::jail::Dialer;
use tokio::sync::mpsc;

use self::context::TraceContext;
use self::export::Exporter;
use crate::config::{Config, TracesConfig};
use crate::error::EdgeError;
use crate::limits::SPAN_QUEUE_MAX;
use crate::metrics::Outcome;
use crate::store::SiteKey;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where spans go.
pub(crate) struct Traces {
    queue: mpsc::Sender<Finished>,
    counts: Arc<Counts>,
    /// Of all requests that are in no trace yet, those that begin one: so much of 2^64.
    share: f64,
    ids: Ids,
}

/// What became of spans.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

/// A request's span, while it lasts.
pub(crate) struct Span {
    began: SystemTime,
    context: TraceContext,
    parent: Option<[u8; 8]>,
    method: String,
    path: String,
    host: String,
}

/// What is known of a request when it is over.
pub(crate) struct Ended<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) site: &'a SiteKey,
    pub(crate) version: Option<u32>,
    /// For its instance.
    pub(crate) waited: Duration,
    pub(crate) outcome: &'a Outcome,
}

/// A span that is over.
pub(crate) struct Finished {
    span: Span,
    request_id: String,
    site: SiteKey,
    version: Option<u32>,
    status: u16,
    took: Duration,
    waited: Duration,
    cpu: Duration,
    error: Option<&'static str>,
}

/// A collector that nothing is sent to yet; which certificates to trust is read already.
pub(crate) struct Collector {
    exporter: Exporter,
    share: f64,
}

impl Collector {
    /// That of a configuration.
    ///
    /// # Errors
    /// If its address is none, or there are no certificates to trust.
    pub(crate) fn new(config: &Config, traces: &TracesConfig) -> Result<Collector, EdgeError> {
        Ok(Collector { exporter: Exporter::new(config, traces)?, share: traces.share })
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> String {
        self.exporter.authority()
    }

    /// Lets another process connect.
    pub(crate) fn through(self, dialer: Arc<Dialer>) -> Collector {
        Collector { exporter: self.exporter.through(dialer), ..self }
    }
}

impl Traces {
    /// Starts what sends them.
    pub(crate) fn start(collector: Collector) -> Traces {
        let Collector { exporter, share } = collector;
        let (queue, finished) = mpsc::channel(SPAN_QUEUE_MAX);
        let counts = exporter.counts().clone();
        tokio::spawn(exporter.run(finished));
        Traces { queue, counts, share, ids: Ids::new() }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A span for a request, if its trace is wanted; the program is called from it.
    pub(crate) fn begin(&self, parts: &mut Parts, host: &str) -> Option<Box<Span>> {
        let named = parts.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let parent = named.and_then(TraceContext::parse);
        let sampled = parent.map_or_else(|| self.ids.next_share() < self.share, |parent| parent.sampled);
        if !sampled {
            return None;
        }
        let trace = parent.map_or_else(|| self.ids.next_bytes(), |parent| parent.trace);
        let context = TraceContext { trace, span: self.ids.next_bytes(), sampled };
        let value = HeaderValue::try_from(context.to_string()).ok()?;
        parts.headers.insert(TRACEPARENT, value);
        let path = parts.uri.path();
        Some(Box::new(Span {
            began: SystemTime::now(),
            context,
            parent: parent.map(|parent| parent.span),
            method: parts.method.to_string(),
            path: path[..path.floor_char_boundary(256)].to_string(),
            host: host.to_string(),
        }))
    }

    /// A span is over. It is sent, or dropped and counted.
    pub(crate) fn end(&self, span: Span, ended: &Ended<'_>) {
        let Outcome { status, took, used, error, .. } = *ended.outcome;
        let Ended { request_id, site, version, waited, .. } = *ended;
        let finished = Finished {
            span,
            request_id: request_id.to_string(),
            site: site.clone(),
            version,
            status,
            took,
            waited,
            cpu: used.cpu,
            error,
        };
        if self.queue.try_send(finished).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Numbers for traces and spans: no two alike, and none of them zero for all practical purposes.
struct Ids {
    secret: [u64; 2],
    next: AtomicU64,
}

impl Ids {
    fn new() -> Ids {
        let random = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Ids { secret: [random(), random()], next: AtomicU64::new(1) }
    }

    /// SplitMix64, begun anywhere.
    fn next(&self, secret: u64) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(secret);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)).max(1)
    }

    fn next_bytes<const N: usize>(&self) -> [u8; N] {
        let halves = [self.next(self.secret[0]).to_be_bytes(), self.next(self.secret[1]).to_be_bytes()];
        std::array::from_fn(|at| halves[at / 8][at % 8])
    }

    /// From 0 to less than 1.
    fn next_share(&self) -> f64 {
        (self.next(self.secret[1]) >> 11) as f64 / (1u64 << 53) as f64
    }
}
