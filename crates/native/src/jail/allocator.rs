//! Memory that runs short in a jail is told apart from a crash.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a jailed process exits with when it reached its memory cap.
pub(super) const EXIT_MEMORY: i32 = 112;

static JAILED: AtomicBool = AtomicBool::new(false);

/// The system's allocator; in a jail, a request it cannot serve ends the process with an exit status that
/// [`super::Confined`] knows. A program that can be jailed has it as `#[global_allocator]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

/// From now on the process ends when memory is short.
pub(super) fn end_when_memory_is_short() {
    JAILED.store(true, Ordering::Relaxed);
}

#[inline]
fn checked(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        is_short();
    }
    pointer
}

/// Ends a jailed process that could not get memory by other ways than the allocator: for a thread's stack, say.
#[cold]
pub fn is_short() {
    if JAILED.load(Ordering::Relaxed) {
        // SAFETY: ends the process at once; nothing of it runs on.
        unsafe { libc::_exit(EXIT_MEMORY) }
    }
}

// SAFETY: every request goes to the system's allocator as it is, and so does every answer.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        checked(unsafe { System.alloc(layout) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.realloc(pointer, layout, bytes) })
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
