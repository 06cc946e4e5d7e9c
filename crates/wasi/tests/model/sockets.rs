//! Calls on sockets: a connection whose other end the test has, and a listener that the test connects to.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use super::numbers::errno::{INVAL, NOTCAPABLE, NOTSOCK, PIPE};
use super::tree::Answer;
use super::{Call, Choices, Compared, DATA, IOVECS, RESULT, Run, SECOND_RESULT, What, same};

const CONNECTION: u32 = 4;
const LISTENER: u32 = 5;

const PEEK: u64 = 1;
const WAITALL: u64 = 2;

/// The test's side.
pub(super) struct Sockets {
    /// The other end of the connection.
    peer: UnixStream,
    /// What it sent and the guest has not received.
    sent: VecDeque<u8>,
    /// Which directions the guest has ended.
    reading_ended: bool,
    writing_ended: bool,
    /// Where the listener's socket is.
    place: tempfile::TempDir,
}

const SOCKET: &str = "socket";

impl Sockets {
    /// The test's side, the guest's connection and its listener.
    pub(super) fn new() -> io::Result<(Sockets, OwnedFd, OwnedFd)> {
        let (peer, connection) = UnixStream::pair()?;
        let place = tempfile::tempdir()?;
        let listener = UnixListener::bind(place.path().join(SOCKET))?;
        let sockets = Sockets { peer, sent: VecDeque::new(), reading_ended: false, writing_ended: false, place };
        Ok((sockets, connection.into(), listener.into()))
    }
}

impl Run {
    pub(super) fn socket(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let fd = choices.one_of(&[CONNECTION, CONNECTION, CONNECTION, LISTENER, fd])?;
        match choices.below(10)? {
            0..4 => self.send(choices, fd),
            4..8 => self.receive(choices, fd),
            8 => self.accept(choices, listener_instead(fd)),
            _ => self.shut_down(choices, fd),
        }
    }

    /// Whether this can be done with a descriptor: what it must be is `number`.
    fn is_socket(&self, fd: u32, number: u32) -> Answer {
        match self.get(fd, 0)?.what {
            What::Socket if fd == number => Ok(()),
            What::Socket => Err(NOTCAPABLE),
            _ => Err(NOTSOCK),
        }
    }

    fn send(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (len, byte) = (choices.below(40)?, choices.below(250)? as u8);
        let flags = u64::from(choices.one_in(8)?);
        self.put(DATA, &vec![byte; len as usize]);
        self.iovecs(len);
        let expected = self.is_socket(fd, CONNECTION).and(match self.sockets.writing_ended {
            _ if flags != 0 => Err(INVAL),
            true => Err(PIPE),
            false => Ok(()),
        });
        let arguments = vec![fd.into(), IOVECS.into(), 2, flags, RESULT.into()];
        let call = Call { name: "sock_send", arguments, outputs: vec![(RESULT, 4)] };
        let compared = self.call(choices, &call, expected)?;
        if let (Ok(()), Ok(())) = (expected, &compared) {
            let done = self.number(RESULT);
            let mut received = vec![0; len as usize];
            let read = self.sockets.peer.read_exact(&mut received).map_err(|error| error.to_string());
            return Some(read.and_then(|()| same(&(done, received), &(len, vec![byte; len as usize]))));
        }
        Some(compared)
    }

    fn receive(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (len, more, byte) = (choices.below(39)? + 1, choices.below(30)?, choices.below(250)? as u8);
        let flags = choices.one_of(&[0, 0, PEEK, WAITALL, PEEK | WAITALL, 4])?;
        // Nothing may have to wait: nobody would send.
        let least = if flags & WAITALL != 0 { len as usize } else { 1 };
        let missing = least.saturating_sub(self.sockets.sent.len()).max(more as usize);
        if fd == CONNECTION && !self.sockets.reading_ended {
            if let Err(error) = self.sockets.peer.write_all(&vec![byte; missing]) {
                return Some(Err(error.to_string()));
            }
            self.sockets.sent.extend(vec![byte; missing]);
        }
        self.iovecs(len);
        let expected = self.is_socket(fd, CONNECTION).and_then(|()| {
            let data: Vec<u8> = self.sockets.sent.iter().take(len as usize).copied().collect();
            if flags > (PEEK | WAITALL) { Err(INVAL) } else { Ok(data) }
        });
        let arguments = vec![fd.into(), IOVECS.into(), 2, flags, RESULT.into(), SECOND_RESULT.into()];
        let filled = expected.as_ref().map_or(0, |data| data.len() as u32);
        let outputs = vec![(DATA, filled), (RESULT, 4), (SECOND_RESULT, 2)];
        let answer = expected.as_ref().map(drop).map_err(|errno| *errno);
        let compared = self.call(choices, &Call { name: "sock_recv", arguments, outputs }, answer)?;
        let (Ok(data), Ok(())) = (expected, &compared) else { return Some(compared) };
        if flags & PEEK == 0 {
            self.sockets.sent.drain(..data.len());
        }
        let truncated = self.number(SECOND_RESULT) & 0xffff;
        Some(self.compare_data(&data).and_then(|()| same(&truncated, &0)))
    }

    /// Accepts a connection, and closes it.
    fn accept(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let flags = choices.one_of(&[0, 4, 1])?;
        let expected = self.is_socket(fd, LISTENER).and_then(|()| if flags == 1 { Err(INVAL) } else { self.room() });
        let connected = match expected {
            Ok(()) => UnixStream::connect(self.sockets.place.path().join(SOCKET)).map(Some),
            Err(_) => Ok(None),
        };
        let arguments = vec![fd.into(), flags, RESULT.into()];
        let call = Call { name: "sock_accept", arguments, outputs: vec![(RESULT, 4)] };
        let compared = self.call(choices, &call, expected)?;
        if let (Ok(()), Ok(())) = (expected, &compared) {
            let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len()) as u32;
            let number = self.number(RESULT);
            let closed = self.call_once(&Call::new("fd_close", vec![number.into()]), Ok(()));
            return Some(closed.and_then(|()| same(&number, &free)));
        }
        Some(compared.and_then(|()| connected.map(drop).map_err(|error| error.to_string())))
    }

    fn shut_down(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        // One that ends a direction is rare: little could be done afterwards.
        let how = if choices.one_in(8)? { choices.below(4)? } else { choices.one_of(&[0, 4, 255])? };
        let fd = connection_instead(fd);
        let expected = self.is_socket(fd, CONNECTION);
        let expected = expected.and_then(|()| if (1..4).contains(&how) { Ok(()) } else { Err(INVAL) });
        let compared = self.call(choices, &Call::new("sock_shutdown", vec![fd.into(), how.into()]), expected)?;
        if expected.is_ok() {
            self.sockets.reading_ended |= how & 1 != 0;
            self.sockets.writing_ended |= how & 2 != 0;
        }
        Some(compared)
    }
}

/// The listener in the place of the connection, on which nothing can be accepted.
fn listener_instead(fd: u32) -> u32 {
    if fd == CONNECTION { LISTENER } else { fd }
}

/// A listener that is shut down accepts nothing any more: it is left alone.
fn connection_instead(fd: u32) -> u32 {
    if fd == LISTENER { CONNECTION } else { fd }
}
