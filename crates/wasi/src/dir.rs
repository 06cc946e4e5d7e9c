//! Granted directories and the listing of directories.
//!
//! A cookie is the kernel's own position in the directory, so a listing goes on where it was whatever is
//! created or removed meanwhile; nothing is kept between calls.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType as HostFileType, Mode, OFlags, RawDir, RawDirEntry, SeekFrom};
use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::descriptor::{Directory, Kind};
use crate::errno::{Answer, Errno};
use crate::flags::Rights;
use crate::limits::{LISTING_BYTES_MAX, LISTING_BYTES_MIN};
use crate::memory::check;
use crate::tree::opened::Opened;
use crate::types::{Dirent, FileType, Prestat};

impl Directory {
    /// Fills `buffer` with entries from `cookie` on, the last one cut off if need be; returns how much it filled.
    /// Less than the buffer means that there are no more.
    fn list(&mut self, cookie: u64, buffer: &mut [u8]) -> Answer<usize> {
        if self.preopen.is_some() && self.listing.is_none() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.listing = Some(rustix::fs::openat(&self.dir, c".", flags, Mode::empty())?);
        }
        // What the guest opened has a position of its own; another descriptor would be one that no limit counts.
        let listing = self.listing.as_ref().map_or(self.dir.as_fd(), AsFd::as_fd);
        rustix::fs::seek(listing, SeekFrom::Start(cookie))?;
        let capacity = buffer.len().clamp(LISTING_BYTES_MIN, LISTING_BYTES_MAX);
        let mut scratch = vec![MaybeUninit::uninit(); capacity];
        let mut entries = RawDir::new(listing, &mut scratch);
        let mut used = 0;
        while used < buffer.len() {
            let Some(entry) = entries.next() else { break };
            let entry = entry?;
            let header = dirent(&*self.dir, &entry)?.encode();
            used += append(&mut buffer[used..], &header);
            used += append(&mut buffer[used..], entry.file_name().to_bytes());
        }
        Ok(used)
    }
}

impl Opened {
    /// Fills `buffer` as [`Directory::list`] does.
    fn fill(&self, cookie: u64, buffer: &mut [u8]) -> Answer<usize> {
        let mut used = 0;
        for (header, name) in self.list(cookie)? {
            if used == buffer.len() {
                break;
            }
            used += append(&mut buffer[used..], &header.encode());
            used += append(&mut buffer[used..], name);
        }
        Ok(used)
    }
}

fn append(buffer: &mut [u8], bytes: &[u8]) -> usize {
    let fits = bytes.len().min(buffer.len());
    buffer[..fits].copy_from_slice(&bytes[..fits]);
    fits
}

fn dirent(dir: impl AsFd, entry: &RawDirEntry<'_>) -> Answer<Dirent> {
    let name = entry.file_name();
    let ino = match name.to_bytes() {
        // What is above a granted directory is not the guest's to know.
        b".." => rustix::fs::fstat(&dir)?.st_ino,
        _ => entry.ino(),
    };
    let filetype = match entry.file_type() {
        // Not every file system says. An entry that is gone by now is unknown.
        HostFileType::Unknown => rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_or(FileType::Unknown, |stat| FileType::from(&stat)),
        known => known.into(),
    };
    Ok(Dirent { next: entry.next_entry_cookie(), ino, name_len: name.count_bytes() as u32, filetype })
}

impl Wasi {
    pub(crate) fn fd_prestat_get(&mut self, mem: &mut [u8], fd: u32, prestat: GuestPtr<Prestat>) -> Answer {
        let name_len = self.preopen_name(fd)?.len() as u32;
        Ok(prestat.write(mem, &Prestat { name_len })?)
    }

    pub(crate) fn fd_prestat_dir_name(&mut self, mem: &mut [u8], fd: u32, path: GuestPtr<u8>, len: u32) -> Answer {
        let name = self.preopen_name(fd)?;
        let buffer = path.slice(len).bytes_mut(mem)?;
        let place = buffer.get_mut(..name.len()).ok_or(Errno::Nametoolong)?;
        place.copy_from_slice(name);
        Ok(())
    }

    /// C libraries look at descriptors from 3 on until one is `badf`: what was not granted is that, too.
    fn preopen_name(&self, fd: u32) -> Answer<&[u8]> {
        let name = match &self.table.any(fd)?.kind {
            Kind::Directory(directory) => directory.preopen.as_deref(),
            Kind::Tree(opened) => opened.preopen.as_deref(),
            Kind::Stream(_) | Kind::Host(_) => None,
        };
        name.ok_or(Errno::Badf)
    }

    pub(crate) fn fd_readdir(
        &mut self,
        mem: &mut [u8],
        fd: u32,
        buffer: GuestPtr<u8>,
        buffer_len: u32,
        cookie: u64,
        used: GuestPtr<u32>,
    ) -> Answer {
        self.table.root(fd, Rights::FD_READDIR)?;
        check(mem, used)?;
        let buffer = buffer.slice(buffer_len).bytes_mut(mem)?;
        let filled = match &mut self.table.any_mut(fd)?.kind {
            Kind::Directory(directory) => directory.list(cookie, buffer)?,
            Kind::Tree(opened) => opened.fill(cookie, buffer)?,
            Kind::Stream(_) | Kind::Host(_) => return Err(Errno::Notdir),
        };
        Ok(used.write(mem, &(filled as u32))?)
    }
}
