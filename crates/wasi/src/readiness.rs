//! Waiting without a thread: what a suspended guest waits for, as a future for any executor.
//!
//! Files and timers are watched by the reactor of `async-io`, one thread for the whole process; the embedder's
//! streams by whoever makes them ready. The future owns all it needs: a file is duplicated, since one file cannot
//! be watched twice under one number, and several instances may share it.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_io::{Async, Timer};

use crate::Wasi;
use crate::clocks::Clock;
use crate::descriptor::Kind;
use crate::errno::Answer;
use crate::stdio::Stream;
use crate::wait::{Direction, Stop};

/// Comes true once another attempt makes sense.
#[derive(Debug)]
pub(crate) struct Readiness {
    files: Vec<(Async<OwnedFd>, Direction)>,
    streams: Vec<(Stream, Direction)>,
    timer: Option<Timer>,
    /// Whether something cannot be watched, and therefore is always ready.
    at_once: bool,
}

impl Wasi {
    /// What an attempt that was stopped waits for.
    pub(crate) fn readiness(&self, stop: Stop) -> Answer<Readiness> {
        let mut readiness = Readiness { files: Vec::new(), streams: Vec::new(), timer: None, at_once: false };
        match stop {
            Stop::Errno(errno) => return Err(errno),
            Stop::Until(fd, direction) => readiness.add(self, fd, direction)?,
            Stop::Pending => {
                for (fd, direction) in &self.pending.descriptors {
                    readiness.add(self, *fd, *direction)?;
                }
                let now_ns = self.time.now_ns(Clock::Monotonic);
                let after = |ns: u64| Timer::after(Duration::from_nanos(ns.saturating_sub(now_ns)));
                readiness.timer = self.pending.deadline_ns.map(after);
            }
        }
        Ok(readiness)
    }
}

impl Readiness {
    fn add(&mut self, wasi: &Wasi, fd: u32, direction: Direction) -> Answer {
        match &wasi.table.any(fd)?.kind {
            Kind::Host(file) => match Async::new_nonblocking(rustix::io::fcntl_dupfd_cloexec(file, 0)?) {
                Ok(watched) => self.files.push((watched, direction)),
                // Regular files and some devices.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => self.at_once = true,
                Err(error) => return Err(error.into()),
            },
            Kind::Stream(stream) => self.streams.push((stream.clone(), direction)),
            Kind::Directory(_) | Kind::Tree(_) => self.at_once = true,
        }
        Ok(())
    }
}

impl Future for Readiness {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Readiness { files, streams, timer, at_once } = &mut *self;
        let timer_ready = timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(context).is_ready());
        let file_ready = |(file, direction): &(Async<OwnedFd>, Direction)| match direction {
            Direction::Read => file.poll_readable(context).is_ready(),
            Direction::Write => file.poll_writable(context).is_ready(),
        };
        // All of them are asked, so that each knows whom to wake.
        let files_ready = files.iter().map(file_ready).filter(|ready| *ready).count();
        let stream_ready =
            |(stream, direction): &(Stream, Direction)| stream.poll_ready(*direction, context).is_ready();
        let streams_ready = streams.iter().map(stream_ready).filter(|ready| *ready).count();
        if *at_once || timer_ready || files_ready + streams_ready > 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}
