//! Following a path one component at a time: for kernels and jails without `openat2`, and to find what a
//! symbolic link names without opening it.
//!
//! Every directory passed is kept open, so `..` goes back to where the walk came from, whatever is renamed
//! meanwhile; no component is followed by the kernel. It needs two system calls a component.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno as Host;

use crate::errno::{Answer, Errno};
use crate::limits::{PATH_COMPONENTS_MAX, SYMLINKS_MAX};
use crate::resolve::Place;

/// Opens what a path leads to.
pub(crate) fn open(dir: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode, follow: bool) -> Answer<OwnedFd> {
    let Located { place, name, directory } = locate(dir, path, follow)?;
    if directory && flags.contains(OFlags::CREATE) {
        return Err(Errno::Isdir);
    }
    // Followed already: if it is a link by now, somebody is racing us. A slash after the name would make the
    // kernel follow it, so the demand for a directory is made by a flag.
    let directory = if directory { OFlags::DIRECTORY } else { OFlags::empty() };
    Ok(openat(place, name, flags | OFlags::NOFOLLOW | directory, mode)?)
}

/// Where a path leads.
#[derive(Debug)]
pub(crate) struct Located<'d> {
    /// The directory that has it.
    pub(crate) place: Place<'d>,
    /// Its name there, without slashes.
    pub(crate) name: Vec<u8>,
    /// Whether the path asks for a directory.
    pub(crate) directory: bool,
}

/// The directory and the name that a path leads to. The last component need not exist; if it is to be
/// followed, it is no symbolic link (for as long as nobody changes it).
pub(crate) fn locate<'d>(dir: BorrowedFd<'d>, path: &[u8], follow: bool) -> Answer<Located<'d>> {
    let mut walk = Walk { root: dir, passed: Vec::new(), ahead: Vec::new(), links: 0, slash: false };
    walk.put_ahead(path)?;
    while let Some(name) = walk.ahead.pop() {
        match name.as_slice() {
            b"." => {}
            b".." => drop(walk.passed.pop().ok_or(Errno::Notcapable)?),
            _ => {
                if walk.step(&name, follow)? {
                    let directory = walk.slash;
                    return Ok(Located { place: walk.into_place(), name, directory });
                }
            }
        }
    }
    Ok(Located { place: walk.into_place(), name: b".".to_vec(), directory: true })
}

struct Walk<'d> {
    root: BorrowedFd<'d>,
    /// The directories below the root on the way here.
    passed: Vec<OwnedFd>,
    /// What is still to be followed, last component first.
    ahead: Vec<Vec<u8>>,
    links: u32,
    /// Whether the whole path asks for a directory.
    slash: bool,
}

impl<'d> Walk<'d> {
    fn here(&self) -> BorrowedFd<'_> {
        self.passed.last().map_or(self.root, AsFd::as_fd)
    }

    fn into_place(mut self) -> Place<'d> {
        self.passed.pop().map_or(Place::Root(self.root), Place::Beneath)
    }

    /// Puts a path, or a link's contents, before what is still ahead.
    fn put_ahead(&mut self, path: &[u8]) -> Answer {
        match path.first() {
            None => return Err(Errno::Noent),
            Some(b'/') => return Err(Errno::Notcapable),
            Some(_) => {}
        }
        self.slash |= self.ahead.is_empty() && path.ends_with(b"/");
        let components = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        self.ahead.extend(components.rev().map(<[u8]>::to_vec));
        if self.ahead.len() > PATH_COMPONENTS_MAX { Err(Errno::Nametoolong) } else { Ok(()) }
    }

    /// Passes one component; true if it is the one looked for.
    fn step(&mut self, name: &[u8], follow: bool) -> Answer<bool> {
        let last = self.ahead.is_empty();
        if last && !follow && !self.slash {
            return Ok(true);
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(self.here(), name, flags, Mode::empty()) {
            Err(Host::NOENT) if last => return Ok(true),
            result => result?,
        };
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::Symlink => {
                self.links += 1;
                if self.links > SYMLINKS_MAX {
                    return Err(Errno::Loop);
                }
                self.put_ahead(readlinkat(&file, c"", Vec::new())?.as_bytes())?;
                Ok(false)
            }
            _ if last => Ok(true),
            FileType::Directory => {
                self.passed.push(file);
                Ok(false)
            }
            _ => Err(Errno::Notdir),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::create_dir_all(at("root/a/b")).unwrap();
        fs::write(at("outside"), "secret").unwrap();
        fs::write(at("root/a/b/file"), "inside").unwrap();
        symlink("a/b/../b", at("root/link")).unwrap();
        symlink("../../outside", at("root/a/out")).unwrap();
        symlink("/etc/passwd", at("root/absolute")).unwrap();
        symlink("loop", at("root/loop")).unwrap();
        symlink("a/new", at("root/dangling")).unwrap();
        tree
    }

    #[test]
    fn walking_agrees_with_the_kernel_and_never_leaves() {
        let tree = tree();
        let root = fs::File::open(tree.path().join("root")).unwrap();
        let paths = [
            ("a/b/file", Ok(())),
            ("./a//b/./file", Ok(())),
            ("a/../a/b/../b/file", Ok(())),
            ("link/file", Ok(())),
            ("link", Ok(())),
            ("link/", Ok(())),
            ("a/b/..", Ok(())),
            (".", Ok(())),
            ("..", Err(Errno::Notcapable)),
            ("a/../../outside", Err(Errno::Notcapable)),
            ("a/out", Err(Errno::Notcapable)),
            ("absolute", Err(Errno::Notcapable)),
            ("loop", Err(Errno::Loop)),
            ("dangling", Err(Errno::Noent)),
            ("a/b/file/", Err(Errno::Notdir)),
            ("a/b/file/x", Err(Errno::Notdir)),
            ("a/none/x", Err(Errno::Noent)),
        ];
        for (path, expected) in paths {
            let by_walk = open(root.as_fd(), path.as_bytes(), OFlags::RDONLY, Mode::empty(), true);
            assert_eq!(by_walk.map(drop), expected, "walking {path}");
            let guest_path = crate::memory::GuestPath::of(path);
            let by_kernel = crate::resolve::open(root.as_fd(), guest_path, OFlags::RDONLY, Mode::empty(), true);
            assert_eq!(by_kernel.map(drop), expected, "resolving {path}");
        }
    }

    #[test]
    fn the_last_link_is_followed_only_when_asked() {
        let tree = tree();
        let root = fs::File::open(tree.path().join("root")).unwrap();
        let open = |path: &str, follow| open(root.as_fd(), path.as_bytes(), OFlags::RDONLY, Mode::empty(), follow);
        assert_eq!(open("link", false).err(), Some(Errno::Loop));
        assert!(open("link", true).is_ok());
        assert_eq!(locate(root.as_fd(), b"dangling", true).unwrap().name, b"new");
        assert_eq!(locate(root.as_fd(), b"dangling", false).unwrap().name, b"dangling");
    }
}
