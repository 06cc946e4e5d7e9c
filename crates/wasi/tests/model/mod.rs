//! Random sequences of calls: with a model of what each must do ([`run`]), and with arguments that mean nothing
//! ([`wild`]).
//!
//! In the former every answer is compared with the model's, what was put into memory and that nothing else was,
//! and the tree in the end. All 46 functions are called.

mod choices;
mod descriptors;
mod files;
mod guest;
mod numbers;
mod paths;
mod sockets;
mod system;
mod tree;
pub(crate) mod wild;

use std::path::Path;

use selvedge_runtime::Module;
use selvedge_wasi::{DirAccess, Wasi};

use guest::Guest;
use numbers::errno::{BADF, MFILE, NOTCAPABLE, NOTDIR};
use numbers::{flag, right};
use sockets::Sockets;
use system::Clock;
use tree::{Answer, Id, Node, ROOT, Tree};

pub(crate) use choices::Choices;
pub(crate) use guest::module;

/// Places in the guest's memory.
const PATH: u32 = 0x100;
const SECOND_PATH: u32 = 0x200;
const IOVECS: u32 = 0x300;
const RESULT: u32 = 0x400;
const SECOND_RESULT: u32 = 0x480;
const DATA: u32 = 0x1000;
const DATA_BYTES: u32 = 0x1000;
/// No memory is there.
const NOWHERE: u32 = 0xffff_fff0;

/// The directory that is granted, and its name.
const GRANTED: u32 = 3;
const NAME: &str = "/";
/// The first number that something the guest opens can have.
const FIRST_OPENED: u32 = 6;
const DESCRIPTORS_MAX: u32 = 10;

/// What the model has open.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A standard stream, left alone.
    Stream,
    Directory(Id),
    File {
        id: Id,
        position: u64,
    },
    Socket,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    what: What,
    flags: u64,
    base: u64,
    inheriting: u64,
}

impl Open {
    fn appends(&self) -> bool {
        self.flags & flag::APPEND != 0
    }

    fn may(&self, rights: u64) -> bool {
        let implied = if self.base & right::SEEK != 0 { right::TELL } else { 0 };
        rights & !(self.base | implied) == 0
    }
}

struct Run {
    guest: Guest,
    tree: Tree,
    open: Vec<Option<Open>>,
    sockets: Sockets,
    clock: Clock,
    log: Vec<String>,
}

/// What a comparison comes to; `None` when there are no more choices.
type Compared = Option<Result<(), String>>;

