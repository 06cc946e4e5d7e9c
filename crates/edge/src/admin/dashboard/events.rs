//! What changes on a page, as it changes: server-sent events, each a part of the page as it would be drawn anew.

use std::collections::HashMap;
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

/// Parts of a page, by their ids there.
type Parts = Vec<(String, String)>;

/// A page as it is now.
struct Drawn {
    /// What all other parts are in, if they are others than before.
    whole: Option<(String, String)>,
    parts: Parts,
}

pub(super) fn overview(visit: &Visit<'_>, visitor: Visitor) -> Result<Response<ReplyBody>, Failure> {
    let (server, admin, mut shape) = (visit.server.clone(), visit.admin(), None);
    live(visit, move || {
        let sites = pages::sites(&server, &visitor, &admin);
        let now = Some(sites.shape());
        // A site more, or less: the table is drawn anew. Else of a thousand sites only those that did something.
        let whole = (shape != now).then(|| ("activity".to_string(), pages::rendered(&sites)));
        shape = now;
        Drawn { whole, parts: sites.parts() }
    })
}

pub(super) fn site(visit: &Visit<'_>, site: Arc<Site>) -> Result<Response<ReplyBody>, Failure> {
    live(visit, move || {
        let (entries, _, _) = site.log.since(0);
        let parts = [
            ("running", pages::running(&site)),
            ("activity", pages::activity(&site)),
            ("errors", pages::errors(&entries)),
            ("log", pages::log(&entries)),
        ];
        Drawn { whole: None, parts: parts.map(|(id, text)| (id.to_string(), text)).into() }
    })
}

fn live(visit: &Visit<'_>, draw: impl FnMut() -> Drawn + Send + 'static) -> Result<Response<ReplyBody>, Failure> {
    // A page of another origin could read nothing of it, but hold its connection.
    same_origin(&visit.headers)?;
    let (to, from) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(send(visit.server.clone(), draw, to));
    Ok(headers::events(from))
}

/// Sends the parts that differ from those before, until the browser is gone, or a session's time over: it asks again.
async fn send(server: Arc<Shared>, mut draw: impl FnMut() -> Drawn, to: mpsc::Sender<Bytes>) {
    let end = tokio::time::Instant::now() + SESSION_MAX.min(Duration::from_secs(300));
    let mut before = HashMap::new();
    while tokio::time::Instant::now() < end && !server.is_draining() {
        let text = changed(draw(), &mut before);
        if !text.is_empty() && to.send(text.into()).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = to.closed() => return,
        }
    }
}

/// Events for what is not as it was before.
fn changed(drawn: Drawn, before: &mut HashMap<String, String>) -> String {
    if let Some((id, text)) = drawn.whole {
        *before = drawn.parts.into_iter().collect();
        return event(&id, &text);
    }
    let mut events = String::new();
    for (id, text) in drawn.parts {
        if before.get(&id) != Some(&text) {
            events += &event(&id, &text);
            before.insert(id, text);
        }
    }
    events
}

/// A part whose text may have several lines; the first is its id.
fn event(id: &str, text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("data: {line}\n")).collect();
    format!("event: part\ndata: {id}\n{lines}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_sent() {
        let mut before = HashMap::new();
        let parts = |b: &str| vec![("a".to_string(), "one".to_string()), ("b".to_string(), b.to_string())];
        let mut send = |whole: Option<&str>, b: &str| {
            let whole = whole.map(|text| ("all".to_string(), text.to_string()));
            changed(Drawn { whole, parts: parts(b) }, &mut before)
        };
        assert_eq!(send(Some("x\ny"), "two"), "event: part\ndata: all\ndata: x\ndata: y\n\n");
        assert_eq!(send(None, "two"), "", "it was in the whole");
        assert_eq!(send(None, "three"), "event: part\ndata: b\ndata: three\n\n");
        assert_eq!(send(None, "three"), "");
        assert_eq!(send(Some("z"), "three"), "event: part\ndata: all\ndata: z\n\n");
    }
}
