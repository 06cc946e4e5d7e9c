//! A module is dropped in and becomes a version; a site is asked, and its answer shown.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::charts::duration;
use super::pages::{Answer, Ask, StageRow, TryPage};
use super::session::Visitor;
use super::{Visit, headers};
use crate::admin::reply::{Failure, ReplyBody};
use crate::admin::site::{told_in_lines, upload};
use crate::admin::{access, query};
use crate::config::ByteCount;
use crate::connection;
use crate::deploy::{self, Begun, Kind, Order, Progress};
use crate::limits::{
    DASHBOARD_ANSWER_BYTES_MAX, DASHBOARD_MODULE_BYTES_MAX, DASHBOARD_TEXT_BYTES_MAX, RESPONSE_BUFFER_BYTES,
    TRIAL_TIMEOUT,
};
use crate::logs;
use crate::name::Name;
use crate::server::SiteAnswer;
use crate::store::SiteKey;

/// What the form begins with, but for its comment, which is about a terminal.
const EXAMPLE: &str = include_str!("../../../../../examples/hello.wat");
/// What the form's text says of it instead.
const COMMENT: &str = "\
;; A service: answers every request with a line of text, and writes one to its log.
;; Deploy it as it is, or write your own in its place.
";
/// Sent by a script, with a module that is no form.
pub(super) const FORM_HEADER: HeaderName = HeaderName::from_static("x-selvedge-form");

pub(super) fn page(visit: &Visit<'_>, visitor: &Visitor) -> Response<ReplyBody> {
    headers::page(StatusCode::OK, &try_page(visit, visitor, &free_name(visit, visitor), &sample()))
}

fn sample() -> String {
    let is_comment = |line: &&str| line.starts_with(";;");
    let program = EXAMPLE.split_inclusive('\n').skip_while(is_comment);
    std::iter::once(COMMENT).chain(program).collect()
}

/// A name for a site that is not there yet: trying something replaces nothing unless somebody says so.
fn free_name(visit: &Visit<'_>, visitor: &Visitor) -> String {
    let sites = visit.server.sites_of(&visitor.tenant.name);
    let numbered = (2_u32..).map(|number| format!("trial-{number}"));
    let mut names = std::iter::once("trial".to_string()).chain(numbered);
    let is_free = |name: &String| !sites.iter().any(|site| site.key.site.as_str() == name);
    names.find(is_free).expect("sites are bounded, and numbers more")
}

fn try_page(visit: &Visit<'_>, visitor: &Visitor, site: &str, text: &str) -> TryPage {
    TryPage {
        frame: visit.frame(visitor),
        site: site.to_string(),
        text: text.to_string(),
        module_max: ByteCount(DASHBOARD_MODULE_BYTES_MAX).to_string(),
        text_max: ByteCount(DASHBOARD_TEXT_BYTES_MAX as u64).to_string(),
        stages: Vec::new(),
        failure: String::new(),
    }
}

