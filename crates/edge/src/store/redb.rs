//! Records in redb, blobs in a directory beside it: nothing to install.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError, TableDefinition,
};

use super::files::{Blobs, sync};
use super::records::Records;
use super::{Digest, SiteKey, SiteRecord, Store, StoreError};
use crate::config::Scope;
use crate::limits::{SITES_MAX, STATE_WAIT_MAX};
use crate::name::{Host, Name};

/// Records in JSON, by `tenant/site`.
const SITES: TableDefinition<&str, &[u8]> = TableDefinition::new("sites");
/// `tenant/site`, by host and path.
const HOSTS: TableDefinition<&str, &str> = TableDefinition::new("hosts");

/// The store of one machine, in a directory of its own.
pub struct DiskStore {
    records: Records,
    blobs: Blobs,
    failed: AtomicBool,
}

pub(super) fn disk(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Disk { what: what.into(), source: source.into() }
}

/// Opens the records, as soon as nobody else has them open. A server that was killed while it started a compiler is not
/// gone before that runs: until then the child has its files.
fn database(directory: &Path) -> Result<Database, StoreError> {
    let path = directory.join("sites.redb");
    let until = Instant::now() + STATE_WAIT_MAX;
    loop {
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| disk(format!("open {}", path.display()), source))?;
        match FileBackend::new(file).and_then(|file| Database::builder().create_with_backend(file)) {
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < until => {
                std::thread::sleep(STATE_WAIT_MAX / 100)
            }
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse(directory.display().to_string())),
            Err(source) if is_damage(&source) => {
                return Err(StoreError::Unreadable { file: path.display().to_string(), source: Box::new(source) });
            }
            opened => return opened.map_err(|source| disk(format!("open {}", path.display()), source)),
        }
    }
}

/// Whether a file is no database, or not any more.
fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::RepairAborted | DatabaseError::Storage(StorageError::Corrupted(_)) => true,
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

impl DiskStore {
    /// Opens a directory, and makes it if need be; what no record names is removed.
    ///
    /// # Errors
    /// If that cannot be, or another process has it open.
    pub fn open(directory: &Path) -> Result<DiskStore, StoreError> {
        let open = |source| StoreError::Directory { directory: directory.display().to_string(), source };
        let blobs = Blobs::open(directory.join("blobs")).map_err(open)?;
        let place = directory.to_owned();
        let records = Records::open(move || database(&place))?;
        // Where the names of both are.
        sync(directory).map_err(open)?;
        let store = DiskStore { records, blobs, failed: AtomicBool::new(false) };
        store.write(|_| Ok(()))?;
        store.sweep()?;
        Ok(store)
    }

    /// Changes the tables, all or nothing. When it returns, the change is on the disk.
    fn write(&self, change: impl FnOnce(&mut Tables<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let failed = |source: redb::Error| disk("write the state", source);
        self.kept(self.records.with(|database| {
            let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
            {
                let sites = transaction.open_table(SITES).map_err(|error| failed(error.into()))?;
                let hosts = transaction.open_table(HOSTS).map_err(|error| failed(error.into()))?;
                change(&mut Tables { sites, hosts })?;
            }
            transaction.commit().map_err(|error| failed(error.into()))
        }))
    }

    /// Reads the table of records.
    fn read<T>(&self, read: impl FnOnce(&SitesTable) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.read_both(|sites, _| read(sites))
    }

    /// Reads both tables.
    fn read_both<T>(
        &self,
        read: impl FnOnce(&SitesTable, &HostsTable) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let done = self.records.with(|database| {
            let transaction = database.begin_read().map_err(unreadable)?;
            let sites = transaction.open_table(SITES).map_err(unreadable)?;
            read(&sites, &transaction.open_table(HOSTS).map_err(unreadable)?)
        });
        if done.is_err() { self.kept(done) } else { done }
    }

    /// Remembers whether the disk did what was asked of it.
    fn kept<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        match &done {
            Ok(_) => self.failed.store(false, Ordering::Relaxed),
            Err(StoreError::Disk { .. }) => self.failed.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        done
    }
}

#[cfg(test)]
impl DiskStore {
    /// Puts what is no record in the place of one.
    pub(crate) fn damage(&self, key: &SiteKey) {
        let damage = |tables: &mut Tables<'_>| {
            tables.sites.insert(key.to_string().as_str(), &b"{"[..]).map(drop).map_err(unwritable)
        };
        self.write(damage).unwrap();
    }
}

