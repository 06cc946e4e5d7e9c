//! Which pages of a range were written, asked of the kernel (`PAGEMAP_SCAN`, Linux 6.7): for slots whose pages are
//! not marked.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use selvedge_contract::limits::HOST_PAGE_BYTES;

use crate::kernel;

/// `PAGE_IS_*` of `linux/fs.h`.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const ZERO: u64 = 1 << 5;

/// Runs of pages that one call answers with.
const RUNS: usize = 64;

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Run {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `PAGEMAP_SCAN`.
pub(crate) const REQUEST: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;
const _: () = assert!(size_of::<Scan>() == 0x60);

/// The process's page map; `None` where the kernel cannot scan it, or there is no `/proc`.
fn pagemap() -> Option<&'static File> {
    static PAGEMAP: OnceLock<Option<File>> = OnceLock::new();
    let open = || {
        if !kernel::may_scan() {
            return None;
        }
        let file = File::open("/proc/self/pagemap").ok()?;
        // Nothing is to be found in no range: only whether the call exists.
        ask(&file, 0..0, &mut [Run::default(); RUNS]).map(|_| file)
    };
    PAGEMAP.get_or_init(open).as_ref()
}

/// Whether written pages can be asked for.
pub(crate) fn works() -> bool {
    pagemap().is_some()
}

/// Calls `written` with each run of pages in a range that may differ from what was mapped there: those that are
/// the process's own, in memory or swapped out. Says whether all were found.
pub(crate) fn written(range: Range<u64>, mut written: impl FnMut(Range<u64>)) -> bool {
    let Some(file) = pagemap() else { return false };
    let mut runs = [Run::default(); RUNS];
    let mut from = range.start;
    while from < range.end {
        let Some((count, next)) = ask(file, from..range.end, &mut runs) else { return false };
        // The pages are the slot's, whatever the answer says.
        let inside = |run: &Run| run.start.max(from)..run.end.min(range.end);
        runs[..count].iter().map(inside).filter(|run| !run.is_empty()).for_each(&mut written);
        if next <= from {
            return false;
        }
        from = next;
    }
    true
}

/// One call: how many runs it found, and up to where it looked.
fn ask(file: &File, range: Range<u64>, runs: &mut [Run; RUNS]) -> Option<(usize, u64)> {
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        flags: 0,
        start: range.start,
        end: range.end,
        walk_end: 0,
        vec: runs.as_mut_ptr() as u64,
        vec_len: RUNS as u64,
        max_pages: 0,
        // Neither a file's nor the zero page.
        category_inverted: FILE | ZERO,
        category_mask: FILE | ZERO,
        category_anyof_mask: PRESENT | SWAPPED,
        return_mask: PRESENT | SWAPPED,
    };
    // SAFETY: the argument is as the call wants it; the kernel writes it and, at most `vec_len` times, `runs`.
    let count = unsafe { libc::ioctl(file.as_raw_fd(), REQUEST, &raw mut scan) };
    debug_assert!(range.start.is_multiple_of(HOST_PAGE_BYTES));
    let count = usize::try_from(count).ok().filter(|count| *count <= RUNS)?;
    Some((count, scan.walk_end))
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn written_pages_are_found_and_no_others() {
        if !works() {
            return println!("this kernel cannot scan");
        }
        let pages = 400;
        let base = crate::slot::reserve(pages * HOST_PAGE_BYTES).unwrap();
        let address = |page: u64| (base + page * HOST_PAGE_BYTES) as *mut u8;
        let all = base..base + pages * HOST_PAGE_BYTES;
        // More runs than one call answers with.
        let changed: Vec<u64> = (0..pages).filter(|page| page % 3 == 1).collect();
        // SAFETY: the range is the test's own.
        unsafe {
            let bytes = (pages * HOST_PAGE_BYTES) as usize;
            assert_eq!(libc::mprotect(address(0).cast(), bytes, libc::PROT_READ | libc::PROT_WRITE), 0);
            changed.iter().for_each(|page| ptr::write_volatile(address(*page), 1));
            // Reading maps the zero page.
            assert_eq!(ptr::read_volatile(address(3)), 0);
            // Where there is swap, they are there from now on.
            assert_eq!(libc::madvise(address(0).cast(), bytes, libc::MADV_PAGEOUT), 0);
        }
        let mut found = Vec::new();
        assert!(written(all.clone(), |run| found.extend(run.step_by(HOST_PAGE_BYTES as usize))));
        crate::slot::release(base, all.end - all.start);
        let found: Vec<u64> = found.into_iter().map(|page| (page - base) / HOST_PAGE_BYTES).collect();
        assert_eq!(found, changed);
    }
}
