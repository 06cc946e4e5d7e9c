//! Putting a tree together. Whatever could not be a file system is refused here, by the name of the entry.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

use crate::errno::Errno;
use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, TREE_BYTES_MAX, TREE_DEPTH_MAX, TREE_ENTRIES_MAX};
use crate::tree::{Content, Contents, Node, NodeId, ROOT, Tree};

/// A tree cannot be. Whoever made the archive, or calls the builder, is to blame.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TreeError {
    /// The archive cannot be read.
    #[error("it is no tar archive, or damaged: {}", shown(.0))]
    Archive(#[from] std::io::Error),
    /// An entry is longer than the archive.
    #[error("entry {0:?} is cut off: the archive is not whole")]
    CutOff(String),
    /// A name begins with `/`.
    #[error("entry {0:?} has an absolute name; names are relative to the tree's root")]
    Absolute(String),
    /// A name leads upwards.
    #[error("entry {0:?} has a `..` in its name")]
    Upwards(String),
    /// A name, or a link's target, is none.
    #[error("entry {0:?} has a name or target that is empty, too long, not UTF-8, or has a zero byte")]
    Name(String),
    /// Two entries have one name.
    #[error("entry {0:?} is there twice")]
    Duplicate(String),
    /// Something that is no directory has entries.
    #[error("entry {0:?} lies below something that is no directory")]
    NotInDirectory(String),
    /// A symbolic link that cannot be followed to an end.
    #[error("entry {0:?} is a symbolic link that leads to itself, or through more than 40 others")]
    Loop(String),
    /// A hard link to what is no file before it.
    #[error("entry {0:?} is a hard link to {1:?}, which is no file that comes before it")]
    HardLink(String, String),
    /// Devices, FIFOs and sparse files.
    #[error("entry {0:?} is neither file, directory nor link: its type is {1:?}")]
    Type(String, char),
    /// Too many directories within each other.
    #[error("entry {0:?} lies more than {TREE_DEPTH_MAX} directories deep")]
    TooDeep(String),
    /// Too many entries.
    #[error("more than {TREE_ENTRIES_MAX} entries")]
    TooManyEntries,
    /// Too many bytes.
    #[error("more than {TREE_BYTES_MAX} bytes of contents and names")]
    TooLarge,
}

/// The beginning of what the library says, in which it quotes the archive as it is.
fn shown(error: &std::io::Error) -> String {
    error.to_string().chars().take(100).flat_map(char::escape_debug).collect()
}

/// Puts a [`Tree`] together. Directories on the way to an entry come by themselves.
#[derive(Debug)]
pub struct TreeBuilder {
    nodes: Vec<Building>,
    bytes: u64,
}

#[derive(Debug)]
enum Building {
    File {
        contents: Contents,
        mtime_ns: u64,
        links: u64,
    },
    Link {
        target: Box<[u8]>,
        mtime_ns: u64,
    },
    /// It was `named` itself, or came with something in it.
    Directory {
        entries: BTreeMap<Box<[u8]>, NodeId>,
        mtime_ns: u64,
        named: bool,
    },
}

