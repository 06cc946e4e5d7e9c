//! Stream sockets, on listeners and connections the embedder handed in. Guests cannot make any.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno as Host;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags};
use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::descriptor::{Descriptor, Kind};
use crate::errno::{Answer, Errno};
use crate::flags::{FdFlags, RiFlags, Rights, SdFlags};
use crate::host::{HostFd, HostFile};
use crate::memory::{after, buffers, check, gather, scatter};
use crate::quota::{shorten, total};
use crate::types::{FileType, Iovec};
use crate::wait::{Attempt, Direction, Stop};

const CONNECTION: Rights = Rights::STREAM.or(Rights::FD_READ).or(Rights::FD_WRITE).or(Rights::SOCK_SHUTDOWN);
/// `roflags`: a message was longer than the buffers.
const RECV_DATA_TRUNCATED: u16 = 1;

/// A socket the embedder handed in: listening or connected.
pub(crate) fn granted(socket: Arc<OwnedFd>) -> Descriptor {
    let listens = rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false);
    // Several instances may wait for one connection, and there is no flag to accept without waiting.
    let _ = listens.then(|| rustix::io::ioctl_fionbio(&socket, true));
    let (base, inheriting) = if listens {
        (Rights::STREAM.or(Rights::SOCK_ACCEPT).or(Rights::SOCK_SHUTDOWN), CONNECTION)
    } else {
        (CONNECTION, Rights::NONE)
    };
    socket_descriptor(HostFd::Shared(socket), FdFlags::NONE, base, inheriting)
}

fn socket_descriptor(fd: HostFd, flags: FdFlags, base: Rights, inheriting: Rights) -> Descriptor {
    let kind = Kind::Host(HostFile { fd, waits: true, read_only: false });
    Descriptor { kind, filetype: FileType::SocketStream, flags, base, inheriting }
}

impl Wasi {
    /// A socket, its flags, and the rights to be used: what is no socket says so whatever its rights.
    fn socket(&self, fd: u32, rights: Rights) -> Answer<(&HostFile, FdFlags)> {
        let descriptor = self.table.any(fd)?;
        if descriptor.filetype != FileType::SocketStream {
            return Err(Errno::Notsock);
        }
        Ok((self.table.get(fd, rights)?.host()?, descriptor.flags))
    }

    pub(crate) fn sock_accept(&mut self, mem: &mut [u8], fd: u32, flags: u32, accepted: GuestPtr<u32>) -> Attempt {
        let (listener, own_flags) = self.socket(fd, Rights::SOCK_ACCEPT)?;
        let flags = FdFlags::parse(flags)?;
        if flags.without(FdFlags::NONBLOCK) != FdFlags::NONE {
            return Err(Errno::Inval.into());
        }
        check(mem, accepted)?;
        self.has_room()?;
        let connection = rustix::net::accept_with(listener, SocketFlags::CLOEXEC);
        let connection = listener.or_wait(fd, own_flags, Direction::Read, connection)?;
        let base = self.table.any(fd)?.inheriting;
        let descriptor = socket_descriptor(HostFd::Owned(connection), flags, base, Rights::NONE);
        let number = self.table.insert(descriptor)?;
        Ok(accepted.write(mem, &number)?)
    }

    #[expect(clippy::too_many_arguments, reason = "as many as the document says")]
    pub(crate) fn sock_recv(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        iovecs: GuestPtr<Iovec>,
        iovecs_len: u32,
        flags: u32,
        done: GuestPtr<u32>,
        out_flags: GuestPtr<u16>,
    ) -> Attempt {
        let (socket, own_flags) = self.socket(fd, Rights::FD_READ)?;
        let flags = RiFlags::parse(flags)?;
        let all = buffers(mem, iovecs, iovecs_len)?;
        check(mem, done)?;
        check(mem, out_flags)?;
        let before = self.pending.moved_bytes;
        let mut truncated = false;
        let received = scatter(mem, &after(&all, before), |slices| {
            let result = receive(socket, slices, flags);
            let (bytes, cut) = socket.or_wait(fd, own_flags, Direction::Read, result)?;
            truncated = cut;
            Ok(bytes)
        });
        let received = match received {
            // What came before the end, or before a failure, is to be had.
            Ok(0) | Err(Stop::Errno(_)) if before > 0 => before,
            Ok(bytes) if waits_for_more(&all, before + bytes, bytes, flags) => {
                self.pending.moved_bytes = before + bytes;
                return Err(Stop::Until(fd, Direction::Read));
            }
            result => before + result?,
        };
        done.write(mem, &(received as u32))?;
        Ok(out_flags.write(mem, &if truncated { RECV_DATA_TRUNCATED } else { 0 })?)
    }

    pub(crate) fn sock_send(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        iovecs: GuestPtr<Iovec>,
        iovecs_len: u32,
        flags: u32,
        done: GuestPtr<u32>,
    ) -> Attempt {
        let (socket, own_flags) = self.socket(fd, Rights::FD_WRITE)?;
        if flags != 0 {
            return Err(Errno::Inval.into());
        }
        let mut buffers = buffers(mem, iovecs, iovecs_len)?;
        check(mem, done)?;
        let allowed = self.meter.allow(self.table.any(fd)?, total(&buffers), None)?;
        shorten(&mut buffers, allowed);
        let mut no_control = SendAncillaryBuffer::default();
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = gather(mem, &buffers, |slices| rustix::net::sendmsg(socket, slices, &mut no_control, flags));
        let sent = socket.or_wait(fd, own_flags, Direction::Write, sent)?;
        self.meter.count(allowed, sent);
        Ok(done.write(mem, &(sent as u32))?)
    }

    pub(crate) fn sock_shutdown(&mut self, _mem: &mut [u8], fd: u32, how: u32) -> Answer {
        let (socket, _) = self.socket(fd, Rights::SOCK_SHUTDOWN)?;
        let how = SdFlags::parse(how)?;
        let how = match (how.contains(SdFlags::RD), how.contains(SdFlags::WR)) {
            (true, true) => Shutdown::Both,
            (true, false) => Shutdown::Read,
            (false, true) => Shutdown::Write,
            (false, false) => return Err(Errno::Inval),
        };
        Ok(rustix::net::shutdown(socket, how)?)
    }
}

/// Whether a guest that asked for all of it gets more: not if it only peeks, which starts anew each time.
fn waits_for_more(buffers: &[Range<usize>], filled: usize, now: usize, flags: RiFlags) -> bool {
    let wanted = buffers.iter().fold(0usize, |sum, range| sum.saturating_add(range.len()));
    let all = flags.contains(RiFlags::WAITALL) && !flags.contains(RiFlags::PEEK);
    all && now > 0 && filled < wanted
}

/// How much was received, and whether a message was cut off.
fn receive(socket: &HostFile, slices: &mut [IoSliceMut<'_>], flags: RiFlags) -> Result<(usize, bool), Host> {
    let mut host_flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    host_flags.set(RecvFlags::PEEK, flags.contains(RiFlags::PEEK));
    let mut no_room: [MaybeUninit<u8>; 0] = [];
    let mut control = RecvAncillaryBuffer::new(&mut no_room);
    let message = rustix::net::recvmsg(socket, slices, &mut control, host_flags)?;
    Ok((message.bytes, message.flags.contains(ReturnFlags::TRUNC)))
}
