//! The time limit: a thread that interrupts the guest when its time is over.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use selvedge_runtime::InterruptHandle;

/// How long to wait before asking again: a request can miss the instant in which guest code is entered.
const AGAIN: Duration = Duration::from_millis(10);

/// Interrupts a store after a while, unless dropped before. No host call here waits for anything, so it is
/// always obeyed.
pub(crate) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(handle: InterruptHandle, limit: Duration) -> std::io::Result<Watch> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("preinit-watch".into()).spawn(move || {
            let mut wait = limit;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
                wait = AGAIN;
            }
        })?;
        Ok(Watch { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic; if it did, the guest has ended all the same.
            let _ = thread.join();
        }
    }
}
