//! `--timeout`: a thread that interrupts the guest when its time is over.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use selvedge_runtime::InterruptHandle;

/// How long to wait before asking again: a request can miss the instant in which guest code is entered.
const AGAIN: Duration = Duration::from_millis(10);

/// How long a host call may take to come back, after which the process ends.
const GRACE: Duration = Duration::from_millis(500);

/// Interrupts a store after a while, unless dropped before.
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the clock. A guest that waits in a host call, for input for example, cannot be interrupted there:
    /// then the process ends with `exit_code`.
    pub(crate) fn start(handle: InterruptHandle, timeout: Duration, exit_code: u8) -> std::io::Result<Watchdog> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            let begun = Instant::now();
            let mut wait = timeout;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                if begun.elapsed() > timeout.saturating_add(GRACE) {
                    eprintln!("error: ended after {timeout:?}, the --timeout, while it waited for the host");
                    std::process::exit(exit_code.into());
                }
                handle.interrupt();
                wait = AGAIN;
            }
        })?;
        Ok(Watchdog { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It cannot panic; if it did, there would be nothing to do about it here.
            let _ = thread.join();
        }
    }
}
