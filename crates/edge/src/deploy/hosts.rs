//! Where a version will answer, and whether its tenant's sites may: asked before it is read, and again before it is kept.
//!
//! What answers already goes on, wherever it is; to switch between versions that are kept moves no site, and asks nobody.

use crate::error::EdgeError;
use crate::limits::HOSTS_MAX;
use crate::name::Host;
use crate::server::Shared;
use crate::store::{SiteKey, SiteRecord};

/// The hosts of a site with its next version: those that are asked for, those that it had, or its own name.
pub(super) fn of_next(key: &SiteKey, before: Option<&SiteRecord>, asked: &[Host]) -> Result<Vec<Host>, EdgeError> {
    let hosts = match before {
        _ if !asked.is_empty() => asked.to_vec(),
        Some(before) if !before.hosts.is_empty() => before.hosts.clone(),
        _ => vec![Host::new(&format!("{}.localhost", key.site))?],
    };
    if hosts.len() > HOSTS_MAX { Err(EdgeError::TooManyHosts(HOSTS_MAX)) } else { Ok(hosts) }
}

/// Refuses hosts that are not the tenant's, as it is configured now.
pub(super) fn check(server: &Shared, key: &SiteKey, hosts: &[Host]) -> Result<(), EdgeError> {
    let access = server.access.load();
    hosts.iter().try_for_each(|host| Ok(access.hosts.check(&key.tenant, host)?))
}
