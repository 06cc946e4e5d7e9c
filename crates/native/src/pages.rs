//! Which pages of a pooled slot have been touched, so that recycling resets these and no others.
//!
//! A page of the stack or of memory 0 is *cold* (a guard marker: any access faults) or *hot* (open, and perhaps
//! changed). The first access to a cold page, by guest or host, faults; the signal handler opens the page, and
//! it stays hot. So a slot that does the same for each request faults no more after the first few, makes no
//! system calls, and is reset by copying its hot pages back.
//!
//! Where a memory image is mapped, a cold page can be read, and only writing makes it hot ([`crate::read_only`]).
//!
//! Opening is atomic to other threads that read: behind the marker the page is what it must be, zero or the
//! file's. Where the kernel has no guard markers (before Linux 6.15), and in a slot with more hot pages than are
//! worth copying, nothing is tracked. Recycling then asks the kernel which pages were written ([`crate::scan`]),
//! or, before Linux 6.7, gives all pages back to it.
//!
//! To mark a page costs something for each page there is, touched or not. So a slot is tracked when it was used often
//! enough to be worth that; until then the kernel is asked, and what was written is hot from the beginning.
//!
//! What is hot stays so, though it may be touched no more. So now and then a slot begins anew.

use std::ffi::c_void;
use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use selvedge_contract::limits::HOST_PAGE_BYTES;

use crate::kernel;
use crate::read_only::{self, ReadOnly};
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
    /// The bottom of the stack.
    start: u64,
    /// The stack's pages, from there; its topmost, which may hold context too, is not among them and always open.
    stack_end: u32,
    /// Memory 0 at its initial size, in pages from there. In little room: there may be a million slots.
    memory_start: u32,
    memory_end: u32,
    /// Where memory 0 is mapped from the image, if it is.
    image: Option<Box<ReadOnly>>,
    /// Hot pages.
    hot: Bits,
    /// How many written pages the last scan left resident.
    kept: AtomicU32,
    /// A [`Recycling`].
    way: AtomicU8,
    /// The way is another after so many more uses; 0 if it stays.
    uses_left: AtomicU32,
}

