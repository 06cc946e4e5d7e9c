//! Asking running guest code to stop, from any thread.
//!
//! The protocol, between any number of askers and the one thread that owns the arena:
//!
//! 1. The asker sets the request, makes every thread of the process pass a memory barrier (`membarrier(2)`), and
//!    only then reads which thread is inside. The owner writes its number before it tests the request, with no
//!    barrier of its own. So either the owner sees the request, or the asker sees the thread.
//! 2. The owner tests the request after the last instruction that an interruption cannot leave from ("armed", in
//!    [`crate::switch`]), both on the way in and on the way back from a host call. A signal that comes before is
//!    found by that test; one that comes after leaves at once.
//! 3. A request names the generation it is for. When an arena is recycled its generation moves on, so that a late
//!    request changes nothing.
//!
//! A request is obeyed once: whoever leaves because of it takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use crate::control::Control;

/// Bit 0 of [`Signal::word`]: a request to end. The stubs test it by this bit.
const REQUESTED: u64 = 1;
/// Bits below the generation.
const GENERATION_SHIFT: u32 = 8;

/// What interrupters and the interrupted share.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// The generation, and below it the request.
    word: AtomicU64,
    /// Thread that is inside [`crate::enter`], or 0.
    thread: AtomicI32,
}

impl Signal {
    /// Whether an interruption is asked for. Async-signal-safe.
    #[inline]
    pub(crate) fn requested(&self) -> bool {
        self.word.load(Ordering::Relaxed) & REQUESTED != 0
    }

    /// Takes the request, if there is one.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        self.requested() && self.word.fetch_and(!REQUESTED, Ordering::SeqCst) & REQUESTED != 0
    }

    /// Says which thread runs guest code; 0 when none does. A plain store: see the protocol.
    #[inline]
    pub(crate) fn set_thread(&self, thread: i32) {
        self.thread.store(thread, Ordering::Release);
    }

    /// The thread that runs guest code, for its owner.
    pub(crate) fn thread(&self) -> i32 {
        self.thread.load(Ordering::Relaxed)
    }

    /// Begins a new generation, without a request. Only the owner does: no lock is needed, as a request that comes
    /// in between fails to find its generation or is overwritten.
    pub(crate) fn renew(&self) {
        self.word.store((self.generation() + 1) << GENERATION_SHIFT, Ordering::SeqCst);
    }

    fn generation(&self) -> u64 {
        self.word.load(Ordering::Relaxed) >> GENERATION_SHIFT
    }

    /// Sets the request, if this is the generation it is for.
    fn request(&self, generation: u64) -> bool {
        let set = |word: u64| (word >> GENERATION_SHIFT == generation).then_some(word | REQUESTED);
        self.word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, set).is_ok()
    }
}

/// Ends what runs in an arena, or what runs there next.
#[derive(Clone, Debug)]
pub struct InterruptHandle {
    control: Arc<Control>,
    generation: u64,
}

impl InterruptHandle {
    pub(crate) fn new(control: &Arc<Control>) -> InterruptHandle {
        InterruptHandle { control: control.clone(), generation: control.signal().generation() }
    }

    /// Asks guest code to stop: at its next instruction if it runs, else after the host call it is in, else when
    /// it is next entered. Costs the running code nothing. A request is never lost and obeyed once.
    ///
    /// Says whether there was still someone to ask: not when what the handle was made for is gone.
    pub fn interrupt(&self) -> bool {
        let signal = self.control.signal();
        if !signal.request(self.generation) {
            return false;
        }
        crate::barrier::all_threads();
        let thread = signal.thread.load(Ordering::SeqCst);
        if thread != 0 {
            crate::signals::send_interrupt(thread);
        }
        self.control.wake();
        true
    }

    /// Whether a request was made that nothing has obeyed yet.
    pub fn is_pending(&self) -> bool {
        let signal = self.control.signal();
        signal.generation() == self.generation && signal.requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_once_and_only_by_its_generation() {
        let signal = Signal::default();
        assert!(signal.request(0) && signal.request(0), "asking twice is asking once");
        assert!(signal.take() && !signal.take());
        assert!(!signal.request(1) && !signal.requested(), "nobody of this generation is there");
    }
}
