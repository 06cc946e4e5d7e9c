//! Records in redb, blobs in a directory beside it: nothing to install.

use std::collections::HashSet;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::files::Blobs;
use super::{Digest, SiteKey, SiteRecord, Store, StoreError};
use crate::limits::SITES_MAX;

/// Records in JSON, by `tenant/site`.
const SITES: TableDefinition<&str, &[u8]> = TableDefinition::new("sites");
/// `tenant/site`, by host.
const HOSTS: TableDefinition<&str, &str> = TableDefinition::new("hosts");

/// The store of one machine, in a directory of its own.
pub struct DiskStore {
    database: Database,
    blobs: Blobs,
}

pub(super) fn disk(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Disk { what: what.into(), source: source.into() }
}

impl DiskStore {
    /// Opens a directory, and makes it if need be; what no record names is removed.
    ///
    /// # Errors
    /// If that cannot be, or another process has it open.
    pub fn open(directory: &Path) -> Result<DiskStore, StoreError> {
        let open = |source: std::io::Error| disk(format!("use the state directory {}", directory.display()), source);
        let blobs = Blobs::open(directory.join("blobs")).map_err(open)?;
        let path = directory.join("sites.redb");
        let database = Database::create(&path).map_err(|source| disk(format!("open {}", path.display()), source))?;
        let store = DiskStore { database, blobs };
        store.write(|_| Ok(()))?;
        let records = store.sites()?;
        let versions = records.iter().flat_map(|record| &record.versions);
        let named: HashSet<Digest> = versions.flat_map(|version| [version.module, version.artifact]).collect();
        store.blobs.sweep(&named).map_err(open)?;
        Ok(store)
    }

    /// Changes the tables, all or nothing. When it returns, the change is on the disk.
    fn write(&self, change: impl FnOnce(&mut Tables<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let failed = |source: redb::Error| disk("write the state", source);
        let transaction = self.database.begin_write().map_err(|error| failed(error.into()))?;
        {
            let sites = transaction.open_table(SITES).map_err(|error| failed(error.into()))?;
            let hosts = transaction.open_table(HOSTS).map_err(|error| failed(error.into()))?;
            change(&mut Tables { sites, hosts })?;
        }
        transaction.commit().map_err(|error| failed(error.into()))
    }
}

struct Tables<'t> {
    sites: redb::Table<'t, &'static str, &'static [u8]>,
    hosts: redb::Table<'t, &'static str, &'static str>,
}

fn unreadable(source: impl Into<redb::Error>) -> StoreError {
    disk("read the state", source.into())
}

fn unwritable(source: redb::StorageError) -> StoreError {
    disk("write the state", source)
}

fn parse(name: &str, bytes: &[u8]) -> Result<SiteRecord, StoreError> {
    serde_json::from_slice(bytes).map_err(|_| StoreError::Damaged(format!("record of site {name}")))
}

impl Tables<'_> {
    fn get(&self, name: &str) -> Result<Option<SiteRecord>, StoreError> {
        let found = self.sites.get(name).map_err(unreadable)?;
        found.map(|bytes| parse(name, bytes.value())).transpose()
    }

    fn put(&mut self, record: &SiteRecord) -> Result<(), StoreError> {
        let name = record.key.to_string();
        let before = self.get(&name)?;
        if before.as_ref().map_or(0, |before| before.revision) + 1 != record.revision {
            return Err(StoreError::Conflict);
        }
        if before.is_none() && self.sites.len().map_err(unreadable)? >= SITES_MAX as u64 {
            return Err(StoreError::TooManySites(SITES_MAX));
        }
        for host in before.iter().flat_map(|before| &before.hosts) {
            self.hosts.remove(host.as_str()).map_err(unwritable)?;
        }
        for host in &record.hosts {
            let taken = self.hosts.insert(host.as_str(), name.as_str()).map_err(unwritable)?;
            if taken.is_some_and(|owner| owner.value() != name) {
                return Err(StoreError::HostTaken { host: host.clone() });
            }
        }
        let bytes = serde_json::to_vec(record).map_err(|source| disk("write the record of a site", source))?;
        self.sites.insert(name.as_str(), bytes.as_slice()).map_err(unwritable)?;
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), StoreError> {
        for host in self.get(name)?.iter().flat_map(|record| &record.hosts) {
            self.hosts.remove(host.as_str()).map_err(unwritable)?;
        }
        self.sites.remove(name).map_err(unwritable)?;
        Ok(())
    }
}

