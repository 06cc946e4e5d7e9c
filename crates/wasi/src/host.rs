//! Open files of the host.
//!
//! Files a guest opens by path are opened non-blocking, so a FIFO or device among them answers `again` and
//! cannot hang the host. What an embedder handed in (standard streams, sockets) may be waited for, unless
//! the guest set `nonblock`; the flag is kept here, never on the embedder's own file, so each operation asks
//! the kernel itself not to wait. The waiting is in [`crate::wait`].

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, Timespec};
use rustix::io::{Errno as Host, ReadWriteFlags};

use crate::errno::Errno;
use crate::flags::FdFlags;
use crate::limits::PIPE_BYTES_AT_ONCE;
use crate::wait::{Attempt, Direction, Stop};

/// Whose file it is.
#[derive(Debug)]
pub(crate) enum HostFd {
    /// The guest's own.
    Owned(OwnedFd),
    /// Handed in, for one or more instances.
    Shared(Arc<OwnedFd>),
    /// A standard stream of the process.
    Inherited(BorrowedFd<'static>),
}

impl AsFd for HostFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            HostFd::Owned(fd) => fd.as_fd(),
            HostFd::Shared(fd) => fd.as_fd(),
            HostFd::Inherited(fd) => *fd,
        }
    }
}

/// An open file of the host that is no directory.
#[derive(Debug)]
pub(crate) struct HostFile {
    pub(crate) fd: HostFd,
    /// Whether it can make its user wait, and may.
    pub(crate) waits: bool,
    /// Whether it is of a directory granted for reading.
    pub(crate) read_only: bool,
}

impl AsFd for HostFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// "Where the file's own position is", for the calls that otherwise name one.
const CURRENT_POSITION: u64 = u64::MAX;

impl HostFile {
    /// Reads from the current position. `number` is the guest's.
    pub(crate) fn read(&self, number: u32, flags: FdFlags, buffers: &mut [IoSliceMut<'_>]) -> Attempt<usize> {
        if !self.waits {
            return Ok(rustix::io::readv(self, buffers)?);
        }
        let result = match rustix::io::preadv2(self, buffers, CURRENT_POSITION, ReadWriteFlags::NOWAIT) {
            Err(error) if no_such_way(error) => {
                self.ready_now(Direction::Read).and_then(|()| rustix::io::readv(self, buffers))
            }
            result => result,
        };
        self.or_wait(number, flags, Direction::Read, result)
    }

    /// Writes at the current position. `number` is the guest's.
    pub(crate) fn write(&self, number: u32, flags: FdFlags, buffers: &[IoSlice<'_>]) -> Attempt<usize> {
        if !self.waits {
            return Ok(rustix::io::writev(self, buffers)?);
        }
        let result = match rustix::io::pwritev2(self, buffers, CURRENT_POSITION, ReadWriteFlags::NOWAIT) {
            Err(error) if no_such_way(error) => {
                self.ready_now(Direction::Write).and_then(|()| self.write_little(buffers))
            }
            result => result,
        };
        self.or_wait(number, flags, Direction::Write, result)
    }

    /// Writes no more than what a pipe that is ready takes without waiting.
    fn write_little(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Host> {
        match buffers.iter().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => rustix::io::write(self, &buffer[..buffer.len().min(PIPE_BYTES_AT_ONCE)]),
            None => Ok(0),
        }
    }

    /// What came of an operation that did not wait; if it would have, the guest waits, or is told `again` if it
    /// does not want to.
    pub(crate) fn or_wait<T>(
        &self,
        number: u32,
        flags: FdFlags,
        direction: Direction,
        result: Result<T, Host>,
    ) -> Attempt<T> {
        match result {
            Err(Host::AGAIN) if self.waits && !flags.contains(FdFlags::NONBLOCK) => Err(Stop::Until(number, direction)),
            Err(error) => Err(Stop::Errno(Errno::from(error))),
            Ok(done) => Ok(done),
        }
    }

    /// `again` unless it is ready.
    fn ready_now(&self, direction: Direction) -> Result<(), Host> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match rustix::event::poll(&mut [PollFd::new(self, direction.poll_flags())], Some(&at_once))? {
            0 => Err(Host::AGAIN),
            _ => Ok(()),
        }
    }
}

/// Terminals and some devices, and older kernels for pipes, cannot be asked not to wait.
fn no_such_way(error: Host) -> bool {
    matches!(error, Host::OPNOTSUPP | Host::NOSYS | Host::INVAL)
}