/// What is marked, opened or given back by one system call: pages that were touched take half a microsecond each.
const PIECE_BYTES: u64 = 256 << 10;
/// Pages that are marked in the time that one scan takes longer than resetting what is hot.
const PAGES_PER_SCAN: u64 = 64;
/// Uses of a slot that are not worth marking it, however small it is: each run of pages is a call of its own.
const SCANS_MIN: u64 = 8;
/// Uses of a slot that is tracked before it begins anew: so many that what it costs then is nothing beside them.
const USES_TRACKED: u32 = 1 << 16;

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
    /// The pages of a slot that is to be recycled in the `best` way, or the next best; `profile` says which are hot. The
    /// ranges are whole pages, the stack below the memory; they are mapped readable and writable, and not marked. `image`
    /// is where the memory is mapped from a file. `None` if the kernel refuses what it must do, or there are 2^32 pages.
    pub(crate) fn new(
        [stack, memory]: [Range<u64>; 2],
        image: Box<[Range<u64>]>,
        profile: &[u64],
        best: Recycling,
    ) -> Option<Pages> {
        let count = (memory.end.max(stack.end) - stack.start) / HOST_PAGE_BYTES;
        let hot = Bits::new(count.div_ceil(64) as usize, profile);
        let way = AtomicU8::new(next_best(best) as u8);
        let image = (!image.is_empty()).then(|| Box::new(ReadOnly::new(image)));
        let (kept, uses_left) = (AtomicU32::new(0), AtomicU32::new(0));
        let page = |address: u64| u32::try_from((address - stack.start) / HOST_PAGE_BYTES).ok();
        let [stack_end, memory_start, memory_end] = [stack.end, memory.start, memory.end].map(page);
        let (stack_end, memory_start, memory_end) = (stack_end?, memory_start?, memory_end?);
        let start = stack.start;
        let pages = Pages { start, stack_end, memory_start, memory_end, image, hot, kept, way, uses_left };
        if best == Recycling::Track {
            match pages.way() {
                Recycling::Scan => pages.scan_for_now(),
                _ if !pages.track() => return None,
                _ => {}
            }
        }
        Some(pages)
    }

    /// The kernel is asked until it is worth to track pages.
    fn scan_for_now(&self) {
        let count = self.ranges().into_iter().map(|range| (range.end - range.start) / HOST_PAGE_BYTES).sum::<u64>();
        self.uses_left.store((count / PAGES_PER_SCAN + SCANS_MIN) as u32, Ordering::Relaxed);
    }

    /// Counts a use; says whether it was the last in this way, and it is time to [`Pages::track`] or to
    /// [`Pages::begin_anew`].
    #[inline]
    pub(crate) fn changes_way(&self) -> bool {
        let left = self.uses_left.load(Ordering::Relaxed);
        self.uses_left.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 1
    }

    /// Opens everything and takes nothing for hot, as in a new slot, where the kernel can be asked what is written.
    /// Whoever says so discards all pages. Says whether the slot can be used.
    pub(crate) fn begin_anew(&self) -> bool {
        if !scan::works() {
            return true;
        }
        let open = self.untrack(Recycling::Scan);
        self.set_kept(0);
        self.hot.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.scan_for_now();
        open
    }

    /// Marks all pages cold that are not hot, and tracks from now on, if the kernel can. All must be as they were at
    /// first: what is behind a mark is. Says whether the slot can be used.
    pub(crate) fn track(&self) -> bool {
        let marked = self.mark();
        if marked {
            self.way.store(Recycling::Track as u8, Ordering::Relaxed);
            self.uses_left.store(USES_TRACKED, Ordering::Relaxed);
        }
        marked || self.untrack(Recycling::Scan)
    }

    /// Marks what lies between the hot pages.
    fn mark(&self) -> bool {
        self.image.iter().for_each(|image| image.begin(self.hot_runs().count()));
        self.ranges().into_iter().all(|range| {
            let mut cold = range.start;
            let mut hot = self.hot_runs().filter(|run| range.contains(&run.start));
            hot.all(|run| self.mark_cold(mem::replace(&mut cold, run.end)..run.start))
                && self.mark_cold(cold..range.end)
        })
    }

    /// Marks cold pages, or seals them where they are the image's.
    fn mark_cold(&self, range: Range<u64>) -> bool {
        let (mut rest, end) = (range.start, range.end);
        let mut sealed = self.image.iter().flat_map(|image| image.within(range.clone()));
        sealed.all(|part| guard(mem::replace(&mut rest, part.end)..part.start) && read_only::seal(part))
            && guard(rest..end)
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
        if !self.tracked() || !self.ranges().iter().any(|range| range.contains(&page)) {
            return false;
        }
        let sealed = self.image.as_deref().filter(|image| image.has(page));
        let opened = sealed.map_or_else(|| unguard(page..page + HOST_PAGE_BYTES), |image| image.unseal(page));
        if opened {
            self.set_hot(page);
        }
        if opened || sealed.is_none() {
            return opened;
        }
        // All can be in one mapping again, until they are marked by what is known then.
        let open = self.untrack(Recycling::Scan);
        self.scan_for_now();
        open
    }

    /// Opens everything: nothing is tracked from now on, and recycling does the next best. Says whether all pages can be
    /// written. Async-signal-safe where pages were tracked.
    pub(crate) fn untrack(&self, best: Recycling) -> bool {
        self.way.store(next_best(best) as u8, Ordering::Relaxed);
        self.uses_left.store(0, Ordering::Relaxed);
        // Where markers are unknown to the kernel there are none to remove.
        self.ranges().into_iter().for_each(|range| {
            unguard(range);
        });
        self.image.iter().all(|image| image.end())
    }

    /// Notes a page as hot that is open.
    pub(crate) fn set_hot(&self, page: u64) {
        let at = (page - self.start) / HOST_PAGE_BYTES;
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
                (bit < 64).then_some(self.start + (at * 64 + u64::from(bit)) * HOST_PAGE_BYTES)
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

    fn address(&self, page: u32) -> u64 {
        self.start + u64::from(page) * HOST_PAGE_BYTES
    }

    /// Whether an address lies in the stack's pages.
    pub(crate) fn in_stack(&self, page: u64) -> bool {
        page >= self.start && page < self.address(self.stack_end)
    }

    /// The stack's pages and the memory's.
    pub(crate) fn ranges(&self) -> [Range<u64>; 2] {
        let memory = self.address(self.memory_start)..self.address(self.memory_end);
        [self.start..self.address(self.stack_end), memory]
    }
}

/// What is done where pages are not tracked.
fn next_best(best: Recycling) -> Recycling {
    if best >= Recycling::Scan && scan::works() { Recycling::Scan } else { Recycling::Discard }
}

/// Marks a range: any access faults, and what was there is gone.
pub(crate) fn guard(range: Range<u64>) -> bool {
    range.is_empty() || kernel::may_mark() && advise_in_pieces(range, GUARD_INSTALL)
}

/// Takes the marks from a range: zero, or the mapped file, is there.
pub(crate) fn unguard(range: Range<u64>) -> bool {
    range.is_empty() || kernel::may_mark() && advise_in_pieces(range, GUARD_REMOVE)
}

/// Gives a range's pages back to the kernel: zero, or the mapped file, is there. Marks stay.
pub(crate) fn discard(range: Range<u64>) -> bool {
    advise_in_pieces(range, libc::MADV_DONTNEED)
}