type SitesTable = redb::ReadOnlyTable<&'static str, &'static [u8]>;
type HostsTable = redb::ReadOnlyTable<&'static str, &'static str>;

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

/// A row of the table of records.
type Row<'r> = (redb::AccessGuard<'r, &'static str>, redb::AccessGuard<'r, &'static [u8]>);

fn record_of(row: Result<Row<'_>, redb::StorageError>) -> Result<SiteRecord, StoreError> {
    let (name, bytes) = row.map_err(unreadable)?;
    parse(name.value(), bytes.value())
}

/// As it is written in the table; of a site for all paths it is the host alone.
fn route(host: &Host, record: &SiteRecord) -> String {
    format!("{host}{}", record.path)
}

impl Tables<'_> {
    fn get(&self, name: &str) -> Result<Option<SiteRecord>, StoreError> {
        let found = self.sites.get(name).map_err(unreadable)?;
        found.map(|bytes| parse(name, bytes.value())).transpose()
    }

    fn put(&mut self, record: &SiteRecord, scope: &Scope) -> Result<(), StoreError> {
        let name = record.key.to_string();
        let before = self.get(&name)?;
        if before.as_ref().map_or(0, |before| before.revision) + 1 != record.revision {
            return Err(StoreError::Conflict);
        }
        check_room(&self.sites, before.as_ref())?;
        check_places(&self.hosts, before.as_ref(), record, scope)?;
        self.forget_routes(before.as_ref())?;
        for host in &record.hosts {
            self.hosts.insert(route(host, record).as_str(), name.as_str()).map_err(unwritable)?;
        }
        self.insert(&name, record)
    }

    fn renew_artifact(&mut self, name: &str, version: u32, artifact: Digest) -> Result<(), StoreError> {
        let Some(mut record) = self.get(name)? else { return Ok(()) };
        let Some(version) = record.versions.iter_mut().find(|kept| kept.number == version) else { return Ok(()) };
        version.artifact = Some(artifact);
        self.insert(name, &record)
    }

    fn insert(&mut self, name: &str, record: &SiteRecord) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(record).map_err(|source| disk("write the record of a site", source))?;
        self.sites.insert(name, bytes.as_slice()).map_err(unwritable)?;
        Ok(())
    }

    fn forget_routes(&mut self, record: Option<&SiteRecord>) -> Result<(), StoreError> {
        let routes = record.into_iter().flat_map(|record| record.hosts.iter().map(move |host| route(host, record)));
        for route in routes {
            self.hosts.remove(route.as_str()).map_err(unwritable)?;
        }
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), StoreError> {
        let record = self.get(name)?;
        self.forget_routes(record.as_ref())?;
        self.sites.remove(name).map_err(unwritable)?;
        Ok(())
    }
}

/// Whether there may be one more site.
fn check_room(sites: &impl ReadableTableMetadata, before: Option<&SiteRecord>) -> Result<(), StoreError> {
    match before.is_none() && sites.len().map_err(unreadable)? >= SITES_MAX as u64 {
        true => Err(StoreError::TooManySites(SITES_MAX)),
        false => Ok(()),
    }
}

