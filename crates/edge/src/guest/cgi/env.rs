//! A request as variables and arguments (RFC 3875, section 4.1).
//!
//! Differences, each for a reason: `HTTP_PROXY` is never set, since libraries take it for a setting of their own; of
//! header names with `_` nothing is passed on, since `a_b` and `a-b` would be one variable; `HTTP_AUTHORIZATION` is
//! passed on, since the server itself authenticates no clients.

use std::borrow::Cow;

use hyper::header::{self, HeaderName};
use hyper::http::request::Parts;

use crate::guest::Origin;

const SOFTWARE: &str = concat!("selvedge/", env!("CARGO_PKG_VERSION"));

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
pub(super) fn arguments(parts: &Parts) -> Vec<String> {
    let query = parts.uri.query().unwrap_or_default();
    let name = std::iter::once(parts.uri.path().to_string());
    name.chain(query.split('&').filter(|part| !part.is_empty()).map(str::to_string)).collect()
}

/// The variables.
pub(super) fn environment(parts: &Parts, origin: &Origin) -> Vec<(Cow<'static, str>, Vec<u8>)> {
    let (script, path) = parts.uri.path().split_at_checked(origin.prefix_bytes).unwrap_or(("", parts.uri.path()));
    let query = parts.uri.query().unwrap_or_default();
    let remote = origin.remote.ip().to_string();
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // As the server has understood it: in HTTP/2, and where the target is a whole URL, the header says nothing.
    let authority = parts.uri.authority().map(|authority| authority.as_str()).or(named).unwrap_or(&origin.host);
    let scheme = if origin.secure { "https" } else { "http" };
    let url = format!("{scheme}://{authority}{}", parts.uri.path_and_query().map_or("/", |whole| whole.as_str()));
    let mut variables: Vec<(Cow<'static, str>, Vec<u8>)> = Vec::with_capacity(20 + parts.headers.len());
    let mut set = |name: &'static str, value: &[u8]| variables.push((Cow::Borrowed(name), value.to_vec()));
    set("GATEWAY_INTERFACE", b"CGI/1.1");
    set("SERVER_SOFTWARE", SOFTWARE.as_bytes());
    set("SERVER_PROTOCOL", format!("{:?}", parts.version).as_bytes());
    set("SERVER_NAME", origin.host.as_bytes());
    set("SERVER_PORT", origin.local_port.to_string().as_bytes());
    set("REQUEST_METHOD", parts.method.as_str().as_bytes());
    set("REQUEST_URI", parts.uri.path_and_query().map_or("/", |whole| whole.as_str()).as_bytes());
    set("SCRIPT_NAME", script.as_bytes());
    set("PATH_INFO", &decoded(path));
    set("X_RAW_PATH_INFO", path.as_bytes());
    set("X_MATCHED_ROUTE", format!("{script}/...").as_bytes());
    set("X_FULL_URL", url.as_bytes());
    set("QUERY_STRING", query.as_bytes());
    set("REMOTE_ADDR", remote.as_bytes());
    set("REMOTE_HOST", remote.as_bytes());
    set("REMOTE_PORT", origin.remote.port().to_string().as_bytes());
    set("UNIQUE_ID", origin.request_id.as_bytes());
    set("HTTP_HOST", authority.as_bytes());
    if origin.secure {
        set("HTTPS", b"on");
    }
    for (name, variable) in [(header::CONTENT_TYPE, "CONTENT_TYPE"), (header::CONTENT_LENGTH, "CONTENT_LENGTH")] {
        if let Some(value) = parts.headers.get(name) {
            set(variable, value.as_bytes());
        }
    }
    headers(parts, &mut variables);
    variables
}

/// `HTTP_NAME` for each header that is passed on; one that comes several times is joined.
fn headers(parts: &Parts, variables: &mut Vec<(Cow<'static, str>, Vec<u8>)>) {
    for name in parts.headers.keys().filter(|name| !NOT_PASSED.contains(name) && !name.as_str().contains('_')) {
        let separator: &[u8] = if *name == header::COOKIE { b"; " } else { b", " };
        let mut values: Vec<&[u8]> = parts.headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        if *name == header::COOKIE {
            values = values
                .into_iter()
                .flat_map(|value| value.split(|byte| *byte == b';'))
                .filter_map(foreign_cookie)
                .collect();
            if values.is_empty() {
                continue;
            }
        }
        let variable: String =
            name.as_str().chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() }).collect();
        variables.push((Cow::Owned(format!("HTTP_{variable}")), values.join(separator)));
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
fn decoded(path: &str) -> Vec<u8> {
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
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        origin_below(0)
    }

    fn origin_below(prefix_bytes: usize) -> Origin {
        let remote = "192.0.2.1:5".parse().unwrap();
        Origin { request_id: "id".into(), remote, local_port: 80, secure: true, host: "a.example".into(), prefix_bytes }
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(hyper::Request::builder().uri(uri), |r, (name, value)| r.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn variable(parts: &Parts, name: &str) -> Option<String> {
        let found: Vec<_> = environment(parts, &origin()).into_iter().filter(|(n, _)| n == name).collect();
        assert!(found.len() <= 1, "{name} is there twice");
        found.into_iter().next().map(|(_, value)| String::from_utf8(value).unwrap())
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
        assert_eq!(arguments(&parts), ["/a%20b/%2e%zz%00", "x=1", "y=%20"]);
    }

    #[test]
    fn a_sites_prefix_is_the_scripts_name_and_the_rest_the_paths() {
        for (uri, prefix_bytes, script, path) in [
            ("/api/a%20b", 4, "/api", "/a b"),
            ("/api", 4, "/api", ""),
            ("/api/", 4, "/api", "/"),
            ("/api/x", 0, "", "/api/x"),
        ] {
            let all = environment(&request(uri, &[]), &origin_below(prefix_bytes));
            let of =
                |name: &str| all.iter().find(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned());
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