/// Keeps the kernel from backing a range with huge pages where it would do so unasked: each would be resident as a whole,
/// and written as a whole when a byte is. A kernel that has none refuses, and needs no advice.
pub(crate) fn small(range: Range<u64>) -> bool {
    advise(range, libc::MADV_NOHUGEPAGE)
}

/// [`advise`], with time for others in between. Where the kernel is not preempted at any place, as server kernels often are
/// not, whoever wakes up on the same processor waits until it has done what it does for many pages at once.
fn advise_in_pieces(range: Range<u64>, advice: i32) -> bool {
    let mut starts = range.clone().step_by(PIECE_BYTES as usize);
    starts.all(|start| advise(start..range.end.min(start + PIECE_BYTES), advice))
}

/// `madvise(2)` on pages of our own slots. Async-signal-safe.
fn advise(range: Range<u64>, advice: i32) -> bool {
    if range.is_empty() {
        return true;
    }
    // SAFETY: callers name pages of a slot they own or, in the signal handler, of the slot whose owner has just
    // touched it; the advice changes contents only where nothing refers to them.
    let advised = || unsafe { libc::madvise(range.start as *mut c_void, (range.end - range.start) as usize, advice) };
    keeping_errno(advised) == 0
}

/// Makes a system call in the signal handler, too: `errno` is kept, for whoever was interrupted. Async-signal-safe if
/// the call is.
pub(crate) fn keeping_errno<R>(call: impl FnOnce() -> R) -> R {
    // SAFETY: errno is this thread's, and lives as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; nobody else refers to it.
    let kept = unsafe { *errno };
    let result = call();
    // SAFETY: as above.
    unsafe { *errno = kept };
    result
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::slot::{release, reserve};

    /// Whether a page can be read as it is; the kernel does not open it.
    fn is_open(page: u64) -> bool {
        // SAFETY: the range is the test's own; nothing of it changes.
        unsafe { libc::madvise(page as *mut c_void, HOST_PAGE_BYTES as usize, libc::MADV_POPULATE_READ) == 0 }
    }

    #[test]
    fn a_slot_is_tracked_when_it_was_used_often_enough_and_what_was_written_stays_open() {
        let (count, stack) = (400, 100);
        let base = reserve(count * HOST_PAGE_BYTES).unwrap();
        let page = |number: u64| base + number * HOST_PAGE_BYTES;
        // SAFETY: the range is the test's own.
        unsafe {
            let bytes = (count * HOST_PAGE_BYTES) as usize;
            assert_eq!(libc::mprotect(base as *mut c_void, bytes, libc::PROT_READ | libc::PROT_WRITE), 0);
        }
        // Between stack and memory is what is never marked.
        let ranges = [page(0)..page(stack), page(stack + 1)..page(count)];
        let pages = Pages::new(ranges, Box::default(), &[1 << 3], Recycling::Track).unwrap();
        if !scan::works() {
            return println!("this kernel cannot scan");
        }
        assert_eq!(pages.way(), Recycling::Scan);
        let hot = [3, 99, 101, 102, 399];
        for number in &hot[1..] {
            // SAFETY: as above.
            unsafe { ptr::write_volatile(page(*number) as *mut u8, 7) };
            pages.set_hot(page(*number));
        }
        let scans = count / PAGES_PER_SCAN + SCANS_MIN - 1;
        assert!((0..scans).all(|_| !pages.changes_way()) && pages.changes_way() && !pages.changes_way());
        pages.track();
        if !pages.tracked() {
            return println!("this kernel has no markers");
        }
        assert_eq!(pages.resident(), hot.len() as u64);
        let open: Vec<u64> = (0..count).filter(|number| is_open(page(*number))).collect();
        assert_eq!(open, [3, 99, 100, 101, 102, 399]);
        // SAFETY: as above; the page is open.
        assert_eq!(unsafe { ptr::read_volatile(page(101) as *const u8) }, 7);
        assert!(pages.open(page(200) + 5) && is_open(page(200)) && !pages.open(page(stack)));
        // And so on for a while, and anew.
        assert!((1..USES_TRACKED).all(|_| !pages.changes_way()) && pages.changes_way());
        pages.begin_anew();
        assert!((0..count).all(|number| is_open(page(number))));
        assert_eq!((pages.way(), pages.resident(), pages.hot_pages().count()), (Recycling::Scan, 0, 0));
        assert!((0..scans).all(|_| !pages.changes_way()) && pages.changes_way());
        pages.track();
        pages.untrack(Recycling::Scan);
        assert!((0..count).all(|number| is_open(page(number))) && !pages.changes_way());
        release(base, count * HOST_PAGE_BYTES);
    }
}
