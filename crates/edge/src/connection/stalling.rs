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

/// All pieces together, if they are no more than so many bytes.
fn joined<'b>(parts: &[io::IoSlice<'_>], bytes_max: usize, into: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    parts.iter().try_fold(bytes_max, |left, part| left.checked_sub(part.len()))?;
    into.clear();
    parts.iter().for_each(|part| into.extend_from_slice(part));
    Some(into)
}

/// A stream of bytes, and what of it was read already.
pub(crate) struct Stalling<S> {
    first: Vec<u8>,
    stream: TokioIo<S>,
    /// Since when, and when it is looked at again.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
    overdue: Arc<Overdue>,
    /// What is put together to be written, and nothing in between.
    joined: Vec<u8>,
}

impl<S> Stalling<S> {
    /// Of a stream, whose beginning is `first`.
    pub(crate) fn new(first: Vec<u8>, stream: S, overdue: Arc<Overdue>) -> Stalling<S> {
        Stalling { first, stream: TokioIo::new(stream), stalled: None, overdue, joined: Vec::new() }
    }

    fn after<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let (began, alarm) = self.stalled.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + WRITE_STALL_MAX)))
        });
        // The time of a guest may have come, and may be no more.
        let last = *began + WRITE_STALL_MAX;
        let end = self.overdue.at().map_or(last, |at| at.min(last));
        if alarm.deadline() != end {
            alarm.as_mut().reset(end);
        }
        if alarm.as_mut().poll(context).is_ready() || self.overdue.is_over() {
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
        let poll = match joined(parts, SMALL_BYTES_MAX, &mut this.joined) {
            Some(all) => Pin::new(&mut this.stream).poll_write(context, all),
            None => Pin::new(&mut this.stream).poll_write_vectored(context, parts),
        };
        this.after(context, poll)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

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

    /// A client that took nothing while a guest worked was cut off by the time of that guest, which had long ended.
    #[tokio::test(start_paused = true)]
    async fn a_guests_time_is_over_for_a_client_only_while_that_guest_is_there() {
        let second = |second| Duration::from_secs(second);
        for (ends, again, cut_off) in [
            // The guest stays; it ends; the next has more time, or less.
            (None, None, second(2)),
            (Some(second(1)), None, WRITE_STALL_MAX),
            (Some(second(1)), Some(second(4)), second(5)),
            (Some(second(1)), Some(second(40)), WRITE_STALL_MAX),
        ] {
            let (began, overdue) = (Instant::now(), Arc::<Overdue>::default());
            let mut stream = Stalling::new(Vec::new(), Full, overdue.clone());
            overdue.set(Some(began + second(2)));
            tokio::spawn(async move {
                let Some(after) = ends else { return };
                tokio::time::sleep(after).await;
                overdue.set(again.map(|again| Instant::now() + again));
            });
            let ended = poll_fn(|context| Pin::new(&mut stream).poll_flush(context)).await;
            assert_eq!((ended.unwrap_err().kind(), began.elapsed()), (io::ErrorKind::TimedOut, cut_off));
        }
    }

    #[test]
    fn pieces_are_joined_if_they_fit() {
        let of = |parts: &[&[u8]]| {
            let parts: Vec<io::IoSlice<'_>> = parts.iter().map(|part| io::IoSlice::new(part)).collect();
            joined(&parts, 4, &mut vec![7]).map(<[u8]>::to_vec)
        };
        assert_eq!(of(&[]), Some(vec![]));
        assert_eq!(of(&[b"ab", b"", b"cd"]), Some(b"abcd".to_vec()));
        assert_eq!(of(&[b"ab", b"cde"]), None);
        assert_eq!(of(&[b"abcde"]), None);
        assert_eq!(of(&[b"abcd", b"e"]), None);
    }
}
