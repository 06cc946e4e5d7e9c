//! Bounds on time and memory, for input that asks for too much.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A mebibyte.
pub(crate) const MIB: u64 = 1 << 20;
/// Longer than anything takes on a busy machine without optimisation.
const TIME_MAX: Duration = Duration::from_secs(60);

/// One at a time, so that each measures its own memory.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs something on a thread of its own and fails if it panics, takes too long, or the process ever has more
/// memory than this meanwhile.
///
/// Other tests run beside it and have some too: bounds are generous.
pub(crate) fn assert_bounded(what: &str, bytes_max: u64, work: impl FnOnce() + Send + 'static) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    // The peak from here on, not since the process began; without the right to ask for that it stays as it was.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (sender, done) = channel();
    let thread = std::thread::spawn(move || {
        work();
        sender.send(())
    });
    match done.recv_timeout(TIME_MAX) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => panic!("{what}: still at it after {TIME_MAX:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("{what}: {:?}", thread.join().expect_err("it panicked")),
    }
    let peak = peak_bytes();
    println!("{what}: {:.1} s, {} MiB", start.elapsed().as_secs_f32(), peak / MIB);
    assert!(peak <= bytes_max, "{what}: took {} MiB, more than {}", peak / MIB, bytes_max / MIB);
}

/// The most this process has had resident since that was last cleared.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
