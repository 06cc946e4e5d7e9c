//! Random sequences of calls on a real directory, each compared with what a model of it says: the answer, what was
//! put into memory and that nothing else was, and the tree in the end.

mod guest;
mod tree;

use std::path::Path;

use selvedge_runtime::Module;
use selvedge_wasi::{DirAccess, Wasi};

use guest::Guest;
use tree::errno::{BADF, INVAL, NOTCAPABLE, NOTDIR};
use tree::{Answer, How, Id, Node, ROOT, Tree};

pub(crate) use guest::module;

/// Where choices come from.
#[allow(dead_code, reason = "one is the test's, the other the fuzzer's")]
pub(crate) enum Choices<'b> {
    /// Bytes, until there are no more.
    Bytes(&'b [u8]),
    /// A seed, for so many choices.
    Seed(u64, u32),
}

impl Choices<'_> {
    /// One of so many; `None` at the end.
    fn below(&mut self, count: u32) -> Option<u32> {
        let number = match self {
            Choices::Bytes(bytes) => {
                let (first, rest) = bytes.split_first()?;
                *bytes = rest;
                u32::from(*first)
            }
            Choices::Seed(_, 0) => return None,
            Choices::Seed(state, left) => {
                *left -= 1;
                // SplitMix64 (Steele, Lea, Flood 2014).
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as u32
            }
        };
        Some(number % count)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        Some(all[self.below(all.len() as u32)? as usize])
    }

    /// A path of names that meet often. The last is a plain name if `named`.
    fn path(&mut self, named: bool) -> Option<String> {
        const WAYS: &[&str] = &["a", "b", "c", "..", "."];
        let mut path = String::new();
        for _ in 0..self.one_of(&[0, 0, 0, 1, 1, 2, 3])? {
            path += self.one_of(WAYS)?;
            path += "/";
        }
        path +=
            if named { self.one_of(&["a", "b", "c", "d"])? } else { self.one_of(&["a", "b", "c", "d", ".", ".."])? };
        Some(path)
    }
}

/// Places in the guest's memory.
const PATH: u32 = 0x100;
const SECOND_PATH: u32 = 0x200;
const IOVECS: u32 = 0x300;
const RESULT: u32 = 0x400;
const DATA: u32 = 0x1000;
const DATA_BYTES: u32 = 0x1000;
/// No memory is there.
const NOWHERE: u32 = 0xffff_fff0;

const RIGHTS_ALL: u64 = (1 << 30) - 1;
/// `fd_write`, `fd_allocate`, `fd_filestat_set_size`.
const RIGHTS_TO_WRITE: u64 = 1 << 6 | 1 << 8 | 1 << 22;

/// What the model has open.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// A standard stream, left alone.
    Stream,
    Directory(Id),
    File {
        id: Id,
        position: u64,
        writes: bool,
        appends: bool,
    },
}

struct Run {
    guest: Guest,
    tree: Tree,
    open: Vec<Option<Open>>,
    log: Vec<String>,
}

/// Runs a sequence in an empty directory; an error says what was not as it should be, and what led there.
pub(crate) fn run(module: &Module, mut choices: Choices<'_>) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let wasi = Wasi::builder().preopen_dir(place.path(), "/", DirAccess::ReadWrite).and_then(|builder| builder.build());
    let guest = Guest::new(module, wasi.map_err(|error| error.to_string())?);
    let open = vec![Some(Open::Stream), Some(Open::Stream), Some(Open::Stream), Some(Open::Directory(ROOT))];
    let mut run = Run { guest, tree: Tree::new(), open, log: Vec::new() };
    let outcome = loop {
        match run.step(&mut choices) {
            None => break run.compare_trees(ROOT, place.path()),
            Some(Ok(())) => {}
            Some(Err(difference)) => break Err(difference),
        }
    };
    let log = &run.log[run.log.len().saturating_sub(40)..];
    outcome.map_err(|difference| format!("{difference}\nafter\n  {}", log.join("\n  ")))
}

