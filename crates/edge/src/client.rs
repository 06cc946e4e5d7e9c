//! A client of the admin API, for commands and tests.

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header;
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::bundle::BUNDLE_TYPE;
use crate::dial::{Dial, DialError};
use crate::payload::{Expected, Outgoing};

pub use crate::admin::{Activity, SiteActivity, SiteInfo};
pub use crate::deploy::{Progress, Stage};
pub use crate::dial::Roots;
pub use crate::logs::{Entry, Event};
pub use crate::metrics::Counted;
pub use crate::name::{Host, Name, NameError, Prefix};
pub use crate::payload::Payload;
pub use crate::request_id::RequestId;
pub use crate::sites::Health;
pub use crate::store::{BundleRecord, BundleSummary, Canary, SiteRecord, VersionRecord};

/// Longest answer that is not streamed, and longest line of one that is.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// An answer that is no admin API's.
const ELSEWHERE: &str = "and what answers is no admin API; `selvedge serve` says at its start where that is";

/// A server's admin API.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    dial: Dial,
    token: Option<String>,
    tenant: Option<Name>,
    revision: Option<u64>,
}

/// What is asked of a deploy beside the module.
#[derive(Clone, Default, Debug)]
pub struct DeployOrder {
    /// Where it answers; as before if there are none.
    pub hosts: Vec<Host>,
    /// For which paths; as before if it is none.
    pub path: Option<Prefix>,
    /// Of a hundred requests, those that the version answers; all if it is none.
    pub canary: Option<u8>,
    /// The text of the module's detached signature, for policies that name signers.
    pub signature: Option<String>,
}

/// Something was not done.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The address is none. The user's mistake.
    #[error(
        "{url:?} is no address of a server{why}; write one like http://127.0.0.1:8081 or https://edge.example:8081"
    )]
    Address {
        /// What was given.
        url: String,
        /// What is too much about it; nothing if it is something else altogether.
        why: &'static str,
    },
    /// The server cannot be reached.
    #[error("cannot reach the server at {authority}: {source}; is it running? `selvedge serve` starts one")]
    Connect {
        /// Where it should be.
        authority: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not who it should be, as far as is known here.
    #[error(
        "the server at {authority} is not to be trusted: {message}; if its certificate is your own, name the one that \
         vouches for it: --ca FILE"
    )]
    Untrusted {
        /// Which.
        authority: String,
        /// Why not.
        message: String,
    },
    /// The token is none. The user's mistake.
    #[error("the token cannot be one: it has a space, a line break or a letter that is not ASCII in it")]
    Token,
    /// The certificates to trust cannot be read. The user's to mend.
    #[error("certificates to trust: {0}")]
    Roots(String),
    /// What is to be deployed cannot be read. The user's to look after.
    #[error("cannot read what is to be deployed: {0}")]
    Payload(std::io::Error),
    /// It does not speak as it should.
    #[error("the server at {authority} does not answer as it should: {message}")]
    Answer {
        /// Which.
        authority: String,
        /// What is wrong.
        message: String,
    },
    /// It was there, and is no more.
    #[error("the server at {authority} was stopped, or the connection to it has ended")]
    Ended {
        /// Which.
        authority: String,
    },
    /// It refuses.
    #[error("the server refuses: {message}")]
    Refused {
        /// Its status.
        status: u16,
        /// What it says.
        message: String,
    },
}

/// The address of a server: `http://HOST:PORT` or `https://HOST:PORT`, and nothing more. What else a URL can say would be
/// passed over, and whoever wrote it believes that it counts.
///
/// # Errors
/// If it is none.
pub fn address(url: &str) -> Result<Uri, ClientError> {
    let wrong = |why| ClientError::Address { url: url.to_string(), why };
    let uri: Uri = url.parse().map_err(|_| wrong(""))?;
    let authority = uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
    match authority {
        None => Err(wrong("")),
        Some(authority) if authority.host().is_empty() => Err(wrong(": it names no host")),
        Some(authority) if authority.as_str().contains('@') => {
            Err(wrong(": a user and a password are not asked for, a token is, in $SELVEDGE_TOKEN"))
        }
        // A parsed address has lost its fragment.
        Some(_) if url.contains('#') => Err(wrong(": there is a # in it")),
        Some(_) if uri.query().is_some() => Err(wrong(": there is a ? in it")),
        Some(_) if uri.path() != "/" => Err(wrong(": there is a path after host and port")),
        Some(_) => Ok(uri),
    }
}

impl Client {
    /// A client of the server at a URL, with a token if it asks for one. For https the certificates count that this
    /// machine trusts.
    ///
    /// # Errors
    /// If the URL is neither `http://HOST:PORT` nor `https://HOST:PORT`.
    pub fn new(url: &str, token: Option<String>) -> Result<Client, ClientError> {
        Client::trusting(url, token, &Roots::System)
    }

