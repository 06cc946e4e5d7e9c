use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;
use crate::{Buffer, Stdio};

#[test]
fn streams_in_memory() {
    let (out, err) = (Buffer::new(8), Buffer::new(100));
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| {
        builder.stdin(Stdio::bytes("input")).stdout(Stdio::Buffer(out.clone())).stderr(Stdio::Buffer(err.clone()))
    });
    assert_eq!(guest.read(0, 3).unwrap(), "inp");
    assert_eq!(guest.read(0, 9).unwrap(), "ut");
    assert_eq!(guest.read(0, 9).unwrap(), "");
    assert_eq!(
        [guest.write(1, "hello "), guest.write(1, "world"), guest.write(1, "!")],
        [Ok(6), Ok(2), Err(Errno::Nospc)]
    );
    guest.write(2, "oops").unwrap();
    assert_eq!((out.contents(), err.take()), (b"hello wo".to_vec(), b"oops".to_vec()));
    assert_eq!(guest.write(0, "x"), Err(Errno::Notcapable));
    assert_eq!(guest.read(1, 1), Err(Errno::Notcapable));
    // Zig's library first tries to write at a position, and goes on if the stream says it has none.
    assert_eq!(guest.seek(1, 0, 0), Err(Errno::Spipe));
    let iovecs = guest.iovec(1);
    assert_eq!(guest.wasi.fd_pwrite(&mut guest.mem, 1, iovecs, 1, 0, GuestPtr::new(RESULT)), Err(Errno::Spipe));
}

#[test]
fn null_is_no_terminal() {
    let mut guest = Guest::new(DirAccess::ReadOnly);
    assert_eq!(guest.read(0, 9).unwrap(), "");
    assert_eq!(guest.write(1, "vanishes"), Ok(8));
    guest.wasi.fd_fdstat_get(&mut guest.mem, 1, GuestPtr::new(RESULT)).unwrap();
    assert_eq!(guest.mem[RESULT as usize], 2);
    let base: u64 = GuestPtr::new(RESULT + 8).read(&guest.mem).unwrap();
    assert!(Rights(base).contains(Rights::POSITION));
}

#[test]
fn nonblocking_is_the_guests_own_business() {
    let (ours, theirs) = std::io::pipe().unwrap();
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| builder.stdin(Stdio::file(ours)));
    guest.wasi.fd_fdstat_set_flags(&mut guest.mem, 0, FdFlags::NONBLOCK.0.into()).unwrap();
    assert_eq!(guest.read(0, 9), Err(Errno::Again));
    (&theirs).write_all(b"now").unwrap();
    assert_eq!(guest.read(0, 9).unwrap(), "now");
    drop(theirs);
    assert_eq!(guest.read(0, 9).unwrap(), "");
}

#[test]
fn a_fifo_in_a_directory_cannot_hang_the_host() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let root = std::fs::File::open(guest.host("")).unwrap();
    rustix::fs::mkfifoat(root, c"fifo", rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    assert_eq!(guest.open_with("fifo", 0, OpenFlags::NONE, Rights::FD_WRITE, FdFlags::NONE), Err(Errno::Nxio));
    let fd = guest.open_to_read("fifo").unwrap();
    assert_eq!(guest.read(fd, 9).unwrap(), "");
    let both = guest.open("fifo", OpenFlags::NONE).unwrap();
    assert_eq!(guest.read(both, 9), Err(Errno::Again));
    assert_eq!(guest.seek(both, 0, 0), Err(Errno::Spipe));
}

#[test]
fn sockets_that_were_handed_in() {
    let place = tempfile::tempdir().unwrap();
    let address = place.path().join("socket");
    let listener = UnixListener::bind(&address).unwrap();
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| builder.preopen_socket(listener));
    let listening = ROOT + 1;
    guest.wasi.fd_fdstat_set_flags(&mut guest.mem, listening, FdFlags::NONBLOCK.0.into()).unwrap();
    let accept = |guest: &mut Guest| {
        let accepted = GuestPtr::new(RESULT);
        guest.wasi.complete(&mut guest.mem, |wasi, mem| wasi.sock_accept(mem, listening, 0, accepted))
    };
    assert_eq!(accept(&mut guest), Err(Errno::Again));
    let mut client = UnixStream::connect(&address).unwrap();
    accept(&mut guest).unwrap();
    let connection: u32 = guest.result();
    client.write_all(b"question").unwrap();
    let iovecs = guest.iovec(100);
    let (done, out_flags) = (GuestPtr::new(RESULT), GuestPtr::new(RESULT + 4));
    for peek in [1, 0] {
        let receive =
            |wasi: &mut Wasi, mem: &mut [u8]| wasi.sock_recv(mem, connection, iovecs, 1, peek, done, out_flags);
        guest.wasi.complete(&mut guest.mem, receive).unwrap();
        assert_eq!((guest.result::<u32>(), guest.data(8)), (8, "question".to_owned()));
    }
    guest.text(DATA, "answer");
    let iovecs = guest.iovec(6);
    guest.wasi.complete(&mut guest.mem, |wasi, mem| wasi.sock_send(mem, connection, iovecs, 1, 0, done)).unwrap();
    guest.wasi.sock_shutdown(&mut guest.mem, connection, 2).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    drop(client);
    assert_eq!(guest.read(connection, 9).unwrap(), "");
    assert_eq!(guest.write(connection, "x"), Err(Errno::Pipe));
    assert_eq!(guest.read(listening, 9), Err(Errno::Notcapable));
}

#[test]
fn what_is_no_socket_says_so() {
    let mut guest = Guest::new(DirAccess::ReadOnly);
    for (fd, errno) in [(1, Errno::Notsock), (ROOT, Errno::Notsock), (99, Errno::Badf)] {
        assert_eq!(guest.wasi.sock_accept(&mut guest.mem, fd, 0, GuestPtr::new(RESULT)), Err(errno.into()));
        assert_eq!(guest.wasi.sock_shutdown(&mut guest.mem, fd, 1), Err(errno));
        let iovecs = guest.iovec(1);
        assert_eq!(guest.wasi.sock_send(&mut guest.mem, fd, iovecs, 1, 0, GuestPtr::new(RESULT)), Err(errno.into()));
    }
}

#[test]
fn all_of_a_message_is_waited_for_when_asked() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| builder.preopen_socket(ours));
    let iovecs = guest.iovec(9);
    let (done, out_flags) = (GuestPtr::new(RESULT), GuestPtr::new(RESULT + 4));
    let receive = |guest: &mut Guest| {
        let call = |wasi: &mut Wasi, mem: &mut [u8]| wasi.sock_recv(mem, ROOT + 1, iovecs, 1, 2, done, out_flags);
        guest.wasi.complete(&mut guest.mem, call)?;
        Ok::<_, Errno>(guest.data(guest.result()))
    };
    let writer = std::thread::spawn(move || {
        for part in ["one", "two", "three"] {
            theirs.write_all(part.as_bytes()).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    assert_eq!(receive(&mut guest).unwrap(), "onetwothr");
    assert_eq!(receive(&mut guest).unwrap(), "ee", "what came before the end");
    assert_eq!(receive(&mut guest).unwrap(), "");
    writer.join().unwrap();
}
