//! Tenants, their sites, and the version of each that answers now.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::admission::Gate;
use crate::config::TenantConfig;
use crate::guest::Program;
use crate::logs::{ServerLog, SiteLog};
use crate::metrics::Counters;
use crate::name::Name;
use crate::store::SiteKey;

/// Whose sites they are.
pub(crate) struct Tenant {
    pub(crate) name: Name,
    pub(crate) gate: ArcSwap<Gate>,
}

impl Tenant {
    pub(crate) fn new(config: &TenantConfig) -> Tenant {
        Tenant { name: config.name.clone(), gate: ArcSwap::from_pointee(Gate::new(config.limits)) }
    }
}

/// Something that answers for some hosts.
pub(crate) struct Site {
    pub(crate) key: SiteKey,
    pub(crate) tenant: Arc<Tenant>,
    /// None until a version could be loaded.
    pub(crate) active: ArcSwapOption<Deployment>,
    pub(crate) log: Arc<SiteLog>,
    pub(crate) counters: Counters,
}

/// A version, ready to run.
pub(crate) struct Deployment {
    pub(crate) version: u32,
    pub(crate) program: Arc<dyn Program>,
}

impl Site {
    pub(crate) fn new(key: SiteKey, tenant: Arc<Tenant>, log: ServerLog) -> Site {
        let log = Arc::new(SiteLog::new(key.to_string(), log));
        Site { key, tenant, active: ArcSwapOption::empty(), log, counters: Counters::default() }
    }
}