impl Store for DiskStore {
    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.blobs.put(bytes)
    }

    fn blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.blobs.get(digest)
    }

    fn sites(&self) -> Result<Vec<SiteRecord>, StoreError> {
        let transaction = self.database.begin_read().map_err(unreadable)?;
        let table = transaction.open_table(SITES).map_err(unreadable)?;
        let entries = table.iter().map_err(unreadable)?;
        let record =
            |entry: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), redb::StorageError>| {
                let (name, bytes) = entry.map_err(unreadable)?;
                parse(name.value(), bytes.value())
            };
        entries.map(record).collect()
    }

    fn site(&self, key: &SiteKey) -> Result<Option<SiteRecord>, StoreError> {
        let name = key.to_string();
        let transaction = self.database.begin_read().map_err(unreadable)?;
        let table = transaction.open_table(SITES).map_err(unreadable)?;
        let found = table.get(name.as_str()).map_err(unreadable)?;
        found.map(|bytes| parse(&name, bytes.value())).transpose()
    }

    fn put_site(&self, record: &SiteRecord) -> Result<(), StoreError> {
        self.write(|tables| tables.put(record))
    }

    fn delete_site(&self, key: &SiteKey) -> Result<(), StoreError> {
        self.write(|tables| tables.delete(&key.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Host, Name};
    use crate::store::VersionRecord;

    fn record(site: &str, hosts: &[&str], revision: u64, blob: Digest) -> SiteRecord {
        let key = SiteKey { tenant: Name::new("a").unwrap(), site: Name::new(site).unwrap() };
        let versions = vec![VersionRecord { number: 1, module: blob, artifact: blob, deployed_ms: 5 }];
        SiteRecord { key, hosts: hosts.iter().map(|h| Host::new(h).unwrap()).collect(), versions, active: 1, revision }
    }

    #[test]
    fn records_are_compared_and_set_and_hosts_have_one_owner() {
        let directory = tempfile::tempdir().unwrap();
        let store = DiskStore::open(directory.path()).unwrap();
        let blob = store.put_blob(b"blob").unwrap();
        let first = record("one", &["one.example", "1.example"], 1, blob);
        store.put_site(&first).unwrap();
        assert!(matches!(store.put_site(&first), Err(StoreError::Conflict)));
        let thief = record("two", &["two.example", "1.example"], 1, blob);
        assert!(matches!(store.put_site(&thief), Err(StoreError::HostTaken { host }) if host.as_str() == "1.example"));
        assert_eq!(store.site(&thief.key).unwrap(), None, "nothing of it was written");
        store.put_site(&record("one", &["one.example"], 2, blob)).unwrap();
        store.put_site(&thief).unwrap();
        store.delete_site(&thief.key).unwrap();
        store.put_site(&record("three", &["two.example"], 1, blob)).unwrap();
        drop(store);
        let names: Vec<_> = DiskStore::open(directory.path()).unwrap().sites().unwrap();
        assert_eq!(names.iter().map(|r| r.key.to_string()).collect::<Vec<_>>(), ["a/one", "a/three"]);
    }

    #[test]
    fn blobs_are_checked_and_those_nobody_names_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        let store = DiskStore::open(directory.path()).unwrap();
        let (kept, lost) = (store.put_blob(b"kept").unwrap(), store.put_blob(b"lost").unwrap());
        store.put_site(&record("one", &[], 1, kept)).unwrap();
        std::fs::write(directory.path().join("blobs/.new-x"), b"half").unwrap();
        drop(store);
        let store = DiskStore::open(directory.path()).unwrap();
        assert_eq!(store.blob(&kept).unwrap(), b"kept");
        assert!(matches!(store.blob(&lost), Err(StoreError::Damaged(_))));
        assert!(!directory.path().join("blobs/.new-x").exists());
        std::fs::write(directory.path().join(format!("blobs/{kept}")), b"other").unwrap();
        assert!(matches!(store.blob(&kept), Err(StoreError::Damaged(_))));
        store.put_blob(b"kept").unwrap();
        assert_eq!(store.blob(&kept).unwrap(), b"kept", "what was damaged is replaced");
    }
}
