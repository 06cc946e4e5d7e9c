//! A request as variables and arguments (RFC 3875, section 4.1).
//!
//! Differences, each for a reason: `HTTP_PROXY` is never set, since libraries take it for a setting of their own; of
//! header names with `_` nothing is passed on, since `a_b` and `a-b` would be one variable; `HTTP_AUTHORIZATION` is
//! passed on, since the server itself authenticates no clients.

use std::borrow::Cow;

use hyper::Version;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use crate::connection::Peer;
use crate::guest::Origin;

const SOFTWARE: &str = concat!("selvedge/", env!("CARGO_PKG_VERSION"));

/// Variables that are no headers, at most.
pub(super) const COUNT: usize = 24;

/// Headers that are the connection's, or have a variable of their own, or are dangerous as one.
const NOT_PASSED: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("proxy"),
];

/// WAGI's arguments: the script's name, then the parts of the query.
pub(super) fn arguments(parts: &Parts) -> impl Iterator<Item = &str> {
    let query = parts.uri.query().unwrap_or_default();
    std::iter::once(parts.uri.path()).chain(query.split('&').filter(|part| !part.is_empty()))
}

/// Calls `set` with each variable's name and value.
pub(super) fn environment(parts: &Parts, origin: &Origin, set: &mut dyn FnMut(&str, &[u8])) {
    // One for all values that are put together.
    let mut scratch = String::with_capacity(256);
    set("GATEWAY_INTERFACE", b"CGI/1.1");
    set("SERVER_SOFTWARE", SOFTWARE.as_bytes());
    set("SERVER_PROTOCOL", protocol(parts.version));
    set("SERVER_NAME", origin.host.as_str().as_bytes());
    let Peer { shown, secure, .. } = &*origin.peer;
    set("SERVER_PORT", shown.local_port.as_bytes());
    set("REQUEST_METHOD", parts.method.as_str().as_bytes());
    set("UNIQUE_ID", origin.request_id.as_bytes());
    set("REMOTE_ADDR", shown.remote_address.as_bytes());
    set("REMOTE_HOST", shown.remote_address.as_bytes());
    set("REMOTE_PORT", shown.remote_port.as_bytes());
    if *secure {
        set("HTTPS", b"on");
    }
    target(parts, origin, &mut scratch, set);
    for (name, variable) in [(header::CONTENT_TYPE, "CONTENT_TYPE"), (header::CONTENT_LENGTH, "CONTENT_LENGTH")] {
        if let Some(value) = parts.headers.get(name) {
            set(variable, value.as_bytes());
        }
    }
    headers(parts, &mut scratch, set);
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        _ => b"HTTP/1.1",
    }
}

/// Several texts as one.
fn joined<'s>(scratch: &'s mut String, texts: &[&str]) -> &'s [u8] {
    scratch.clear();
    texts.iter().for_each(|text| scratch.push_str(text));
    scratch.as_bytes()
}

/// What was asked for.
fn target(parts: &Parts, origin: &Origin, scratch: &mut String, set: &mut dyn FnMut(&str, &[u8])) {
    let (script, path) = parts.uri.path().split_at_checked(origin.prefix_bytes).unwrap_or(("", parts.uri.path()));
    let whole = parts.uri.path_and_query().map_or("/", |whole| whole.as_str());
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // As the server has understood it: in HTTP/2, and where the target is a whole URL, the header says nothing.
    let authority = parts.uri.authority().map(|authority| authority.as_str()).or(named);
    let authority = authority.unwrap_or(origin.host.as_str());
    let scheme = if origin.peer.secure { "https://" } else { "http://" };
    set("REQUEST_URI", whole.as_bytes());
    set("SCRIPT_NAME", script.as_bytes());
    set("PATH_INFO", &decoded(path));
    set("X_RAW_PATH_INFO", path.as_bytes());
    set("X_MATCHED_ROUTE", joined(scratch, &[script, "/..."]));
    set("X_FULL_URL", joined(scratch, &[scheme, authority, whole]));
    set("QUERY_STRING", parts.uri.query().unwrap_or_default().as_bytes());
    set("HTTP_HOST", authority.as_bytes());
}

/// `HTTP_NAME` for each header that is passed on; one that comes several times is joined.
fn headers(parts: &Parts, variable: &mut String, set: &mut dyn FnMut(&str, &[u8])) {
    for name in parts.headers.keys().filter(|name| !NOT_PASSED.contains(name) && !name.as_str().contains('_')) {
        variable.clear();
        variable.push_str("HTTP_");
        variable.extend(name.as_str().chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() }));
        let mut values = parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        if *name == header::COOKIE {
            let own: Vec<&[u8]> =
                values.flat_map(|value| value.split(|byte| *byte == b';')).filter_map(foreign_cookie).collect();
            if !own.is_empty() {
                set(variable, &own.join(&b"; "[..]));
            }
            continue;
        }
        match (values.next(), values.next()) {
            (Some(only), None) => set(variable, only),
            (first, second) => {
                let values: Vec<&[u8]> = first.into_iter().chain(second).chain(values).collect();
                set(variable, &values.join(&b", "[..]));
            }
        }
    }
}

