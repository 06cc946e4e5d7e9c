//! Connections for a process that can make none: another makes them, and hands them over.
//!
//! ```text
//!   Dialer (in a server's jail) ──an ask, a socket for its answer──► serve_dialer (outside it) ──► others
//!           ◄── a connection, or why there is none ──
//! ```
//!
//! Whom an ask may lead to is decided there, by what the process was told when it was started: nothing that its client
//! says changes that. It never looks at what goes through a connection, and keeps none. Its jail is [`DialerJail`].
//!
//! Invariants:
//! * Each ask has a socket of its own for the answer, which ends with whoever has it: an ask is answered, or its asker
//!   learns that the process has ended; and of an asker that went away its ask is not followed.
//! * An ask holds up no other while a thread is free, and a bug that one finds takes nothing from the others.

use std::io::{Error, ErrorKind, Result};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, shutdown, socketpair};
use rustix::time::Timespec;

use super::handing::{receive, send};
use super::{DialerJail, JailError};

/// The longest ask.
pub const ASK_BYTES_MAX: usize = 512;
/// Comes with a connection.
const DIALED: u8 = b'+';
/// Before the reason why there is none: kinds of errors that are told apart on the other side.
const FAILED: [(u8, ErrorKind); 4] = [
    (b'-', ErrorKind::Other),
    (b'!', ErrorKind::PermissionDenied),
    (b'r', ErrorKind::ConnectionRefused),
    (b't', ErrorKind::TimedOut),
];
/// The longest reason.
const REASON_BYTES_MAX: usize = 512;
/// What asks take that wait, as the kernel counts, which takes twice that: some hundred and fifty. Each holds a descriptor,
/// and a process hands over no more while the user has more of them on their way than it may have open itself
/// (`limits::dialing`).
const ASKS_BYTES_MAX: usize = 64 << 10;
/// Stack of a thread that connects: finding addresses by names takes tens of KiB.
const STACK_BYTES: usize = 256 << 10;

/// A process that connects for this one.
#[derive(Debug)]
pub struct Dialer {
    socket: OwnedFd,
    // Ends when the socket is closed.
    _process: Child,
}

impl Dialer {
    /// Starts one: a program that calls [`serve_dialer`].
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut program: Command) -> Result<Dialer> {
        let (ours, theirs) = pair()?;
        set_socket_send_buffer_size(&ours, ASKS_BYTES_MAX)?;
        let process = program.env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn()?;
        Ok(Dialer { socket: ours, _process: process })
    }

    /// A new connection, which does not block. What is asked, only the other process understands. It takes a thread of
    /// the caller's meanwhile, for so long at most; any number may ask at once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is longer than [`ASK_BYTES_MAX`], [`ErrorKind::WouldBlock`] if too many wait
    /// already, [`ErrorKind::TimedOut`] if there was no answer in time; whatever there is no connection for besides.
    pub fn dial(&self, ask: &str, patience: Duration) -> Result<TcpStream> {
        if ask.len() > ASK_BYTES_MAX {
            let why = format!("{} bytes say where to connect, there may be {ASK_BYTES_MAX}", ask.len());
            return Err(Error::new(ErrorKind::InvalidInput, why));
        }
        let (ours, theirs) = pair()?;
        match send(&self.socket, ask.as_bytes(), Some(theirs.as_fd()), SendFlags::DONTWAIT) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::TOOMANYREFS) => {
                return Err(Error::new(ErrorKind::WouldBlock, "too many connections are waited for"));
            }
            Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => return Err(ended()),
            Err(error) => return Err(error.into()),
        }
        // Then nobody has it who would not answer.
        drop(theirs);
        if !comes(&ours, patience)? {
            // Closing would do, but for a child that is just being started and has a copy.
            let _ = shutdown(&ours, Shutdown::Both);
            return Err(Error::new(ErrorKind::TimedOut, "no connection was made in time"));
        }
        answer(&ours)
    }
}

/// Messages, from one end to the other.
fn pair() -> Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn ended() -> Error {
    Error::other("the process that connects has ended; restart the server")
}

/// Whether something comes, or the end, before patience does.
fn comes(socket: &OwnedFd, patience: Duration) -> Result<bool> {
    let began = Instant::now();
    loop {
        // So long that it does not matter, if it is more than the kernel counts.
        let left = Timespec::try_from(patience.saturating_sub(began.elapsed())).ok();
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(ready) => return Ok(ready > 0),
        }
    }
}