/// A module as the body, from a script, which is told of each stage; or a form with its text, which gets a page.
pub(super) async fn deploy(
    visit: &Visit<'_>,
    visitor: &Visitor,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Failure> {
    match visit.headers.contains_key(FORM_HEADER) {
        true => deploy_body(visit, visitor, request).await,
        false => deploy_form(visit, visitor, request).await,
    }
}

async fn deploy_body(
    visit: &Visit<'_>,
    visitor: &Visitor,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Failure> {
    let given = visit.headers.get(FORM_HEADER).and_then(|value| value.to_str().ok());
    visit.dashboard.sessions.check_form(&visitor.session, given.unwrap_or_default())?;
    let query = query(request.uri().query().unwrap_or_default())?;
    let site = query.get("site").and_then(|sites| sites.first());
    let begun = begin(visit, visitor, site.map_or("", String::as_str)).await?;
    let bytes_max = (DASHBOARD_MODULE_BYTES_MAX, DASHBOARD_MODULE_BYTES_MAX);
    let received = upload(begun, &visit.headers, request.into_body(), bytes_max).await?;
    Ok(told_in_lines(received.deploy()))
}

/// A deploy that answers where the version before did, or at the site's own name.
async fn begin(visit: &Visit<'_>, visitor: &Visitor, site: &str) -> Result<Begun, Failure> {
    let site = Name::new(site).map_err(|error| Failure::bad(error.to_string()))?;
    access::is_for(&visitor.scope, &site)?;
    let key = SiteKey { tenant: visitor.tenant.name.clone(), site };
    let order = Order { asker: visitor.asker(), ..Order::default() };
    Ok(deploy::begin(visit.server, &visitor.tenant, &key, order).await?)
}

/// Without a script: the whole deploy, then a page that says how it went.
async fn deploy_form(
    visit: &Visit<'_>,
    visitor: &Visitor,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Failure> {
    let form = visit.form(visitor, request).await?;
    let (name, text) = (form.get("site"), form.get("text"));
    let mut shown = try_page(visit, visitor, name, text);
    if text.len() > DASHBOARD_TEXT_BYTES_MAX {
        let most = ByteCount(DASHBOARD_TEXT_BYTES_MAX as u64);
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a text here has at most {most}")));
    }
    let begun = begin(visit, visitor, name).await?;
    let mut receiving = begun.receive(Kind::Module, text.len() as u64).await?;
    receiving.write(text.as_bytes()).await?;
    let mut told = receiving.end().await?.deploy();
    while let Some(progress) = told.recv().await {
        match progress {
            Progress::Passed { stage, micros } => {
                let text = format!("{stage:?} {}", duration(micros as f64)).to_lowercase();
                shown.stages.push(StageRow { kind: "good", text });
            }
            Progress::Failed { stage, message } => {
                shown.stages.push(StageRow { kind: "bad", text: format!("{stage:?}").to_lowercase() });
                shown.failure = message;
            }
            Progress::Deployed { .. } => return asked(visit, visitor, name, Ask::default()).await,
        }
    }
    Ok(headers::page(StatusCode::UNPROCESSABLE_ENTITY, &shown))
}

/// Asks a site what a form says.
pub(super) async fn ask(
    visit: &Visit<'_>,
    visitor: &Visitor,
    site: &str,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Failure> {
    let form = visit.form(visitor, request).await?;
    let field = |name: &str| form.get(name).to_string();
    asked(visit, visitor, site, Ask { method: field("method"), path: field("path"), body: field("body") }).await
}

async fn asked(visit: &Visit<'_>, visitor: &Visitor, name: &str, ask: Ask) -> Result<Response<ReplyBody>, Failure> {
    let site = visit.site(visitor, name)?;
    let record = deploy::record_of(visit.server, &site.key).await?;
    let found = record.as_ref().and_then(|record| Some((record.hosts.first()?, record.path.as_str())));
    let (host, prefix) = found.ok_or_else(|| Failure::bad("the site has no host"))?;
    let method: Method = ask.method.parse().map_err(|_| Failure::bad("this is no method of HTTP"))?;
    // By itself: behind a prefix it would be part of another site's.
    let is_path = ask.path.starts_with('/');
    let request =
        Request::builder().method(method).uri(format!("{prefix}{}", ask.path)).header(header::HOST, host.as_str());
    let request = request.header(header::USER_AGENT, "selvedge-dashboard").body(Full::from(ask.body.clone()));
    let request = request
        .ok()
        .filter(|request| is_path && request.uri().path().starts_with('/') && request.uri().host().is_none());
    let request = request.ok_or_else(|| Failure::bad("a path begins with / and has no spaces"))?;
    let answer = tokio::time::timeout(TRIAL_TIMEOUT, exchange(visit, request)).await;
    let late = |_| Failure::new(StatusCode::GATEWAY_TIMEOUT, "the site did not answer in time");
    let answer = answer.map_err(late)?.map_err(|error| Failure::new(StatusCode::BAD_GATEWAY, error.to_string()))?;
    visit.site_page(visitor, name, ask, Some(answer)).await
}

/// As any client would, on a connection within this process: it may be jailed, and then it can open no other.
async fn exchange(
    visit: &Visit<'_>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let began = Instant::now();
    let (ours, theirs) = tokio::io::duplex(RESPONSE_BUFFER_BYTES);
    let (stay, stop) = watch::channel(false);
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (answer, port) = (SiteAnswer(visit.server.clone()), visit.dashboard.port);
    tokio::spawn(async move {
        connection::serve_stream(theirs, remote, port, stop, answer).await;
        drop(stay);
    });
    let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (parts, body) = response.into_parts();
    let (bytes, whole) = beginning(body).await;
    let headers = parts.headers.iter().map(|(name, value)| format!("{name}: {}\n", logs::text(value.as_bytes())));
    let mut body = readable(&bytes);
    if !whole {
        body += &format!("\n… more than the {} that are shown", ByteCount(DASHBOARD_ANSWER_BYTES_MAX as u64));
    }
    Ok(Answer {
        good: !parts.status.is_server_error() && !parts.status.is_client_error(),
        status: parts.status.to_string(),
        took: took(began.elapsed()),
        headers: headers.collect(),
        body,
    })
}

fn took(time: Duration) -> String {
    duration(time.as_micros() as f64)
}

/// What of a body is shown, and whether that is all. What breaks off is shown as far as it came.
async fn beginning(mut body: Incoming) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        if bytes.len() > DASHBOARD_ANSWER_BYTES_MAX {
            bytes.truncate(DASHBOARD_ANSWER_BYTES_MAX);
            return (bytes, false);
        }
    }
    (bytes, true)
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split('\n').map(|line| logs::text(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use crate::deploy::Space;
    use crate::server::tests::server_on;

    /// The form was taken where the disk was full.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_takes_no_upload_whichever_way_it_comes() {
        let (server, state) = server_on(|_| Space { free: 1 << 20, all: 1 << 40 }).await;
        let ask = |head: &str, body: &str| {
            let mut stream = TcpStream::connect(server.admin()).unwrap();
            let length = body.len();
            let rest = format!("Host: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(format!("{head}\r\n{rest}").as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let page = ask("GET /try HTTP/1.1", "");
        let form = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let by_script = format!("POST /try?site=a HTTP/1.1\r\nx-selvedge-form: {form}");
        let by_form = format!("form={form}&site=a&text=(module)");
        for (head, body) in [
            ("POST /v1/sites/a/versions HTTP/1.1\r\nx-selvedge: 1", "(module)"),
            (&by_script, "(module)"),
            ("POST /try HTTP/1.1", &by_form),
        ] {
            let answer = ask(head, body);
            assert!(answer.starts_with("HTTP/1.1 507 ") && answer.contains("1048576 bytes left"), "{head}\n{answer}");
        }
        assert_eq!(std::fs::read_dir(state.path().join("scratch")).unwrap().count(), 0);
    }
}