/// A cookie that is not the dashboard's: browsers send that to other ports of its host, too.
fn foreign_cookie(pair: &[u8]) -> Option<&[u8]> {
    let pair = pair.trim_ascii();
    let ours = pair
        .strip_prefix(crate::admin::COOKIE.as_bytes())
        .is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="));
    (!ours && !pair.is_empty()).then_some(pair)
}

/// A path with its escapes undone. What is no escape, and a zero byte, which no variable can hold, stay as they are.
fn decoded(path: &str) -> Cow<'_, [u8]> {
    if !path.contains('%') {
        return Cow::Borrowed(path.as_bytes());
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped =
            (*byte == b'%').then(|| Some(digit(bytes.get(at + 1))? * 16 + digit(bytes.get(at + 2))?)).flatten();
        match escaped.filter(|value| *value != 0) {
            Some(value) => {
                out.push(value as u8);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::Host;

    fn origin() -> Origin {
        origin_below(0)
    }

    fn origin_below(prefix_bytes: usize) -> Origin {
        let peer = Peer::new("192.0.2.1:5".parse().unwrap(), 80, true, Arc::default());
        Origin { request_id: "id".into(), peer: Arc::new(peer), host: Host::new("a.example").unwrap(), prefix_bytes }
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(hyper::Request::builder().uri(uri), |r, (name, value)| r.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn variable(parts: &Parts, name: &str) -> Option<String> {
        variable_of(parts, &origin(), name)
    }

    fn variable_of(parts: &Parts, origin: &Origin, name: &str) -> Option<String> {
        let mut found = Vec::new();
        let mut note = |set: &str, value: &[u8]| {
            if set == name {
                found.push(String::from_utf8(value.to_vec()).unwrap());
            }
        };
        environment(parts, origin, &mut note);
        assert!(found.len() <= 1, "{name} is there twice");
        found.pop()
    }

    #[test]
    fn the_url_is_taken_apart() {
        let parts = request("/a%20b/%2e%zz%00?x=1&y=%20", &[("host", "a.example:8080")]);
        for (name, value) in [
            ("PATH_INFO", "/a b/.%zz%00"),
            ("X_RAW_PATH_INFO", "/a%20b/%2e%zz%00"),
            ("QUERY_STRING", "x=1&y=%20"),
            ("SERVER_NAME", "a.example"),
            ("HTTP_HOST", "a.example:8080"),
            ("HTTPS", "on"),
            ("X_FULL_URL", "https://a.example:8080/a%20b/%2e%zz%00?x=1&y=%20"),
            ("REMOTE_ADDR", "192.0.2.1"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
        ] {
            assert_eq!(variable(&parts, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(arguments(&parts).collect::<Vec<_>>(), ["/a%20b/%2e%zz%00", "x=1", "y=%20"]);
    }

    #[test]
    fn a_sites_prefix_is_the_scripts_name_and_the_rest_the_paths() {
        for (uri, prefix_bytes, script, path) in [
            ("/api/a%20b", 4, "/api", "/a b"),
            ("/api", 4, "/api", ""),
            ("/api/", 4, "/api", "/"),
            ("/api/x", 0, "", "/api/x"),
        ] {
            let (parts, origin) = (request(uri, &[]), origin_below(prefix_bytes));
            let of = |name: &str| variable_of(&parts, &origin, name);
            assert_eq!((of("SCRIPT_NAME").as_deref(), of("PATH_INFO").as_deref()), (Some(script), Some(path)), "{uri}");
            assert_eq!(of("X_MATCHED_ROUTE"), Some(format!("{script}/...")));
            assert_eq!(of("REQUEST_URI").as_deref(), Some(uri));
        }
    }

    #[test]
    fn headers_that_could_be_taken_for_something_else_are_left_out() {
        let parts = request(
            "/",
            &[
                ("proxy", "http://evil.example"),
                ("x_forwarded_for", "1"),
                ("connection", "close"),
                ("content-type", "a/b"),
                ("accept", "a"),
                ("accept", "b"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("authorization", "Bearer x"),
            ],
        );
        for absent in ["HTTP_PROXY", "HTTP_X_FORWARDED_FOR", "HTTP_CONNECTION", "HTTP_CONTENT_TYPE"] {
            assert_eq!(variable(&parts, absent), None, "{absent}");
        }
        assert_eq!(variable(&parts, "CONTENT_TYPE").as_deref(), Some("a/b"));
        assert_eq!(variable(&parts, "HTTP_ACCEPT").as_deref(), Some("a, b"));
        assert_eq!(variable(&parts, "HTTP_COOKIE").as_deref(), Some("a=1; b=2"));
        assert_eq!(variable(&parts, "HTTP_AUTHORIZATION").as_deref(), Some("Bearer x"));
    }

    #[test]
    fn the_dashboards_cookie_reaches_no_program() {
        for (cookies, passed) in [
            ("selvedge_session=secret", None),
            ("a=1; selvedge_session=secret; b=2", Some("a=1; b=2")),
            ("selvedge_session = secret;a=1", Some("a=1")),
            ("selvedge_sessions=1", Some("selvedge_sessions=1")),
        ] {
            let parts = request("/", &[("cookie", cookies)]);
            assert_eq!(variable(&parts, "HTTP_COOKIE").as_deref(), passed, "{cookies}");
        }
    }
}
