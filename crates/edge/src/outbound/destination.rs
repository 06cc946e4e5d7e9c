//! Which servers programs may ask: a list of the operator's, by scheme, host and port.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::address::is_public;
use crate::name::Host;

/// A server that programs may ask, or several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    secure: bool,
    host: Hosts,
    port: u16,
    /// Whether its name may stand for an address that is not everybody's.
    private: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Hosts {
    Name(Host),
    /// All names that end with a dot and this one.
    Below(Host),
    Address(IpAddr),
}

/// A server that a program asks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Target {
    pub(crate) secure: bool,
    /// As in a URL, in small letters: addresses of version 6 in brackets.
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// Where a connection leads, as processes tell each other: `HOST:PORT`, and a mark if any address will do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Whether an address that is not everybody's will do.
    pub(crate) private: bool,
}

/// Before a way that may be to any address.
const PRIVATE: &str = "private ";

impl Target {
    /// The server of a URL; none, if there is none that could be asked.
    pub(crate) fn of(url: &Uri) -> Option<Target> {
        let secure = match url.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = url.authority()?;
        // Who has a password in a URL means to send it, which nobody here would.
        if authority.as_str().contains('@') {
            return None;
        }
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => usual_port(secure),
            port => port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?,
        };
        Some(Target { secure, host: host(authority.host())?, port })
    }
}

impl Destination {
    /// Whether this is the server, or one of them.
    fn is(&self, host: &Host, port: u16) -> bool {
        let same = match &self.host {
            Hosts::Name(name) => name == host,
            Hosts::Below(name) => {
                let below = host.as_str().strip_suffix(name.as_str());
                below.is_some_and(|below| below.len() > 1 && below.ends_with('.'))
            }
            Hosts::Address(address) => address_of(host) == Some(*address),
        };
        same && self.port == port
    }

    /// Whether its name may stand for any address. One that is an address itself says so itself.
    fn is_private(&self) -> bool {
        self.private || matches!(self.host, Hosts::Address(_))
    }

    /// Whether it is asked by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// The same, whatever its name stands for: this machine, or another of a private network.
    pub fn at_any_address(self) -> Destination {
        Destination { private: true, ..self }
    }

    fn read(text: &str, private: bool) -> Result<Destination, String> {
        let wrong = |found: &str| format!("found {found} in {text:?}, {EXPECTED}");
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("no scheme"))?;
        let secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("another scheme than http and https")),
        };
        if rest.contains(['/', '?', '#']) {
            return Err(wrong("a path"));
        }
        if rest.contains('@') {
            return Err(wrong("a user"));
        }
        let colon = rest.rfind(':').filter(|at| !rest[*at..].contains(']'));
        let (name, port) = match colon {
            Some(at) => (&rest[..at], rest[at + 1..].parse().ok().filter(|port| *port != 0)),
            None => (rest, Some(usual_port(secure))),
        };
        let port = port.ok_or_else(|| wrong("no port from 1 to 65535 after the colon"))?;
        let (below, name) = name.strip_prefix("*.").map_or((false, name), |name| (true, name));
        let name = host(name).ok_or_else(|| wrong("what can be no host"))?;
        let host = match (address_of(&name), below) {
            (Some(address), false) => Hosts::Address(address),
            (Some(_), true) => return Err(wrong("an address that begins with *.")),
            (None, true) => Hosts::Below(name),
            (None, false) => Hosts::Name(name),
        };
        Ok(Destination { secure, host, port, private })
    }
}

const EXPECTED: &str = "expected a server as \"https://api.example.com\", \"https://*.example.com\" (all names below) or \
                        \"http://10.0.0.7:8080\"";

impl Way {
    /// Whether it leads to one of these, and to no address that it may not.
    pub(crate) fn is_to<'d>(&self, mut destinations: impl Iterator<Item = &'d Destination>) -> bool {
        destinations.any(|one| one.is(&self.host, self.port) && (one.is_private() || !self.private))
    }

    /// Reads what [`fmt::Display`] wrote.
    pub(crate) fn read(text: &str) -> Option<Way> {
        let (private, rest) = text.strip_prefix(PRIVATE).map_or((false, text), |rest| (true, rest));
        let (name, port) = rest.rsplit_once(':')?;
        Some(Way { host: host(name)?, port: port.parse().ok()?, private })
    }

    /// Whether it may lead to this address.
    pub(crate) fn accepts(&self, address: IpAddr) -> bool {
        self.private || is_public(address)
    }

    /// The host as resolvers want it: without brackets.
    pub(crate) fn name(&self) -> &str {
        self.host.as_str().trim_matches(['[', ']'])
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:{}", if self.private { PRIVATE } else { "" }, self.host, self.port)
    }
}

/// The way to a server, if it is one of these.
pub(crate) fn way(destinations: &[Destination], target: &Target) -> Option<Way> {
    let Target { secure, host, port } = target;
    let mut known = destinations.iter().filter(|one| one.secure == *secure && one.is(host, *port)).peekable();
    known.peek()?;
    Some(Way { host: host.clone(), port: *port, private: known.any(Destination::is_private) })
}

