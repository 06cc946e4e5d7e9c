//! How often something may happen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// So often in a second, and no more than a second's worth at once.
pub(crate) struct Rate {
    per_second: u32,
    began: Instant,
    /// When the bucket will be empty again, in nanoseconds since the beginning.
    empty_ns: AtomicU64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Rate {
    pub(crate) fn new(per_second: u32) -> Rate {
        Rate { per_second, began: Instant::now(), empty_ns: AtomicU64::new(0) }
    }

    pub(crate) fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Whether it may happen once more; if so, it is counted.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        let Some(cost) = SECOND_NS.checked_div(self.per_second.into()) else { return false };
        let now = now.saturating_duration_since(self.began).as_nanos() as u64;
        let take = |empty: u64| Some(empty.max(now) + cost).filter(|empty| *empty <= now + SECOND_NS);
        self.empty_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_allows_a_seconds_worth_at_once_and_then_its_pace() {
        let rate = Rate::new(10);
        let start = rate.began;
        let allowed =
            |at_ms: u64, tries: u32| (0..tries).filter(|_| rate.allows(start + Duration::from_millis(at_ms))).count();
        assert_eq!(allowed(0, 50), 10);
        assert_eq!(allowed(99, 50), 0);
        assert_eq!(allowed(100, 50), 1);
        assert_eq!(allowed(400, 50), 3);
        assert_eq!(allowed(10_000, 50), 10);
        assert!(!Rate::new(0).allows(start));
    }
}
