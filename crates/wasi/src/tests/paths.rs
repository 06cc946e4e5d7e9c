use super::*;
use crate::descriptor::Kind;

#[test]
fn nothing_outside_is_reached() {
    let ways_out = ["../outside", "dir/../../outside", "escape", "/etc/passwd", "..", "dir/../..", "../root/file"];
    let mut guest = Guest::new(DirAccess::ReadWrite);
    for path in ways_out {
        assert_eq!(guest.open_to_read(path), Err(Errno::Notcapable), "open {path}");
        assert_eq!(guest.stat(path, FOLLOW), Err(Errno::Notcapable), "stat {path}");
        if path != "escape" {
            assert_eq!(guest.stat(path, 0), Err(Errno::Notcapable), "stat {path} itself");
            assert_eq!(guest.at(Wasi::path_create_directory, path), Err(Errno::Notcapable), "mkdir {path}");
            assert_eq!(guest.at(Wasi::path_remove_directory, path), Err(Errno::Notcapable), "rmdir {path}");
            assert_eq!(guest.at(Wasi::path_unlink_file, path), Err(Errno::Notcapable), "unlink {path}");
            assert_eq!(guest.rename(path, "new"), Err(Errno::Notcapable), "rename {path}");
            assert_eq!(guest.rename("file", path), Err(Errno::Notcapable), "rename to {path}");
            assert_eq!(guest.link(0, path, "new"), Err(Errno::Notcapable), "link {path}");
            assert_eq!(guest.link(0, "file", path), Err(Errno::Notcapable), "link to {path}");
            assert_eq!(guest.symlink("file", path), Err(Errno::Notcapable), "symlink at {path}");
        }
        assert_eq!(guest.link(FOLLOW, path, "new"), Err(Errno::Notcapable), "link {path}, followed");
    }
    assert_eq!(guest.symlink("/etc/passwd", "absolute"), Err(Errno::Notcapable));
    assert_eq!(std::fs::read(guest.tree.path().join("outside")).unwrap(), b"secret");
}

#[test]
fn links_are_followed_when_asked() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    assert_eq!(guest.stat("link", 0).unwrap().0, 7);
    assert_eq!(guest.stat("link", FOLLOW), Ok((4, 8)));
    assert_eq!(guest.open_with("link", 0, OpenFlags::NONE, Rights::FD_READ, FdFlags::NONE), Err(Errno::Loop));
    assert!(guest.open_to_read("link").is_ok());
    assert_eq!(guest.open_to_read("dangling"), Err(Errno::Noent));
    assert!(guest.open("dangling", OpenFlags::CREAT).is_ok());
    assert!(guest.host("nowhere").exists());
    assert_eq!(guest.readlink("escape", 100).unwrap(), "../outside");
    assert_eq!(guest.readlink("escape", 4).unwrap(), "../o");
    assert_eq!(guest.readlink("escape", 0).unwrap(), "");
    assert_eq!(guest.readlink("file", 100), Err(Errno::Inval));
    assert_eq!(guest.readlink("none", 100), Err(Errno::Noent));
    guest.link(0, "link", "second").unwrap();
    assert_eq!(guest.stat("second", 0).unwrap().0, 7);
    guest.link(FOLLOW, "link", "third").unwrap();
    assert_eq!(guest.stat("third", 0).unwrap().0, 4);
    guest.symlink("dir", "to-dir").unwrap();
    assert_eq!(guest.readlink("to-dir/", 100), Err(Errno::Inval));
    assert_eq!(guest.link(0, "to-dir/", "new"), Err(Errno::Notdir));
}

#[test]
fn names_that_are_none_are_refused() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    for (path, errno) in
        [("", Errno::Noent), ("a\0b", Errno::Inval), ("none/x", Errno::Noent), ("file/x", Errno::Notdir)]
    {
        assert_eq!(guest.open_to_read(path), Err(errno), "{path:?}");
        assert_eq!(guest.at(Wasi::path_unlink_file, path), Err(errno), "{path:?}");
    }
    assert_eq!(guest.open_to_read(&"x".repeat(5000)), Err(Errno::Nametoolong));
    assert_eq!(guest.open_to_read(&"x".repeat(300)), Err(Errno::Nametoolong));
    assert_eq!(guest.open_to_read("file/"), Err(Errno::Notdir));
    assert_eq!(guest.open("new/", OpenFlags::CREAT), Err(Errno::Isdir));
    assert_eq!(guest.open("new", OpenFlags::CREAT.or(OpenFlags::DIRECTORY)), Err(Errno::Inval));
    assert_eq!(guest.open("file", OpenFlags::CREAT.or(OpenFlags::EXCL)), Err(Errno::Exist));
}

