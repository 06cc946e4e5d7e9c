//! One request, from its head to its response; `docs/request-path.md` is the same in prose.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::Guard;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use crate::bundle::{Asked, Assets, Given};
use crate::connection::Peer;
use crate::deploy;
use crate::exchange::Exchange;
use crate::guest::{Call, Origin, StartError};
use crate::limits::{HEADERS_MAX, METHOD_BYTES_MAX, QUEUE_WAIT_MAX, SiteLimits};
use crate::logs::GuestLog;
use crate::name::Host;
use crate::reaper::Loaded;
use crate::refusal::Refusal;
use crate::respond::{self, Progress, ResponseBody, Running, Ticket};
use crate::route::{Missing, Route};
use crate::server::Shared;
use crate::site::{Content, Deployment, Site};
use crate::turns::Fair;

/// Answers a request, whatever becomes of it.
pub(crate) async fn serve(
    server: Arc<Shared>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let mut ticket = Ticket::open(server.ids.next(), &parts.method, parts.uri.path(), peer.unsent.clone());
    let answering = begin(&server, peer, &mut ticket, &mut parts, body).await;
    // A program has its own copy.
    drop(parts);
    Ok(match answering {
        Ok(Answering::Guest(mut running)) => match until_answer(&mut running, &ticket).await {
            Progress::Ended(Ok(())) => respond::whole(&mut ticket, &mut running),
            Progress::Ended(Err(refusal)) => respond::failed(&mut ticket, &mut running, &refusal),
            Progress::Answering => respond::streaming(ticket, running, server.under_way.clone()),
        },
        Ok(Answering::File(given)) => respond::file(ticket, given, server.under_way.clone()),
        Err(refusal) => {
            server.unrouted.take(&ticket, &refusal);
            respond::refused(&mut ticket, &refusal)
        }
    })
}

/// Who answers.
enum Answering {
    Guest(Running),
    File(Given),
}

/// The stops up to an instance. Recycling is at the end of `Running`.
///
/// What is handed from stop to stop stays where it is: to move a request's head takes longer than most of them.
async fn begin(
    server: &Arc<Shared>,
    peer: Arc<Peer>,
    ticket: &mut Ticket,
    parts: &mut Parts,
    body: Incoming,
) -> Result<Answering, Refusal> {
    let host = accept(server, parts)?;
    let body = Some(body).filter(|body| !body.is_end_stream());
    let Route { site, prefix_bytes } = route(server, &host, parts)?;
    if let Some(traces) = &server.traces {
        ticket.trace(traces, parts, &host);
    }
    let site = &*ticket.site.insert(site);
    let was_loaded = loaded(server, site).await?;
    let gate = site.tenant.gate.load();
    let limits = gate.limits;
    gate.count(ticket.began)?;
    within_limits(body.as_ref(), &limits)?;
    let deployment = &*ticket.deployment.insert(resolve(site)?);
    let Content { program, assets } = &deployment.content;
    if let Some(assets) = assets
        && let Some(given) = file(assets, program.is_some(), parts, prefix_bytes, &limits)?
    {
        return Ok(Answering::File(given));
    }
    let program = program.as_ref().ok_or(Refusal::NoFile)?;
    let asked = ticket.traced.is_some().then(Instant::now);
    let (admission, at_once) = match gate.admit_at_once(&server.slots) {
        Some(admission) => (admission, true),
        None => (Guard::into_inner(gate).admit(&server.slots, &site.counters.waiting).await?, false),
    };
    ticket.traced.iter_mut().zip(asked).for_each(|(traced, asked)| traced.waited(asked));
    // Its time counts from when it has an instance; of who waited for nothing it is known when that is.
    let now = if was_loaded && at_once { ticket.began } else { Instant::now() };
    let exchange = Exchange::default();
    let call = Call {
        origin: Origin { request_id: ticket.id, peer: &peer, host: &host, prefix_bytes },
        parts,
        body,
        site,
        limits,
        now,
        exchange: exchange.clone(),
        log: GuestLog::new(site.log.clone(), ticket.id, limits.log, exchange.clone()),
        admission,
    };
    let guest = acquire(server, program, call)?;
    let cut_off = peer.cut_off_at((now + limits.wall.0).into());
    Ok(Answering::Guest(Running::new(guest, exchange, limits, Some(cut_off))))
}

/// Lets a guest run until it has ended, or what it answers can begin.
async fn until_answer(running: &mut Running, ticket: &Ticket) -> Progress {
    poll_fn(|context| {
        let polled = running.poll_head(context);
        if polled.is_pending() {
            ticket.site.iter().for_each(|site| running.park(site));
        }
        polled
    })
    .await
}