impl TreeBuilder {
    pub(super) fn new() -> TreeBuilder {
        TreeBuilder { nodes: vec![Building::directory(0, false)], bytes: 0 }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// If there cannot be one of this name.
    pub fn file(&mut self, path: &str, contents: impl Into<Arc<[u8]>>) -> Result<&mut TreeBuilder, TreeError> {
        let bytes = contents.into();
        let range = 0..bytes.len();
        self.add_file(path, bytes, range, 0)
    }

    /// Adds a file whose contents are a range of a file of the host. They are read whenever the guest reads, so nobody may
    /// change them; where they are cut off, the guest's reads fail.
    ///
    /// # Errors
    /// If there cannot be one of this name.
    pub fn host_file(&mut self, path: &str, host: Arc<File>, range: Range<u64>) -> Result<&mut TreeBuilder, TreeError> {
        self.add_contents(path, Contents::host(host, range), 0)
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// If there cannot be one of this name.
    pub fn directory(&mut self, path: &str) -> Result<&mut TreeBuilder, TreeError> {
        self.add_directory(path, 0)
    }

    /// Adds a symbolic link. Where it leads need not be there.
    ///
    /// # Errors
    /// If there cannot be one of this name and target.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<&mut TreeBuilder, TreeError> {
        self.add_link(path, target.as_bytes(), 0)
    }

    /// The tree.
    ///
    /// # Errors
    /// If a symbolic link leads to itself.
    pub fn build(self) -> Result<Tree, TreeError> {
        let tree = Tree(self.nodes.into_iter().map(Building::finish).collect());
        refuse_loops(&tree)?;
        Ok(tree)
    }

    pub(super) fn add_file(
        &mut self,
        path: &str,
        bytes: Arc<[u8]>,
        range: Range<usize>,
        mtime_ns: u64,
    ) -> Result<&mut TreeBuilder, TreeError> {
        self.add_contents(path, Contents::Memory { all: bytes, range }, mtime_ns)
    }

    fn add_contents(&mut self, path: &str, contents: Contents, mtime_ns: u64) -> Result<&mut TreeBuilder, TreeError> {
        self.take(usize::try_from(contents.len()).unwrap_or(usize::MAX))?;
        self.add(path, Building::File { contents, mtime_ns, links: 1 })
    }

    pub(super) fn add_link(&mut self, path: &str, target: &[u8], mtime_ns: u64) -> Result<&mut TreeBuilder, TreeError> {
        let sound = !target.is_empty() && target.len() <= PATH_BYTES_MAX as usize && !target.contains(&0);
        if !sound || std::str::from_utf8(target).is_err() {
            return Err(TreeError::Name(path.to_owned()));
        }
        self.take(target.len())?;
        self.add(path, Building::Link { target: target.into(), mtime_ns })
    }

    pub(super) fn add_directory(&mut self, path: &str, mtime_ns: u64) -> Result<&mut TreeBuilder, TreeError> {
        let (parent, name) = self.place(path)?;
        let known = match name {
            None => Some(ROOT),
            Some(name) => self.entry(parent, name),
        };
        match known.map(|node| &mut self.nodes[node as usize]) {
            Some(Building::Directory { mtime_ns: own, named: named @ false, .. }) => {
                (*own, *named) = (mtime_ns, true);
                Ok(self)
            }
            Some(_) => Err(TreeError::Duplicate(path.to_owned())),
            None => self.add(path, Building::directory(mtime_ns, true)),
        }
    }

    /// Gives a file that is there another name.
    pub(super) fn add_hard_link(&mut self, path: &str, target: &str) -> Result<&mut TreeBuilder, TreeError> {
        let no_file = || TreeError::HardLink(path.to_owned(), target.to_owned());
        let names = target.split('/').filter(|name| !matches!(*name, "" | "."));
        let mut found = Some(ROOT);
        for name in names {
            found = found.and_then(|node| self.entry(node, name.as_bytes()));
        }
        let found = found.ok_or_else(no_file)?;
        let Building::File { links, .. } = &mut self.nodes[found as usize] else { return Err(no_file()) };
        *links += 1;
        let (parent, name) = self.place(path)?;
        self.name(path, parent, name, found)?;
        Ok(self)
    }

    fn add(&mut self, path: &str, node: Building) -> Result<&mut TreeBuilder, TreeError> {
        let (parent, name) = self.place(path)?;
        let id = self.insert(node)?;
        self.name(path, parent, name, id)?;
        Ok(self)
    }

    fn insert(&mut self, node: Building) -> Result<NodeId, TreeError> {
        if self.nodes.len() > TREE_ENTRIES_MAX {
            return Err(TreeError::TooManyEntries);
        }
        self.nodes.push(node);
        Ok((self.nodes.len() - 1) as NodeId)
    }

    /// Enters a name into a directory.
    fn name(&mut self, path: &str, parent: NodeId, name: Option<&[u8]>, id: NodeId) -> Result<(), TreeError> {
        let Some(name) = name else { return Err(TreeError::Duplicate(path.to_owned())) };
        self.take(name.len())?;
        let Building::Directory { entries, .. } = &mut self.nodes[parent as usize] else {
            return Err(TreeError::NotInDirectory(path.to_owned()));
        };
        match entries.insert(name.into(), id) {
            None => Ok(()),
            Some(_) => Err(TreeError::Duplicate(path.to_owned())),
        }
    }

    fn entry(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.nodes[directory as usize] {
            Building::Directory { entries, .. } => entries.get(name).copied(),
            _ => None,
        }
    }

    /// The directory an entry belongs in, made if need be, and its name there; the root has none.
    fn place<'p>(&mut self, path: &'p str) -> Result<(NodeId, Option<&'p [u8]>), TreeError> {
        let names = names(path)?;
        let Some((last, before)) = names.split_last() else { return Ok((ROOT, None)) };
        if before.len() > TREE_DEPTH_MAX {
            return Err(TreeError::TooDeep(path.to_owned()));
        }
        let mut directory = ROOT;
        for name in before {
            directory = match self.entry(directory, name.as_bytes()) {
                Some(known) => known,
                None => {
                    let id = self.insert(Building::directory(0, false))?;
                    self.name(path, directory, Some(name.as_bytes()), id)?;
                    id
                }
            };
        }
        Ok((directory, Some(last.as_bytes())))
    }

