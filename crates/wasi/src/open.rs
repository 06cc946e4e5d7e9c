//! `path_open`.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::{FileType as HostFileType, Mode, OFlags, fstat};
use selvedge_runtime::GuestPtr;
use std::io::IsTerminal;

use crate::Wasi;
use crate::builder::DirAccess;
use crate::descriptor::{Descriptor, Directory, Kind, Root};
use crate::errno::{Answer, Errno};
use crate::flags::{FdFlags, LookupFlags, OpenFlags, Rights};
use crate::host::{HostFd, HostFile};
use crate::memory::{GuestPath, check};
use crate::procfs;
use crate::resolve;
use crate::tree::opened::Opened;
use crate::types::FileType;

/// What a guest wants opened, and how.
#[derive(Clone, Copy, Debug)]
struct Request {
    follow: bool,
    open: OpenFlags,
    flags: FdFlags,
    base: Rights,
    inheriting: Rights,
}

impl Request {
    fn parse(lookup: u32, open: u32, base: u64, inheriting: u64, flags: u32) -> Answer<Request> {
        Ok(Request {
            follow: LookupFlags::parse(lookup)?.contains(LookupFlags::SYMLINK_FOLLOW),
            open: OpenFlags::parse(open)?,
            flags: FdFlags::parse(flags)?,
            base: Rights::requested(base),
            inheriting: Rights::requested(inheriting),
        })
    }

    /// The rights that the directory itself must have.
    fn needs(&self) -> Rights {
        Rights::PATH_OPEN
            .or_if(self.open.contains(OpenFlags::CREAT), Rights::PATH_CREATE_FILE)
            .or_if(self.open.contains(OpenFlags::TRUNC), Rights::PATH_FILESTAT_SET_SIZE)
    }

    /// The rights that the directory must pass on.
    fn inherits(&self) -> Rights {
        self.base
            .or(self.inheriting)
            .or_if(self.flags.contains(FdFlags::DSYNC), Rights::FD_DATASYNC)
            .or_if(self.flags.intersects(FdFlags::SYNC.or(FdFlags::RSYNC)), Rights::FD_SYNC)
    }

    /// Whether the host opens for writing. Guests that only read often ask for more rights than they use, so
    /// the right to write alone decides, or, without the right to read, another that needs it.
    fn writes(&self) -> bool {
        let other = Rights::FD_ALLOCATE.or(Rights::FD_FILESTAT_SET_SIZE);
        self.base.contains(Rights::FD_WRITE) || (!self.reads() && self.base.intersects(other))
    }

    fn reads(&self) -> bool {
        self.base.intersects(Rights::FD_READ.or(Rights::FD_READDIR))
    }