/// The host of a request whose head makes sense.
fn accept(server: &Shared, parts: &Parts) -> Result<Host, Refusal> {
    if server.is_draining() {
        return Err(Refusal::Draining);
    }
    // An offer to go on with HTTP/2 may be ignored, and is: its head came in HTTP/1.
    let other = |protocol: &HeaderValue| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
    if parts.method == Method::CONNECT || parts.headers.get_all(header::UPGRADE).iter().any(other) {
        return Err(Refusal::BadRequest("tunnels and other protocols than HTTP are not offered here"));
    }
    if parts.method.as_str().len() > METHOD_BYTES_MAX {
        return Err(Refusal::BadRequest("the request's method is longer than any that there is"));
    }
    // HTTP/1 has them counted before.
    if parts.headers.len() > HEADERS_MAX {
        return Err(Refusal::HeadLimit);
    }
    host(parts)
}

/// The host that is asked for: in the target, or in the one `Host` header.
fn host(parts: &Parts) -> Result<Host, Refusal> {
    let mut named = parts.headers.get_all(header::HOST).iter();
    let (header, another) = (named.next(), named.next());
    if another.is_some() {
        return Err(Refusal::BadRequest("the request names two hosts"));
    }
    let header = header.and_then(|host| host.to_str().ok());
    let authority = parts.uri.authority().map(|authority| authority.as_str()).or(header);
    let host = authority.and_then(|authority| Host::of_authority(authority).ok());
    host.ok_or(Refusal::BadRequest("the request names no host, or what cannot be one"))
}

fn route(server: &Shared, host: &Host, parts: &Parts) -> Result<Route, Refusal> {
    server.routes.load().find(host, parts.uri.path()).map_err(|missing| match missing {
        Missing::Host => Refusal::NoSite(host.to_string()),
        Missing::Path => Refusal::NoPath(host.to_string()),
    })
}

/// Waits for a site that is not loaded yet: after a start of the server there may be many. Says whether it was loaded.
async fn loaded(server: &Arc<Shared>, site: &Arc<Site>) -> Result<bool, Refusal> {
    if site.is_settled() {
        return Ok(true);
    }
    // It may take long until it is tried again.
    if site.is_stuck() {
        return Err(Refusal::Loading);
    }
    if site.is_first_to_want() {
        tokio::spawn(deploy::load_site(server.clone(), site.clone()));
    }
    // In a box: whoever need not wait has no room for it.
    let settled = Box::pin(tokio::time::timeout(QUEUE_WAIT_MAX, site.until_settled()));
    settled.await.map(|()| false).map_err(|_| Refusal::Loading)
}

/// What can be told from the head alone costs no instance.
fn within_limits(body: Option<&Incoming>, limits: &SiteLimits) -> Result<(), Refusal> {
    let announced = body.map_or(0, |body| body.size_hint().lower());
    if announced > limits.request_body.0 { Err(Refusal::RequestBodyLimit(limits.request_body)) } else { Ok(()) }
}

fn resolve(site: &Site) -> Result<Arc<Deployment>, Refusal> {
    site.pick().ok_or(Refusal::NoVersion)
}

/// What of the version's files is asked for; if nothing is, its program is.
fn file(
    assets: &Assets,
    has_program: bool,
    parts: &Parts,
    prefix_bytes: usize,
    limits: &SiteLimits,
) -> Result<Option<Given>, Refusal> {
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    if !reads && has_program {
        return Ok(None);
    }
    let path = parts.uri.path().get(prefix_bytes..).unwrap_or_default();
    let Some(found) = assets.find(path) else { return Ok(None) };
    if !reads {
        return Err(Refusal::FileMethod);
    }
    let given = Asked { parts }.give(found);
    let long = given.body.as_ref().is_some_and(|body| body.bytes() > limits.response_body.0);
    if long { Err(Refusal::ResponseBodyLimit(limits.response_body)) } else { Ok(Some(given)) }
}

fn acquire(server: &Shared, program: &Loaded, call: Call<'_>) -> Result<Fair, Refusal> {
    let limits = call.limits;
    program.start(&server.pool, call).map_err(|error| match error {
        StartError::Memory { .. } => Refusal::Memory(limits.memory),
        StartError::Wasi(_) => Refusal::BadRequest("the request's head is too long, or has a zero byte"),
        error => Refusal::Start(crate::logs::message(&error.to_string())),
    })
}
