//! What is known of a version's programs: for how long they compute.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Programs that usually compute longer take turns from their beginning. To hand one over costs some microseconds.
const SHORT_NS: u32 = 20_000;

/// For so long a version's programs take turns from their beginning after one has used up a slice: many may have come to
/// do the same.
pub(super) const SUSPECT: Duration = Duration::from_secs(10);
/// The same after one that seems to have: for about as long as it takes until its first turn tells. What comes meanwhile,
/// on other connections perhaps, would have its first slice here, and all who are answered here would wait for each.
const DOUBT: Duration = Duration::from_millis(5);

/// For how long a version's programs usually compute.
pub(crate) struct Usual {
    /// The recent ones count most.
    mean_ns: AtomicU32,
    made: Instant,
    /// Since it was made, in nanoseconds.
    suspect_until_ns: AtomicU64,
}

impl Default for Usual {
    fn default() -> Usual {
        Usual { mean_ns: AtomicU32::new(0), made: Instant::now(), suspect_until_ns: AtomicU64::new(0) }
    }
}

impl Usual {
    /// Of one that was much longer than usual no more is noted than that: the kernel may have let others go first.
    pub(super) fn note(&self, took: Duration) {
        let took_ns = took.as_nanos().min(4 * u128::from(SHORT_NS)) as u32;
        let before = self.mean_ns.load(Ordering::Relaxed);
        // What is noted at the same time elsewhere may be lost.
        self.mean_ns.store(before - before / 8 + took_ns / 8, Ordering::Relaxed);
    }

    /// One has used up a slice.
    pub(super) fn suspect(&self, now: Instant) {
        self.suspect_until(now + SUSPECT);
    }

    /// One has used up a slice, or the kernel let others go first meanwhile.
    pub(super) fn doubt(&self, now: Instant) {
        self.suspect_until(now + DOUBT);
    }

    fn suspect_until(&self, until: Instant) {
        let until = until.saturating_duration_since(self.made);
        self.suspect_until_ns.fetch_max(until.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(super) fn is_long(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.made).as_nanos() as u64;
        self.mean_ns.load(Ordering::Relaxed) > SHORT_NS || since < self.suspect_until_ns.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slice_is_suspect_for_a_while_and_what_is_usual_counts_from_then_on() {
        let (usual, start) = (Usual::default(), Instant::now());
        usual.suspect(start);
        assert!(usual.is_long(start) && usual.is_long(start + SUSPECT - Duration::from_secs(1)));
        let later = start + SUSPECT;
        // A doubt is soon over, and takes nothing from what is known.
        usual.doubt(later - DOUBT);
        assert!(usual.is_long(later - DOUBT) && !usual.is_long(later));
        // That one is much longer than the others says nothing of the next.
        usual.note(Duration::from_secs(10));
        assert!(!usual.is_long(later));
        let mut noted = |nanoseconds: u32| {
            (0..100).for_each(|_| usual.note(Duration::from_nanos(nanoseconds.into())));
            usual.is_long(later)
        };
        assert_eq!([SHORT_NS / 2, 2 * SHORT_NS, SHORT_NS / 2].map(&mut noted), [false, true, false]);
    }
}
