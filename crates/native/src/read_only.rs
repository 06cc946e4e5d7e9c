//! Pages of a mapped memory image that can be read, but not written until that is noticed.
//!
//! Behind a cold page of the image ([`crate::pages`]) lies the file: to read it changes nothing, and there is nothing to
//! reset. So such pages have no markers, which stop readers too: they are *sealed*, mapped without the right to write. What
//! instances only read is then shared by all, and recycling has less to do.
//!
//! The price is mappings, of which the kernel bounds the number: those of sealed pages and of others alternate. So pages
//! that are unsealed are counted, for the slot and for the process. Where there would be too many, markers must do.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use rustix::process::Resource;
use selvedge_contract::limits::HOST_PAGE_BYTES;

use crate::pages::keeping_errno;
use crate::pool;

/// Unsealed runs of pages in one slot: more are not worth their mappings.
const SPLITS_MAX: u32 = 128;

/// Unsealed runs of pages of all slots: each is up to two mappings more.
static SPLITS: AtomicU64 = AtomicU64::new(0);

/// The pages of a slot that may be sealed, and whether they are.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    /// Where memory 0 is mapped from the image, ascending.
    image: Box<[Range<u64>]>,
    sealed: AtomicBool,
    /// Its part of [`SPLITS`].
    splits: AtomicU32,
}

impl ReadOnly {
    /// These parts of memory 0, none of which is sealed.
    pub(crate) fn new(image: Box<[Range<u64>]>) -> ReadOnly {
        ReadOnly { image, sealed: AtomicBool::new(false), splits: AtomicU32::new(0) }
    }

    /// Lets pages be sealed from now on, where `written` runs are not to be, if that does not take too many mappings.
    pub(crate) fn begin(&self, written: usize) {
        let written = u32::try_from(written).unwrap_or(u32::MAX);
        self.sealed.store(data_is_unlimited() && self.count(written), Ordering::Relaxed);
    }

    /// Counts more unsealed runs, if there may be so many. Async-signal-safe once it has been called.
    fn count(&self, more: u32) -> bool {
        let own = self.splits.load(Ordering::Relaxed).saturating_add(more);
        let all = SPLITS.fetch_add(more.into(), Ordering::Relaxed) + u64::from(more);
        if own > SPLITS_MAX || all > pool::image_runs_max() / 2 {
            SPLITS.fetch_sub(more.into(), Ordering::Relaxed);
            return false;
        }
        self.splits.store(own, Ordering::Relaxed);
        true
    }