/// Whether a site may answer where its record says, in place of where it does.
fn check_places(
    hosts: &impl ReadableTable<&'static str, &'static str>,
    before: Option<&SiteRecord>,
    record: &SiteRecord,
    scope: &Scope,
) -> Result<(), StoreError> {
    let name = record.key.to_string();
    for host in &record.hosts {
        let is_new = before.is_none_or(|before| !before.hosts.contains(host) || before.path != record.path);
        check_owners(hosts, host, &record.key, is_new.then_some(scope))?;
        let route = route(host, record);
        let owner = hosts.get(route.as_str()).map_err(unreadable)?.map(|owner| owner.value().to_string());
        if let Some(owner) = owner.filter(|owner| *owner != name) {
            let site = owner.split_once('/').map_or(owner.as_str(), |(_, site)| site).to_string();
            return Err(StoreError::RouteTaken { route, site });
        }
    }
    Ok(())
}

/// A host is one tenant's, whatever the path: pages of one host can do to each other what they like. So whoever may
/// change some sites alone does not come to be on a host of others.
fn check_owners(
    hosts: &impl ReadableTable<&'static str, &'static str>,
    host: &Host,
    key: &SiteKey,
    scope: Option<&Scope>,
) -> Result<(), StoreError> {
    let (all, below) = (host.as_str(), format!("{host}/"));
    let whole = hosts.get(all).map_err(unreadable)?;
    // Routes of the host follow each other: what comes after "/" is "0".
    let end = format!("{host}0");
    let others = hosts.range(below.as_str()..end.as_str()).map_err(unreadable)?;
    let is_for = |site: &str| scope.is_none_or(|scope| Name::new(site).is_ok_and(|site| scope.is_for(&site)));
    for owner in whole.into_iter().map(Ok).chain(others.map(|entry| entry.map(|(_, owner)| owner))) {
        match owner.map_err(unreadable)?.value().split_once('/') {
            // What it leaves keeps nobody from where it goes.
            Some((tenant, site)) if tenant == key.tenant.as_str() => {
                if site != key.site.as_str() && !is_for(site) {
                    return Err(StoreError::HostOfOthers { host: host.clone() });
                }
            }
            _ => return Err(StoreError::HostTaken { host: host.clone() }),
        }
    }
    Ok(())
}

