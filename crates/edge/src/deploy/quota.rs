//! What a tenant may keep: so many sites, and so many bytes of their versions.

use std::collections::{HashMap, HashSet};
use std::fs::File;

use rustix::fs::fstatvfs;

use super::Shared;
use crate::error::EdgeError;
use crate::limits::{DISK_RESERVE_BYTES, SiteLimits};
use crate::site::Tenant;
use crate::store::{Digest, SiteKey, SiteRecord, Store, StoreError, VersionRecord};

/// Refuses a new site of a tenant that has as many as it may, before anything of it is read.
pub(crate) fn room_for_site(server: &Shared, tenant: &Tenant, key: &SiteKey) -> Result<(), EdgeError> {
    match server.site(key) {
        Some(_) => Ok(()),
        None => sites_within(server.sites_of(&key.tenant).len(), tenant.gate.load().limits.sites),
    }
}

/// Whether there may be one more.
fn sites_within(found: usize, max: u32) -> Result<(), EdgeError> {
    if found < max as usize { Ok(()) } else { Err(EdgeError::TooManySites { found, max }) }
}

/// Refuses what the disk has no room for, before it is read: a full one is everybody's.
pub(crate) fn room_on_disk(server: &Shared, bytes: u64) -> Result<(), EdgeError> {
    let asked = File::open(&server.scratch).and_then(|scratch| Ok(fstatvfs(scratch)?));
    // Where nobody says, it is tried.
    asked.map_or(Ok(()), |disk| room(disk.f_frsize * disk.f_bavail, disk.f_frsize * disk.f_blocks, bytes))
}

fn room(free: u64, all: u64, bytes: u64) -> Result<(), EdgeError> {
    let reserve = DISK_RESERVE_BYTES.min(all / 16);
    if free >= bytes.saturating_add(reserve) { Ok(()) } else { Err(EdgeError::DiskFull { free, bytes, reserve }) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_not_filled_to_the_end() {
        const GIB: u64 = 1 << 30;
        room(GIB, 100 * GIB, GIB - DISK_RESERVE_BYTES).unwrap();
        let refused = room(GIB, 100 * GIB, GIB - DISK_RESERVE_BYTES + 1).unwrap_err().to_string();
        assert!(refused.contains("1073741824 bytes left") && refused.contains("268435456 stay free"), "{refused}");
        // A small one may be used, too.
        room(1 << 20, 2 << 20, 1 << 19).unwrap();
        assert!(room(1 << 16, 2 << 20, 0).is_err() && room(GIB, 100 * GIB, u64::MAX).is_err());
    }
}
