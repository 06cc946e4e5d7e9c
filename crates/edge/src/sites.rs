//! The sites that are served: which there are, and where requests for them go. Both are changed here alone.
//!
//! Invariants:
//!
//! * a site that is served has the tenant that is configured now: a change that was begun for another publishes nothing;
//! * of a site there is one turn, a lock, whoever begins to change it: so a change never meets, or follows, an older one.
//!   Whoever has it reads the record, writes or deletes it, and publishes or withdraws the site (`deploy/turn.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::error::EdgeError;
use crate::logs::ServerLog;
use crate::name::Name;
use crate::server::Shared;
use crate::site::{Serving, Site, Tenant};
use crate::store::{SiteKey, SiteRecord, StoreError};

/// Turns that nobody has, beside as many as somebody has, before they go.
const TURNS_SPARE: usize = 64;

#[derive(Default)]
pub(crate) struct Sites {
    served: BTreeMap<SiteKey, Arc<Site>>,
    /// Those that anybody has; of sites that are not served yet, or any more, too.
    turns: BTreeMap<SiteKey, Weak<Mutex<()>>>,
    /// So many are looked through for those that nobody has any more.
    turns_max: usize,
}

impl Sites {
    fn turn(&mut self, key: &SiteKey) -> Arc<Mutex<()>> {
        if let Some(turn) = self.turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        if self.turns.len() >= self.turns_max {
            self.turns.retain(|_, turn| turn.strong_count() > 0);
            self.turns_max = 2 * self.turns.len() + TURNS_SPARE;
        }
        let turn = Arc::default();
        self.turns.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }

    fn new_site(&mut self, key: &SiteKey, tenant: &Arc<Tenant>, log: &ServerLog) -> Arc<Site> {
        Arc::new(Site::new(key.clone(), tenant.clone(), self.turn(key), log.clone()))
    }
}

impl Shared {
    fn lock_sites(&self) -> MutexGuard<'_, Sites> {
        // Nothing below leaves it half changed.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A site that requests go to.
    pub(crate) fn site(&self, key: &SiteKey) -> Option<Arc<Site>> {
        self.lock_sites().served.get(key).cloned()
    }

    /// The sites of a tenant, by name.
    pub(crate) fn sites_of(&self, tenant: &Name) -> Vec<Arc<Site>> {
        self.lock_sites().served.values().filter(|site| site.key.tenant == *tenant).cloned().collect()
    }

    pub(crate) fn all_sites(&self) -> Vec<Arc<Site>> {
        self.lock_sites().served.values().cloned().collect()
    }

    /// The site of a tenant, or a new one that no requests go to yet.
    pub(crate) fn site_or_new(&self, key: &SiteKey, tenant: &Arc<Tenant>) -> Arc<Site> {
        let mut sites = self.lock_sites();
        let served = sites.served.get(key).filter(|site| Arc::ptr_eq(&site.tenant, tenant)).cloned();
        served.unwrap_or_else(|| sites.new_site(key, tenant, &self.log))
    }

    /// What a site is by now that somebody began to change: another, if it was new and somebody else deployed it first;
    /// none, if it is served no more. It stays so for whoever has its turn.
    pub(crate) fn present(&self, site: &Arc<Site>) -> Option<Arc<Site>> {
        let sites = self.lock_sites();
        match sites.served.get(&site.key) {
            Some(served) if Arc::ptr_eq(served, site) || !site.was_published() => Some(served.clone()),
            None if !site.was_published() => Some(site.clone()),
            _ => None,
        }
    }

    /// Requests for the record's hosts and paths, and no others, go to the site from now on, and are answered so; those
    /// under way end with what they have. Only for whoever has its turn.
    pub(crate) fn publish(&self, site: &Arc<Site>, record: &SiteRecord, serving: Serving) -> Result<(), EdgeError> {
        let mut sites = self.lock_sites();
        // Under the lock: who has just taken the tenant away will wait for it, and withdraw what is published now.
        self.access.load().check_tenant(&site.tenant)?;
        site.settle(Some(serving));
        site.mark_published();
        sites.served.insert(site.key.clone(), site.clone());
        self.routes.store(Arc::new(self.routes.load().with(site, &record.hosts, &record.path)));
        Ok(())
    }

