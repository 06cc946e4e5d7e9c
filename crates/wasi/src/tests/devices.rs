//! What lies in a directory and is no file: it can neither hang the host nor tell of it.

use std::os::unix::net::UnixListener;

use super::*;
use crate::tests::waiting::poll;
use crate::types::{Awaited, Filestat};

fn granted(host: &str) -> Guest {
    let wasi = Wasi::builder().preopen_dir(host, "/", DirAccess::ReadWrite).unwrap().build().unwrap();
    Guest { wasi, mem: vec![0; MEMORY_BYTES], tree: tempfile::tempdir().unwrap() }
}

#[test]
fn nothing_of_the_process_is_opened_or_read() {
    let mut guest = granted("/proc");
    let own = |name: &str| format!("{}/{name}", std::process::id());
    for file in ["mem", "environ", "maps", "cmdline", "status", "fd/0", "task/../mem"] {
        for rights in [Rights::FD_READ, Rights::FD_WRITE, Rights::FILE] {
            let answer = guest.open_with(&own(file), FOLLOW, OpenFlags::NONE, rights, FdFlags::NONE);
            assert!(matches!(answer, Err(Errno::Acces | Errno::Loop | Errno::Notcapable)), "{file}: {answer:?}");
        }
    }
    for file in ["self/mem", "self/environ", "thread-self/stat", "uptime"] {
        assert_eq!(guest.open_to_read(file), Err(Errno::Acces), "{file}");
    }
    for link in ["root", "cwd", "exe", "root/etc/passwd", "cwd/Cargo.toml", "fd/0"] {
        let answer = guest.open_to_read(&own(link));
        assert!(matches!(answer, Err(Errno::Loop | Errno::Notcapable)), "{link}: {answer:?}");
        let answer = guest.readlink(&own(link), 1000);
        assert!(matches!(answer, Err(Errno::Acces | Errno::Loop | Errno::Notcapable)), "{link}: {answer:?}");
    }
    // It can be listed: that is all there is to it.
    let dir = guest.open_with(&own(""), FOLLOW, OpenFlags::DIRECTORY, Rights::FD_READDIR, FdFlags::NONE).unwrap();
    assert!(guest.list(dir, 4096).unwrap().contains(&"mem".to_owned()));
    assert!(guest.stat(&own("mem"), 0).is_ok());
}

#[test]
fn procfs_below_another_directory_is_the_same() {
    let mut guest = granted("/");
    for file in
        ["proc/self/mem", "proc/self/environ", "proc/1/environ", "dev/fd/0", "dev/stdin", "proc/self/root/etc/passwd"]
    {
        let answer = guest.open_to_read(file);
        assert!(matches!(answer, Err(Errno::Acces | Errno::Loop | Errno::Notcapable)), "{file}: {answer:?}");
    }
    assert!(guest.open_to_read("etc/passwd").is_ok());
}

#[test]
fn devices_are_what_they_are_and_do_not_hang() {
    let mut guest = granted("/dev");
    let null = guest.open("null", OpenFlags::NONE).unwrap();
    assert_eq!((guest.write(null, "vanishes"), guest.read(null, 9).unwrap()), (Ok(8), String::new()));
    let zero = guest.open_to_read("zero").unwrap();
    assert_eq!(guest.read(zero, 3).unwrap(), "\0\0\0");
    guest.wasi.fd_filestat_get(&mut guest.mem, zero, GuestPtr::<Filestat>::new(RESULT)).unwrap();
    assert_eq!(guest.mem[RESULT as usize + 16], 2, "a character device");
    // A terminal that nobody types at, or none: not one of these answers waits.
    for device in ["tty", "ptmx", "pts/ptmx", "console"] {
        if let Ok(fd) = guest.open_to_read(device) {
            assert!(guest.read(fd, 9).is_err(), "{device}");
            guest.close(fd).unwrap();
        }
    }
}

#[test]
fn sockets_and_fifos_in_a_directory() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let _listener = UnixListener::bind(guest.host("socket")).unwrap();
    let root = std::fs::File::open(guest.host("")).unwrap();
    rustix::fs::mkfifoat(root, c"fifo", rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    assert_eq!(guest.open("socket", OpenFlags::NONE), Err(Errno::Nxio));
    assert_eq!(guest.open_to_read("socket"), Err(Errno::Nxio));
    assert_eq!(guest.stat("socket", 0).unwrap().0, 6);
    assert_eq!(guest.stat("fifo", 0).unwrap().0, 0);
    let both = guest.open("fifo", OpenFlags::NONE).unwrap();
    assert_eq!(guest.read(both, 9), Err(Errno::Again));
    // Full, it does not wait either.
    let full = (0..100).map(|_| guest.write(both, &"x".repeat(4096))).find(Result::is_err);
    assert_eq!(full, Some(Err(Errno::Again)));
    assert_eq!(poll(&mut guest, &[Awaited::FdRead(both)]).unwrap().len(), 1);
    guest.at(Wasi::path_unlink_file, "socket").unwrap();
}
