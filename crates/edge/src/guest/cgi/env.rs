//! A request as variables and arguments (RFC 3875, section 4.1).
//!
//! Differences, each for a reason: `HTTP_PROXY` is never set, since libraries take it for a setting of their own; of
//! header names with `_` nothing is passed on, since `a_b` and `a-b` would be one variable; `HTTP_AUTHORIZATION` is
//! passed on, since the server itself authenticates no clients.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use hyper::Version;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use selvedge_wasi::{Environment, VariableName};

use crate::connection::Peer;
use crate::guest::Origin;

const SOFTWARE: &str = concat!("selvedge/", env!("CARGO_PKG_VERSION"));

/// Room for the variables of most requests.
const BYTES: usize = 1 << 10;
/// Variables that are no headers, at most.
const COUNT: usize = 24;

/// What variables of headers begin with, and room for most of their names.
const PREFIX: &[u8] = b"HTTP_";
const NAME_BYTES: usize = 64;

/// A name that the compiler has checked.
macro_rules! named {
    ($name:literal) => {
        const { VariableName::new($name) }
    };
}

/// WAGI's arguments: the script's name, then the parts of the query.
pub(super) fn arguments(parts: &Parts) -> impl Iterator<Item = &str> {
    let query = parts.uri.query().unwrap_or_default();
    std::iter::once(parts.uri.path()).chain(query.split('&').filter(|part| !part.is_empty()))
}

/// The variables of a request. Those that most programs ask for come first: they look from there.
pub(super) fn environment(parts: &Parts, origin: &Origin<'_>) -> Environment {
    let mut env = Environment::new();
    env.reserve(COUNT + parts.headers.len(), BYTES);
    target(parts, origin, &mut env);
    env.set_joined(named!("UNIQUE_ID"), [origin.request_id.as_bytes()]);
    env.set_joined(named!("SERVER_NAME"), [origin.host.as_str().as_bytes()]);
    env.set_joined(named!("SERVER_PROTOCOL"), [protocol(parts.version)]);
    headers(parts, &mut env);
    env.append(origin.peer.variables.get_or_init(|| of_connection(origin.peer)));
    env
}

/// What is the same for all requests of a connection.
fn of_connection(peer: &Peer) -> Environment {
    let mut env = Environment::new();
    let (address, port) = (peer.remote.ip().to_string(), peer.remote.port().to_string());
    env.set("GATEWAY_INTERFACE", "CGI/1.1");
    env.set("SERVER_SOFTWARE", SOFTWARE);
    env.set("SERVER_PORT", peer.local_port.to_string());
    env.set("REMOTE_ADDR", &address);
    env.set("REMOTE_HOST", &address);
    env.set("REMOTE_PORT", port);
    if peer.secure {
        env.set("HTTPS", "on");
    }
    env
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        _ => b"HTTP/1.1",
    }
}

/// What was asked for.
fn target(parts: &Parts, origin: &Origin<'_>, env: &mut Environment) {
    let (script, path) = parts.uri.path().split_at_checked(origin.prefix_bytes).unwrap_or(("", parts.uri.path()));
    let whole = parts.uri.path_and_query().map_or("/", |whole| whole.as_str());
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // As the server has understood it: in HTTP/2, and where the target is a whole URL, the header says nothing.
    let authority = parts.uri.authority().map(|authority| authority.as_str()).or(named);
    let authority = authority.unwrap_or(origin.host.as_str()).as_bytes();
    let scheme: &[u8] = if origin.peer.secure { b"https://" } else { b"http://" };
    env.set_joined(named!("REQUEST_METHOD"), [parts.method.as_str().as_bytes()]);
    env.set_joined(named!("PATH_INFO"), [&decoded(path)]);
    env.set_joined(named!("QUERY_STRING"), [parts.uri.query().unwrap_or_default().as_bytes()]);
    env.set_joined(named!("REQUEST_URI"), [whole.as_bytes()]);
    env.set_joined(named!("SCRIPT_NAME"), [script.as_bytes()]);
    env.set_joined(named!("X_RAW_PATH_INFO"), [path.as_bytes()]);
    env.set_joined(named!("X_MATCHED_ROUTE"), [script.as_bytes(), b"/..."]);
    env.set_joined(named!("X_FULL_URL"), [scheme, authority, whole.as_bytes()]);
    env.set_joined(named!("HTTP_HOST"), [authority]);
}

/// A variable for each header that is passed on; one that comes several times is joined.
fn headers(parts: &Parts, env: &mut Environment) {
    // Most come once: then nothing is looked up.
    let all_once = parts.headers.keys_len() == parts.headers.len();
    if all_once {
        parts.headers.iter().for_each(|(name, value)| pass_on(name.as_str(), &[value], env));
        return;
    }
    for name in parts.headers.keys() {
        let values: Vec<&HeaderValue> = parts.headers.get_all(name).iter().collect();
        pass_on(name.as_str(), &values, env);
    }
}

