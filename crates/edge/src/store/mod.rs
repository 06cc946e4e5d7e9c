//! What outlives the process: a record for each site, and blobs (modules and artifacts) named by their content.
//!
//! A record names blobs; so blobs are written, and on the disk, before the record that names them. A record is
//! replaced as a whole, and only by whoever knows the one before ([`SiteRecord::revision`]).

mod files;
mod outlook;
mod records;
mod redb;

use std::fmt;
use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use self::outlook::Outlook;
pub use self::redb::DiskStore;
use crate::config::Scope;
use crate::name::{Host, Name, Prefix};

/// Whose site it is, and its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SiteKey {
    /// The tenant.
    pub tenant: Name,
    /// The site.
    pub site: Name,
}

impl fmt::Display for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.site)
    }
}

/// The SHA-256 of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Digest {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Digest> {
        crate::config::from_hex(text).map(Digest)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::parse(&text).ok_or_else(|| serde::de::Error::custom("a digest has 64 hexadecimal digits"))
    }
}

/// All that is kept of a site.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteRecord {
    /// Whose it is, and its name.
    pub key: SiteKey,
    /// Where it answers.
    pub hosts: Vec<Host>,
    /// For which paths.
    #[serde(default)]
    pub path: Prefix,
    /// What was deployed, oldest first.
    pub versions: Vec<VersionRecord>,
    /// Number of the version that answers.
    pub active: u32,
    /// A version that answers some of the requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// How often the record was written.
    pub revision: u64,
}

/// A version that is tried on a part of the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Canary {
    /// Its number.
    pub version: u32,
    /// Of a hundred requests, those that it answers.
    pub percent: u8,
}

/// A version of a site. It never changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Counted from 1.
    pub number: u32,
    /// The program that was uploaded; none if it has files alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<Digest>,
    /// What it was compiled to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Digest>,
    /// The bundle that was uploaded, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleRecord>,
    /// The text of the module's detached signature, if it came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// When, in milliseconds since 1970.
    pub deployed_ms: u64,
}

/// A bundle, and what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BundleRecord {
    /// The archive, as it was uploaded.
    pub digest: Digest,
    /// What is in it beside the program.
    #[serde(flatten)]
    pub summary: BundleSummary,
}

/// What is in a bundle beside the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BundleSummary {
    /// Files that clients get as they are.
    pub assets: u32,
    /// Their bytes.
    pub asset_bytes: u64,
    /// Files that the program can read.
    pub files: u32,
}

impl VersionRecord {
    /// The blobs that it names.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        [self.module, self.artifact, self.bundle.map(|bundle| bundle.digest)].into_iter().flatten()
    }
}

impl SiteRecord {
    /// Of a site that has no version yet.
    pub(crate) fn new(key: SiteKey) -> SiteRecord {
        let (hosts, versions) = (Vec::new(), Vec::new());
        SiteRecord { key, hosts, path: Prefix::default(), versions, active: 0, canary: None, revision: 0 }
    }

    /// A version.
    pub fn version(&self, number: u32) -> Option<&VersionRecord> {
        self.versions.iter().find(|version| version.number == number)
    }
}

