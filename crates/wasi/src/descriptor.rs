//! The table of open descriptors.
//!
//! Invariants:
//! * A descriptor's rights only ever shrink; every use names the right it needs.
//! * Numbers are given lowest first, as POSIX programs expect; the table never exceeds its cap.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use cap_std::fs::Dir;

use crate::builder::DirAccess;
use crate::errno::{Answer, Errno};
use crate::flags::{FdFlags, Rights};
use crate::host::HostFile;
use crate::stdio::Stream;
use crate::tree::opened::Opened;
use crate::types::FileType;

/// One open thing, and what may be done with it.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) kind: Kind,
    pub(crate) filetype: FileType,
    pub(crate) flags: FdFlags,
    pub(crate) base: Rights,
    pub(crate) inheriting: Rights,
}

/// What is open.
#[derive(Debug)]
pub(crate) enum Kind {
    /// In memory.
    Stream(Stream),
    /// A file, device, pipe or socket of the host.
    Host(HostFile),
    /// A directory of the host.
    Directory(Directory),
    /// A file or directory of a tree in memory.
    Tree(Opened),
}

/// What paths can be relative to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Root<'t> {
    Host(&'t Directory),
    Tree(&'t Opened),
}

/// A directory: the root of what paths relative to it can reach.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) dir: Arc<Dir>,
    pub(crate) access: DirAccess,
    /// Its device, if files there are known to be the guest's to open; see [`crate::procfs`].
    pub(crate) harmless_dev: Option<u64>,
    /// The name it was granted under, if it was.
    pub(crate) preopen: Option<Arc<[u8]>>,
    /// Opened once a granted directory is listed: the position of its `dir` is shared with other stores.
    pub(crate) listing: Option<OwnedFd>,
}

impl Directory {
    /// Refuses what changes a directory granted for reading.
    pub(crate) fn writable(&self) -> Answer {
        if self.access == DirAccess::ReadOnly { Err(Errno::Rofs) } else { Ok(()) }
    }
}

impl Descriptor {
    /// Itself, if it has these rights.
    fn with(&self, rights: Rights) -> Answer<&Descriptor> {
        let implied = Rights::NONE.or_if(self.base.contains(Rights::FD_SEEK), Rights::FD_TELL);
        if self.base.or(implied).contains(rights) { Ok(self) } else { Err(Errno::Notcapable) }
    }

    /// The host's file, or an errno that fits what it is instead.
    pub(crate) fn host(&self) -> Answer<&HostFile> {
        match &self.kind {
            Kind::Host(file) => Ok(file),
            Kind::Directory(_) => Err(Errno::Isdir),
            Kind::Stream(_) => Err(Errno::Spipe),
            Kind::Tree(_) if self.filetype == FileType::Directory => Err(Errno::Isdir),
            Kind::Tree(_) => Err(Errno::Rofs),
        }
    }

    /// The host's file or directory, if it is one.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Host(file) => Some(file.as_fd()),
            Kind::Directory(directory) => Some(directory.dir.as_fd()),
            Kind::Stream(_) | Kind::Tree(_) => None,
        }
    }

    /// Refuses what changes a file of a directory granted for reading.
    pub(crate) fn writable(&self) -> Answer {
        match &self.kind {
            Kind::Host(file) if file.read_only => Err(Errno::Rofs),
            Kind::Directory(directory) => directory.writable(),
            Kind::Tree(_) => Err(Errno::Rofs),
            Kind::Host(_) | Kind::Stream(_) => Ok(()),
        }
    }

    fn root(&self) -> Answer<Root<'_>> {
        match &self.kind {
            Kind::Directory(directory) => Ok(Root::Host(directory)),
            Kind::Tree(opened) if self.filetype == FileType::Directory => Ok(Root::Tree(opened)),
            _ => Err(Errno::Notdir),
        }
    }
}

/// Descriptors by number.
#[derive(Debug)]
pub(crate) struct Table {
    slots: Vec<Option<Descriptor>>,
    /// No slot below is free.
    lowest_free: usize,
    descriptors_max: u32,
}

/// Descriptors that every instance has.
const STANDARD: usize = 3;

impl Table {
    pub(crate) fn new(descriptors_max: u32) -> Table {
        Table { slots: Vec::with_capacity(STANDARD), lowest_free: 0, descriptors_max }
    }

    /// Adds a descriptor under the lowest free number.
    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Answer<u32> {
        let free = self.slots[self.lowest_free..].iter().position(Option::is_none);
        let number = free.map_or(self.slots.len(), |at| self.lowest_free + at);
        if number >= self.descriptors_max as usize {
            return Err(Errno::Mfile);
        }
        if number == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[number] = Some(descriptor);
        self.lowest_free = number + 1;
        Ok(number as u32)
    }

