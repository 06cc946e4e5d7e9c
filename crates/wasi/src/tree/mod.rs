//! A read-only file system in memory: what a site ships with it, in a tree of its own or out of an archive.
//!
//! ```text
//!   TreeBuilder ─► Tree ─► preopened beside real directories; shared by any number of instances
//!   archive.tar ─┘   nodes by number, which is the inode; 0 is the root
//! ```
//!
//! Invariants:
//! * Nothing of it changes once it is built, so positions in a directory and inode numbers stay.
//! * A path is followed within the tree only, and beneath the directory it starts from: `..` and links that lead
//!   out are `notcapable`, as in a real directory. No links form a loop: a tree that has one is not built.
//! * Contents are not copied: a file of an archive is a range of the archive's bytes, or of a file of the host, which is
//!   read when the guest reads.
//!
//! Not here: what guests call; that is in [`opened`].

mod archive;
mod builder;
mod contents;
pub(crate) mod opened;

use std::fmt;
use std::sync::Arc;

pub use builder::{TreeBuilder, TreeError};

use self::contents::Contents;
use crate::errno::{Answer, Errno};
use crate::limits::{PATH_COMPONENTS_MAX, SYMLINKS_MAX};
use crate::types::FileType;

/// A read-only file system in memory. Clones share it.
#[derive(Clone)]
pub struct Tree(Arc<[Node]>);

/// A node's number.
pub(crate) type NodeId = u32;
/// The root's.
pub(crate) const ROOT: NodeId = 0;

pub(crate) struct Node {
    content: Content,
    /// Nanoseconds since 1970.
    mtime_ns: u64,
    /// How many names lead to it.
    links: u64,
}

enum Content {
    File(Contents),
    Link(Box<[u8]>),
    /// Names, sorted, and what they name.
    Directory(Box<[(Box<[u8]>, NodeId)]>),
}

impl Node {
    fn filetype(&self) -> FileType {
        match self.content {
            Content::File(_) => FileType::RegularFile,
            Content::Link(_) => FileType::SymbolicLink,
            Content::Directory(_) => FileType::Directory,
        }
    }

    fn size(&self) -> u64 {
        match &self.content {
            Content::File(contents) => contents.len(),
            Content::Link(target) => target.len() as u64,
            Content::Directory(entries) => entries.len() as u64,
        }
    }
}

impl Tree {
    /// A tree to be filled.
    pub fn builder() -> TreeBuilder {
        TreeBuilder::new()
    }

    /// The tree in a `tar` archive. The archive's bytes stay where they are, its files are ranges of them.
    ///
    /// # Errors
    /// If it is no archive, is too large, or has an entry that cannot be: with an absolute name, `..`, a name that
    /// is there already, a link that leads to itself, a device. The error names the entry.
    pub fn from_tar(archive: impl Into<Arc<[u8]>>) -> Result<Tree, TreeError> {
        archive::read(&archive.into())
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.0[id as usize]
    }

    fn entry(&self, directory: NodeId, name: &[u8]) -> Answer<NodeId> {
        let Content::Directory(entries) = &self.node(directory).content else { return Err(Errno::Notdir) };
        let at = entries.binary_search_by(|(own, _)| (**own).cmp(name)).map_err(|_| Errno::Noent)?;
        Ok(entries[at].1)
    }

    /// What a path leads to from a directory, and never out of that.
    fn find(&self, start: NodeId, path: &[u8], follow: bool) -> Answer<NodeId> {
        let mut walk = Walk { passed: vec![start], ahead: Vec::new(), links: 0, slash: false };
        walk.put_ahead(path)?;
        while let Some(name) = walk.ahead.pop() {
            match name {
                b"." => {}
                b".." => walk.leave()?,
                _ => {
                    let node = self.entry(walk.here(), name)?;
                    let followed = follow || walk.slash || !walk.ahead.is_empty();
                    match &self.node(node).content {
                        Content::Link(target) if followed => walk.follow(target)?,
                        _ => walk.passed.push(node),
                    }
                }
            }
            let on = walk.slash || !walk.ahead.is_empty();
            if on && self.node(walk.here()).filetype() != FileType::Directory {
                return Err(Errno::Notdir);
            }
        }
        Ok(walk.here())
    }
}

