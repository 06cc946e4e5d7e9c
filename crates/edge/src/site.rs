//! Tenants, their sites, and the versions of each that answer now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Mutex, watch};

use crate::admission::Gate;
use crate::bundle::Assets;
use crate::config::TenantConfig;
use crate::history::History;
use crate::logs::{ServerLog, SiteLog};
use crate::metrics::{Counters, VersionCounters};
use crate::name::Name;
use crate::outbound::{Asked, Destination, Outbound, Ways};
use crate::policy::TenantPolicy;
use crate::reaper::Loaded;
use crate::store::SiteKey;
use crate::turns::Share;

/// Whose sites they are.
pub(crate) struct Tenant {
    pub(crate) name: Name,
    pub(crate) gate: ArcSwap<Gate>,
    pub(crate) share: Arc<Share>,
    pub(crate) policy: ArcSwapOption<TenantPolicy>,
    /// None if its programs may ask nobody.
    pub(crate) outbound: ArcSwapOption<Outbound>,
    /// By whichever list.
    pub(crate) asked: Asked,
}

impl Tenant {
    pub(crate) fn new(config: &TenantConfig) -> Tenant {
        let gate = ArcSwap::from_pointee(Gate::new(config.limits));
        let share = Arc::new(Share::new(config.weight.0));
        let (policy, outbound) = (ArcSwapOption::empty(), ArcSwapOption::empty());
        Tenant { name: config.name.clone(), gate, share, policy, outbound, asked: Asked::default() }
    }

    /// From now on its programs may ask these servers. Requests under way keep what they have.
    pub(crate) fn may_ask(&self, destinations: &[Destination], ways: &Arc<Ways>) {
        if !self.outbound.load().as_ref().is_some_and(|outbound| outbound.is_for(destinations)) {
            let some = !destinations.is_empty();
            let whose = (&self.name, &self.share, &self.asked);
            self.outbound.store(some.then(|| Arc::new(Outbound::new(whose, destinations, ways))));
        }
    }
}

/// Something that answers for some hosts.
pub(crate) struct Site {
    pub(crate) key: SiteKey,
    pub(crate) tenant: Arc<Tenant>,
    /// None until a version could be loaded.
    serving: ArcSwapOption<Serving>,
    /// Whether it is known what answers, be it nothing.
    settled: AtomicBool,
    /// The same, for those who wait for it.
    settling: watch::Sender<bool>,
    /// Whether somebody waits for it to be settled.
    wanted: AtomicBool,
    /// Whether it could not be loaded, and is tried again now and then.
    stuck: AtomicBool,
    /// Whether it is served, or was.
    published: AtomicBool,
    /// Held by whoever changes it, from reading the record to the switch. All that are of one key have the same.
    pub(crate) turn: Arc<Mutex<()>>,
    pub(crate) log: Arc<SiteLog>,
    pub(crate) counters: Counters,
    pub(crate) history: History,
}

/// An instance that was stopped before its end, as long as it is there.
pub(crate) struct Parked(Arc<Site>);