/// A call that is to be made, and what it may change in memory.
struct Call {
    name: &'static str,
    arguments: Vec<u64>,
    /// Places for results.
    outputs: Vec<(u32, u32)>,
}

impl Run {
    /// One call; `None` when there are no more choices.
    fn step(&mut self, choices: &mut Choices<'_>) -> Option<Result<(), String>> {
        let fd = choices.one_of(&[3, 3, 3, 4, 4, 5, 6, 7])?;
        match choices.below(19)? {
            0..3 => self.open(choices, fd),
            3 => self.on_name(choices, fd, "path_create_directory", Tree::make_directory),
            4 => self.on_name(choices, fd, "path_remove_directory", Tree::remove_directory),
            5 => self.on_name(choices, fd, "path_unlink_file", Tree::unlink),
            6 => self.rename(choices, fd),
            7 => self.link(choices, fd),
            8 => self.symlink(choices, fd),
            9 => self.readlink(choices, fd),
            10 => self.stat(choices, fd),
            11 => self.list(choices, fd),
            12 => self.write(choices, fd, None),
            13 => self.read(choices, fd, None),
            14 => {
                let offset = choices.below(50)?.into();
                if choices.below(2)? == 0 {
                    self.write(choices, fd, Some(offset))
                } else {
                    self.read(choices, fd, Some(offset))
                }
            }
            15 => self.seek(choices, fd),
            16 => self.resize(choices, fd),
            17 => self.close(choices, fd),
            _ => self.renumber(choices, fd),
        }
    }

    fn get(&self, fd: u32) -> Answer<Open> {
        self.open.get(fd as usize).copied().flatten().ok_or(BADF)
    }

    /// The directory that paths are relative to.
    fn root(&self, fd: u32) -> Answer<Id> {
        match self.get(fd)? {
            Open::Directory(id) => Ok(id),
            Open::File { .. } | Open::Stream => Err(NOTDIR),
        }
    }

    fn text(&mut self, at: u32, text: &str) -> (u64, u64) {
        self.guest.memory()[at as usize..][..text.len()].copy_from_slice(text.as_bytes());
        (at.into(), text.len() as u64)
    }

    /// Makes a call, sometimes first with a place that is none, and compares its errno and what it left alone.
    fn call(&mut self, choices: &mut Choices<'_>, call: &Call, expected: Answer) -> Option<Result<(), String>> {
        self.log.push(format!("{}({:x?}) = {expected:?}", call.name, call.arguments));
        if choices.below(8) == Some(0) {
            let mut wild = Call { name: call.name, arguments: call.arguments.clone(), outputs: Vec::new() };
            let places = [PATH, SECOND_PATH, IOVECS, RESULT, DATA].map(u64::from);
            if let Some(at) = wild.arguments.iter().position(|argument| places.contains(argument)) {
                wild.arguments[at] = NOWHERE.into();
                match self.make(&wild) {
                    Ok(0) => return Some(Err(format!("{} with a place that is none succeeded", call.name))),
                    Err(difference) => return Some(Err(difference)),
                    Ok(_) => {}
                }
            }
        }
        let expected = expected.err().unwrap_or(0);
        let compared = self.make(call).and_then(|errno| match errno {
            errno if errno == expected => Ok(()),
            errno => Err(format!("{} answered {errno}, not {expected}", call.name)),
        });
        Some(compared)
    }

    /// Makes a call; its errno. Memory outside its outputs must stay, and all of it if it fails.
    fn make(&mut self, call: &Call) -> Result<i32, String> {
        let mut before = self.guest.memory().to_vec();
        let errno = self.guest.call(call.name, &call.arguments);
        let after = self.guest.memory();
        if errno == 0 {
            for (start, len) in &call.outputs {
                let range = *start as usize..(start + len) as usize;
                before[range.clone()].copy_from_slice(&after[range]);
            }
        }
        if before == *after {
            return Ok(errno);
        }
        let at = before.iter().zip(&*after).position(|(before, after)| before != after);
        Err(format!("{} answered {errno} and wrote to {at:x?}", call.name))
    }