fn usual_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// A name or an address of the one form that is no surprise: resolvers take `127.1` and `0x7f000001` for addresses, too.
fn host(text: &str) -> Option<Host> {
    let host = Host::new(text).ok()?;
    let last = host.as_str().rsplit('.').next()?;
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    let fits = text.starts_with('[') || !numeric || host.as_str().parse::<std::net::Ipv4Addr>().is_ok();
    fits.then_some(host)
}

fn address_of(host: &Host) -> Option<IpAddr> {
    host.as_str().trim_matches(['[', ']']).parse().ok()
}

/// A server whose name may stand for any address.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrivateDestination {
    /// `http://db.internal:8080`
    url: String,
    /// Whether it may be in a private network, or this machine.
    #[serde(default)]
    private: bool,
}

/// A URL, or a table.
struct Written;

impl<'de> de::Visitor<'de> for Written {
    type Value = Destination;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a server's URL, or { url = \"http://db.internal:8080\", private = true }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Destination, E> {
        Destination::read(text, false).map_err(E::custom)
    }

    fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<Destination, M::Error> {
        let PrivateDestination { url, private } =
            PrivateDestination::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Destination::read(&url, private).map_err(de::Error::custom)
    }
}

/// As in a configuration: `https://api.example.com`.
impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Destination, String> {
        Destination::read(text, false)
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Destination, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(urls: &[&str]) -> Vec<Destination> {
        urls.iter().map(|url| Destination::read(url.trim_start_matches('!'), url.starts_with('!')).unwrap()).collect()
    }

    /// What a program that asks for this gets: its way, or nothing.
    fn found(list: &[Destination], url: &str) -> Option<String> {
        way(list, &Target::of(&url.parse().ok()?)?).map(|way| way.to_string())
    }

    #[test]
    fn what_is_listed_is_found_and_nothing_beside_it() {
        let list = list(&[
            "https://api.example.com",
            "http://plain.example.com:8080",
            "https://*.example.org",
            "http://10.0.0.7",
            "https://[2001:db8::1]:8443",
            "!http://db.internal:5984",
        ]);
        for (url, way) in [
            ("https://api.example.com/x?y=1", "api.example.com:443"),
            ("https://API.Example.COM:443", "api.example.com:443"),
            ("https://api.example.com./", "api.example.com:443"),
            ("http://plain.example.com:8080/", "plain.example.com:8080"),
            ("https://a.example.org/", "a.example.org:443"),
            ("https://a.b.example.org/", "a.b.example.org:443"),
            ("http://10.0.0.7/", "private 10.0.0.7:80"),
            ("https://[2001:DB8::0:1]:8443/", "private [2001:db8::0:1]:8443"),
            ("http://db.internal:5984/_all", "private db.internal:5984"),
        ] {
            assert_eq!(found(&list, url).as_deref(), Some(way), "{url}");
        }
        for url in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com@evil.example/",
            "https://evil.example@api.example.com/",
            "https://api.example.com:443@evil.example/",
            "https://xapi.example.com/",
            "https://api.example.com.evil.example/",
            "https://example.org/",
            "https://.example.org/",
            "https://evilexample.org/",
            "http://10.0.0.8/",
            "http://10.0.7/",
            "http://0xa.0.0.7/",
            "http://167772167/",
            "http://0xa000007/",
            "http://012.0.0.7/",
            "https://[2001:db8::2]:8443/",
            "ftp://api.example.com/",
            "//api.example.com/",
            "/x",
            "api.example.com",
            "https://api.example.com:0/",
            "https://api.example.com:/",
            "https://api.example.com:99999/",
            "https:///",
            "",
        ] {
            assert_eq!(found(&list, url), None, "{url}");
        }
    }

    #[test]
    fn ways_are_read_as_they_are_written_and_lead_nowhere_else() {
        let list = list(&["https://api.example.com", "!http://db.internal:5984", "http://127.0.0.1:80"]);
        for (text, leads) in [
            ("api.example.com:443", true),
            ("private api.example.com:443", false),
            ("api.example.com:80", false),
            ("private db.internal:5984", true),
            ("db.internal:5984", true),
            ("private 127.0.0.1:80", true),
            ("private 127.0.0.2:80", false),
        ] {
            let way = Way::read(text).unwrap();
            assert_eq!(way.to_string(), text);
            assert_eq!(way.is_to(list.iter()), leads, "{text}");
        }
        for text in ["", ":", "a", "a:", ":80", "a:99999", "a b:80", "private:80 ", "127.1:80", "a:80:80", "\0:1"] {
            assert_eq!(Way::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused_with_a_word_on_what_is_wrong() {
        for (text, wrong) in [
            ("api.example.com", "no scheme"),
            ("ftp://a", "another scheme"),
            ("https://a/", "a path"),
            ("https://a?x", "a path"),
            ("https://u:p@a", "a user"),
            ("https://a:0", "no port"),
            ("https://a:", "no port"),
            ("https://a:port", "no port"),
            ("https://", "no host"),
            ("https://*", "no host"),
            ("https://*.", "no host"),
            ("https://a b", "no host"),
            ("https://a.*.example", "no host"),
            ("https://127.1", "no host"),
            ("https://*.10.0.0.1", "begins with *."),
            ("https://[::1", "no host"),
        ] {
            let error = Destination::read(text, false).unwrap_err();
            assert!(error.contains(wrong) && error.contains(EXPECTED), "{text}: {error}");
        }
    }
}
