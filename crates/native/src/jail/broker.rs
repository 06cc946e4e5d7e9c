//! Jailed work for a process that may start no processes itself.
//!
//! A broker is a process that was started before its client entered its jail. For each piece of work the client hands
//! it one end of a new pair of sockets. On it the broker reads the input to its end, has a child do the work in the jail
//! ([`Confined`]), and writes what came of it. It understands nothing of what passes through.
//!
//! The broker is jailed itself: it reads its own program and the libraries that it is linked with, and runs nothing else.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use thiserror::Error;

use super::handing::{receive, send};
use super::paths::{self, Grants};
use super::{Confined, ConfinedError, JailError, Lack, Layer, limits, privileges};

/// Before the output.
const DONE: u8 = b'+';
/// Before the reason why there is none: the input's fault.
const REFUSED: u8 = b'-';
/// It did not end in time.
const LATE: u8 = b't';
/// Before the reason why nothing was tried: the operator's to mend.
const UNABLE: u8 = b'!';
/// The longest reason.
const REASON_BYTES_MAX: usize = 64 << 10;

/// A process that has work done for this one.
#[derive(Debug)]
pub struct Broker {
    socket: OwnedFd,
    // Ends when the socket is closed.
    _process: Child,
}

/// There is no output.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// The broker does not answer: it has ended. The operator's to start again.
    #[error("the process that has modules compiled has ended: {0}; restart the server")]
    Gone(std::io::Error),
    /// It could not have it done. The operator's to mend.
    #[error("{0}")]
    Unable(String),
    /// The work cannot be done, for this reason. The input's fault.
    #[error("{0}")]
    Refused(String),
    /// It did not end in time. The input's fault, or the machine's.
    #[error("it did not end in time")]
    Late,
}

impl Broker {
    /// Starts a broker: a program that calls [`serve_broker`].
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut program: Command) -> std::io::Result<Broker> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let process = program.env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn()?;
        Ok(Broker { socket: ours, _process: process })
    }

    /// Has work done, and waits for it: it takes a thread of the caller's meanwhile. An output of more bytes is cut off.
    ///
    /// # Errors
    /// If there is no output, for whatever reason.
    pub fn run(&self, input: &[u8], output_bytes_max: usize) -> Result<Vec<u8>, BrokerError> {
        let answer = self.ask(input, output_bytes_max).map_err(BrokerError::Gone)?;
        let reason = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(REASON_BYTES_MAX)]).into_owned();
        match answer.split_first() {
            Some((&DONE, _)) => Ok(answer[1..].to_vec()),
            Some((&REFUSED, why)) => Err(BrokerError::Refused(reason(why))),
            Some((&UNABLE, why)) => Err(BrokerError::Unable(reason(why))),
            Some((&LATE, _)) => Err(BrokerError::Late),
            _ => Err(BrokerError::Gone(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn ask(&self, input: &[u8], output_bytes_max: usize) -> std::io::Result<Vec<u8>> {
        let (mut ours, theirs) = UnixStream::pair()?;
        send(&self.socket, b"w", Some(theirs.as_fd()), SendFlags::empty())?;
        drop(theirs);
        // Who reads no more may have answered already.
        let asked = ours.write_all(input).and_then(|()| ours.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        let heard = ours.take(output_bytes_max as u64 + 1).read_to_end(&mut answer);
        if answer.is_empty() { asked.and(heard).map(|_| answer) } else { Ok(answer) }
    }
}

/// The next descriptor that was sent; `None` when there is nobody left who could send.
fn handed_over(socket: impl AsFd) -> Result<Option<OwnedFd>, Errno> {
    loop {
        match receive(&socket, &mut [0])? {
            (0, None) => return Ok(None),
            (_, None) => {}
            (_, descriptor) => return Ok(descriptor),
        }
    }
}

/// What a broker does: enters its jail, and has children do work until its client is gone. The socket is its stdin.
///
/// At most `workers` children are at work at once. Call it first of all, in a process that was started for it. With
/// `accept_gaps` it goes on without what the kernel lacks of the jail; its client has told of that.
///
/// # Errors
/// If it cannot enter the jail, or there are no threads to be had.
pub fn serve_broker(
    work: &Confined,
    input_bytes_max: usize,
    workers: usize,
    accept_gaps: bool,
) -> Result<(), JailError> {
    enter(accept_gaps)?;
    let refused = |source| JailError::System { what: "start the threads", source };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let worker = std::thread::Builder::new().name("broker".into());
            worker.spawn_scoped(scope, || worker_loop(work, input_bytes_max)).map_err(refused)?;
        }
        Ok(())
    })
}

fn worker_loop(work: &Confined, input_bytes_max: usize) {
    while let Ok(Some(client)) = handed_over(std::io::stdin()) {
        // A client that does not listen any more has its reasons.
        let _ = attend(UnixStream::from(client), work, input_bytes_max);
    }
    // The client is gone: nobody waits for what others are at, and their children end with this process.
    std::process::exit(0)
}

fn attend(mut client: UnixStream, work: &Confined, input_bytes_max: usize) -> std::io::Result<()> {
    let mut input = Vec::new();
    (&client).take(input_bytes_max as u64 + 1).read_to_end(&mut input)?;
    let (kind, text) = if input.len() > input_bytes_max {
        (REFUSED, format!("the input is larger than the {input_bytes_max} bytes it may have"))
    } else {
        match work.run(&input) {
            Ok(answer) => {
                eprint!("{}", answer.said);
                client.write_all(&[DONE])?;
                return client.write_all(&answer.output);
            }
            Err(ConfinedError::Wall(_)) => (LATE, String::new()),
            Err(
                error @ (ConfinedError::Start { .. } | ConfinedError::Unjailed(_) | ConfinedError::NotJailed { .. }),
            ) => (UNABLE, error.to_string()),
            Err(error) => (REFUSED, error.to_string()),
        }
    };
    client.write_all(&[kind])?;
    client.write_all(text.as_bytes())
}

/// The broker's own jail. Its children inherit it, so it has no list of calls, which would be theirs as well.
fn enter(accept_gaps: bool) -> Result<(), JailError> {
    limits::alone()?;
    privileges::give_up(&[Layer::NoNewPrivileges, Layer::Capabilities], false)?;
    let grants = Grants { execute: programs()?, read: linking(), ..Grants::default() };
    match paths::restrict(&grants, &[Layer::Files, Layer::Network, Layer::Scope])? {
        Some(lack) if !accept_gaps => Err(JailError::Lacks(vec![lack])),
        Some(Lack::Landlock | Lack::Seccomp) | None => Ok(()),
    }
}

/// This program and what is linked to it, as mapped.
fn programs() -> Result<Vec<PathBuf>, JailError> {
    let maps = std::fs::read_to_string("/proc/self/maps");
    let maps = maps.map_err(|source| JailError::System { what: "list the libraries", source })?;
    let executable = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.contains('x')));
    let named = executable.filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])));
    // This program by its link, which holds when its file was replaced; a library that was replaced is not there.
    Ok(named.filter(|path| path.exists()).chain([PathBuf::from("/proc/self/exe")]).collect())
}

/// What starting a program reads besides: where libraries are, and how many threads it has.
fn linking() -> Vec<PathBuf> {
    ["/etc/ld.so.cache", "/proc"].into_iter().map(PathBuf::from).filter(|path| path.exists()).collect()
}
