//! From a host and a path to a site. The table is replaced as a whole; requests read it without a lock.
//!
//! A site answers for all paths below its prefix. Of several that would, the one with the longest prefix does.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::name::{Host, Name, PREFIX_SEGMENTS_MAX, Prefix};
use crate::site::Site;

/// Which site answers for what.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    hosts: HashMap<Host, Paths>,
}

/// The sites of one host.
#[derive(Clone, Default)]
struct Paths {
    /// For what is below no prefix.
    rest: Option<Arc<Site>>,
    below: HashMap<String, Arc<Site>>,
}

/// What was found.
pub(crate) struct Route {
    pub(crate) site: Arc<Site>,
    /// How much of the path, in bytes, is the site's prefix.
    pub(crate) prefix_bytes: usize,
}

/// Why nothing was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
    Host,
    Path,
}

impl Routes {
    pub(crate) fn find(&self, host: &Host, path: &str) -> Result<Route, Missing> {
        self.hosts.get(host).ok_or(Missing::Host)?.find(path).ok_or(Missing::Path)
    }

    /// The same table, but with these hosts and this prefix, and no others, for a site.
    pub(crate) fn with(&self, site: &Arc<Site>, hosts: &[Host], prefix: &Prefix) -> Routes {
        let mut routes = self.clone();
        routes.remove(site);
        routes.add(site, hosts, prefix);
        routes
    }

    /// The same table without a site.
    pub(crate) fn without(&self, site: &Site) -> Routes {
        let mut routes = self.clone();
        routes.remove(site);
        routes
    }

    /// Adds a site that is not there.
    pub(crate) fn add(&mut self, site: &Arc<Site>, hosts: &[Host], prefix: &Prefix) {
        for host in hosts {
            let paths = self.hosts.entry(host.clone()).or_default();
            match prefix.as_str() {
                "" => paths.rest = Some(site.clone()),
                prefix => drop(paths.below.insert(prefix.to_string(), site.clone())),
            }
        }
    }

    /// Where each site of a tenant answers, for people: always in the same order.
    pub(crate) fn places(&self, tenant: &Name) -> BTreeMap<Name, Vec<String>> {
        let mut places = BTreeMap::<Name, Vec<String>>::new();
        for (host, paths) in &self.hosts {
            let rest = paths.rest.iter().map(|site| (site, ""));
            let below = paths.below.iter().map(|(prefix, site)| (site, prefix.as_str()));
            for (site, prefix) in rest.chain(below).filter(|(site, _)| site.key.tenant == *tenant) {
                places.entry(site.key.site.clone()).or_default().push(format!("{host}{prefix}"));
            }
        }
        places.values_mut().for_each(|places| places.sort_unstable());
        places
    }

    fn remove(&mut self, site: &Site) {
        for paths in self.hosts.values_mut() {
            paths.rest.take_if(|other| other.key == site.key);
            paths.below.retain(|_, other| other.key != site.key);
        }
        self.hosts.retain(|_, paths| paths.rest.is_some() || !paths.below.is_empty());
    }
}

impl Paths {
    fn find(&self, path: &str) -> Option<Route> {
        let found = if self.below.is_empty() { None } else { self.longest(path) };
        found.or_else(|| Some(Route { site: self.rest.clone()?, prefix_bytes: 0 }))
    }

    fn longest(&self, path: &str) -> Option<Route> {
        // Where segments end, as many as a prefix can have.
        let slashes = path.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
        let ends: Vec<usize> = slashes.chain([path.len()]).take(PREFIX_SEGMENTS_MAX).collect();
        ends.iter().rev().find_map(|end| {
            let site = self.below.get(&path[..*end])?.clone();
            Some(Route { site, prefix_bytes: *end })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::tests::site;

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let hosts = [Host::new("a.example").unwrap()];
        let prefix = |text: &str| Prefix::new(text).unwrap();
        let (rest, api, v1) = (site("rest"), site("api"), site("v1"));
        let routes = Routes::default().with(&rest, &hosts, &prefix("/")).with(&api, &hosts, &prefix("/api/"));
        let routes = routes.with(&v1, &hosts, &prefix("/api/v1"));
        let found = |routes: &Routes, path: &str| {
            routes.find(&hosts[0], path).map(|route| (route.site.key.site.to_string(), route.prefix_bytes))
        };
        for (path, site, prefix_bytes) in [
            ("/", "rest", 0),
            ("/apix", "rest", 0),
            ("/ap", "rest", 0),
            ("/API", "rest", 0),
            ("/api", "api", 4),
            ("/api/", "api", 4),
            ("/api//v1", "api", 4),
            ("/api/v10", "api", 4),
            ("/api/v1", "v1", 7),
            ("/api/v1/a/b/c/d/e/f/g/h/i/j", "v1", 7),
            ("/api/../x", "api", 4),
            ("*", "rest", 0),
            ("", "rest", 0),
            ("/ä/api", "rest", 0),
        ] {
            assert_eq!(found(&routes, path), Ok((site.to_string(), prefix_bytes)), "{path}");
        }
        let places = routes.places(&rest.key.tenant);
        assert_eq!((places.len(), &places[&api.key.site][..]), (3, &["a.example/api".to_string()][..]));
        assert!(routes.places(&Name::new("other").unwrap()).is_empty());
        assert_eq!(routes.find(&Host::new("b.example").unwrap(), "/").err(), Some(Missing::Host));
        let routes = routes.without(&rest);
        assert_eq!(found(&routes, "/x"), Err(Missing::Path));
        let routes = routes.with(&api, &hosts, &prefix("/other"));
        assert_eq!((found(&routes, "/api"), found(&routes, "/other/x").map(|f| f.1)), (Err(Missing::Path), Ok(6)));
        let routes = routes.without(&api).without(&v1);
        assert_eq!(found(&routes, "/api/v1"), Err(Missing::Host));
    }

    #[test]
    fn places_are_told_in_order() {
        let hosts: Vec<Host> = (0..50).rev().map(|number| Host::new(&format!("h{number:02}")).unwrap()).collect();
        let all = site("all");
        let places = Routes::default().with(&all, &hosts, &Prefix::new("/").unwrap()).places(&all.key.tenant);
        assert!(places[&all.key.site].len() == 50 && places[&all.key.site].is_sorted(), "{places:?}");
    }
}
