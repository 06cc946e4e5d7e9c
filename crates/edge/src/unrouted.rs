//! What is refused before a site is known: requests for none, and connections that say none at all.
//!
//! They go to no site's accounts, so they have their own: counts, and lines in the log of requests, as many a second as
//! a site may have. What is counted has no name in it that a client has chosen.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::connection::Flaw;
use crate::exposition::{Exposition, Family};
use crate::logs::{ServerLog, Share};
use crate::refusal::Refusal;
use crate::respond::Ticket;

static REQUESTS: Family = Family::counter(
    "selvedge_unrouted_requests_total",
    "Requests that were refused before a site was found for them, by the name of what is wrong.",
);
static CONNECTIONS: Family = Family::counter(
    "selvedge_connections_refused_total",
    "Connections of clients that were refused, or ended for what they said where a request should be.",
);

/// What a request can be refused with before its site is known.
static REFUSALS: [Refusal; 4] =
    [Refusal::BadRequest(""), Refusal::Draining, Refusal::NoSite(String::new()), Refusal::HeadLimit];

/// The accounts of what belongs to no site.
pub(crate) struct Unrouted {
    /// In the order of `REFUSALS`.
    requests: [AtomicU64; REFUSALS.len()],
    /// In the order of all flaws.
    connections: [AtomicU64; Flaw::ALL.len()],
    log: ServerLog,
    share: Share,
}

impl Unrouted {
    pub(crate) fn new(log: ServerLog) -> Unrouted {
        let (requests, connections) = Default::default();
        Unrouted { requests, connections, log, share: Share::default() }
    }

    /// Takes up a request that was refused, if it belongs to no site.
    pub(crate) fn take(&self, ticket: &Ticket, refusal: &Refusal) {
        let Some(entry) = ticket.without_site(refusal) else { return };
        if let Some(at) = REFUSALS.iter().position(|known| known.name() == refusal.name()) {
            self.requests[at].fetch_add(1, Ordering::Relaxed);
        }
        if !self.log.wants(true) || !self.share.has_room() {
            return;
        }
        let left_out = self.share.left_out();
        if left_out > 0 {
            self.log.line(format!("{left_out} requests of no site are not in this log: there were too many at once"));
        }
        self.log.unrouted(&entry, refusal);
    }

    /// Counts a connection.
    pub(crate) fn refuse(&self, flaw: Flaw) {
        self.connections[flaw as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Lines of Prometheus' text format.
    pub(crate) fn prometheus(&self, out: &mut Exposition) {
        for (refusal, count) in REFUSALS.iter().zip(&self.requests) {
            let labels = format!("error=\"{}\",status=\"{}\"", refusal.name(), refusal.status().as_u16());
            out.sample(&REQUESTS, &labels, count.load(Ordering::Relaxed));
        }
        for (flaw, count) in Flaw::ALL.iter().zip(&self.connections) {
            out.sample(&CONNECTIONS, &format!("reason=\"{}\"", flaw.name()), count.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::*;
    use crate::config::LogFormat;
    use crate::limits::LOG_LINES_PER_SECOND_MAX;
    use crate::request_id::RequestId;

    fn ticket(path: &str) -> Ticket {
        Ticket::open(RequestId::known("r"), &Method::GET, path, None)
    }

    #[test]
    fn a_request_of_no_site_is_a_line_for_people_and_programs() {
        let no_site = Refusal::NoSite("nobody.example".into());
        let (log, said) = ServerLog::read(LogFormat::Text);
        // What a terminal obeys in one character: U+009B is ESC [.
        Unrouted::new(log).take(&ticket("/a\u{9b}31m"), &no_site);
        let line = said.recv().unwrap();
        let (asked, why) = line.split_once("us ").unwrap();
        assert!(asked.starts_with("- r GET /a\\u{9b}31m 404 "), "{line}");
        assert_eq!(why, "no_site: no site is deployed for the host \"nobody.example\"");
        let (log, said) = ServerLog::read(LogFormat::Json);
        Unrouted::new(log).take(&ticket("/"), &no_site);
        let line: serde_json::Value = serde_json::from_str(&said.recv().unwrap()).unwrap();
        assert_eq!(
            (&line["event"], &line["request"], &line["line"]),
            (&"request".into(), &"r".into(), &"GET /".into())
        );
        assert_eq!((&line["status"], &line["error"]), (&404.into(), &"no_site".into()));
        assert_eq!(line["message"], "no site is deployed for the host \"nobody.example\"");
        assert!(line.get("site").is_none());
    }

    #[test]
    fn a_flood_is_counted_and_does_not_fill_the_log() {
        let (log, said) = ServerLog::read(LogFormat::Text);
        let unrouted = Unrouted::new(log);
        for number in 0..1_000 {
            unrouted.take(&ticket("/"), &Refusal::NoSite(format!("host-{number}.example")));
        }
        unrouted.take(&ticket("/"), &Refusal::Draining);
        unrouted.refuse(Flaw::Malformed);
        let lines = said.try_iter().count();
        // A second's worth, and what came while this was running.
        assert!((LOG_LINES_PER_SECOND_MAX as usize..900).contains(&lines), "{lines}");
        let mut exposition = Exposition::default();
        unrouted.prometheus(&mut exposition);
        let text = exposition.text();
        for line in [
            "selvedge_unrouted_requests_total{error=\"no_site\",status=\"404\"} 1000",
            "selvedge_unrouted_requests_total{error=\"draining\",status=\"503\"} 1",
            "selvedge_unrouted_requests_total{error=\"bad_request\",status=\"400\"} 0",
            "selvedge_connections_refused_total{reason=\"malformed_request\"} 1",
            "selvedge_connections_refused_total{reason=\"tls\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(samples, REFUSALS.len() + Flaw::ALL.len(), "as many as there are names, whatever clients ask");
    }

    #[test]
    fn flaws_are_counted_where_they_are_shown() {
        assert!(Flaw::ALL.iter().enumerate().all(|(at, flaw)| *flaw as usize == at));
    }
}
