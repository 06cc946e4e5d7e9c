//! A directory tree as a guest should see it: what each call answers, and what is there afterwards.
//!
//! It knows only what the document and POSIX say, not how the host does it.

use std::collections::BTreeMap;

use super::numbers::errno::*;

pub(super) type Id = usize;
pub(super) type Answer<T = ()> = Result<T, i32>;
pub(super) const ROOT: Id = 0;

#[derive(Debug)]
pub(super) enum Node {
    File(Vec<u8>),
    Link(String),
    Directory { names: BTreeMap<String, Id>, parent: Id, dead: bool },
}

/// Nodes are never taken away, only their names.
#[derive(Debug)]
pub(super) struct Tree(pub(super) Vec<Node>);

/// Where a path leads: a directory, a name in it, and what is there; or a directory itself.
pub(super) struct Place {
    pub(super) parent: Id,
    pub(super) name: Option<String>,
    pub(super) node: Option<Id>,
}

const LINKS_MAX: u32 = 40;

impl Tree {
    pub(super) fn new() -> Tree {
        Tree(vec![Node::Directory { names: BTreeMap::new(), parent: ROOT, dead: false }])
    }

    pub(super) fn is_directory(&self, id: Id) -> bool {
        matches!(self.0[id], Node::Directory { .. })
    }

    pub(super) fn names(&self, id: Id) -> Answer<&BTreeMap<String, Id>> {
        match &self.0[id] {
            Node::Directory { names, .. } => Ok(names),
            _ => Err(NOTDIR),
        }
    }

    fn names_mut(&mut self, id: Id) -> &mut BTreeMap<String, Id> {
        match &mut self.0[id] {
            Node::Directory { names, .. } => names,
            other => panic!("{other:?} has no names"),
        }
    }

    fn add(&mut self, parent: Id, name: &str, node: Node) -> Id {
        self.0.push(node);
        let id = self.0.len() - 1;
        self.names_mut(parent).insert(name.to_owned(), id);
        id
    }

    /// How many names a node has.
    pub(super) fn links(&self, id: Id) -> usize {
        self.0
            .iter()
            .filter_map(|node| if let Node::Directory { names, .. } = node { Some(names) } else { None })
            .flat_map(BTreeMap::values)
            .filter(|named| **named == id)
            .count()
    }