    fn result(&mut self) -> u32 {
        let bytes = &self.guest.memory()[RESULT as usize..][..4];
        u32::from_le_bytes(bytes.try_into().unwrap_or_default())
    }

    fn open(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let (path, bits) = (choices.path(false)?, choices.below(64)?);
        let bit = |at: u32| bits >> at & 1 != 0;
        let (creates, directory) = (bit(1), choices.below(8)? == 0);
        let how =
            How { follow: bit(0), creates, exclusive: bit(2), truncates: bit(3) && bit(0), directory, writes: bit(4) };
        let appends = bit(5);
        let expected = self.root(fd).and_then(|root| self.tree.open(root, &path, how));
        let (start, len) = self.text(PATH, &path);
        let oflags = [how.creates, how.directory, how.exclusive, how.truncates]
            .iter()
            .rev()
            .fold(0, |bits, bit| bits << 1 | u64::from(*bit));
        let rights = if how.writes { RIGHTS_ALL } else { RIGHTS_ALL & !RIGHTS_TO_WRITE };
        let arguments =
            vec![fd.into(), how.follow.into(), start, len, oflags, rights, RIGHTS_ALL, appends.into(), RESULT.into()];
        let call = Call { name: "path_open", arguments, outputs: vec![(RESULT, 4)] };
        // Nothing can be tried with a wrong place here: the model has opened it already.
        self.log.push(format!("open {path:?}"));
        let compared = self.call_once(&call, expected.map(drop));
        let (Ok(id), Ok(())) = (expected, &compared) else { return Some(compared) };
        let opened = match self.tree.is_directory(id) {
            true => Open::Directory(id),
            false => Open::File { id, position: 0, writes: how.writes, appends },
        };
        let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        if free == self.open.len() {
            self.open.push(None);
        }
        self.open[free] = Some(opened);
        let number = self.result();
        Some(if number == free as u32 { Ok(()) } else { Err(format!("opened as {number}, not {free}")) })
    }

    fn call_once(&mut self, call: &Call, expected: Answer) -> Result<(), String> {
        self.log.push(format!("{}({:x?}) = {expected:?}", call.name, call.arguments));
        let (errno, expected) = (self.make(call)?, expected.err().unwrap_or(0));
        if errno == expected { Ok(()) } else { Err(format!("{} answered {errno}, not {expected}", call.name)) }
    }

    /// A function of a directory and a plain name in it.
    fn on_name(
        &mut self,
        choices: &mut Choices<'_>,
        fd: u32,
        name: &'static str,
        model: fn(&mut Tree, Id, &str) -> Answer,
    ) -> Option<Result<(), String>> {
        let path = choices.path(true)?;
        let expected = self.root(fd).and_then(|root| model(&mut self.tree, root, &path));
        let (start, len) = self.text(PATH, &path);
        self.log.push(format!("{path:?}"));
        self.call(choices, &Call { name, arguments: vec![fd.into(), start, len], outputs: Vec::new() }, expected)
    }

    fn rename(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let (old, new, new_fd) = (choices.path(true)?, choices.path(true)?, choices.one_of(&[3, 3, 4, 5])?);
        let roots = self.root(fd).and_then(|root| Ok((root, self.root(new_fd)?)));
        let expected = roots.and_then(|(root, new_root)| self.tree.rename((root, &old), (new_root, &new)));
        let ((start, len), (new_start, new_len)) = (self.text(PATH, &old), self.text(SECOND_PATH, &new));
        self.log.push(format!("{old:?} to {new:?}"));
        let arguments = vec![fd.into(), start, len, new_fd.into(), new_start, new_len];
        self.call(choices, &Call { name: "path_rename", arguments, outputs: Vec::new() }, expected)
    }

