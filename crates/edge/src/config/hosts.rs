//! Whose sites may answer for which hosts.
//!
//! A tenant with a list (`hosts = ["*.a.example", "b.example"]`) has the hosts on it and no others. A tenant without one has
//! those that are on nobody's. Lists that have a host in common are a mistake, so that each host is one tenant's. What the
//! admin address is called is no site's where people log in: a page there could plant cookies for the dashboard.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use super::TenantConfig;
use crate::name::{Host, Name};

/// A host on a tenant's list, or all below a name: `b.example`, `*.a.example`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HostPattern(String);

/// A site may not answer for a host.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum HostError {
    /// The tenant's list is without it. The client's to choose another, or the operator's to add it.
    #[error("the host {host} is not on the list tenants.{tenant}.hosts, which has {list}: choose another with --host")]
    NotListed {
        /// Which.
        host: Host,
        /// Whose list.
        tenant: Name,
        /// What is on it, as far as that is short.
        list: String,
    },
    /// It is on another tenant's. The client's to choose another.
    #[error("the host {host} is on another tenant's list of hosts: choose another with --host")]
    Listed {
        /// Which.
        host: Host,
    },
    /// Operators connect there. The client's to choose another.
    #[error("the host {host} is what the admin address is called, and no site's: choose another with --host")]
    Admin {
        /// Which.
        host: Host,
    },
}

/// Of a list, so many are named to who is not on it.
const NAMED_MAX: usize = 5;

/// Which hosts are whose.
pub(crate) struct HostLists {
    /// Where operators connect.
    pub(crate) admin: IpAddr,
    /// Whether they log in there.
    logs_in: bool,
    /// Of tenants that have one.
    lists: BTreeMap<Name, Vec<HostPattern>>,
    /// Whose each pattern is.
    owners: BTreeMap<String, Name>,
}

/// Two lists have a host in common.
pub(super) struct Overlap {
    pub(super) tenant: Name,
    pub(super) pattern: HostPattern,
    pub(super) other: Name,
    /// That of the other which covers it.
    pub(super) by: String,
}

impl HostLists {
    pub(crate) fn new(admin: IpAddr, tenants: &[TenantConfig]) -> HostLists {
        let logs_in = tenants.iter().any(|tenant| !tenant.tokens.is_empty());
        let listing = tenants.iter().filter_map(|tenant| Some((tenant.name.clone(), tenant.hosts.clone()?)));
        let lists: BTreeMap<Name, Vec<HostPattern>> = listing.collect();
        let each =
            lists.iter().flat_map(|(name, list)| list.iter().map(move |pattern| (pattern.0.clone(), name.clone())));
        let owners = each.collect();
        HostLists { admin, logs_in, lists, owners }
    }

    /// Whether a tenant's sites may answer for a host.
    pub(crate) fn check(&self, tenant: &Name, host: &Host) -> Result<(), HostError> {
        if self.logs_in && is_called(self.admin, host) {
            return Err(HostError::Admin { host: host.clone() });
        }
        let owner = covering(host.as_str()).find_map(|pattern| self.owners.get(&pattern));
        match (owner, self.lists.get(tenant)) {
            (Some(owner), _) if owner == tenant => Ok(()),
            (_, Some(list)) => {
                Err(HostError::NotListed { host: host.clone(), tenant: tenant.clone(), list: shortened(list) })
            }
            (Some(_), None) => Err(HostError::Listed { host: host.clone() }),
            (None, None) => Ok(()),
        }
    }

    /// Hosts that are on two lists.
    pub(super) fn overlap(&self) -> Option<Overlap> {
        let each = self.lists.iter().flat_map(|(name, list)| list.iter().map(move |pattern| (name, pattern)));
        each.into_iter().find_map(|(tenant, pattern)| {
            // Of two patterns that have a host in common, one covers the other.
            let others = |by: String| self.owners.get(&by).filter(|other| *other != tenant).map(|other| (by, other));
            let (by, other) = covering(&pattern.0).find_map(others)?;
            Some(Overlap { tenant: tenant.clone(), pattern: pattern.clone(), other: other.clone(), by })
        })
    }
}

/// The patterns that cover a host, or a pattern: itself, and all below each name that it ends with.
fn covering(name: &str) -> impl Iterator<Item = String> {
    std::iter::once(name.to_string()).chain(name.match_indices('.').map(|(at, _)| format!("*{}", &name[at..])))
}

/// Whether browsers may call this address so.
fn is_called(admin: IpAddr, host: &Host) -> bool {
    let address = host.as_str().trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let localhost = host.as_str() == "localhost";
    match admin.to_canonical() {
        // Any of the machine's, whatever these are.
        admin if admin.is_unspecified() => localhost || address.is_some(),
        admin => {
            let first = matches!(admin.to_string().as_str(), "127.0.0.1" | "::1");
            localhost && first || address.is_some_and(|address| address.to_canonical() == admin)
        }
    }
}

