//! What the server has to say to a site's owner about one request while it lasts, beside what the program says itself.

use std::sync::{Arc, Weak};

use crate::exchange::Exchange;
use crate::limits::OUTBOUND_NOTES_MAX;
use crate::logs::{self, Event};
use crate::request_id::RequestId;
use crate::site::Site;

/// Where it is said: in the site's log, its metrics and the response.
pub(crate) struct Notes {
    /// Instances must not keep a site.
    site: Weak<Site>,
    request: RequestId,
    exchange: Exchange,
    /// Lines in the log so far: a program could go on for ever.
    lines: u32,
    refused: bool,
}

/// What became of a request that a program made of another server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Answered,
    Failed,
    /// Its tenant's list does not have the server.
    Refused,
}

impl Outcome {
    /// All, in the order of their counters.
    pub(crate) const ALL: [Outcome; 3] = [Outcome::Answered, Outcome::Failed, Outcome::Refused];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Failed => "failed",
            Outcome::Refused => "refused",
        }
    }
}

impl Notes {
    pub(crate) fn new(site: &Arc<Site>, request: RequestId, exchange: Exchange) -> Notes {
        Notes { site: Arc::downgrade(site), request, exchange, lines: 0, refused: false }
    }

    /// A request to another server was answered.
    pub(crate) fn answered(&self) {
        if let Some(site) = self.site.upgrade() {
            site.counters.outbound(Outcome::Answered);
        }
    }

    /// A request to another server was not answered; this is why.
    pub(crate) fn outbound(&mut self, outcome: Outcome, why: String) {
        let Some(site) = self.site.upgrade() else { return };
        site.counters.outbound(outcome);
        let name = match outcome {
            Outcome::Refused => "outbound_limit",
            _ => "outbound_failed",
        };
        if outcome == Outcome::Refused && !self.refused {
            self.refused = true;
            site.counters.outbound_limit_reached();
            self.exchange.refuse_outbound();
        }
        self.lines += 1;
        if self.lines > OUTBOUND_NOTES_MAX {
            return;
        }
        let rest = if self.lines == OUTBOUND_NOTES_MAX { "; more of this request are not said" } else { "" };
        let message = format!("{}{rest}", logs::text(logs::message(&why).as_bytes()));
        site.log.add(self.request, Event::Failure { name: name.into(), message });
    }
}
