//! `poll_oneoff`: waiting for clocks and descriptors.
//!
//! Files and streams in memory are ready at once; pipes, terminals and sockets are asked of the kernel, the
//! embedder's streams of themselves. Each attempt looks at everything once; see [`crate::wait`] for the wait
//! between. With fixed clocks no real time passes.

use std::task::{Context, Waker};

use rustix::event::{PollFd, PollFlags, Timespec};
use selvedge_runtime::{GuestPtr, GuestValue};

use crate::Wasi;
use crate::clocks::{Clock, Time};
use crate::descriptor::{Descriptor, Kind, Table};
use crate::errno::{Answer, Errno};
use crate::flags::{Rights, SubClockFlags};
use crate::host::HostFile;
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::memory::check;
use crate::types::{Awaited, Event, FileType, Subscription};
use crate::wait::{Attempt, Direction, Stop};

const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

/// What has happened, and what is still waited for.
struct Waiting<'t> {
    table: &'t Table,
    time: &'t Time,
    /// When the call began, by the monotonic clock.
    began_ns: u64,
    events: Vec<Event>,
    /// Clocks' user data, and when they come by the monotonic clock.
    clocks: Vec<(u64, u64)>,
    /// Files of the host, their user data and event tags.
    files: Vec<(&'t HostFile, u64, u8)>,
    /// Descriptors that may become ready.
    descriptors: Vec<(u32, Direction)>,
}

impl<'t> Waiting<'t> {
    fn add(&mut self, subscription: Subscription) {
        let Subscription { userdata, what } = subscription;
        let (tag, result) = match what {
            Awaited::Clock { id, timeout_ns, flags } => (0, self.add_clock(userdata, id, timeout_ns, flags)),
            Awaited::FdRead(fd) => (FD_READ, self.add_fd(userdata, FD_READ, fd)),
            Awaited::FdWrite(fd) => (FD_WRITE, self.add_fd(userdata, FD_WRITE, fd)),
            Awaited::Unknown(tag) => (tag, Err(Errno::Inval)),
        };
        if let Err(error) = result {
            self.events.push(event(userdata, tag, Err(error)));
        }
    }

    fn add_clock(&mut self, userdata: u64, id: u32, timeout_ns: u64, flags: u16) -> Answer {
        let clock = Clock::parse(id)?;
        let due_ns = if SubClockFlags::parse(flags)?.contains(SubClockFlags::ABSTIME) {
            // Looked at anew each time: somebody may set the clock meanwhile.
            let ahead_ns = timeout_ns.saturating_sub(self.time.now_ns(clock));
            self.time.now_ns(Clock::Monotonic).saturating_add(ahead_ns)
        } else {
            self.began_ns.saturating_add(timeout_ns)
        };
        self.clocks.push((userdata, due_ns));
        Ok(())
    }

    fn add_fd(&mut self, userdata: u64, tag: u8, fd: u32) -> Answer {
        let descriptor = self.table.get(fd, Rights::POLL_FD_READWRITE)?;
        let (right, direction) = match tag {
            FD_READ => (Rights::FD_READ, Direction::Read),
            _ => (Rights::FD_WRITE, Direction::Write),
        };
        // A listening socket is neither read nor written, but accepts when it can be read.
        self.table.get(fd, right).or_else(|_| self.table.get(fd, Rights::SOCK_ACCEPT))?;
        let ready = match &descriptor.kind {
            Kind::Host(file) if descriptor.filetype != FileType::RegularFile => {
                self.files.push((file, userdata, tag));
                false
            }
            Kind::Stream(stream) => stream.poll_ready(direction, &mut Context::from_waker(Waker::noop())).is_ready(),
            Kind::Host(_) | Kind::Directory(_) | Kind::Tree(_) => true,
        };
        if ready {
            self.events.push(event(userdata, tag, available(descriptor, tag)));
        } else {
            self.descriptors.push((fd, direction));
        }
        Ok(())
    }

    fn nearest_ns(&self) -> Option<u64> {
        self.clocks.iter().map(|(_, due_ns)| *due_ns).min()
    }

