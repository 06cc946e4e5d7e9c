//! The functions as a guest sees them: arguments in its memory, answers in errno.

mod devices;
mod files;
mod hostile;
mod paths;
mod quotas;
mod race;
mod rights;
mod streams;
mod supplied;
mod trees;
mod waiting;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use selvedge_runtime::{GuestPtr, GuestValue};

use crate::errno::{Answer, Errno};
use crate::flags::{FdFlags, OpenFlags, Rights};
use crate::types::{Filestat, Iovec};
use crate::{DirAccess, Tree, Wasi, WasiBuilder};

/// Where the harness puts things in guest memory.
const PATH: u32 = 0x1000;
const SECOND_PATH: u32 = 0x3000;
const IOVECS: u32 = 0x5000;
const RESULT: u32 = 0x6000;
const DATA: u32 = 0x8000;
const MEMORY_BYTES: usize = 0x2_0000;

/// The granted directory.
const ROOT: u32 = 3;
const FOLLOW: u32 = 1;

/// A guest without code.
struct Guest {
    wasi: Wasi,
    mem: Vec<u8>,
    tree: tempfile::TempDir,
}

impl Guest {
    fn new(access: DirAccess) -> Guest {
        Guest::with(access, |builder| builder)
    }

    /// A tree with a granted directory `root`, and something outside of it.
    fn with(access: DirAccess, more: impl FnOnce(WasiBuilder) -> WasiBuilder) -> Guest {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        std::fs::create_dir_all(at("root/dir")).unwrap();
        std::fs::write(at("outside"), "secret").unwrap();
        std::fs::write(at("root/file"), "contents").unwrap();
        symlink("file", at("root/link")).unwrap();
        symlink("../outside", at("root/escape")).unwrap();
        symlink("nowhere", at("root/dangling")).unwrap();
        let wasi = more(Wasi::builder()).preopen_dir(at("root"), "/data", access).unwrap().build().unwrap();
        Guest { wasi, mem: vec![0; MEMORY_BYTES], tree }
    }

    /// The same tree, in memory.
    fn in_memory() -> Guest {
        let mut tree = Tree::builder();
        tree.directory("dir").unwrap().file("file", *b"contents").unwrap().symlink("link", "file").unwrap();
        tree.symlink("escape", "../outside").unwrap().symlink("dangling", "nowhere").unwrap();
        let wasi = Wasi::builder().preopen_tree(tree.build().unwrap(), "/data").unwrap().build().unwrap();
        Guest { wasi, mem: vec![0; MEMORY_BYTES], tree: tempfile::tempdir().unwrap() }
    }

    fn host(&self, name: &str) -> PathBuf {
        self.tree.path().join("root").join(name)
    }

    fn text(&mut self, at: u32, text: &str) -> (GuestPtr<u8>, u32) {
        self.mem[at as usize..at as usize + text.len()].copy_from_slice(text.as_bytes());
        (GuestPtr::new(at), text.len() as u32)
    }

    fn result<T: GuestValue>(&self) -> T {
        GuestPtr::new(RESULT).read(&self.mem).unwrap()
    }

    fn open_with(&mut self, path: &str, lookup: u32, open: OpenFlags, base: Rights, flags: FdFlags) -> Answer<u32> {
        let (path, len) = self.text(PATH, path);
        let (open, flags) = (open.0.into(), flags.0.into());
        let result = GuestPtr::new(RESULT);
        self.wasi.path_open(&mut self.mem, ROOT, lookup, path, len, open, base.0, Rights::ALL.0, flags, result)?;
        Ok(self.result())
    }

    fn open(&mut self, path: &str, open: OpenFlags) -> Answer<u32> {
        self.open_with(path, FOLLOW, open, Rights::FILE, FdFlags::NONE)
    }

    fn open_to_read(&mut self, path: &str) -> Answer<u32> {
        self.open_with(path, FOLLOW, OpenFlags::NONE, Rights::FILE.without(Rights::FD_WRITE), FdFlags::NONE)
    }

    fn iovec(&mut self, len: u32) -> GuestPtr<Iovec> {
        let iovec = Iovec { start: GuestPtr::new(DATA), len };
        GuestPtr::new(IOVECS).write(&mut self.mem, &iovec).unwrap();
        GuestPtr::new(IOVECS)
    }

    fn write(&mut self, fd: u32, text: &str) -> Answer<u32> {
        self.text(DATA, text);
        let iovecs = self.iovec(text.len() as u32);
        let done = GuestPtr::new(RESULT);
        self.wasi.complete(&mut self.mem, |wasi, mem| wasi.fd_write(mem, fd, iovecs, 1, done))?;
        Ok(self.result())
    }

    fn read(&mut self, fd: u32, len: u32) -> Answer<String> {
        let iovecs = self.iovec(len);
        let done = GuestPtr::new(RESULT);
        self.wasi.complete(&mut self.mem, |wasi, mem| wasi.fd_read(mem, fd, iovecs, 1, done))?;
        Ok(self.data(self.result()))
    }

    fn data(&self, len: u32) -> String {
        String::from_utf8_lossy(&self.mem[DATA as usize..(DATA + len) as usize]).into_owned()
    }

    fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Answer<u64> {
        self.wasi.fd_seek(&mut self.mem, fd, offset, whence, GuestPtr::new(RESULT))?;
        Ok(self.result())
    }

    fn close(&mut self, fd: u32) -> Answer {
        self.wasi.fd_close(&mut self.mem, fd)
    }

