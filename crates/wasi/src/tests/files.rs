use super::*;
use crate::Quotas;

#[test]
fn files_are_written_read_and_positioned() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let fd = guest.open("new", OpenFlags::CREAT).unwrap();
    assert_eq!(guest.write(fd, "0123456789"), Ok(10));
    assert_eq!(guest.seek(fd, -4, 2), Ok(6));
    assert_eq!(guest.read(fd, 100).unwrap(), "6789");
    assert_eq!(guest.read(fd, 100).unwrap(), "");
    assert_eq!(guest.seek(fd, 0, 1), Ok(10));
    assert_eq!(guest.seek(fd, -11, 1), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, -1, 0), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, 0, 3), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, 20, 0), Ok(20));
    assert_eq!(guest.write(fd, "x"), Ok(1));
    assert_eq!(std::fs::read(guest.host("new")).unwrap(), b"0123456789\0\0\0\0\0\0\0\0\0\0x");
    guest.wasi.fd_filestat_set_size(&mut guest.mem, fd, 2).unwrap();
    assert_eq!(guest.stat("new", 0), Ok((4, 2)));
    guest.wasi.fd_allocate(&mut guest.mem, fd, 0, 100).unwrap();
    assert_eq!(guest.stat("new", 0), Ok((4, 100)));
    assert_eq!(guest.wasi.fd_allocate(&mut guest.mem, fd, u64::MAX, 1), Err(Errno::Inval));
    for function in [Wasi::fd_sync, Wasi::fd_datasync] {
        function(&mut guest.wasi, &mut guest.mem, fd).unwrap();
    }
    guest.wasi.fd_advise(&mut guest.mem, fd, 0, 0, 3).unwrap();
    assert_eq!(guest.wasi.fd_advise(&mut guest.mem, fd, 0, 0, 6), Err(Errno::Inval));
}

#[test]
fn positions_can_be_given_with_the_data() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let fd = guest.open("file", OpenFlags::NONE).unwrap();
    let iovecs = guest.iovec(3);
    guest.wasi.fd_pread(&mut guest.mem, fd, iovecs, 1, 3, GuestPtr::new(RESULT)).unwrap();
    assert_eq!(guest.data(3), "ten");
    guest.text(DATA, "XYZ");
    guest.wasi.fd_pwrite(&mut guest.mem, fd, iovecs, 1, 5, GuestPtr::new(RESULT)).unwrap();
    assert_eq!(guest.read(fd, 100).unwrap(), "conteXYZ");
    let beyond = guest.wasi.fd_pread(&mut guest.mem, fd, iovecs, 1, u64::MAX, GuestPtr::new(RESULT));
    assert_eq!(beyond, Err(Errno::Inval));
}

#[test]
fn appending_can_be_switched() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let fd = guest.open_with("file", 0, OpenFlags::NONE, Rights::FILE, FdFlags::APPEND).unwrap();
    guest.write(fd, "+").unwrap();
    guest.wasi.fd_fdstat_set_flags(&mut guest.mem, fd, 0).unwrap();
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, "-").unwrap();
    assert_eq!(std::fs::read(guest.host("file")).unwrap(), b"-ontents+");
    assert_eq!(guest.wasi.fd_fdstat_set_flags(&mut guest.mem, fd, 2), Err(Errno::Notsup), "dsync");
    assert_eq!(guest.wasi.fd_fdstat_set_flags(&mut guest.mem, fd, 32), Err(Errno::Inval));
}

#[test]
fn rights_only_shrink() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let fd = guest.open("file", OpenFlags::NONE).unwrap();
    let (read, write) = (Rights::FD_READ.0, Rights::FD_WRITE.0);
    guest.wasi.fd_fdstat_set_rights(&mut guest.mem, fd, read, 0).unwrap();
    assert_eq!(guest.write(fd, "x"), Err(Errno::Notcapable));
    assert_eq!(guest.seek(fd, 0, 0), Err(Errno::Notcapable));
    assert_eq!(guest.read(fd, 3).unwrap(), "con");
    assert_eq!(guest.wasi.fd_fdstat_set_rights(&mut guest.mem, fd, read | write, 0), Err(Errno::Notcapable));
    // A directory passes on no more than it may.
    let inheriting = Rights::FD_READ.or(Rights::FD_WRITE);
    let base = Rights::DIRECTORY.without(Rights::PATH_CREATE_FILE);
    guest.wasi.fd_fdstat_set_rights(&mut guest.mem, ROOT, base.0, inheriting.0).unwrap();
    assert_eq!(guest.open("file", OpenFlags::NONE), Err(Errno::Notcapable));
    let (path, len) = guest.text(PATH, "file");
    let mut open = |open: OpenFlags, inheriting: Rights| {
        let result = GuestPtr::new(RESULT);
        guest.wasi.path_open(&mut guest.mem, ROOT, 0, path, len, open.0.into(), read, inheriting.0, 0, result)
    };
    assert_eq!(open(OpenFlags::NONE, Rights::NONE), Ok(()));
    assert_eq!(open(OpenFlags::NONE, Rights::FD_SYNC), Err(Errno::Notcapable));
    assert_eq!(open(OpenFlags::CREAT, Rights::NONE), Err(Errno::Notcapable));
}

#[test]
fn times_are_set_to_the_nanosecond() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let (path, len) = guest.text(PATH, "link");
    let time = 1_234_567_890_123_456_789;
    guest.wasi.path_filestat_set_times(&mut guest.mem, ROOT, FOLLOW, path, len, time, time + 1, 5).unwrap();
    guest.stat("file", 0).unwrap();
    let at = |offset| GuestPtr::<u64>::new(RESULT + offset).read(&guest.mem).unwrap();
    assert_eq!([at(40), at(48)], [time, time + 1]);
    guest.stat("link", 0).unwrap();
    assert_ne!(GuestPtr::<u64>::new(RESULT + 48).read(&guest.mem).unwrap(), time + 1);
}

#[test]
fn descriptors_run_out_before_files_are_created() {
    let mut guest =
        Guest::with(DirAccess::ReadWrite, |builder| builder.quotas(Quotas { descriptors_max: 5, ..Quotas::default() }));
    let fd = guest.open("file", OpenFlags::NONE).unwrap();
    assert_eq!(guest.open("new", OpenFlags::CREAT), Err(Errno::Mfile));
    assert!(!guest.host("new").exists());
    guest.close(fd).unwrap();
    assert_eq!(guest.open("new", OpenFlags::CREAT), Ok(fd));
    assert_eq!(guest.close(77), Err(Errno::Badf));
}