    /// No requests go to the site from now on.
    pub(crate) fn withdraw(&self, site: &Arc<Site>) {
        let mut sites = self.lock_sites();
        if sites.served.get(&site.key).is_some_and(|served| Arc::ptr_eq(served, site)) {
            sites.served.remove(&site.key);
            self.routes.store(Arc::new(self.routes.load().without(site)));
        }
    }

    /// Sites that are kept and not served: those that nobody changes now, and the others. The log names those that have
    /// no tenant, and those that answer where a new version of theirs may not.
    pub(crate) fn unserved(&self) -> Result<(Vec<SiteKey>, Vec<SiteKey>), StoreError> {
        let records = self.store.sites()?;
        let (access, mut sites) = (self.access.load(), self.lock_sites());
        let (mut free, mut busy) = (Vec::new(), Vec::new());
        for SiteRecord { key, hosts, .. } in records {
            if !access.tenants.contains_key(&key.tenant) {
                self.log.line(format!("{key} is not served: no such tenant is configured"));
                continue;
            }
            for error in hosts.iter().filter_map(|host| access.hosts.check(&key.tenant, host).err()) {
                self.log.line(format!("{key} answers as before, and gets no new version where it does: {error}"));
            }
            if !sites.served.contains_key(&key) {
                let is_free = sites.turn(&key).try_lock().is_ok();
                if is_free { &mut free } else { &mut busy }.push(key);
            }
        }
        Ok((free, busy))
    }

    /// Publishes sites that are kept, to be loaded, unless somebody else has meanwhile. They are in the store's order, so
    /// that two who do this do not wait for each other. It may take its time: it needs a thread.
    pub(crate) fn adopt(&self, keys: &[SiteKey]) -> Result<Vec<Arc<Site>>, StoreError> {
        let turns: Vec<_> = keys.iter().map(|key| self.lock_sites().turn(key)).collect();
        let _own: Vec<_> = turns.iter().map(|turn| turn.blocking_lock()).collect();
        // What was read before is what somebody may have deleted.
        let records = keys.iter().map(|key| self.store.site(key)).collect::<Result<Vec<_>, _>>()?;
        let mut sites = self.lock_sites();
        let (access, mut routes) = (self.access.load(), (**self.routes.load()).clone());
        let mut adopted = Vec::new();
        for record in records.into_iter().flatten() {
            let Some(tenant) = access.tenants.get(&record.key.tenant) else { continue };
            if sites.served.contains_key(&record.key) {
                continue;
            }
            let site = sites.new_site(&record.key, tenant, &self.log);
            site.mark_published();
            routes.add(&site, &record.hosts, &record.path);
            sites.served.insert(record.key.clone(), site.clone());
            adopted.push(site);
        }
        self.routes.store(Arc::new(routes));
        Ok(adopted)
    }

    /// Withdraws the sites of tenants that are not there any more.
    pub(crate) fn withdraw_strangers(&self) {
        let access = self.access.load();
        for site in self.all_sites().into_iter().filter(|site| access.check_tenant(&site.tenant).is_err()) {
            self.log.line(format!("{} is not served any more: its tenant is not configured", site.key));
            self.withdraw(&site);
        }
    }

    /// How many sites there are, are still to be loaded, and have no version that can be run.
    pub(crate) fn health(&self) -> Health {
        let sites = self.lock_sites();
        let (stuck, known) = sites.served.values().partition::<Vec<_>, _>(|site| site.is_stuck());
        let loading = known.iter().filter(|site| !site.is_settled()).count();
        let without = known.iter().filter(|site| site.is_settled() && site.serving().is_none()).count();
        let failed = stuck.len() + without;
        Health { sites: sites.served.len(), loading, failed, disk_failed: self.store.has_failed() }
    }
}

/// What `GET /healthz` says, to anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// Sites that are served.
    pub sites: usize,
    /// Those of them that are still to be loaded; a request for one is answered as soon as it is.
    pub loading: usize,
    /// Those that have no version that can be run, or none now: what may pass is tried again.
    pub failed: usize,
    /// Whether the disk failed when something was last kept there, or since: sites answer, deploys may fail.
    #[serde(default)]
    pub disk_failed: bool,
}
