//! Requests that programs make of other servers: the functions of `wasi_experimental_http` 0.10, which WAGI's hosts have,
//! and for which there are libraries (<https://github.com/deislabs/wasi-experimental-http>).
//!
//! A request is made and its answer's head waited for in one call, with the program suspended; the answer's body is read
//! piece by piece, and the other server is asked for no more than is read. Redirects are the program's to follow. What is
//! wrong is one of the codes of the interface, and a line in the site's log.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Builder;
use hyper::{HeaderMap, Method, Request, Response, Uri};
use selvedge_runtime::{Caller, GuestFault, GuestPtr, HostError, Linker, Module};

use crate::guest::notes::{Notes, Outcome};
use crate::limits::{
    HEADERS_MAX, METHOD_BYTES_MAX, OUTBOUND_ANSWERS_MAX, OUTBOUND_BODY_BYTES_MAX, OUTBOUND_FRAMES_AT_ONCE,
    OUTBOUND_HEAD_BYTES_MAX, OUTBOUND_URL_BYTES_MAX,
};
use crate::outbound::{Bill, Outbound, OutboundError, Place};

/// What programs import it as.
const MODULE: &str = "wasi_experimental_http";

/// Whom requests are from, where programs do not say.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("selvedge/", env!("CARGO_PKG_VERSION")));

/// What came of a call, by the interface's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    InvalidHandle = 1,
    MemoryNotFound = 2,
    MemoryAccess = 3,
    BufferTooSmall = 4,
    HeaderNotFound = 5,
    Utf8 = 6,
    DestinationNotAllowed = 7,
    InvalidMethod = 8,
    InvalidEncoding = 9,
    InvalidUrl = 10,
    Request = 11,
    Runtime = 12,
    TooManySessions = 13,
}

impl From<GuestFault> for Wrong {
    fn from(_: GuestFault) -> Wrong {
        Wrong::MemoryAccess
    }
}

/// Requests of one instance.
pub(super) struct Calls {
    /// None if its tenant's programs may ask nobody.
    outbound: Option<Arc<Outbound>>,
    notes: Notes,
    /// What the server computes for them.
    bill: Arc<Bill>,
    /// The one that is being made.
    asked: Option<Asked>,
    answers: Vec<(u32, Answer)>,
    /// The number of the next answer.
    next: u32,
}

/// An answer, and its request's place until it has ended.
type Answered = (Response<Incoming>, Place);

/// A request that is being made.
struct Asked {
    /// Method and URL, for the log.
    line: String,
    answer: Pin<Box<dyn Future<Output = Result<Answered, OutboundError>> + Send>>,
}

/// An answer whose head is there.
struct Answer {
    headers: HeaderMap,
    /// None at its end.
    body: Option<(Incoming, Place)>,
    chunk: Bytes,
}

/// Where bytes begin.
type Text = GuestPtr<u8>;

/// What `req` is called with: URL, method, headers and body, each with its length, then places for status and handle.
type Asking = (Text, u32, Text, u32, Text, u32, Text, u32, GuestPtr<u16>, GuestPtr<u32>);

/// Where a program has what it asks for.
struct Order {
    url: (Text, u32),
    method: (Text, u32),
    headers: (Text, u32),
    body: (Text, u32),
}

/// Whether a module imports any of it.
pub(super) fn is_imported(module: &Module) -> bool {
    module.contract().imports.iter().any(|import| import.module == MODULE)
}

/// Defines all functions. `get` finds the calls in a store's data, if its program imports them.
pub(super) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> Option<&mut Calls> + Copy + Send + Sync + 'static,
) {
    linker.func_wrap_poll(
        MODULE,
        "req",
        move |mut caller: Caller<'_, T>,
              context: &mut Context<'_>,
              (url, url_len, method, method_len, headers, headers_len, body, body_len, status, handle): Asking| {
            let order = Order {
                url: (url, url_len),
                method: (method, method_len),
                headers: (headers, headers_len),
                body: (body, body_len),
            };
            attempt(&mut caller, context, get, |mem, context, calls| calls.ask(mem, context, &order, (status, handle)))
        },
    );
    linker.func_wrap_poll(
        MODULE,
        "body_read",
        move |mut caller: Caller<'_, T>,
              context: &mut Context<'_>,
              (handle, buffer, len, read): (u32, Text, u32, GuestPtr<u32>)| {
            attempt(&mut caller, context, get, |mem, context, calls| {
                calls.read_body(mem, context, handle, (buffer, len), read)
            })
        },
    );
    linker.func_wrap(
        MODULE,
        "header_get",
        move |mut caller: Caller<'_, T>,
              handle: u32,
              name: Text,
              name_len: u32,
              buffer: Text,
              len: u32,
              written: GuestPtr<u32>| {
            at_once(&mut caller, get, |mem, calls| calls.header(mem, handle, (name, name_len), (buffer, len), written))
        },
    );
    linker.func_wrap(
        MODULE,
        "headers_get_all",
        move |mut caller: Caller<'_, T>, handle: u32, buffer: Text, len: u32, written: GuestPtr<u32>| {
            at_once(&mut caller, get, |mem, calls| calls.all_headers(mem, handle, (buffer, len), written))
        },
    );
    linker.func_wrap(MODULE, "close", move |mut caller: Caller<'_, T>, handle: u32| {
        at_once(&mut caller, get, |_, calls| calls.close(handle))
    });
}

