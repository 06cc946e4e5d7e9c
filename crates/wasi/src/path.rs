//! What can be done to files by their paths, besides opening them.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType as HostFileType, Mode, Stat};
use selvedge_runtime::{GuestPtr, GuestValue};

use crate::Wasi;
use crate::descriptor::{Directory, Root};
use crate::errno::{Answer, Errno};
use crate::file::timestamps;
use crate::flags::{LookupFlags, Rights};
use crate::memory::{GuestPath, check};
use crate::procfs;
use crate::resolve::{self, Place};
use crate::types::{FileType, Filestat};
use crate::walk::{self, Located};

fn follows(lookup: u32) -> Answer<bool> {
    Ok(LookupFlags::parse(lookup)?.contains(LookupFlags::SYMLINK_FOLLOW))
}

/// A file's attributes. One system call for a name in the directory itself that is no link to follow.
fn stat(directory: &Directory, path: GuestPath<'_>, follow: bool) -> Answer<Stat> {
    if !path.bytes().contains(&b'/') && path.bytes() != b".." {
        let stat = rustix::fs::statat(&directory.dir, path.bytes(), AtFlags::SYMLINK_NOFOLLOW)?;
        if !follow || HostFileType::from_raw_mode(stat.st_mode) != HostFileType::Symlink {
            return Ok(stat);
        }
    }
    Ok(rustix::fs::fstat(resolve::open_path(directory.dir.as_fd(), path, follow)?)?)
}

/// Where a symbolic link leads.
fn target(directory: &Directory, path: GuestPath<'_>) -> Answer<Vec<u8>> {
    let link = resolve::open_path(directory.dir.as_fd(), path, false)?;
    if FileType::from(&rustix::fs::fstat(&link)?) != FileType::SymbolicLink {
        return Err(Errno::Inval);
    }
    if procfs::has(&link)? {
        return Err(Errno::Acces);
    }
    Ok(rustix::fs::readlinkat(&link, c"", Vec::new())?.into_bytes())
}

/// Where the file to be linked is, and its name. The kernel would follow a name that ends in a slash.
fn link_source<'d>(directory: &'d Directory, path: GuestPath<'_>, follow: bool) -> Answer<(Place<'d>, Vec<u8>)> {
    let dir = directory.dir.as_fd();
    let (place, name) = if follow {
        let Located { place, mut name, directory } = walk::locate(dir, path.bytes(), true)?;
        if directory {
            name.push(b'/');
        }
        (place, name)
    } else {
        let (place, name) = resolve::parent(dir, path)?;
        (place, name.to_vec())
    };
    if name.ends_with(b"/") {
        let stat = rustix::fs::statat(&place, resolve::name_only(&name), AtFlags::SYMLINK_NOFOLLOW)?;
        return Err(if FileType::from(&stat) == FileType::Directory { Errno::Perm } else { Errno::Notdir });
    }
    Ok((place, name))
}

impl Wasi {
    /// A directory in which something is to be changed.
    fn changing(&self, fd: u32, rights: Rights) -> Answer<&Directory> {
        match self.table.root(fd, rights)? {
            Root::Host(directory) => directory.writable().map(|()| directory),
            Root::Tree(_) => Err(Errno::Rofs),
        }
    }

    pub(crate) fn path_create_directory(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        path: GuestPtr<u8>,
        path_len: u32,
    ) -> Answer {
        let directory = self.changing(fd, Rights::PATH_CREATE_DIRECTORY)?;
        let (place, name) = resolve::parent(directory.dir.as_fd(), self.path(mem, path, path_len)?)?;
        Ok(rustix::fs::mkdirat(place, name, Mode::from_raw_mode(0o777))?)
    }

    pub(crate) fn path_remove_directory(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        path: GuestPtr<u8>,
        path_len: u32,
    ) -> Answer {
        let directory = self.changing(fd, Rights::PATH_REMOVE_DIRECTORY)?;
        let (place, name) = resolve::parent(directory.dir.as_fd(), self.path(mem, path, path_len)?)?;
        Ok(rustix::fs::unlinkat(place, name, AtFlags::REMOVEDIR)?)
    }

    pub(crate) fn path_unlink_file(&mut self, mem: &mut [u8], fd: u32, path: GuestPtr<u8>, path_len: u32) -> Answer {
        let directory = self.changing(fd, Rights::PATH_UNLINK_FILE)?;
        let (place, name) = resolve::parent(directory.dir.as_fd(), self.path(mem, path, path_len)?)?;
        Ok(rustix::fs::unlinkat(place, name, AtFlags::empty())?)
    }

