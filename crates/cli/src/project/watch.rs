//! Whether sources have changed: the files of a directory, looked at again and again.
//!
//! A file has changed when its contents have: what a build writes anew with the same contents starts no other build.
//! Polling, because it works on every file system, and a project has few files.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often sources are looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Files that are looked at; more are not sources.
const FILES_MAX: usize = 10_000;
/// Directories within directories.
const DEPTH_MAX: usize = 16;
/// What of a file is looked at.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Directories that hold what tools make.
const OUTPUT_DIRECTORIES: [&str; 5] = ["target", "node_modules", "zig-out", "zig-cache", "build"];
/// Ends of names of what tools make; logs, too: what is said of a build that fails would begin the next one.
const OUTPUT_EXTENSIONS: [&str; 4] = ["wasm", "o", "selv", "log"];

/// The sources of a directory, as they were when they were last looked at.
pub(crate) struct Sources {
    directory: PathBuf,
    files: BTreeMap<PathBuf, Seen>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    modified: Option<SystemTime>,
    length: u64,
    contents: u64,
}

impl Sources {
    /// Looks at a directory for the first time.
    pub(crate) fn of(directory: &Path) -> Sources {
        let mut sources = Sources { directory: directory.to_owned(), files: BTreeMap::new() };
        sources.look();
        sources
    }

    /// Looks again; whether anything has changed since the last time.
    pub(crate) fn look(&mut self) -> bool {
        let mut found = BTreeMap::new();
        self.walk(&self.directory, 0, &mut found);
        let contents = |files: &BTreeMap<PathBuf, Seen>| {
            files.iter().map(|(path, seen)| (path.clone(), seen.contents)).collect::<Vec<_>>()
        };
        let changed = contents(&found) != contents(&self.files);
        self.files = found;
        changed
    }

    /// What cannot be read is not there: it may be about to be replaced.
    fn walk(&self, directory: &Path, depth: usize, found: &mut BTreeMap<PathBuf, Seen>) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if is_output(&path, kind.is_dir()) || found.len() >= FILES_MAX {
                continue;
            }
            if kind.is_dir() && depth < DEPTH_MAX {
                self.walk(&path, depth + 1, found);
            } else if kind.is_file()
                && let Some(seen) = self.see(&path)
            {
                found.insert(path, seen);
            }
        }
    }

    /// A file; it is read only if it seems to have been written since.
    fn see(&self, path: &Path) -> Option<Seen> {
        let metadata = fs::metadata(path).ok()?;
        let (modified, length) = (metadata.modified().ok(), metadata.len());
        match self.files.get(path) {
            Some(seen) if seen.modified == modified && seen.length == length => Some(*seen),
            _ => Some(Seen { modified, length, contents: hash(path)? }),
        }
    }
}

fn hash(path: &Path) -> Option<u64> {
    let mut contents = Vec::new();
    fs::File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut contents).ok()?;
    let mut hasher = DefaultHasher::new();
    contents.hash(&mut hasher);
    Some(hasher.finish())
}

fn is_output(path: &Path, is_directory: bool) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let made = match is_directory {
        true => OUTPUT_DIRECTORIES.contains(&&*name),
        false => path.extension().is_some_and(|end| OUTPUT_EXTENSIONS.iter().any(|made| end == *made)),
    };
    made || name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_count_and_what_tools_make_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/main.c", "one");
        let mut sources = Sources::of(directory.path());
        assert!(!sources.look(), "nothing has changed");
        write("src/main.c", "two, longer");
        assert!(sources.look());
        assert!(!sources.look());
        write("src/more.h", "");
        assert!(sources.look(), "a new file");
        for made in ["main.o", "hello.wasm", "dev.log", "target/x.rs", "node_modules/a/index.js", ".git/HEAD"] {
            write(made, "made");
        }
        assert!(!sources.look(), "what tools make");
        let later = fs::File::options().append(true).open(directory.path().join("src/main.c")).unwrap();
        later.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
        assert!(!sources.look(), "written anew, with the same contents");
        fs::remove_file(directory.path().join("src/more.h")).unwrap();
        assert!(sources.look(), "a file less");
    }
}
