//! Spans on their way to the collector, in batches.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Uri, header};
use selvedge_native::jail::Dialer;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::context::Hex;
use super::{Counts, Finished};
use crate::config::{Config, TracesConfig};
use crate::dial::{Dial, DialError, Roots};
use crate::error::EdgeError;
use crate::limits::{SPAN_BATCH_MAX, SPAN_SEND_TIMEOUT, SPAN_WAIT_MAX};

/// What is read of a collector's answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Sends spans to one collector.
pub(super) struct Exporter {
    dial: Dial,
    path: String,
    service: String,
    counts: Arc<Counts>,
}

impl Exporter {
    pub(super) fn new(config: &Config, traces: &TracesConfig) -> Result<Exporter, EdgeError> {
        let endpoint = &traces.endpoint;
        let expected = "expected a URL like \"http://127.0.0.1:4318/v1/traces\"";
        let no_url = || config.wrong("traces.endpoint", endpoint, format!("found {endpoint:?}, {expected}"));
        let url: Uri = endpoint.parse().map_err(|_| no_url())?;
        let roots = traces.ca.clone().map_or(Roots::System, Roots::File);
        let ca = traces.ca.as_ref().map(|ca| ca.display().to_string()).unwrap_or_default();
        let dial = Dial::new(&url, &roots).map_err(|error| match error {
            DialError::Roots(why) => config.wrong("traces.ca", &ca, why),
            _ => no_url(),
        })?;
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_string();
        Ok(Exporter { dial, path, service: traces.service.clone(), counts: Arc::default() })
    }

    /// Host and port of the collector.
    pub(super) fn authority(&self) -> String {
        self.dial.authority()
    }

    /// Lets another process connect.
    pub(super) fn through(self, dialer: Arc<Dialer>) -> Exporter {
        Exporter { dial: self.dial.through(dialer), ..self }
    }

    pub(super) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Sends what comes, until nobody is left to end spans.
    pub(super) async fn run(self, mut finished: mpsc::Receiver<Finished>) {
        let mut batch = Vec::with_capacity(SPAN_BATCH_MAX);
        while let Some(first) = finished.recv().await {
            batch.push(first);
            self.fill(&mut batch, &mut finished).await;
            let sent = tokio::time::timeout(SPAN_SEND_TIMEOUT, self.send(&batch)).await;
            let count = match sent {
                Ok(Ok(())) => &self.counts.sent,
                // What comes meanwhile waits in the queue, and what that has no room for is dropped there.
                _ => &self.counts.dropped,
            };
            count.fetch_add(batch.len() as u64, Ordering::Relaxed);
            batch.clear();
        }
    }

    /// Waits a little for more: one request to the collector carries many.
    async fn fill(&self, batch: &mut Vec<Finished>, finished: &mut mpsc::Receiver<Finished>) {
        let until = tokio::time::Instant::now() + SPAN_WAIT_MAX;
        while batch.len() < SPAN_BATCH_MAX {
            match tokio::time::timeout_at(until, finished.recv()).await {
                Ok(Some(span)) => batch.push(span),
                _ => return,
            }
        }
    }

    async fn send(&self, batch: &[Finished]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut sender = self.dial.connect().await?;
        let request = Request::post(&self.path)
            .header(header::HOST, self.dial.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(&self.document(batch))?)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        // To its end, so that the collector is not cut off.
        Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?;
        if status.is_success() { Ok(()) } else { Err(format!("the collector answers {status}").into()) }
    }

    /// An `ExportTraceServiceRequest`.
    fn document(&self, batch: &[Finished]) -> Value {
        let spans: Vec<Value> = batch.iter().map(span).collect();
        let resource = [text("service.name", &self.service), text("service.version", env!("CARGO_PKG_VERSION"))];
        json!({
            "resourceSpans": [{
                "resource": { "attributes": resource },
                "scopeSpans": [{ "scope": { "name": "selvedge" }, "spans": spans }],
            }],
        })
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit numbers are texts in OTLP's JSON.
fn number(key: &str, value: u128) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// A span of a server: OpenTelemetry's names where it has some.
fn span(of: &Finished) -> Value {
    const SERVER: u32 = 2;
    const ERROR: u32 = 2;
    let began = of.span.began.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut attributes = vec![
        text("http.request.method", &of.span.method),
        text("url.path", &of.span.path),
        text("server.address", &of.span.host),
        number("http.response.status_code", of.status.into()),
        text("selvedge.request_id", &of.request_id),
        text("selvedge.tenant", of.site.tenant.as_str()),
        text("selvedge.site", of.site.site.as_str()),
        number("selvedge.cpu_us", of.cpu.as_micros()),
        number("selvedge.instance_wait_us", of.waited.as_micros()),
    ];
    attributes.extend(of.version.map(|version| number("selvedge.version", version.into())));
    attributes.extend(of.error.map(|name| text("error.type", name)));
    let mut span = json!({
        "traceId": Hex(&of.span.context.trace).to_string(),
        "spanId": Hex(&of.span.context.span).to_string(),
        "name": of.span.method,
        "kind": SERVER,
        "startTimeUnixNano": began.as_nanos().to_string(),
        "endTimeUnixNano": (began + of.took).as_nanos().to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = &of.span.parent {
        span["parentSpanId"] = Hex(parent).to_string().into();
    }
    if of.status >= 500 {
        span["status"] = json!({ "code": ERROR });
    }
    span
}
