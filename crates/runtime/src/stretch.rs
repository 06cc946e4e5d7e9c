//! CPU time for little more than a look at the clock on the wall.
//!
//! To ask the kernel what a thread has used is a system call, and takes longer than many a call of a guest. But in no
//! time does a thread use more CPU time than passes. So a short stretch of running is charged with what passed, and only
//! a longer one with what the kernel counts. What the kernel had counted at its beginning need not be known exactly,
//! either: an earlier count will do, if it is not too old.
//!
//! So what is charged is never less than what was used, and more only by what the thread did otherwise, or waited for a
//! processor: less than [`SHORT`] for a short stretch, less than [`STALE`] for a longer one.

use std::cell::Cell;
use std::time::{Duration, Instant};

use selvedge_native::CpuClock;

/// Stretches that are charged with the time that passed.
const SHORT: Duration = Duration::from_micros(100);
/// How long ago the kernel may have been asked.
const STALE: Duration = Duration::from_millis(1);

thread_local! {
    /// When the kernel was asked last, and what this thread had used.
    static ASKED: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

fn ask(now: Instant) -> Duration {
    let used = CpuClock::this_thread();
    ASKED.set(Some((now, used)));
    used
}

/// What a thread runs without a break, and is charged with in CPU time: never with less than it used, nor with more than
/// passed; for less than a tenth of a millisecond with what passed, else with one millisecond more than it used, at most.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    began: Instant,
    /// What the thread had used at its beginning, or a little before.
    used: Duration,
}

impl Stretch {
    /// It begins `now`, for those who have just looked at the clock.
    #[inline]
    pub fn begin(now: Instant) -> Stretch {
        let fresh = ASKED.get().filter(|(asked, _)| now.saturating_duration_since(*asked) < STALE);
        let used = fresh.map_or_else(|| ask(now), |(_, used)| used);
        Stretch { began: now, used }
    }

    /// What this thread's clock shows when it has run for so long, or a little before.
    pub(crate) fn until(&self, length: Duration) -> Option<Duration> {
        self.used.checked_add(length)
    }

    /// It ends, on the thread that it began on: what is charged.
    #[inline]
    pub fn end(self) -> Duration {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.began);
        if passed < SHORT { passed } else { passed.min(ask(now).saturating_sub(self.used)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin(time: Duration) {
        let began = CpuClock::this_thread();
        while CpuClock::this_thread() - began < time {}
    }

    #[test]
    fn what_is_charged_is_never_less_than_what_was_used_and_hardly_more() {
        for micros in [0, 10, 50, 150, 500, 1_500, 3_000, 20] {
            for _ in 0..20 {
                let before = CpuClock::this_thread();
                let stretch = Stretch::begin(Instant::now());
                let inside = CpuClock::this_thread();
                spin(Duration::from_micros(micros));
                let used = CpuClock::this_thread() - inside;
                let charged = stretch.end();
                let most = CpuClock::this_thread() - before + STALE;
                assert!((used..=most).contains(&charged), "{charged:?} for {used:?} of {micros} us");
            }
        }
    }

    #[test]
    fn what_is_waited_for_is_not_charged_beyond_the_bounds() {
        let before = CpuClock::this_thread();
        let stretch = Stretch::begin(Instant::now());
        std::thread::sleep(Duration::from_millis(30));
        let charged = stretch.end();
        let most = CpuClock::this_thread() - before + STALE;
        assert!(charged <= most, "{charged:?}, not {most:?}");
    }
}