    fn link(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let (old, new, new_fd) = (choices.path(true)?, choices.path(true)?, choices.one_of(&[3, 3, 4, 5])?);
        let follow = choices.below(2)? == 1;
        let roots = self.root(fd).and_then(|root| Ok((root, self.root(new_fd)?)));
        let expected = roots.and_then(|(root, new_root)| self.tree.link((root, &old), follow, (new_root, &new)));
        let ((start, len), (new_start, new_len)) = (self.text(PATH, &old), self.text(SECOND_PATH, &new));
        self.log.push(format!("{old:?} as {new:?}"));
        let arguments = vec![fd.into(), follow.into(), start, len, new_fd.into(), new_start, new_len];
        self.call(choices, &Call { name: "path_link", arguments, outputs: Vec::new() }, expected)
    }

    fn symlink(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let (target, path) = (choices.path(false)?, choices.path(true)?);
        let expected = self.root(fd).and_then(|root| self.tree.make_link(root, &path, &target));
        let ((target_start, target_len), (start, len)) = (self.text(SECOND_PATH, &target), self.text(PATH, &path));
        self.log.push(format!("{path:?} to {target:?}"));
        let arguments = vec![target_start, target_len, fd.into(), start, len];
        self.call(choices, &Call { name: "path_symlink", arguments, outputs: Vec::new() }, expected)
    }