    /// As [`Client::new`], with a choice of whose word is taken for who the server is.
    ///
    /// # Errors
    /// If the URL or the token is none, or the certificates cannot be read.
    pub fn trusting(url: &str, token: Option<String>, roots: &Roots) -> Result<Client, ClientError> {
        let dial = Dial::new(&address(url)?, roots).map_err(|error| match error {
            DialError::Roots(message) => ClientError::Roots(message),
            _ => ClientError::Address { url: url.to_string(), why: "" },
        })?;
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(ClientError::Token);
        }
        Ok(Client { authority: dial.authority(), dial, token, tenant: None, revision: None })
    }

    /// The same, about one tenant: an operator's token is for all of them.
    pub fn of_tenant(self, tenant: Name) -> Client {
        Client { tenant: Some(tenant), ..self }
    }

    /// The same, and what changes a site is refused unless this is its revision ([`SiteRecord::revision`], 0 if there is no
    /// such site): nobody else has changed it since.
    pub fn at_revision(self, revision: u64) -> Client {
        Client { revision: Some(revision), ..self }
    }

    fn answer(&self, message: impl std::fmt::Display) -> ClientError {
        ClientError::Answer { authority: self.authority.clone(), message: message.to_string() }
    }

    /// Sends a request, and returns the answer unless it is a refusal.
    async fn send(&self, method: Method, path: &str) -> Result<Response<Incoming>, ClientError> {
        self.send_with(method, path, &[], Outgoing::Whole(Bytes::new())).await
    }

    /// The same, with more headers and a body.
    async fn send_with(
        &self,
        method: Method,
        path: &str,
        more: &[(&str, String)],
        body: Outgoing,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut sender = self.dial.connect().await.map_err(|error| self.unconnected(error))?;
        let tenant = self.tenant.as_ref().map(|tenant| format!("tenant={tenant}"));
        let revision = self.revision.map(|revision| format!("revision={revision}"));
        let path = tenant.into_iter().chain(revision).fold(path.to_string(), |path, parameter| {
            let mark = if path.contains('?') { '&' } else { '?' };
            format!("{path}{mark}{parameter}")
        });
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::HOST, &self.authority).header(crate::admin::CLIENT_HEADER, "1");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in more {
            request = request.header(*name, value);
        }
        let request = request.body(body).map_err(|error| self.answer(error))?;
        let response = sender.send_request(Expected::of(request)).await.map_err(|error| self.unanswered(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        Err(self.refused(status, &self.collect(response).await?))
    }

    /// What does not speak HTTP may be TLS.
    fn unanswered(&self, error: &hyper::Error) -> ClientError {
        match error.is_parse() && !self.dial.is_secure() {
            true => self.answer(format!("{error}; if it speaks TLS, its address begins with https://")),
            false => self.interrupted(error),
        }
    }

    /// An answer that does not come to its end.
    fn interrupted(&self, error: &hyper::Error) -> ClientError {
        match has_ended(error) {
            true => ClientError::Ended { authority: self.authority.clone() },
            false => self.answer(error),
        }
    }

    fn unconnected(&self, error: DialError) -> ClientError {
        let authority = self.authority.clone();
        match error {
            DialError::Connect(source) => ClientError::Connect { authority, source },
            DialError::NoTls => self.answer(format!("{error}; without TLS, its address begins with http://")),
            error => ClientError::Untrusted { authority, message: error.to_string() },
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let said = json.as_ref().and_then(|json| json.get("error")?.as_str());
        let message = said.map_or_else(|| format!("{status}, {ELSEWHERE}"), str::to_string);
        ClientError::Refused { status: status.as_u16(), message }
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let limited = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        Ok(limited.collect().await.map_err(|error| self.answer(error))?.to_bytes())
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, ClientError> {
        let response = self.send(method, path).await?;
        serde_json::from_slice(&self.collect(response).await?).map_err(|error| self.answer(error))
    }

    /// Calls `each` for each line of an answer, as it comes.
    async fn lines<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
        mut each: impl FnMut(T),
    ) -> Result<(), ClientError> {
        let (mut body, mut buffer) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.interrupted(&error))?;
            buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                // It says that the server is still there.
                if line.trim_ascii().is_empty() {
                    continue;
                }
                each(serde_json::from_slice(&line).map_err(|error| self.answer(error))?);
            }
            if buffer.len() > ANSWER_BYTES_MAX {
                return Err(self.answer("a line without end"));
            }
        }
        Ok(())
    }

    /// Deploys a module or bundle, and tells of each stage as it is passed. The last progress says how it went.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses to begin.
    pub async fn deploy(
        &self,
        site: &Name,
        hosts: &[Host],
        payload: impl Into<Payload>,
        progress: impl FnMut(Progress),
    ) -> Result<(), ClientError> {
        let order = DeployOrder { hosts: hosts.to_vec(), ..DeployOrder::default() };
        self.deploy_as(site, &order, payload, progress).await
    }

    /// As [`Client::deploy`], with all that can be asked for.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses to begin.
    pub async fn deploy_as(
        &self,
        site: &Name,
        order: &DeployOrder,
        payload: impl Into<Payload>,
        progress: impl FnMut(Progress),
    ) -> Result<(), ClientError> {
        let DeployOrder { hosts, path, canary, signature } = order;
        let hosts = hosts.iter().map(|host| format!("host={host}"));
        let path = path.iter().map(|path| format!("path={path}/"));
        let canary = canary.iter().map(|percent| format!("canary={percent}"));
        let parameters: Vec<String> = hosts.chain(path).chain(canary).collect();
        let path = format!("/v1/sites/{site}/versions?{}", parameters.join("&"));
        let signature = signature.as_ref().map(|text| serde_json::Value::from(text.as_str()).to_string());
        let signature = signature.map(|json| (crate::admin::SIGNATURE_HEADER, json));
        let payload = payload.into();
        let kind = if matches!(payload, Payload::Bundle(_)) { BUNDLE_TYPE } else { "application/wasm" };
        let headers: Vec<_> = signature.into_iter().chain([("content-type", kind.to_string())]).collect();
        let body = Outgoing::of(payload).map_err(ClientError::Payload)?;
        let response = self.send_with(Method::POST, &path, &headers, body).await?;
        self.lines(response, progress).await
    }

    /// The tenant's sites; all tenants', with an operator's token.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn sites(&self) -> Result<Vec<SiteInfo>, ClientError> {
        self.json(Method::GET, "/v1/sites").await
    }

    /// All that is kept of a site.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn versions(&self, site: &Name) -> Result<SiteRecord, ClientError> {
        self.json(Method::GET, &format!("/v1/sites/{site}/versions")).await
    }

    /// Makes an earlier version the active one: this, or the one before.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn rollback(&self, site: &Name, version: Option<u32>) -> Result<SiteRecord, ClientError> {
        let version = version.map(|number| format!("?version={number}")).unwrap_or_default();
        self.json(Method::POST, &format!("/v1/sites/{site}/rollback{version}")).await
    }

    /// Lets a version answer so many of a hundred requests.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn canary(&self, site: &Name, version: u32, percent: u8) -> Result<SiteRecord, ClientError> {
        let path = format!("/v1/sites/{site}/canary?version={version}&percent={percent}");
        self.json(Method::POST, &path).await
    }

    /// Lets the canary answer all requests.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn promote(&self, site: &Name) -> Result<SiteRecord, ClientError> {
        self.json(Method::POST, &format!("/v1/sites/{site}/promote")).await
    }

    /// Lets the canary answer no more.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn drop_canary(&self, site: &Name) -> Result<SiteRecord, ClientError> {
        self.json(Method::DELETE, &format!("/v1/sites/{site}/canary")).await
    }

    /// Removes a site.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn delete(&self, site: &Name) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/v1/sites/{site}")).await.map(drop)
    }

    /// The lines of a site's log; those to come, too, if it is followed. Then it ends when the server is stopped, the site
    /// removed, or the token may see it no more.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn logs(&self, site: &Name, follow: bool, each: impl FnMut(Entry)) -> Result<(), ClientError> {
        let response = self.send(Method::GET, &format!("/v1/sites/{site}/logs?follow={follow}")).await?;
        self.lines(response, each).await
    }

    /// What the tenant's sites are doing.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn top(&self) -> Result<Activity, ClientError> {
        self.json(Method::GET, "/v1/top").await
    }

    /// Metrics in Prometheus' text format.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let response = self.send(Method::GET, "/metrics").await?;
        let body = self.collect(response).await?;
        String::from_utf8(body.to_vec()).map_err(|error| self.answer(error))
    }
}

/// Whether there is nobody on the other side any more: what was said until then was as it should be.
fn has_ended(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let has_gone = |source: &std::io::Error| {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
        matches!(source.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
    };
    error.is_incomplete_message() || error.is_closed() || source.is_some_and(has_gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path was taken and passed over once: who deployed to what a proxy has below it deployed elsewhere.
    #[test]
    fn an_address_is_host_and_port() {
        for url in ["http://127.0.0.1:8081", "https://edge.example:8081/", "http://[::1]:8081", "https://edge.example"]
        {
            assert!(Client::new(url, None).is_ok(), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:8081",
            "edge.example",
            "/v1",
            "ftp://127.0.0.1:8081",
            "http://:8081",
            "http://127.0.0.1:8081/foo",
            "http://127.0.0.1:8081//",
            "http://127.0.0.1:8081?tenant=a",
            "http://127.0.0.1:8081/?tenant=a",
            "http://127.0.0.1:8081/#sites",
            "http://127.0.0.1:8081#sites",
            "http://me:secret@127.0.0.1:8081",
            "http://me@127.0.0.1:8081",
        ] {
            assert!(matches!(Client::new(url, None), Err(ClientError::Address { .. })), "{url}");
        }
    }
}
