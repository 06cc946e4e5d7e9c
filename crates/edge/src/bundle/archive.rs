//! Looking through an archive, entry by entry. Everything in it is an allegation.
//!
//! Long names come as entries of their own, which are read here and not by the library, because they are bounded here.
//! Whatever could mean different things to different programs is refused: links, sparse files, sizes that are said twice,
//! names with `..`, names that come twice.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use selvedge_wasi::{Tree, TreeBuilder, TreeError};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType, PaxExtensions};
use thiserror::Error;

use super::Bundle;
use super::assets::AssetsBuilder;
use crate::config::ByteCount;
use crate::limits::{
    BUNDLE_ARG_BYTES_MAX, BUNDLE_ARGS_MAX, BUNDLE_BYTES_MAX, BUNDLE_DEPTH_MAX, BUNDLE_ENTRIES_MAX,
    BUNDLE_NAME_BYTES_MAX, BUNDLE_NAMES_BYTES_MAX, BUNDLE_NOTE_BYTES_MAX, MODULE_BYTES_MAX,
};

/// An archive is no bundle. Its maker's to mend.
#[derive(Debug, Error)]
pub(crate) enum BundleError {
    #[error("the bundle is no tar archive, or damaged: {}", crate::logs::message(&.0.to_string()))]
    Archive(#[from] io::Error),
    #[error("the bundle has more than {BUNDLE_ENTRIES_MAX} entries, with the directories that its files are in")]
    TooManyEntries,
    #[error(
        "the bundle's names have more than {most}, with those of the directories that its files are in",
        most = ByteCount(BUNDLE_NAMES_BYTES_MAX as u64)
    )]
    TooManyNames,
    #[error("the bundle has {0} bytes, more than {most}", most = ByteCount(BUNDLE_BYTES_MAX))]
    TooLong(u64),
    #[error(
        "the bundle's entry {0:?} has a name that is empty, absolute, too long or deep, no UTF-8, or has \"..\", \"\\\" or a control character in it"
    )]
    Name(String),
    #[error("the bundle's entry {0:?} is there twice")]
    Twice(String),
    #[error("the bundle's entry {0:?} is neither file nor directory; links, devices and sparse files are not taken")]
    Type(String),
    #[error(
        "the bundle's entry {0:?} has no place in a bundle: expected app.wasm, app.wat, args, assets/… and files/…"
    )]
    Place(String),
    #[error("the bundle's entry {0:?} has {1} bytes, more than {most}", most = ByteCount(*.2))]
    EntryTooLong(String, u64, u64),
    #[error("the bundle ends within its entry {0:?}")]
    CutOff(String),
    #[error("the bundle's entry {0:?} comes with a note that is not understood: {1}")]
    Note(String, &'static str),
    #[error("the bundle's args are no UTF-8, or more than {BUNDLE_ARGS_MAX} lines")]
    Args,
    #[error("the bundle's files/: {0}")]
    Files(#[from] TreeError),
    #[error("the bundle has neither a program (app.wasm, app.wat) nor assets/")]
    Nothing,
}

impl BundleError {
    /// Whether the disk has failed, and not the archive's maker.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        // The library's own are of these kinds.
        matches!(self, BundleError::Archive(error) if !matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof))
    }
}

/// Where an entry belongs.
enum Place<'n> {
    Module,
    Args,
    Asset(&'n str),
    File(&'n str),
    /// A directory that says nothing.
    Outer,
}

pub(super) fn read(file: File) -> Result<Bundle, BundleError> {
    let length = file.metadata()?.len();
    if length > BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLong(length));
    }
    let file = Arc::new(file);
    let mut reading = Reading::new(file.clone(), length);
    let mut from = &*file;
    io::Seek::rewind(&mut from)?;
    let mut archive = Archive::new(io::BufReader::with_capacity(64 << 10, from));
    for entry in archive.entries()?.raw(true) {
        reading.entry(&mut entry?)?;
    }
    reading.finish()
}

/// What was found up to now.
struct Reading {
    file: Arc<File>,
    length: u64,
    /// Entries, and directories that were made for them.
    entries: usize,
    names_bytes: usize,
    seen: HashSet<Box<str>>,
    /// Those that a name has implied.
    directories: HashSet<Box<str>>,
    /// A name that is longer than a header has room for, for the next entry.
    long_name: Option<Vec<u8>>,
    module: Option<Range<u64>>,
    args: Vec<String>,
    assets: AssetsBuilder,
    files: TreeBuilder,
    files_count: u32,
}

