//! From a running guest to a response, and the accounts that each request leaves, exactly once.
//!
//! A guest has no task of its own: it runs when the connection asks for its response, first for the head, then for
//! the body. So a client that takes nothing lets its guest stand, and one that goes away takes its guest with it.
//! A response that is complete before anything was sent is sent in one piece; an error can still replace it then.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Response};
use selvedge_runtime::CallError;

use crate::admission::Admission;
use crate::connection::CutOff;
use crate::exchange::{Exchange, Fault, Head, Standing};
use crate::guest::{Ending, Used};
use crate::limits::{RETRY_AFTER_SECONDS, SiteLimits};
use crate::logs::{self, Event};
use crate::metrics::Outcome;
use crate::refusal::Refusal;
use crate::site::{Deployment, Site};
use crate::turns::Fair;

/// What clients and logs know a request by.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The name of a refusal.
const ERROR: HeaderName = HeaderName::from_static("x-selvedge-error");

/// A guest that answers, and what it holds. It is dropped in this order: the instance first, its admission last.
pub(crate) struct Running {
    guest: Fair,
    exchange: Exchange,
    limits: SiteLimits,
    used: Used,
    _cut_off: Option<CutOff>,
    _admission: Admission,
}

/// How far a guest is.
pub(crate) enum Progress {
    /// It has ended, and nothing was sent yet.
    Ended(Result<(), Refusal>),
    /// Its head is complete; it goes on.
    Answering,
}

impl Running {
    pub(crate) fn new(
        guest: Fair,
        exchange: Exchange,
        limits: SiteLimits,
        cut_off: Option<CutOff>,
        admission: Admission,
    ) -> Running {
        Running { guest, exchange, limits, used: Used::default(), _cut_off: cut_off, _admission: admission }
    }

    /// What it has used, once it has ended.
    pub(crate) fn used(&self) -> Used {
        self.used
    }

    /// Lets the guest run until it has ended, or waits with a complete head.
    pub(crate) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        match self.poll_end(context) {
            Poll::Ready(end) => Poll::Ready(Progress::Ended(end)),
            Poll::Pending if self.exchange.has_head() => {
                self.guest.step_aside();
                Poll::Ready(Progress::Answering)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Lets the guest run until it has ended or waits.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        match Pin::new(&mut self.guest).poll(context) {
            Poll::Ready(ending) => {
                self.used = ending.used;
                Poll::Ready(self.judge(ending))
            }
            Poll::Pending => match self.exchange.fault() {
                Some(fault) => Poll::Ready(Err(self.refusal(fault))),
                None => Poll::Pending,
            },
        }
    }

    /// What an ending means: a fault of the exchange explains what came of it.
    fn judge(&self, ending: Ending) -> Result<(), Refusal> {
        let answered = match self.exchange.standing() {
            Standing::Faulty(fault) => return Err(self.refusal(fault)),
            Standing::Unfinished(why) => Err(Refusal::BadHead(why)),
            Standing::Silent => Err(Refusal::NoResponse),
            Standing::Answered => Ok(()),
        };
        match ending.result {
            Ok(()) | Err(CallError::Exit(0)) => answered,
            Err(CallError::WallTimeExceeded(_)) => Err(Refusal::WallTime(self.limits.wall)),
            Err(CallError::CpuTimeExceeded(_)) => Err(Refusal::CpuTime(self.limits.cpu)),
            Err(_) if ending.memory_refused => Err(Refusal::Memory(self.limits.memory)),
            Err(CallError::Exit(code)) => Err(Refusal::Exit(code)),
            Err(CallError::Trap(trap)) => {
                let backtrace = logs::message(&trap.backtrace.to_string());
                Err(Refusal::Trap { reason: trap.code.to_string(), backtrace })
            }
            Err(other) => Err(Refusal::Internal(logs::message(&other.to_string()))),
        }
    }

    fn refusal(&self, fault: Fault) -> Refusal {
        match fault {
            Fault::RequestBodyLimit => Refusal::RequestBodyLimit(self.limits.request_body),
            Fault::RequestBodyStalled => Refusal::RequestBodyStalled,
            Fault::RequestBodyBroken => Refusal::RequestBodyBroken,
            Fault::BadHead(why) => Refusal::BadHead(why),
            Fault::ResponseBodyLimit => Refusal::ResponseBodyLimit(self.limits.response_body),
        }
    }
}

/// The accounts of one request: a line in the log and in the metrics, when it is closed or dropped.
pub(crate) struct Ticket {
    pub(crate) id: Arc<str>,
    line: String,
    method: Method,
    began: Instant,
    site: Option<Arc<Site>>,
    deployment: Option<Arc<Deployment>>,
    status: u16,
    bytes: u64,
    used: Used,
    /// What of the body is sent at once.
    piece_bytes_max: usize,
    closed: bool,
}

impl Ticket {
    pub(crate) fn open(id: Arc<str>, method: &Method, path: &str, piece_bytes_max: usize) -> Ticket {
        let path = &path[..path.floor_char_boundary(256)];
        let line = [method.as_str(), " ", path].concat();
        let (method, began) = (method.clone(), Instant::now());
        let used = Used::default();
        Ticket {
            id,
            line,
            method,
            began,
            site: None,
            deployment: None,
            status: 0,
            bytes: 0,
            used,
            piece_bytes_max,
            closed: false,
        }
    }

    /// Names the site whose accounts it goes to.
    pub(crate) fn belongs_to(&mut self, site: &Arc<Site>) {
        self.site = Some(site.clone());
    }

    /// Names the version that answers.
    pub(crate) fn answered_by(&mut self, deployment: &Arc<Deployment>) {
        self.deployment = Some(deployment.clone());
    }

    /// What its instance has used.
    pub(crate) fn add_used(&mut self, used: Used) {
        self.used = used;
    }

