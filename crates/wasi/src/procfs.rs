//! What is no file in the usual sense, though it lies in a directory: procfs.
//!
//! Its files are the host process itself, its memory and environment included, and its links name what no path
//! of the guest's could. So nothing there is opened or read; it can be listed and looked at. That a file is not
//! there is known from its directory's device, without asking; only where another file system is mounted below a
//! directory, the kernel is asked.

use std::os::fd::AsFd;

use rustix::fs::{fstat, fstatfs};

use crate::errno::Answer;

/// `PROC_SUPER_MAGIC`.
const PROC_MAGIC: i64 = 0x9fa0;

/// Whether a file is on procfs.
pub(crate) fn has(file: impl AsFd) -> Answer<bool> {
    Ok(fstatfs(file)?.f_type as i64 == PROC_MAGIC)
}

/// A directory's device, unless it is procfs, or nobody knows.
pub(crate) fn harmless_dev(dir: impl AsFd) -> Option<u64> {
    let dev = fstat(&dir).ok()?.st_dev;
    (has(&dir) == Ok(false)).then_some(dev)
}
