//! Bundles: what is deployed beside a program, or without one. An archive (`tar`), kept as it was uploaded.
//!
//! ```text
//!   app.wasm    the program; app.wat for text
//!   args        arguments for the program, a line each, before those of a request
//!   assets/     files that clients get as they are: GET and HEAD come here first, the program has the rest
//!   files/      files that the program finds at /, to read
//! ```
//!
//! Invariants:
//! * **Nothing is unpacked.** A file is a range of the archive, which stays open: no path of a client's, nor of an
//!   archive's, ever reaches a file system, and what a version serves is there as long as anybody gets it.
//! * An archive is hostile: names, types, numbers and lengths are checked before anything is made of them
//!   ([`archive`]), and no entry is ever in memory as a whole.
//! * Contents are streamed from the disk ([`sending`]).
//!
//! Not here: packing, which is the client's.

mod answer;
mod archive;
mod assets;
mod sending;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use selvedge_wasi::Tree;

pub(crate) use self::answer::{Asked, Given};
use self::archive::BundleError;
pub(crate) use self::assets::Assets;
pub(crate) use self::sending::Sending;
use crate::guest::Provision;
use crate::store::BundleSummary;

/// The type of a deploy's body that is a bundle.
pub(crate) const BUNDLE_TYPE: &str = "application/x-tar";

/// What is in an archive.
#[derive(Debug)]
pub(crate) struct Bundle {
    file: Arc<File>,
    /// Where the program is.
    module: Option<Range<u64>>,
    args: Vec<String>,
    assets: Option<Arc<Assets>>,
    files: Option<Tree>,
    files_count: u32,
}

impl Bundle {
    /// Looks through an archive, to its end.
    ///
    /// # Errors
    /// If it is none, or has something in it that a bundle does not.
    pub(crate) fn read(file: File) -> Result<Bundle, BundleError> {
        archive::read(file)
    }

    /// The program, if there is one, and how many bytes it has.
    pub(crate) fn module(&self) -> Option<(impl Read + use<>, u64)> {
        let range = self.module.clone()?;
        let bytes = range.end - range.start;
        Some((RangeReader { file: self.file.clone(), range }, bytes))
    }

    /// What clients get as it is.
    pub(crate) fn assets(&self) -> Option<Arc<Assets>> {
        self.assets.clone()
    }

    /// What the program gets.
    pub(crate) fn provision(&self) -> Provision {
        Provision { args: self.args.clone(), files: self.files.clone() }
    }

    /// For records.
    pub(crate) fn summary(&self) -> BundleSummary {
        let (assets, asset_bytes) = self.assets.as_ref().map_or((0, 0), |assets| (assets.count(), assets.bytes()));
        BundleSummary { assets, asset_bytes, files: self.files_count }
    }
}

/// Reads a range of a file that others read, too.
struct RangeReader {
    file: Arc<File>,
    range: Range<u64>,
}

impl Read for RangeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX).min(buffer.len());
        let done = self.file.read_at(&mut buffer[..room], self.range.start)?;
        self.range.start += done as u64;
        Ok(done)
    }
}
