//! A waker that the kernel's `poll` hears: for waiting in one thread for both files and the embedder's streams.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};

use crate::errno::Answer;

/// Readable once it was rung.
#[derive(Debug)]
pub(crate) struct Doorbell(OwnedFd);

impl Doorbell {
    pub(crate) fn new() -> Answer<Arc<Doorbell>> {
        Ok(Arc::new(Doorbell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// What rings it.
    pub(crate) fn waker(self: &Arc<Doorbell>) -> Waker {
        Waker::from(self.clone())
    }

    /// Makes it silent again.
    pub(crate) fn silence(&self) {
        // It fails if it is silent already.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wake for Doorbell {
    fn wake(self: Arc<Doorbell>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Doorbell>) {
        // It fails only when it was rung 2^64 - 2 times already, and then it is heard, too.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}
