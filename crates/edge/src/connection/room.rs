//! Room that all connections share: the less of it is free, the less may a connection have, so that one that comes new has some
//! (as in `outbound/shares.rs`).

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a connection may have of what is free.
const PART: usize = 64;

/// So much, and what of it is taken.
pub(super) struct Room {
    taken: AtomicUsize,
    max: usize,
}

impl Room {
    pub(super) const fn new(max: usize) -> Room {
        Room { taken: AtomicUsize::new(0), max }
    }

    /// How much a connection may have now, within these bounds.
    pub(super) fn share(&self, bounds: RangeInclusive<usize>) -> usize {
        (self.max.saturating_sub(self.taken()) / PART).clamp(*bounds.start(), *bounds.end())
    }

    pub(super) fn take(&self, count: usize) {
        self.taken.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}
