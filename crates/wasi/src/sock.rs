//! Stream sockets, on listeners and connections the embedder handed in. Guests cannot make any.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::PollFlags;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags};
use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::descriptor::{Descriptor, Kind};
use crate::errno::{Answer, Errno};
use crate::flags::{FdFlags, RiFlags, Rights, SdFlags};
use crate::host::{HostFd, HostFile};
use crate::memory::{buffers, check, gather, scatter};
use crate::types::{FileType, Iovec};

const CONNECTION: Rights = Rights::STREAM.or(Rights::FD_READ).or(Rights::FD_WRITE).or(Rights::SOCK_SHUTDOWN);
/// `roflags`: a message was longer than the buffers.
const RECV_DATA_TRUNCATED: u16 = 1;

/// A socket the embedder handed in: listening or connected.
pub(crate) fn granted(socket: Arc<OwnedFd>) -> Descriptor {
    let listens = rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false);
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

    pub(crate) fn sock_accept(&mut self, mem: &mut [u8], fd: u32, flags: u32, accepted: GuestPtr<u32>) -> Answer {
        let (listener, own_flags) = self.socket(fd, Rights::SOCK_ACCEPT)?;
        let flags = FdFlags::parse(flags)?;
        if flags.without(FdFlags::NONBLOCK) != FdFlags::NONE {
            return Err(Errno::Inval);
        }
        check(mem, accepted)?;
        self.table.has_room()?;
        listener.wait(own_flags, PollFlags::IN)?;
        let connection = rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?;
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
    ) -> Answer {
        let (socket, own_flags) = self.socket(fd, Rights::FD_READ)?;
        let flags = RiFlags::parse(flags)?;
        let buffers = buffers(mem, iovecs, iovecs_len)?;
        check(mem, done)?;
        check(mem, out_flags)?;
        let mut truncated = 0;
        let received = scatter(mem, &buffers, |slices| {
            socket.wait(own_flags, PollFlags::IN)?;
            let (bytes, cut) = receive(socket, slices, flags)?;
            truncated = if cut { RECV_DATA_TRUNCATED } else { 0 };
            Ok(bytes)
        })?;
        done.write(mem, &(received as u32))?;
        Ok(out_flags.write(mem, &truncated)?)
    }

    pub(crate) fn sock_send(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        iovecs: GuestPtr<Iovec>,
        iovecs_len: u32,
        flags: u32,
        done: GuestPtr<u32>,
    ) -> Answer {
        let (socket, own_flags) = self.socket(fd, Rights::FD_WRITE)?;
        if flags != 0 {
            return Err(Errno::Inval);
        }
        let buffers = buffers(mem, iovecs, iovecs_len)?;
        check(mem, done)?;
        socket.wait(own_flags, PollFlags::OUT)?;
        let nonblock = if own_flags.contains(FdFlags::NONBLOCK) { SendFlags::DONTWAIT } else { SendFlags::empty() };
        let mut no_control = SendAncillaryBuffer::default();
        let flags = SendFlags::NOSIGNAL | nonblock;
        let sent = rustix::net::sendmsg(socket, &gather(mem, &buffers), &mut no_control, flags)?;
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

/// How much was received, and whether a message was cut off.
fn receive(socket: &HostFile, slices: &mut [IoSliceMut<'_>], flags: RiFlags) -> Answer<(usize, bool)> {
    let mut host_flags = RecvFlags::CMSG_CLOEXEC;
    host_flags.set(RecvFlags::PEEK, flags.contains(RiFlags::PEEK));
    host_flags.set(RecvFlags::WAITALL, flags.contains(RiFlags::WAITALL));
    let mut no_room: [MaybeUninit<u8>; 0] = [];
    let mut control = RecvAncillaryBuffer::new(&mut no_room);
    let message = rustix::net::recvmsg(socket, slices, &mut control, host_flags)?;
    Ok((message.bytes, message.flags.contains(ReturnFlags::TRUNC)))
}
