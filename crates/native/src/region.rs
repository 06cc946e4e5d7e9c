//! The address space for machine code: one reservation per process.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use selvedge_contract::limits::HOST_PAGE_BYTES;

use crate::error::NativeError;

/// Address space for all text of the process; costs nothing until mapped.
const REGION_BYTES: u64 = 64 << 30;

// Set once, before any text is mapped; read by the signal handlers.
static LOW: AtomicU64 = AtomicU64::new(0);
static HIGH: AtomicU64 = AtomicU64::new(0);

/// Whether an address lies in the code region. Async-signal-safe.
pub(crate) fn contains(address: u64) -> bool {
    (LOW.load(Ordering::Relaxed)..HIGH.load(Ordering::Relaxed)).contains(&address)
}

/// Where the region is, once it is reserved.
pub(crate) fn range() -> Option<Range<u64>> {
    REGION.get().map(|region| region.base..region.base + REGION_BYTES)
}

/// Reserves the region now, for those who must know where it is.
pub(crate) fn reserve() -> Result<(), NativeError> {
    region().map(drop)
}

struct Region {
    base: u64,
    /// Free ranges: offset to length, never adjacent.
    free: Mutex<BTreeMap<u64, u64>>,
}

static REGION: OnceLock<Region> = OnceLock::new();

fn region() -> Result<&'static Region, NativeError> {
    if let Some(region) = REGION.get() {
        return Ok(region);
    }
    let base = crate::slot::reserve(REGION_BYTES)?;
    let mut lost = true;
    let region = REGION.get_or_init(|| {
        lost = false;
        LOW.store(base, Ordering::Relaxed);
        HIGH.store(base + REGION_BYTES, Ordering::Relaxed);
        Region { base, free: Mutex::new(BTreeMap::from([(0, REGION_BYTES)])) }
    });
    if lost {
        crate::slot::release(base, REGION_BYTES);
    }
    Ok(region)
}

/// A mapping of text in the region; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct TextMapping {
    base: u64,
    bytes: u64,
}

impl TextMapping {
    /// Maps a range of a file, which starts on a page, as read-only code.
    pub(crate) fn new(file: impl AsFd, range: Range<usize>) -> Result<TextMapping, NativeError> {
        let region = region()?;
        let bytes = (range.len() as u64).next_multiple_of(HOST_PAGE_BYTES).max(HOST_PAGE_BYTES);
        let offset = take(region, bytes).ok_or(NativeError::CodeRegionFull { bytes: range.len() })?;
        let base = region.base + offset;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: [base, base + bytes) was just taken from the region, which belongs to this process and holds
        // nothing there but the reservation; a private mapping replaces it.
        let mapped = unsafe {
            let at = base as *mut c_void;
            mmap(at, bytes as usize, ProtFlags::READ | ProtFlags::EXEC, flags, file, range.start as u64)
        };
        match mapped {
            Ok(_) => Ok(TextMapping { base, bytes }),
            Err(source) => {
                give_back(region, offset, bytes);
                Err(NativeError::Memory { what: "map machine code", bytes, source })
            }
        }
    }

    /// Address of the first byte.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }
}

impl Drop for TextMapping {
    fn drop(&mut self) {
        let Some(region) = REGION.get() else { return };
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: the range is this mapping's own, and no code runs in it: its owner outlives every arena that
        // could enter it. Mapping inaccessible memory over it gives it back to the reservation.
        let unmapped =
            unsafe { mmap_anonymous(self.base as *mut c_void, self.bytes as usize, ProtFlags::empty(), flags) };
        // Where even that fails, the range stays mapped and is not handed out again.
        if unmapped.is_ok() {
            give_back(region, self.base - region.base, self.bytes);
        }
    }
}

/// First fit: modules come and go seldom, and neighbours merge.
fn take(region: &Region, bytes: u64) -> Option<u64> {
    let mut free = region.free.lock().unwrap_or_else(PoisonError::into_inner);
    let (offset, len) = free.iter().find(|(_, len)| **len >= bytes).map(|(o, l)| (*o, *l))?;
    free.remove(&offset);
    if len > bytes {
        free.insert(offset + bytes, len - bytes);
    }
    Some(offset)
}

fn give_back(region: &Region, mut offset: u64, mut bytes: u64) {
    let mut free = region.free.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(after) = free.remove(&(offset + bytes)) {
        bytes += after;
    }
    if let Some((before, len)) = free.range(..offset).next_back().map(|(o, l)| (*o, *l))
        && before + len == offset
    {
        offset = before;
        bytes += len;
    }
    free.insert(offset, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_in_any_order() {
        let region = Region { base: 0, free: Mutex::new(BTreeMap::from([(0, 30)])) };
        let parts: Vec<_> = (0..3).map(|_| take(&region, 10).unwrap()).collect();
        assert!(take(&region, 1).is_none());
        for part in [parts[0], parts[2], parts[1]] {
            give_back(&region, part, 10);
        }
        assert_eq!(*region.free.lock().unwrap(), BTreeMap::from([(0, 30)]));
    }
}
