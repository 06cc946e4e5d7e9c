//! Who looks at the dashboard, and whether a form is really theirs.
//!
//! With tokens: whoever has given one, known by a cookie that no script reads and no other site's page sends along.
//! The cookie is a random number, not the token, and ends after a while or with the token. Without tokens: a browser on
//! this machine, as for the API, but for the header that browsers cannot send.
//!
//! A form that changes something carries a number that only our pages know, and must not come from a page of another
//! origin. Another port of this host is another origin, though cookies do not tell them apart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use sha2::{Digest, Sha256};

use crate::admin::access;
use crate::admin::reply::Failure;
use crate::config::{Scope, TokenHash};
use crate::connection::Peer;
use crate::deploy::Asker;
use crate::limits::{SESSION_MAX, SESSIONS_OF_TOKEN_MAX};
use crate::name::Name;
use crate::server::{Access, Token};
use crate::site::Tenant;

/// By TLS, and otherwise. Browsers take the first from no other host, and by TLS alone. Kept from programs, too
/// (`guest/cgi/env.rs`): a site on another port of this host would get them.
pub(crate) const COOKIES: [&str; 2] = ["__Host-selvedge_session", "selvedge_session"];
const SECURE_COOKIE: &str = COOKIES[0];
const PLAIN_COOKIE: &str = COOKIES[1];

/// Sessions of browsers.
pub(super) struct Sessions {
    secret: [u8; 32],
    /// By the SHA-256 of the cookie's value.
    open: Mutex<BTreeMap<[u8; 32], Session>>,
}

#[derive(Clone, Copy)]
struct Session {
    token: TokenHash,
    began: Instant,
}

/// Who looks.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) tenant: Arc<Tenant>,
    pub(super) scope: Arc<Scope>,
    /// None where none is asked for.
    pub(super) token: Option<TokenHash>,
    /// The cookie's value; empty where there are no tokens.
    pub(super) session: String,
    /// Whether it is the one that browsers send by TLS alone.
    secure: bool,
}

/// Nobody who may look.
pub(super) enum Stranger {
    /// Could give a token.
    Unknown,
    Refused(Failure),
}

impl Visitor {
    pub(super) fn asker(&self) -> Asker {
        Asker { token: self.token, revision: None }
    }
}