impl Reading {
    fn new(file: Arc<File>, length: u64) -> Reading {
        Reading {
            file,
            length,
            entries: 0,
            names_bytes: 0,
            seen: HashSet::new(),
            directories: HashSet::new(),
            long_name: None,
            module: None,
            args: Vec::new(),
            assets: AssetsBuilder::default(),
            files: Tree::builder(),
            files_count: 0,
        }
    }

    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), BundleError> {
        self.count()?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName | EntryType::XHeader => {
                let note = note(entry)?;
                let name = if kind == EntryType::XHeader { pax_name(&note)? } else { Some(until_zero(note)) };
                self.long_name = name.or(self.long_name.take());
                return Ok(());
            }
            // Says something of the whole archive, and may name nothing.
            EntryType::XGlobalHeader => return check_global(&note(entry)?, &entry.header().path_bytes()),
            _ => {}
        }
        let bytes = self.long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let name = checked_name(&bytes)?;
        self.count_name(&name)?;
        let range = self.range(&name, entry)?;
        match kind {
            EntryType::Regular | EntryType::Continuous => self.file(&name, range, entry),
            EntryType::Directory => self.directory(&name),
            _ => Err(BundleError::Type(name)),
        }
    }

    /// One more.
    fn count(&mut self) -> Result<(), BundleError> {
        self.entries += 1;
        if self.entries > BUNDLE_ENTRIES_MAX { Err(BundleError::TooManyEntries) } else { Ok(()) }
    }

    /// A name, and the directories on the way to it, each of which is kept as a file is.
    fn count_name(&mut self, name: &str) -> Result<(), BundleError> {
        self.take_name(name)?;
        for (end, _) in name.match_indices('/') {
            let directory = &name[..end];
            if !self.directories.contains(directory) {
                self.count()?;
                self.take_name(directory)?;
                self.directories.insert(directory.into());
            }
        }
        Ok(())
    }

    fn take_name(&mut self, name: &str) -> Result<(), BundleError> {
        self.names_bytes += name.len();
        if self.names_bytes > BUNDLE_NAMES_BYTES_MAX { Err(BundleError::TooManyNames) } else { Ok(()) }
    }

    /// Where an entry's contents are.
    fn range<R: Read>(&self, name: &str, entry: &Entry<'_, R>) -> Result<Range<u64>, BundleError> {
        let start = entry.raw_file_position();
        let end = start.checked_add(entry.size()).filter(|end| *end <= self.length);
        Ok(start..end.ok_or_else(|| BundleError::CutOff(name.to_string()))?)
    }

    fn file(&mut self, name: &str, range: Range<u64>, contents: &mut impl Read) -> Result<(), BundleError> {
        if !self.seen.insert(name.into()) {
            return Err(BundleError::Twice(name.to_string()));
        }
        let bytes = range.end - range.start;
        let at_most = |most: u64| match bytes > most {
            true => Err(BundleError::EntryTooLong(name.to_string(), bytes, most)),
            false => Ok(()),
        };
        match place(name)? {
            Place::Module if self.module.is_some() => return Err(BundleError::Twice("app.wasm, app.wat".into())),
            Place::Module => {
                at_most(MODULE_BYTES_MAX)?;
                self.module = Some(range);
            }
            Place::Args => {
                at_most(BUNDLE_ARG_BYTES_MAX)?;
                self.args = args(contents)?;
            }
            Place::Asset(name) => self.assets.add(name, range, digest(contents)?),
            Place::File(name) => {
                self.files.host_file(name, self.file.clone(), range)?;
                self.files_count += 1;
            }
            Place::Outer => return Err(BundleError::Place(name.to_string())),
        }
        Ok(())
    }

    fn directory(&mut self, name: &str) -> Result<(), BundleError> {
        self.directories.insert(name.into());
        match place(&format!("{name}/"))? {
            Place::File("") | Place::Outer | Place::Asset(_) => Ok(()),
            Place::File(name) => Ok(self.files.directory(name).map(drop)?),
            Place::Module | Place::Args => Err(BundleError::Place(name.to_string())),
        }
    }

    fn finish(self) -> Result<Bundle, BundleError> {
        let Reading { file, module, args, assets, files, files_count, .. } = self;
        let assets = assets.build(&file).map(Arc::new);
        if module.is_none() && assets.is_none() {
            return Err(BundleError::Nothing);
        }
        let files = if files_count > 0 { Some(files.build()?) } else { None };
        Ok(Bundle { file, module, args, assets, files, files_count })
    }
}