    /// A function that takes a directory and a path.
    fn at(&mut self, function: fn(&mut Wasi, &mut [u8], u32, GuestPtr<u8>, u32) -> Answer, path: &str) -> Answer {
        let (path, len) = self.text(PATH, path);
        function(&mut self.wasi, &mut self.mem, ROOT, path, len)
    }

    fn rename(&mut self, old: &str, new: &str) -> Answer {
        let ((old, old_len), (new, new_len)) = (self.text(PATH, old), self.text(SECOND_PATH, new));
        self.wasi.path_rename(&mut self.mem, ROOT, old, old_len, ROOT, new, new_len)
    }

    fn link(&mut self, lookup: u32, old: &str, new: &str) -> Answer {
        let ((old, old_len), (new, new_len)) = (self.text(PATH, old), self.text(SECOND_PATH, new));
        self.wasi.path_link(&mut self.mem, ROOT, lookup, old, old_len, ROOT, new, new_len)
    }

    fn symlink(&mut self, target: &str, path: &str) -> Answer {
        let ((target, target_len), (path, len)) = (self.text(SECOND_PATH, target), self.text(PATH, path));
        self.wasi.path_symlink(&mut self.mem, target, target_len, ROOT, path, len)
    }

    fn readlink(&mut self, path: &str, buffer_len: u32) -> Answer<String> {
        let (path, len) = self.text(PATH, path);
        let (buffer, used) = (GuestPtr::new(DATA), GuestPtr::new(RESULT));
        self.wasi.path_readlink(&mut self.mem, ROOT, path, len, buffer, buffer_len, used)?;
        Ok(self.data(self.result()))
    }

    /// A file's type and size.
    fn stat(&mut self, path: &str, lookup: u32) -> Answer<(u8, u64)> {
        let (path, len) = self.text(PATH, path);
        self.wasi.path_filestat_get(&mut self.mem, ROOT, lookup, path, len, GuestPtr::<Filestat>::new(RESULT))?;
        let filetype = self.mem[RESULT as usize + 16];
        Ok((filetype, GuestPtr::new(RESULT + 32).read(&self.mem).unwrap()))
    }

    /// All entries, read through a buffer of this size.
    fn list(&mut self, fd: u32, buffer_len: u32) -> Answer<Vec<String>> {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let (buffer, used) = (GuestPtr::new(DATA), GuestPtr::new(RESULT));
            self.wasi.fd_readdir(&mut self.mem, fd, buffer, buffer_len, cookie, used)?;
            let used: u32 = self.result();
            let mut rest = &self.mem[DATA as usize..(DATA + used) as usize];
            while let Some((head, tail)) = rest.split_at_checked(24) {
                let name_len = u32::from_le_bytes(head[16..20].try_into().unwrap());
                let Some((name, tail)) = tail.split_at_checked(name_len as usize) else { break };
                names.push(String::from_utf8_lossy(name).into_owned());
                cookie = u64::from_le_bytes(head[..8].try_into().unwrap());
                rest = tail;
            }
            if used < buffer_len {
                return Ok(names);
            }
        }
    }
}

type Change = fn(&mut Guest) -> Answer;

const READ_ONLY_CHANGES: &[(&str, Change)] = &[
    ("open to write", |guest| guest.open("file", OpenFlags::NONE).map(drop)),
    ("create", |guest| guest.open("new", OpenFlags::CREAT).map(drop)),
    ("truncate", |guest| guest.open("file", OpenFlags::TRUNC).map(drop)),
    ("mkdir", |guest| guest.at(Wasi::path_create_directory, "new")),
    ("rmdir", |guest| guest.at(Wasi::path_remove_directory, "dir")),
    ("unlink", |guest| guest.at(Wasi::path_unlink_file, "file")),
    ("rename", |guest| guest.rename("file", "new")),
    ("link", |guest| guest.link(0, "file", "new")),
    ("symlink", |guest| guest.symlink("file", "new")),
    ("set times", |guest| {
        let (path, len) = guest.text(PATH, "file");
        guest.wasi.path_filestat_set_times(&mut guest.mem, ROOT, 0, path, len, 0, 0, 1)
    }),
    ("set times of an open file", |guest| {
        let fd = guest.open_to_read("file")?;
        guest.wasi.fd_filestat_set_times(&mut guest.mem, fd, 0, 0, 1)
    }),
    ("set size of an open file", |guest| {
        let fd = guest.open_to_read("file")?;
        guest.wasi.fd_filestat_set_size(&mut guest.mem, fd, 0)
    }),
];

#[test]
fn what_is_granted_for_reading_cannot_be_changed() {
    cannot_be_changed(Guest::new(DirAccess::ReadOnly));
    cannot_be_changed(Guest::in_memory());
}

fn cannot_be_changed(mut guest: Guest) {
    for (what, change) in READ_ONLY_CHANGES {
        assert_eq!(change(&mut guest), Err(Errno::Rofs), "{what}");
    }
    let fd = guest.open_to_read("file").unwrap();
    assert_eq!(guest.read(fd, 100).unwrap(), "contents");
    assert!(guest.open_with("file", 0, OpenFlags::CREAT, Rights::FD_READ, FdFlags::NONE).is_ok());
    let exclusive = OpenFlags::CREAT.or(OpenFlags::EXCL);
    assert_eq!(guest.open("file", exclusive), Err(Errno::Exist));
    assert_eq!(guest.open("dir", OpenFlags::NONE), Err(Errno::Isdir));
    assert_eq!(guest.open("none", OpenFlags::NONE), Err(Errno::Noent));
}
