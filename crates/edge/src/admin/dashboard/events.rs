//! What changes on a page, as it changes: server-sent events, each a part of the page as it would be drawn anew.

use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::session::{Visitor, same_origin};
use super::{Visit, headers, pages};
use crate::admin::reply::{Failure, ReplyBody};
use crate::limits::SESSION_MAX;
use crate::server::Shared;
use crate::site::Site;

/// How often a page is drawn.
const EVERY: Duration = Duration::from_secs(1);
/// Events on their way to a browser.
const EVENTS_MAX: usize = 4;

/// Parts of a page, by their names there.
type Parts = Vec<(&'static str, String)>;

pub(super) fn overview(visit: &Visit<'_>, visitor: Visitor) -> Result<Response<ReplyBody>, Failure> {
    let (server, admin) = (visit.server.clone(), visit.admin());
    live(visit, move || vec![("activity", pages::sites(&server, &visitor, &admin))])
}

pub(super) fn site(visit: &Visit<'_>, visitor: &Visitor, site: &Arc<Site>) -> Result<Response<ReplyBody>, Failure> {
    let (visitor, site) = (visitor.clone(), site.clone());
    live(visit, move || {
        let (entries, _, _) = site.log.since(0);
        vec![
            ("activity", pages::activity(&site, &visitor)),
            ("errors", pages::errors(&entries)),
            ("log", pages::log(&entries)),
        ]
    })
}

fn live(visit: &Visit<'_>, draw: impl Fn() -> Parts + Send + 'static) -> Result<Response<ReplyBody>, Failure> {
    // A page of another origin could read nothing of it, but hold its connection.
    same_origin(&visit.headers)?;
    let (to, from) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(send(visit.server.clone(), draw, to));
    Ok(headers::events(from))
}

/// Sends the parts that differ from those before, until the browser is gone, or a session's time over: it asks again.
async fn send(server: Arc<Shared>, draw: impl Fn() -> Parts, to: mpsc::Sender<Bytes>) {
    let end = tokio::time::Instant::now() + SESSION_MAX.min(Duration::from_secs(300));
    let mut before: Parts = Vec::new();
    while tokio::time::Instant::now() < end && !server.is_draining() {
        let parts = draw();
        for part in parts.iter().filter(|part| !before.contains(part)) {
            if to.send(event(part.0, &part.1)).await.is_err() {
                return;
            }
        }
        before = parts;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = to.closed() => return,
        }
    }
}

/// An event whose data may have several lines.
fn event(name: &str, data: &str) -> Bytes {
    let lines: String = data.lines().map(|line| format!("data: {line}\n")).collect();
    Bytes::from(format!("event: {name}\n{lines}\n"))
}
