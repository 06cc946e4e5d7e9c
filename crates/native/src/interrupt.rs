//! Asking running guest code to stop, from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// What an interrupter and the interrupted share.
#[derive(Debug, Default)]
pub(crate) struct InterruptState {
    requested: AtomicBool,
    /// Thread that is inside [`crate::enter`], or 0.
    thread: AtomicI32,
}

impl InterruptState {
    /// Whether an interruption is asked for. Async-signal-safe.
    #[inline]
    pub(crate) fn requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Takes the request, if there is one.
    #[inline]
    pub(crate) fn take(&self) -> bool {
        self.requested() && self.requested.swap(false, Ordering::SeqCst)
    }

    /// Says which thread runs guest code; 0 when none does. A plain store: whoever asks later looks again.
    #[inline]
    pub(crate) fn set_thread(&self, thread: i32) {
        self.thread.store(thread, Ordering::Release);
    }
}

/// Ends what runs in an arena, or what runs there next.
#[derive(Clone, Debug)]
pub struct InterruptHandle(Arc<InterruptState>);

impl InterruptHandle {
    pub(crate) fn new() -> InterruptHandle {
        InterruptHandle(Arc::default())
    }

    pub(crate) fn state(&self) -> Arc<InterruptState> {
        self.0.clone()
    }

    /// Asks guest code to stop: at its next instruction if it runs, else after the host call it is in, else when
    /// it is next entered. Costs the running code nothing.
    ///
    /// A request can miss the instant in which a thread enters guest code: callers that wait for the end ask
    /// again while [`InterruptHandle::is_pending`].
    pub fn interrupt(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        let thread = self.0.thread.load(Ordering::SeqCst);
        if thread != 0 {
            crate::signals::send_interrupt(thread);
        }
    }

    /// Whether a request was made that nothing has obeyed yet.
    pub fn is_pending(&self) -> bool {
        self.0.requested()
    }
}
