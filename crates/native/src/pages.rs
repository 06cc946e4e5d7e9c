//! Which pages of a pooled slot have been touched, so that recycling resets these and no others.
//!
//! A page of the stack or of memory 0 is *cold* (a guard marker: any access faults) or *hot* (open, and perhaps
//! changed). The first access to a cold page, by guest or host, faults; the signal handler opens the page, and
//! it stays hot. So a slot that does the same for each request faults no more after the first few, makes no
//! system calls, and is reset by copying its hot pages back.
//!
//! Opening is atomic to other threads that read: behind the marker the page is what it must be, zero or the
//! file's. Where the kernel has no guard markers (before Linux 6.15), and in a slot with more hot pages than are
//! worth copying, nothing is tracked; recycling then gives all pages back to the kernel.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use selvedge_contract::limits::HOST_PAGE_BYTES;

/// `MADV_GUARD_INSTALL`, `MADV_GUARD_REMOVE` (Linux 6.13; 6.15 for file mappings).
const GUARD_INSTALL: i32 = 102;
const GUARD_REMOVE: i32 = 103;

/// The pages of a slot between the bottom of its stack and the initial end of memory 0.
#[derive(Debug)]
pub(crate) struct Pages {
    low: u64,
    /// The stack's pages that are tracked; its topmost page is always hot.
    stack: Range<u64>,
    /// Memory 0 at its initial size.
    memory: Range<u64>,
    /// Hot pages, a bit each, counted from `low`.
    hot: Box<[AtomicU64]>,
    /// Whether cold pages are marked.
    tracked: AtomicBool,
}

impl Pages {
    /// Marks all pages of a slot cold but `profile`'s and the stack's topmost. The ranges are whole pages, mapped
    /// readable and writable, the stack below the memory.
    pub(crate) fn new(stack: Range<u64>, memory: Range<u64>, profile: &[u64]) -> Pages {
        let low = stack.start;
        let count = (memory.end - low) / HOST_PAGE_BYTES;
        let words = count.div_ceil(64) as usize;
        let hot = (0..words).map(|word| AtomicU64::new(profile.get(word).copied().unwrap_or(0))).collect();
        let pages = Pages { low, stack, memory, hot, tracked: AtomicBool::new(false) };
        let top = pages.stack.end - HOST_PAGE_BYTES;
        pages.set_hot(top);
        let marked = advise(pages.stack.clone(), GUARD_INSTALL) && advise(pages.memory.clone(), GUARD_INSTALL);
        let opened = marked && pages.hot_pages().all(|page| advise(page..page + HOST_PAGE_BYTES, GUARD_REMOVE));
        pages.tracked.store(opened, Ordering::Relaxed);
        if !opened {
            pages.untrack();
        }
        pages
    }

    /// Whether cold pages are marked: only then do the hot pages tell what was touched.
    pub(crate) fn tracked(&self) -> bool {
        self.tracked.load(Ordering::Relaxed)
    }

    /// Opens a cold page for good; says whether the access that faulted there can go on. Async-signal-safe.
    pub(crate) fn open(&self, address: u64) -> bool {
        let page = address & !(HOST_PAGE_BYTES - 1);
        if !self.tracked() || !(self.stack.contains(&page) || self.memory.contains(&page)) {
            return false;
        }
        let opened = advise(page..page + HOST_PAGE_BYTES, GUARD_REMOVE);
        if opened {
            self.set_hot(page);
        }
        opened
    }

    /// Opens everything: nothing is tracked from now on.
    pub(crate) fn untrack(&self) {
        self.tracked.store(false, Ordering::Relaxed);
        // Where markers are unknown to the kernel there are none to remove.
        advise(self.stack.clone(), GUARD_REMOVE);
        advise(self.memory.clone(), GUARD_REMOVE);
    }

    fn set_hot(&self, page: u64) {
        let at = (page - self.low) / HOST_PAGE_BYTES;
        self.hot[at as usize / 64].fetch_or(1 << (at % 64), Ordering::Relaxed);
    }

    /// Addresses of the hot pages, ascending.
    pub(crate) fn hot_pages(&self) -> impl Iterator<Item = u64> {
        let words = self.hot.iter().zip(0u64..);
        words.flat_map(move |(word, at)| {
            let mut bits = word.load(Ordering::Relaxed);
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (bit < 64).then_some(self.low + (at * 64 + u64::from(bit)) * HOST_PAGE_BYTES)
            })
        })
    }

    /// How many pages are hot.
    pub(crate) fn hot_count(&self) -> u64 {
        self.hot.iter().map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum()
    }

    /// The hot pages as bits: what the next slot of the module begins with.
    pub(crate) fn profile(&self) -> Vec<u64> {
        self.hot.iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Whether an address lies in the stack's pages.
    pub(crate) fn in_stack(&self, page: u64) -> bool {
        self.stack.contains(&page)
    }

    /// The stack's pages and the memory's.
    pub(crate) fn ranges(&self) -> [Range<u64>; 2] {
        [self.stack.clone(), self.memory.clone()]
    }
}

/// Marks a range: any access faults, and what was there is gone.
pub(crate) fn guard(range: Range<u64>) -> bool {
    advise(range, GUARD_INSTALL)
}

/// Takes the marks from a range: zero, or the mapped file, is there.
pub(crate) fn unguard(range: Range<u64>) -> bool {
    advise(range, GUARD_REMOVE)
}

/// Gives a range's pages back to the kernel: zero, or the mapped file, is there.
pub(crate) fn discard(range: Range<u64>) -> bool {
    advise(range, libc::MADV_DONTNEED)
}

/// `madvise(2)` on pages of our own slots. Async-signal-safe; `errno` is kept, for whoever was interrupted.
fn advise(range: Range<u64>, advice: i32) -> bool {
    if range.is_empty() {
        return true;
    }
    // SAFETY: callers name pages of a slot they own or, in the signal handler, of the slot whose owner has just
    // touched it; the advice changes contents only where nothing refers to them. errno is this thread's.
    unsafe {
        let errno = libc::__errno_location();
        let kept = *errno;
        let done = libc::madvise(range.start as *mut c_void, (range.end - range.start) as usize, advice) == 0;
        *errno = kept;
        done
    }
}
