//! Streams that the embedder supplies.

use std::io::{self, ErrorKind, Read, Write};
use std::task::{Context, Poll};
use std::time::Duration;

use super::*;
use crate::tests::waiting::{CLOCK, poll};
use crate::types::Awaited;
use crate::{InputStream, OutputStream, Stdio, pipe};

/// Fails, or claims to have done more than it could.
struct Odd(Option<ErrorKind>);

impl InputStream for Odd {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.map_or(Ok(usize::MAX), |kind| Err(kind.into()))
    }
}

impl OutputStream for Odd {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        self.0.map_or(Ok(usize::MAX), |kind| Err(kind.into()))
    }
}

#[test]
fn a_body_streams_in_and_out_no_faster_than_it_is_taken() {
    let (request, mut body) = pipe(7);
    let (mut response, out) = pipe(5);
    let mut guest =
        Guest::with(DirAccess::ReadOnly, |builder| builder.stdin(Stdio::reader(request)).stdout(Stdio::writer(out)));
    let text = "a body that is longer than either pipe holds".repeat(20);
    let sent = text.clone();
    let sender = std::thread::spawn(move || body.write_all(sent.as_bytes()));
    let receiver = std::thread::spawn(move || {
        let mut received = String::new();
        response.read_to_string(&mut received).map(|_| received)
    });
    loop {
        let part = guest.read(0, 100).unwrap();
        assert!(part.len() <= 7, "{part}");
        if part.is_empty() {
            break;
        }
        // All of it, however little the pipe holds.
        assert_eq!(guest.write(1, &part).unwrap() as usize, part.len());
    }
    guest.close(1).unwrap();
    drop(guest);
    sender.join().unwrap().unwrap();
    assert_eq!(receiver.join().unwrap().unwrap(), text);
}

#[test]
fn a_write_takes_all_or_says_how_much_it_did() {
    let (response, out) = pipe(5);
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| builder.stdout(Stdio::writer(out)));
    guest.wasi.fd_fdstat_set_flags(&mut guest.mem, 1, FdFlags::NONBLOCK.0.into()).unwrap();
    assert_eq!(guest.write(1, "longer than five"), Ok(5), "whoever does not wait is told");
    assert_eq!(guest.write(1, "more"), Err(Errno::Again));
    guest.wasi.fd_fdstat_set_flags(&mut guest.mem, 1, 0).unwrap();
    let reader = std::thread::spawn(move || {
        let mut response = response;
        let mut first = [0; 12];
        response.read_exact(&mut first).map(|()| first)
    });
    // The reader goes away in the middle of it.
    assert_eq!(guest.write(1, &"x".repeat(100)).map(|written| (7..100).contains(&written)), Ok(true));
    assert_eq!(&reader.join().unwrap().unwrap(), b"longexxxxxxx");
    assert_eq!(guest.write(1, "more"), Err(Errno::Pipe));
}

#[test]
fn they_can_be_waited_for_beside_clocks_and_files() {
    let (input, mut theirs) = pipe(4);
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| builder.stdin(Stdio::reader(input)));
    assert_eq!(poll(&mut guest, &[Awaited::FdRead(0), CLOCK]), Ok(vec![(1, 0, 0)]));
    guest.wasi.fd_fdstat_set_flags(&mut guest.mem, 0, FdFlags::NONBLOCK.0.into()).unwrap();
    assert_eq!(guest.read(0, 9), Err(Errno::Again));
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        theirs.write_all(b"abc").unwrap();
        theirs
    });
    assert_eq!(poll(&mut guest, &[Awaited::FdRead(0)]), Ok(vec![(0, 0, 1)]));
    assert_eq!(guest.read(0, 9).unwrap(), "abc");
    drop(writer.join().unwrap());
    assert_eq!(poll(&mut guest, &[Awaited::FdRead(0), CLOCK]), Ok(vec![(0, 0, 1)]), "the end");
    assert_eq!(guest.read(0, 9).unwrap(), "");
}

#[test]
fn their_errors_are_errnos_and_their_lies_harmless() {
    for (kind, errno) in [(ErrorKind::BrokenPipe, Errno::Pipe), (ErrorKind::Other, Errno::Io)] {
        let odd = || Odd(Some(kind));
        let mut guest = Guest::with(DirAccess::ReadOnly, |builder| {
            builder.stdin(Stdio::reader(odd())).stdout(Stdio::writer(odd()))
        });
        assert_eq!((guest.read(0, 9), guest.write(1, "x")), (Err(errno), Err(errno)));
    }
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| {
        builder.stdin(Stdio::reader(Odd(None))).stdout(Stdio::writer(Odd(None)))
    });
    assert_eq!((guest.read(0, 9).unwrap().len(), guest.write(1, "four")), (9, Ok(4)));
}
