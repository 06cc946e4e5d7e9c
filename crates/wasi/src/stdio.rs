//! Standard streams: inherited, null, in memory, or the embedder's own.

use std::fmt;
use std::io::{IoSlice, IoSliceMut, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use rustix::fs::{FileType as HostFileType, fstat};

use crate::builder::BuildError;
use crate::descriptor::{Descriptor, Kind};
use crate::errno::{Answer, Errno};
use crate::flags::{FdFlags, Rights};
use crate::host::{HostFd, HostFile};
use crate::streams::{InputStream, OutputStream, SharedInput, SharedOutput};
use crate::types::FileType;
use crate::wait::{Attempt, Direction};

/// What a standard stream of an instance is connected to.
#[derive(Clone, Debug, Default)]
pub enum Stdio {
    /// The same stream of the process. Written straight through, past `std::io`'s buffers.
    Inherit,
    /// Nothing: reads end at once, writes vanish.
    #[default]
    Null,
    /// These bytes. For stdin.
    Bytes(Arc<[u8]>),
    /// Memory that the embedder reads. For stdout and stderr; as stdin, what is in it is consumed.
    Buffer(Buffer),
    /// An open file, pipe or socket; several instances may share it.
    File(Arc<OwnedFd>),
    /// What the embedder supplies as it comes; made by [`Stdio::reader`]. For stdin.
    Reader(Reader),
    /// What the embedder takes as it goes; made by [`Stdio::writer`]. For stdout and stderr.
    Writer(Writer),
}

/// An embedder's [`InputStream`]. Clones share it.
#[derive(Clone, Debug)]
pub struct Reader(SharedInput);

/// An embedder's [`OutputStream`]. Clones share it.
#[derive(Clone, Debug)]
pub struct Writer(SharedOutput);

impl Stdio {
    /// A stream of these bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Stdio {
        Stdio::Bytes(bytes.into().into())
    }

    /// An open file, pipe or socket.
    pub fn file(file: impl Into<OwnedFd>) -> Stdio {
        Stdio::File(Arc::new(file.into()))
    }

    /// What the embedder supplies as it comes: a request's body, a [`crate::PipeReader`]. For stdin.
    pub fn reader(stream: impl InputStream + 'static) -> Stdio {
        Stdio::Reader(Reader(SharedInput::new(stream)))
    }

    /// What the embedder takes as it goes: a response's body, a [`crate::PipeWriter`]. For stdout and stderr.
    pub fn writer(stream: impl OutputStream + 'static) -> Stdio {
        Stdio::Writer(Writer(SharedOutput::new(stream)))
    }

    /// The descriptor of standard stream `number`.
    pub(crate) fn open(self, number: usize) -> Result<Descriptor, BuildError> {
        let output = number > 0;
        let stream = match self {
            Stdio::Inherit => return Ok(host_descriptor(HostFd::Inherited(inherited(number)), output)),
            Stdio::File(file) => return Ok(host_descriptor(HostFd::Shared(file), output)),
            Stdio::Bytes(_) | Stdio::Reader(_) if output => return Err(BuildError::InputAsOutput),
            Stdio::Writer(_) if !output => return Err(BuildError::OutputAsInput),
            Stdio::Reader(Reader(stream)) => Stream::Input(stream),
            Stdio::Writer(Writer(stream)) => Stream::Output(stream),
            Stdio::Null => Stream::Null,
            Stdio::Bytes(bytes) => Stream::Bytes { bytes, position: 0 },
            Stdio::Buffer(buffer) => Stream::Buffer(buffer),
        };
        // Null is like /dev/null: a character device, and no terminal.
        let (filetype, extra) = match stream {
            Stream::Null => (FileType::CharacterDevice, Rights::POSITION),
            _ => (FileType::Unknown, Rights::NONE),
        };
        let base = stream_rights(output).or(extra);
        Ok(Descriptor { kind: Kind::Stream(stream), filetype, flags: FdFlags::NONE, base, inheriting: Rights::NONE })
    }
}

fn inherited(number: usize) -> BorrowedFd<'static> {
    match number {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    }
}

fn stream_rights(output: bool) -> Rights {
    let direction = if output { Rights::FD_WRITE.or(Rights::FD_SYNC).or(Rights::FD_DATASYNC) } else { Rights::FD_READ };
    direction.or(Rights::STREAM)
}

/// A stream that the host's file system or terminal provides. A closed one is like any unknown device.
fn host_descriptor(fd: HostFd, output: bool) -> Descriptor {
    let host_type = fstat(&fd).map_or(HostFileType::Unknown, |stat| HostFileType::from_raw_mode(stat.st_mode));
    let filetype = FileType::from(host_type);
    let seekable = match host_type {
        HostFileType::RegularFile | HostFileType::BlockDevice => Rights::POSITION.or(Rights::FD_ADVISE),
        HostFileType::CharacterDevice if !fd.as_fd().is_terminal() => Rights::POSITION,
        HostFileType::Socket => Rights::SOCK_SHUTDOWN,
        _ => Rights::NONE,
    };
    let kind = Kind::Host(HostFile { fd, waits: host_type != HostFileType::RegularFile, read_only: false });
    let base = stream_rights(output).or(seekable);
    Descriptor { kind, filetype, flags: FdFlags::NONE, base, inheriting: Rights::NONE }
}

