//! A request's body as a guest reads it: a piece at a time, straight from the connection, which reads no further
//! until the guest has.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::body::{Body, Bytes, Incoming};
use selvedge_wasi::InputStream;
use tokio::time::Sleep;

use crate::exchange::{Exchange, Fault};
use crate::limits::BODY_STALL_MAX;

/// The body, for one guest.
pub(crate) struct Upload {
    body: Option<Incoming>,
    chunk: Bytes,
    bytes: u64,
    bytes_max: u64,
    /// Fires when the client has sent nothing for too long.
    stall: Option<Pin<Box<Sleep>>>,
    exchange: Exchange,
}

impl Upload {
    pub(crate) fn new(body: Incoming, bytes_max: u64, exchange: Exchange) -> Upload {
        Upload { body: Some(body), chunk: Bytes::new(), bytes: 0, bytes_max, stall: None, exchange }
    }

    /// Waits until there is a piece, the end, or a fault.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.chunk.is_empty() {
            let Some(body) = &mut self.body else { return Poll::Ready(()) };
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => self.take(frame.into_data().unwrap_or_default()),
                Poll::Ready(None) => self.body = None,
                Poll::Ready(Some(Err(_))) => self.end(Fault::RequestBodyBroken),
                Poll::Pending => return self.poll_stall(context),
            }
        }
        Poll::Ready(())
    }

    fn take(&mut self, chunk: Bytes) {
        self.stall = None;
        self.bytes += chunk.len() as u64;
        match self.bytes > self.bytes_max {
            true => self.end(Fault::RequestBodyLimit),
            false => self.chunk = chunk,
        }
    }

    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(BODY_STALL_MAX)));
        if stall.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.end(Fault::RequestBodyStalled);
        Poll::Ready(())
    }

    fn end(&mut self, fault: Fault) {
        self.exchange.fail(fault);
        self.body = None;
    }
}

impl InputStream for Upload {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_chunk(context)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Whoever must wait asks again, with a waker.
        if self.poll_chunk(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.chunk.is_empty() && self.exchange.fault().is_some() {
            return Err(ErrorKind::Other.into());
        }
        let done = self.chunk.len().min(buffer.len());
        buffer[..done].copy_from_slice(&self.chunk.split_to(done));
        Ok(done)
    }
}
