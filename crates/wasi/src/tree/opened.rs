//! Files and directories of a tree, as guests have them open.

use std::io::IoSliceMut;
use std::sync::Arc;

use rustix::fs::SeekFrom;

use crate::errno::{Answer, Errno};
use crate::tree::{Content, NodeId, ROOT, Tree};
use crate::types::{Dirent, FileType, Filestat};

/// An open file or directory of a tree.
#[derive(Debug)]
pub(crate) struct Opened {
    tree: Tree,
    node: NodeId,
    /// What the guest takes for the number of a device: no real one's.
    dev: u64,
    position: u64,
    /// The name it was granted under, if it was.
    pub(crate) preopen: Option<Arc<[u8]>>,
}

/// Devices from here on are trees.
const FIRST_DEV: u64 = 1 << 63;

impl Opened {
    /// The root of the `index`th tree of an instance.
    pub(crate) fn root(tree: Tree, index: usize, name: Arc<[u8]>) -> Opened {
        Opened { tree, node: ROOT, dev: FIRST_DEV + index as u64, position: 0, preopen: Some(name) }
    }

    /// What a path leads to from here.
    pub(crate) fn find(&self, path: &[u8], follow: bool) -> Answer<Opened> {
        let node = self.tree.find(self.node, path, follow)?;
        Ok(Opened { tree: self.tree.clone(), node, dev: self.dev, position: 0, preopen: None })
    }

    pub(crate) fn filetype(&self) -> FileType {
        self.tree.node(self.node).filetype()
    }

    pub(crate) fn filestat(&self) -> Filestat {
        let node = self.tree.node(self.node);
        let (ino, filetype, size, mtim) = (ino(self.node), node.filetype(), node.size(), node.mtime_ns);
        Filestat { dev: self.dev, ino, filetype, nlink: node.links, size, atim: mtim, mtim, ctim: mtim }
    }

    /// Where a symbolic link leads.
    pub(crate) fn target(&self) -> Answer<&[u8]> {
        match &self.tree.node(self.node).content {
            Content::Link(target) => Ok(target),
            _ => Err(Errno::Inval),
        }
    }

    /// Reads from a position.
    pub(crate) fn read_at(&self, position: u64, buffers: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        if position > i64::MAX as u64 {
            return Err(Errno::Inval);
        }
        let Content::File(contents) = &self.tree.node(self.node).content else { return Err(Errno::Isdir) };
        contents.read_at(position, buffers)
    }

    /// Reads from the current position.
    pub(crate) fn read(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Answer<usize> {
        let done = self.read_at(self.position, buffers)?;
        self.position += done as u64;
        Ok(done)
    }

    pub(crate) fn seek(&mut self, to: SeekFrom) -> Answer<u64> {
        let size = self.tree.node(self.node).size();
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => size.checked_add_signed(offset),
            _ => None,
        };
        self.position = position.filter(|position| *position <= i64::MAX as u64).ok_or(Errno::Inval)?;
        Ok(self.position)
    }

    pub(crate) fn available_bytes(&self) -> u64 {
        self.tree.node(self.node).size().saturating_sub(self.position)
    }

    /// The entries from a cookie on, as [`crate::dir`] lists them: header and name. A cookie is a number of entries.
    pub(crate) fn list(&self, cookie: u64) -> Answer<impl Iterator<Item = (Dirent, &[u8])>> {
        let Content::Directory(entries) = &self.tree.node(self.node).content else { return Err(Errno::Notdir) };
        // What is above is not the guest's to know, as in a real directory.
        let dots = [(&b"."[..], self.node), (b"..", self.node)];
        let all = dots.into_iter().chain(entries.iter().map(|(name, node)| (&**name, *node)));
        let from = all.enumerate().skip(usize::try_from(cookie).unwrap_or(usize::MAX));
        Ok(from.map(|(index, (name, node))| {
            let filetype = self.tree.node(node).filetype();
            (Dirent { next: index as u64 + 1, ino: ino(node), name_len: name.len() as u32, filetype }, name)
        }))
    }
}

/// Never 0, which many programs take for "none".
fn ino(node: NodeId) -> u64 {
    u64::from(node) + 1
}
