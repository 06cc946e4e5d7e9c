//! The dashboard: pages at the admin address, whole without scripts, live with one.
//!
//! | page | what it is |
//! |---|---|
//! | `/` | the tenant's sites, their traffic and latency now |
//! | `/sites/SITE` | one of them: versions, errors, log, and a form to ask it |
//! | `/try` | a module is dropped in, deployed and asked |
//! | `/events`, `/sites/SITE/events` | what changes on these, as it changes (server-sent events) |
//! | `/login`, `/logout` | where tokens are configured |
//!
//! Invariants: whatever comes from outside is escaped by the templates; nothing is loaded from elsewhere, and no script
//! runs but `/assets/dashboard.js` (the policy in `headers.rs`); whatever changes something is a POST that `session.rs`
//! has checked.

mod charts;
mod events;
mod forms;
mod headers;
mod overview;
mod pages;
mod session;
mod trial;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use self::forms::Form;
use self::headers::{asset, page, redirect};
use self::overview::Overviews;
use self::pages::{Ask, Frame, SitePage};
pub(crate) use self::session::COOKIES;
use self::session::{Sessions, Stranger, Visitor, from_a_secure_page, same_origin};
use super::access;
use super::reply::{Failure, ReplyBody};
use super::streams::Streams;
use crate::connection::Peer;
use crate::deploy::{self, Asker};
use crate::error::EdgeError;
use crate::limits::{DASHBOARD_FORM_BYTES_MAX, LOGIN_FORM_BYTES_MAX};
use crate::name::Name;
use crate::server::Shared;
use crate::site::Site;
use crate::store::{SiteKey, SiteRecord};

/// What pages need besides the server.
pub(super) struct Dashboard {
    sessions: Sessions,
    streams: Arc<Streams>,
    overviews: Overviews,
    /// Where sites answer.
    port: u16,
}

/// A request for a page.
struct Visit<'a> {
    server: &'a Arc<Shared>,
    dashboard: &'a Arc<Dashboard>,
    headers: HeaderMap,
    /// Whether it comes by TLS.
    secure: bool,
}

/// What forms change of a site, as the last part of where they lead.
const CHANGES: [&str; 3] = ["rollback", "promote", "drop"];

/// What a form asks for.
enum Change {
    To(u32),
    Promote,
    DropCanary,
}

impl Change {
    fn of(does: &str, form: &Form) -> Result<Change, Failure> {
        match does {
            "promote" => Ok(Change::Promote),
            "drop" => Ok(Change::DropCanary),
            _ => {
                let version = form.get("version").parse();
                version.map(Change::To).map_err(|_| Failure::bad("the form names no version"))
            }
        }
    }

    async fn make(self, server: &Arc<Shared>, whose: (&Arc<Site>, &Asker)) -> Result<SiteRecord, EdgeError> {
        match self {
            Change::To(version) => deploy::rollback(server, whose, Some(version)).await,
            Change::Promote => deploy::promote(server, whose).await,
            Change::DropCanary => deploy::drop_canary(server, whose).await,
        }
    }
}

impl Dashboard {
    pub(super) fn new(port: u16, streams: Arc<Streams>) -> Dashboard {
        Dashboard { sessions: Sessions::new(), streams, overviews: Overviews::default(), port }
    }
}

/// Whether a path is a page's, not the API's, by its shape alone: whether there is such a site it does not say.
pub(super) fn is_page(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match &parts[..] {
        [""] | ["try" | "events" | "login" | "logout"] | ["assets", _] | ["sites", _] => true,
        ["sites", _, does] => ["events", "ask"].contains(does) || CHANGES.contains(does),
        _ => false,
    }
}

/// Says that there is nothing at a path, as a page if a page was asked for.
pub(super) fn nowhere(request: &Request<Incoming>) -> Response<ReplyBody> {
    let failure = Failure::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", request.uri().path()));
    let takes = request.headers().get(header::ACCEPT).and_then(|takes| takes.to_str().ok());
    match takes.is_some_and(|takes| takes.contains("text/html")) {
        true => headers::failure(&failure),
        false => failure.reply(),
    }
}

/// Answers a request for a page.
pub(super) async fn answer(
    server: &Arc<Shared>,
    dashboard: &Arc<Dashboard>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let visit = Visit { server, dashboard, headers: request.headers().clone(), secure: peer.secure };
    let done = visit.answer(peer, request).await;
    done.unwrap_or_else(|failure| match visit.headers.contains_key(trial::FORM_HEADER) {
        // A script reads what went wrong, not a page.
        true => failure.reply(),
        false => headers::failure(&failure),
    })
}

