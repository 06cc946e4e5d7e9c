//! What passes between a guest and a client's response: a head, then a body, through a buffer of fixed size.
//!
//! The guest's side writes into it (by its interface), the response takes from it; whoever is faster waits. What goes
//! wrong on the way, and is neither a trap nor an exit, is noted here as a [`Fault`]: the first counts.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use crate::limits::RESPONSE_BUFFER_BYTES;

/// Names a limit that was reached, though the request goes on.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("x-selvedge-limit");

/// Limits that a program has reached without an end of its request.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Reached {
    /// It has logged more than it may.
    pub(crate) log: bool,
    /// It has asked a server that it may not.
    pub(crate) outbound: bool,
}

impl Reached {
    /// What the response says of them.
    pub(crate) fn header(self) -> Option<HeaderValue> {
        let names = match (self.log, self.outbound) {
            (false, false) => return None,
            (true, false) => "log_limit",
            (false, true) => "outbound_limit",
            (true, true) => "log_limit, outbound_limit",
        };
        Some(HeaderValue::from_static(names))
    }
}

/// Why an exchange cannot go on, though the guest might.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The request's body is longer than allowed.
    RequestBodyLimit,
    /// The client stopped sending its body.
    RequestBodyStalled,
    /// The client sent nonsense, or is gone.
    RequestBodyBroken,
    /// The guest's head is no head.
    BadHead(String),
    /// The response's body is longer than allowed.
    ResponseBodyLimit,
}

