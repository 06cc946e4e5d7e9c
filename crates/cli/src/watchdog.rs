//! `--timeout`: the guest is interrupted when its time is over.

use std::time::Duration;

use selvedge_runtime::{Deadline, InterruptHandle};

/// How long a host call may take to come back, after which the process ends.
const GRACE: Duration = Duration::from_millis(500);

/// Interrupts a store after a while, unless dropped before.
pub(crate) struct Watchdog {
    _interrupt: Deadline,
    _end: Deadline,
}

impl Watchdog {
    /// Starts the clock. A guest in a host call that cannot be interrupted, reading a large file for example, ends
    /// with the process, with `exit_code`.
    pub(crate) fn start(handle: InterruptHandle, timeout: Duration, exit_code: u8) -> std::io::Result<Watchdog> {
        let interrupt = Deadline::start(timeout, move || {
            handle.interrupt();
        })?;
        let end = Deadline::start(timeout.saturating_add(GRACE), move || {
            eprintln!("error: ended after {timeout:?}, the --timeout, while it waited for the host");
            std::process::exit(exit_code.into());
        })?;
        Ok(Watchdog { _interrupt: interrupt, _end: end })
    }
}
