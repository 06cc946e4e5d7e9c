//! What an instance may use up of the host, and how much of it it has.
//!
//! | quota | counts | when it is reached, the guest gets |
//! |---|---|---|
//! | descriptors | what is open at once | `EMFILE` |
//! | written bytes | what was written, to all descriptors together, whatever became of it | `EDQUOT` |
//! | disk bytes | what files below the granted directories were made longer by | `ENOSPC` |
//! | path bytes | one path | `ENAMETOOLONG` |
//!
//! A write that fits in part is done in part. Bytes on disk are lengths: a hole counts in full, names and empty
//! files do not. What the instance itself cuts off a file that it had made longer is given back; what is
//! unlinked is not, since others may still have it open. The count is of what *this* instance does: instances
//! that write the same file at once can each be counted short, so give each a directory of its own, or rely on
//! the file system's quotas.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use rustix::fs::Stat;
use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::descriptor::{Descriptor, Kind};
use crate::errno::{Answer, Errno};
use crate::flags::FdFlags;
use crate::host::{HostFd, HostFile};
use crate::limits::{CHARGED_FILES_MAX, DESCRIPTORS_MAX_DEFAULT, PATH_BYTES_MAX};
use crate::memory::GuestPath;
use crate::types::FileType;

/// What an instance may use up. By default only descriptors and paths are limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Quotas {
    /// Descriptors open at once, standard streams and grants included.
    pub descriptors_max: u32,
    /// Bytes written to all descriptors together.
    pub written_bytes_max: u64,
    /// Bytes by which files below granted directories are made longer.
    pub disk_bytes_max: u64,
    /// Bytes of a path; no more than 4096, whatever is said here.
    pub path_bytes_max: u32,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas {
            descriptors_max: DESCRIPTORS_MAX_DEFAULT,
            written_bytes_max: u64::MAX,
            disk_bytes_max: u64::MAX,
            path_bytes_max: PATH_BYTES_MAX,
        }
    }
}

/// One of [`Quotas`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Quota {
    /// [`Quotas::descriptors_max`]; `EMFILE`.
    Descriptors,
    /// [`Quotas::written_bytes_max`]; `EDQUOT`.
    WrittenBytes,
    /// [`Quotas::disk_bytes_max`]; `ENOSPC`.
    DiskBytes,
    /// [`Quotas::path_bytes_max`]; `ENAMETOOLONG`.
    PathBytes,
}

impl Quota {
    const ALL: [Quota; 4] = [Quota::Descriptors, Quota::WrittenBytes, Quota::DiskBytes, Quota::PathBytes];

    fn errno(self) -> Errno {
        match self {
            Quota::Descriptors => Errno::Mfile,
            Quota::WrittenBytes => Errno::Dquot,
            Quota::DiskBytes => Errno::Nospc,
            Quota::PathBytes => Errno::Nametoolong,
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Quota::Descriptors => "descriptors_max",
            Quota::WrittenBytes => "written_bytes_max",
            Quota::DiskBytes => "disk_bytes_max",
            Quota::PathBytes => "path_bytes_max",
        })
    }
}

/// What an instance has used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Usage {
    /// Descriptors that are open.
    pub descriptors: u32,
    /// Bytes written so far.
    pub written_bytes: u64,
    /// Bytes by which files are longer, what was given back taken off. Only counted if there is a quota for it.
    pub disk_bytes: u64,
}

/// What is allowed, and what was used.
#[derive(Debug)]
pub(crate) struct Meter {
    quotas: Quotas,
    written_bytes: u64,
    disk_bytes: u64,
    /// What of `disk_bytes` could be given back, by device and inode.
    charged: HashMap<(u64, u64), u64>,
    /// A bit for each quota that refused something.
    reached: Cell<u8>,
}

/// A write that is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    pub(crate) bytes: u64,
    /// Where a file that counts ends now, and where the write begins.
    file: Option<FileEnd>,
}

#[derive(Clone, Copy, Debug)]
struct FileEnd {
    identity: (u64, u64),
    size: u64,
    position: u64,
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

impl Meter {
    pub(crate) fn new(quotas: Quotas) -> Meter {
        let (written_bytes, disk_bytes) = (0, 0);
        Meter { quotas, written_bytes, disk_bytes, charged: HashMap::new(), reached: Cell::new(0) }
    }

    /// Says no, and remembers that it did.
    pub(crate) fn refuse(&self, quota: Quota) -> Errno {
        self.reached.set(self.reached.get() | 1 << quota as u8);
        quota.errno()
    }

    /// How much of so many bytes may be written to a descriptor; `offset` is given if the guest names the place.
    pub(crate) fn allow(&self, descriptor: &Descriptor, wanted: u64, offset: Option<u64>) -> Answer<Allowed> {
        let room = self.quotas.written_bytes_max.saturating_sub(self.written_bytes);
        if wanted > 0 && room == 0 {
            return Err(self.refuse(Quota::WrittenBytes));
        }
        let bytes = wanted.min(room);
        let Some(file) = self.counted(descriptor) else { return Ok(Allowed { bytes, file: None }) };
        let stat = rustix::fs::fstat(file)?;
        let size = stat.st_size as u64;
        let position = match offset {
            _ if descriptor.flags.contains(FdFlags::APPEND) => size,
            Some(offset) => offset,
            None => rustix::fs::tell(file)?,
        };
        let room = size.saturating_add(self.disk_room()).saturating_sub(position);
        if wanted > 0 && room == 0 {
            return Err(self.refuse(Quota::DiskBytes));
        }
        Ok(Allowed { bytes: bytes.min(room), file: Some(FileEnd { identity: identity(&stat), size, position }) })
    }