    fn readlink(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let (path, buffer_len) = (choices.path(true)?, choices.one_of(&[100, 2, 0])?);
        let place = self.root(fd).and_then(|root| self.tree.resolve(root, &path, false));
        let expected = place.and_then(|place| match place.node.map(|node| &self.tree.0[node]) {
            None => Err(tree::errno::NOENT),
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

    /// Compares what a call put at `DATA`, and the count at `RESULT`.
    fn compare_data(&mut self, expected: &[u8]) -> Result<(), String> {
        let done = self.result() as usize;
        let data = self.guest.memory()[DATA as usize..][..done.min(DATA_BYTES as usize)].to_vec();
        if data == expected { Ok(()) } else { Err(format!("gave {data:?}, not {expected:?}")) }
    }

    fn stat(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let (path, follow) = (choices.path(false)?, choices.below(2)? == 1);
        let place = self.root(fd).and_then(|root| self.tree.resolve(root, &path, follow));
        let expected = place.and_then(|place| place.node.ok_or(tree::errno::NOENT));
        let (start, len) = self.text(PATH, &path);
        let arguments = vec![fd.into(), follow.into(), start, len, RESULT.into()];
        let call = Call { name: "path_filestat_get", arguments, outputs: vec![(RESULT, 64)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(id), Ok(())) = (expected, &compared) else { return Some(compared) };
        let at = |memory: &[u8], offset: usize| {
            u64::from_le_bytes(memory[RESULT as usize + offset..][..8].try_into().unwrap_or_default())
        };
        let memory = self.guest.memory();
        let found = (at(memory, 16) as u8, at(memory, 24) as usize, at(memory, 32));
        let expected = match &self.tree.0[id] {
            Node::File(contents) => (4, self.tree.links(id), contents.len() as u64),
            Node::Link(target) => (7, self.tree.links(id), target.len() as u64),
            // How large a directory is and how often it is linked is the file system's business.
            Node::Directory { .. } => (3, found.1, found.2),
        };
        Some(if found == expected { Ok(()) } else { Err(format!("{path:?} is {found:?}, not {expected:?}")) })
    }

    fn list(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let root = self.root(fd);
        let dead = root.is_ok_and(|root| matches!(self.tree.0[root], Node::Directory { dead: true, .. }));
        let expected = if dead { Err(tree::errno::NOENT) } else { root };
        let arguments = vec![fd.into(), DATA.into(), DATA_BYTES.into(), 0, RESULT.into()];
        let call = Call { name: "fd_readdir", arguments, outputs: vec![(DATA, DATA_BYTES), (RESULT, 4)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(id), Ok(())) = (expected, &compared) else { return Some(compared) };
        let used = self.result() as usize;
        let mut rest = &self.guest.memory()[DATA as usize..][..used];
        let mut found = Vec::new();
        while let Some((header, names)) = rest.split_at_checked(24) {
            let (name, later) =
                names.split_at(u32::from_le_bytes(header[16..20].try_into().unwrap_or_default()) as usize);
            found.push(String::from_utf8_lossy(name).into_owned());
            rest = later;
        }
        found.sort();
        let names = self.tree.names(id).into_iter().flatten().map(|(name, _)| name.clone());
        let mut expected: Vec<_> = [".".to_owned(), "..".to_owned()].into_iter().chain(names).collect();
        expected.sort();
        Some(if found == expected { Ok(()) } else { Err(format!("lists {found:?}, not {expected:?}")) })
    }

    /// A file that is open, if it is one and the guest may do this with it.
    fn file(&self, fd: u32, to_write: bool) -> Answer<(Id, u64, bool)> {
        match self.get(fd)? {
            Open::File { id, position, writes, appends } if writes || !to_write => Ok((id, position, appends)),
            _ => Err(NOTCAPABLE),
        }
    }

    fn contents(&mut self, id: Id) -> &mut Vec<u8> {
        match &mut self.tree.0[id] {
            Node::File(contents) => contents,
            other => panic!("{other:?} has no contents"),
        }
    }

    fn moved(&mut self, fd: u32, to: u64) {
        if let Some(Some(Open::File { position, .. })) = self.open.get_mut(fd as usize) {
            *position = to;
        }
    }

    /// Two buffers, one after the other, of so many bytes together.
    fn iovecs(&mut self, len: u32) {
        let first = len / 3;
        let words = [DATA, first, DATA + first, len - first];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.guest.memory()[IOVECS as usize..][..16].copy_from_slice(&bytes);
    }

    fn write(&mut self, choices: &mut Choices<'_>, fd: u32, offset: Option<u64>) -> Option<Result<(), String>> {
        let (len, byte) = (choices.below(40)?, choices.below(250)? as u8);
        self.guest.memory()[DATA as usize..][..len as usize].fill(byte);
        self.iovecs(len);
        let file = self.file(fd, true);
        if let Ok((id, position, appends)) = file {
            let contents = self.contents(id);
            let at = if appends { contents.len() } else { offset.unwrap_or(position) as usize };
            if len > 0 {
                contents.resize(contents.len().max(at + len as usize), 0);
                contents[at..at + len as usize].fill(byte);
            }
            if offset.is_none() && len > 0 {
                self.moved(fd, at as u64 + u64::from(len));
            }
        }
        let (name, mut arguments) = ("fd_write", vec![fd.into(), IOVECS.into(), 2]);
        arguments.extend(offset);
        arguments.push(RESULT.into());
        let name = if offset.is_some() { "fd_pwrite" } else { name };
        let compared = self.call(choices, &Call { name, arguments, outputs: vec![(RESULT, 4)] }, file.map(drop))?;
        let done = self.result();
        Some(compared.and_then(|()| match file {
            Ok(_) if done != len => Err(format!("wrote {done} bytes, not {len}")),
            _ => Ok(()),
        }))
    }

    fn read(&mut self, choices: &mut Choices<'_>, fd: u32, offset: Option<u64>) -> Option<Result<(), String>> {
        let len = choices.below(40)?;
        self.iovecs(len);
        let file = self.file(fd, false);
        let expected = file.map(|(id, position, _)| {
            let contents = self.contents(id);
            let at = (offset.unwrap_or(position) as usize).min(contents.len());
            let data = contents[at..contents.len().min(at + len as usize)].to_vec();
            if offset.is_none() {
                self.moved(fd, position + data.len() as u64);
            }
            data
        });
        let mut arguments = vec![fd.into(), IOVECS.into(), 2];
        arguments.extend(offset);
        arguments.push(RESULT.into());
        let name = if offset.is_some() { "fd_pread" } else { "fd_read" };
        let outputs = vec![(DATA, expected.as_ref().map_or(0, |data| data.len() as u32)), (RESULT, 4)];
        let compared = self.call(choices, &Call { name, arguments, outputs }, file.map(drop))?;
        let Ok(data) = expected else { return Some(compared) };
        Some(compared.and_then(|()| self.compare_data(&data)))
    }

    fn seek(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let (whence, offset) = (choices.below(4)?, i64::from(choices.below(60)?) - 20);
        let expected = self.file(fd, false).and_then(|(id, position, _)| {
            let from = match whence {
                0 => 0,
                1 => position as i64,
                2 => self.contents(id).len() as i64,
                _ => return Err(INVAL),
            };
            u64::try_from(from + offset).map_err(|_| INVAL)
        });
        let arguments = vec![fd.into(), offset as u64, whence.into(), RESULT.into()];
        let call = Call { name: "fd_seek", arguments, outputs: vec![(RESULT, 8)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(to), Ok(())) = (expected, &compared) else { return Some(compared) };
        self.moved(fd, to);
        let found = self.result();
        Some(if u64::from(found) == to { Ok(()) } else { Err(format!("sought to {found}, not {to}")) })
    }

    fn resize(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        let size = choices.below(60)?;
        let file = self.file(fd, true);
        if let Ok((id, ..)) = file {
            self.contents(id).resize(size as usize, 0);
        }
        let call = Call { name: "fd_filestat_set_size", arguments: vec![fd.into(), size.into()], outputs: Vec::new() };
        self.call(choices, &call, file.map(drop))
    }

    fn close(&mut self, choices: &mut Choices<'_>, fd: u32) -> Option<Result<(), String>> {
        // The root is kept, or there would soon be nothing left to do.
        let fd = fd.max(4);
        let expected = self.get(fd).map(drop);
        let compared =
            self.call(choices, &Call { name: "fd_close", arguments: vec![fd.into()], outputs: Vec::new() }, expected)?;
        if let Some(slot) = self.open.get_mut(fd as usize) {
            *slot = None;
        }
        Some(compared)
    }

    fn renumber(&mut self, choices: &mut Choices<'_>, to: u32) -> Option<Result<(), String>> {
        let (from, to) = (choices.one_of(&[4, 5, 6, 7, 8])?, to.max(4));
        let expected = self.get(to).and_then(|_| self.get(from)).map(drop);
        let call = Call { name: "fd_renumber", arguments: vec![from.into(), to.into()], outputs: Vec::new() };
        let compared = self.call(choices, &call, expected)?;
        if expected.is_ok() && from != to {
            self.open[to as usize] = self.open[from as usize].take();
        }
        Some(compared)
    }

    /// Compares a directory with the model's.
    fn compare_trees(&self, directory: Id, host: &Path) -> Result<(), String> {
        let names = self.tree.names(directory).into_iter().flatten();
        let expected: Vec<_> = names.clone().map(|(name, _)| name.clone()).collect();
        let entries = host.read_dir().map_err(|error| error.to_string())?;
        let mut found: Vec<_> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        found.sort();
        if found != expected {
            return Err(format!("{} has {found:?}, not {expected:?}", host.display()));
        }
        for (name, node) in names {
            let path = host.join(name);
            let same = match &self.tree.0[*node] {
                Node::File(contents) => std::fs::read(&path).is_ok_and(|found| found == *contents),
                Node::Link(target) => std::fs::read_link(&path).is_ok_and(|found| found == Path::new(target)),
                Node::Directory { .. } => return self.compare_trees(*node, &path),
            };
            if !same {
                return Err(format!("{} is not {:?}", path.display(), self.tree.0[*node]));
            }
        }
        Ok(())
    }
}