    /// Whether another descriptor fits: to be asked before something is opened.
    pub(crate) fn has_room(&self) -> Answer {
        let full = self.slots.len() >= self.descriptors_max as usize;
        if full && self.slots[self.lowest_free..].iter().all(Option::is_some) { Err(Errno::Mfile) } else { Ok(()) }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> u32 {
        self.slots.iter().flatten().count() as u32
    }

    /// A descriptor, whatever its rights.
    pub(crate) fn any(&self, fd: u32) -> Answer<&Descriptor> {
        self.slots.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::Badf)
    }

    /// A descriptor, whatever its rights.
    pub(crate) fn any_mut(&mut self, fd: u32) -> Answer<&mut Descriptor> {
        self.slots.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::Badf)
    }

    /// A descriptor that must have these rights.
    pub(crate) fn get(&self, fd: u32, rights: Rights) -> Answer<&Descriptor> {
        self.any(fd)?.with(rights)
    }

    /// A descriptor that must have these rights.
    pub(crate) fn get_mut(&mut self, fd: u32, rights: Rights) -> Answer<&mut Descriptor> {
        self.get(fd, rights)?;
        self.any_mut(fd)
    }

    /// As [`Table::at_position`].
    pub(crate) fn at_position_mut(&mut self, fd: u32, rights: Rights) -> Answer<&mut Descriptor> {
        self.at_position(fd, rights)?;
        self.any_mut(fd)
    }

    /// A descriptor that must have these rights, of which some are about positions: a stream, which has none,
    /// says so, as programs that try positions first expect.
    pub(crate) fn at_position(&self, fd: u32, rights: Rights) -> Answer<&Descriptor> {
        let descriptor = self.get(fd, rights.without(Rights::POSITION))?;
        match descriptor.filetype {
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice => descriptor.with(rights),
            _ => descriptor.with(rights).map_err(|_| Errno::Spipe),
        }
    }

    /// A directory that must have these rights.
    pub(crate) fn root(&self, fd: u32, rights: Rights) -> Answer<Root<'_>> {
        let descriptor = self.any(fd)?;
        let root = descriptor.root()?;
        descriptor.with(rights)?;
        Ok(root)
    }

    /// Closes a descriptor.
    pub(crate) fn remove(&mut self, fd: u32) -> Answer<Descriptor> {
        let removed = self.slots.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::Badf)?;
        self.lowest_free = self.lowest_free.min(fd as usize);
        Ok(removed)
    }

    /// Puts one descriptor in the place of another, which is closed. Both must be open.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> Answer {
        self.any(to)?;
        self.any(from)?;
        if from != to {
            let moved = self.remove(from)?;
            *self.any_mut(to)? = moved;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn null() -> Descriptor {
        Descriptor {
            kind: Kind::Stream(Stream::Null),
            filetype: FileType::CharacterDevice,
            flags: FdFlags::NONE,
            base: Rights::FD_READ,
            inheriting: Rights::NONE,
        }
    }

    #[test]
    fn numbers_are_reused_lowest_first() {
        let mut table = Table::new(5);
        assert_eq!((0..5).map(|_| table.insert(null()).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(table.insert(null()), Err(Errno::Mfile));
        assert_eq!(table.has_room(), Err(Errno::Mfile));
        for fd in [3, 1] {
            table.remove(fd).unwrap();
        }
        assert_eq!(table.remove(1).err(), Some(Errno::Badf));
        assert_eq!(table.has_room(), Ok(()));
        assert_eq!([table.insert(null()), table.insert(null())], [Ok(1), Ok(3)]);
        assert_eq!(table.insert(null()), Err(Errno::Mfile));
    }

    #[test]
    fn renumbering_needs_both() {
        let mut table = Table::new(5);
        (0..3).for_each(|_| assert!(table.insert(null()).is_ok()));
        assert_eq!(table.renumber(0, 9), Err(Errno::Badf));
        assert_eq!(table.renumber(9, 0), Err(Errno::Badf));
        assert_eq!(table.renumber(1, 1), Ok(()));
        assert_eq!(table.renumber(1, 2), Ok(()));
        assert_eq!(table.any(1).err(), Some(Errno::Badf));
        assert!(table.any(2).is_ok());
        assert_eq!(table.insert(null()), Ok(1));
    }

    #[test]
    fn uses_name_their_rights() {
        let mut table = Table::new(5);
        let fd = table.insert(null()).unwrap();
        assert!(table.get(fd, Rights::FD_READ).is_ok());
        assert_eq!(table.get(fd, Rights::FD_WRITE).err(), Some(Errno::Notcapable));
        assert_eq!(table.get(7, Rights::FD_WRITE).err(), Some(Errno::Badf));
        assert_eq!(table.root(fd, Rights::PATH_OPEN).err(), Some(Errno::Notdir));
    }
}
