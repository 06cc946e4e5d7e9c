//! Asking running guest code to stop, from any thread.
//!
//! The protocol, between any number of askers and the one thread that owns the arena:
//!
//! 1. The asker sets the request, makes every thread of the process pass a memory barrier (`membarrier(2)`), and
//!    only then reads which thread is inside. The owner writes its number before it tests the request, with no
//!    barrier of its own. So either the owner sees the request, or the asker sees the thread.
//! 2. The owner tests for requests after the last instruction that an interruption cannot leave from ("armed", in
//!    [`crate::switch`]), both on the way in and on the way back from a host call. A signal that comes before is
//!    found by that test; one that comes after leaves at once.
//! 3. A request names the generation it is for. When an arena is recycled its generation moves on, so that a late
//!    request changes nothing.
//!
//! A request is obeyed once: whoever leaves because of it takes it. There are several: to end, by whose wish, and to
//! give way. An entry that cannot be parked (one whose caller waits for it on the host's stack) heeds only the former;
//! the others wait for the entry outside of it. A request to give way is void when the entry has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};

use crate::control::Control;

/// What is asked of guest code; bits of [`Signal::word`], which the stubs test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request(u8);

impl Request {
    const KILL: u8 = 1;
    const CPU_LIMIT: u8 = 2;
    const WALL_LIMIT: u8 = 4;
    /// To give way: guest code goes on later.
    pub(crate) const YIELD: u8 = 8;
    /// To end.
    pub(crate) const END: u8 = Self::KILL | Self::CPU_LIMIT | Self::WALL_LIMIT;
    pub(crate) const ANY: u8 = Self::END | Self::YIELD;
    /// Nobody asks for it: of what an entry heeds, that it is parked when its meter is used up.
    pub(crate) const AT_METER: u8 = 16;
}

/// Who asked guest code to end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Interruption {
    /// Somebody with a handle.
    Kill,
    /// Whoever watches over its CPU time.
    CpuLimit,
    /// Whoever watches over its wall time.
    WallLimit,
}

impl Interruption {
    fn bit(self) -> u8 {
        match self {
            Interruption::Kill => Request::KILL,
            Interruption::CpuLimit => Request::CPU_LIMIT,
            Interruption::WallLimit => Request::WALL_LIMIT,
        }
    }

    /// The one that is told, of several.
    fn of(bits: u8) -> Option<Interruption> {
        let all = [Interruption::Kill, Interruption::CpuLimit, Interruption::WallLimit];
        all.into_iter().find(|one| bits & one.bit() != 0)
    }
}

/// Bits below the generation.
const GENERATION_SHIFT: u32 = 8;

/// What interrupters and the interrupted share.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// The generation, and below it the requests.
    word: AtomicU64,
    /// Thread that is inside [`crate::enter`], or 0.
    thread: AtomicI32,
    /// Whose the control block's waker is. Changed under its lock alone.
    pub(crate) whose: AtomicU8,
}

impl Signal {
    /// What is asked for. Async-signal-safe.
    #[inline]
    pub(crate) fn asked(&self) -> u8 {
        self.word.load(Ordering::Relaxed) as u8
    }

    /// Whether guest code is asked to end.
    #[inline]
    pub(crate) fn requested(&self) -> bool {
        self.asked() & Request::END != 0
    }

    /// Takes the requests to end, if there are any.
    #[inline]
    pub(crate) fn take(&self) -> Option<Interruption> {
        Interruption::of(self.take_bits(Request::END))
    }

    /// Takes the request to give way, if there is one.
    #[inline]
    pub(crate) fn take_yield(&self) {
        self.take_bits(Request::YIELD);
    }

    /// Takes what those ask who watch over an entry that is over.
    #[inline]
    pub(crate) fn take_watch(&self) {
        self.take_bits(Request::ANY & !Request::KILL);
    }

    fn take_bits(&self, bits: u8) -> u8 {
        if self.asked() & bits == 0 {
            return 0;
        }
        self.word.fetch_and(!u64::from(bits), Ordering::SeqCst) as u8 & bits
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

    /// Sets a request, if this is the generation it is for.
    fn request(&self, generation: u64, bit: u8) -> bool {
        let set = |word: u64| (word >> GENERATION_SHIFT == generation).then_some(word | u64::from(bit));
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
        self.end(Interruption::Kill)
    }

    /// As [`InterruptHandle::interrupt`], in another's name.
    pub fn end(&self, by: Interruption) -> bool {
        let asked = self.end_quietly(by);
        if asked {
            self.wake();
        }
        asked
    }

    /// As [`InterruptHandle::end`], but wakes nobody who waits: [`InterruptHandle::wake`] does.
    pub fn end_quietly(&self, by: Interruption) -> bool {
        self.ask(by.bit())
    }

    /// Wakes who waits while guest code is suspended, to see what is asked.
    pub fn wake(&self) {
        self.control.wake();
    }

    /// Asks guest code to give way, so that it can go on later from where it is: at its next instruction if it runs,
    /// else after the host call it is in, else before it begins. Void for entries that cannot be parked, and when
    /// none is under way. Says whether there was still someone to ask.
    pub fn preempt(&self) -> bool {
        self.ask(Request::YIELD)
    }

    fn ask(&self, bit: u8) -> bool {
        let signal = self.control.signal();
        if !signal.request(self.generation, bit) {
            return false;
        }
        crate::barrier::all_threads();
        let thread = signal.thread.load(Ordering::SeqCst);
        if thread != 0 {
            crate::signals::send_interrupt(thread);
        }
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
        let kill = Interruption::Kill.bit();
        assert!(signal.request(0, kill) && signal.request(0, kill), "asking twice is asking once");
        assert!(signal.take() == Some(Interruption::Kill) && signal.take().is_none());
        assert!(!signal.request(1, kill) && !signal.requested(), "nobody of this generation is there");
    }

    #[test]
    fn to_give_way_is_not_to_end() {
        let signal = Signal::default();
        assert!(signal.request(0, Request::YIELD) && !signal.requested() && signal.take().is_none());
        assert!(signal.request(0, Interruption::WallLimit.bit()) && signal.request(0, Interruption::Kill.bit()));
        assert_eq!(signal.take(), Some(Interruption::Kill));
        assert_eq!(signal.asked(), Request::YIELD);
        signal.take_yield();
        assert_eq!(signal.asked(), 0);
    }
}
