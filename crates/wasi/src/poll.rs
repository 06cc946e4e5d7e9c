//! `poll_oneoff`: waiting for clocks and descriptors.
//!
//! Files and streams in memory are ready at once; pipes, terminals and sockets are asked of the kernel. The
//! wait is one `poll` with the nearest clock as its timeout. With fixed clocks no real time passes.

use rustix::event::{PollFd, PollFlags, Timespec};
use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::clocks::{Clock, Time};
use crate::descriptor::{Descriptor, Kind, Table};
use crate::errno::{Answer, Errno};
use crate::flags::{Rights, SubClockFlags};
use crate::host::HostFile;
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::memory::check;
use crate::types::{Awaited, Event, FileType, Subscription};

const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

/// What has happened, and what is still waited for.
#[derive(Default)]
struct Waiting<'t> {
    events: Vec<Event>,
    /// Clocks, and how long until each.
    clocks: Vec<(u64, u64)>,
    /// Files of the host, their user data and event tags.
    files: Vec<(&'t HostFile, u64, u8)>,
}

impl<'t> Waiting<'t> {
    fn add(&mut self, subscription: Subscription, time: &Time, table: &'t Table) {
        let Subscription { userdata, what } = subscription;
        let (tag, result) = match what {
            Awaited::Clock { id, timeout_ns, flags } => (0, self.add_clock(userdata, time, id, timeout_ns, flags)),
            Awaited::FdRead(fd) => (FD_READ, self.add_fd(userdata, FD_READ, table, fd)),
            Awaited::FdWrite(fd) => (FD_WRITE, self.add_fd(userdata, FD_WRITE, table, fd)),
            Awaited::Unknown(tag) => (tag, Err(Errno::Inval)),
        };
        if let Err(error) = result {
            self.events.push(event(userdata, tag, Err(error)));
        }
    }

    fn add_clock(&mut self, userdata: u64, time: &Time, id: u32, timeout_ns: u64, flags: u16) -> Answer {
        let clock = Clock::parse(id)?;
        let absolute = SubClockFlags::parse(flags)?.contains(SubClockFlags::ABSTIME);
        let ahead_ns = if absolute { timeout_ns.saturating_sub(time.now_ns(clock)) } else { timeout_ns };
        self.clocks.push((userdata, ahead_ns));
        Ok(())
    }

    fn add_fd(&mut self, userdata: u64, tag: u8, table: &'t Table, fd: u32) -> Answer {
        let descriptor = table.get(fd, Rights::POLL_FD_READWRITE)?;
        let direction = if tag == FD_READ { Rights::FD_READ } else { Rights::FD_WRITE };
        // A listening socket is neither read nor written, but accepts when it can be read.
        table.get(fd, direction).or_else(|_| table.get(fd, Rights::SOCK_ACCEPT))?;
        match &descriptor.kind {
            Kind::Host(file) if descriptor.filetype != FileType::RegularFile => self.files.push((file, userdata, tag)),
            _ => self.events.push(event(userdata, tag, available(descriptor, tag))),
        }
        Ok(())
    }

    fn nearest_ns(&self) -> Option<u64> {
        self.clocks.iter().map(|(_, ahead_ns)| *ahead_ns).min()
    }

    /// Asks the kernel, once, which files are ready; waits no longer than so.
    fn poll(&mut self, timeout_ns: Option<u64>) -> Answer {
        let what = |tag| if tag == FD_READ { PollFlags::IN } else { PollFlags::OUT };
        let mut polled: Vec<_> = self.files.iter().map(|(file, _, tag)| PollFd::new(*file, what(*tag))).collect();
        let timeout =
            timeout_ns.map(|ns| Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 });
        rustix::event::poll(&mut polled, timeout.as_ref())?;
        for ((file, userdata, tag), answer) in self.files.iter().zip(&polled) {
            let found = answer.revents();
            if !found.is_empty() {
                self.events.push(file_event(file, *userdata, *tag, found));
            }
        }
        Ok(())
    }

    /// Adds the clocks that have come.
    fn clocks_after(&mut self, passed_ns: u64) {
        let come = self.clocks.iter().filter(|(_, ahead_ns)| *ahead_ns <= passed_ns);
        self.events.extend(come.map(|(userdata, _)| event(*userdata, 0, Ok(0))));
    }

    /// Waits until there is an event.
    fn wait(&mut self, time: &mut Time) -> Answer {
        let start_ns = time.now_ns(Clock::Monotonic);
        let nearest_ns = self.nearest_ns();
        if time.is_fixed()
            && let Some(ahead_ns) = nearest_ns
        {
            return self.wait_in_fixed_time(time, ahead_ns);
        }
        loop {
            let passed_ns = time.now_ns(Clock::Monotonic) - start_ns;
            let remaining_ns = nearest_ns.map(|ahead_ns| ahead_ns.saturating_sub(passed_ns));
            let at_once = !self.events.is_empty();
            if !self.files.is_empty() || !at_once {
                self.poll(if at_once { Some(0) } else { remaining_ns })?;
            }
            self.clocks_after(time.now_ns(Clock::Monotonic) - start_ns);
            if !self.events.is_empty() {
                return Ok(());
            }
        }
    }

    /// Looks at the files; if none is ready, the nearest clock has come.
    fn wait_in_fixed_time(&mut self, time: &mut Time, ahead_ns: u64) -> Answer {
        if !self.files.is_empty() {
            self.poll(Some(0))?;
        }
        if self.events.is_empty() {
            time.skip(ahead_ns);
            self.clocks_after(ahead_ns);
        }
        Ok(())
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
        Kind::Directory(_) => Err(Errno::Badf),
    }
}

impl Wasi {
    pub(crate) fn poll_oneoff(
        &mut self,
        mem: &mut [u8],
        subscriptions: GuestPtr<Subscription>,
        events: GuestPtr<Event>,
        subscriptions_len: u32,
        events_len: GuestPtr<u32>,
    ) -> Answer {
        if subscriptions_len == 0 || subscriptions_len > SUBSCRIPTIONS_MAX {
            return Err(Errno::Inval);
        }
        let events = events.slice(subscriptions_len);
        events.bytes(mem)?;
        check(mem, events_len)?;
        let mut waiting = Waiting::default();
        for subscription in subscriptions.slice(subscriptions_len).values(mem)? {
            waiting.add(subscription, &self.time, &self.table);
        }
        waiting.wait(&mut self.time)?;
        let written = events.write(mem, waiting.events)?;
        Ok(events_len.write(mem, &(written as u32))?)
    }
}