    fn take(&mut self, bytes: usize) -> Result<(), TreeError> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > TREE_BYTES_MAX { Err(TreeError::TooLarge) } else { Ok(()) }
    }
}

/// The components of an entry's name.
fn names(path: &str) -> Result<Vec<&str>, TreeError> {
    if path.is_empty() || path.len() > PATH_BYTES_MAX as usize || path.contains('\0') {
        return Err(TreeError::Name(path.chars().take(100).collect()));
    }
    if path.starts_with('/') {
        return Err(TreeError::Absolute(path.to_owned()));
    }
    let names: Vec<_> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") {
        return Err(TreeError::Upwards(path.to_owned()));
    }
    if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(TreeError::Name(path.to_owned()));
    }
    Ok(names)
}

impl Building {
    fn directory(mtime_ns: u64, named: bool) -> Building {
        Building::Directory { entries: BTreeMap::new(), mtime_ns, named }
    }

    fn finish(self) -> Node {
        match self {
            Building::File { contents, mtime_ns, links } => Node { content: Content::File(contents), mtime_ns, links },
            Building::Link { target, mtime_ns } => Node { content: Content::Link(target), mtime_ns, links: 1 },
            Building::Directory { entries, mtime_ns, .. } => {
                Node { content: Content::Directory(entries.into_iter().collect()), mtime_ns, links: 1 }
            }
        }
    }
}

/// Follows each link once.
fn refuse_loops(tree: &Tree) -> Result<(), TreeError> {
    let mut ahead = VecDeque::from([(ROOT, String::new())]);
    while let Some((directory, path)) = ahead.pop_front() {
        let Content::Directory(entries) = &tree.node(directory).content else { continue };
        for (name, node) in entries {
            let path = || format!("{path}{}", String::from_utf8_lossy(name));
            match &tree.node(*node).content {
                Content::Link(_) if leads_nowhere(tree, &path()) => return Err(TreeError::Loop(path())),
                Content::Directory(_) => ahead.push_back((*node, path() + "/")),
                Content::Link(_) | Content::File(_) => {}
            }
        }
    }
    Ok(())
}

fn leads_nowhere(tree: &Tree, path: &str) -> bool {
    tree.find(ROOT, path.as_bytes(), true) == Err(Errno::Loop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds an entry, and says why it cannot be.
    fn refused(path: &str) -> String {
        let mut builder = Tree::builder();
        builder.file("file", *b"x").unwrap();
        builder.directory("named").unwrap();
        builder.file(path, *b"").unwrap_err().to_string()
    }

    #[test]
    fn names_that_cannot_be_are_refused_by_name() {
        for (path, why) in [
            ("/etc/passwd", "absolute"),
            ("../up", "`..`"),
            ("a/../../up", "`..`"),
            ("file", "twice"),
            ("./file", "twice"),
            ("named", "twice"),
            ("file/x", "no directory"),
            ("", "empty"),
            (".", "twice"),
            ("a\0b", "zero byte"),
        ] {
            let text = refused(path);
            assert!(text.contains(why) && text.contains(&format!("{path:?}")), "{path}: {text}");
        }
        assert!(refused(&"x".repeat(300)).contains("too long"));
        assert!(refused(&"x/".repeat(150)).contains("deep"));
    }

    #[test]
    fn links_that_lead_to_themselves_are_refused_by_name() {
        let loops: [&[(&str, &str)]; 4] = [
            &[("self", "self")],
            &[("a", "b"), ("b", "a")],
            &[("d/up", "../d/up/x")],
            &[("d/a", "./../d/b/c"), ("d/b", "a/")],
        ];
        for links in loops {
            let mut builder = Tree::builder();
            for (path, target) in links {
                builder.symlink(path, target).unwrap();
            }
            let error = builder.build().unwrap_err();
            assert!(matches!(&error, TreeError::Loop(path) if path == links[0].0), "{error}");
        }
        let mut builder = Tree::builder();
        builder.symlink("up", "d/../.").unwrap().directory("d").unwrap();
        assert!(builder.build().is_ok(), "a link to a directory above is no loop by itself");
        for target in ["", "a\0b"] {
            assert!(matches!(Tree::builder().symlink("x", target), Err(TreeError::Name(_))));
        }
    }

    #[test]
    fn a_directory_may_be_named_after_what_is_in_it_but_once() {
        let mut builder = Tree::builder();
        builder.file("d/file", *b"").unwrap().directory("d").unwrap().directory(".").unwrap();
        assert!(matches!(builder.directory("d/"), Err(TreeError::Duplicate(_))));
        assert!(matches!(builder.directory("./"), Err(TreeError::Duplicate(_))));
        assert!(matches!(builder.directory("d/file"), Err(TreeError::Duplicate(_))));
    }
}
