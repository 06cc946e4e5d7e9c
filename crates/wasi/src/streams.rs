//! Streams that an embedder supplies itself: a request's body as it comes in, a response's as it goes out.
//!
//! Both are *ready, then do*: a stream says whether it could do something now, and if not, wakes whoever asked
//! when it can. So a guest that waits costs no thread, and an embedder that has no room left makes its guest
//! wait instead of piling up what it wrote.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::errno::Errno;
use crate::flags::FdFlags;
use crate::wait::{Attempt, Direction, Stop};

/// What a guest reads from.
pub trait InputStream: Send {
    /// Whether [`InputStream::read`] would give something: bytes, the end or an error. If not, the waker of the
    /// last call is woken once that may have changed.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Reads what is there, without waiting, into a buffer that is not empty. 0 is the end.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if nothing is there yet. The guest sees other errors as the errno they carry,
    /// or `EIO`.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// What a guest writes to.
pub trait OutputStream: Send {
    /// Whether [`OutputStream::write`] would take something or fail. If not, the waker of the last call is
    /// woken once that may have changed.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Takes as much as there is room for, without waiting; the bytes are at least one.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if there is no room. The guest sees other errors as the errno they carry;
    /// [`ErrorKind::BrokenPipe`] is `EPIPE`, what has no errno is `EIO`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// An embedder's stream, shared by the instances it was given to.
pub(crate) struct Shared<S: ?Sized>(Arc<Mutex<S>>);

impl<S: ?Sized> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, S> {
        // What a panic left behind is the embedder's own; the stream is asked again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: ?Sized> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<S: ?Sized> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stream of the embedder's")
    }
}

pub(crate) type SharedInput = Shared<dyn InputStream>;
pub(crate) type SharedOutput = Shared<dyn OutputStream>;

impl SharedInput {
    pub(crate) fn new(stream: impl InputStream + 'static) -> SharedInput {
        Shared(Arc::new(Mutex::new(stream)))
    }

    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.lock().poll_ready(context)
    }

    /// Fills the first buffer that has room, as far as it can.
    pub(crate) fn read(&self, number: u32, flags: FdFlags, buffers: &mut [IoSliceMut<'_>]) -> Attempt<usize> {
        let Some(buffer) = buffers.iter_mut().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let done = self.lock().read(buffer).map_err(|error| stop(&error, number, flags, Direction::Read))?;
        Ok(done.min(buffer.len()))
    }
}

impl SharedOutput {
    pub(crate) fn new(stream: impl OutputStream + 'static) -> SharedOutput {
        Shared(Arc::new(Mutex::new(stream)))
    }

    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.lock().poll_ready(context)
    }

    /// Hands over the first buffer that has something.
    pub(crate) fn write(&self, number: u32, flags: FdFlags, buffers: &[IoSlice<'_>]) -> Attempt<usize> {
        let Some(buffer) = buffers.iter().find(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let done = self.lock().write(buffer).map_err(|error| stop(&error, number, flags, Direction::Write))?;
        Ok(done.min(buffer.len()))
    }
}

fn stop(error: &io::Error, number: u32, flags: FdFlags, direction: Direction) -> Stop {
    match error.kind() {
        ErrorKind::WouldBlock if flags.contains(FdFlags::NONBLOCK) => Stop::Errno(Errno::Again),
        ErrorKind::WouldBlock => Stop::Until(number, direction),
        ErrorKind::BrokenPipe => Stop::Errno(Errno::Pipe),
        _ => Stop::Errno(rustix::io::Errno::from_io_error(error).map_or(Errno::Io, Errno::from)),
    }
}
