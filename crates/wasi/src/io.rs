//! Reading, writing and seeking.
//!
//! Data goes between the host's kernel and guest memory without a copy, in one system call for all buffers.

use std::borrow::Cow;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;

use rustix::fs::SeekFrom;
use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::descriptor::{Descriptor, Kind};
use crate::errno::{Answer, Errno};
use crate::flags::{FdFlags, Rights};
use crate::memory::{after, buffers, check, gather, scatter};
use crate::quota::{shorten, total};
use crate::stdio::Stream;
use crate::types::{FileType, Iovec};
use crate::wait::{Attempt, Stop};

impl Descriptor {
    /// Reads; `number` is the guest's for it, as below.
    fn read(&mut self, number: u32, slices: &mut [IoSliceMut<'_>]) -> Attempt<usize> {
        match &mut self.kind {
            Kind::Stream(stream) => stream.read(number, self.flags, slices),
            Kind::Host(file) => file.read(number, self.flags, slices),
            Kind::Tree(opened) => Ok(opened.read(slices)?),
            Kind::Directory(_) => Err(Errno::Isdir.into()),
        }
    }

    fn write(&self, number: u32, slices: &[IoSlice<'_>]) -> Attempt<usize> {
        match &self.kind {
            Kind::Stream(stream) => stream.write(number, self.flags, slices),
            Kind::Host(file) => file.write(number, self.flags, slices),
            Kind::Tree(_) => Err(Errno::Rofs.into()),
            Kind::Directory(_) => Err(Errno::Isdir.into()),
        }
    }

    /// Whether a write returns only once all is taken, as a pipe's in blocking mode does: simple programs do not look
    /// how much was.
    fn takes_all(&self) -> bool {
        matches!(self.kind, Kind::Stream(Stream::Output(_))) && !self.flags.contains(FdFlags::NONBLOCK)
    }

    fn read_at(&self, position: u64, slices: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        match &self.kind {
            Kind::Tree(opened) => opened.read_at(position, slices),
            _ => Ok(rustix::io::preadv(self.host()?, slices, position)?),
        }
    }

    fn seek(&mut self, to: SeekFrom) -> Answer<u64> {
        match &mut self.kind {
            // Like /dev/null, the one stream with the right to seek.
            Kind::Stream(_) => Ok(0),
            Kind::Host(file) => Ok(rustix::fs::seek(file, to)?),
            Kind::Tree(_) if self.filetype == FileType::Directory => Err(Errno::Isdir),
            Kind::Tree(opened) => opened.seek(to),
            Kind::Directory(_) => Err(Errno::Isdir),
        }
    }
}

/// What is offered at once to a stream that takes all in the end: each offer looks at all its pages.
const PIECE_BYTES: u64 = 1 << 20;

/// How much was done, as the guest sees it. The kernel does at most 2 GiB at once.
fn count(done: usize) -> u32 {
    u32::try_from(done).unwrap_or(u32::MAX)
}

impl Wasi {
    pub(crate) fn fd_read(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        iovecs: GuestPtr<Iovec>,
        iovecs_len: u32,
        done: GuestPtr<u32>,
    ) -> Attempt {
        let descriptor = self.table.get_mut(fd, Rights::FD_READ)?;
        let buffers = buffers(mem, iovecs, iovecs_len)?;
        check(mem, done)?;
        let read = scatter(mem, &buffers, |slices| descriptor.read(fd, slices))?;
        Ok(done.write(mem, &count(read))?)
    }

    pub(crate) fn fd_pread(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        iovecs: GuestPtr<Iovec>,
        iovecs_len: u32,
        offset: u64,
        done: GuestPtr<u32>,
    ) -> Answer {
        let descriptor = self.table.at_position(fd, Rights::FD_READ.or(Rights::FD_SEEK))?;
        let buffers = buffers(mem, iovecs, iovecs_len)?;
        check(mem, done)?;
        let read = scatter(mem, &buffers, |slices| descriptor.read_at(offset, slices))?;
        Ok(done.write(mem, &count(read))?)
    }

    pub(crate) fn fd_write(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        iovecs: GuestPtr<Iovec>,
        iovecs_len: u32,
        done: GuestPtr<u32>,
    ) -> Attempt {
        let takes_all = self.table.get(fd, Rights::FD_WRITE)?.takes_all();
        let all = buffers(mem, iovecs, iovecs_len)?;
        check(mem, done)?;
        let wanted = total(&all);
        let mut written = self.pending.moved_bytes;
        loop {
            let before = written;
            let rest = if before == 0 { Cow::Borrowed(&*all) } else { Cow::Owned(after(&all, before)) };
            match self.write_some(mem, fd, rest) {
                Ok(bytes) => written += bytes,
                // What was taken before a failure is told; the failure comes with the next call.
                Err(Stop::Errno(_)) if before > 0 => break,
                Err(stop) => {
                    self.pending.moved_bytes = before;
                    return Err(stop);
                }
            }
            if !takes_all || written == before || written as u64 >= wanted {
                break;
            }
        }
        Ok(done.write(mem, &count(written))?)
    }

    /// Writes what can be written of some buffers, and is allowed.
    fn write_some(&mut self, mem: &[u8], fd: u32, mut buffers: Cow<'_, [Range<usize>]>) -> Attempt<usize> {
        let descriptor = self.table.get(fd, Rights::FD_WRITE)?;
        let bytes_max = if descriptor.takes_all() { PIECE_BYTES } else { u64::MAX };
        let wanted = total(&buffers);
        let allowed = self.meter.allow(descriptor, wanted.min(bytes_max), None)?;
        if allowed.bytes < wanted {
            shorten(buffers.to_mut(), allowed);
        }
        let written = gather(mem, &buffers, |slices| descriptor.write(fd, slices))?;
        self.meter.count(allowed, written);
        Ok(written)
    }

    pub(crate) fn fd_pwrite(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        iovecs: GuestPtr<Iovec>,
        iovecs_len: u32,
        offset: u64,
        done: GuestPtr<u32>,
    ) -> Answer {
        let descriptor = self.table.at_position(fd, Rights::FD_WRITE.or(Rights::FD_SEEK))?;
        let file = descriptor.host()?;
        let mut buffers = buffers(mem, iovecs, iovecs_len)?;
        check(mem, done)?;
        let allowed = self.meter.allow(descriptor, total(&buffers), Some(offset))?;
        shorten(&mut buffers, allowed);
        let written = gather(mem, &buffers, |slices| rustix::io::pwritev(file, slices, offset))?;
        self.meter.count(allowed, written);
        Ok(done.write(mem, &count(written))?)
    }

    pub(crate) fn fd_seek(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        offset: i64,
        whence: u32,
        position: GuestPtr<u64>,
    ) -> Answer {
        // Asking for the position is `fd_tell`.
        let tells = whence == 1 && offset == 0;
        let descriptor = self.table.at_position_mut(fd, if tells { Rights::FD_TELL } else { Rights::FD_SEEK })?;
        let to = match whence {
            0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Inval)?),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return Err(Errno::Inval),
        };
        check(mem, position)?;
        Ok(position.write(mem, &descriptor.seek(to)?)?)
    }

    pub(crate) fn fd_tell(&mut self, mem: &mut [u8], fd: u32, position: GuestPtr<u64>) -> Answer {
        let descriptor = self.table.at_position_mut(fd, Rights::FD_TELL)?;
        check(mem, position)?;
        Ok(position.write(mem, &descriptor.seek(SeekFrom::Current(0))?)?)
    }
}
