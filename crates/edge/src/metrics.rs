//! What is counted for each site.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use selvedge_runtime::TrapCode;
use serde::{Deserialize, Serialize};

use crate::exposition::{Exposition, Family};
use crate::guest::Used;
use crate::guest::notes::Outcome as OutboundOutcome;

static REQUESTS: Family = Family::counter("selvedge_requests_total", "Requests that were answered, by status.");
static SECONDS: Family = Family::histogram("selvedge_request_seconds", "Time from a request's head to its end.");
static BYTES: Family = Family::counter("selvedge_response_bytes_total", "Bytes of the bodies of responses.");
static CPU: Family = Family::counter("selvedge_cpu_microseconds_total", "CPU time of instances.");
static MEMORY: Family = Family::gauge("selvedge_memory_bytes_max", "Most memory that an instance had.");
static ERRORS: Family =
    Family::counter("selvedge_errors_total", "Requests that something went wrong with, by its name.");
static TRAPS: Family = Family::counter("selvedge_traps_total", "Instances that trapped, by the trap.");
static REACHED: Family =
    Family::counter("selvedge_limits_reached_total", "Requests that reached a limit, by its key in the configuration.");
static OUTBOUND: Family = Family::counter(
    "selvedge_outbound_requests_total",
    "Requests that programs made of other servers, by what became of them.",
);
static LIVE: Family = Family::gauge("selvedge_instances_live", "Instances that answer a request.");
static PARKED: Family =
    Family::gauge("selvedge_instances_parked", "Of those, the ones that were stopped and wait, or have waited.");
static RECYCLED: Family = Family::counter("selvedge_instances_recycled_total", "Instances that have ended.");
static WAITING: Family = Family::gauge("selvedge_requests_waiting", "Requests that wait for an instance.");
static VERSION_REQUESTS: Family =
    Family::counter("selvedge_version_requests_total", "Requests that a version has answered since it was loaded.");
static VERSION_MICROS: Family = Family::counter("selvedge_version_microseconds_total", "Time of these requests.");

/// Limits of a tenant's requests, by their keys in the configuration. What is refused because of one has its name, and `_limit`.
const LIMITS: [&str; 10] = [
    "cpu",
    "instances",
    "log",
    "memory",
    "outbound",
    "queue",
    "request_body",
    "requests_per_second",
    "response_body",
    "wall",
];

/// Upper bounds of the histogram, in microseconds.
const BUCKETS_US: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

/// Those of the histogram, and one for what is slower.
pub(crate) const BUCKETS: usize = BUCKETS_US.len() + 1;

/// The latencies of a bucket, in microseconds; what is slower than all is taken to take twice as long.
pub(crate) fn bucket_bounds(at: usize) -> (f64, f64) {
    let bound = |at: usize| BUCKETS_US.get(at).map_or(2.0 * BUCKETS_US[BUCKETS_US.len() - 1] as f64, |us| *us as f64);
    (if at == 0 { 0.0 } else { bound(at - 1) }, bound(at))
}

/// What was counted up to now, as far as it changes from second to second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) server_errors: u64,
    pub(crate) by_latency: [u64; BUCKETS],
}

/// Counts of one site.
#[derive(Default)]
pub(crate) struct Counters {
    tally: Mutex<Tally>,
    /// In the order of all outcomes.
    outbound: [AtomicU64; OutboundOutcome::ALL.len()],
    /// Requests whose program asked a server that it may not.
    outbound_limit: AtomicU64,
    /// Requests that wait for an instance.
    pub(crate) waiting: AtomicU32,
    /// Instances that were stopped before their end, and are still there.
    pub(crate) parked: AtomicU32,
}

/// What a request adds to when it is over. Behind one lock, which takes less than as many atomic additions.
#[derive(Clone, Default)]
struct Tally {
    /// By the first digit of the status.
    by_class: [u64; 6],
    buckets: [u64; BUCKETS],
    micros: u64,
    response_bytes: u64,
    cpu_micros: u64,
    memory_bytes_max: u64,
    /// Requests that something went wrong with, by its name.
    errors: BTreeMap<&'static str, u64>,
    /// In the order of all trap codes.
    traps: [u64; TrapCode::ALL.len()],
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        let Outcome { status, took, bytes, used, error, trap } = *outcome;
        let micros = took.as_micros() as u64;
        self.by_class[class(status)] += 1;
        self.buckets[BUCKETS_US.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS - 1)] += 1;
        self.micros += micros;
        self.response_bytes += bytes;
        self.cpu_micros += used.cpu.as_micros() as u64;
        self.memory_bytes_max = self.memory_bytes_max.max(used.memory_bytes);
        if let Some(name) = error {
            *self.errors.entry(name).or_default() += 1;
        }
        if let Some(at) = trap.and_then(|trap| TrapCode::ALL.iter().position(|code| *code == trap)) {
            self.traps[at] += 1;
        }
    }

    fn requests(&self) -> u64 {
        self.by_class.iter().sum()
    }

    fn traps(&self) -> impl Iterator<Item = (TrapCode, u64)> {
        TrapCode::ALL.iter().copied().zip(self.traps)
    }

    fn counted(&self) -> Counted {
        let traps = self.traps().filter(|(_, count)| *count > 0);
        Counted {
            requests: self.requests(),
            server_errors: self.by_class[5],
            micros: self.micros,
            response_bytes: self.response_bytes,
            cpu_micros: self.cpu_micros,
            memory_bytes_max: self.memory_bytes_max,
            errors: self.errors.iter().map(|(name, count)| (name.to_string(), *count)).collect(),
            traps: traps.map(|(code, count)| (code.to_string(), count)).collect(),
        }
    }
}

