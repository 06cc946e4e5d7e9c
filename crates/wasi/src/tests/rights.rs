//! Rights, as the document gives them to each function.

use super::*;
use crate::types::{Awaited, Fdstat, Subscription};
use crate::wait::{Attempt, IntoAttempt};

/// Calls a function on a descriptor, in some way that would succeed with all rights.
type Use = fn(&mut Wasi, &mut [u8], u32) -> Attempt;

const FILE: &[(&str, Rights, Use)] = &[
    ("fd_advise", Rights::FD_ADVISE, |wasi, mem, fd| wasi.fd_advise(mem, fd, 0, 0, 0).into_attempt()),
    ("fd_allocate", Rights::FD_ALLOCATE, |wasi, mem, fd| wasi.fd_allocate(mem, fd, 0, 1).into_attempt()),
    ("fd_datasync", Rights::FD_DATASYNC, |wasi, mem, fd| wasi.fd_datasync(mem, fd).into_attempt()),
    ("fd_sync", Rights::FD_SYNC, |wasi, mem, fd| wasi.fd_sync(mem, fd).into_attempt()),
    ("fd_fdstat_set_flags", Rights::FD_FDSTAT_SET_FLAGS, |wasi, mem, fd| {
        wasi.fd_fdstat_set_flags(mem, fd, 0).into_attempt()
    }),
    ("fd_filestat_get", Rights::FD_FILESTAT_GET, |wasi, mem, fd| {
        wasi.fd_filestat_get(mem, fd, GuestPtr::<Filestat>::new(RESULT)).into_attempt()
    }),
    ("fd_filestat_set_size", Rights::FD_FILESTAT_SET_SIZE, |wasi, mem, fd| {
        wasi.fd_filestat_set_size(mem, fd, 8).into_attempt()
    }),
    ("fd_filestat_set_times", Rights::FD_FILESTAT_SET_TIMES, |wasi, mem, fd| {
        wasi.fd_filestat_set_times(mem, fd, 0, 0, 0).into_attempt()
    }),
    ("fd_read", Rights::FD_READ, |wasi, mem, fd| {
        wasi.fd_read(mem, fd, GuestPtr::new(IOVECS), 1, GuestPtr::new(RESULT))
    }),
    ("fd_write", Rights::FD_WRITE, |wasi, mem, fd| {
        wasi.fd_write(mem, fd, GuestPtr::new(IOVECS), 1, GuestPtr::new(RESULT))
    }),
    ("fd_pread", Rights::FD_READ.or(Rights::FD_SEEK), |wasi, mem, fd| {
        wasi.fd_pread(mem, fd, GuestPtr::new(IOVECS), 1, 0, GuestPtr::new(RESULT)).into_attempt()
    }),
    ("fd_pwrite", Rights::FD_WRITE.or(Rights::FD_SEEK), |wasi, mem, fd| {
        wasi.fd_pwrite(mem, fd, GuestPtr::new(IOVECS), 1, 0, GuestPtr::new(RESULT)).into_attempt()
    }),
    ("fd_seek", Rights::FD_SEEK, |wasi, mem, fd| wasi.fd_seek(mem, fd, 1, 0, GuestPtr::new(RESULT)).into_attempt()),
    ("fd_seek that only tells", Rights::FD_TELL, |wasi, mem, fd| {
        wasi.fd_seek(mem, fd, 0, 1, GuestPtr::new(RESULT)).into_attempt()
    }),
    ("fd_tell", Rights::FD_TELL, |wasi, mem, fd| wasi.fd_tell(mem, fd, GuestPtr::new(RESULT)).into_attempt()),
    ("fd_fdstat_get", Rights::NONE, |wasi, mem, fd| {
        wasi.fd_fdstat_get(mem, fd, GuestPtr::<Fdstat>::new(RESULT)).into_attempt()
    }),
    ("fd_fdstat_set_rights", Rights::NONE, |wasi, mem, fd| wasi.fd_fdstat_set_rights(mem, fd, 0, 0).into_attempt()),
    ("fd_renumber", Rights::NONE, |wasi, mem, fd| wasi.fd_renumber(mem, fd, fd).into_attempt()),
    ("fd_close", Rights::NONE, |wasi, mem, fd| wasi.fd_close(mem, fd).into_attempt()),
];

