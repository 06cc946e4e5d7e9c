//! A tenant's sites on its first page: drawn once a second, however many look, and where nobody waits to be answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use super::events::EVERY;
use super::pages::{self, Rows};
use crate::deploy;
use crate::error::EdgeError;
use crate::name::Name;
use crate::route::Routes;
use crate::server::Shared;
use crate::site::Tenant;

/// What was drawn last of each tenant that somebody looks at.
#[derive(Default)]
pub(super) struct Overviews(Mutex<BTreeMap<Name, Arc<Turn<Option<Kept>>>>>);

struct Kept {
    rows: Arc<Rows>,
    drawn: Instant,
    /// As they were then: whatever is deployed replaces them.
    routes: Weak<Routes>,
}

impl Kept {
    fn is_new(&self) -> bool {
        self.drawn.elapsed() < EVERY
    }
}

impl Overviews {
    /// The tenant's sites as they are, or were less than a second ago.
    pub(super) async fn rows(&self, server: &Arc<Shared>, tenant: &Tenant) -> Result<Arc<Rows>, EdgeError> {
        let (server, name) = (server.clone(), tenant.name.clone());
        let routes = server.routes.load_full();
        self.drawn(&tenant.name, &routes.clone(), move || pages::rows(&server, &routes, &name)).await
    }

    async fn drawn(
        &self,
        tenant: &Name,
        routes: &Arc<Routes>,
        draw: impl FnOnce() -> Rows + Send + 'static,
    ) -> Result<Arc<Rows>, EdgeError> {
        let kept = self.of(tenant);
        // Of several who look at the same moment one draws.
        let mut kept = kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_new() && kept.routes.as_ptr() == Arc::as_ptr(routes)) {
            return Ok(kept.rows.clone());
        }
        let (began, routes) = (Instant::now(), Arc::downgrade(routes));
        let rows = deploy::blocking(move || Ok(Arc::new(draw()))).await?;
        *kept = Some(Kept { rows: rows.clone(), drawn: began, routes });
        Ok(rows)
    }

    fn of(&self, tenant: &Name) -> Arc<Turn<Option<Kept>>> {
        // Nothing below leaves it half changed.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody looks at any more is not kept; what is being drawn is looked at.
        let is_seen =
            |kept: &Turn<Option<Kept>>| kept.try_lock().map_or(true, |kept| kept.as_ref().is_some_and(Kept::is_new));
        all.retain(|name, kept| name == tenant || is_seen(kept));
        all.entry(tenant.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Each browser had each tenant's sites looked through, and up to ten thousand rows drawn, each second.
    #[tokio::test(start_paused = true)]
    async fn who_looks_at_the_same_moment_sees_the_same_and_what_was_deployed_is_there_at_once() {
        let (overviews, routes) = (Overviews::default(), [Arc::<Routes>::default(), Arc::default()]);
        let times = Arc::<AtomicUsize>::default();
        let look = async |tenant: &str, routes: &Arc<Routes>| {
            let times = times.clone();
            let draw = move || {
                times.fetch_add(1, Ordering::Relaxed);
                Rows::default()
            };
            overviews.drawn(&Name::new(tenant).unwrap(), routes, draw).await.unwrap();
        };
        let drawn = || times.swap(0, Ordering::Relaxed);
        tokio::join!(look("a", &routes[0]), look("a", &routes[0]), look("a", &routes[0]));
        assert_eq!(drawn(), 1);
        tokio::join!(look("a", &routes[1]), look("a", &routes[1]));
        assert_eq!(drawn(), 1, "something was deployed");
        look("b", &routes[1]).await;
        assert_eq!((drawn(), overviews.0.lock().unwrap().len()), (1, 2), "another tenant's are others");
        tokio::time::advance(EVERY).await;
        look("b", &routes[1]).await;
        assert_eq!((drawn(), overviews.0.lock().unwrap().len()), (1, 1), "nobody has looked at the first");
    }
}
