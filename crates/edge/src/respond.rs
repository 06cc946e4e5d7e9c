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
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use selvedge_runtime::CallError;

use crate::bundle::{Given, Sending};
use crate::connection::{CutOff, Unsent};
use crate::exchange::{Exchange, Fault, Head, LIMIT, Standing};
use crate::guest::{Ending, Used};
use crate::limits::{METHOD_BYTES_MAX, RETRY_AFTER_SECONDS, STREAM_PIECE_BYTES, SiteLimits};
use crate::logs::{self, Entry, Event};
use crate::metrics::Outcome;
use crate::name::Host;
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::site::{Deployment, Parked, Site};
use crate::traces::{Ended, Span, Traces};
use crate::turns::Fair;

/// What clients and logs know a request by.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The name of a refusal.
const ERROR: HeaderName = HeaderName::from_static("x-selvedge-error");

/// A guest that answers.
pub(crate) struct Running {
    guest: Fair,
    exchange: Exchange,
    limits: SiteLimits,
    used: Used,
    has_ended: bool,
    _cut_off: Option<CutOff>,
    parked: Option<Parked>,
}

/// How far a guest is.
pub(crate) enum Progress {
    /// It has ended, and nothing was sent yet.
    Ended(Result<(), Refusal>),
    /// Its head is complete; it goes on.
    Answering,
}

impl Running {
    pub(crate) fn new(guest: Fair, exchange: Exchange, limits: SiteLimits, cut_off: Option<CutOff>) -> Running {
        let used = Used::default();
        Running { guest, exchange, limits, used, has_ended: false, _cut_off: cut_off, parked: None }
    }

    /// It was stopped before its end, and goes on later.
    pub(crate) fn park(&mut self, site: &Arc<Site>) {
        self.parked.get_or_insert_with(|| Parked::new(site));
    }

    /// Ends it if it has not ended, and recycles its instance: what it has used. Of one that is ended here it is not known
    /// how much memory it had.
    fn end(&mut self) -> Used {
        let cpu = self.guest.give_up();
        if self.has_ended { self.used } else { Used { cpu, memory_bytes: 0 } }
    }

