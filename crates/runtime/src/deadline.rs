//! A limit on time: a thread that acts when it is over.
//!
//! One thread each: for commands and tools. A server has a timer of its own and interrupts by handle.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Does something after a while, unless dropped before. To end a guest:
/// `Deadline::start(limit, move || { handle.interrupt(); })`, with [`crate::Store::interrupt_handle`].
#[derive(Debug)]
pub struct Deadline {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Deadline {
    /// Starts the clock.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn start(after: Duration, action: impl FnOnce() + Send + 'static) -> io::Result<Deadline> {
        let (stop, stopped) = mpsc::channel();
        let thread = Builder::new().name("deadline".into()).spawn(move || {
            if stopped.recv_timeout(after) == Err(RecvTimeoutError::Timeout) {
                action();
            }
        })?;
        Ok(Deadline { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Whether the action panicked is its own affair.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_acts_once_or_not_at_all() {
        let (say, said) = mpsc::channel();
        let again = say.clone();
        let never = Deadline::start(Duration::from_secs(3600), move || say.send("never").unwrap()).unwrap();
        drop(never);
        let soon = Deadline::start(Duration::ZERO, move || again.send("soon").unwrap()).unwrap();
        assert_eq!(said.recv(), Ok("soon"));
        drop(soon);
        assert!(said.recv().is_err(), "nobody is left to say anything");
    }
}