/// Bytes that instances write and the embedder reads, up to a cap. Clones share them.
#[derive(Clone)]
pub struct Buffer(Arc<Mutex<Inner>>);

struct Inner {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Buffer {
    /// An empty buffer that never holds more than so many bytes. A guest that writes more gets `ENOSPC`.
    pub fn new(bytes_max: usize) -> Buffer {
        Buffer(Arc::new(Mutex::new(Inner { bytes: Vec::new(), bytes_max })))
    }

    /// A copy of what is in it.
    pub fn contents(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// What is in it; then it is empty.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> Answer<usize> {
        let mut inner = self.lock();
        let before = inner.bytes.len();
        for slice in slices {
            let room = inner.bytes_max.saturating_sub(inner.bytes.len());
            inner.bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        match inner.bytes.len() - before {
            0 if slices.iter().any(|slice| !slice.is_empty()) => Err(Errno::Nospc),
            written => Ok(written),
        }
    }

    fn read(&self, slices: &mut [IoSliceMut<'_>]) -> usize {
        let mut inner = self.lock();
        let done = copy(&inner.bytes, slices);
        inner.bytes.drain(..done);
        done
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        write!(f, "Buffer({} of {} bytes)", inner.bytes.len(), inner.bytes_max)
    }
}

/// A stream that is not the kernel's.
#[derive(Clone, Debug)]
pub(crate) enum Stream {
    Null,
    Bytes { bytes: Arc<[u8]>, position: usize },
    Buffer(Buffer),
    Input(SharedInput),
    Output(SharedOutput),
}

impl Stream {
    /// Reads; `number` is the guest's, for waiting.
    pub(crate) fn read(&mut self, number: u32, flags: FdFlags, slices: &mut [IoSliceMut<'_>]) -> Attempt<usize> {
        match self {
            Stream::Null => Ok(0),
            Stream::Buffer(buffer) => Ok(buffer.read(slices)),
            Stream::Input(stream) => stream.read(number, flags, slices),
            Stream::Output(_) => Err(Errno::Badf.into()),
            Stream::Bytes { bytes, position } => {
                let done = copy(&bytes[*position..], slices);
                *position += done;
                Ok(done)
            }
        }
    }

    /// Writes; `number` is the guest's, for waiting.
    pub(crate) fn write(&self, number: u32, flags: FdFlags, slices: &[IoSlice<'_>]) -> Attempt<usize> {
        match self {
            Stream::Null => Ok(slices.iter().fold(0, |sum: usize, slice| sum.saturating_add(slice.len()))),
            Stream::Bytes { .. } | Stream::Input(_) => Err(Errno::Badf.into()),
            Stream::Buffer(buffer) => Ok(buffer.write(slices)?),
            Stream::Output(stream) => stream.write(number, flags, slices),
        }
    }

    /// Whether a read or write would do something at once. If not, the waker is woken when it may.
    pub(crate) fn poll_ready(&self, direction: Direction, context: &mut Context<'_>) -> Poll<()> {
        match (self, direction) {
            (Stream::Input(stream), Direction::Read) => stream.poll_ready(context),
            (Stream::Output(stream), Direction::Write) => stream.poll_ready(context),
            _ => Poll::Ready(()),
        }
    }

    /// How many bytes can be read at once, if it is ready.
    pub(crate) fn available_bytes(&self) -> usize {
        match self {
            Stream::Null | Stream::Output(_) => 0,
            Stream::Bytes { bytes, position } => bytes.len() - position,
            Stream::Buffer(buffer) => buffer.lock().bytes.len(),
            // It does not say; there is something.
            Stream::Input(_) => 1,
        }
    }
}

fn copy(mut from: &[u8], slices: &mut [IoSliceMut<'_>]) -> usize {
    let all = from.len();
    for slice in slices {
        let (now, later) = from.split_at(slice.len().min(from.len()));
        slice[..now.len()].copy_from_slice(now);
        from = later;
    }
    all - from.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_says_so() {
        let buffer = Buffer::new(5);
        assert_eq!(buffer.write(&[IoSlice::new(b"abc"), IoSlice::new(b"def")]), Ok(5));
        assert_eq!(buffer.write(&[IoSlice::new(b"")]), Ok(0));
        assert_eq!(buffer.write(&[IoSlice::new(b"x")]), Err(Errno::Nospc));
        assert_eq!(buffer.take(), b"abcde");
        assert_eq!(buffer.write(&[IoSlice::new(b"x")]), Ok(1));
    }

    #[test]
    fn bytes_are_read_to_their_end() {
        let mut stream = Stream::Bytes { bytes: Arc::from(*b"hello"), position: 0 };
        let (mut a, mut b) = ([0; 2], [0; 2]);
        let read = |stream: &mut Stream, slices: &mut [IoSliceMut<'_>]| stream.read(0, FdFlags::NONE, slices).unwrap();
        assert_eq!(read(&mut stream, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]), 4);
        assert_eq!((&a, &b, stream.available_bytes()), (b"he", b"ll", 1));
        assert_eq!(read(&mut stream, &mut [IoSliceMut::new(&mut a)]), 1);
        assert_eq!(read(&mut stream, &mut [IoSliceMut::new(&mut a)]), 0);
        assert_eq!(stream.write(0, FdFlags::NONE, &[]), Err(Errno::Badf.into()));
    }
}
