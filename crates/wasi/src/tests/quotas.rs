use super::*;
use crate::{Quota, Quotas, Stdio};

fn guest(quotas: Quotas) -> Guest {
    Guest::with(DirAccess::ReadWrite, |builder| builder.quotas(quotas))
}

fn reached(guest: &Guest) -> Vec<Quota> {
    guest.wasi.quotas_reached().collect()
}

#[test]
fn what_is_written_counts_wherever_it_goes() {
    let mut guest = guest(Quotas { written_bytes_max: 20, ..Quotas::default() });
    let fd = guest.open("new", OpenFlags::CREAT).unwrap();
    assert_eq!([guest.write(1, "12345"), guest.write(fd, "1234567")], [Ok(5), Ok(7)]);
    guest.seek(fd, 0, 0).unwrap();
    assert_eq!(guest.write(fd, "1234567"), Ok(7), "over what is there");
    assert_eq!(reached(&guest), []);
    assert_eq!(
        [guest.write(2, "123"), guest.write(2, "1"), guest.write(fd, "1")],
        [Ok(1), Err(Errno::Dquot), Err(Errno::Dquot)]
    );
    assert_eq!(guest.write(fd, ""), Ok(0));
    assert_eq!((reached(&guest), guest.wasi.usage().written_bytes), (vec![Quota::WrittenBytes], 20));
}

#[test]
fn what_files_grow_by_counts() {
    let mut guest = guest(Quotas { disk_bytes_max: 10, ..Quotas::default() });
    let file = guest.open("file", OpenFlags::NONE).unwrap();
    assert_eq!(guest.write(file, "CONTENTS"), Ok(8), "as long as it was");
    assert_eq!(guest.wasi.usage().disk_bytes, 0);
    assert_eq!(guest.write(file, "123"), Ok(3));
    let new = guest.open("new", OpenFlags::CREAT).unwrap();
    assert_eq!([guest.write(new, "1234567890"), guest.write(new, "8")], [Ok(7), Err(Errno::Nospc)]);
    assert_eq!(reached(&guest), [Quota::DiskBytes]);
    let Guest { wasi, mem, .. } = &mut guest;
    assert_eq!(wasi.fd_filestat_set_size(mem, new, 8), Err(Errno::Nospc));
    assert_eq!(wasi.fd_allocate(mem, new, 0, 8), Err(Errno::Nospc));
    assert_eq!(wasi.fd_allocate(mem, new, u64::MAX, 8), Err(Errno::Nospc));
    assert_eq!(wasi.fd_allocate(mem, new, 0, 7), Ok(()));
    // What was cut off is there again, but no more than was charged.
    assert_eq!(wasi.fd_filestat_set_size(mem, new, 2), Ok(()));
    assert_eq!(wasi.fd_filestat_set_size(mem, file, 0), Ok(()));
    assert_eq!(wasi.usage().disk_bytes, 2);
    assert_eq!(wasi.fd_filestat_set_size(mem, file, 8), Ok(()));
    assert_eq!(wasi.fd_filestat_set_size(mem, file, 9), Err(Errno::Nospc));
    guest.open("new", OpenFlags::TRUNC).unwrap();
    assert_eq!(guest.wasi.usage().disk_bytes, 8);
    guest.at(Wasi::path_unlink_file, "file").unwrap();
    assert_eq!(guest.wasi.usage().disk_bytes, 8, "it is still open");
    assert_eq!(guest.write(1, "a stream is no disk"), Ok(19));
}

#[test]
fn a_hole_counts_and_appending_is_at_the_end() {
    let mut guest = guest(Quotas { disk_bytes_max: 10, ..Quotas::default() });
    let fd = guest.open_with("file", 0, OpenFlags::NONE, Rights::FILE, FdFlags::APPEND).unwrap();
    assert_eq!(guest.write(fd, "1234"), Ok(4));
    let iovecs = guest.iovec(3);
    let pwrite = |guest: &mut Guest, fd, offset| {
        guest.wasi.fd_pwrite(&mut guest.mem, fd, iovecs, 1, offset, GuestPtr::new(RESULT))?;
        Ok(guest.result::<u32>())
    };
    assert_eq!(pwrite(&mut guest, fd, 0), Ok(3), "appended, wherever it was meant to go");
    assert_eq!(guest.wasi.usage().disk_bytes, 7);
    let new = guest.open("new", OpenFlags::CREAT).unwrap();
    assert_eq!([pwrite(&mut guest, new, 3), pwrite(&mut guest, new, 2)], [Err(Errno::Nospc), Ok(1)]);
    assert_eq!(guest.wasi.usage().disk_bytes, 10);
}

#[test]
fn paths_are_as_long_as_they_may() {
    let mut guest = guest(Quotas { path_bytes_max: 5, ..Quotas::default() });
    assert!(guest.open_to_read("./dir").is_ok());
    assert_eq!(reached(&guest), []);
    assert_eq!(guest.open_to_read("././dir"), Err(Errno::Nametoolong));
    assert_eq!(guest.symlink("././dir", "short"), Err(Errno::Nametoolong));
    assert_eq!(reached(&guest), [Quota::PathBytes]);
}

#[test]
fn descriptors_are_counted_and_what_the_embedder_gave_is_its_own() {
    let quotas = Quotas { descriptors_max: 5, disk_bytes_max: 0, ..Quotas::default() };
    let log = tempfile::tempfile().unwrap();
    let mut guest = Guest::with(DirAccess::ReadWrite, |builder| builder.quotas(quotas).stdout(Stdio::file(log)));
    assert_eq!(guest.write(1, "a file of the embedder's"), Ok(24));
    assert_eq!(guest.wasi.usage().descriptors, 4);
    guest.open_to_read("file").unwrap();
    assert_eq!(guest.open_to_read("file"), Err(Errno::Mfile));
    assert_eq!((reached(&guest), guest.wasi.usage().descriptors), (vec![Quota::Descriptors], 5));
}
