//! Clocks: the host's, or a time that stands still.

use std::cell::OnceCell;

use rustix::time::{ClockId, clock_getres, clock_gettime};
use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::errno::{Answer, Errno};
use crate::memory::check;

/// Which time instances see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Clocks {
    /// The host's.
    #[default]
    System,
    /// For runs that must not differ: time starts here and passes only by being looked at and by waiting,
    /// which takes no real time.
    Fixed {
        /// Nanoseconds since 1970 at the start.
        realtime_ns: u64,
        /// How much later it is each time a guest looks.
        step_ns: u64,
    },
}

/// What a guest's monotonic clock shows when it first looks. Not 0: programs subtract from it. The host's value is
/// not the guest's to know.
const MONOTONIC_START_NS: u64 = 1 << 50;

/// The clocks of one instance.
#[derive(Debug)]
pub(crate) struct Time {
    clocks: Clocks,
    /// The host's monotonic clock when the guest first looked; most never do.
    start_ns: OnceCell<u64>,
    /// How much time has passed, with fixed clocks.
    passed_ns: u64,
}

/// The clocks there are. CPU time is not: threads serve many instances.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    Realtime,
    Monotonic,
}

impl Clock {
    /// A guest's clock id.
    pub(crate) fn parse(id: u32) -> Answer<Clock> {
        match id {
            0 => Ok(Clock::Realtime),
            1 => Ok(Clock::Monotonic),
            _ => Err(Errno::Inval),
        }
    }

    fn host(self) -> ClockId {
        match self {
            Clock::Realtime => ClockId::Realtime,
            Clock::Monotonic => ClockId::Monotonic,
        }
    }
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64)
}

impl Time {
    pub(crate) fn new(clocks: Clocks) -> Time {
        Time { clocks, start_ns: OnceCell::new(), passed_ns: 0 }
    }

    /// What a clock shows.
    pub(crate) fn now_ns(&self, clock: Clock) -> u64 {
        match (self.clocks, clock) {
            (Clocks::System, Clock::Realtime) => nanoseconds(clock_gettime(ClockId::Realtime)),
            (Clocks::System, Clock::Monotonic) => {
                let now_ns = nanoseconds(clock_gettime(ClockId::Monotonic));
                now_ns - self.start_ns.get_or_init(|| now_ns) + MONOTONIC_START_NS
            }
            (Clocks::Fixed { realtime_ns, .. }, Clock::Realtime) => realtime_ns.saturating_add(self.passed_ns),
            (Clocks::Fixed { .. }, Clock::Monotonic) => MONOTONIC_START_NS.saturating_add(self.passed_ns),
        }
    }

    /// Whether waiting takes no time; then it is over, and so much later.
    pub(crate) fn skip(&mut self, duration_ns: u64) -> bool {
        let fixed = self.clocks != Clocks::System;
        if fixed {
            self.passed_ns = self.passed_ns.saturating_add(duration_ns);
        }
        fixed
    }

    /// Whether time passes by itself.
    pub(crate) fn is_fixed(&self) -> bool {
        self.clocks != Clocks::System
    }

    fn look(&mut self, clock: Clock) -> u64 {
        let now = self.now_ns(clock);
        if let Clocks::Fixed { step_ns, .. } = self.clocks {
            self.skip(step_ns);
        }
        now
    }

    fn resolution_ns(&self, clock: Clock) -> u64 {
        match self.clocks {
            Clocks::System => nanoseconds(clock_getres(clock.host())).max(1),
            Clocks::Fixed { step_ns, .. } => step_ns.max(1),
        }
    }
}

impl Wasi {
    pub(crate) fn clock_res_get(&mut self, mem: &mut [u8], id: u32, resolution: GuestPtr<u64>) -> Answer {
        let clock = Clock::parse(id)?;
        Ok(resolution.write(mem, &self.time.resolution_ns(clock))?)
    }

    pub(crate) fn clock_time_get(&mut self, mem: &mut [u8], id: u32, _precision: u64, time: GuestPtr<u64>) -> Answer {
        let clock = Clock::parse(id)?;
        check(mem, time)?;
        Ok(time.write(mem, &self.time.look(clock))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_time_passes_by_looking_and_waiting() {
        let mut time = Time::new(Clocks::Fixed { realtime_ns: 1_000, step_ns: 10 });
        let start = time.now_ns(Clock::Monotonic);
        assert_eq!([time.look(Clock::Realtime), time.look(Clock::Realtime)], [1_000, 1_010]);
        assert!(time.skip(100));
        assert_eq!(time.now_ns(Clock::Realtime), 1_120);
        assert_eq!(time.now_ns(Clock::Monotonic), start + 120);
    }

    #[test]
    fn system_time_goes_on() {
        let mut time = Time::new(Clocks::System);
        let first = time.look(Clock::Monotonic);
        assert_eq!(first, MONOTONIC_START_NS);
        std::thread::sleep(std::time::Duration::from_nanos(1));
        assert!(time.look(Clock::Monotonic) > first);
        assert!(time.look(Clock::Realtime) > 1_600_000_000_000_000_000);
        assert!(!time.skip(1));
    }
}