    #[expect(clippy::too_many_arguments, reason = "as many as the document says")]
    pub(crate) fn path_rename(
        &mut self,
        mem: &mut [u8],
        old_fd: u32,
        old_path: GuestPtr<u8>,
        old_path_len: u32,
        new_fd: u32,
        new_path: GuestPtr<u8>,
        new_path_len: u32,
    ) -> Answer {
        let old_dir = self.changing(old_fd, Rights::PATH_RENAME_SOURCE)?;
        let new_dir = self.changing(new_fd, Rights::PATH_RENAME_TARGET)?;
        let old_path = self.path(mem, old_path, old_path_len)?;
        let new_path = self.path(mem, new_path, new_path_len)?;
        let (old_place, old_name) = resolve::parent(old_dir.dir.as_fd(), old_path)?;
        let (new_place, new_name) = resolve::parent(new_dir.dir.as_fd(), new_path)?;
        Ok(rustix::fs::renameat(old_place, old_name, new_place, new_name)?)
    }

    #[expect(clippy::too_many_arguments, reason = "as many as the document says")]
    pub(crate) fn path_link(
        &mut self,
        mem: &mut [u8],
        old_fd: u32,
        lookup: u32,
        old_path: GuestPtr<u8>,
        old_path_len: u32,
        new_fd: u32,
        new_path: GuestPtr<u8>,
        new_path_len: u32,
    ) -> Answer {
        // A second name in a writable directory would make a file of a read-only one writable.
        let old_dir = self.changing(old_fd, Rights::PATH_LINK_SOURCE)?;
        let new_dir = self.changing(new_fd, Rights::PATH_LINK_TARGET)?;
        let follow = follows(lookup)?;
        let old_path = self.path(mem, old_path, old_path_len)?;
        let new_path = self.path(mem, new_path, new_path_len)?;
        let (old_place, old_name) = link_source(old_dir, old_path, follow)?;
        let (new_place, new_name) = resolve::parent(new_dir.dir.as_fd(), new_path)?;
        Ok(rustix::fs::linkat(old_place, old_name, new_place, new_name, AtFlags::empty())?)
    }

    pub(crate) fn path_symlink(
        &mut self,
        mem: &mut [u8],
        target: GuestPtr<u8>,
        target_len: u32,
        fd: u32,
        path: GuestPtr<u8>,
        path_len: u32,
    ) -> Answer {
        let directory = self.changing(fd, Rights::PATH_SYMLINK)?;
        // Absolute links are refused: no guest could follow them, but others on the host would.
        let target = self.path(mem, target, target_len)?;
        let (place, name) = resolve::parent(directory.dir.as_fd(), self.path(mem, path, path_len)?)?;
        Ok(rustix::fs::symlinkat(target.bytes(), place, name)?)
    }

    #[expect(clippy::too_many_arguments, reason = "as many as the document says")]
    pub(crate) fn path_readlink(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        path: GuestPtr<u8>,
        path_len: u32,
        buffer: GuestPtr<u8>,
        buffer_len: u32,
        used: GuestPtr<u32>,
    ) -> Answer {
        let root = self.table.root(fd, Rights::PATH_READLINK)?;
        check(mem, used)?;
        buffer.slice(buffer_len).bytes(mem)?;
        let path = self.path(mem, path, path_len)?;
        let target = match root {
            Root::Host(directory) => target(directory, path)?,
            Root::Tree(opened) => opened.find(path.bytes(), false)?.target()?.to_vec(),
        };
        let filled = buffer.slice(buffer_len).write(mem, target)?;
        Ok(used.write(mem, &(filled as u32))?)
    }

    pub(crate) fn path_filestat_get<S: GuestValue + From<Filestat>>(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        lookup: u32,
        path: GuestPtr<u8>,
        path_len: u32,
        filestat: GuestPtr<S>,
    ) -> Answer {
        let root = self.table.root(fd, Rights::PATH_FILESTAT_GET)?;
        let follow = follows(lookup)?;
        check(mem, filestat)?;
        let path = self.path(mem, path, path_len)?;
        let found = match root {
            Root::Host(directory) => Filestat::from(&stat(directory, path, follow)?),
            Root::Tree(opened) => opened.find(path.bytes(), follow)?.filestat(),
        };
        Ok(filestat.write(mem, &found.into())?)
    }

    #[expect(clippy::too_many_arguments, reason = "as many as the document says")]
    pub(crate) fn path_filestat_set_times(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        lookup: u32,
        path: GuestPtr<u8>,
        path_len: u32,
        atim: u64,
        mtim: u64,
        flags: u32,
    ) -> Answer {
        let directory = self.changing(fd, Rights::PATH_FILESTAT_SET_TIMES)?;
        let (follow, times) = (follows(lookup)?, timestamps(atim, mtim, flags)?);
        let path = self.path(mem, path, path_len)?;
        let file = resolve::open_path(directory.dir.as_fd(), path, follow)?;
        Ok(rustix::fs::utimensat(file, c"", &times, AtFlags::EMPTY_PATH)?)
    }
}
