//! Which pages of a pooled slot have been touched, so that recycling resets these and no others.
//!
//! A page of the stack or of memory 0 is *cold* (a guard marker: any access faults) or *hot* (open, and perhaps
//! changed). The first access to a cold page, by guest or host, faults; the signal handler opens the page, and
//! it stays hot. So a slot that does the same for each request faults no more after the first few, makes no
//! system calls, and is reset by copying its hot pages back.
//!
//! Opening is atomic to other threads that read: behind the marker the page is what it must be, zero or the
//! file's. Where the kernel has no guard markers (before Linux 6.15), and in a slot with more hot pages than are
//! worth copying, nothing is tracked. Recycling then asks the kernel which pages were written ([`crate::scan`]),
//! or, before Linux 6.7, gives all pages back to it.

use std::ffi::c_void;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use selvedge_contract::limits::HOST_PAGE_BYTES;

use crate::scan;

/// `MADV_GUARD_INSTALL`, `MADV_GUARD_REMOVE` (Linux 6.13; 6.15 for file mappings).
const GUARD_INSTALL: i32 = 102;
const GUARD_REMOVE: i32 = 103;

/// How recycling learns what to reset. Each way is taken where the kernel cannot do the ones after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Recycling {
    /// Not at all: every page is given back to the kernel.
    Discard,
    /// Written pages are asked for (`PAGEMAP_SCAN`, Linux 6.7).
    Scan,
    /// Pages that are touched are noted once and stay open (`MADV_GUARD_INSTALL`, Linux 6.15).
    Track,
}

/// The pages of a slot between the bottom of its stack and the initial end of memory 0.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The stack's pages; its topmost, which may hold context too, is not among them and always open.
    stack: Range<u64>,
    /// Memory 0 at its initial size.
    memory: Range<u64>,
    /// Hot pages.
    hot: Bits,
    /// How many written pages the last scan left resident.
    kept: AtomicU32,
    /// A [`Recycling`].
    way: AtomicU8,
}

/// A bit for each page, counted from the bottom of the stack; most slots are small.
#[derive(Debug)]
enum Bits {
    Few(AtomicU64),
    Many(Box<[AtomicU64]>),
}

impl Bits {
    /// So many words, the first of them set to these.
    fn new(words: usize, first: &[u64]) -> Bits {
        let word = |at: usize| AtomicU64::new(first.get(at).copied().unwrap_or(0));
        if words <= 1 { Bits::Few(word(0)) } else { Bits::Many((0..words).map(word).collect()) }
    }

    fn words(&self) -> &[AtomicU64] {
        match self {
            Bits::Few(word) => std::slice::from_ref(word),
            Bits::Many(words) => words,
        }
    }
}

impl Pages {
    /// Marks all pages of a slot cold but `profile`'s, if they are to be tracked. The ranges are whole pages, the
    /// stack below the memory; they are mapped readable and writable, and may be marked.
    pub(crate) fn new(stack: Range<u64>, memory: Range<u64>, profile: &[u64], best: Recycling) -> Pages {
        let count = (memory.end.max(stack.end) - stack.start) / HOST_PAGE_BYTES;
        let hot = Bits::new(count.div_ceil(64) as usize, profile);
        let pages = Pages { stack, memory, hot, way: AtomicU8::new(Recycling::Track as u8), kept: AtomicU32::new(0) };
        if best < Recycling::Track || !pages.mark() {
            pages.untrack(best);
        }
        pages
    }

    fn mark(&self) -> bool {
        guard(self.stack.clone()) && guard(self.memory.clone()) && self.hot_runs().all(unguard)
    }

    /// How its recycling learns what to reset.
    pub(crate) fn way(&self) -> Recycling {
        match self.way.load(Ordering::Relaxed) {
            0 => Recycling::Discard,
            1 => Recycling::Scan,
            _ => Recycling::Track,
        }
    }

    /// Whether cold pages are marked: only then do the hot pages tell what was touched.
    pub(crate) fn tracked(&self) -> bool {
        self.way() == Recycling::Track
    }

    /// Opens a cold page for good; says whether the access that faulted there can go on. Async-signal-safe.
    pub(crate) fn open(&self, address: u64) -> bool {
        let page = address & !(HOST_PAGE_BYTES - 1);
        if !self.tracked() || !(self.stack.contains(&page) || self.memory.contains(&page)) {
            return false;
        }
        let opened = unguard(page..page + HOST_PAGE_BYTES);
        if opened {
            self.set_hot(page);
        }
        opened
    }

    /// Opens everything: nothing is tracked from now on, and recycling does the next best.
    pub(crate) fn untrack(&self, best: Recycling) {
        let way = if best >= Recycling::Scan && scan::works() { Recycling::Scan } else { Recycling::Discard };
        self.way.store(way as u8, Ordering::Relaxed);
        // Where markers are unknown to the kernel there are none to remove.
        unguard(self.stack.clone());
        unguard(self.memory.clone());
    }

    /// Notes a page as hot that is open.
    pub(crate) fn set_hot(&self, page: u64) {
        let at = (page - self.stack.start) / HOST_PAGE_BYTES;
        self.hot.words()[at as usize / 64].fetch_or(1 << (at % 64), Ordering::Relaxed);
    }

    /// Addresses of the hot pages, ascending.
    pub(crate) fn hot_pages(&self) -> impl Iterator<Item = u64> {
        let words = self.hot.words().iter().zip(0u64..);
        words.flat_map(move |(word, at)| {
            let mut bits = word.load(Ordering::Relaxed);
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (bit < 64).then_some(self.stack.start + (at * 64 + u64::from(bit)) * HOST_PAGE_BYTES)
            })
        })
    }

    /// The hot pages, neighbours together.
    fn hot_runs(&self) -> impl Iterator<Item = Range<u64>> {
        let mut pages = self.hot_pages().peekable();
        std::iter::from_fn(move || {
            let start = pages.next()?;
            let mut end = start + HOST_PAGE_BYTES;
            while pages.next_if_eq(&end).is_some() {
                end += HOST_PAGE_BYTES;
            }
            Some(start..end)
        })
    }

    /// How many pages stay resident when the slot is recycled.
    pub(crate) fn resident(&self) -> u64 {
        match self.way() {
            Recycling::Discard => 0,
            Recycling::Scan => self.kept.load(Ordering::Relaxed).into(),
            Recycling::Track => {
                let words = self.hot.words().iter();
                words.map(|word| u64::from(word.load(Ordering::Relaxed).count_ones())).sum()
            }
        }
    }

    /// Notes how many pages a scan has left resident.
    pub(crate) fn set_kept(&self, pages: u64) {
        self.kept.store(u32::try_from(pages).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// The hot pages as bits: what the next slot of the module begins with.
    pub(crate) fn profile(&self) -> Vec<u64> {
        self.hot.words().iter().map(|word| word.load(Ordering::Relaxed)).collect()
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

/// Gives a range's pages back to the kernel: zero, or the mapped file, is there. Marks stay.
pub(crate) fn discard(range: Range<u64>) -> bool {
    advise(range, libc::MADV_DONTNEED)
}

/// Keeps the kernel from backing a range with huge pages: each would be resident as a whole.
pub(crate) fn small(range: Range<u64>) -> bool {
    advise(range, libc::MADV_NOHUGEPAGE)
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