    /// A body that is complete.
    fn whole_body(&self, bytes: Bytes) -> ResponseBody {
        ResponseBody { rest: bytes, piece_bytes_max: self.piece_bytes_max, streaming: None }
    }

    /// Closes it.
    fn close(&mut self, refusal: Option<&Refusal>) {
        let Some(site) = self.site.as_ref().filter(|_| !self.closed) else { return };
        self.closed = true;
        let took = self.began.elapsed();
        let name = refusal.map(Refusal::name);
        let outcome = Outcome { status: self.status, took, bytes: self.bytes, used: self.used, error: name };
        site.counters.add(&outcome, self.deployment.as_ref().map(|deployment| &deployment.counters));
        if let Some(refusal) = refusal {
            let backtrace = refusal.detail().map(|detail| format!("\n{detail}")).unwrap_or_default();
            let message = format!("{refusal}{backtrace}");
            site.log.add(&self.id, Event::Failure { name: refusal.name().to_string(), message });
        }
        let (line, status, micros) = (std::mem::take(&mut self.line), self.status, took.as_micros() as u64);
        site.log.add(&self.id, Event::Request { line, status, micros, error: name.map(str::to_string) });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.close(Some(&Refusal::ClientGone));
    }
}

/// The body of a response: what is there, then what the guest still writes.
pub(crate) struct ResponseBody {
    rest: Bytes,
    piece_bytes_max: usize,
    streaming: Option<Box<Streaming>>,
}

struct Streaming {
    /// None once it has ended.
    running: Option<Running>,
    exchange: Exchange,
    ticket: Ticket,
}

/// The whole response of a guest that has ended.
pub(crate) fn whole(ticket: Ticket, running: Running) -> Response<ResponseBody> {
    let Some((head, body)) = running.exchange.take_whole() else { return refused(ticket, &Refusal::NoResponse) };
    ended(ticket, running, head, body)
}

/// A response whose guest is not needed any more.
fn ended(mut ticket: Ticket, running: Running, head: Head, body: Bytes) -> Response<ResponseBody> {
    ticket.used = running.used();
    // The instance is recycled before anything is sent.
    drop(running);
    (ticket.status, ticket.bytes) = (head.status.as_u16(), body.len() as u64);
    let mut response = Response::new(ticket.whole_body(body));
    (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
    // What the program counted may be wrong, and only for a HEAD request can it know better.
    if ticket.method != Method::HEAD {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    finish(response, ticket, None)
}

/// The beginning of a response whose guest goes on.
pub(crate) fn streaming(mut ticket: Ticket, running: Running) -> Response<ResponseBody> {
    let Some(head) = running.exchange.take_head() else { return refused(ticket, &Refusal::NoResponse) };
    if ticket.method == Method::HEAD {
        return ended(ticket, running, head, Bytes::new());
    }
    ticket.status = head.status.as_u16();
    let (id, piece_bytes_max) = (id_value(&ticket.id), ticket.piece_bytes_max);
    let exchange = running.exchange.clone();
    let streaming = Some(Box::new(Streaming { running: Some(running), exchange, ticket }));
    let mut response = Response::new(ResponseBody { rest: Bytes::new(), piece_bytes_max, streaming });
    (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The server's own answer.
pub(crate) fn refused(mut ticket: Ticket, refusal: &Refusal) -> Response<ResponseBody> {
    let text = format!("{}: {refusal}\nrequest id: {}\n", refusal.name(), ticket.id);
    ticket.status = refusal.status().as_u16();
    let mut response = Response::new(ticket.whole_body(text.into()));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(ERROR, HeaderValue::from_static(refusal.name()));
    if refusal.is_passing() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    finish(response, ticket, Some(refusal))
}

fn finish(
    mut response: Response<ResponseBody>,
    mut ticket: Ticket,
    refusal: Option<&Refusal>,
) -> Response<ResponseBody> {
    response.headers_mut().insert(REQUEST_ID, id_value(&ticket.id));
    if ticket.method == Method::HEAD {
        leave_out_body(&mut response);
    }
    ticket.close(refusal);
    response
}

/// Says how long the body is, and sends none.
fn leave_out_body(response: &mut Response<ResponseBody>) {
    let body = std::mem::take(&mut response.body_mut().rest);
    if !body.is_empty() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(body.len()));
    }
}

fn id_value(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static(""))
}

impl Streaming {
    /// The instance is recycled, the accounts are closed.
    fn end(&mut self, refusal: Option<&Refusal>) {
        self.ticket.used = self.running.take().map(|running| running.used()).unwrap_or_default();
        self.ticket.bytes = self.exchange.body_bytes();
        self.ticket.close(refusal);
    }

    /// The next piece.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let piece = self.exchange.take_body();
            if !piece.is_empty() {
                // Nobody asks for more until this is taken.
                self.running.iter_mut().for_each(|running| running.guest.step_aside());
                return Poll::Ready(Some(Ok(piece)));
            }
            let Some(running) = &mut self.running else { return Poll::Ready(None) };
            match running.poll_end(context) {
                // It may have written before it began to wait.
                Poll::Pending if self.exchange.is_empty() => return Poll::Pending,
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.end(None),
                Poll::Ready(Err(refusal)) => {
                    self.end(Some(&refusal));
                    // Too late for another status: the client sees that the response breaks off.
                    return Poll::Ready(Some(Err(io::Error::other(refusal.name()))));
                }
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let Some(streaming) = &mut this.streaming else { return Poll::Ready(None) };
            match ready!(streaming.poll_piece(context)) {
                Some(Ok(piece)) => this.rest = piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(this.piece_bytes_max));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.streaming.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.streaming {
            None => SizeHint::with_exact(self.rest.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}