fn answer(socket: &OwnedFd) -> Result<TcpStream> {
    let mut said = [0; 1 + REASON_BYTES_MAX];
    let (count, connection) = receive(socket, &mut said).map_err(|_| ended())?;
    match (said[..count].split_first(), connection) {
        (Some((&DIALED, _)), Some(connection)) => Ok(TcpStream::from(connection)),
        (Some((mark, why)), _) => {
            let kind = FAILED.iter().find(|(known, _)| known == mark).map_or(ErrorKind::Other, |(_, kind)| *kind);
            Err(Error::new(kind, String::from_utf8_lossy(why)))
        }
        (None, _) => Err(ended()),
    }
}

/// What the process does: enters its jail, and makes a connection of each ask until its client is gone; then the process
/// ends. The socket is its stdin. Call it first of all, in a process that was started for it. With `accept_gaps` it goes
/// on without what the kernel lacks of its jail; its client has told of that.
///
/// So many threads as the jail has `connect` at once, each for an ask of its own; it should have a limit to its patience.
/// If it panics, its asker is told, and nobody else: it must not matter to one tenant what another asks for.
///
/// # Errors
/// If it cannot enter the jail, or there are no threads to be had.
pub fn serve_dialer(
    jail: &DialerJail,
    accept_gaps: bool,
    connect: impl Fn(&str) -> Result<TcpStream> + Sync,
) -> std::result::Result<(), JailError> {
    match accept_gaps {
        true => jail.enter_with_what_there_is(|_| {})?,
        false => jail.enter()?,
    }
    // Held until all have started: with fewer, none begins.
    let complete = RwLock::new(false);
    std::thread::scope(|scope| {
        let mut held = complete.write().unwrap_or_else(PoisonError::into_inner);
        for _ in 1..jail.threads_max() {
            let worker = || {
                if *complete.read().unwrap_or_else(PoisonError::into_inner) {
                    serve(&connect)
                }
            };
            let thread = std::thread::Builder::new().name("dialer".into()).stack_size(STACK_BYTES);
            let refused = |source| JailError::System { what: "start the threads", source };
            thread.spawn_scoped(scope, worker).map_err(refused)?;
        }
        *held = true;
        drop(held);
        serve(&connect)
    })
}

fn serve(connect: &impl Fn(&str) -> Result<TcpStream>) -> ! {
    let mut ask = [0; ASK_BYTES_MAX + 1];
    loop {
        match receive(std::io::stdin(), &mut ask) {
            Ok((count, Some(asker))) if waits(&asker) => reply(&asker, connection(&ask[..count], connect)),
            // The client is gone: nobody waits for what others are at.
            Ok((0, None)) | Err(_) => std::process::exit(0),
            Ok(_) => {}
        }
    }
}

/// Whether an asker is still there; it says nothing more.
fn waits(asker: &OwnedFd) -> bool {
    let mut byte = [0];
    recv(asker, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) == Err(Errno::AGAIN)
}

/// What comes of an ask.
fn connection(ask: &[u8], connect: &impl Fn(&str) -> Result<TcpStream>) -> Result<TcpStream> {
    let text = std::str::from_utf8(ask).ok().filter(|ask| ask.len() <= ASK_BYTES_MAX);
    let text = text.ok_or_else(|| Error::other("the process that connects does not understand where to"))?;
    // Of what it leaves half changed, only `connect` knows.
    let made = catch_unwind(AssertUnwindSafe(|| connect(text)));
    let connection =
        made.unwrap_or_else(|_| Err(Error::other("the process that connects has a bug, and said which")))?;
    // For whoever gets it: this is said of the connection and not of the descriptor.
    connection.set_nonblocking(true)?;
    Ok(connection)
}

/// An asker that does not listen any more has its reasons; what was made for it is closed.
fn reply(asker: &OwnedFd, made: Result<TcpStream>) {
    let _ = match made {
        Ok(connection) => send(asker, &[DIALED], Some(connection.as_fd()), SendFlags::DONTWAIT)
            .or_else(|error| refuse(asker, &Error::from(error))),
        Err(error) => refuse(asker, &error),
    };
}

fn refuse(asker: &OwnedFd, error: &Error) -> std::result::Result<(), Errno> {
    send(asker, &reason(error), None, SendFlags::DONTWAIT)
}

fn reason(error: &Error) -> Vec<u8> {
    let mark = FAILED.iter().find(|(_, known)| *known == error.kind()).map_or(FAILED[0].0, |(mark, _)| *mark);
    [mark].into_iter().chain(error.to_string().bytes().take(REASON_BYTES_MAX)).collect()
}
