//! Following a guest's path, beneath the directory it was given for and nowhere else.
//!
//! ```text
//!   open(dir, path)      what the path leads to            openat2 beneath ─► walk, where that is missing
//!   parent(dir, path)    where its last component is       what is done there names one component
//! ```
//!
//! Invariants:
//! * A path of more than one component, or one that may end in a symbolic link, is only ever given to the
//!   kernel with `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS`, or component by component with `O_NOFOLLOW`.
//! * What leads out is [`Errno::Notcapable`], be it `..`, an absolute link or a race.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno as Host;

use crate::errno::{Answer, Errno};
use crate::limits::RESOLVE_RETRIES_MAX;
use crate::memory::GuestPath;
use crate::walk;

/// Opens what a path leads to. The last component, if it is a symbolic link, is followed or not.
pub(crate) fn open(
    dir: BorrowedFd<'_>,
    path: GuestPath<'_>,
    flags: OFlags,
    mode: Mode,
    follow: bool,
) -> Answer<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    #[cfg(test)]
    if tests::WALKS.get() {
        return walk::open(dir, path.bytes(), flags, mode, follow);
    }
    for _ in 0..RESOLVE_RETRIES_MAX {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(dir, path.bytes(), flags, mode, beneath) {
            Ok(file) => return Ok(file),
            Err(Host::XDEV) => return Err(Errno::Notcapable),
            // Somebody renamed something while the kernel was on its way.
            Err(Host::AGAIN) => {}
            // Some jails answer `perm` for what they do not know.
            Err(Host::NOSYS | Host::PERM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    walk::open(dir, path.bytes(), flags, mode, follow)
}

/// Opens what a path leads to, only to look at it.
pub(crate) fn open_path(dir: BorrowedFd<'_>, path: GuestPath<'_>, follow: bool) -> Answer<OwnedFd> {
    open(dir, path, OFlags::PATH, Mode::empty(), follow)
}

/// A directory beneath the root, or the root itself.
#[derive(Debug)]
pub(crate) enum Place<'d> {
    Root(BorrowedFd<'d>),
    Beneath(OwnedFd),
}

impl AsFd for Place<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Place::Root(fd) => *fd,
            Place::Beneath(fd) => fd.as_fd(),
        }
    }
}

/// Where the last component of a path is, and its name, which may end in slashes. For system calls that do
/// not follow the last component: making, removing, renaming, linking to.
pub(crate) fn parent<'d, 'm>(dir: BorrowedFd<'d>, path: GuestPath<'m>) -> Answer<(Place<'d>, &'m [u8])> {
    let (parent, name) = split(path.bytes());
    if name_only(name) == b".." {
        // The directory itself, whose name is elsewhere: calls refuse `.` as they refuse `..`.
        let itself = open(dir, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty(), true)?;
        return Ok((Place::Beneath(itself), b"."));
    }
    let Some(parent) = parent else { return Ok((Place::Root(dir), name)) };
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    Ok((Place::Beneath(open(dir, parent, flags, Mode::empty(), true)?), name))
}

/// A path without its trailing slashes.
pub(crate) fn name_only(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    &path[..end]
}

/// The path of the parent, unless that is where the path starts from; and the rest.
fn split(path: &[u8]) -> (Option<GuestPath<'_>>, &[u8]) {
    match name_only(path).iter().rposition(|byte| *byte == b'/') {
        Some(at) => (GuestPath::prefix(path, at + 1), &path[at + 1..]),
        None => (None, path),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Whether this thread does as if there were no `openat2`.
        pub(crate) static WALKS: Cell<bool> = const { Cell::new(false) };
    }

    #[test]
    fn paths_are_split_before_the_last_component() {
        let split = |path: &'static str| {
            let (parent, name) = split(path.as_bytes());
            (parent.map(|p| std::str::from_utf8(p.bytes()).unwrap()), std::str::from_utf8(name).unwrap())
        };
        assert_eq!(split("a"), (None, "a"));
        assert_eq!(split("a//"), (None, "a//"));
        assert_eq!(split("a/b"), (Some("a/"), "b"));
        assert_eq!(split("../a//b/"), (Some("../a//"), "b/"));
        assert_eq!(split("."), (None, "."));
    }
}
