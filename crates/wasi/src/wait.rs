//! Waiting: what it is for, and in a thread.
//!
//! A function that may have to wait is an *attempt*: it does what it can at once, or says what it waits for
//! ([`Stop`]) and is called again when that has come. Between the two nothing is held.
//!
//! Where the guest can be suspended it is, see [`crate::readiness`]. In a synchronous call the thread waits here,
//! in one `poll` of the kernel's. A request to interrupt the instance rings the doorbell; the call then answers
//! `intr`, which the guest never sees.

use std::sync::Arc;
use std::task::{Context, Waker};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::Wasi;
use crate::clocks::Clock;
use crate::descriptor::Kind;
use crate::doorbell::Doorbell;
use crate::errno::{Answer, Errno};
use crate::stdio::Stream;

/// Why an attempt did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// It cannot.
    Errno(Errno),
    /// It can once this descriptor is ready.
    Until(u32, Direction),
    /// It can once something of [`Pending`] has come.
    Pending,
}

/// What a descriptor is waited for to be ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// What every function that may have to wait returns.
pub(crate) type Attempt<T = ()> = Result<T, Stop>;

impl Direction {
    pub(crate) fn poll_flags(self) -> PollFlags {
        match self {
            Direction::Read => PollFlags::IN,
            Direction::Write => PollFlags::OUT,
        }
    }
}

impl<E: Into<Errno>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Errno(error.into())
    }
}

/// What a function returns, as an attempt.
#[cfg(test)]
pub(crate) trait IntoAttempt {
    fn into_attempt(self) -> Attempt;
}

#[cfg(test)]
impl IntoAttempt for Answer {
    fn into_attempt(self) -> Attempt {
        self.map_err(Stop::Errno)
    }
}

#[cfg(test)]
impl IntoAttempt for Attempt {
    fn into_attempt(self) -> Attempt {
        self
    }
}

/// What an attempt comes to: an answer, or something to wait for.
#[inline]
pub(crate) fn decided(attempt: Attempt) -> Result<Answer, Stop> {
    match attempt {
        Ok(()) => Ok(Ok(())),
        Err(Stop::Errno(errno)) => Ok(Err(errno)),
        Err(stop) => Err(stop),
    }
}

/// What is kept between the attempts of one call.
#[derive(Default, Debug)]
pub(crate) struct Pending {
    /// When the call began, by the monotonic clock.
    pub(crate) began_ns: Option<u64>,
    /// How much of the data the call has moved already.
    pub(crate) moved_bytes: usize,
    /// What several descriptors are waited for.
    pub(crate) descriptors: Vec<(u32, Direction)>,
    /// When waiting ends, by the monotonic clock.
    pub(crate) deadline_ns: Option<u64>,
}

impl Pending {
    /// Forgets the call before.
    #[inline]
    pub(crate) fn begin(&mut self) {
        (self.began_ns, self.moved_bytes) = (None, 0);
    }
}

impl Wasi {
    /// What wakes the thread that waits here.
    pub(crate) fn doorbell(&mut self) -> Answer<Arc<Doorbell>> {
        let doorbell = match self.doorbell.take() {
            Some(doorbell) => doorbell,
            None => Doorbell::new()?,
        };
        doorbell.silence();
        Ok(self.doorbell.insert(doorbell).clone())
    }

    /// Waits, in this thread, until another attempt makes sense, or the doorbell is rung.
    pub(crate) fn wait(&self, stop: Stop) -> Answer {
        let one;
        let (descriptors, deadline_ns) = match stop {
            Stop::Errno(errno) => return Err(errno),
            Stop::Until(fd, direction) => {
                one = [(fd, direction)];
                (&one[..], None)
            }
            Stop::Pending => (&self.pending.descriptors[..], self.pending.deadline_ns),
        };
        let doorbell = self.doorbell.as_deref();
        let mut polled: Vec<_> = doorbell.into_iter().map(|bell| PollFd::new(bell, PollFlags::IN)).collect();
        for (fd, direction) in descriptors {
            match &self.table.any(*fd)?.kind {
                Kind::Host(file) => polled.push(PollFd::new(file, direction.poll_flags())),
                Kind::Stream(stream) if self.is_ready(stream, *direction) => return Ok(()),
                _ => {}
            }
        }
        let remaining = deadline_ns.map(|ns| timespec(ns.saturating_sub(self.time.now_ns(Clock::Monotonic))));
        rustix::event::poll(&mut polled, remaining.as_ref())?;
        Ok(())
    }

    /// Whether a stream of the embedder's is ready; if not, it will ring the doorbell.
    fn is_ready(&self, stream: &Stream, direction: Direction) -> bool {
        let waker = self.doorbell.as_ref().map_or_else(|| Waker::noop().clone(), Doorbell::waker);
        stream.poll_ready(direction, &mut Context::from_waker(&waker)).is_ready()
    }

    /// Attempts a call until it is decided.
    #[cfg(test)]
    pub(crate) fn complete<A: IntoAttempt>(
        &mut self,
        mem: &mut [u8],
        mut attempt: impl FnMut(&mut Wasi, &mut [u8]) -> A,
    ) -> Answer {
        self.pending.begin();
        loop {
            match decided(attempt(self, mem).into_attempt()) {
                Ok(answer) => return answer,
                Err(stop) => self.doorbell().and_then(|_| self.wait(stop))?,
            }
        }
    }
}

pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}