impl Parked {
    pub(crate) fn new(site: &Arc<Site>) -> Parked {
        site.counters.parked.fetch_add(1, Ordering::Relaxed);
        Parked(site.clone())
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.counters.parked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What answers.
pub(crate) struct Serving {
    active: Arc<Deployment>,
    canary: Option<(Arc<Deployment>, u8)>,
    asked: AtomicU32,
}

/// A version, ready to run.
pub(crate) struct Deployment {
    pub(crate) version: u32,
    pub(crate) content: Content,
    pub(crate) counters: VersionCounters,
}

/// What a version answers with; at least one of them.
#[derive(Clone)]
pub(crate) struct Content {
    /// Asked for what is no asset.
    pub(crate) program: Option<Arc<Loaded>>,
    pub(crate) assets: Option<Arc<Assets>>,
}

impl Deployment {
    pub(crate) fn new(version: u32, content: Content) -> Arc<Deployment> {
        Arc::new(Deployment { version, content, counters: VersionCounters::default() })
    }
}

impl Serving {
    /// One version, and perhaps another for so many percent of the requests.
    pub(crate) fn new(active: Arc<Deployment>, canary: Option<(Arc<Deployment>, u8)>) -> Serving {
        Serving { active, canary, asked: AtomicU32::new(0) }
    }

    /// The version for the next request. The canary's are spread evenly: of any hundred it gets its share, but for two or three.
    fn pick(&self) -> &Arc<Deployment> {
        let Some((canary, percent)) = &self.canary else { return &self.active };
        // Multiples of the golden ratio lie evenly in any interval, and follow no pattern of a client's.
        let at = self.asked.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9);
        if u64::from(at) * 100 < u64::from(*percent) << 32 { canary } else { &self.active }
    }

    /// The version that answers, and the canary with its percents.
    pub(crate) fn versions(&self) -> (u32, Option<(u32, u8)>) {
        (self.active.version, self.canary.as_ref().map(|(canary, percent)| (canary.version, *percent)))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        std::iter::once(&self.active).chain(self.canary.iter().map(|(canary, _)| canary))
    }
}

impl Site {
    pub(crate) fn new(key: SiteKey, tenant: Arc<Tenant>, turn: Arc<Mutex<()>>, log: ServerLog) -> Site {
        let log = Arc::new(SiteLog::new(key.to_string(), log));
        let (settling, _) = watch::channel(false);
        Site {
            key,
            tenant,
            serving: ArcSwapOption::empty(),
            settled: AtomicBool::new(false),
            settling,
            wanted: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            published: AtomicBool::new(false),
            turn,
            log,
            counters: Counters::default(),
            history: History::default(),
        }
    }

    /// The version that answers the next request.
    pub(crate) fn pick(&self) -> Option<Arc<Deployment>> {
        self.serving.load().as_ref().map(|serving| serving.pick().clone())
    }

    /// What answers now.
    pub(crate) fn serving(&self) -> Option<Arc<Serving>> {
        self.serving.load_full()
    }

    /// A version that answers now.
    pub(crate) fn deployment(&self, version: u32) -> Option<Arc<Deployment>> {
        self.serving()?.all().find(|deployment| deployment.version == version).cloned()
    }

    /// From now on this answers; `None` if nothing can.
    pub(crate) fn settle(&self, serving: Option<Serving>) {
        self.serving.store(serving.map(Arc::new));
        self.settled.store(true, Ordering::Release);
        self.settling.send_replace(true);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// It could not be loaded, and will be tried again. Whether that is new.
    pub(crate) fn get_stuck(&self) -> bool {
        !self.stuck.swap(true, Ordering::Relaxed)
    }

    /// Whether it waits to be tried again.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.is_settled() && self.stuck.load(Ordering::Relaxed)
    }

    /// Whether it is served, or was.
    pub(crate) fn was_published(&self) -> bool {
        self.published.load(Ordering::Relaxed)
    }

    /// It is served from now on.
    pub(crate) fn mark_published(&self) {
        self.published.store(true, Ordering::Relaxed);
    }

    /// Whether this is the first who wants it to be settled.
    pub(crate) fn is_first_to_want(&self) -> bool {
        !self.wanted.swap(true, Ordering::Relaxed)
    }

    /// Waits until it is settled.
    pub(crate) async fn until_settled(&self) {
        // The sender is this site's own: it is not gone.
        let _ = self.settling.subscribe().wait_for(|settled| *settled).await;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::Config;

    /// One that nothing answers for yet.
    pub(crate) fn site(name: &str) -> Arc<Site> {
        let tenant = Arc::new(Tenant::new(&Config::default().tenant_list()[0]));
        let key = SiteKey { tenant: tenant.name.clone(), site: Name::new(name).unwrap() };
        Arc::new(Site::new(key, tenant, Arc::default(), ServerLog::silent()))
    }

    #[test]
    fn a_canary_gets_its_share_of_any_hundred() {
        let of = |version| Deployment::new(version, Content { program: None, assets: None });
        for percent in [0, 1, 7, 50, 99, 100] {
            let serving = Serving::new(of(1), Some((of(2), percent)));
            for hundred in 0..50 {
                let canary = (0..100).filter(|_| serving.pick().version == 2).count();
                assert!(canary.abs_diff(percent.into()) <= 3, "{percent} %: {canary} of hundred {hundred}");
            }
        }
        let exact = |percent| {
            let serving = Serving::new(of(1), Some((of(2), percent)));
            (0..10_000).filter(|_| serving.pick().version == 2).count()
        };
        assert_eq!((exact(0), exact(100)), (0, 10_000));
    }
}