    /// The parts of a range that are to be sealed.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let image = if self.sealed.load(Ordering::Relaxed) { &self.image[..] } else { &[] };
        let inside = move |run: &Range<u64>| run.start.max(range.start)..run.end.min(range.end);
        image.iter().map(inside).filter(|part| !part.is_empty())
    }

    /// Whether a page is one of those that are sealed until they are written.
    pub(crate) fn has(&self, page: u64) -> bool {
        self.within(page..page + HOST_PAGE_BYTES).next().is_some()
    }

    /// Lets a page be written for good; `false` if that would take too many mappings. Async-signal-safe.
    pub(crate) fn unseal(&self, page: u64) -> bool {
        self.count(1) && protect(page..page + HOST_PAGE_BYTES, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Lets all be written. Async-signal-safe.
    pub(crate) fn end(&self) -> bool {
        let mut runs = self.within(0..u64::MAX);
        // A whole mapping takes no more of them.
        let open = runs.all(|run| protect(run, libc::PROT_READ | libc::PROT_WRITE));
        self.sealed.store(false, Ordering::Relaxed);
        SPLITS.fetch_sub(self.splits.swap(0, Ordering::Relaxed).into(), Ordering::Relaxed);
        open
    }
}

impl Drop for ReadOnly {
    /// The mappings go with the slot.
    fn drop(&mut self) {
        SPLITS.fetch_sub((*self.splits.get_mut()).into(), Ordering::Relaxed);
    }
}

/// Takes the right to write from pages that are as they were at first.
pub(crate) fn seal(part: Range<u64>) -> bool {
    protect(part, libc::PROT_READ)
}

/// Whether memory that is written may be had at any time. Sealed pages do not count as such for `RLIMIT_DATA`, so that where
/// there is a limit they might not be unsealed.
fn data_is_unlimited() -> bool {
    static UNLIMITED: OnceLock<bool> = OnceLock::new();
    *UNLIMITED.get_or_init(|| rustix::process::getrlimit(Resource::Data).current.is_none())
}

/// `mprotect(2)` on pages of our own slots. Async-signal-safe.
fn protect(range: Range<u64>, access: i32) -> bool {
    // SAFETY: callers name pages of a slot they own or, in the signal handler, of the slot whose owner has just touched it;
    // no contents change.
    let protected =
        || unsafe { libc::mprotect(range.start as *mut c_void, (range.end - range.start) as usize, access) };
    keeping_errno(protected) == 0
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::pages::{Pages, Recycling};
    use crate::slot::{release, reserve};

    /// Whether the kernel finds a page as it must be to be read or written at once.
    fn advised(page: u64, advice: i32) -> bool {
        // SAFETY: the range is the test's own; nothing in it changes.
        unsafe { libc::madvise(page as *mut c_void, HOST_PAGE_BYTES as usize, advice) == 0 }
    }

    /// Maps a file of so many pages over the test's own, each beginning with its number.
    fn map_file(base: u64, pages: u64) {
        let file = tempfile();
        for page in 0..pages {
            rustix::io::pwrite(&file, &page.to_le_bytes(), page * HOST_PAGE_BYTES).unwrap();
        }
        rustix::fs::ftruncate(&file, pages * HOST_PAGE_BYTES).unwrap();
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_FIXED);
        let bytes = (pages * HOST_PAGE_BYTES) as usize;
        // SAFETY: the range is the test's own.
        let at = unsafe { libc::mmap(base as *mut c_void, bytes, access, flags, file.as_raw_fd(), 0) };
        assert_eq!(at as u64, base);
    }

    fn tempfile() -> rustix::fd::OwnedFd {
        rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap()
    }

    #[test]
    fn pages_of_the_image_can_be_read_and_are_hot_once_written_until_those_are_too_many() {
        // One page of stack; then memory, zero but for the image in its middle.
        let (image, count) = (100..1000, 1100);
        let base = reserve(count * HOST_PAGE_BYTES).unwrap();
        let page = |number: u64| base + number * HOST_PAGE_BYTES;
        // SAFETY: the range is the test's own.
        unsafe {
            let bytes = (count * HOST_PAGE_BYTES) as usize;
            assert_eq!(libc::mprotect(base as *mut c_void, bytes, libc::PROT_READ | libc::PROT_WRITE), 0);
        }
        map_file(page(100), 900);
        let parts = std::iter::once(page(image.start)..page(image.end)).collect();
        let pages = Pages::new([page(0)..page(1), page(1)..page(count)], parts, &[], Recycling::Track).unwrap();
        [50, 100, 200, 201, 999].into_iter().for_each(|number| pages.set_hot(page(number)));
        assert!(pages.track());
        if !pages.tracked() {
            return println!("this kernel has no markers");
        }
        let writable = |number: &u64| advised(page(*number), libc::MADV_POPULATE_WRITE);
        assert_eq!((0..count).filter(writable).collect::<Vec<_>>(), [50, 100, 200, 201, 999]);
        // SAFETY: as above.
        let numbers = image.clone().map(|number| unsafe { (page(number) as *const u64).read_volatile() });
        assert!(numbers.eq(0..900));
        assert!(pages.open(page(300) + 7) && writable(&300) && !writable(&301) && pages.resident() == 6);
        let one_by_one = |number: &u64| pages.open(page(*number)) && pages.tracked();
        let opened = (302..1000).step_by(2).take_while(one_by_one).count() as u32;
        assert!((SPLITS_MAX - 20..SPLITS_MAX).contains(&opened), "{opened} pages were opened one by one");
        assert_eq!(pages.way(), Recycling::Scan);
        assert!((0..count).all(|number| writable(&number)));
        // Later with markers, which take no mappings.
        assert!((0..count).any(|_| pages.changes_way()));
        (302..1000).step_by(2).for_each(|number| pages.set_hot(page(number)));
        assert!(pages.track() && pages.tracked());
        let marked = |number: u64| !advised(page(number), libc::MADV_POPULATE_READ) && pages.open(page(number));
        assert!((303..999).step_by(2).all(|number| marked(number) && writable(&number)));
        release(base, count * HOST_PAGE_BYTES);
    }
}