impl Store for DiskStore {
    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.kept(self.blobs.put(bytes))
    }

    fn blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.blobs.get(digest)
    }

    fn put_file(&self, path: &Path) -> Result<Digest, StoreError> {
        self.kept(self.blobs.put_file(path))
    }

    fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        self.blobs.open_checked(digest)
    }

    fn blob_bytes(&self, digest: &Digest) -> Result<u64, StoreError> {
        self.blobs.bytes(digest).map_err(|source| disk("look at what is kept", source))
    }

    fn sites(&self) -> Result<Vec<SiteRecord>, StoreError> {
        self.read(|table| table.iter().map_err(unreadable)?.map(record_of).collect())
    }

    fn sites_of(&self, tenant: &Name) -> Result<Vec<SiteRecord>, StoreError> {
        // What comes after "/" is "0".
        let (first, end) = (format!("{tenant}/"), format!("{tenant}0"));
        self.read(|table| table.range(first.as_str()..end.as_str()).map_err(unreadable)?.map(record_of).collect())
    }

    fn site(&self, key: &SiteKey) -> Result<Option<SiteRecord>, StoreError> {
        let name = key.to_string();
        self.read(|table| {
            let found = table.get(name.as_str()).map_err(unreadable)?;
            found.map(|bytes| parse(&name, bytes.value())).transpose()
        })
    }

    fn check_site_within(&self, record: &SiteRecord, scope: &Scope) -> Result<(), StoreError> {
        let before = self.site(&record.key)?;
        self.read_both(|sites, hosts| {
            check_room(sites, before.as_ref())?;
            check_places(hosts, before.as_ref(), record, scope)
        })
    }

    fn put_site_within(&self, record: &SiteRecord, scope: &Scope) -> Result<(), StoreError> {
        self.write(|tables| tables.put(record, scope))
    }

    fn renew_artifact(&self, key: &SiteKey, version: u32, artifact: Digest) -> Result<(), StoreError> {
        self.write(|tables| tables.renew_artifact(&key.to_string(), version, artifact))
    }

    fn delete_site(&self, key: &SiteKey) -> Result<(), StoreError> {
        self.write(|tables| tables.delete(&key.to_string()))
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    fn sweep(&self) -> Result<(), StoreError> {
        let records = self.sites()?;
        let versions = records.iter().flat_map(|record| &record.versions);
        let named: HashSet<Digest> = versions.flat_map(|version| version.blobs()).collect();
        self.blobs.sweep(&named).map_err(|source| disk("remove what no site needs", source))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::May;
    use crate::name::Prefix;
    use crate::store::Outlook;
    use crate::store::VersionRecord;

    fn record(site: &str, hosts: &[&str], revision: u64, blob: Digest) -> SiteRecord {
        let key = SiteKey { tenant: Name::new("a").unwrap(), site: Name::new(site).unwrap() };
        let (module, artifact, bundle) = (Some(blob), Some(blob), None);
        let versions = vec![VersionRecord { number: 1, module, artifact, bundle, signature: None, deployed_ms: 5 }];
        SiteRecord {
            key,
            hosts: hosts.iter().map(|h| Host::new(h).unwrap()).collect(),
            path: Prefix::default(),
            versions,
            active: 1,
            canary: None,
            revision,
        }
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
        assert!(
            matches!(store.put_site(&thief), Err(StoreError::RouteTaken { route, site }) if route == "1.example" && site == "one")
        );
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
    fn a_directory_is_one_servers() {
        let directory = tempfile::tempdir().unwrap();
        let first = DiskStore::open(directory.path()).unwrap();
        let second = DiskStore::open(directory.path()).map(drop).unwrap_err().to_string();
        assert!(second.contains(directory.path().to_str().unwrap()) && second.contains("another server's"), "{second}");
        // Whoever goes soon is waited for.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(STATE_WAIT_MAX / 10);
                drop(first);
            });
            DiskStore::open(directory.path()).unwrap();
        });
    }

    /// It said that the file could not be opened, and not what becomes of the sites.
    #[test]
    fn what_is_no_database_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        drop(DiskStore::open(directory.path()).unwrap());
        let path = directory.path().join("sites.redb");
        let whole = std::fs::read(&path).unwrap();
        let mut scrambled = whole.clone();
        scrambled[9..2000].fill(0xA5);
        let damaged = [&b"no database at all"[..], &[0; 4096], &whole[..40], &whole[..whole.len() / 2], &scrambled];
        for bytes in damaged {
            std::fs::write(&path, bytes).unwrap();
            let error = DiskStore::open(directory.path()).map(drop).unwrap_err();
            let shown = error.to_string();
            assert!(matches!(error.outlook(), Some(Outlook::Lasting)), "{shown}");
            assert!(shown.contains("sites.redb is damaged: ") && shown.contains("restore the state"), "{shown}");
            assert!(std::fs::read(&path).unwrap() == bytes, "what may yet be mended is left as it is: {shown}");
        }
        std::fs::write(&path, whole).unwrap();
        DiskStore::open(directory.path()).unwrap();
    }

    /// Started by hand, its records were for everybody to read: hosts, digests of what is served.
    #[test]
    fn what_is_kept_is_its_owners_alone() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let store = DiskStore::open(&state).unwrap();
        store.put_blob(b"blob").unwrap();
        let mut open = vec![(state, 0o700)];
        while let Some((path, expected)) = open.pop() {
            let metadata = std::fs::metadata(&path).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, expected, "{}", path.display());
            if metadata.is_dir() {
                let below = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
                open.extend(below.map(|path| if path.is_dir() { (path, 0o700) } else { (path, 0o600) }));
            }
        }
    }

    #[test]
    fn paths_of_a_host_are_several_sites_of_one_tenant() {
        let directory = tempfile::tempdir().unwrap();
        let store = DiskStore::open(directory.path()).unwrap();
        let blob = store.put_blob(b"blob").unwrap();
        let below = |site: &str, path: &str, revision| SiteRecord {
            path: Prefix::new(path).unwrap(),
            ..record(site, &["a.example"], revision, blob)
        };
        store.put_site(&below("one", "/one", 1)).unwrap();
        store.put_site(&below("two", "/two", 1)).unwrap();
        store.put_site(&record("rest", &["a.example", "a.example.org"], 1, blob)).unwrap();
        let taken = store.put_site(&below("two", "/one", 2)).unwrap_err().to_string();
        assert!(taken.starts_with("a.example/one belongs to the site one"), "{taken}");
        let mut stranger = below("mine", "/three", 1);
        stranger.key.tenant = Name::new("b").unwrap();
        assert!(matches!(store.put_site(&stranger), Err(StoreError::HostTaken { .. })));
        store.delete_site(&record("rest", &[], 1, blob).key).unwrap();
        assert!(matches!(store.put_site(&stranger), Err(StoreError::HostTaken { .. })), "of a path alone, too");
        store.put_site(&below("one", "/other", 2)).unwrap();
        store.put_site(&below("two", "/one", 2)).unwrap();
        for site in ["one", "two"] {
            store.delete_site(&record(site, &[], 1, blob).key).unwrap();
        }
        store.put_site(&stranger).unwrap();
    }

    /// Who could deploy one site of a tenant took `/login` of another's host, and with it what browsers send there.
    #[test]
    fn whoever_is_for_one_site_gets_no_place_on_a_host_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let store = DiskStore::open(directory.path()).unwrap();
        let blob = store.put_blob(b"blob").unwrap();
        let below = |site: &str, path: &str, revision| SiteRecord {
            path: Prefix::new(path).unwrap(),
            ..record(site, &["a.example"], revision, blob)
        };
        let scope = Scope { may: May::Deploy, sites: Some([Name::new("one").unwrap()].into()) };
        let refused = |record: &SiteRecord| {
            let refused = store.put_site_within(record, &scope).unwrap_err();
            assert!(matches!(&refused, StoreError::HostOfOthers { host } if host.as_str() == "a.example"), "{refused}");
        };
        store.put_site(&record("two", &["a.example"], 1, blob)).unwrap();
        refused(&below("one", "/login", 1));
        refused(&record("one", &["a.example"], 1, blob));
        store.delete_site(&record("two", &[], 1, blob).key).unwrap();
        store.put_site(&below("two", "/deep/down", 1)).unwrap();
        refused(&below("one", "/login", 1));
        // Where somebody else has put it, it stays, and goes nowhere else there.
        store.put_site(&below("one", "/one", 1)).unwrap();
        store.put_site_within(&below("one", "/one", 2), &scope).unwrap();
        refused(&below("one", "/login", 3));
        store.put_site_within(&record("one", &["b.example"], 3, blob), &scope).unwrap();
        refused(&below("one", "/one", 4));
        store
            .put_site_within(
                &SiteRecord { path: Prefix::new("/x").unwrap(), ..record("one", &["b.example"], 4, blob) },
                &scope,
            )
            .unwrap();
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

    #[test]
    fn files_are_kept_as_blobs_are_and_stay_open() {
        let directory = tempfile::tempdir().unwrap();
        let store = DiskStore::open(directory.path()).unwrap();
        let put = || {
            let path = directory.path().join("uploaded");
            std::fs::write(&path, b"kept").unwrap();
            store.put_file(&path).unwrap()
        };
        let kept = put();
        assert_eq!((put(), store.put_blob(b"kept").unwrap()), (kept, kept), "by its content, however it came");
        let path = directory.path().join(format!("blobs/{kept}"));
        std::fs::write(&path, b"other").unwrap();
        assert!(matches!(store.open_blob(&kept), Err(StoreError::Damaged(_))));
        assert_eq!(put(), kept);
        let file = store.open_blob(&kept).unwrap();
        store.sweep().unwrap();
        assert!(!path.exists() && matches!(store.open_blob(&kept), Err(StoreError::Damaged(_))));
        assert_eq!(std::io::read_to_string(file).unwrap(), "kept", "whoever has it open has it");
    }
}