#[test]
fn directories_are_made_moved_and_removed() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    guest.at(Wasi::path_create_directory, "dir/sub/").unwrap();
    assert_eq!(guest.at(Wasi::path_create_directory, "dir/sub"), Err(Errno::Exist));
    assert_eq!(guest.at(Wasi::path_create_directory, "dir/."), Err(Errno::Exist));
    assert_eq!(guest.at(Wasi::path_remove_directory, "dir"), Err(Errno::Notempty));
    assert_eq!(guest.at(Wasi::path_remove_directory, "dir/sub/."), Err(Errno::Inval));
    assert_eq!(guest.at(Wasi::path_remove_directory, "file"), Err(Errno::Notdir));
    assert_eq!(guest.at(Wasi::path_unlink_file, "dir"), Err(Errno::Isdir));
    assert_eq!(guest.at(Wasi::path_unlink_file, "file/"), Err(Errno::Notdir));
    guest.rename("dir/sub/", "moved/").unwrap();
    assert_eq!(guest.rename("file", "moved"), Err(Errno::Isdir));
    assert_eq!(guest.rename("dir/..", "new"), Err(Errno::Busy));
    guest.at(Wasi::path_remove_directory, "moved/").unwrap();
    assert_eq!(guest.link(0, "dir", "second"), Err(Errno::Perm));
}

#[test]
fn listings_go_through_any_buffer_and_survive_changes() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    let fd = guest.open_with("dir", 0, OpenFlags::DIRECTORY, Rights::FD_READDIR, FdFlags::NONE).unwrap();
    let mut expected: Vec<String> = (0..500).map(|n| format!("a file with the number {n}")).collect();
    expected.iter().for_each(|name| std::fs::write(guest.host("dir").join(name), "").unwrap());
    expected.extend([".".to_owned(), "..".to_owned()]);
    expected.sort();
    for buffer_len in [60, 256, 4096, 0x1_0000] {
        let mut found = guest.list(fd, buffer_len).unwrap();
        found.sort();
        assert_eq!(found, expected, "{buffer_len}");
    }
    // Each entry removed as soon as it is seen: none is seen twice, none is left.
    let mut removed = 0;
    while let Some(name) = guest.list(fd, 4096).unwrap().into_iter().find(|name| name.len() > 2) {
        guest.at(Wasi::path_unlink_file, &format!("dir/{name}")).unwrap();
        removed += 1;
        if removed % 100 == 1 {
            assert_eq!(guest.list(fd, 300).unwrap().len(), 502 - removed);
        }
    }
    assert_eq!(removed, 500);
    // No descriptor of the host's beside the one that is counted.
    let Kind::Directory(listed) = &guest.wasi.table.any(fd).unwrap().kind else { panic!("no directory") };
    assert!(listed.listing.is_none());
    assert_eq!(guest.list(ROOT, 4096).unwrap().len(), 7);
    let file = guest.open_to_read("file").unwrap();
    assert_eq!(guest.list(file, 4096), Err(Errno::Notdir));
}

#[test]
fn only_grants_have_names() {
    let mut guest = Guest::new(DirAccess::ReadWrite);
    guest.wasi.fd_prestat_get(&mut guest.mem, ROOT, GuestPtr::new(RESULT)).unwrap();
    assert_eq!(guest.mem[RESULT as usize..][..8], [0, 0, 0, 0, 5, 0, 0, 0]);
    let name = |guest: &mut Guest, len| guest.wasi.fd_prestat_dir_name(&mut guest.mem, ROOT, GuestPtr::new(DATA), len);
    assert_eq!(name(&mut guest, 4), Err(Errno::Nametoolong));
    name(&mut guest, 5).unwrap();
    assert_eq!(guest.data(5), "/data");
    let dir = guest.open_with("dir", 0, OpenFlags::DIRECTORY, Rights::NONE, FdFlags::NONE).unwrap();
    for fd in [0, dir, 99] {
        assert_eq!(guest.wasi.fd_prestat_get(&mut guest.mem, fd, GuestPtr::new(RESULT)), Err(Errno::Badf));
    }
}
