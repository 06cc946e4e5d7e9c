//! Who may have an instance: first the tenant's own limits, then a slot of the server.
//!
//! Whoever may not have one at once waits in a queue of bounded length for a bounded time, or is told to come back.
//! What was admitted holds its place until it is dropped, after its instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{QUEUE_WAIT_MAX, SiteLimits};
use crate::rate::Rate;
use crate::refusal::Refusal;

/// A tenant's limits, and how much of them is in use.
pub(crate) struct Gate {
    pub(crate) limits: SiteLimits,
    instances: Arc<Semaphore>,
    waiting: AtomicU32,
    rate: Option<Rate>,
}

/// Permission to have an instance.
pub(crate) struct Admission {
    /// Whether it was given without waiting.
    pub(crate) at_once: bool,
    _instance: OwnedSemaphorePermit,
    _slot: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(limits: SiteLimits) -> Gate {
        let instances = Arc::new(Semaphore::new(limits.instances as usize));
        let rate = limits.requests_per_second.map(Rate::new);
        Gate { limits, instances, waiting: AtomicU32::new(0), rate }
    }

    /// Counts a request that came `now`, if there are not too many of them.
    pub(crate) fn count(&self, now: Instant) -> Result<(), Refusal> {
        match self.rate.as_ref().filter(|rate| !rate.allows(now)) {
            Some(rate) => Err(Refusal::RateLimit(rate.per_second())),
            None => Ok(()),
        }
    }

    /// Admits a request that was counted to an instance, at once or after a while. `waiting` counts those of its site
    /// that wait.
    pub(crate) async fn admit(&self, slots: &Arc<Semaphore>, waiting: &AtomicU32) -> Result<Admission, Refusal> {
        if let Ok(instance) = self.instances.clone().try_acquire_owned()
            && let Ok(slot) = slots.clone().try_acquire_owned()
        {
            return Ok(Admission { at_once: true, _instance: instance, _slot: slot });
        }
        let _places = (self.queue()?, Place::new(waiting));
        let mut within_limits = false;
        let both = async {
            let instance = self.instances.clone().acquire_owned().await;
            within_limits = true;
            (instance, slots.clone().acquire_owned().await)
        };
        // In a box: whoever is admitted at once has no room for it.
        let admitted = Box::pin(tokio::time::timeout(QUEUE_WAIT_MAX, both)).await;
        match admitted {
            Ok((Ok(instance), Ok(slot))) => Ok(Admission { at_once: false, _instance: instance, _slot: slot }),
            Ok(_) => Err(Refusal::Draining),
            Err(_) if within_limits => Err(Refusal::Overloaded),
            Err(_) => Err(Refusal::InstancesBusy(self.limits.instances)),
        }
    }

    /// A place in the queue, if there is one.
    fn queue(&self) -> Result<Place<'_>, Refusal> {
        let (place, before) = Place::after(&self.waiting);
        if before < self.limits.queue { Ok(place) } else { Err(Refusal::QueueFull(self.limits.queue)) }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many have an instance.
    pub(crate) fn live(&self) -> u32 {
        self.limits.instances.saturating_sub(self.instances.available_permits() as u32)
    }
}

/// One of those that wait.
struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    fn new(waiting: &'a AtomicU32) -> Place<'a> {
        Place::after(waiting).0
    }

    /// A place, and how many were there before.
    fn after(waiting: &'a AtomicU32) -> (Place<'a>, u32) {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        (Place(waiting), before)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_for_what() {
        let gate = Gate::new(SiteLimits { instances: 1, queue: 1, ..SiteLimits::default() });
        let (slots, waiting) = (Arc::new(Semaphore::new(1)), AtomicU32::new(0));
        let refused = async || gate.admit(&slots, &waiting).await.err().map(|refusal| refusal.name());
        let held = gate.admit(&slots, &waiting).await.unwrap();
        let (first, second) = tokio::join!(refused(), async {
            let second = refused().await;
            (second, waiting.load(Ordering::Relaxed))
        });
        assert_eq!((first, second), (Some("instances_limit"), (Some("queue_limit"), 1)));
        drop(held);
        let taken = slots.clone().acquire_owned().await.unwrap();
        assert_eq!(refused().await, Some("overloaded"));
        drop(taken);
        assert_eq!(refused().await, None);
        assert_eq!((gate.waiting(), gate.live(), waiting.load(Ordering::Relaxed)), (0, 0, 0));
    }
}
