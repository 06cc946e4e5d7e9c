//! The one place where a guest waits.
//!
//! A function that may have to wait is an *attempt*: it does what it can at once, or says what it waits for
//! ([`Stop`]) and is called again when that has come. Between the two nothing is held.
//!
//! A signal that interrupts the wait ends the call with `intr`, so that an instance that is to be interrupted
//! comes back to the runtime.

use std::task::{Context, Waker};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::Wasi;
use crate::clocks::Clock;
use crate::descriptor::Kind;
use crate::doorbell::Doorbell;
use crate::errno::{Answer, Errno};

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
pub(crate) trait IntoAttempt {
    /// Whether it may have to wait.
    const WAITS: bool;
    fn into_attempt(self) -> Attempt;
}

impl IntoAttempt for Answer {
    const WAITS: bool = false;

    #[inline]
    fn into_attempt(self) -> Attempt {
        self.map_err(Stop::Errno)
    }
}

impl IntoAttempt for Attempt {
    const WAITS: bool = true;

    #[inline]
    fn into_attempt(self) -> Attempt {
        self
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

impl Wasi {
    /// Attempts a call until it is decided.
    #[inline]
    pub(crate) fn complete<A: IntoAttempt>(
        &mut self,
        mem: &mut [u8],
        mut attempt: impl FnMut(&mut Wasi, &mut [u8]) -> A,
    ) -> Answer {
        if A::WAITS {
            self.pending = Pending::default();
        }
        loop {
            match attempt(self, mem).into_attempt() {
                Ok(()) => return Ok(()),
                Err(Stop::Errno(errno)) => return Err(errno),
                Err(stop) => self.wait(stop)?,
            }
        }
    }

    /// Waits, in this thread, until another attempt makes sense.
    pub(crate) fn wait(&mut self, stop: Stop) -> Answer {
        let one;
        let (descriptors, deadline_ns) = match stop {
            Stop::Errno(errno) => return Err(errno),
            Stop::Until(fd, direction) => {
                one = [(fd, direction)];
                (&one[..], None)
            }
            Stop::Pending => (&self.pending.descriptors[..], self.pending.deadline_ns),
        };
        let doorbell = self.rung_by_streams(descriptors)?;
        if doorbell.as_ref().is_some_and(|(_, ready)| *ready) {
            return Ok(());
        }
        let mut polled = Vec::with_capacity(descriptors.len() + 1);
        for (fd, direction) in descriptors {
            if let Kind::Host(file) = &self.table.any(*fd)?.kind {
                polled.push(PollFd::new(file, direction.poll_flags()));
            }
        }
        polled.extend(doorbell.as_ref().map(|(bell, _)| PollFd::new(&**bell, PollFlags::IN)));
        let remaining = deadline_ns.map(|ns| timespec(ns.saturating_sub(self.time.now_ns(Clock::Monotonic))));
        rustix::event::poll(&mut polled, remaining.as_ref())?;
        Ok(())
    }

    /// A doorbell that the embedder's streams among these will ring, if there are any; and whether one is ready.
    fn rung_by_streams(&self, descriptors: &[(u32, Direction)]) -> Answer<Option<(std::sync::Arc<Doorbell>, bool)>> {
        let mut doorbell = None;
        for (fd, direction) in descriptors {
            let Kind::Stream(stream) = &self.table.any(*fd)?.kind else { continue };
            let bell = match &doorbell {
                Some(bell) => bell,
                None => doorbell.insert(Doorbell::new()?),
            };
            let waker = Waker::from(bell.clone());
            if stream.poll_ready(*direction, &mut Context::from_waker(&waker)).is_ready() {
                return Ok(doorbell.map(|bell| (bell, true)));
            }
        }
        Ok(doorbell.map(|bell| (bell, false)))
    }
}

pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}