struct Walk<'p> {
    /// The nodes from the start to here; all but the last are directories.
    passed: Vec<NodeId>,
    /// What is still to be followed, last component first.
    ahead: Vec<&'p [u8]>,
    links: u32,
    /// Whether the whole path asks for a directory.
    slash: bool,
}

impl<'p> Walk<'p> {
    fn here(&self) -> NodeId {
        // The start is never left.
        self.passed[self.passed.len() - 1]
    }

    fn leave(&mut self) -> Answer {
        self.passed.pop();
        if self.passed.is_empty() { Err(Errno::Notcapable) } else { Ok(()) }
    }

    fn follow(&mut self, target: &'p [u8]) -> Answer {
        self.links += 1;
        if self.links > SYMLINKS_MAX { Err(Errno::Loop) } else { self.put_ahead(target) }
    }

    /// Puts a path, or a link's contents, before what is still ahead.
    fn put_ahead(&mut self, path: &'p [u8]) -> Answer {
        if path.first() == Some(&b'/') {
            return Err(Errno::Notcapable);
        }
        self.slash |= self.ahead.is_empty() && path.ends_with(b"/");
        self.ahead.extend(path.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty()));
        if self.ahead.len() > PATH_COMPONENTS_MAX { Err(Errno::Nametoolong) } else { Ok(()) }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} nodes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut builder = Tree::builder();
        builder.file("a/b/file", *b"inside").unwrap();
        builder.symlink("link", "a/b/../b").unwrap();
        builder.symlink("a/out", "../../outside").unwrap();
        builder.symlink("absolute", "/etc/passwd").unwrap();
        builder.symlink("dangling", "a/new").unwrap();
        builder.symlink("to-file", "link/file").unwrap();
        builder.directory("empty").unwrap();
        builder.build().unwrap()
    }

    #[test]
    fn paths_are_followed_as_in_a_real_directory() {
        let tree = tree();
        let found = |path: &str, follow| tree.find(ROOT, path.as_bytes(), follow).map(|id| tree.node(id).filetype());
        for (path, expected) in [
            ("a/b/file", Ok(FileType::RegularFile)),
            ("./a//b/./file", Ok(FileType::RegularFile)),
            ("a/../a/b/../b/file", Ok(FileType::RegularFile)),
            ("link/file", Ok(FileType::RegularFile)),
            ("to-file", Ok(FileType::RegularFile)),
            ("link", Ok(FileType::Directory)),
            ("link/", Ok(FileType::Directory)),
            ("a/b/..", Ok(FileType::Directory)),
            (".", Ok(FileType::Directory)),
            ("empty/", Ok(FileType::Directory)),
            ("..", Err(Errno::Notcapable)),
            ("a/../../outside", Err(Errno::Notcapable)),
            ("a/out", Err(Errno::Notcapable)),
            ("absolute", Err(Errno::Notcapable)),
            ("dangling", Err(Errno::Noent)),
            ("a/b/file/", Err(Errno::Notdir)),
            ("a/b/file/x", Err(Errno::Notdir)),
            ("a/b/file/..", Err(Errno::Notdir)),
            ("a/b/file/.", Err(Errno::Notdir)),
            ("to-file/", Err(Errno::Notdir)),
            ("a/none/x", Err(Errno::Noent)),
        ] {
            assert_eq!(found(path, true), expected, "{path}");
        }
        assert_eq!(found("link", false), Ok(FileType::SymbolicLink));
        assert_eq!(found("link/", false), Ok(FileType::Directory));
        assert_eq!(found("dangling", false), Ok(FileType::SymbolicLink));
        let b = tree.find(ROOT, b"a/b", true).unwrap();
        assert_eq!(tree.find(b, b"..", true), Err(Errno::Notcapable), "a directory is as far as its descriptor goes");
    }
}