    /// Lets the guest run until it has ended, or waits with a complete head.
    pub(crate) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        match self.poll_end(context) {
            Poll::Ready(end) => Poll::Ready(Progress::Ended(end)),
            // What is complete when its first turn is over is sent in one piece.
            Poll::Pending if !self.guest.may_be_short() && self.exchange.has_beginning() => {
                Poll::Ready(Progress::Answering)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Lets the guest run until it has ended or waits.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        match Pin::new(&mut self.guest).poll(context) {
            Poll::Ready(ending) => {
                (self.used, self.has_ended) = (ending.used, true);
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
        let explanation = ending.explanation.unwrap_or_default();
        match ending.result {
            Ok(()) | Err(CallError::Exit(0)) => answered,
            Err(CallError::WallTimeExceeded(_)) => Err(Refusal::WallTime(self.limits.wall)),
            Err(CallError::CpuTimeExceeded(_)) => Err(Refusal::CpuTime(self.limits.cpu)),
            Err(_) if ending.memory_refused => Err(Refusal::Memory(self.limits.memory)),
            Err(CallError::Exit(code)) => Err(Refusal::Exit(code)),
            Err(CallError::Trap(trap)) => Err(Refusal::Trap { code: trap.code, backtrace: explanation }),
            Err(_) => Err(Refusal::Internal(explanation)),
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
    pub(crate) id: RequestId,
    line: String,
    method: Method,
    /// When its head was there.
    pub(crate) began: Instant,
    /// The site whose accounts it goes to.
    pub(crate) site: Option<Arc<Site>>,
    /// The version that answers.
    pub(crate) deployment: Option<Arc<Deployment>>,
    status: u16,
    bytes: u64,
    used: Used,
    /// None if no span of it is wanted.
    pub(crate) traced: Option<Traced>,
    /// Where what waits to be sent is counted, if it is given to HTTP/2 in pieces.
    unsent: Option<Arc<Unsent>>,
    closed: bool,
}

impl Ticket {
    pub(crate) fn open(id: RequestId, method: &Method, path: &str, unsent: Option<Arc<Unsent>>) -> Ticket {
        let path = &path[..path.floor_char_boundary(256)];
        let name = method.as_str();
        let line = [&name[..name.floor_char_boundary(METHOD_BYTES_MAX)], " ", path].concat();
        // Terminals obey control characters beyond ASCII, too, and a path may have these.
        let line = if line.is_ascii() { line } else { logs::text(line.as_bytes()) };
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
            traced: None,
            unsent,
            closed: false,
        }
    }

    /// The line of a request that belongs to no site; none if it does.
    pub(crate) fn without_site(&self, refusal: &Refusal) -> Option<Entry> {
        if self.site.is_some() {
            return None;
        }
        let (line, micros) = (self.line.clone(), self.began.elapsed().as_micros() as u64);
        let (status, error) = (refusal.status().as_u16(), Some(refusal.name().to_string()));
        let event = Event::Request { line, status, micros, cpu_micros: 0, bytes: 0, version: None, error };
        Some(Entry { time_ms: logs::now_ms(), request: self.id, event })
    }

    /// Begins a span for it, if one is wanted; the program is told.
    pub(crate) fn trace(&mut self, traces: &Arc<Traces>, parts: &mut Parts, host: &Host) {
        let span = traces.begin(parts, host.as_str());
        self.traced = span.map(|span| Traced { traces: traces.clone(), span, waited: Duration::ZERO });
    }

    /// A body that is complete.
    fn whole_body(&self, bytes: Bytes) -> ResponseBody {
        ResponseBody { rest: bytes, unsent: self.unsent.clone(), later: Later::Nothing }
    }

    /// Closes it.
    fn close(&mut self, refusal: Option<&Refusal>) {
        let Some(site) = self.site.as_ref().filter(|_| !self.closed) else { return };
        self.closed = true;
        let took = self.began.elapsed();
        let name = refusal.map(Refusal::name);
        let (status, bytes, used, trap) = (self.status, self.bytes, self.used, refusal.and_then(Refusal::trap));
        let outcome = Outcome { status, took, bytes, used, error: name, trap };
        site.counters.add(&outcome, self.deployment.as_ref().map(|deployment| &deployment.counters));
        if let Some(traced) = self.traced.take() {
            traced.end(self.id, site, self.deployment.as_deref(), &outcome);
        }
        if let Some(refusal) = refusal.filter(|refusal| !refusal.is_usual()) {
            let backtrace = refusal.detail().map(|detail| format!("\n{detail}")).unwrap_or_default();
            let message = format!("{refusal}{backtrace}");
            site.log.add(self.id, Event::Failure { name: refusal.name().to_string(), message });
        }
        let (line, error) = (std::mem::take(&mut self.line), name.map(str::to_string));
        let (micros, cpu_micros) = (took.as_micros() as u64, used.cpu.as_micros() as u64);
        let version = self.deployment.as_ref().map(|deployment| deployment.version);
        site.log.add(self.id, Event::Request { line, status, micros, cpu_micros, bytes, version, error });
    }
}

/// A request whose span is sent when it is over.
pub(crate) struct Traced {
    traces: Arc<Traces>,
    span: Box<Span>,
    waited: Duration,
}

impl Traced {
    /// It has an instance, and asked for it then.
    pub(crate) fn waited(&mut self, since: Instant) {
        self.waited = since.elapsed();
    }

    fn end(self, id: RequestId, site: &Site, deployment: Option<&Deployment>, outcome: &Outcome) {
        let Traced { traces, span, waited } = self;
        let version = deployment.map(|deployment| deployment.version);
        traces.end(*span, &Ended { request_id: id.as_str(), site: &site.key, version, waited, outcome });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.close(Some(&Refusal::ClientGone));
    }
}

/// The body of a response: what is there, then what is still to come.
pub(crate) struct ResponseBody {
    rest: Bytes,
    unsent: Option<Arc<Unsent>>,
    later: Later,
}

/// What is given to HTTP at once.
fn piece_bytes_max(unsent: &Option<Arc<Unsent>>) -> usize {
    if unsent.is_some() { STREAM_PIECE_BYTES } else { usize::MAX }
}

enum Later {
    Nothing,
    /// From a guest that goes on.
    Guest(Box<Streaming>),
    File(Box<FileBody>),
}

struct FileBody {
    sending: Sending,
    ticket: Ticket,
    _under_way: Arc<()>,
}

struct Streaming {
    /// None once it has ended.
    running: Option<Running>,
    exchange: Exchange,
    /// How long the body is to be, if the guest has said so.
    announced: Option<u64>,
    ticket: Ticket,
    _under_way: Arc<()>,
}

/// The whole response of a guest that has ended.
pub(crate) fn whole(ticket: &mut Ticket, running: &mut Running) -> Response<ResponseBody> {
    let Some((head, body)) = running.exchange.take_whole() else { return refused(ticket, &Refusal::NoResponse) };
    ended(ticket, running, head, body)
}

/// A response whose guest is not needed any more.
fn ended(ticket: &mut Ticket, running: &mut Running, head: Head, body: Bytes) -> Response<ResponseBody> {
    // The instance is recycled before anything is sent.
    ticket.used = running.end();
    let is_sent = ticket.method != Method::HEAD;
    (ticket.status, ticket.bytes) = (head.status.as_u16(), if is_sent { body.len() as u64 } else { 0 });
    let mut response = Response::new(ticket.whole_body(body));
    (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
    // What the program counted may be wrong, and only for a HEAD request can it know better.
    if ticket.method != Method::HEAD {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    finish(response, ticket, None)
}

/// The beginning of a response whose guest goes on.
/// Whoever stops the server waits until `under_way` is dropped.
pub(crate) fn streaming(mut ticket: Ticket, mut running: Running, under_way: Arc<()>) -> Response<ResponseBody> {
    let Some(head) = running.exchange.take_head() else { return refused(&mut ticket, &Refusal::NoResponse) };
    if ticket.method == Method::HEAD {
        return ended(&mut ticket, &mut running, head, Bytes::new());
    }
    ticket.status = head.status.as_u16();
    ticket.site.iter().for_each(|site| running.park(site));
    let (id, unsent) = (id_value(ticket.id), ticket.unsent.clone());
    let (exchange, announced) = (running.exchange.clone(), head.content_length());
    let running = Some(running);
    let later = Later::Guest(Box::new(Streaming { running, exchange, announced, ticket, _under_way: under_way }));
    let mut response = Response::new(ResponseBody { rest: Bytes::new(), unsent, later });
    (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A file, or word of it. Whoever stops the server waits until `under_way` is dropped.
pub(crate) fn file(mut ticket: Ticket, given: Given, under_way: Arc<()>) -> Response<ResponseBody> {
    let Given { status, mut headers, body } = given;
    ticket.status = status.as_u16();
    headers.insert(REQUEST_ID, id_value(ticket.id));
    if let (Some(body), &Method::HEAD) = (&body, &ticket.method) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.bytes()));
    }
    let mut response = match body.filter(|body| body.bytes() > 0 && ticket.method != Method::HEAD) {
        Some(body) => {
            let unsent = ticket.unsent.clone();
            let sending = Sending::new(body, piece_bytes_max(&unsent));
            let later = Later::File(Box::new(FileBody { sending, ticket, _under_way: under_way }));
            Response::new(ResponseBody { rest: Bytes::new(), unsent, later })
        }
        None => {
            ticket.close(None);
            Response::new(ticket.whole_body(Bytes::new()))
        }
    };
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

/// The answer where a guest has failed.
pub(crate) fn failed(ticket: &mut Ticket, running: &mut Running, refusal: &Refusal) -> Response<ResponseBody> {
    let reached = running.exchange.reached();
    ticket.used = running.end();
    let mut response = refused(ticket, refusal);
    if let Some(names) = reached.header() {
        response.headers_mut().insert(LIMIT, names);
    }
    response
}

/// The server's own answer.
pub(crate) fn refused(ticket: &mut Ticket, refusal: &Refusal) -> Response<ResponseBody> {
    let text = format!("{}: {refusal}\nrequest id: {}\n", refusal.name(), ticket.id);
    ticket.status = refusal.status().as_u16();
    let mut response = Response::new(ticket.whole_body(text.into()));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(ERROR, HeaderValue::from_static(refusal.name()));
    if *refusal == Refusal::FileMethod {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if refusal.is_passing() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    finish(response, ticket, Some(refusal))
}

fn finish(
    mut response: Response<ResponseBody>,
    ticket: &mut Ticket,
    refusal: Option<&Refusal>,
) -> Response<ResponseBody> {
    response.headers_mut().insert(REQUEST_ID, id_value(ticket.id));
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

fn id_value(id: RequestId) -> HeaderValue {
    HeaderValue::from_bytes(id.as_bytes()).unwrap_or(HeaderValue::from_static(""))
}

impl Streaming {
    /// The instance is recycled, the accounts are closed.
    fn end(&mut self, refusal: Option<&Refusal>) {
        self.ticket.used = self.running.take().map(|mut running| running.end()).unwrap_or_default();
        self.ticket.bytes = self.exchange.body_bytes();
        self.ticket.close(refusal);
    }

    /// The next piece.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let piece = self.exchange.take_body();
            if !piece.is_empty() {
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

/// Nobody asks for more: the client has all that was announced, or is gone.
impl Drop for Streaming {
    fn drop(&mut self) {
        if self.running.is_some() {
            let has_all = self.announced.is_some_and(|announced| self.exchange.body_bytes() >= announced);
            self.end(if has_all { None } else { Some(&Refusal::ClientGone) });
        }
    }
}

impl FileBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let piece = ready!(self.sending.poll_piece(context));
        match &piece {
            Some(Ok(piece)) => self.ticket.bytes += piece.len() as u64,
            Some(Err(error)) => self.ticket.close(Some(&Refusal::Internal(format!("a file cannot be read: {error}")))),
            None => {}
        }
        // Nobody asks for what comes after the last piece.
        if self.sending.bytes_left() == 0 {
            self.ticket.close(None);
        }
        Poll::Ready(piece)
    }
}

impl Later {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        match self {
            Later::Nothing => Poll::Ready(None),
            Later::Guest(streaming) => streaming.poll_piece(context),
            Later::File(file) => file.poll_piece(context),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match ready!(this.later.poll_piece(context)) {
                Some(Ok(piece)) => this.rest = piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(piece_bytes_max(&this.unsent)));
        let kept = match &this.unsent {
            Some(unsent) => unsent.keep(piece).ok_or_else(|| io::Error::other("too much waits for its clients")),
            None => Ok(piece),
        };
        Poll::Ready(Some(kept.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let later = match &self.later {
            Later::Nothing => false,
            Later::Guest(_) => true,
            Later::File(file) => file.sending.bytes_left() > 0,
        };
        self.rest.is_empty() && !later
    }

    fn size_hint(&self) -> SizeHint {
        match &self.later {
            Later::Nothing => SizeHint::with_exact(self.rest.len() as u64),
            Later::Guest(_) => SizeHint::default(),
            Later::File(file) => SizeHint::with_exact(self.rest.len() as u64 + file.sending.bytes_left()),
        }
    }
}
