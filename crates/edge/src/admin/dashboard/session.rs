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
use crate::limits::{SESSION_MAX, SESSIONS_MAX};
use crate::name::Name;
use crate::server::{Access, Token};
use crate::site::Tenant;

/// Kept from programs, too (`guest/cgi/env.rs`): a site on another port of this host would get it.
pub(crate) const COOKIE: &str = "selvedge_session";

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
        let (name, scope, token, session) = if access.tokens.is_empty() {
            access::from_here(peer, headers).map_err(Stranger::Refused)?;
            let name = access.tenants.keys().next().cloned();
            let name = name.ok_or_else(|| Stranger::Refused(Failure::forbidden("no tenant is configured")))?;
            (name, Arc::default(), None, String::new())
        } else {
            let id = cookie(headers).ok_or(Stranger::Unknown)?;
            let token = self.token(id).ok_or(Stranger::Unknown)?;
            let known = access.tokens.iter().find(|known| known.hash == token).ok_or(Stranger::Unknown)?;
            (shown(known).map_err(Stranger::Refused)?.clone(), known.scope.clone(), Some(token), id.to_string())
        };
        let tenant = access.tenants.get(&name).cloned();
        Ok(Visitor { tenant: tenant.ok_or(Stranger::Unknown)?, scope, token, session })
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
        open.retain(|_, session| session.began.elapsed() < SESSION_MAX);
        if open.len() >= SESSIONS_MAX {
            let oldest = open.iter().min_by_key(|(_, session)| session.began).map(|(key, _)| *key);
            oldest.map(|key| open.remove(&key));
        }
        open.insert(hash(&id), Session { token, began: Instant::now() });
        Ok(set_cookie(&id, SESSION_MAX.as_secs(), secure))
    }

    /// Forgets a session; the cookie to set.
    pub(super) fn log_out(&self, session: &str) -> HeaderValue {
        self.lock().remove(&hash(session));
        set_cookie("", 0, false)
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

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn set_cookie(value: &str, seconds: u64, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
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
