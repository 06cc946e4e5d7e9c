//! From a host to a site. The table is replaced as a whole; requests read it without a lock.

use std::collections::HashMap;
use std::sync::Arc;

use crate::name::Host;
use crate::site::Site;

/// Which site answers for which host.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    hosts: HashMap<Host, Arc<Site>>,
}

impl Routes {
    pub(crate) fn find(&self, host: &Host) -> Option<Arc<Site>> {
        self.hosts.get(host).cloned()
    }

    /// The same table, but with these hosts, and no others, for a site.
    pub(crate) fn with(&self, site: &Arc<Site>, hosts: &[Host]) -> Routes {
        let mut routes = self.clone();
        routes.hosts.retain(|_, other| other.key != site.key);
        routes.hosts.extend(hosts.iter().map(|host| (host.clone(), site.clone())));
        routes
    }
}