/// Does what may have to wait. What was computed elsewhere meanwhile is charged.
fn attempt<T: 'static>(
    caller: &mut Caller<'_, T>,
    context: &mut Context<'_>,
    get: impl Fn(&mut T) -> Option<&mut Calls>,
    call: impl FnOnce(&mut [u8], &mut Context<'_>, &mut Calls) -> Poll<Result<(), Wrong>>,
) -> Poll<Result<u32, HostError>> {
    let Ok((mem, data)) = caller.memory_and_data() else { return Poll::Ready(Ok(Wrong::MemoryNotFound as u32)) };
    let Some(calls) = get(data) else { return Poll::Ready(Ok(Wrong::Runtime as u32)) };
    let done = call(mem, context, calls);
    let owed = calls.bill.settle(context.waker());
    caller.add_cpu_time(owed);
    done.map(|done| Ok(done.map_or_else(|wrong| wrong as u32, |()| 0)))
}

/// Does what never waits.
fn at_once<T: 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> Option<&mut Calls>,
    call: impl FnOnce(&mut [u8], &mut Calls) -> Result<(), Wrong>,
) -> u32 {
    let Ok((mem, data)) = caller.memory_and_data() else { return Wrong::MemoryNotFound as u32 };
    let Some(calls) = get(data) else { return Wrong::Runtime as u32 };
    call(mem, calls).map_or_else(|wrong| wrong as u32, |()| 0)
}

impl Calls {
    pub(super) fn new(outbound: Option<Arc<Outbound>>, notes: Notes) -> Calls {
        Calls { outbound, notes, bill: Arc::default(), asked: None, answers: Vec::new(), next: 0 }
    }

    /// Makes a request, or goes on with the one that is being made.
    fn ask(
        &mut self,
        mem: &mut [u8],
        context: &mut Context<'_>,
        order: &Order,
        (status, handle): (GuestPtr<u16>, GuestPtr<u32>),
    ) -> Poll<Result<(), Wrong>> {
        if self.asked.is_none() {
            // Nobody is asked if there is no place for what he says.
            status.read(mem)?;
            handle.read(mem)?;
            self.asked = Some(self.begin(mem, order).inspect_err(|wrong| self.say(*wrong))?);
        }
        let Some(asked) = &mut self.asked else { return Poll::Ready(Err(Wrong::Runtime)) };
        let Poll::Ready(answer) = asked.answer.as_mut().poll(context) else { return Poll::Pending };
        let line = std::mem::take(&mut asked.line);
        self.asked = None;
        let ((head, body), place) = match answer {
            Ok((response, place)) => (response.into_parts(), place),
            Err(error) => {
                self.notes.outbound(Outcome::Failed, format!("{line}: {error}"));
                return Poll::Ready(Err(Wrong::Request));
            }
        };
        self.notes.answered();
        status.write(mem, &head.status.as_u16())?;
        handle.write(mem, &self.next)?;
        self.answers
            .push((self.next, Answer { headers: head.headers, body: Some((body, place)), chunk: Bytes::new() }));
        self.next = self.next.wrapping_add(1);
        Poll::Ready(Ok(()))
    }

