//! Streams on which a write that does not get on is an error after a while.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Overdue;
use crate::limits::WRITE_STALL_MAX;

/// What is written in pieces, and is no more than this, is put together first: that is less than what the kernel has to
/// do with a list of them.
const SMALL_BYTES_MAX: usize = 1 << 10;

/// All pieces together, if they fit.
fn joined<'b>(parts: &[io::IoSlice<'_>], into: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut done: usize = 0;
    for part in parts {
        into.get_mut(done..done.checked_add(part.len())?)?.copy_from_slice(part);
        done += part.len();
    }
    Some(&into[..done])
}

/// A stream of bytes, and what of it was read already.
pub(crate) struct Stalling<S> {
    first: Vec<u8>,
    stream: TokioIo<S>,
    stalled: Option<Pin<Box<Sleep>>>,
    overdue: Arc<Overdue>,
}

impl<S> Stalling<S> {
    /// Of a stream, whose beginning is `first`.
    pub(crate) fn new(first: Vec<u8>, stream: S, overdue: Arc<Overdue>) -> Stalling<S> {
        Stalling { first, stream: TokioIo::new(stream), stalled: None, overdue }
    }

    fn after<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let stalled = self.stalled.get_or_insert_with(|| {
            let stalled = Instant::now() + WRITE_STALL_MAX;
            Box::pin(sleep_until(self.overdue.at().map_or(stalled, |at| at.min(stalled))))
        });
        if stalled.as_mut().poll(context).is_ready() || self.overdue.is_over() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// What was read already, once; true if there was something.
    fn take_first(&mut self, buffer: &mut ReadBufCursor<'_>) -> bool {
        let done = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..done]);
        self.first.drain(..done);
        if self.first.is_empty() {
            self.first = Vec::new();
        }
        done > 0
    }
}

impl<S: AsyncRead + Unpin> Read for Stalling<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.first.is_empty() && this.take_first(&mut buffer) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Write for Stalling<S> {
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
        // By TLS it writes, too: after all that was not taken yet.
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_shutdown(context);
        this.after(context, poll)
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
        let mut small = [0; SMALL_BYTES_MAX];
        let poll = match joined(parts, &mut small) {
            Some(all) => Pin::new(&mut this.stream).poll_write(context, all),
            None => Pin::new(&mut this.stream).poll_write_vectored(context, parts),
        };
        this.after(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// One whose other side takes nothing.
    struct Full;

    impl AsyncWrite for Full {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    /// The end of one by TLS waited for ever.
    #[tokio::test(start_paused = true)]
    async fn whatever_waits_for_who_takes_nothing_ends() {
        type Way = fn(Pin<&mut Stalling<Full>>, &mut Context<'_>) -> Poll<io::Result<()>>;
        let write: Way = |stream, context| stream.poll_write(context, b"x").map_ok(drop);
        for way in [write, Stalling::poll_flush, Stalling::poll_shutdown] {
            let (began, mut stream) = (Instant::now(), Stalling::new(Vec::new(), Full, Arc::default()));
            let ended = poll_fn(|context| way(Pin::new(&mut stream), context)).await;
            assert_eq!((ended.unwrap_err().kind(), began.elapsed()), (io::ErrorKind::TimedOut, WRITE_STALL_MAX));
        }
    }

    #[test]
    fn pieces_are_joined_if_they_fit() {
        let of = |parts: &[&[u8]]| {
            let parts: Vec<io::IoSlice<'_>> = parts.iter().map(|part| io::IoSlice::new(part)).collect();
            joined(&parts, &mut [0; 4]).map(<[u8]>::to_vec)
        };
        assert_eq!(of(&[]), Some(vec![]));
        assert_eq!(of(&[b"ab", b"", b"cd"]), Some(b"abcd".to_vec()));
        assert_eq!(of(&[b"ab", b"cde"]), None);
        assert_eq!(of(&[b"abcde"]), None);
        assert_eq!(of(&[b"abcd", b"e"]), None);
    }
}