impl Visit<'_> {
    async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Result<Response<ReplyBody>, Failure> {
        let (method, path) = (request.method().clone(), request.uri().path().to_string());
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if let (&Method::GET, ["assets", name]) = (&method, &parts[..]) {
            return asset(name);
        }
        if method == Method::POST {
            same_origin(&self.headers)?;
        }
        let access = self.server.access.load_full();
        match (&method, &parts[..]) {
            (&Method::GET, ["login"]) => return Ok(page(StatusCode::OK, &pages::Login { error: String::new() })),
            (&Method::POST, ["login"]) => return self.log_in(request).await,
            _ => {}
        }
        let visitor = match self.dashboard.sessions.visitor(&access, peer, &self.headers) {
            Ok(visitor) => visitor,
            Err(Stranger::Unknown) if method == Method::GET => return Ok(redirect("/login")),
            Err(Stranger::Unknown) => return Err(Failure::unauthorized("you are not logged in any more")),
            Err(Stranger::Refused(failure)) => return Err(failure),
        };
        // Whoever only looks may leave, and do nothing else.
        if method == Method::POST && parts != ["logout"] || parts == ["try"] {
            access::may_change(&visitor.scope)?;
        }
        match (&method, &parts[..]) {
            (&Method::GET, [""]) => self.overview(&visitor).await,
            (&Method::GET, ["events"]) => events::overview(self, visitor),
            (&Method::GET, ["sites", site]) => self.site_page(&visitor, site, Ask::default(), None).await,
            (&Method::GET, ["sites", site, "events"]) => events::site(self, &visitor, site),
            (&Method::POST, ["sites", site, "ask"]) => trial::ask(self, &visitor, site, request).await,
            (&Method::POST, ["sites", site, does]) if CHANGES.contains(does) => {
                self.change(&visitor, site, does, request).await
            }
            // Where forms lead: whoever opens the address again wants the site's page.
            (&Method::GET, ["sites", site, _]) => {
                Ok(redirect(&format!("/sites/{}", self.site(&visitor, site)?.key.site)))
            }
            (&Method::GET, ["try"]) => Ok(trial::page(self, &visitor)),
            (&Method::POST, ["try"]) => trial::deploy(self, &visitor, request).await,
            (&Method::POST, ["logout"]) => self.log_out(&visitor, request).await,
            _ => Err(Failure::new(StatusCode::NOT_FOUND, format!("there is no page {path}"))),
        }
    }

    fn frame(&self, visitor: &Visitor) -> Frame {
        Frame {
            tenant: visitor.tenant.name.to_string(),
            logged_in: !visitor.session.is_empty(),
            may_change: visitor.scope.may_change(),
            form: self.dashboard.sessions.form_token(&visitor.session),
        }
    }

    /// The address that a terminal would deploy to.
    fn admin(&self) -> String {
        let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", host.unwrap_or("127.0.0.1:8081"))
    }

    async fn overview(&self, visitor: &Visitor) -> Result<Response<ReplyBody>, Failure> {
        let rows = self.dashboard.overviews.rows(self.server, &visitor.tenant).await?;
        let activity = pages::rendered(&pages::sites(&rows, visitor, &self.admin()));
        Ok(page(StatusCode::OK, &pages::Overview { frame: self.frame(visitor), activity }))
    }

    fn site(&self, visitor: &Visitor, site: &str) -> Result<Arc<Site>, Failure> {
        let site = Name::new(site).map_err(|error| Failure::bad(error.to_string()))?;
        access::is_for(&visitor.scope, &site)?;
        let found = self.server.site(&SiteKey { tenant: visitor.tenant.name.clone(), site: site.clone() });
        found.ok_or_else(|| EdgeError::NoSite(site.to_string()).into())
    }

    async fn site_page(
        &self,
        visitor: &Visitor,
        site: &str,
        ask: Ask,
        answer: Option<pages::Answer>,
    ) -> Result<Response<ReplyBody>, Failure> {
        let site = self.site(visitor, site)?;
        let record = deploy::record_of(self.server, &site.key).await?;
        let record = record.ok_or_else(|| EdgeError::NoSite(site.key.site.to_string()))?;
        let shown = SitePage::new(self.frame(visitor), &site, &record);
        Ok(page(StatusCode::OK, &SitePage { ask, answer, ..shown }))
    }

    /// A form that comes from one of our pages.
    async fn form(&self, visitor: &Visitor, request: Request<Incoming>) -> Result<Form, Failure> {
        let form = Form::read(request.into_body(), DASHBOARD_FORM_BYTES_MAX).await?;
        self.dashboard.sessions.check_form(&visitor.session, form.get("form"))?;
        Ok(form)
    }

    async fn change(
        &self,
        visitor: &Visitor,
        site: &str,
        does: &str,
        request: Request<Incoming>,
    ) -> Result<Response<ReplyBody>, Failure> {
        let form = self.form(visitor, request).await?;
        let change = Change::of(does, &form)?;
        let (server, site) = (self.server.clone(), self.site(visitor, site)?);
        // What the page showed, that is; a form that does not say is taken as it is.
        let asker = Asker { revision: form.get("revision").parse().ok(), ..visitor.asker() };
        let to = format!("/sites/{}", site.key.site);
        // To its end, whatever becomes of the browser.
        let done = tokio::spawn(async move { change.make(&server, (&site, &asker)).await }).await;
        done.map_err(|error| EdgeError::Internal(error.to_string()))??;
        Ok(redirect(&to))
    }

    async fn log_in(&self, request: Request<Incoming>) -> Result<Response<ReplyBody>, Failure> {
        // Of whoever sends it nothing is known yet.
        let form = Form::read(request.into_body(), LOGIN_FORM_BYTES_MAX).await?;
        let secure = self.secure || from_a_secure_page(&self.headers);
        match self.dashboard.sessions.log_in(&self.server.access.load(), form.get("token"), secure) {
            Ok(cookie) => Ok(with_cookie(redirect("/"), cookie)),
            Err(failure) => Ok(page(failure.status, &pages::Login { error: failure.message })),
        }
    }

    async fn log_out(&self, visitor: &Visitor, request: Request<Incoming>) -> Result<Response<ReplyBody>, Failure> {
        self.form(visitor, request).await?;
        Ok(with_cookie(redirect("/login"), self.dashboard.sessions.log_out(visitor)))
    }
}

fn with_cookie(mut response: Response<ReplyBody>, cookie: HeaderValue) -> Response<ReplyBody> {
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
