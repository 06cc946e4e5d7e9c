//! The last minute of each site, second by second: what the dashboard draws.
//!
//! A site without traffic in that minute keeps nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::metrics::{BUCKETS, Counters, Totals, bucket_bounds};
use crate::server::Shared;

/// Seconds that are kept.
pub(crate) const SECONDS: usize = 60;
/// Of those, the ones that make up "now".
const NOW_SECONDS: usize = 10;

/// The last minute of one site.
#[derive(Default)]
pub(crate) struct History(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    last: Totals,
    seconds: VecDeque<Second>,
}

/// What was counted in a second.
#[derive(Clone, Copy, Default)]
struct Second {
    errors: u32,
    by_latency: [u32; BUCKETS],
}

impl Second {
    fn requests(&self) -> u32 {
        self.by_latency.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn add(&mut self, other: &Second) {
        self.errors = self.errors.saturating_add(other.errors);
        for (own, count) in self.by_latency.iter_mut().zip(other.by_latency) {
            *own = own.saturating_add(count);
        }
    }
}

/// A site, or several together, at one moment.
#[derive(Clone, Default)]
pub(crate) struct Recent {
    /// The last minute; the newest second is the last.
    seconds: Vec<(u32, f64)>,
    now: Second,
    minute: Second,
}

impl History {
    /// Takes in what was counted since the last time.
    fn sample(&self, counters: &Counters) {
        let totals = counters.totals();
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let second = difference(&totals, &minute.last);
        minute.last = totals;
        if minute.seconds.is_empty() && second.requests() == 0 {
            return;
        }
        minute.seconds.push_back(second);
        if minute.seconds.len() > SECONDS {
            minute.seconds.pop_front();
        }
        if minute.seconds.iter().all(|second| second.requests() == 0) {
            minute.seconds = VecDeque::new();
        }
    }

    pub(crate) fn recent(&self) -> Recent {
        let minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recent = Recent { seconds: vec![(0, 0.0); SECONDS - minute.seconds.len()], ..Recent::default() };
        for (at, second) in minute.seconds.iter().enumerate() {
            recent.seconds.push((second.requests(), quantile(&second.by_latency, 0.99)));
            recent.minute.add(second);
            if at + NOW_SECONDS >= minute.seconds.len() {
                recent.now.add(second);
            }
        }
        recent
    }
}

impl Recent {
    /// Together with another site.
    pub(crate) fn and(mut self, other: &Recent) -> Recent {
        self.seconds.resize(SECONDS, (0, 0.0));
        for (own, theirs) in self.seconds.iter_mut().zip(&other.seconds) {
            *own = (own.0.saturating_add(theirs.0), own.1.max(theirs.1));
        }
        self.now.add(&other.now);
        self.minute.add(&other.minute);
        self
    }

    pub(crate) fn per_second(&self) -> f64 {
        f64::from(self.now.requests()) / NOW_SECONDS as f64
    }

    /// Server's errors in the last minute.
    pub(crate) fn errors(&self) -> u32 {
        self.minute.errors
    }

    pub(crate) fn requests(&self) -> u32 {
        self.minute.requests()
    }

    /// Latency that so many of the last minute's requests kept below, in microseconds.
    pub(crate) fn latency(&self, share: f64) -> f64 {
        quantile(&self.minute.by_latency, share)
    }

    /// Requests in each second.
    pub(crate) fn traffic(&self) -> Vec<f64> {
        self.seconds.iter().map(|(requests, _)| f64::from(*requests)).collect()
    }

    /// The slowest hundredth of each second, in microseconds.
    pub(crate) fn slowest(&self) -> Vec<f64> {
        self.seconds.iter().map(|(_, slowest)| *slowest).collect()
    }
}

fn difference(now: &Totals, before: &Totals) -> Second {
    let delta = |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
    let mut second = Second { errors: delta(now.server_errors, before.server_errors), ..Second::default() };
    for (at, own) in second.by_latency.iter_mut().enumerate() {
        *own = delta(now.by_latency[at], before.by_latency[at]);
    }
    second
}

/// Within a bucket latencies are taken to be spread evenly.
fn quantile(by_latency: &[u32; BUCKETS], share: f64) -> f64 {
    let total: f64 = by_latency.iter().map(|count| f64::from(*count)).sum();
    let mut below = 0.0;
    for (at, count) in by_latency.iter().enumerate() {
        let count = f64::from(*count);
        if count > 0.0 && below + count >= total * share {
            let (from, to) = bucket_bounds(at);
            return from + (to - from) * ((total * share - below) / count).clamp(0.0, 1.0);
        }
        below += count;
    }
    0.0
}

/// Looks at all sites each second, as long as there is a server.
pub(crate) async fn keep(server: Weak<Shared>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let Some(server) = server.upgrade() else { return };
        for site in server.all_sites() {
            site.history.sample(&site.counters);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Used;
    use crate::metrics::Outcome;

    #[test]
    fn a_minute_is_kept_and_what_is_quiet_keeps_nothing() {
        let (history, counters) = (History::default(), Counters::default());
        let request = |status, ms| {
            let took = Duration::from_millis(ms);
            counters.add(&Outcome { status, took, bytes: 0, used: Used::default(), error: None, trap: None }, None);
        };
        history.sample(&counters);
        assert!(history.0.lock().unwrap().seconds.is_empty());
        for _ in 0..99 {
            request(200, 2);
        }
        request(500, 70_000);
        history.sample(&counters);
        let recent = history.recent();
        assert_eq!((recent.requests(), recent.errors(), recent.per_second()), (100, 1, 10.0));
        assert_eq!(recent.traffic().last(), Some(&100.0));
        assert_eq!(recent.traffic().len(), SECONDS);
        let (half, all) = (recent.latency(0.5), recent.latency(1.0));
        assert!((1_000.0..2_500.0).contains(&half) && all >= 10_000_000.0, "{half} {all}");
        let both = Recent::default().and(&recent).and(&recent);
        assert_eq!((both.requests(), both.traffic().last()), (200, Some(&200.0)));
        for _ in 0..SECONDS {
            history.sample(&counters);
        }
        assert!(history.0.lock().unwrap().seconds.is_empty());
        assert_eq!(history.recent().requests(), 0);
    }
}
