//! Answers without an end of their own: logs that are followed, pages that are watched.
//!
//! Each holds a connection, and whoever may only look can ask for them. So there are places for fewer of them than for
//! connections, and for fewer still of one tenant: requests that end always have room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;

use super::reply::Failure;
use crate::limits::{ADMIN_STREAMS_MAX, ADMIN_STREAMS_OF_TENANT_MAX};
use crate::name::Name;

/// How many there are, by the tenant of the token that they were asked for with; none is the operators'.
#[derive(Default)]
pub(super) struct Streams(Mutex<BTreeMap<Option<Name>, usize>>);

/// A place for one of them, until it is dropped.
pub(super) struct Place {
    streams: Arc<Streams>,
    whose: Option<Name>,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<Name>, usize>> {
        // Nothing below leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(self: &Arc<Streams>, whose: Option<Name>) -> Result<Place, Failure> {
        let mut held = self.lock();
        if held.get(&whose).is_some_and(|own| *own >= ADMIN_STREAMS_OF_TENANT_MAX) {
            let message =
                format!("{ADMIN_STREAMS_OF_TENANT_MAX} logs are followed, or pages watched, already; end one");
            return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, message));
        }
        if held.values().sum::<usize>() >= ADMIN_STREAMS_MAX {
            let message = "as many logs are followed, or pages watched, as this server has room for; try again later";
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        *held.entry(whose.clone()).or_default() += 1;
        Ok(Place { streams: self.clone(), whose })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.streams.lock();
        if let Some(own) = held.get_mut(&self.whose) {
            *own -= 1;
            held.retain(|_, own| *own > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_left_is_free_and_nothing_of_it_is_kept() {
        let streams = Arc::<Streams>::default();
        let name = |text: &str| Some(Name::new(text).unwrap());
        let status = |whose: Option<Name>| streams.enter(whose).err().map(|failure| failure.status.as_u16());
        let mut held: Vec<_> = (0..ADMIN_STREAMS_OF_TENANT_MAX).map(|_| streams.enter(name("a")).unwrap()).collect();
        assert_eq!((status(name("a")), status(name("b")), status(None)), (Some(429), None, None));
        held.pop();
        assert_eq!(status(name("a")), None);
        while let Ok(place) = streams.enter(name(&format!("t{}", held.len() / ADMIN_STREAMS_OF_TENANT_MAX))) {
            held.push(place);
        }
        assert_eq!((held.len(), status(None)), (ADMIN_STREAMS_MAX, Some(503)));
        held.clear();
        assert!(streams.lock().is_empty());
    }
}
