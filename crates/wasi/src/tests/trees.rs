//! Trees in memory: they answer as the same tree in a real directory that is granted for reading.

use super::*;

/// A path opened in some way.
type Opening = (&'static str, u32, OpenFlags, Rights, FdFlags);

#[test]
fn opening_answers_as_in_a_real_directory() {
    let paths = [
        "file",
        "dir",
        "link",
        "escape",
        "dangling",
        ".",
        "..",
        "dir/",
        "file/",
        "link/",
        "./dir/../file",
        "file/x",
        "none",
        "none/x",
        "dir/..",
        "dir/../..",
        "/file",
        "new/",
        "dangling/",
        "",
    ];
    let read = Rights::FD_READ.or(Rights::FD_SEEK);
    let opens = (0..16).map(|bits| OpenFlags(bits & OpenFlags::ALL.0));
    let mut compared = 0;
    for open in opens {
        for (lookup, rights) in [(0, read), (FOLLOW, read), (FOLLOW, Rights::FILE), (FOLLOW, Rights::FD_READDIR)] {
            for path in paths {
                compare((path, lookup, open, rights, FdFlags::NONE));
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 16 * 4 * 20);
}

fn compare(opening: Opening) {
    let answer = |mut guest: Guest| {
        let (path, lookup, open, rights, flags) = opening;
        let fd = guest.open_with(path, lookup, open, rights, flags)?;
        guest.wasi.fd_fdstat_get(&mut guest.mem, fd, GuestPtr::new(DATA))?;
        let fdstat = guest.mem[DATA as usize..][..24].to_vec();
        Ok::<_, Errno>((fdstat, guest.read(fd, 100), guest.seek(fd, 0, 2)))
    };
    assert_eq!(answer(Guest::in_memory()), answer(Guest::new(DirAccess::ReadOnly)), "{opening:?}");
}

#[test]
fn looking_answers_as_in_a_real_directory() {
    let paths = ["file", "dir", "link", "escape", "dangling", ".", "..", "dir/", "file/", "link/", "none", "/file", ""];
    let (mut tree, mut real) = (Guest::in_memory(), Guest::new(DirAccess::ReadOnly));
    for path in paths {
        for lookup in [0, FOLLOW] {
            // How large a directory is, is the file system's own business.
            let stat = |guest: &mut Guest| {
                guest.stat(path, lookup).map(|(filetype, size)| (filetype, if filetype == 3 { 0 } else { size }))
            };
            assert_eq!(stat(&mut tree), stat(&mut real), "stat {path:?}");
        }
        assert_eq!(tree.readlink(path, 100), real.readlink(path, 100), "readlink {path:?}");
        assert_eq!(tree.readlink(path, 3), real.readlink(path, 3), "readlink {path:?}, cut off");
    }
}

#[test]
fn files_are_read_from_any_position() {
    let mut guest = Guest::in_memory();
    let fd = guest.open_to_read("link").unwrap();
    assert_eq!(
        [guest.read(fd, 3).unwrap(), guest.read(fd, 100).unwrap(), guest.read(fd, 1).unwrap()],
        ["con", "tents", ""]
    );
    assert_eq!([guest.seek(fd, -3, 2), guest.seek(fd, -1, 1), guest.seek(fd, 100, 0)], [Ok(5), Ok(4), Ok(100)]);
    assert_eq!(guest.read(fd, 9).unwrap(), "");
    assert_eq!([guest.seek(fd, -101, 1), guest.seek(fd, i64::MAX, 2)], [Err(Errno::Inval); 2]);
    assert_eq!(guest.seek(fd, 0, 1), Ok(100));
    let iovecs = guest.iovec(3);
    let pread = |guest: &mut Guest, offset| {
        guest.wasi.fd_pread(&mut guest.mem, fd, iovecs, 1, offset, GuestPtr::new(RESULT))?;
        Ok(guest.data(guest.result()))
    };
    assert_eq!(pread(&mut guest, 6), Ok("ts".to_owned()));
    assert_eq!(pread(&mut guest, 1 << 40), Ok(String::new()));
    assert_eq!(pread(&mut guest, u64::MAX), Err(Errno::Inval));
    let Guest { wasi, mem, .. } = &mut guest;
    assert_eq!(wasi.fd_advise(mem, fd, 0, 0, 3), Ok(()));
    assert_eq!(wasi.fd_allocate(mem, fd, 0, 1), Err(Errno::Rofs));
    assert_eq!([wasi.fd_sync(mem, fd), wasi.fd_datasync(mem, fd)], [Ok(()), Ok(())]);
}

#[test]
fn listings_go_through_any_buffer_with_inodes_that_stay() {
    let mut tree = Tree::builder();
    let mut expected: Vec<String> = (0..300).map(|n| format!("a file with the number {n}")).collect();
    expected.iter().for_each(|name| _ = tree.file(name, *b"").unwrap());
    let tree = tree.build().unwrap();
    let wasi = Wasi::builder().preopen_tree(tree, "/").unwrap().build().unwrap();
    let mut guest = Guest { wasi, mem: vec![0; MEMORY_BYTES], tree: tempfile::tempdir().unwrap() };
    expected.extend([".".to_owned(), "..".to_owned()]);
    expected.sort();
    for buffer_len in [60, 256, 4096, 0x1_0000] {
        let mut found = guest.list(ROOT, buffer_len).unwrap();
        found.sort();
        assert_eq!(found, expected, "{buffer_len}");
    }
    let used = GuestPtr::<u32>::new(RESULT);
    guest.wasi.fd_readdir(&mut guest.mem, ROOT, GuestPtr::new(DATA), 100, 2, used).unwrap();
    let listed: u64 = GuestPtr::new(DATA + 8).read(&guest.mem).unwrap();
    let name = expected.iter().find(|name| name.ends_with(" 0")).unwrap().clone();
    guest.stat(&name, 0).unwrap();
    assert_eq!(GuestPtr::<u64>::new(RESULT + 8).read(&guest.mem), Ok(listed));
    assert_eq!(guest.wasi.fd_readdir(&mut guest.mem, ROOT, GuestPtr::new(DATA), 100, u64::MAX, used), Ok(()));
    assert_eq!(guest.result::<u32>(), 0);
}

#[test]
fn a_real_directory_may_be_beside_it() {
    let mut tree = Tree::builder();
    tree.file("only-here", *b"in memory").unwrap();
    let tree = tree.build().unwrap();
    let mut guest = Guest::with(DirAccess::ReadWrite, |builder| {
        builder.preopen_tree(tree.clone(), "/a").unwrap().preopen_tree(tree, "/b").unwrap()
    });
    // They are numbered in the order they were granted.
    let mut devices = Vec::new();
    for fd in [ROOT, ROOT + 1, ROOT + 2] {
        let stat = GuestPtr::<Filestat>::new(RESULT);
        guest.wasi.fd_filestat_get(&mut guest.mem, fd, stat).unwrap();
        devices.push(guest.result::<u64>());
    }
    assert!(devices[0] >> 63 == 1 && devices[1] >> 63 == 1 && devices[2] >> 63 == 0, "{devices:x?}");
    assert_ne!(devices[0], devices[1]);
    let Guest { wasi, mem, .. } = &mut guest;
    mem[PATH as usize..][..9].copy_from_slice(b"only-here");
    let (path, dir) = (GuestPtr::new(PATH), ROOT + 2);
    assert_eq!(wasi.path_rename(mem, ROOT, path, 9, dir, path, 9), Err(Errno::Rofs));
    assert_eq!(wasi.path_link(mem, ROOT, 0, path, 9, dir, path, 9), Err(Errno::Rofs));
    assert_eq!(wasi.path_link(mem, dir, 0, path, 9, ROOT, path, 9), Err(Errno::Rofs));
}