impl Sessions {
    pub(super) fn new() -> Sessions {
        Sessions { secret: random(), open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Session>> {
        // Nothing below leaves it half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn visitor(&self, access: &Access, peer: &Peer, headers: &HeaderMap) -> Result<Visitor, Stranger> {
        let (name, scope, token, (secure, session)) = if access.tokens.is_empty() {
            access::from_here(peer, headers).map_err(Stranger::Refused)?;
            let name = access.tenants.keys().next().cloned();
            let name = name.ok_or_else(|| Stranger::Refused(Failure::forbidden("no tenant is configured")))?;
            (name, Arc::default(), None, (false, String::new()))
        } else {
            let (secure, id) = cookie(headers, peer.secure).ok_or(Stranger::Unknown)?;
            let token = self.token(id).ok_or(Stranger::Unknown)?;
            let known = access.tokens.iter().find(|known| known.hash == token).ok_or(Stranger::Unknown)?;
            (
                shown(known).map_err(Stranger::Refused)?.clone(),
                known.scope.clone(),
                Some(token),
                (secure, id.to_string()),
            )
        };
        let tenant = access.tenants.get(&name).cloned();
        Ok(Visitor { tenant: tenant.ok_or(Stranger::Unknown)?, scope, token, session, secure })
    }

    /// A visitor as they are by now, unless their session or its token has gone.
    pub(super) fn still(&self, access: &Access, visitor: &Visitor) -> Option<Visitor> {
        if !visitor.session.is_empty() {
            self.token(&visitor.session)?;
        }
        let scope = access::still(access, visitor.token, &visitor.tenant.name)?;
        Some(Visitor { scope, ..visitor.clone() })
    }

    fn token(&self, id: &str) -> Option<TokenHash> {
        let session = *self.lock().get(&hash(id))?;
        (session.began.elapsed() < SESSION_MAX).then_some(session.token)
    }

    /// A session for whoever gave a token; the cookie to set.
    pub(super) fn log_in(&self, access: &Access, token: &str, secure: bool) -> Result<HeaderValue, Failure> {
        let token = access::known(access, token)?;
        shown(token)?;
        let (token, id) = (token.hash, hex(&random()));
        let mut open = self.lock();
        // Those of tokens that are gone open nothing, and are not kept: so tokens bound how many there are.
        let is_known = |token| access.tokens.iter().any(|known| known.hash == token);
        open.retain(|_, session| session.began.elapsed() < SESSION_MAX && is_known(session.token));
        // One that logs in without end ends its own sessions, not those of others.
        let own = || open.iter().filter(|(_, session)| session.token == token);
        if own().count() >= SESSIONS_OF_TOKEN_MAX {
            let oldest = own().min_by_key(|(_, session)| session.began).map(|(key, _)| *key);
            oldest.map(|key| open.remove(&key));
        }
        open.insert(hash(&id), Session { token, began: Instant::now() });
        Ok(set_cookie(&id, SESSION_MAX.as_secs(), secure))
    }

    /// Forgets a session; the cookie to set.
    pub(super) fn log_out(&self, visitor: &Visitor) -> HeaderValue {
        self.lock().remove(&hash(&visitor.session));
        set_cookie("", 0, visitor.secure)
    }

    /// What a form of this session must carry.
    pub(super) fn form_token(&self, session: &str) -> String {
        let mut hasher = Sha256::new_with_prefix(self.secret);
        hasher.update(session);
        hex(&hasher.finalize())
    }

    /// Whether a form comes from one of our pages.
    pub(super) fn check_form(&self, session: &str, given: &str) -> Result<(), Failure> {
        // Hashes are compared, so that time tells nothing of what is expected.
        match hash(given) == hash(&self.form_token(session)) {
            true => Ok(()),
            false => {
                Err(Failure::forbidden("this form is not from a page of this server, or too old: reload the page"))
            }
        }
    }
}

/// The tenant that the dashboard shows to whoever has a token.
fn shown(token: &Token) -> Result<&Name, Failure> {
    access::may_read(&token.scope)?;
    let of_none = || {
        Failure::forbidden(
            "this token looks at all tenants, by the API and GET /metrics: the dashboard shows one of them",
        )
    };
    token.tenant.as_ref().ok_or_else(of_none)
}

/// Refuses what pages of other origins send.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    let origin = text(header::ORIGIN).is_none_or(|origin| {
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).is_some_and(|of| of == host)
    });
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    match origin && site.is_none_or(|site| site == "same-origin" || site == "none") {
        true => Ok(()),
        false => Err(Failure::forbidden("the request comes from a page of another origin")),
    }
}

