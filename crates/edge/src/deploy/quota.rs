//! What a tenant may keep: so many sites, and so many bytes of their versions.

use std::collections::{HashMap, HashSet};

use super::Shared;
use crate::error::EdgeError;
use crate::limits::SiteLimits;
use crate::site::Tenant;
use crate::store::{Digest, SiteKey, SiteRecord, Store, StoreError, VersionRecord};

/// Refuses a new site of a tenant that has as many as it may, before anything of it is read.
pub(super) fn room_for_site(server: &Shared, tenant: &Tenant, key: &SiteKey) -> Result<(), EdgeError> {
    match server.site(key) {
        Some(_) => Ok(()),
        None => sites_within(server.sites_of(&key.tenant).len(), tenant.gate.load().limits.sites),
    }
}

/// Whether there may be one more.
fn sites_within(found: usize, max: u32) -> Result<(), EdgeError> {
    if found < max as usize { Ok(()) } else { Err(EdgeError::TooManySites { found, max }) }
}

/// Whether a record with a new version may be kept, whose blobs are there already. Where there is no room, the site's
/// oldest versions go, but for the new one and those that are `answering`.
///
/// A tenant's deploys work one after another: nobody else takes the room meanwhile.
pub(super) fn fit(
    store: &dyn Store,
    record: &mut SiteRecord,
    answering: u32,
    limits: &SiteLimits,
) -> Result<(), EdgeError> {
    let mut others = store.sites_of(&record.key.tenant)?;
    let all = others.len();
    others.retain(|other| other.key != record.key);
    if others.len() == all {
        sites_within(all, limits.sites)?;
    }
    let sizes = sizes(store, others.iter().chain([&*record]).flat_map(|record| &record.versions))?;
    loop {
        let versions = others.iter().chain([&*record]).flat_map(|record| &record.versions);
        let blobs: HashSet<Digest> = versions.flat_map(VersionRecord::blobs).collect();
        let found: u64 = blobs.iter().filter_map(|digest| sizes.get(digest)).sum();
        if found <= limits.storage.0 {
            return Ok(());
        }
        let new = record.versions.last().map_or(0, |version| version.number);
        let spare = |version: &VersionRecord| ![new, answering, record.active].contains(&version.number);
        let Some(oldest) = record.versions.iter().position(spare) else {
            return Err(EdgeError::StorageFull { found, max: limits.storage });
        };
        record.versions.remove(oldest);
    }
}

/// The bytes of each blob that versions name.
fn sizes<'r>(
    store: &dyn Store,
    versions: impl Iterator<Item = &'r VersionRecord>,
) -> Result<HashMap<Digest, u64>, StoreError> {
    let blobs: HashSet<Digest> = versions.flat_map(VersionRecord::blobs).collect();
    blobs.into_iter().map(|digest| Ok((digest, store.blob_bytes(&digest)?))).collect()
}
