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

/// A tenant's limits, and how much of them is in use, which is the same by its next limits.
pub(crate) struct Gate {
    pub(crate) limits: SiteLimits,
    instances: Arc<Semaphore>,
    waiting: Arc<AtomicU32>,
    /// Places in use that go when they are free: there were more before.
    leaving: Arc<AtomicU32>,
    rate: Option<Arc<Rate>>,
}

/// Permission to have an instance.
pub(crate) struct Admission {
    _instance: OwnedSemaphorePermit,
    _slot: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(limits: SiteLimits) -> Gate {
        let instances = Arc::new(Semaphore::new(limits.instances as usize));
        let rate = limits.requests_per_second.map(Rate::new).map(Arc::new);
        Gate { limits, instances, waiting: Arc::default(), leaving: Arc::default(), rate }
    }

    /// The same by other limits. Who has a place, or waits for one, does so by these, too: nobody gets one until there are
    /// fewer than these allow.
    pub(crate) fn limited_to(&self, limits: SiteLimits) -> Gate {
        let (before, after) = (self.limits.instances, limits.instances);
        self.instances.add_permits(after.saturating_sub(before) as usize);
        self.take_away(before.saturating_sub(after));
        let (instances, waiting) = (self.instances.clone(), self.waiting.clone());
        let same = self.limits.requests_per_second == limits.requests_per_second;
        let rate = if same { self.rate.clone() } else { limits.requests_per_second.map(Rate::new).map(Arc::new) };
        Gate { limits, instances, waiting, leaving: self.leaving.clone(), rate }
    }

    /// Takes places away; those in use as they become free, before anybody who asks later gets them.
    fn take_away(&self, count: u32) {
        let in_use = count - self.instances.forget_permits(count as usize) as u32;
        if in_use == 0 {
            return;
        }
        self.leaving.fetch_add(in_use, Ordering::Relaxed);
        let (instances, leaving) = (self.instances.clone(), self.leaving.clone());
        tokio::spawn(async move {
            if let Ok(places) = instances.acquire_many_owned(in_use).await {
                places.forget();
            }
            leaving.fetch_sub(in_use, Ordering::Relaxed);
        });
    }

    /// Counts a request that came `now`, if there are not too many of them.
    pub(crate) fn count(&self, now: Instant) -> Result<(), Refusal> {
        match self.rate.as_ref().filter(|rate| !rate.allows(now)) {
            Some(rate) => Err(Refusal::RateLimit(rate.per_second())),
            None => Ok(()),
        }
    }

    /// Admits a request that was counted to an instance, unless it would have to wait.
    pub(crate) fn admit_at_once(&self, slots: &Arc<Semaphore>) -> Option<Admission> {
        let instance = self.instances.clone().try_acquire_owned().ok()?;
        Some(Admission { _instance: instance, _slot: slots.clone().try_acquire_owned().ok()? })
    }

    /// The same, at once or after a while. `waiting` counts those of its site that wait.
    pub(crate) async fn admit(&self, slots: &Arc<Semaphore>, waiting: &AtomicU32) -> Result<Admission, Refusal> {
        if let Some(admission) = self.admit_at_once(slots) {
            return Ok(admission);
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
            Ok((Ok(instance), Ok(slot))) => Ok(Admission { _instance: instance, _slot: slot }),
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

    /// How many have an instance; while places are taken away, how many had when that began, at most.
    pub(crate) fn live(&self) -> u32 {
        let places = self.limits.instances.saturating_add(self.leaving.load(Ordering::Relaxed));
        places.saturating_sub(self.instances.available_permits() as u32)
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

    /// With a new configuration a tenant had all its places once more, beside those that were in use.
    #[tokio::test(start_paused = true)]
    async fn places_in_use_stay_so_when_limits_change() {
        let of = |instances| SiteLimits { instances, queue: 0, ..SiteLimits::default() };
        let (slots, waiting) = (Arc::new(Semaphore::new(100)), AtomicU32::new(0));
        let mut gate = Gate::new(of(2));
        let mut held = Vec::new();
        // How many there are, those that go first, and how many have a place once as many as can have asked.
        for (instances, leave, live) in [
            (2, 0, 2),
            (5, 0, 5),
            (5, 1, 5),
            (3, 0, 5),
            (3, 1, 4),
            (3, 1, 3),
            (3, 1, 3),
            (1, 0, 3),
            (4, 0, 4),
            (1, 3, 1),
            (1, 1, 1),
            (2, 0, 2),
        ] {
            gate = gate.limited_to(of(instances));
            held.drain(..leave);
            tokio::task::yield_now().await;
            while let Ok(admission) = gate.admit(&slots, &waiting).await {
                held.push(admission);
                assert!(held.len() <= 5, "{instances}");
            }
            assert_eq!(held.len(), live, "{instances} after {leave}");
        }
        drop(held);
        tokio::task::yield_now().await;
        assert_eq!((gate.live(), gate.waiting()), (0, 0));
    }

    /// Those that wait go on waiting in one queue, which is as long as it may be.
    #[tokio::test(start_paused = true)]
    async fn queues_and_rates_stay_when_limits_change() {
        let limits = SiteLimits { instances: 1, queue: 1, requests_per_second: Some(1), ..SiteLimits::default() };
        let (slots, waiting) = (Arc::new(Semaphore::new(100)), AtomicU32::new(0));
        let gate = Gate::new(limits);
        let (now, held) = (Instant::now(), gate.admit(&slots, &waiting).await.unwrap());
        gate.count(now).unwrap();
        let changed = gate.limited_to(SiteLimits { memory: crate::config::ByteCount(1), ..limits });
        assert_eq!(changed.count(now).unwrap_err().name(), "requests_per_second_limit");
        let queued = async { (gate.admit_at_once(&slots).is_none(), gate.admit(&slots, &waiting).await.is_ok()) };
        let late = async {
            let refused = changed.admit(&slots, &waiting).await.err().map(|refusal| refusal.name());
            drop(held);
            (refused, changed.waiting(), changed.live())
        };
        let (queued, late) = tokio::join!(queued, late);
        assert_eq!((queued, late), ((true, true), (Some("queue_limit"), 1, 1)));
        let faster = changed.limited_to(SiteLimits { requests_per_second: Some(5), ..limits });
        assert!((0..5).all(|_| faster.count(now).is_ok()) && faster.count(now).is_err());
    }
}