/// The variable of a header, if it is passed on.
fn pass_on(name: &str, values: &[&HeaderValue], env: &mut Environment) {
    let first = values.first().map_or(&b""[..], |value| value.as_bytes());
    match name {
        // They have variables of their own.
        "content-type" => return env.set_joined(named!("CONTENT_TYPE"), [first]),
        "content-length" => return env.set_joined(named!("CONTENT_LENGTH"), [first]),
        "cookie" => return cookies(values, env),
        // The connection's, or as HTTP_HOST there already, or for the server alone, or dangerous as a variable.
        "connection" | "expect" | "te" | "transfer-encoding" | "upgrade" | "host" | "proxy-authorization" | "proxy" => {
            return;
        }
        _ if name.contains('_') => return,
        _ => {}
    }
    let (mut short, mut long) = ([0; NAME_BYTES], Vec::new());
    let variable = short.get_mut(..PREFIX.len() + name.len()).unwrap_or_else(|| {
        long.resize(PREFIX.len() + name.len(), 0);
        &mut long
    });
    let (prefix, rest) = variable.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    let upper = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() };
    rest.iter_mut().zip(name.bytes()).for_each(|(to, byte)| *to = upper(byte));
    let variable = OsStr::from_bytes(variable);
    match values {
        [only] => env.set(variable, OsStr::from_bytes(only.as_bytes())),
        values => {
            let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            env.set(variable, OsStr::from_bytes(&values.join(&b", "[..])));
        }
    }
}

/// All cookies but the server's own.
fn cookies(values: &[&HeaderValue], env: &mut Environment) {
    let pairs = values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let passed: Vec<&[u8]> = pairs.filter_map(foreign_cookie).collect();
    if !passed.is_empty() {
        env.set_joined(named!("HTTP_COOKIE"), [&passed.join(&b"; "[..])]);
    }
}

/// A cookie that is not the dashboard's: browsers send that to other ports of its host, too.
fn foreign_cookie(pair: &[u8]) -> Option<&[u8]> {
    let pair = pair.trim_ascii();
    let is =
        |name: &str| pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="));
    let ours = crate::admin::COOKIES.into_iter().any(is);
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
    use crate::request_id::RequestId;

    fn peer() -> Peer {
        Peer::new("192.0.2.1:5".parse().unwrap(), 80, true, Arc::default())
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(hyper::Request::builder().uri(uri), |r, (name, value)| r.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn variable(parts: &Parts, name: &str) -> Option<String> {
        variable_below(parts, 0, name)
    }

    fn variable_below(parts: &Parts, prefix_bytes: usize, name: &str) -> Option<String> {
        let (peer, host) = (peer(), Host::new("a.example").unwrap());
        let origin = Origin { request_id: RequestId::known("id"), peer: &peer, host: &host, prefix_bytes };
        let env = environment(parts, &origin);
        let mut found = env.iter().filter(|(set, _)| *set == name.as_bytes());
        let value = found.next().map(|(_, value)| String::from_utf8(value.to_vec()).unwrap());
        assert!(found.next().is_none(), "{name} is there twice");
        value
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
            let parts = request(uri, &[]);
            let of = |name: &str| variable_below(&parts, prefix_bytes, name);
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
                ("content-type", "c/d"),
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
    fn names_of_any_length_are_variables() {
        for bytes in [1, NAME_BYTES - PREFIX.len(), NAME_BYTES - PREFIX.len() + 1, 1_000] {
            let parts = request("/", &[(&"a-".repeat(bytes)[..bytes], "x")]);
            let name = format!("HTTP_{}", &"A_".repeat(bytes)[..bytes]);
            assert_eq!(variable(&parts, &name).as_deref(), Some("x"), "{bytes}");
        }
    }

    #[test]
    fn the_dashboards_cookie_reaches_no_program() {
        for (cookies, passed) in [
            ("selvedge_session=secret", None),
            ("a=1; selvedge_session=secret; b=2", Some("a=1; b=2")),
            ("selvedge_session = secret;a=1", Some("a=1")),
            ("selvedge_sessions=1", Some("selvedge_sessions=1")),
            ("__Host-selvedge_session=secret; a=1", Some("a=1")),
            ("a=1;__Host-selvedge_session =secret", Some("a=1")),
            ("__Host-selvedge_sessions=1; __Host-a=1", Some("__Host-selvedge_sessions=1; __Host-a=1")),
        ] {
            let parts = request("/", &[("cookie", cookies)]);
            assert_eq!(variable(&parts, "HTTP_COOKIE").as_deref(), passed, "{cookies}");
        }
    }
}