/// Runs a sequence in an empty directory; an error says what was not as it should be, and what led there.
pub(crate) fn run(module: &Module, mut choices: Choices<'_>) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut run = Run::new(module, place.path()).map_err(|error| error.to_string())?;
    let outcome = loop {
        match run.step(&mut choices) {
            None => break run.compare_trees(ROOT, place.path()).and_then(|()| run.leave()),
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

impl Call {
    /// A call that has no result but its errno.
    fn new(name: &'static str, arguments: Vec<u64>) -> Call {
        Call { name, arguments, outputs: Vec::new() }
    }
}

impl Run {
    fn new(module: &Module, place: &Path) -> Result<Run, Box<dyn std::error::Error>> {
        let (sockets, connection, listener) = Sockets::new()?;
        let builder = Wasi::builder().preopen_dir(place, NAME, DirAccess::ReadWrite)?;
        let wasi = system::grant(builder.preopen_socket(connection).preopen_socket(listener)).build()?;
        let granted = Open { what: What::Directory(ROOT), flags: 0, base: right::DIRECTORY, inheriting: right::ALL };
        let other = |what| Some(Open { what, flags: 0, base: 0, inheriting: 0 });
        let mut open = vec![other(What::Stream); 3];
        open.push(Some(granted));
        open.extend([other(What::Socket); 2]);
        Ok(Run {
            guest: Guest::new(module, wasi),
            tree: Tree::new(),
            open,
            sockets,
            clock: Clock::default(),
            log: Vec::new(),
        })
    }

    /// One call; `None` when there are no more choices.
    fn step(&mut self, choices: &mut Choices<'_>) -> Compared {
        let which = choices.below(44)?;
        let fd = match which {
            21..33 => self.one_open(choices, |what| matches!(what, What::File { .. }))?,
            33..40 => choices.one_of(&[3, 6, 6, 7, 7, 8, 9])?,
            40.. => choices.one_of(&[3, 3, 6, 7])?,
            _ => self.one_open(choices, |what| matches!(what, What::Directory(_)))?,
        };
        match which {
            0..6 => self.open(choices, fd),
            6..8 => self.make_directory(choices, fd),
            8 => self.remove_directory(choices, fd),
            9 => self.unlink(choices, fd),
            10..12 => self.rename(choices, fd),
            12..14 => self.link(choices, fd),
            14 => self.symlink(choices, fd),
            15 | 16 => self.readlink(choices, fd),
            17..19 => self.stat(choices, fd),
            19 => self.set_times_of_path(choices, fd),
            20 => self.list(choices, fd),
            21..23 => self.write(choices, fd, false),
            23..25 => self.read(choices, fd, false),
            25 => self.write(choices, fd, true),
            26 => self.read(choices, fd, true),
            27 => self.seek(choices, fd),
            28 => self.tell(choices, fd),
            29 => self.resize(choices, fd),
            30 => self.allocate(choices, fd),
            31 => self.advise(choices, fd),
            32 => self.sync(choices, fd),
            33 => self.close(choices, fd),
            34 => self.renumber(choices, fd),
            35 => self.status(choices, fd),
            36 => self.set_flags(choices, fd),
            37 => self.set_rights(choices, fd),
            38 => self.stat_open(choices, fd),
            39 => self.set_times(choices, fd),
            40 => self.granted_name(choices, fd),
            41 => self.poll(choices, fd),
            42 => self.socket(choices, fd),
            _ => self.system(choices),
        }
    }

    /// The number of something open that is of a kind, or, sometimes, any number.
    fn one_open(&self, choices: &mut Choices<'_>, is: impl Fn(What) -> bool) -> Option<u32> {
        let open = self.open.iter().enumerate();
        let of_kind: Vec<_> = open.filter(|(_, open)| open.is_some_and(|open| is(open.what))).collect();
        if of_kind.is_empty() || choices.one_in(5)? {
            return choices.one_of(&[3, 6, 7, 8]);
        }
        Some(of_kind[choices.below(of_kind.len() as u32)? as usize].0 as u32)
    }

    /// Something open that must have these rights.
    fn get(&self, fd: u32, rights: u64) -> Answer<Open> {
        let open = self.open.get(fd as usize).copied().flatten().ok_or(BADF)?;
        if open.may(rights) { Ok(open) } else { Err(NOTCAPABLE) }
    }

    /// The directory that paths are relative to.
    fn root(&self, fd: u32, rights: u64) -> Answer<Id> {
        match self.get(fd, 0)?.what {
            What::Directory(id) => self.get(fd, rights).map(|_| id),
            What::File { .. } | What::Stream | What::Socket => Err(NOTDIR),
        }
    }

    fn put(&mut self, at: u32, bytes: &[u8]) {
        self.guest.memory()[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn text(&mut self, at: u32, text: &str) -> (u64, u64) {
        self.put(at, text.as_bytes());
        (at.into(), text.len() as u64)
    }

    /// Makes a call, sometimes first with a place that is none, and compares its errno and what it left alone.
    fn call(&mut self, choices: &mut Choices<'_>, call: &Call, expected: Answer) -> Compared {
        if choices.below(8) == Some(0) {
            let mut astray = Call::new(call.name, call.arguments.clone());
            let places = [PATH, SECOND_PATH, IOVECS, RESULT, SECOND_RESULT, DATA].map(u64::from);
            let mut places =
                astray.arguments.iter_mut().filter(|argument| places.contains(argument)).collect::<Vec<_>>();
            if !places.is_empty() {
                // The model has done its part already: with choices or without, the call is made.
                let which = choices.below(places.len() as u32).unwrap_or(0);
                *places[which as usize] = NOWHERE.into();
                self.log.push(format!("{}({:x?}) fails", astray.name, astray.arguments));
                match self.make(&astray) {
                    Ok(0) => return Some(Err(format!("{} with a place that is none succeeded", call.name))),
                    Err(difference) => return Some(Err(difference)),
                    Ok(_) => {}
                }
            }
        }
        Some(self.call_once(call, expected))
    }

    /// Makes a call, and compares its errno and what it left alone.
    fn call_once(&mut self, call: &Call, expected: Answer) -> Result<(), String> {
        self.log.push(format!("{}({:x?}) = {expected:?}", call.name, call.arguments));
        let (errno, expected) = (self.make(call)?, expected.err().unwrap_or(0));
        if errno == expected { Ok(()) } else { Err(format!("{} answered {errno}, not {expected}", call.name)) }
    }

    /// Makes a call; its errno. Memory outside its outputs must stay, and all of it if it fails.
    fn make(&mut self, call: &Call) -> Result<i32, String> {
        let mut before = self.guest.memory().to_vec();
        let ended = |error| format!("{} ended the guest: {error}", call.name);
        let errno = self.guest.call(call.name, &call.arguments).map_err(ended)?;
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

    /// A number of 32 bits that a call put somewhere.
    fn number(&mut self, at: u32) -> u32 {
        let bytes = &self.guest.memory()[at as usize..][..4];
        u32::from_le_bytes(bytes.try_into().unwrap_or_default())
    }

    fn number64(&mut self, at: u32) -> u64 {
        u64::from(self.number(at)) | u64::from(self.number(at + 4)) << 32
    }

    fn bytes(&mut self, at: u32, len: u32) -> Vec<u8> {
        self.guest.memory()[at as usize..][..len as usize].to_vec()
    }

    /// Compares what a call put at `DATA`, and the count at `RESULT`.
    fn compare_data(&mut self, expected: &[u8]) -> Result<(), String> {
        let done = self.number(RESULT).min(DATA_BYTES);
        let data = self.bytes(DATA, done);
        same(&data[..], expected)
    }

    /// Refuses a descriptor too many.
    fn room(&self) -> Answer {
        let open = self.open.iter().flatten().count();
        if open < DESCRIPTORS_MAX as usize { Ok(()) } else { Err(MFILE) }
    }

    /// Puts a descriptor under the lowest free number, and says that.
    fn add(&mut self, open: Open) -> u32 {
        let free = self.open.iter().position(Option::is_none).unwrap_or(self.open.len());
        if free == self.open.len() {
            self.open.push(None);
        }
        self.open[free] = Some(open);
        free as u32
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
                Node::Directory { .. } => {
                    self.compare_trees(*node, &path)?;
                    true
                }
            };
            if !same {
                return Err(format!("{} is not {:?}", path.display(), self.tree.0[*node]));
            }
        }
        Ok(())
    }
}

/// Compares what a call gave with what it should have given.
fn same<T: PartialEq + std::fmt::Debug + ?Sized>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("gave {found:?}, not {expected:?}")) }
}
