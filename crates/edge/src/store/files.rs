//! Blobs as files: named by their SHA-256, whole or absent.
//!
//! A file is written under another name, given to the disk, renamed, and then its directory is given to the disk. So a
//! name that can be seen after a crash has all of its bytes.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Digest, StoreError};

/// A directory of blobs.
pub(super) struct Blobs {
    directory: PathBuf,
}

impl Blobs {
    /// Opens the directory, and makes it if need be.
    pub(super) fn open(directory: PathBuf) -> io::Result<Blobs> {
        fs::create_dir_all(&directory)?;
        Ok(Blobs { directory })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }

    pub(super) fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest(Sha256::digest(bytes).into());
        let path = self.path(&digest);
        // One that is there may be damaged: then it is replaced.
        if fs::read(&path).is_ok_and(|kept| kept == bytes) {
            return Ok(digest);
        }
        self.write(&path, bytes).map_err(|source| super::redb::disk(format!("write {}", path.display()), source))?;
        Ok(digest)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(&self.directory)?.sync_all()
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let damaged = || StoreError::Damaged(format!("file {}", self.path(digest).display()));
        let bytes = fs::read(self.path(digest)).map_err(|_| damaged())?;
        if Sha256::digest(&bytes).as_slice() == digest.0 { Ok(bytes) } else { Err(damaged()) }
    }

    /// Moves a file here; it may be read by others, but not written any more.
    pub(super) fn put_file(&self, from: &Path) -> Result<Digest, StoreError> {
        let failed = |source| super::redb::disk(format!("keep {}", from.display()), source);
        let file = File::open(from).map_err(failed)?;
        let digest = digest(&file).map_err(failed)?;
        let path = self.path(&digest);
        if self.open_checked(&digest).is_ok() {
            return Ok(digest);
        }
        let moved = file.sync_all().and_then(|()| fs::rename(from, &path));
        moved.and_then(|()| File::open(&self.directory)?.sync_all()).map_err(failed)?;
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
        let damaged = || StoreError::Damaged(format!("file {}", self.path(expected).display()));
        open().ok().flatten().ok_or_else(damaged)
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

fn digest(mut file: &File) -> io::Result<Digest> {
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}
