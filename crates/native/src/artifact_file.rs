//! An artifact's bytes, mapped.

use std::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, ftruncate, memfd_create};
use rustix::io::{Errno, pwrite};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::NativeError;

/// An artifact file, mapped read-only. What is read through [`ArtifactFile::bytes`] is what is later mapped as
/// code and memory image.
#[derive(Debug)]
pub struct ArtifactFile {
    fd: OwnedFd,
    base: *const u8,
    len: usize,
}

// SAFETY: the mapping is read-only and owned by this value alone; reads from any thread are fine.
unsafe impl Send for ArtifactFile {}
// SAFETY: as above.
unsafe impl Sync for ArtifactFile {}

impl ArtifactFile {
    /// Maps a file without reading it.
    ///
    /// # Safety
    /// Nobody may change or truncate the file while this value lives: its bytes are handed out as a slice, and
    /// run as code.
    ///
    /// # Errors
    /// If the file cannot be opened or mapped.
    pub unsafe fn open(path: &Path) -> Result<ArtifactFile, NativeError> {
        let fail = |source| NativeError::File { path: path.into(), source };
        let file = File::open(path).map_err(|e| fail(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
        let stat = fstat(&file).map_err(fail)?;
        let len = usize::try_from(stat.st_size).map_err(|_| fail(Errno::FBIG))?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(fail(Errno::INVAL));
        }
        map(OwnedFd::from(file), len).map_err(fail)
    }

    /// Copies bytes into a sealed anonymous file: nobody can change them any more.
    ///
    /// # Errors
    /// If memory is short.
    pub fn from_bytes(bytes: &[u8]) -> Result<ArtifactFile, NativeError> {
        let fail = |source| NativeError::Memory { what: "hold an artifact", bytes: bytes.len() as u64, source };
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = memfd_create("selvedge-artifact", flags).map_err(fail)?;
        ftruncate(&fd, bytes.len() as u64).map_err(fail)?;
        let mut written = 0;
        while written < bytes.len() {
            written += pwrite(&fd, &bytes[written..], written as u64).map_err(fail)?;
        }
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&fd, seals).map_err(fail)?;
        map(fd, bytes.len()).map_err(fail)
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: base..base + len is mapped readable until drop, and its bytes do not change: the file is
        // sealed, or the caller of `open` promised it.
        unsafe { std::slice::from_raw_parts(self.base, self.len) }
    }
}

impl AsFd for ArtifactFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for ArtifactFile {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the mapping is this value's own, and no slice of it outlives the value. It cannot fail for a
            // range that was mapped whole.
            let _ = unsafe { munmap(self.base as *mut c_void, self.len) };
        }
    }
}

fn map(fd: OwnedFd, len: usize) -> Result<ArtifactFile, Errno> {
    if len == 0 {
        return Ok(ArtifactFile { fd, base: std::ptr::NonNull::dangling().as_ptr(), len });
    }
    // SAFETY: a new private mapping at an address the kernel chooses replaces nothing.
    let base = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, &fd, 0)? };
    Ok(ArtifactFile { fd, base: base.cast(), len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_are_sealed() {
        let file = ArtifactFile::from_bytes(b"selvedge").unwrap();
        assert_eq!(file.bytes(), b"selvedge");
        assert_eq!(pwrite(&file, b"X", 0), Err(Errno::PERM));
        assert!(ArtifactFile::from_bytes(b"").unwrap().bytes().is_empty());
    }

    #[test]
    fn a_directory_is_no_artifact() {
        // SAFETY: nothing is mapped.
        let opened = unsafe { ArtifactFile::open(Path::new("/")) };
        assert!(matches!(opened, Err(NativeError::File { .. })));
    }
}
