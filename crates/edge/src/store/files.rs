//! Blobs as files: named by their SHA-256, whole or absent.
//!
//! A file is written under another name, given to the disk, renamed, and then its directory is given to the disk. So a
//! name that can be seen after a crash has all of its bytes. That a name can be seen does not say that it is on the disk
//! itself: whoever gave its directory to the disk may have failed. So whoever relies on it does so again.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Digest, StoreError};

/// Gives a directory's names to the disk.
type Sync = Box<dyn Fn(&Path) -> io::Result<()> + Send + std::marker::Sync>;

/// A directory of blobs.
pub(super) struct Blobs {
    directory: PathBuf,
    sync: Sync,
}

impl Blobs {
    /// Opens the directory, and makes it if need be.
    pub(super) fn open(directory: PathBuf) -> io::Result<Blobs> {
        Blobs::synced_by(directory, Box::new(sync))
    }

    fn synced_by(directory: PathBuf, sync: Sync) -> io::Result<Blobs> {
        make_directory(&directory, &sync)?;
        Ok(Blobs { directory, sync })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }

    pub(super) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest(Sha256::digest(bytes).into());
        let path = self.path(&digest);
        // One that is there may be damaged: then it is replaced.
        let is_there = fs::read(&path).is_ok_and(|kept| kept == bytes);
        let written = if is_there { (self.sync)(&self.directory) } else { self.write(&path, bytes) };
        written.map_err(|source| super::redb::disk(format!("write {}", path.display()), source))?;
        Ok(digest)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        (self.sync)(&self.directory)
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let bytes = fs::read(self.path(digest)).map_err(|error| self.unreadable(digest, error))?;
        if Sha256::digest(&bytes).as_slice() == digest.0 { Ok(bytes) } else { Err(self.damaged(digest)) }
    }

    fn damaged(&self, digest: &Digest) -> StoreError {
        StoreError::Damaged(format!("file {}", self.path(digest).display()))
    }

    /// What is not there will not be there later; what cannot be read now may be.
    fn unreadable(&self, digest: &Digest, error: io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::NotFound => self.damaged(digest),
            _ => super::redb::disk(format!("read {}", self.path(digest).display()), error),
        }
    }

    /// Moves a file here; it may be read by others, but not written any more.
    pub(super) fn put_file(&self, from: &Path) -> Result<Digest, StoreError> {
        let failed = |source| super::redb::disk(format!("keep {}", from.display()), source);
        let file = File::open(from).map_err(failed)?;
        let digest = digest(&file).map_err(failed)?;
        let path = self.path(&digest);
        let is_there = self.open_checked(&digest).is_ok();
        let moved = if is_there { Ok(()) } else { file.sync_all().and_then(|()| fs::rename(from, &path)) };
        moved.and_then(|()| (self.sync)(&self.directory)).map_err(failed)?;
        Ok(digest)
    }

    /// A blob's file, at its beginning.
    pub(super) fn open_checked(&self, expected: &Digest) -> Result<File, StoreError> {
        let open = || -> io::Result<Option<File>> {
            let mut file = File::open(self.path(expected))?;
            let same = digest(&file)? == *expected;
            file.rewind()?;
            Ok(same.then_some(file))
        };
        open().map_err(|error| self.unreadable(expected, error))?.ok_or_else(|| self.damaged(expected))
    }

    /// A blob's length, unchecked; none if it is not there.
    pub(super) fn bytes(&self, digest: &Digest) -> io::Result<u64> {
        match fs::metadata(self.path(digest)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Removes what no record names, and what a crash left half written.
    pub(super) fn sweep(&self, named: &HashSet<Digest>) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let digest = name.to_str().and_then(Digest::parse);
            let left_over = name.as_encoded_bytes().starts_with(b".new-");
            if left_over || digest.is_some_and(|digest| !named.contains(&digest)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Gives a directory's names to the disk.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory for its owner alone, and those above it if need be; then their names are on the disk.
fn make_directory(path: &Path, sync: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let make = || DirBuilder::new().mode(0o700).create(path);
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_directory(parent, sync).and_then(|()| make()),
        made => made,
    };
    match made {
        Ok(()) => sync(parent),
        // It may have been made by whoever could not do this. Or it lies in one that is not ours to open.
        Err(_) if path.is_dir() => {
            let _ = sync(parent);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn digest(mut file: &File) -> io::Result<Digest> {
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was given to the disk since this was asked last.
    #[derive(Clone, Default)]
    struct Synced {
        directories: Arc<Mutex<Vec<PathBuf>>>,
        fails: Arc<Mutex<bool>>,
    }

    impl Synced {
        fn sync(&self) -> Sync {
            let Synced { directories, fails } = self.clone();
            Box::new(move |directory| {
                if *fails.lock().unwrap() {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                directories.lock().unwrap().push(directory.to_owned());
                Ok(())
            })
        }

        fn taken(&self) -> Vec<PathBuf> {
            std::mem::take(&mut *self.directories.lock().unwrap())
        }
    }

    /// After a power cut there was no state directory, and in it no file with what had been acknowledged.
    #[test]
    fn a_directory_that_is_made_is_on_the_disk_and_its_owners() {
        let (place, synced) = (tempfile::tempdir().unwrap(), Synced::default());
        let (root, state) = (place.path(), place.path().join("a/state"));
        make_directory(&state, &synced.sync()).unwrap();
        assert_eq!(synced.taken(), [root, &root.join("a")], "where their names are");
        for directory in ["a", "a/state"] {
            let mode = fs::metadata(root.join(directory)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{directory}");
        }
        make_directory(&state, &synced.sync()).unwrap();
        assert_eq!(synced.taken(), [root.join("a")], "it may have failed before");
        *synced.fails.lock().unwrap() = true;
        make_directory(&state, &synced.sync()).expect("it is there, in one that may be closed to us");
        make_directory(&root.join("b"), &synced.sync()).unwrap_err();
        fs::write(root.join("file"), "").unwrap();
        make_directory(&root.join("file"), &synced.sync()).unwrap_err();
    }

    /// A disk that failed between a file's name and its directory left what the next deploy believed to be kept.
    #[test]
    fn what_is_there_already_is_given_to_the_disk_all_the_same() {
        let (place, synced) = (tempfile::tempdir().unwrap(), Synced::default());
        let blobs = Blobs::synced_by(place.path().join("blobs"), synced.sync()).unwrap();
        let uploaded = place.path().join("uploaded");
        let put_file = || {
            fs::write(&uploaded, "file").unwrap();
            blobs.put_file(&uploaded)
        };
        *synced.fails.lock().unwrap() = true;
        for _ in 0..2 {
            blobs.put(b"bytes").unwrap_err();
            put_file().unwrap_err();
        }
        *synced.fails.lock().unwrap() = false;
        synced.taken();
        for _ in 0..2 {
            blobs.put(b"bytes").unwrap();
            assert_eq!(synced.taken(), [&*blobs.directory]);
            put_file().unwrap();
            assert_eq!(synced.taken(), [&*blobs.directory]);
        }
    }
}
