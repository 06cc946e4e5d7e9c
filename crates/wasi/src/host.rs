//! Open files of the host, and waiting for them.
//!
//! Files a guest opens by path are opened non-blocking, so a FIFO or device among them answers `again` and
//! cannot hang the host. What an embedder handed in (standard streams, sockets) may be waited for, unless
//! the guest set `nonblock`; the flag is kept here, never on the embedder's own file. All waiting is in
//! [`HostFile::wait`] and [`crate::poll`]; a signal that interrupts it ends the call with `intr`, so that
//! an instance that is to be interrupted comes back to the runtime.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::errno::{Answer, Errno};
use crate::flags::FdFlags;

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

impl HostFile {
    /// Reads from the current position.
    pub(crate) fn read(&self, flags: FdFlags, buffers: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        if buffers.iter().any(|buffer| !buffer.is_empty()) {
            self.wait(flags, PollFlags::IN)?;
        }
        Ok(rustix::io::readv(self, buffers)?)
    }

    /// Writes at the current position. Waits only if the file says it would block.
    pub(crate) fn write(&self, flags: FdFlags, buffers: &[IoSlice<'_>]) -> Answer<usize> {
        if flags.contains(FdFlags::NONBLOCK) {
            self.wait(flags, PollFlags::OUT)?;
        }
        loop {
            match rustix::io::writev(self, buffers) {
                Err(rustix::io::Errno::AGAIN) if self.waits => self.wait(flags, PollFlags::OUT)?,
                result => return Ok(result?),
            }
        }
    }

    /// Waits until it is ready, if it may be waited for; `again` if the guest does not want to wait.
    pub(crate) fn wait(&self, flags: FdFlags, what: PollFlags) -> Answer {
        if !self.waits {
            return Ok(());
        }
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = flags.contains(FdFlags::NONBLOCK).then_some(&at_once);
        match rustix::event::poll(&mut [PollFd::new(self, what)], timeout)? {
            0 => Err(Errno::Again),
            _ => Ok(()),
        }
    }
}