    /// A request as the program has it in its memory, on its way if it may be made.
    fn begin(&mut self, mem: &[u8], order: &Order) -> Result<Asked, Wrong> {
        if self.answers.len() >= OUTBOUND_ANSWERS_MAX {
            let message = format!("{OUTBOUND_ANSWERS_MAX} answers are open; close one before the next request");
            self.notes.outbound(Outcome::Failed, message);
            return Err(Wrong::TooManySessions);
        }
        // However long they say that they are, no more is looked at than may be.
        if bytes(mem, order.url)?.len() > OUTBOUND_URL_BYTES_MAX {
            return Err(Wrong::InvalidUrl);
        }
        let url: Uri = text(mem, order.url)?.parse()?;
        let method = Some(bytes(mem, order.method)?).filter(|method| method.len() <= METHOD_BYTES_MAX);
        let method = Method::from_bytes(method.ok_or(Wrong::InvalidMethod)?)?;
        // A tunnel would carry anything, to anywhere.
        if method == Method::CONNECT {
            return Err(Wrong::InvalidMethod);
        }
        let line = line(&method, &url);
        let allowed = match &self.outbound {
            Some(outbound) => outbound.check(&url).map(|target| (outbound.clone(), target)),
            None => Err(OutboundError::NotAllowed),
        };
        let (outbound, target) = allowed.map_err(|error| match error {
            OutboundError::Url => Wrong::InvalidUrl,
            error => {
                self.notes.outbound(Outcome::Refused, format!("{line}: {error}"));
                Wrong::DestinationNotAllowed
            }
        })?;
        let body = bytes(mem, order.body)?;
        if body.len() > OUTBOUND_BODY_BYTES_MAX {
            let message = format!("{line}: its body has {} bytes, of {OUTBOUND_BODY_BYTES_MAX} at most", body.len());
            self.notes.outbound(Outcome::Failed, message);
            return Err(Wrong::Request);
        }
        if bytes(mem, order.headers)?.len() > OUTBOUND_HEAD_BYTES_MAX {
            return Err(Wrong::InvalidEncoding);
        }
        let request = headers(Request::builder().method(method).uri(url), text(mem, order.headers)?)?;
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).map_err(|_| Wrong::InvalidEncoding)?;
        Ok(Asked { line, answer: Box::pin(outbound.request(target, request, self.bill.clone())) })
    }

    /// Says what is wrong with a request that could not be made, unless that was said: nothing of it is shown, since it may
    /// be anything.
    fn say(&mut self, wrong: Wrong) {
        let message = match wrong {
            Wrong::InvalidMethod => "a request's method is none that can be sent".into(),
            Wrong::InvalidEncoding => format!(
                "a request's headers are none: expected lines `name:value`, {HEADERS_MAX} at most, of \
                 {OUTBOUND_HEAD_BYTES_MAX} bytes"
            ),
            Wrong::InvalidUrl => format!("a request is not made: {}", OutboundError::Url),
            _ => return,
        };
        self.notes.outbound(Outcome::Failed, message);
    }

    fn answer(&mut self, handle: u32) -> Result<&mut Answer, Wrong> {
        let found = self.answers.iter_mut().find(|(number, _)| *number == handle);
        found.map(|(_, answer)| answer).ok_or(Wrong::InvalidHandle)
    }

    fn read_body(
        &mut self,
        mem: &mut [u8],
        context: &mut Context<'_>,
        handle: u32,
        (buffer, len): (Text, u32),
        read: GuestPtr<u32>,
    ) -> Poll<Result<(), Wrong>> {
        buffer.slice(len).bytes(mem)?;
        read.read(mem)?;
        let answer = self.answer(handle)?;
        if let Some((body, _)) = answer.body.as_mut().filter(|_| answer.chunk.is_empty() && len > 0) {
            match piece(Pin::new(body), context) {
                Poll::Ready(Some(Ok(piece))) => answer.chunk = piece,
                Poll::Ready(None) => answer.body = None,
                Poll::Ready(Some(Err(error))) => {
                    answer.body = None;
                    let message = format!("an answer's body broke off: {}", crate::outbound::told(&error));
                    self.notes.outbound(Outcome::Failed, message);
                    return Poll::Ready(Err(Wrong::Request));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        let piece = answer.chunk.split_to(answer.chunk.len().min(len as usize));
        put(mem, (buffer, len), &piece, read)?;
        Poll::Ready(Ok(()))
    }

    fn header(
        &mut self,
        mem: &mut [u8],
        handle: u32,
        name: (Text, u32),
        buffer: (Text, u32),
        written: GuestPtr<u32>,
    ) -> Result<(), Wrong> {
        let answer = self.answer(handle)?;
        let name = HeaderName::from_bytes(text(mem, name)?.as_bytes()).map_err(|_| Wrong::HeaderNotFound)?;
        let value = answer.headers.get(name).ok_or(Wrong::HeaderNotFound)?;
        put(mem, buffer, value.as_bytes(), written)
    }

    /// All headers as lines `name:value`. Libraries take no values that are not ASCII: those are left out.
    fn all_headers(
        &mut self,
        mem: &mut [u8],
        handle: u32,
        buffer: (Text, u32),
        written: GuestPtr<u32>,
    ) -> Result<(), Wrong> {
        let mut lines = String::new();
        for (name, value) in &self.answer(handle)?.headers {
            if let Ok(value) = value.to_str() {
                lines.extend([name.as_str(), ":", value, "\n"]);
            }
        }
        put(mem, buffer, lines.as_bytes(), written)
    }

    fn close(&mut self, handle: u32) -> Result<(), Wrong> {
        let at = self.answers.iter().position(|(number, _)| *number == handle).ok_or(Wrong::InvalidHandle)?;
        self.answers.swap_remove(at);
        Ok(())
    }
}

/// The next bytes of a body, if there are any more. Frames without bytes are passed over, but not without end: another server
/// could send them as fast as they are looked at.
fn piece<B: Body<Data = Bytes>>(
    mut body: Pin<&mut B>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, B::Error>>> {
    for _ in 0..OUTBOUND_FRAMES_AT_ONCE {
        let Some(frame) = ready!(body.as_mut().poll_frame(context)?) else { return Poll::Ready(None) };
        if let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) {
            return Poll::Ready(Some(Ok(data)));
        }
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

fn bytes(mem: &[u8], (start, len): (Text, u32)) -> Result<&[u8], Wrong> {
    Ok(start.slice(len).bytes(mem)?)
}

fn text(mem: &[u8], place: (Text, u32)) -> Result<&str, Wrong> {
    std::str::from_utf8(bytes(mem, place)?).map_err(|_| Wrong::Utf8)
}

/// Puts bytes into a buffer, if it has room for all, and their number beside it.
fn put(mem: &mut [u8], (buffer, len): (Text, u32), bytes: &[u8], written: GuestPtr<u32>) -> Result<(), Wrong> {
    written.read(mem)?;
    let place = buffer.slice(len).bytes_mut(mem)?;
    place.get_mut(..bytes.len()).ok_or(Wrong::BufferTooSmall)?.copy_from_slice(bytes);
    Ok(written.write(mem, &(bytes.len() as u32))?)
}

/// What a request is called in the log: without what may be secret in its query.
fn line(method: &Method, url: &Uri) -> String {
    let (scheme, authority) = (url.scheme_str().unwrap_or_default(), url.authority());
    let host = authority.map_or("", |authority| authority.host());
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{method} {scheme}://{host}{port}{}", url.path())
}

/// The request with its headers, from lines `name:value`. Those of the connection are hyper's to set, and the host is
/// the URL's: behind one address there may be servers of others.
fn headers(mut request: Builder, lines: &str) -> Result<Builder, Wrong> {
    let invalid = Wrong::InvalidEncoding;
    let headers = request.headers_mut().ok_or(invalid)?;
    for line in lines.lines() {
        let (name, value) = line.split_once(':').ok_or(invalid)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid)?;
        let value = HeaderValue::from_str(value.trim_matches([' ', '\t'])).map_err(|_| invalid)?;
        match name.as_str() {
            "connection" | "content-length" | "expect" | "host" | "http2-settings" | "keep-alive"
            | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade" => {}
            _ => drop(headers.append(name, value)),
        }
        if headers.len() > HEADERS_MAX {
            return Err(invalid);
        }
    }
    headers.entry(header::USER_AGENT).or_insert(USER_AGENT);
    Ok(request)
}

impl From<hyper::http::uri::InvalidUri> for Wrong {
    fn from(_: hyper::http::uri::InvalidUri) -> Wrong {
        Wrong::InvalidUrl
    }
}

impl From<hyper::http::method::InvalidMethod> for Wrong {
    fn from(_: hyper::http::method::InvalidMethod) -> Wrong {
        Wrong::InvalidMethod
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use hyper::body::Frame;

    use super::*;

    /// So many frames without bytes, of both kinds, then one with a byte, and the end.
    struct Empty(usize);

    impl Body for Empty {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0 = self.0.wrapping_sub(1);
            Poll::Ready(match self.0.wrapping_add(1) {
                usize::MAX => None,
                0 => Some(Ok(Frame::data(Bytes::from_static(b"x")))),
                left if left % 2 == 0 => Some(Ok(Frame::data(Bytes::new()))),
                _ => Some(Ok(Frame::trailers(HeaderMap::new()))),
            })
        }
    }

    #[derive(Default)]
    struct Called(AtomicUsize);

    impl Wake for Called {
        fn wake(self: Arc<Called>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Another server that sent frames with nothing in them kept a program in one call, whatever its time.
    #[test]
    fn frames_without_bytes_give_way_to_others_after_a_while() {
        for (empty, waits) in
            [(0, 0), (OUTBOUND_FRAMES_AT_ONCE - 1, 0), (OUTBOUND_FRAMES_AT_ONCE, 1), (10 * OUTBOUND_FRAMES_AT_ONCE, 10)]
        {
            let called = Arc::<Called>::default();
            let (waker, mut body, mut waited) = (Waker::from(called.clone()), Empty(empty), 0);
            let mut poll = || piece(Pin::new(&mut body), &mut Context::from_waker(&waker));
            let byte = loop {
                match poll() {
                    Poll::Ready(byte) => break byte,
                    Poll::Pending => waited += 1,
                }
            };
            assert_eq!((byte, waited, called.0.load(Ordering::Relaxed)), (Some(Ok("x".into())), waits, waits));
            assert_eq!(poll(), Poll::Ready(None));
        }
    }
}