/// The contents of an entry that says something of the next one.
fn note<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, BundleError> {
    let size = entry.size();
    if size > BUNDLE_NOTE_BYTES_MAX {
        let name = String::from_utf8_lossy(&entry.header().path_bytes()).into_owned();
        return Err(BundleError::EntryTooLong(shortened(&name), size, BUNDLE_NOTE_BYTES_MAX));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    bytes
}

/// The name that a note in PAX's format gives, if it gives one. Times, owners and comments say nothing here.
fn pax_name(note: &[u8]) -> Result<Option<Vec<u8>>, BundleError> {
    let mut name = None;
    for record in PaxExtensions::new(note) {
        let record = record?;
        match record.key_bytes() {
            b"path" => name = Some(record.value_bytes().to_vec()),
            b"size" => return Err(wrong_note(name, "a size that is said twice")),
            key if key.starts_with(b"GNU.sparse") => return Err(wrong_note(name, SPARSE)),
            _ => {}
        }
    }
    Ok(name)
}

const SPARSE: &str = "sparse files are not taken";

/// Refuses a note on all entries that says what each says itself: some programs believe the one, some the other.
fn check_global(note: &[u8], name: &[u8]) -> Result<(), BundleError> {
    for record in PaxExtensions::new(note) {
        let why = match record?.key_bytes() {
            b"path" | b"size" | b"linkpath" => "a path, size or link for all entries",
            key if key.starts_with(b"GNU.sparse") => SPARSE,
            _ => continue,
        };
        return Err(wrong_note(Some(name.to_vec()), why));
    }
    Ok(())
}

fn wrong_note(name: Option<Vec<u8>>, why: &'static str) -> BundleError {
    BundleError::Note(shortened(&String::from_utf8_lossy(&name.unwrap_or_default())), why)
}

/// A name as it may be, without what says nothing: `./` before it, `/` behind it.
fn checked_name(bytes: &[u8]) -> Result<String, BundleError> {
    let wrong = || BundleError::Name(shortened(&String::from_utf8_lossy(bytes)));
    let mut name = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    let name = name.strip_suffix('/').unwrap_or(name);
    // The archive's own root.
    if matches!(name, "" | ".") && !bytes.is_empty() && !bytes.starts_with(b"/") {
        return Ok(".".into());
    }
    let segment = |part: &str| !matches!(part, "" | "." | "..");
    let plain = !name.contains('\\') && !name.contains(char::is_control);
    let short = name.len() <= BUNDLE_NAME_BYTES_MAX && name.matches('/').count() < BUNDLE_DEPTH_MAX;
    if plain && short && name.split('/').all(segment) { Ok(name.to_string()) } else { Err(wrong()) }
}

fn shortened(name: &str) -> String {
    name.chars().take(100).collect()
}

fn place(name: &str) -> Result<Place<'_>, BundleError> {
    match name.split_once('/') {
        None if matches!(name, "app.wasm" | "app.wat") => Ok(Place::Module),
        None if name == "args" => Ok(Place::Args),
        Some(("assets", rest)) => Ok(Place::Asset(rest)),
        Some(("files", rest)) => Ok(Place::File(rest)),
        Some((".", "")) => Ok(Place::Outer),
        _ => Err(BundleError::Place(name.to_string())),
    }
}

/// A line each; an empty one at the end is none.
fn args(contents: &mut impl Read) -> Result<Vec<String>, BundleError> {
    let mut text = String::new();
    contents.read_to_string(&mut text).map_err(|_| BundleError::Args)?;
    let args: Vec<String> = text.lines().map(str::to_string).collect();
    if args.len() > BUNDLE_ARGS_MAX || text.contains('\0') { Err(BundleError::Args) } else { Ok(args) }
}

fn digest(contents: &mut impl Read) -> io::Result<[u8; 32]> {
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match contents.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(&buffer[..read]),
        }
    }
}
