//! What changes on a page, as it changes: server-sent events, each a part of the page as it would be drawn anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::pages::{self, Part};
use super::session::{Visitor, same_origin};
use super::{Dashboard, Visit, headers};
use crate::admin::reply::{Failure, ReplyBody};
use crate::limits::{ADMIN_STREAM_TICK, PAGE_WATCH_MAX};
use crate::server::Shared;
use crate::site::Site;

/// How often a page is drawn.
pub(super) const EVERY: Duration = ADMIN_STREAM_TICK;
/// Events on their way to a browser.
const EVENTS_MAX: usize = 4;

/// A page as it is now.
struct Drawn {
    /// What all other parts are in, if they are others than before.
    whole: Option<(String, String)>,
    parts: Vec<Part>,
}

/// What is watched.
enum Page {
    /// A tenant's sites; which ones there were last, and where a terminal would deploy to.
    Overview {
        shape: Option<Vec<Arc<str>>>,
        admin: String,
    },
    Site(Arc<Site>),
}

pub(super) fn overview(visit: &Visit<'_>, visitor: Visitor) -> Result<Response<ReplyBody>, Failure> {
    live(visit, visitor, Page::Overview { shape: None, admin: visit.admin() })
}

pub(super) fn site(visit: &Visit<'_>, visitor: &Visitor, site: &str) -> Result<Response<ReplyBody>, Failure> {
    live(visit, visitor.clone(), Page::Site(visit.site(visitor, site)?))
}

fn live(visit: &Visit<'_>, visitor: Visitor, page: Page) -> Result<Response<ReplyBody>, Failure> {
    // A page of another origin could read nothing of it, but hold its connection.
    same_origin(&visit.headers)?;
    let place = visit.dashboard.streams.enter(Some(visitor.tenant.name.clone()))?;
    let (to, from) = mpsc::channel(EVENTS_MAX);
    let watch = Watch { server: visit.server.clone(), dashboard: visit.dashboard.clone(), visitor, page };
    tokio::spawn(async move {
        watch.send(to).await;
        drop(place);
    });
    Ok(headers::events(from))
}

/// A page that somebody watches.
struct Watch {
    server: Arc<Shared>,
    dashboard: Arc<Dashboard>,
    visitor: Visitor,
    page: Page,
}

impl Watch {
    /// Sends the parts that differ from those before, until the browser is gone, or whoever watches may not any more. After a
    /// while it ends anyway, and the browser asks again.
    async fn send(mut self, to: mpsc::Sender<Bytes>) {
        let (end, mut before) = (Instant::now() + PAGE_WATCH_MAX, HashMap::new());
        while Instant::now() < end && !self.server.is_draining() {
            let Some(drawn) = self.draw().await else { return };
            let text = changed(drawn, &mut before);
            if !text.is_empty() && to.send(text.into()).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = to.closed() => return,
            }
        }
    }

    /// What the visitor may see of it, as they are by now; nothing if that is nothing.
    async fn draw(&mut self) -> Option<Drawn> {
        self.visitor = self.dashboard.sessions.still(&self.server.access.load(), &self.visitor)?;
        match &mut self.page {
            Page::Overview { shape, admin } => {
                let rows = self.dashboard.overviews.rows(&self.server, &self.visitor.tenant).await.ok()?;
                let sites = pages::sites(&rows, &self.visitor, admin);
                let now = Some(sites.shape());
                // A site more, or less: the table is drawn anew. Else of a thousand sites only those that did something.
                let whole = (*shape != now).then(|| ("activity".to_string(), pages::rendered(&sites)));
                *shape = now;
                Some(Drawn { whole, parts: sites.parts() })
            }
            Page::Site(site) => {
                let is_there = self.server.site(&site.key).is_some_and(|now| Arc::ptr_eq(&now, site));
                if !is_there || !self.visitor.scope.is_for(&site.key.site) {
                    return None;
                }
                let (entries, _, _) = site.log.since(0);
                let parts = [
                    ("running", pages::running(site)),
                    ("activity", pages::activity(site)),
                    ("errors", pages::errors(&entries)),
                    ("log", pages::log(&entries)),
                ];
                Some(Drawn { whole: None, parts: parts.map(|(id, text)| (id.into(), text.into())).into() })
            }
        }
    }
}

/// Events for what is not as it was before.
fn changed(drawn: Drawn, before: &mut HashMap<Arc<str>, Arc<str>>) -> String {
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
        let parts = |b: &str| vec![("a".into(), "one".into()), ("b".into(), b.into())];
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
