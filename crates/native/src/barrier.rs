//! A memory barrier that other threads pass without doing anything for it.
//!
//! Whoever enters guest code pays nothing for interruptions; whoever interrupts makes all threads of the process
//! pass a full barrier: by `membarrier(2)`, or where that is refused (an old kernel, a narrow seccomp filter) by
//! taking a right from a page, for which the kernel interrupts every processor that runs this process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use selvedge_contract::limits::HOST_PAGE_BYTES;

static REGISTERED: AtomicBool = AtomicBool::new(false);
/// One page at a time: the kernel has no more to do for many.
static PAGE: Mutex<()> = Mutex::new(());

/// Prepares [`all_threads`], once per process.
pub(crate) fn register() {
    REGISTERED.store(membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), Ordering::Relaxed);
}

/// Makes every thread of this process pass a full memory barrier.
pub(crate) fn all_threads() {
    let done = REGISTERED.load(Ordering::Relaxed) && membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    if !done {
        by_page();
    }
}

fn membarrier(command: i32) -> bool {
    // SAFETY: membarrier has no preconditions.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

fn by_page() {
    let _one = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = HOST_PAGE_BYTES as usize;
    // SAFETY: a new anonymous mapping at an address the kernel chooses replaces nothing; it is written within its
    // bounds while writable, and nothing refers to it when it is given back.
    unsafe {
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        let Ok(page) = mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags) else {
            return;
        };
        page.cast::<u8>().write_volatile(1);
        // Other processors may hold the right to write in their buffers: they are interrupted to drop it.
        let _ = mprotect(page, bytes, MprotectFlags::READ);
        let _ = munmap(page, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_come_back() {
        register();
        all_threads();
        by_page();
    }
}
