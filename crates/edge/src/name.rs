//! Names that come from outside: of tenants, sites and hosts. Each is checked once, here.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name of a tenant or site.
const NAME_BYTES_MAX: usize = 63;
/// Longest name of a host (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A tenant's or site's name: small letters, digits and `-`, as a label of a host name is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A host as clients name it, in small letters and without a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(String);

/// Longest prefix.
const PREFIX_BYTES_MAX: usize = 255;
/// Most segments of a prefix.
pub(crate) const PREFIX_SEGMENTS_MAX: usize = 8;

/// The beginning of the paths that a site answers for: whole segments, like `/api/v1`; empty for all paths.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(String);

/// What cannot be a name. Whoever gave it must choose another.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NameError {
    /// Of a tenant or site.
    #[error(
        "{0:?} cannot be a name: it needs 1 to {NAME_BYTES_MAX} small letters, digits and \"-\", beginning with a letter"
    )]
    Name(String),
    /// Of a host.
    #[error("{0:?} cannot be a host: it needs a name like hello.example or an address, without scheme, port and path")]
    Host(String),
    /// Of paths.
    #[error(
        "{0:?} cannot be a path prefix: it begins with \"/\", and has at most {PREFIX_SEGMENTS_MAX} segments of letters, \
         digits, \"-\", \".\", \"_\" and \"~\""
    )]
    Prefix(String),
    /// Of too many segments.
    #[error("{text:?} cannot be a path prefix: it has {found} segments, at most {PREFIX_SEGMENTS_MAX} are possible")]
    PrefixSegments {
        /// What was given.
        text: String,
        /// How many it has.
        found: usize,
    },
}

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// If it cannot be one.
    pub fn new(text: &str) -> Result<Name, NameError> {
        let letters = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let fits = letters && begins && text.len() <= NAME_BYTES_MAX && !text.ends_with('-');
        if fits { Ok(Name(text.to_string())) } else { Err(NameError::Name(shortened(text))) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Host {
    /// Checks a host's name and writes it in small letters.
    ///
    /// # Errors
    /// If it cannot be one.
    pub fn new(text: &str) -> Result<Host, NameError> {
        let host = text.strip_suffix('.').unwrap_or(text);
        let fits = host.len() <= HOST_BYTES_MAX && (has_labels(host) || is_address(host));
        if fits { Ok(Host(host.to_ascii_lowercase())) } else { Err(NameError::Host(shortened(text))) }
    }

    /// The host in an authority, which may have a port.
    ///
    /// # Errors
    /// If there is none.
    pub fn of_authority(text: &str) -> Result<Host, NameError> {
        let port = text.rfind(':').filter(|at| text[at + 1..].bytes().all(|byte| byte.is_ascii_digit()));
        Host::new(port.map_or(text, |at| &text[..at]))
    }

    /// The host.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Prefix {
    /// Checks a prefix; a slash at its end says nothing.
    ///
    /// # Errors
    /// If it cannot be one.
    pub fn new(text: &str) -> Result<Prefix, NameError> {
        let prefix = text.strip_suffix('/').unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        // What has escapes could be written in two ways, and be two sites.
        let segments = || prefix.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
        let short = prefix.len() <= PREFIX_BYTES_MAX;
        let found = prefix.matches('/').count();
        match short && (prefix.is_empty() || segments()) {
            true if found <= PREFIX_SEGMENTS_MAX => Ok(Prefix(prefix.to_string())),
            true => Err(NameError::PrefixSegments { text: shortened(text), found }),
            false => Err(NameError::Prefix(shortened(text))),
        }
    }

    /// The prefix, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a host is labels of letters, digits, `-` and `_`, none of them empty or too long. Asked for each request.
fn has_labels(host: &str) -> bool {
    let mut label_bytes = 0;
    for byte in host.bytes() {
        match byte {
            b'.' if label_bytes > 0 => label_bytes = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label_bytes < NAME_BYTES_MAX => label_bytes += 1,
            _ => return false,
        }
    }
    label_bytes > 0
}

/// Whether it is an address as URLs have those of version 6.
fn is_address(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    address.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! text_of_name {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<$name, NameError> {
                $name::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_of_name!(Name);
text_of_name!(Host);
text_of_name!(Prefix);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        for good in ["a", "hello", "a-b2"] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "2a", "A", "a/b", "..", "a b", "ä", &"a".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_are_whole_segments_written_one_way() {
        for (given, prefix) in
            [("", ""), ("/", ""), ("/a", "/a"), ("/a/", "/a"), ("/A/b.c/~d_e-f", "/A/b.c/~d_e-f"), ("/...", "/...")]
        {
            assert_eq!(Prefix::new(given).unwrap().as_str(), prefix);
        }
        for bad in ["a", "//", "/a//b", "/a//", "/.", "/a/../b", "/%61", "/a b", "/ä", "/a?b", &"/a".repeat(9)] {
            assert!(Prefix::new(bad).is_err(), "{bad}");
        }
        assert!(Prefix::new(&format!("/{}", "a".repeat(255))).is_err());
    }

    #[test]
    fn hosts_are_written_one_way() {
        for (given, host) in [
            ("Hello.Example", "hello.example"),
            ("hello.example.", "hello.example"),
            ("hello.example:8080", "hello.example"),
            ("127.0.0.1:1", "127.0.0.1"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(Host::of_authority(given).unwrap().as_str(), host);
        }
        let long = |bytes: usize| "a".repeat(bytes);
        let labels = |count: usize| vec![long(49); count].join(".");
        assert!(Host::new(&long(63)).is_ok() && Host::new(&labels(5)).is_ok());
        for bad in ["", ":80", ".", ".a", "a..", "a..b", "http://a", "a/b", "[::g]", "a b", "a:b", "user@a", "::1", "ä"]
        {
            assert!(Host::of_authority(bad).is_err(), "{bad}");
        }
        for bad in [long(64), long(64) + ".a", labels(6)] {
            assert!(Host::new(&bad).is_err(), "{bad}");
        }
    }
}