    /// Follows a path from `start`, and never out of it.
    pub(super) fn resolve(&self, start: Id, path: &str, follow: bool) -> Answer<Place> {
        let mut ahead: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut here, mut passed, mut links) = (start, Vec::new(), 0);
        let mut place = Place { parent: start, name: None, node: Some(start) };
        while let Some(name) = ahead.pop() {
            match name.as_str() {
                "" | "." => place = Place { parent: here, name: None, node: Some(here) },
                ".." => {
                    here = passed.pop().ok_or(NOTCAPABLE)?;
                    place = Place { parent: here, name: None, node: Some(here) };
                }
                _ => {
                    let node = self.names(here)?.get(&name).copied();
                    let last = ahead.is_empty();
                    match node.map(|node| (node, &self.0[node])) {
                        Some((_, Node::Link(target))) if !last || follow => {
                            links += 1;
                            if links > LINKS_MAX {
                                return Err(LOOP);
                            }
                            ahead.extend(target.split('/').rev().map(str::to_owned));
                        }
                        Some((node, Node::Directory { .. })) => {
                            place = Place { parent: here, name: Some(name), node: Some(node) };
                            passed.push(here);
                            here = node;
                        }
                        Some((_, _)) if !last => return Err(NOTDIR),
                        None if !last => return Err(NOENT),
                        _ => place = Place { parent: here, name: Some(name), node },
                    }
                }
            }
        }
        Ok(place)
    }

    /// The directory that a plain last name is in, and that name.
    fn parent<'p>(&self, start: Id, path: &'p str) -> Answer<(Id, &'p str)> {
        let Some((parent, name)) = path.rsplit_once('/') else { return Ok((start, path)) };
        let parent = self.resolve(start, parent, true)?.node.ok_or(NOENT)?;
        if self.is_directory(parent) { Ok((parent, name)) } else { Err(NOTDIR) }
    }

    fn free(&self, parent: Id, name: &str) -> Answer {
        match &self.0[parent] {
            Node::Directory { names, .. } if names.contains_key(name) => Err(EXIST),
            Node::Directory { dead: true, .. } => Err(NOENT),
            _ => Ok(()),
        }
    }

    fn taken(&self, parent: Id, name: &str) -> Answer<Id> {
        self.names(parent)?.get(name).copied().ok_or(NOENT)
    }

    pub(super) fn open(&mut self, start: Id, path: &str, how: How) -> Answer<Id> {
        if how.creates && how.directory {
            return Err(INVAL);
        }
        let exclusive = how.creates && how.exclusive;
        let place = self.resolve(start, path, how.follow && !exclusive)?;
        let Some(node) = place.node else {
            let (true, Some(name)) = (how.creates, place.name) else { return Err(NOENT) };
            self.free(place.parent, &name)?;
            return Ok(self.add(place.parent, &name, Node::File(Vec::new())));
        };
        match &mut self.0[node] {
            _ if exclusive => Err(EXIST),
            Node::Directory { .. } if how.creates || how.writes || how.truncates => Err(ISDIR),
            Node::Directory { .. } => Ok(node),
            _ if how.directory => Err(NOTDIR),
            Node::Link(_) => Err(LOOP),
            Node::File(contents) => {
                if how.truncates {
                    contents.clear();
                }
                Ok(node)
            }
        }
    }

    pub(super) fn make_directory(&mut self, start: Id, path: &str) -> Answer {
        let (parent, name) = self.parent(start, path)?;
        self.free(parent, name)?;
        self.add(parent, name, Node::Directory { names: BTreeMap::new(), parent, dead: false });
        Ok(())
    }

    pub(super) fn make_link(&mut self, start: Id, path: &str, target: &str) -> Answer {
        let (parent, name) = self.parent(start, path)?;
        self.free(parent, name)?;
        self.add(parent, name, Node::Link(target.to_owned()));
        Ok(())
    }

    pub(super) fn remove_directory(&mut self, start: Id, path: &str) -> Answer {
        let (parent, name) = self.parent(start, path)?;
        let node = self.taken(parent, name)?;
        match &mut self.0[node] {
            Node::Directory { names, .. } if !names.is_empty() => return Err(NOTEMPTY),
            Node::Directory { dead, .. } => *dead = true,
            _ => return Err(NOTDIR),
        }
        self.names_mut(parent).remove(name);
        Ok(())
    }

    pub(super) fn unlink(&mut self, start: Id, path: &str) -> Answer {
        let (parent, name) = self.parent(start, path)?;
        if self.is_directory(self.taken(parent, name)?) {
            return Err(ISDIR);
        }
        self.names_mut(parent).remove(name);
        Ok(())
    }

    pub(super) fn link(&mut self, old: (Id, &str), follow: bool, new: (Id, &str)) -> Answer {
        let node = if follow {
            let place = self.resolve(old.0, old.1, true)?;
            // A directory that is reached by dots has no name there that could be linked.
            if place.name.is_none() {
                return Err(PERM);
            }
            self.parent(new.0, new.1)?;
            place.node
        } else {
            let (parent, name) = self.parent(old.0, old.1)?;
            self.parent(new.0, new.1)?;
            self.names(parent)?.get(name).copied()
        };
        let (parent, name) = self.parent(new.0, new.1)?;
        let node = node.ok_or(NOENT)?;
        self.free(parent, name)?;
        if self.is_directory(node) {
            return Err(PERM);
        }
        self.names_mut(parent).insert(name.to_owned(), node);
        Ok(())
    }

    pub(super) fn rename(&mut self, old: (Id, &str), new: (Id, &str)) -> Answer {
        let (old_parent, old_name) = self.parent(old.0, old.1)?;
        let (new_parent, new_name) = self.parent(new.0, new.1)?;
        let node = self.taken(old_parent, old_name)?;
        let target = self.names(new_parent)?.get(new_name).copied();
        if self.is_beneath(new_parent, node) {
            return Err(INVAL);
        }
        if target.is_some_and(|target| self.is_directory(target) && self.is_beneath(old_parent, target)) {
            return Err(NOTEMPTY);
        }
        if target == Some(node) {
            return Ok(());
        }
        match target.map(|target| &self.0[target]) {
            None => self.free(new_parent, new_name)?,
            Some(Node::Directory { .. }) if !self.is_directory(node) => return Err(ISDIR),
            Some(Node::Directory { names, .. }) if !names.is_empty() => return Err(NOTEMPTY),
            Some(Node::Directory { .. }) => {}
            Some(_) if self.is_directory(node) => return Err(NOTDIR),
            Some(_) => {}
        }
        if let Some(Node::Directory { dead, .. }) = target.map(|target| &mut self.0[target]) {
            *dead = true;
        }
        self.names_mut(old_parent).remove(old_name);
        self.names_mut(new_parent).insert(new_name.to_owned(), node);
        if let Node::Directory { parent, .. } = &mut self.0[node] {
            *parent = new_parent;
        }
        Ok(())
    }

    /// Whether a directory is another or lies in it.
    fn is_beneath(&self, mut directory: Id, above: Id) -> bool {
        loop {
            match &self.0[directory] {
                _ if directory == above => return true,
                Node::Directory { parent, .. } if *parent != directory => directory = *parent,
                _ => return false,
            }
        }
    }
}

/// How something is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) follow: bool,
    pub(super) creates: bool,
    pub(super) exclusive: bool,
    pub(super) truncates: bool,
    pub(super) directory: bool,
    pub(super) writes: bool,
}