/// What the log of a site knows of its instances: each has it open.
pub(crate) struct Speakers {
    pub(crate) live: u32,
    pub(crate) ended: u64,
    /// Of those, the ones whose log was cut at its limit.
    pub(crate) cut: u64,
}

/// Counts of one version, since it was loaded.
#[derive(Default)]
pub(crate) struct VersionCounters {
    /// By the first digit of the status.
    by_class: [AtomicU64; 6],
    micros: AtomicU64,
}

impl VersionCounters {
    fn add(&self, outcome: &Outcome) {
        self.by_class[class(outcome.status)].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(outcome.took.as_micros() as u64, Ordering::Relaxed);
    }

    /// Lines of Prometheus' text format; `labels` name site and version.
    pub(crate) fn prometheus(&self, labels: &str, out: &mut Exposition) {
        for (class, count) in self.by_class.iter().enumerate().skip(1) {
            let count = count.load(Ordering::Relaxed);
            out.sample(&VERSION_REQUESTS, &format!("{labels},status=\"{class}xx\""), count);
        }
        out.sample(&VERSION_MICROS, labels, self.micros.load(Ordering::Relaxed));
    }
}

/// The first digit of a status.
fn class(status: u16) -> usize {
    usize::from(status / 100).min(5)
}

/// One request, as it is counted.
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) took: Duration,
    /// Of the response's body.
    pub(crate) bytes: u64,
    pub(crate) used: Used,
    /// The name of what went wrong.
    pub(crate) error: Option<&'static str>,
    /// Why the instance trapped, if it did.
    pub(crate) trap: Option<TrapCode>,
}

/// What was counted up to now.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Requests that were answered.
    pub requests: u64,
    /// Of those, with a status from 500 on.
    pub server_errors: u64,
    /// Time of all together, in microseconds.
    pub micros: u64,
    /// Bytes of all bodies of responses.
    pub response_bytes: u64,
    /// CPU time of all instances together, in microseconds.
    pub cpu_micros: u64,
    /// Most memory that an instance had.
    pub memory_bytes_max: u64,
    /// How many went wrong, by the name of what went wrong.
    pub errors: BTreeMap<String, u64>,
    /// How many instances trapped, by the trap.
    #[serde(default)]
    pub traps: BTreeMap<String, u64>,
}

impl Counters {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        // A count that is missing is no reason to count no more.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request that a version was to answer, if one was.
    pub(crate) fn add(&self, outcome: &Outcome, version: Option<&VersionCounters>) {
        if let Some(version) = version {
            version.add(outcome);
        }
        self.tally().add(outcome);
    }

