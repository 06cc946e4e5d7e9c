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
    _instance: OwnedSemaphorePermit,
    _slot: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(limits: SiteLimits) -> Gate {
        let instances = Arc::new(Semaphore::new(limits.instances as usize));
        let rate = limits.requests_per_second.map(Rate::new);
        Gate { limits, instances, waiting: AtomicU32::new(0), rate }
    }

    /// Counts a request, if there are not too many of them.
    pub(crate) fn count(&self) -> Result<(), Refusal> {
        match self.rate.as_ref().filter(|rate| !rate.allows(Instant::now())) {
            Some(rate) => Err(Refusal::RateLimit(rate.per_second())),
            None => Ok(()),
        }
    }

    /// Admits a request that was counted to an instance, at once or after a while.
    pub(crate) async fn admit(&self, slots: &Arc<Semaphore>) -> Result<Admission, Refusal> {
        if let Ok(instance) = self.instances.clone().try_acquire_owned()
            && let Ok(slot) = slots.clone().try_acquire_owned()
        {
            return Ok(Admission { _instance: instance, _slot: slot });
        }
        let _place = self.queue()?;
        let both = async {
            let instance = self.instances.clone().acquire_owned().await;
            (instance, slots.clone().acquire_owned().await)
        };
        // In a box: whoever is admitted at once has no room for it.
        match Box::pin(tokio::time::timeout(QUEUE_WAIT_MAX, both)).await {
            Ok((Ok(instance), Ok(slot))) => Ok(Admission { _instance: instance, _slot: slot }),
            Ok(_) => Err(Refusal::Draining),
            Err(_) => Err(Refusal::Overloaded),
        }
    }

    /// A place in the queue, if there is one.
    fn queue(&self) -> Result<Place<'_>, Refusal> {
        let place = Place(&self.waiting);
        match self.waiting.fetch_add(1, Ordering::Relaxed) < self.limits.queue {
            true => Ok(place),
            false => Err(Refusal::QueueFull(self.limits.queue)),
        }
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

struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