/// Something could not be kept or found.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another tenant answers for a host. The client's to choose another.
    #[error("the host {host} belongs to another tenant: choose another with --host")]
    HostTaken {
        /// Which.
        host: Host,
    },
    /// A site answers for a host that whoever asks may not change. The client's to choose another.
    #[error(
        "the host {host} belongs to a site that this token is not for: choose another with --host, or ask somebody \
         whose token is for both"
    )]
    HostOfOthers {
        /// Which.
        host: Host,
    },
    /// Another site answers for a host and path. The client's to choose another.
    #[error("{route} belongs to the site {site}: choose another --host or --path, or delete that site")]
    RouteTaken {
        /// Host and path.
        route: String,
        /// Whose it is.
        site: String,
    },
    /// Somebody else wrote the record meanwhile. Trying again helps.
    #[error("the site was changed by somebody else meanwhile; try again")]
    Conflict,
    /// There are too many sites. The operator's to delete some.
    #[error("there are {0} sites already, which is the limit")]
    TooManySites(usize),
    /// What was kept is not what is there now. The operator's to restore a copy.
    #[error("the stored {0} is damaged or missing; restore the state directory from a copy, or deploy again")]
    Damaged(String),
    /// The records cannot be made out. The operator's to restore a copy, or to begin anew.
    #[error(
        "{file} is damaged: {source}; restore the state directory from a copy, or move that file away and deploy every \
         site again"
    )]
    Unreadable {
        /// Where they were.
        file: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another server keeps its sites there. The operator's to stop one, or to name another directory.
    #[error(
        "the state directory {0} is another server's, which runs: stop that one, or set `state` to another directory"
    )]
    InUse(String),
    /// What is kept cannot be kept there. The operator's to name another directory.
    #[error("cannot use the state directory {directory}: {source}; set `state` to one that this user may write")]
    Directory {
        /// Which.
        directory: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The disk. The operator's to mend.
    #[error("cannot {what}: {source}")]
    Disk {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// What to expect of the disk, if it has failed.
    pub(crate) fn outlook(&self) -> Option<Outlook> {
        match self {
            StoreError::Disk { source, .. } => Some(Outlook::of(&**source)),
            StoreError::Unreadable { .. } => Some(Outlook::Lasting),
            _ => None,
        }
    }
}

/// Where records and blobs are kept. What was acknowledged survives the process and the machine.
pub trait Store: Send + Sync {
    /// Keeps bytes.
    ///
    /// # Errors
    /// If they cannot be kept.
    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError>;

    /// Bytes that were kept, checked.
    ///
    /// # Errors
    /// If they are not there, have changed, or cannot be read now.
    fn blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError>;

    /// Keeps the contents of a file, which may be taken from its place.
    ///
    /// # Errors
    /// If they cannot be kept.
    fn put_file(&self, path: &Path) -> Result<Digest, StoreError>;

    /// A file with bytes that were kept, checked. It stays what it is, whatever becomes of the blob.
    ///
    /// # Errors
    /// If they are not there, have changed, or cannot be read now.
    fn open_blob(&self, digest: &Digest) -> Result<File, StoreError>;

    /// How many bytes a blob has, unchecked; none if it is not there.
    ///
    /// # Errors
    /// If the disk refuses.
    fn blob_bytes(&self, digest: &Digest) -> Result<u64, StoreError>;

    /// All records.
    ///
    /// # Errors
    /// If they cannot be read.
    fn sites(&self) -> Result<Vec<SiteRecord>, StoreError>;

    /// The records of a tenant.
    ///
    /// # Errors
    /// If they cannot be read.
    fn sites_of(&self, tenant: &Name) -> Result<Vec<SiteRecord>, StoreError>;

    /// A record, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    fn site(&self, key: &SiteKey) -> Result<Option<SiteRecord>, StoreError>;

    /// Writes a record whose revision is one more than that of the one before, or 1.
    ///
    /// # Errors
    /// If it is not, or a host belongs to another site.
    fn put_site(&self, record: &SiteRecord) -> Result<(), StoreError> {
        self.put_site_within(record, &Scope::default())
    }

    /// The same, of somebody who may change these sites alone: it answers nowhere on hosts of others where it did not before.
    ///
    /// # Errors
    /// As above, or if it would.
    fn put_site_within(&self, record: &SiteRecord, scope: &Scope) -> Result<(), StoreError>;

    /// Whether that record could be written now, by whoever may change these sites alone, as far as it does not depend on
    /// its revision. Nothing keeps somebody else from being faster.
    ///
    /// # Errors
    /// If it could not.
    fn check_site_within(&self, record: &SiteRecord, scope: &Scope) -> Result<(), StoreError>;

    /// Puts an artifact in the place of the one that a version had, made of the same module. That changes nothing of the
    /// site: its record's revision stays. A version that is not there any more needs none.
    ///
    /// # Errors
    /// If the disk refuses.
    fn renew_artifact(&self, key: &SiteKey, version: u32, artifact: Digest) -> Result<(), StoreError>;

    /// Deletes a record.
    ///
    /// # Errors
    /// If the disk refuses. That there is none is no error.
    fn delete_site(&self, key: &SiteKey) -> Result<(), StoreError>;

    /// Whether the disk failed when something was last kept, or since.
    fn has_failed(&self) -> bool;

    /// Removes blobs that no record names. Nobody may keep blobs meanwhile whose record is still to come.
    ///
    /// # Errors
    /// If the disk refuses.
    fn sweep(&self) -> Result<(), StoreError>;
}