    /// Counts what was written of what was allowed.
    pub(crate) fn count(&mut self, allowed: Allowed, written: usize) {
        self.written_bytes = self.written_bytes.saturating_add(written as u64);
        if let Some(FileEnd { identity, size, position }) = allowed.file {
            self.charge(identity, position.saturating_add(written as u64).saturating_sub(size));
        }
    }

    /// Does what gives a file another size, if that is allowed; then it is counted.
    pub(crate) fn resize(
        &mut self,
        descriptor: &Descriptor,
        size: impl FnOnce(u64) -> u64,
        change: impl FnOnce(&HostFile) -> Answer,
    ) -> Answer {
        let Some(file) = self.counted(descriptor) else { return change(descriptor.host()?) };
        let stat = rustix::fs::fstat(file)?;
        let before = stat.st_size as u64;
        let after = size(before);
        if after.saturating_sub(before) > self.disk_room() {
            return Err(self.refuse(Quota::DiskBytes));
        }
        change(file)?;
        self.charge(identity(&stat), after.saturating_sub(before));
        if after < before {
            self.cut(identity(&stat), after);
        }
        Ok(())
    }

    /// A file was truncated when it was opened.
    pub(crate) fn truncated(&mut self, descriptor: &Descriptor) -> Answer {
        if let Some(file) = self.counted(descriptor) {
            self.cut(identity(&rustix::fs::fstat(file)?), 0);
        }
        Ok(())
    }

    /// The file behind a descriptor, if what it grows by counts and is limited.
    fn counted<'d>(&self, descriptor: &'d Descriptor) -> Option<&'d HostFile> {
        match &descriptor.kind {
            Kind::Host(file @ HostFile { fd: HostFd::Owned(_), .. })
                if self.quotas.disk_bytes_max != u64::MAX && descriptor.filetype == FileType::RegularFile =>
            {
                Some(file)
            }
            _ => None,
        }
    }

    fn disk_room(&self) -> u64 {
        self.quotas.disk_bytes_max.saturating_sub(self.disk_bytes)
    }

    fn charge(&mut self, identity: (u64, u64), bytes: u64) {
        self.disk_bytes = self.disk_bytes.saturating_add(bytes);
        // Without an entry nothing will be given back, which errs on the host's side.
        if bytes > 0 && (self.charged.len() < CHARGED_FILES_MAX || self.charged.contains_key(&identity)) {
            *self.charged.entry(identity).or_default() += bytes;
        }
    }

    /// Gives back what of a file's charge is now beyond its end.
    fn cut(&mut self, identity: (u64, u64), size: u64) {
        let Some(charge) = self.charged.get_mut(&identity) else { return };
        let beyond = charge.saturating_sub(size);
        *charge -= beyond;
        self.disk_bytes -= beyond;
        if *charge == 0 {
            self.charged.remove(&identity);
        }
    }
}

/// Leaves of some buffers the first bytes.
pub(crate) fn shorten(buffers: &mut [Range<usize>], allowed: Allowed) {
    let mut left = allowed.bytes;
    for range in buffers {
        let bytes = left.min(range.len() as u64);
        range.end = range.start + bytes as usize;
        left -= bytes;
    }
}

/// How much some buffers hold.
pub(crate) fn total(buffers: &[Range<usize>]) -> u64 {
    buffers.iter().fold(0, |sum: u64, range| sum.saturating_add(range.len() as u64))
}

impl Wasi {
    /// What the guest has used so far.
    pub fn usage(&self) -> Usage {
        let Meter { written_bytes, disk_bytes, .. } = self.meter;
        Usage { descriptors: self.table.count(), written_bytes, disk_bytes }
    }

    /// The quotas that have refused the guest something so far.
    pub fn quotas_reached(&self) -> impl Iterator<Item = Quota> + use<> {
        let reached = self.meter.reached.get();
        Quota::ALL.into_iter().filter(move |quota| reached & (1 << *quota as u8) != 0)
    }

    /// Reads and checks a path.
    pub(crate) fn path<'m>(&self, mem: &'m [u8], start: GuestPtr<u8>, len: u32) -> Answer<GuestPath<'m>> {
        if len > self.meter.quotas.path_bytes_max.min(PATH_BYTES_MAX) {
            return Err(self.meter.refuse(Quota::PathBytes));
        }
        GuestPath::read(mem, start, len)
    }

    /// Refuses what would open a descriptor too many: to be asked before something is opened.
    pub(crate) fn has_room(&self) -> Answer {
        self.table.has_room().map_err(|_| self.meter.refuse(Quota::Descriptors))
    }
}