/// On the granted directory; `file` is at `PATH`, `new` at `SECOND_PATH`.
const DIRECTORY: &[(&str, Rights, Use)] = &[
    ("fd_readdir", Rights::FD_READDIR, |wasi, mem, fd| {
        wasi.fd_readdir(mem, fd, GuestPtr::new(DATA), 100, 0, GuestPtr::new(RESULT)).into_attempt()
    }),
    ("path_create_directory", Rights::PATH_CREATE_DIRECTORY, |wasi, mem, fd| {
        wasi.path_create_directory(mem, fd, GuestPtr::new(SECOND_PATH), 3).into_attempt()
    }),
    ("path_remove_directory", Rights::PATH_REMOVE_DIRECTORY, |wasi, mem, fd| {
        wasi.path_remove_directory(mem, fd, GuestPtr::new(SECOND_PATH), 3).into_attempt()
    }),
    ("path_filestat_get", Rights::PATH_FILESTAT_GET, |wasi, mem, fd| {
        wasi.path_filestat_get(mem, fd, 0, GuestPtr::new(PATH), 4, GuestPtr::<Filestat>::new(RESULT)).into_attempt()
    }),
    ("path_filestat_set_times", Rights::PATH_FILESTAT_SET_TIMES, |wasi, mem, fd| {
        wasi.path_filestat_set_times(mem, fd, 0, GuestPtr::new(PATH), 4, 0, 0, 0).into_attempt()
    }),
    ("path_link", Rights::PATH_LINK_SOURCE.or(Rights::PATH_LINK_TARGET), |wasi, mem, fd| {
        wasi.path_link(mem, fd, 0, GuestPtr::new(PATH), 4, fd, GuestPtr::new(SECOND_PATH), 3).into_attempt()
    }),
    ("path_unlink_file", Rights::PATH_UNLINK_FILE, |wasi, mem, fd| {
        wasi.path_unlink_file(mem, fd, GuestPtr::new(SECOND_PATH), 3).into_attempt()
    }),
    ("path_symlink", Rights::PATH_SYMLINK, |wasi, mem, fd| {
        wasi.path_symlink(mem, GuestPtr::new(PATH), 4, fd, GuestPtr::new(SECOND_PATH), 3).into_attempt()
    }),
    ("path_readlink", Rights::PATH_READLINK, |wasi, mem, fd| {
        wasi.path_readlink(mem, fd, GuestPtr::new(SECOND_PATH), 3, GuestPtr::new(DATA), 9, GuestPtr::new(RESULT))
            .into_attempt()
    }),
    ("path_rename", Rights::PATH_RENAME_SOURCE.or(Rights::PATH_RENAME_TARGET), |wasi, mem, fd| {
        wasi.path_rename(mem, fd, GuestPtr::new(SECOND_PATH), 3, fd, GuestPtr::new(SECOND_PATH), 3).into_attempt()
    }),
    ("path_open", Rights::PATH_OPEN, |wasi, mem, fd| open(wasi, mem, fd, OpenFlags::NONE)),
    ("path_open that creates", Rights::PATH_OPEN.or(Rights::PATH_CREATE_FILE), |wasi, mem, fd| {
        open(wasi, mem, fd, OpenFlags::CREAT)
    }),
    ("path_open that truncates", Rights::PATH_OPEN.or(Rights::PATH_FILESTAT_SET_SIZE), |wasi, mem, fd| {
        open(wasi, mem, fd, OpenFlags::TRUNC)
    }),
];

fn open(wasi: &mut Wasi, mem: &mut [u8], fd: u32, open: OpenFlags) -> Attempt {
    let (path, opened) = (GuestPtr::new(PATH), GuestPtr::new(RESULT));
    wasi.path_open(mem, fd, 0, path, 4, open.0.into(), 0, 0, 0, opened).into_attempt()
}

/// Calls with each right that is needed taken away, which is refused, and with no other, which is not.
fn check(uses: &[(&str, Rights, Use)], all: Rights, fd: impl Fn(&mut Guest) -> u32) {
    for (what, needed, call) in uses {
        let missing = (0..30).map(|bit| Rights(1 << bit)).filter(|right| needed.contains(*right));
        let mut answers: Vec<_> = missing.map(|right| (all.without(right), Err(Errno::Notcapable))).collect();
        answers.push((*needed, Ok(())));
        for (rights, expected) in answers {
            // With the right to seek, one may tell.
            let implied = Rights::NONE.or_if(*needed == Rights::FD_TELL, Rights::FD_SEEK);
            let mut guest = Guest::new(DirAccess::ReadWrite);
            let fd = fd(&mut guest);
            guest.iovec(3);
            guest.text(PATH, "file");
            guest.text(SECOND_PATH, "new");
            guest.wasi.fd_fdstat_set_rights(&mut guest.mem, fd, rights.without(implied).0, 0).unwrap();
            let answer = guest.wasi.complete(&mut guest.mem, |wasi, mem| call(wasi, mem, fd));
            // What needs something to be there is right to miss it.
            let answer = if answer == Err(Errno::Noent) { Ok(()) } else { answer };
            assert_eq!(answer, expected, "{what} with {rights:?}");
        }
    }
}

#[test]
fn each_function_needs_its_rights_and_no_others() {
    check(FILE, Rights::FILE, |guest| guest.open("file", OpenFlags::NONE).unwrap());
    check(DIRECTORY, Rights::DIRECTORY, |_| ROOT);
}

#[test]
fn waiting_needs_the_right_to_wait_and_the_direction() {
    let event = |rights: Rights, what: fn(u32) -> Awaited| {
        let mut guest = Guest::new(DirAccess::ReadWrite);
        let fd = guest.open("file", OpenFlags::NONE).unwrap();
        guest.wasi.fd_fdstat_set_rights(&mut guest.mem, fd, rights.0, 0).unwrap();
        let subscription = Subscription { userdata: 0, what: what(fd) };
        GuestPtr::new(DATA).write(&mut guest.mem, &subscription).unwrap();
        let (events, len) = (GuestPtr::new(PATH), GuestPtr::new(RESULT));
        let subscriptions = GuestPtr::<Subscription>::new(DATA);
        let call = |wasi: &mut Wasi, mem: &mut [u8]| wasi.poll_oneoff(mem, subscriptions, events, 1, len);
        guest.wasi.complete(&mut guest.mem, call).unwrap();
        GuestPtr::<u16>::new(PATH + 8).read(&guest.mem).unwrap()
    };
    let refused = Errno::Notcapable as u16;
    let waits = Rights::POLL_FD_READWRITE;
    assert_eq!(event(waits.or(Rights::FD_READ), Awaited::FdRead), 0);
    assert_eq!(event(waits.or(Rights::FD_WRITE), Awaited::FdWrite), 0);
    assert_eq!(event(waits.or(Rights::FD_WRITE), Awaited::FdRead), refused);
    assert_eq!(event(waits.or(Rights::FD_READ), Awaited::FdWrite), refused);
    assert_eq!(event(Rights::FILE.without(waits), Awaited::FdRead), refused);
}