    /// Asks the kernel, once, which files are ready.
    fn look_at_files(&mut self) -> Answer {
        if self.files.is_empty() {
            return Ok(());
        }
        let what = |tag| if tag == FD_READ { PollFlags::IN } else { PollFlags::OUT };
        let mut polled: Vec<_> = self.files.iter().map(|(file, _, tag)| PollFd::new(*file, what(*tag))).collect();
        rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        for ((file, userdata, tag), answer) in self.files.iter().zip(&polled) {
            let found = answer.revents();
            if !found.is_empty() {
                self.events.push(file_event(file, *userdata, *tag, found));
            }
        }
        Ok(())
    }

    /// Adds the clocks that have come.
    fn look_at_clocks(&mut self, now_ns: u64) {
        let come = self.clocks.iter().filter(|(_, due_ns)| *due_ns <= now_ns);
        self.events.extend(come.map(|(userdata, _)| event(*userdata, 0, Ok(0))));
    }
}

fn event(userdata: u64, tag: u8, available: Answer<u64>) -> Event {
    let error = available.err().map_or(0, |errno| errno as u16);
    Event { userdata, error, tag, available_bytes: available.unwrap_or(0), hangup: false }
}

fn file_event(file: &HostFile, userdata: u64, tag: u8, found: PollFlags) -> Event {
    let available = match tag {
        _ if found.contains(PollFlags::NVAL) => Err(Errno::Badf),
        // Not every device says; one that is ready has something.
        FD_READ => Ok(rustix::io::ioctl_fionread(file).unwrap_or(1)),
        _ => Ok(1),
    };
    Event { hangup: found.contains(PollFlags::HUP), ..event(userdata, tag, available) }
}

/// What can be read or written of something that never waits.
fn available(descriptor: &Descriptor, tag: u8) -> Answer<u64> {
    match &descriptor.kind {
        _ if tag == FD_WRITE => Ok(1),
        Kind::Stream(stream) => Ok(stream.available_bytes() as u64),
        Kind::Host(file) => {
            let size = rustix::fs::fstat(file)?.st_size as u64;
            Ok(size.saturating_sub(rustix::fs::tell(file)?))
        }
        Kind::Tree(opened) => Ok(opened.available_bytes()),
        Kind::Directory(_) => Err(Errno::Badf),
    }
}

impl Wasi {
    pub(crate) fn poll_oneoff<S: GuestValue + Into<Subscription>>(
        &mut self,
        mem: &mut [u8],
        subscriptions: GuestPtr<S>,
        events: GuestPtr<Event>,
        subscriptions_len: u32,
        events_len: GuestPtr<u32>,
    ) -> Attempt {
        if subscriptions_len == 0 || subscriptions_len > SUBSCRIPTIONS_MAX {
            return Err(Errno::Inval.into());
        }
        let events = events.slice(subscriptions_len);
        events.bytes(mem)?;
        check(mem, events_len)?;
        let subscriptions = subscriptions.slice(subscriptions_len).values(mem)?.map(Into::into);
        let happened = self.look(subscriptions)?;
        let written = events.write(mem, happened)?;
        Ok(events_len.write(mem, &(written as u32))?)
    }

    /// What of these has happened; if nothing has, what is waited for is put down in [`Wasi::pending`].
    fn look(&mut self, subscriptions: impl Iterator<Item = Subscription>) -> Attempt<Vec<Event>> {
        let began_ns = *self.pending.began_ns.get_or_insert_with(|| self.time.now_ns(Clock::Monotonic));
        let (table, time) = (&self.table, &self.time);
        let (events, clocks, files, descriptors) = Default::default();
        let mut waiting = Waiting { table, time, began_ns, events, clocks, files, descriptors };
        subscriptions.for_each(|subscription| waiting.add(subscription));
        waiting.look_at_files()?;
        let nearest_ns = waiting.nearest_ns();
        let fixed_ns = nearest_ns.filter(|_| time.is_fixed() && waiting.events.is_empty());
        let now_ns = fixed_ns.unwrap_or_else(|| time.now_ns(Clock::Monotonic));
        waiting.look_at_clocks(now_ns);
        let Waiting { events, descriptors, .. } = waiting;
        if let Some(ns) = fixed_ns {
            self.time.skip(ns.saturating_sub(began_ns));
        }
        if events.is_empty() {
            (self.pending.descriptors, self.pending.deadline_ns) = (descriptors, nearest_ns);
            return Err(Stop::Pending);
        }
        Ok(events)
    }
}
