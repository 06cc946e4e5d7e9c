//! Calls that name files by paths.

use super::numbers::errno::{INVAL, NOENT, NOTCAPABLE};
use super::numbers::{flag, right};
use super::tree::{Answer, How, Id, Node, Tree};
use super::{Call, Choices, Compared, DATA, Open, PATH, RESULT, Run, SECOND_PATH, What, same};

impl Run {
    pub(super) fn open(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (path, bits) = (choices.path(false)?, choices.below(64)?);
        let bit = |at: u32| bits >> at & 1 != 0;
        let (creates, directory) = (bit(1) || choices.one_in(2)?, choices.one_in(8)?);
        let truncates = bit(3) && bit(0);
        let base = self.wanted(choices, fd, bit(4))?;
        let writes = base & right::WRITE != 0;
        let how = How { follow: bit(0), creates, exclusive: bit(2), truncates, directory, writes };
        let flags = if bit(5) { flag::APPEND } else { 0 };
        let needed = right::OPEN
            | if creates { right::CREATE_FILE } else { 0 }
            | if truncates { right::PATH_SET_SIZE } else { 0 };
        let passed_on = self.get(fd, 0).map_or(0, |open| open.inheriting);
        let inheriting = if choices.one_in(4)? { right::ALL } else { passed_on };
        let root = self
            .root(fd, needed)
            .and_then(|root| if (base | inheriting) & !passed_on == 0 { Ok(root) } else { Err(NOTCAPABLE) });
        let expected = root.and_then(|root| self.room().map(|()| root));
        let expected = expected.and_then(|root| self.tree.open(root, &path, how));
        let (start, len) = self.text(PATH, &path);
        let oflags = [creates, directory, how.exclusive, truncates];
        let oflags = oflags.iter().rev().fold(0, |bits, bit| bits << 1 | u64::from(*bit));
        let arguments = vec![fd.into(), how.follow.into(), start, len, oflags, base, inheriting, flags, RESULT.into()];
        let call = Call { name: "path_open", arguments, outputs: vec![(RESULT, 4)] };
        // Nothing can be tried with a wrong place here: the model has opened it already.
        self.log.push(format!("open {path:?}"));
        let compared = self.call_once(&call, expected.map(drop));
        let (Ok(id), Ok(())) = (expected, &compared) else { return Some(compared) };
        let opened = if self.tree.is_directory(id) {
            Open { what: What::Directory(id), flags, base: base & right::DIRECTORY, inheriting }
        } else {
            Open { what: What::File { id, position: 0 }, flags, base: base & right::FILE, inheriting: 0 }
        };
        let number = self.add(opened);
        Some(same(&self.number(RESULT), &number))
    }

    /// Rights to ask for. Those to write come together: one alone says nothing of how the host opens.
    fn wanted(&self, choices: &mut Choices<'_>, fd: u32, writes: bool) -> Option<u64> {
        let passed_on = self.get(fd, 0).map_or(0, |open| open.inheriting);
        let all = if choices.one_in(4)? { right::ALL } else { passed_on };
        let writes = writes && all & right::TO_WRITE == right::TO_WRITE;
        Some(if writes { all } else { all & !right::TO_WRITE })
    }

    pub(super) fn make_directory(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        self.on_name(choices, fd, "path_create_directory", right::CREATE_DIRECTORY, Tree::make_directory)
    }

    pub(super) fn remove_directory(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        self.on_name(choices, fd, "path_remove_directory", right::REMOVE_DIRECTORY, Tree::remove_directory)
    }

    pub(super) fn unlink(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        self.on_name(choices, fd, "path_unlink_file", right::UNLINK, Tree::unlink)
    }

    /// A function of a directory and a plain name in it.
    fn on_name(
        &mut self,
        choices: &mut Choices<'_>,
        fd: u32,
        name: &'static str,
        rights: u64,
        model: fn(&mut Tree, Id, &str) -> Answer,
    ) -> Compared {
        let path = choices.path(true)?;
        let expected = self.root(fd, rights).and_then(|root| model(&mut self.tree, root, &path));
        let (start, len) = self.text(PATH, &path);
        self.log.push(format!("{path:?}"));
        self.call(choices, &Call::new(name, vec![fd.into(), start, len]), expected)
    }

    /// Two directories, with the rights that each must have.
    fn roots(&self, old: (u32, u64), new: (u32, u64)) -> Answer<(Id, Id)> {
        let old = self.root(old.0, old.1)?;
        Ok((old, self.root(new.0, new.1)?))
    }

    pub(super) fn rename(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (old, new, new_fd) = (choices.path(true)?, choices.path(true)?, choices.one_of(&[3, 3, 6, 7])?);
        let roots = self.roots((fd, right::RENAME_SOURCE), (new_fd, right::RENAME_TARGET));
        let expected = roots.and_then(|(root, new_root)| self.tree.rename((root, &old), (new_root, &new)));
        let ((start, len), (new_start, new_len)) = (self.text(PATH, &old), self.text(SECOND_PATH, &new));
        self.log.push(format!("{old:?} to {new:?}"));
        let arguments = vec![fd.into(), start, len, new_fd.into(), new_start, new_len];
        self.call(choices, &Call::new("path_rename", arguments), expected)
    }

    pub(super) fn link(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (old, new, new_fd) = (choices.path(true)?, choices.path(true)?, choices.one_of(&[3, 3, 6, 7])?);
        let follow = choices.one_in(2)?;
        let roots = self.roots((fd, right::LINK_SOURCE), (new_fd, right::LINK_TARGET));
        let expected = roots.and_then(|(root, new_root)| self.tree.link((root, &old), follow, (new_root, &new)));
        let ((start, len), (new_start, new_len)) = (self.text(PATH, &old), self.text(SECOND_PATH, &new));
        self.log.push(format!("{old:?} as {new:?}"));
        let arguments = vec![fd.into(), follow.into(), start, len, new_fd.into(), new_start, new_len];
        self.call(choices, &Call::new("path_link", arguments), expected)
    }