/// Whether a form was sent from a page that came by TLS, be it by a proxy that speaks it for this server.
pub(super) fn from_a_secure_page(headers: &HeaderMap) -> bool {
    headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// The session's cookie, and whether it is the one for TLS, which comes first. By TLS there is no other: that a page of a
/// sibling host could have set. Behind a proxy, nobody here knows.
fn cookie(headers: &HeaderMap, by_tls: bool) -> Option<(bool, &str)> {
    let named = |name: &str| {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|value| value.split(';'));
        pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let secure = named(SECURE_COOKIE).map(|id| (true, id));
    secure.or_else(|| named(PLAIN_COOKIE).filter(|_| !by_tls).map(|id| (false, id)))
}

fn set_cookie(value: &str, seconds: u64, secure: bool) -> HeaderValue {
    let (name, secure) = if secure { (SECURE_COOKIE, "; Secure") } else { (PLAIN_COOKIE, "") };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).expect("it is plain text")
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("Linux has random bytes");
    bytes
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tests::server;

    /// A page of a sibling host could plant a session of somebody else's, and what was deployed went to that tenant.
    #[tokio::test]
    async fn by_tls_no_other_host_can_plant_a_session() {
        let a = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
        let (server, _state) = server(&format!("[tenants.default]\ntokens = [\"{a}\"]")).await;
        let (access, sessions) = (server.shared().access.load_full(), Sessions::new());
        let open = |secure| {
            let set = sessions.log_in(&access, "a", secure).unwrap().to_str().unwrap().to_string();
            let (pair, attributes) = set.split_once("; ").unwrap();
            (pair.to_string(), attributes.to_string())
        };
        assert_eq!(open(true).1, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure", "as the prefix asks for");
        assert_eq!(open(false).1, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
        for (by_tls, cookies, seen) in [
            (true, "SECURE", Some("SECURE")),
            (true, "PLAIN; SECURE", Some("SECURE")),
            (true, "PLAIN", None),
            (true, "selvedge_session=VALUE", None),
            (false, "PLAIN", Some("PLAIN")),
            // As behind a proxy that speaks TLS.
            (false, "PLAIN; SECURE", Some("SECURE")),
            (false, "SECURE", Some("SECURE")),
        ] {
            let (secure, plain) = (open(true).0, open(false).0);
            let value = secure.strip_prefix("__Host-selvedge_session=").unwrap();
            assert!(plain.starts_with("selvedge_session="), "{plain}");
            let given = |text: &str| text.replace("SECURE", &secure).replace("PLAIN", &plain).replace("VALUE", value);
            let peer = Peer::new("127.0.0.1:1".parse().unwrap(), 0, by_tls, Arc::default());
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, given(cookies).parse().unwrap());
            let visitor = sessions.visitor(&access, &peer, &headers).ok();
            let session = visitor.as_ref().map(|visitor| visitor.session.as_str());
            let seen = seen.map(given);
            let seen = seen.as_deref().and_then(|pair| pair.split_once('='));
            assert_eq!(session, seen.map(|(_, value)| value), "{by_tls}: {cookies}");
            let (Some(visitor), Some((name, _))) = (visitor, seen) else { continue };
            let gone = sessions.log_out(&visitor).to_str().unwrap().to_string();
            assert!(gone.starts_with(&format!("{name}=; ")), "{gone}");
            assert_eq!(gone.contains("; Secure"), name.starts_with("__Host-"), "else it would not be taken: {gone}");
            assert!(sessions.visitor(&access, &peer, &headers).is_err());
        }
    }

    /// Whoever had any token logged everybody else out by logging in without end.
    #[tokio::test]
    async fn whoever_logs_in_without_end_ends_only_sessions_of_their_own() {
        let a = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
        let b = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";
        let (server, _state) = server(&format!("[tenants.default]\ntokens = [\"{a}\", \"{b}\"]")).await;
        let (access, sessions) = (server.shared().access.load_full(), Sessions::new());
        let log_in = |token: &str| {
            let set = sessions.log_in(&access, token, false).unwrap().to_str().unwrap().to_string();
            set.split([';', '=']).nth(1).unwrap().to_string()
        };
        let other = log_in("b");
        let own: Vec<_> = (0..1_001).map(|_| log_in("a")).collect();
        assert!(sessions.token(&other).is_some(), "logged out by another token");
        let open: Vec<_> = own.iter().filter(|id| sessions.token(id).is_some()).collect();
        assert!(open.iter().eq(&own.iter().rev().take(SESSIONS_OF_TOKEN_MAX).rev().collect::<Vec<_>>()));
        // Those of tokens that were taken back are not kept.
        let (only_b, _state) = crate::server::tests::server(&format!("[tenants.default]\ntokens = [\"{b}\"]")).await;
        let gone = only_b.shared().access.load_full();
        sessions.log_in(&gone, "b", false).unwrap();
        assert_eq!(sessions.lock().len(), 2);
    }

    #[test]
    fn whoever_logs_in_by_a_proxy_with_tls_comes_by_tls() {
        for (origin, by_tls) in [
            (Some("https://admin.example"), true),
            (Some("http://admin.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::new();
            origin.map(|origin| headers.insert(header::ORIGIN, HeaderValue::from_static(origin)));
            assert_eq!(from_a_secure_page(&headers), by_tls, "{origin:?}");
        }
    }
}