    fn host_flags(&self) -> OFlags {
        let truncates = self.open.contains(OpenFlags::TRUNC);
        let mode = match (self.reads(), self.writes() || truncates) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        };
        // A FIFO or device must not make the host wait, now or later.
        let mut flags = mode | OFlags::NONBLOCK | OFlags::NOCTTY;
        flags.set(OFlags::CREATE, self.open.contains(OpenFlags::CREAT));
        flags.set(OFlags::EXCL, self.open.contains(OpenFlags::CREAT.or(OpenFlags::EXCL)));
        flags.set(OFlags::TRUNC, truncates);
        flags.set(OFlags::DIRECTORY, self.open.contains(OpenFlags::DIRECTORY));
        flags.set(OFlags::APPEND, self.flags.contains(FdFlags::APPEND));
        flags.set(OFlags::DSYNC, self.flags.contains(FdFlags::DSYNC));
        if self.flags.intersects(FdFlags::SYNC.or(FdFlags::RSYNC)) {
            flags |= OFlags::SYNC;
        }
        flags
    }

    /// Opens below a directory that may be changed.
    fn open(&self, dir: BorrowedFd<'_>, path: GuestPath<'_>) -> Answer<OwnedFd> {
        let flags = self.host_flags();
        let creates = flags.contains(OFlags::CREATE);
        // The kernel would do one or the other, depending on its version.
        if creates && flags.contains(OFlags::DIRECTORY) {
            return Err(Errno::Inval);
        }
        let mode = if creates { Mode::from_raw_mode(0o666) } else { Mode::empty() };
        resolve::open(dir, path, flags, mode, self.follow)
    }

    /// What is left to do where nothing can be changed, or the errno a read-only file system would give. `find`
    /// says what the path leads to, the last link followed or not.
    fn only_reading(&self, find: impl FnOnce(bool) -> Answer<FileType>) -> Answer<Request> {
        let creates = self.open.contains(OpenFlags::CREAT);
        let changes = self.writes() || self.open.contains(OpenFlags::TRUNC);
        if creates && self.open.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::Inval);
        }
        if !creates && !changes {
            return Ok(*self);
        }
        match find(self.follow && !self.open.contains(OpenFlags::EXCL)) {
            Err(Errno::Noent) if creates => Err(Errno::Rofs),
            Err(error) => Err(error),
            Ok(_) if self.open.contains(OpenFlags::CREAT.or(OpenFlags::EXCL)) => Err(Errno::Exist),
            Ok(FileType::Directory) if changes => Err(Errno::Isdir),
            Ok(_) if changes => Err(Errno::Rofs),
            Ok(_) => Ok(Request { open: self.open.without(OpenFlags::CREAT), ..*self }),
        }
    }

    /// Opens below a directory of the host.
    fn open_host(&self, directory: &Directory, path: GuestPath<'_>) -> Answer<Descriptor> {
        let dir = directory.dir.as_fd();
        let file = match directory.access {
            DirAccess::ReadWrite => self.open(dir, path),
            DirAccess::ReadOnly => {
                let find = |follow| Ok(FileType::from(&fstat(resolve::open_path(dir, path, follow)?)?));
                self.only_reading(find)?.open(dir, path)
            }
        }?;
        self.describe(file, directory)
    }

    /// Opens below a directory of a tree.
    fn open_tree(&self, directory: &Opened, path: GuestPath<'_>) -> Answer<Descriptor> {
        let find = |follow| directory.find(path.bytes(), follow);
        let request = self.only_reading(|follow| Ok(find(follow)?.filetype()))?;
        let opened = find(request.follow)?;
        let filetype = opened.filetype();
        let (base, inheriting) = match filetype {
            FileType::Directory => (self.base.and(Rights::DIRECTORY), self.inheriting),
            _ if self.open.contains(OpenFlags::DIRECTORY) => return Err(Errno::Notdir),
            FileType::SymbolicLink => return Err(Errno::Loop),
            _ => (self.base.and(Rights::FILE), Rights::NONE),
        };
        Ok(Descriptor { kind: Kind::Tree(opened), filetype, flags: self.flags, base, inheriting })
    }

    /// The descriptor of what was opened. Rights that mean nothing for it are dropped.
    fn describe(&self, file: OwnedFd, parent: &Directory) -> Answer<Descriptor> {
        let stat = fstat(&file)?;
        let harmless = parent.harmless_dev == Some(stat.st_dev) || !procfs::has(&file)?;
        let access = parent.access;
        let host_type = HostFileType::from_raw_mode(stat.st_mode);
        let filetype = FileType::from(host_type);
        if host_type == HostFileType::Directory {
            let dir = Arc::new(Dir::from_std_file(File::from(file)));
            let harmless_dev = harmless.then_some(stat.st_dev);
            let kind = Kind::Directory(Directory { dir, access, harmless_dev, preopen: None, listing: None });
            let (base, inheriting) = (self.base.and(Rights::DIRECTORY), self.inheriting);
            return Ok(Descriptor { kind, filetype, flags: self.flags, base, inheriting });
        }
        if !harmless {
            return Err(Errno::Acces);
        }
        let terminal = host_type == HostFileType::CharacterDevice && file.as_fd().is_terminal();
        let meaningful = if terminal { Rights::FILE.without(Rights::POSITION) } else { Rights::FILE };
        let read_only = access == DirAccess::ReadOnly;
        let kind = Kind::Host(HostFile { fd: HostFd::Owned(file), waits: false, read_only });
        let base = self.base.and(meaningful);
        Ok(Descriptor { kind, filetype, flags: self.flags, base, inheriting: Rights::NONE })
    }
}

impl Wasi {
    #[expect(clippy::too_many_arguments, reason = "as many as the document says")]
    pub(crate) fn path_open(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        lookup: u32,
        path: GuestPtr<u8>,
        path_len: u32,
        open: u32,
        base: u64,
        inheriting: u64,
        flags: u32,
        opened: GuestPtr<u32>,
    ) -> Answer {
        let request = Request::parse(lookup, open, base, inheriting, flags)?;
        let root = self.table.root(fd, request.needs())?;
        if !self.table.any(fd)?.inheriting.contains(request.inherits()) {
            return Err(Errno::Notcapable);
        }
        let path = self.path(mem, path, path_len)?;
        check(mem, opened)?;
        self.has_room()?;
        let descriptor = match root {
            Root::Host(directory) => request.open_host(directory, path),
            Root::Tree(opened) => request.open_tree(opened, path),
        }?;
        if request.open.contains(OpenFlags::TRUNC) {
            self.meter.truncated(&descriptor)?;
        }
        let number = self.table.insert(descriptor)?;
        Ok(opened.write(mem, &number)?)
    }
}
