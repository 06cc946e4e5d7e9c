//! Connections for a process that can make none: another makes them, to one address, and hands them over.
//!
//! ```text
//!   Dialer (in a server's jail) ──socket──► serve_dialer (outside it) ──► the address, and no other
//!           ◄── a connection, or why there is none ──
//! ```
//!
//! The address is fixed when the process is started: nothing that its client says changes it. It never looks at what
//! goes through a connection, and keeps none. Its jail is [`DialerJail`].

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::{DialerJail, JailError};

/// Asks for a connection.
const DIAL: &[u8] = b"d";
/// Comes with a connection.
const DIALED: u8 = b'+';
/// Before the reason why there is none.
const FAILED: u8 = b'-';
/// The longest reason.
const REASON_BYTES_MAX: usize = 512;

/// A process that connects for this one.
#[derive(Debug)]
pub struct Dialer {
    /// Held by whoever waits for an answer.
    socket: Mutex<OwnedFd>,
    // Ends when the socket is closed.
    _process: Child,
}

impl Dialer {
    /// Starts one: a program that calls [`serve_dialer`].
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut program: Command) -> std::io::Result<Dialer> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let process = program.env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn()?;
        Ok(Dialer { socket: Mutex::new(ours), _process: process })
    }

    /// A new connection, which does not block. It takes a thread of the caller's meanwhile, and one at a time is made.
    ///
    /// # Errors
    /// If there is none; [`std::io::ErrorKind::WouldBlock`] if another is being made.
    pub fn dial(&self) -> std::io::Result<TcpStream> {
        let socket = match self.socket.try_lock() {
            Ok(socket) => socket,
            // Nothing below leaves it half changed.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(std::io::ErrorKind::WouldBlock.into()),
        };
        let ended = || std::io::Error::other("the process that connects has ended; restart the server");
        send(&*socket, DIAL, None).map_err(|_| ended())?;
        let mut said = [0; 1 + REASON_BYTES_MAX];
        match receive(&*socket, &mut said).map_err(|_| ended())? {
            (count, Some(connection)) if said[..count] == [DIALED] => Ok(TcpStream::from(connection)),
            (count, _) if count > 0 && said[0] == FAILED => {
                Err(std::io::Error::other(String::from_utf8_lossy(&said[1..count]).into_owned()))
            }
            _ => Err(ended()),
        }
    }
}

/// What the process does: connects to this `HOST:PORT` whenever its client asks, until that is gone. The socket is its
/// stdin. Call it first of all, in a process that was started for it. With `accept_gaps` it goes on without what the
/// kernel lacks of its jail; its client has told of that.
///
/// # Errors
/// If it cannot enter the jail.
pub fn serve_dialer(address: &str, patience: Duration, accept_gaps: bool) -> Result<(), JailError> {
    let jail = DialerJail::new(address);
    match accept_gaps {
        true => jail.enter_with_what_there_is(|_| {})?,
        false => jail.enter()?,
    }
    let socket = std::io::stdin();
    let mut asked = [0; 1];
    while let Ok((1.., _)) = receive(&socket, &mut asked) {
        let answered = match connect(address, patience) {
            Ok(connection) => send(&socket, &[DIALED], Some(&connection)),
            Err(error) => {
                let mut text = vec![FAILED];
                text.extend(error.to_string().bytes().take(REASON_BYTES_MAX));
                send(&socket, &text, None)
            }
        };
        if answered.is_err() {
            break;
        }
    }
    Ok(())
}

/// The first of the address's that takes a connection.
fn connect(address: &str, patience: Duration) -> std::io::Result<TcpStream> {
    let mut failed = std::io::Error::other(format!("{address}: there is no such address"));
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(connection) => {
                // For whoever gets it: this is said of the connection and not of the descriptor.
                connection.set_nonblocking(true)?;
                return Ok(connection);
            }
            Err(error) => failed = std::io::Error::other(format!("{address}: {error}")),
        }
    }
    Err(failed)
}

fn send(socket: impl AsFd, bytes: &[u8], connection: Option<&TcpStream>) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = connection.map(|connection| [connection.as_fd()]);
    if let Some(descriptors) = &descriptors {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)), "there is room for one descriptor");
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// How many bytes came, none if nobody is left who could send, and the descriptor that came with them.
fn receive(socket: impl AsFd, bytes: &mut [u8]) -> std::io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        match recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(received) => {
                let descriptor = control.drain().find_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                    _ => None,
                });
                return Ok((received.bytes, descriptor));
            }
        }
    }
}