fn shortened(list: &[HostPattern]) -> String {
    let named = list.iter().take(NAMED_MAX).map(|pattern| pattern.0.as_str()).collect::<Vec<_>>().join(", ");
    match list.len() {
        0 => "none".into(),
        1..=NAMED_MAX => named,
        more => format!("{named} and {} more", more - NAMED_MAX),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostPattern, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (star, name) = text.strip_prefix("*.").map_or(("", text.as_str()), |name| ("*.", name));
        let host = Host::new(name).ok().filter(|host| star.is_empty() || host.as_str().parse::<IpAddr>().is_err());
        let expected = "expected a host as \"hello.example\", or \"*.example\" (all below)";
        let wrong = || de::Error::custom(format!("found {text:?}, {expected}"));
        host.map(|host| HostPattern(format!("{star}{host}"))).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn lists(text: &str) -> HostLists {
        let config = Config::parse(text, "edge.toml").unwrap();
        HostLists::new(config.admin.ip(), &config.tenant_list())
    }

    /// Any tenant's site had a host that nobody had yet, whoever's it was.
    #[test]
    fn a_host_is_for_the_tenant_that_lists_it_or_for_those_without_a_list() {
        let text = "[tenants.a]\nhosts = [\"*.A.example\", \"b.example.\"]\n[tenants.b]\nhosts = [\"x.b.example\"]\n\
                    [tenants.none]\nhosts = []\n[tenants.any]\n[tenants.other]\n";
        let lists = lists(&format!("{text}tokens = [\"sha256:{:064}\"]\n", 1));
        for (host, tenants) in [
            ("x.a.example", &["a"][..]),
            ("x.y.a.example", &["a"]),
            ("b.example", &["a"]),
            ("x.b.example", &["b"]),
            ("a.example", &["any", "other"]),
            ("xa.example", &["any", "other"]),
            ("y.b.example", &["any", "other"]),
            ("x.x.b.example", &["any", "other"]),
            ("example", &["any", "other"]),
            ("127.0.0.2", &["any", "other"]),
            ("127.0.0.1", &[]),
        ] {
            let may = |tenant: &&str| lists.check(&Name::new(tenant).unwrap(), &Host::new(host).unwrap()).is_ok();
            let those: Vec<&str> = ["a", "any", "b", "none", "other"].into_iter().filter(may).collect();
            assert_eq!(those, tenants, "{host}");
        }
        let said = |tenant: &str, host: &str| {
            lists.check(&Name::new(tenant).unwrap(), &Host::new(host).unwrap()).unwrap_err().to_string()
        };
        assert_eq!(
            said("a", "x.b.example"),
            "the host x.b.example is not on the list tenants.a.hosts, which has *.a.example, b.example: choose another \
             with --host"
        );
        assert!(said("none", "x.example").contains("tenants.none.hosts, which has none"));
        assert!(said("any", "b.example").contains("the host b.example is on another tenant's list of hosts"));
    }

    /// Without tokens there is no session that a page could plant.
    #[test]
    fn where_nobody_logs_in_a_site_may_be_called_what_the_admin_address_is() {
        let may = |text: &str| lists(text).check(&Name::new("a").unwrap(), &Host::new("localhost").unwrap()).is_ok();
        let token = format!("[tenants.a]\ntokens = [\"sha256:{:064}\"]\n", 1);
        assert_eq!([may(""), may("[tenants.a]\n"), may(&token)], [true, true, false]);
    }

    #[test]
    fn what_the_admin_address_is_called_is_no_sites() {
        for (admin, host, called) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "localhost", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "hello.localhost", false),
            ("127.0.0.1", "[::ffff:127.0.0.1]", true),
            ("127.0.0.2", "localhost", false),
            ("127.0.0.2", "127.0.0.2", true),
            ("::1", "[::1]", true),
            ("::1", "[0:0:0:0:0:0:0:1]", true),
            ("::1", "localhost", true),
            ("::1", "127.0.0.1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "localhost", false),
            ("0.0.0.0", "192.0.2.1", true),
            ("::", "192.0.2.1", true),
            ("::", "localhost", true),
            ("::", "a.example", false),
        ] {
            let (address, host) = (admin.parse().unwrap(), Host::new(host).unwrap());
            assert_eq!(is_called(address, &host), called, "{host} at {admin}");
        }
    }

    #[test]
    fn a_long_list_is_named_in_part() {
        let list: Vec<_> = (0..7).map(|number| HostPattern(format!("h{number}.example"))).collect();
        assert!(shortened(&list).ends_with("h4.example and 2 more"), "{}", shortened(&list));
        assert!(shortened(&list[..5]).ends_with("h4.example"));
    }
}
