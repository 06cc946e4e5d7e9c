//! Who may use the admin API.
//!
//! With tokens: whoever has one, for the tenant it belongs to, or an operator's, to look at all of them. Without:
//! whoever can run programs on this machine, and nobody else. A page in a browser on this machine is somebody else: it cannot set our header (`x-selvedge`) for
//! another origin without asking first, which is never granted, and it cannot name this server otherwise than by
//! an address or `localhost` without being found out (DNS rebinding).

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::{StatusCode, header};
use sha2::{Digest, Sha256};

use super::reply::Failure;
use crate::config::{Scope, TokenHash};
use crate::connection::Peer;
use crate::name::{Host, Name};
use crate::server::{Access, Token};
use crate::site::Tenant;

/// Every client sends it; its value does not matter.
pub(crate) const CLIENT_HEADER: &str = "x-selvedge";

/// Refuses a token that only looks.
pub(super) fn may_change(scope: &Scope) -> Result<(), Failure> {
    let only_looks = || Failure::forbidden("this token may look, and change nothing (may = \"read\")");
    scope.may_change().then_some(()).ok_or_else(only_looks)
}

/// Refuses a token that is for numbers alone.
pub(super) fn may_read(scope: &Scope) -> Result<(), Failure> {
    let only_numbers = || Failure::forbidden("this token is for GET /metrics alone (may = \"metrics\")");
    scope.may_read().then_some(()).ok_or_else(only_numbers)
}

/// Refuses a token that is for other sites.
pub(super) fn is_for(scope: &Scope, site: &Name) -> Result<(), Failure> {
    let others = || Failure::forbidden(format!("this token is for other sites than {site}"));
    scope.is_for(site).then_some(()).ok_or_else(others)
}

/// Who asks.
pub(super) struct Who {
    /// For whom they act; all tenants if it is none.
    pub(super) tenant: Option<Name>,
    /// What they may.
    pub(super) scope: Arc<Scope>,
    /// None where no tokens are asked for.
    pub(super) token: Option<TokenHash>,
}

/// Who makes a request. One that `only_reads` may lack our header: whoever is not to read the answer cannot, and
/// Prometheus sends no headers that it does not know.
pub(super) fn who(access: &Access, peer: &Peer, headers: &HeaderMap, only_reads: bool) -> Result<Who, Failure> {
    if access.tokens.is_empty() {
        let tenant = Some(local(access, peer, headers, only_reads)?);
        return Ok(Who { tenant, scope: Arc::default(), token: None });
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| {
        Failure::unauthorized("this server asks for a token: set SELVEDGE_TOKEN, or send Authorization: Bearer TOKEN")
    })?;
    let Token { tenant, scope, hash } = known(access, token)?;
    Ok(Who { tenant: tenant.clone(), scope: scope.clone(), token: Some(*hash) })
}

/// What somebody who was let in may see of a tenant now, if anything: the configuration may have been changed since.
pub(super) fn still(access: &Access, token: Option<TokenHash>, tenant: &Name) -> Option<Arc<Scope>> {
    access.tenants.get(tenant)?;
    let Some(token) = token else { return access.tokens.is_empty().then(Arc::default) };
    let known = access.tokens.iter().find(|known| known.hash == token)?;
    let of_tenant = known.tenant.as_ref().is_none_or(|own| own == tenant);
    (of_tenant && known.scope.may_read()).then(|| known.scope.clone())
}

/// The tenants that a request is about: that of its token or, of an operator's, the one that it names, or all.
pub(super) fn tenants(
    access: &Access,
    own: Option<&Name>,
    named: Option<&String>,
) -> Result<Vec<Arc<Tenant>>, Failure> {
    let named = named.map(|named| Name::new(named)).transpose().map_err(|error| Failure::bad(error.to_string()))?;
    if let (Some(_), Some(named)) = (own, named.as_ref().filter(|named| Some(*named) != own)) {
        return Err(Failure::forbidden(format!("who asks acts for another tenant than {named}")));
    }
    match own.or(named.as_ref()) {
        Some(name) => {
            let gone = || Failure::new(StatusCode::NOT_FOUND, format!("there is no tenant {name}"));
            Ok(vec![access.tenants.get(name).cloned().ok_or_else(gone)?])
        }
        None => Ok(access.tenants.values().cloned().collect()),
    }
}

/// A token that is one of the configured, and whom it acts for.
pub(super) fn known<'a>(access: &'a Access, token: &str) -> Result<&'a Token, Failure> {
    let hash: [u8; 32] = Sha256::digest(token.trim()).into();
    // Whoever measures how long the comparison takes learns of a hash, not of a token.
    let found = access.tokens.iter().find(|known| known.hash.0 == hash);
    found.ok_or_else(|| Failure::unauthorized("the token is not one of this server's"))
}

fn foreign(why: &str) -> Failure {
    Failure::forbidden(format!("{why}; without tokens only programs on this machine are served"))
}

fn local(access: &Access, peer: &Peer, headers: &HeaderMap, only_reads: bool) -> Result<Name, Failure> {
    from_here(peer, headers)?;
    if headers.contains_key(header::ORIGIN) || !(only_reads || headers.contains_key(CLIENT_HEADER)) {
        return Err(foreign("the request may come from a page in a browser (send the header x-selvedge: 1)"));
    }
    access.tenants.keys().next().cloned().ok_or_else(|| foreign("no tenant is configured"))
}

/// Whether a request comes from this machine, and is meant for it.
pub(super) fn from_here(peer: &Peer, headers: &HeaderMap) -> Result<(), Failure> {
    if !peer.remote.ip().is_loopback() {
        return Err(foreign("the request comes from another machine"));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| Host::of_authority(host).ok());
    if !host.is_some_and(|host| names_this_machine(&host)) {
        return Err(foreign("the request's host is neither localhost nor an address"));
    }
    Ok(())
}

/// Whether a host can only be this machine, or is an address and so nobody's to redirect.
fn names_this_machine(host: &Host) -> bool {
    let text = host.as_str().trim_matches(['[', ']']);
    host.as_str() == "localhost" || text.parse::<std::net::IpAddr>().is_ok()
}