/// What an exchange has come to.
pub(crate) enum Standing {
    /// Something went wrong that explains all else.
    Faulty(Fault),
    /// There is the beginning of a head, with this wrong about it.
    Unfinished(String),
    /// There is or was a head.
    Answered,
    /// There is nothing.
    Silent,
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Head {
    /// Whether such a response has a body (RFC 9110, sections 15.3.5 and 15.4.5).
    fn has_body(&self) -> bool {
        !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// How long the body is to be, if the guest has said so.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}

/// Shared by a guest and its response. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Exchange(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    head: Option<Head>,
    /// Whether there ever was one, and a body may follow: else what comes is dropped.
    had_head: bool,
    has_body: bool,
    body: Vec<u8>,
    /// All that the body had so far.
    body_bytes: u64,
    fault: Option<Fault>,
    /// What came instead of a head.
    unfinished: Option<String>,
    reached: Reached,
    /// The guest, waiting for room.
    writer: Option<Waker>,
}

impl State {
    fn take_head(&mut self) -> Option<Head> {
        let mut head = self.head.take()?;
        if let Some(names) = self.reached.header() {
            head.headers.insert(LIMIT, names);
        }
        Some(head)
    }

    fn write_body(&mut self, bytes: &[u8], bytes_max: u64) -> io::Result<usize> {
        if self.fault.is_some() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if !self.has_body {
            return Ok(bytes.len());
        }
        let room = RESPONSE_BUFFER_BYTES.saturating_sub(self.body.len());
        let done = bytes.len().min(room);
        if done == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.body_bytes += done as u64;
        if self.body_bytes > bytes_max {
            self.fault = Some(Fault::ResponseBodyLimit);
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.body.extend_from_slice(&bytes[..done]);
        Ok(done)
    }
}

impl Exchange {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what went wrong, unless something did before.
    pub(crate) fn fail(&self, fault: Fault) {
        self.lock().fault.get_or_insert(fault);
    }

    /// What went wrong.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.lock().fault.clone()
    }

    /// The guest has logged more than it may. The response says so, if its head is not sent yet.
    pub(crate) fn cut_log(&self) {
        self.lock().reached.log = true;
    }

    /// The guest has asked a server that it may not. The response says so, likewise.
    pub(crate) fn refuse_outbound(&self) {
        self.lock().reached.outbound = true;
    }

    /// The limits that it has reached.
    pub(crate) fn reached(&self) -> Reached {
        self.lock().reached
    }

    /// The guest's head is complete. Takes as much as there is room for of the body that it has written with it.
    pub(crate) fn begin(&self, head: Head, body: &[u8], bytes_max: u64) -> io::Result<usize> {
        let mut state = self.lock();
        state.has_body = head.has_body();
        (state.head, state.had_head) = (Some(head), true);
        if body.is_empty() { Ok(0) } else { state.write_body(body, bytes_max) }
    }

    /// The guest ended in the middle of its head; this is what is wrong with it.
    pub(crate) fn set_unfinished(&self, why: String) {
        self.lock().unfinished = Some(why);
    }

    /// How things stand when the guest has ended.
    pub(crate) fn standing(&self) -> Standing {
        let state = self.lock();
        match (&state.fault, &state.unfinished, state.had_head) {
            (Some(fault), _, _) => Standing::Faulty(fault.clone()),
            (None, Some(why), _) => Standing::Unfinished(why.clone()),
            (None, None, true) => Standing::Answered,
            (None, None, false) => Standing::Silent,
        }
    }

    /// Whether the response can begin, and has more than a head: one without a body waits for the guest's end.
    pub(crate) fn has_beginning(&self) -> bool {
        let state = self.lock();
        state.head.is_some() && state.fault.is_none() && state.has_body
    }

    /// The head, once.
    pub(crate) fn take_head(&self) -> Option<Head> {
        self.lock().take_head()
    }

    /// The head and all of the body of a guest that has ended, once.
    pub(crate) fn take_whole(&self) -> Option<(Head, Bytes)> {
        let mut state = self.lock();
        let head = state.take_head()?;
        Some((head, std::mem::take(&mut state.body).into()))
    }

    /// Takes as much of a body as there is room for.
    pub(crate) fn write_body(&self, bytes: &[u8], bytes_max: u64) -> io::Result<usize> {
        self.lock().write_body(bytes, bytes_max)
    }

    /// Whether the guest could write; if not, it is woken when it can.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.body.len() < RESPONSE_BUFFER_BYTES || state.fault.is_some() {
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// What the guest has written of the body since the last time; none is empty.
    pub(crate) fn take_body(&self) -> Bytes {
        let mut state = self.lock();
        let body = std::mem::take(&mut state.body);
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        body.into()
    }

    /// Whether nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().body.is_empty()
    }

    /// All that the body had so far, in bytes.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.lock().body_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_waits_for_room_and_ends_at_its_limit() {
        let exchange = Exchange::default();
        exchange.begin(Head { status: StatusCode::OK, headers: HeaderMap::new() }, b"", 0).unwrap();
        let chunk = vec![7; RESPONSE_BUFFER_BYTES + 1];
        assert_eq!(exchange.write_body(&chunk, u64::MAX).unwrap(), RESPONSE_BUFFER_BYTES);
        assert_eq!(exchange.write_body(b"x", u64::MAX).unwrap_err().kind(), ErrorKind::WouldBlock);
        let context = &mut Context::from_waker(Waker::noop());
        assert!(exchange.poll_writable(context).is_pending());
        assert_eq!(exchange.take_body().len(), RESPONSE_BUFFER_BYTES);
        assert!(exchange.poll_writable(context).is_ready());
        let limit = RESPONSE_BUFFER_BYTES as u64 + 1;
        assert_eq!(exchange.write_body(b"x", limit).unwrap(), 1);
        assert_eq!(exchange.write_body(b"x", limit).unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(exchange.fault(), Some(Fault::ResponseBodyLimit));
    }

    #[test]
    fn what_cannot_have_a_body_gets_none_and_never_waits_for_room() {
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            let exchange = Exchange::default();
            let (head, body) = (Head { status, headers: HeaderMap::new() }, [7; 2 * RESPONSE_BUFFER_BYTES]);
            assert_eq!(exchange.begin(head, &body, 1).unwrap(), body.len());
            assert_eq!(exchange.write_body(&body, 1).unwrap(), body.len());
            assert!(exchange.is_empty() && !exchange.has_beginning() && exchange.fault().is_none());
        }
    }
}