    /// Counts what became of a request that a program made of another server.
    pub(crate) fn outbound(&self, outcome: OutboundOutcome) {
        self.outbound[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request whose program asked a server that it may not.
    pub(crate) fn outbound_limit_reached(&self) {
        self.outbound_limit.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        let tally = self.tally();
        Totals { server_errors: tally.by_class[5], by_latency: tally.buckets }
    }

    pub(crate) fn counted(&self) -> Counted {
        self.tally().counted()
    }

    /// Lines of Prometheus' text format; `labels` name the site.
    pub(crate) fn prometheus(&self, labels: &str, speakers: &Speakers, out: &mut Exposition) {
        let tally = self.tally().clone();
        for (class, count) in tally.by_class.iter().enumerate().skip(1) {
            out.sample(&REQUESTS, &format!("{labels},status=\"{class}xx\""), *count);
        }
        let counted = tally.counted();
        let mut below = 0;
        let up_to = BUCKETS_US.iter().zip(&tally.buckets).map(|(bound, count)| {
            below += count;
            (*bound as f64 / 1e6, below)
        });
        out.histogram(&SECONDS, labels, up_to, (counted.micros as f64 / 1e6, counted.requests));
        out.sample(&BYTES, labels, counted.response_bytes);
        out.sample(&CPU, labels, counted.cpu_micros);
        out.sample(&MEMORY, labels, counted.memory_bytes_max);
        for (name, count) in &counted.errors {
            out.sample(&ERRORS, &format!("{labels},error=\"{name}\""), *count);
        }
        for (code, count) in tally.traps() {
            out.sample(&TRAPS, &format!("{labels},trap=\"{code}\""), count);
        }
        for limit in LIMITS {
            let refused = counted.errors.get(&format!("{limit}_limit")).copied().unwrap_or(0);
            let reached = match limit {
                "log" => speakers.cut,
                "outbound" => self.outbound_limit.load(Ordering::Relaxed),
                _ => refused,
            };
            out.sample(&REACHED, &format!("{labels},limit=\"{limit}\""), reached);
        }
        for outcome in OutboundOutcome::ALL {
            let count = self.outbound[outcome as usize].load(Ordering::Relaxed);
            out.sample(&OUTBOUND, &format!("{labels},outcome=\"{}\"", outcome.name()), count);
        }
        out.sample(&LIVE, labels, speakers.live.into());
        out.sample(&PARKED, labels, self.parked.load(Ordering::Relaxed).into());
        out.sample(&RECYCLED, labels, speakers.ended);
        out.sample(&WAITING, labels, self.waiting.load(Ordering::Relaxed).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown() {
        let (counters, version) = (Counters::default(), VersionCounters::default());
        let used = Used { cpu: Duration::from_micros(30), memory_bytes: 65_536 };
        let took = Duration::from_micros(80);
        counters.add(&Outcome { status: 200, took, bytes: 5, used, error: None, trap: None }, None);
        let (took, used) = (Duration::from_secs(20), Used::default());
        let outcome = Outcome { status: 504, took, bytes: 0, used, error: Some("wall_limit"), trap: None };
        counters.add(&outcome, Some(&version));
        let (error, trap) = (Some("guest_trap"), Some(TrapCode::IntegerDivisionByZero));
        counters.add(&Outcome { status: 500, error, trap, ..outcome }, None);
        let counted = counters.counted();
        assert_eq!((counted.requests, counted.server_errors, counted.response_bytes), (3, 2, 5));
        assert_eq!((counted.cpu_micros, counted.memory_bytes_max), (30, 65_536));
        let mut exposition = Exposition::default();
        counters.parked.store(2, Ordering::Relaxed);
        counters.prometheus("site=\"a\"", &Speakers { live: 3, ended: 7, cut: 4 }, &mut exposition);
        version.prometheus("version=\"3\"", &mut exposition);
        let text = exposition.text();
        for line in [
            "# HELP selvedge_request_seconds Time from a request's head to its end.",
            "# TYPE selvedge_request_seconds histogram",
            "selvedge_requests_total{site=\"a\",status=\"2xx\"} 1",
            "selvedge_request_seconds_bucket{site=\"a\",le=\"0.00005\"} 0",
            "selvedge_request_seconds_bucket{site=\"a\",le=\"0.0001\"} 1",
            "selvedge_request_seconds_bucket{site=\"a\",le=\"10\"} 1",
            "selvedge_request_seconds_bucket{site=\"a\",le=\"+Inf\"} 3",
            "selvedge_request_seconds_count{site=\"a\"} 3",
            "selvedge_version_requests_total{version=\"3\",status=\"2xx\"} 0",
            "selvedge_version_requests_total{version=\"3\",status=\"5xx\"} 1",
            "selvedge_version_microseconds_total{version=\"3\"} 20000000",
            "selvedge_errors_total{site=\"a\",error=\"wall_limit\"} 1",
            "selvedge_traps_total{site=\"a\",trap=\"integer divide by zero\"} 1",
            "selvedge_traps_total{site=\"a\",trap=\"unreachable\"} 0",
            "selvedge_limits_reached_total{site=\"a\",limit=\"wall\"} 1",
            "selvedge_limits_reached_total{site=\"a\",limit=\"log\"} 4",
            "selvedge_limits_reached_total{site=\"a\",limit=\"queue\"} 0",
            "selvedge_instances_live{site=\"a\"} 3",
            "selvedge_instances_parked{site=\"a\"} 2",
            "selvedge_instances_recycled_total{site=\"a\"} 7",
            "selvedge_requests_waiting{site=\"a\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_limit_that_can_be_configured_is_counted() {
        let schema: serde_json::Value = serde_json::from_str(&crate::schema::schema()).unwrap();
        let keys = schema["definitions"]["SiteLimits"]["properties"].as_object().unwrap().keys();
        let mut keys: Vec<&str> = keys.map(String::as_str).collect();
        // It is beside the other limits, since it is a list.
        keys.extend(schema["definitions"]["Tenant"]["properties"].get("outbound").map(|_| "outbound"));
        // Those of what is kept refuse deploys, and no request.
        keys.retain(|key| !["sites", "storage"].contains(key));
        keys.sort_unstable();
        assert_eq!(keys, LIMITS);
    }
}