    pub(super) fn symlink(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (target, path) = (choices.path(false)?, choices.path(true)?);
        let root = self.root(fd, right::SYMLINK);
        let expected = root.and_then(|root| self.tree.make_link(root, &path, &target));
        let ((target_start, target_len), (start, len)) = (self.text(SECOND_PATH, &target), self.text(PATH, &path));
        self.log.push(format!("{path:?} to {target:?}"));
        let arguments = vec![target_start, target_len, fd.into(), start, len];
        self.call(choices, &Call::new("path_symlink", arguments), expected)
    }

    pub(super) fn readlink(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (path, buffer_len) = (choices.path(true)?, choices.one_of(&[100, 2, 0])?);
        let place = self.root(fd, right::READLINK).and_then(|root| self.tree.resolve(root, &path, false));
        let expected = place.and_then(|place| match place.node.map(|node| &self.tree.0[node]) {
            None => Err(NOENT),
            Some(Node::Link(target)) => Ok(target[..target.len().min(buffer_len)].to_owned()),
            Some(_) => Err(INVAL),
        });
        let (start, len) = self.text(PATH, &path);
        let arguments = vec![fd.into(), start, len, DATA.into(), buffer_len as u64, RESULT.into()];
        let outputs = vec![(DATA, buffer_len as u32), (RESULT, 4)];
        let answer = expected.as_ref().map(drop).map_err(|errno| *errno);
        let compared = self.call(choices, &Call { name: "path_readlink", arguments, outputs }, answer)?;
        let Ok(target) = expected else { return Some(compared) };
        Some(compared.and_then(|()| self.compare_data(target.as_bytes())))
    }

    /// What a path leads to, and that something is there.
    fn found(&self, fd: u32, rights: u64, path: &str, follow: bool) -> Answer<Id> {
        let place = self.root(fd, rights).and_then(|root| self.tree.resolve(root, path, follow))?;
        place.node.ok_or(NOENT)
    }

    pub(super) fn stat(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (path, follow) = (choices.path(false)?, choices.one_in(2)?);
        let expected = self.found(fd, right::PATH_STAT, &path, follow);
        let (start, len) = self.text(PATH, &path);
        let arguments = vec![fd.into(), follow.into(), start, len, RESULT.into()];
        let call = Call { name: "path_filestat_get", arguments, outputs: vec![(RESULT, 64)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(id), Ok(())) = (expected, &compared) else { return Some(compared) };
        Some(self.compare_stat(id))
    }

    /// Compares a `filestat` at `RESULT`.
    pub(super) fn compare_stat(&mut self, id: Id) -> Result<(), String> {
        let filetype = self.number64(RESULT + 16);
        let found = (filetype, self.number64(RESULT + 24) as usize, self.number64(RESULT + 32));
        let expected = match &self.tree.0[id] {
            Node::File(contents) => (4, self.tree.links(id), contents.len() as u64),
            Node::Link(target) => (7, self.tree.links(id), target.len() as u64),
            // How large a directory is and how often it is linked is the file system's business.
            Node::Directory { .. } => (3, found.1, found.2),
        };
        same(&found, &expected)
    }

    pub(super) fn set_times_of_path(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (path, follow) = (choices.path(false)?, choices.one_in(2)?);
        let ([atim, mtim], bits, which) = times(choices)?;
        let found = self.root(fd, right::PATH_SET_TIMES).and(which);
        let expected = found.and_then(|_| self.found(fd, right::PATH_SET_TIMES, &path, follow));
        let (start, len) = self.text(PATH, &path);
        let place = [fd.into(), follow.into(), start, len];
        let arguments = [&place[..], &[atim, mtim, bits]].concat();
        let compared = self.call(choices, &Call::new("path_filestat_set_times", arguments), expected.map(drop))?;
        let (Ok(_), Ok(()), Ok(set)) = (expected, &compared, which) else { return Some(compared) };
        if self.root(fd, right::PATH_STAT).is_err() {
            return Some(compared);
        }
        let arguments = [&place[..], &[RESULT.into()]].concat();
        let call = Call { name: "path_filestat_get", arguments, outputs: vec![(RESULT, 64)] };
        Some(self.call_once(&call, Ok(())).and_then(|()| self.compare_times([atim, mtim], set)))
    }

    /// Compares the times of a `filestat` at `RESULT` with those that were set to a time of the guest's.
    pub(super) fn compare_times(&mut self, times: [u64; 2], set: [bool; 2]) -> Result<(), String> {
        let found = [self.number64(RESULT + 40), self.number64(RESULT + 48)];
        let expected = [0, 1].map(|at| if set[at] { times[at] } else { found[at] });
        same(&found, &expected)
    }
}

/// Times to set, the flags for it, and which of the two are then what; an errno if that is nonsense.
pub(super) fn times(choices: &mut Choices<'_>) -> Option<([u64; 2], u64, Answer<[bool; 2]>)> {
    let mut time = || Some(u64::from(choices.below(200)?) * 1_000_000_000 + 1_000);
    let times = [time()?, time()?];
    let bits = u64::from(choices.below(18)?);
    let both = |shift: u64| bits >> shift & 3 == 3;
    let set = if bits > 15 || both(0) || both(2) { Err(INVAL) } else { Ok([bits & 1 != 0, bits & 4 != 0]) };
    Some((times, bits, set))
}
