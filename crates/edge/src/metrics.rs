//! What is counted for each site.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::guest::Used;

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
    /// By the first digit of the status.
    by_class: [AtomicU64; 6],
    buckets: [AtomicU64; BUCKETS_US.len()],
    micros: AtomicU64,
    response_bytes: AtomicU64,
    cpu_micros: AtomicU64,
    memory_bytes_max: AtomicU64,
    /// Requests that something went wrong with, by its name. Locked only then.
    errors: Mutex<BTreeMap<&'static str, u64>>,
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
            out.sample("selvedge_version_requests_total", "counter", &format!("{labels},status=\"{class}xx\""), count);
        }
        let micros = self.micros.load(Ordering::Relaxed);
        out.sample("selvedge_version_microseconds_total", "counter", labels, micros);
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
}

impl Counters {
    /// Counts a request that a version was to answer, if one was.
    pub(crate) fn add(&self, outcome: &Outcome, version: Option<&VersionCounters>) {
        if let Some(version) = version {
            version.add(outcome);
        }
        let Outcome { status, took, bytes, used, error } = *outcome;
        self.cpu_micros.fetch_add(used.cpu.as_micros() as u64, Ordering::Relaxed);
        self.memory_bytes_max.fetch_max(used.memory_bytes, Ordering::Relaxed);
        let micros = took.as_micros() as u64;
        self.by_class[class(status)].fetch_add(1, Ordering::Relaxed);
        if let Some(bucket) = BUCKETS_US.iter().position(|bound| micros <= *bound) {
            self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(name) = error {
            *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut totals = Totals { server_errors: of(&self.by_class[5]), ..Totals::default() };
        for (total, bucket) in totals.by_latency.iter_mut().zip(&self.buckets) {
            *total = of(bucket);
        }
        let counted: u64 = totals.by_latency.iter().sum();
        // Counted one after the other: what is in a bucket already may be in no class yet, or the other way round.
        totals.by_latency[BUCKETS - 1] = self.by_class.iter().map(of).sum::<u64>().saturating_sub(counted);
        totals
    }

    pub(crate) fn counted(&self) -> Counted {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        Counted {
            requests: self.by_class.iter().map(of).sum(),
            server_errors: of(&self.by_class[5]),
            micros: of(&self.micros),
            response_bytes: of(&self.response_bytes),
            cpu_micros: of(&self.cpu_micros),
            memory_bytes_max: of(&self.memory_bytes_max),
            errors: errors.iter().map(|(name, count)| (name.to_string(), *count)).collect(),
        }
    }

    /// Lines of Prometheus' text format; `labels` name the site.
    pub(crate) fn prometheus(&self, labels: &str, out: &mut Exposition) {
        for (class, count) in self.by_class.iter().enumerate().skip(1) {
            let count = count.load(Ordering::Relaxed);
            out.sample("selvedge_requests_total", "counter", &format!("{labels},status=\"{class}xx\""), count);
        }
        let counted = self.counted();
        let mut below = 0;
        for (bound, count) in BUCKETS_US.iter().zip(&self.buckets) {
            below += count.load(Ordering::Relaxed);
            let le = *bound as f64 / 1e6;
            out.bucket("selvedge_request_seconds", &format!("{labels},le=\"{le}\""), below);
        }
        out.bucket("selvedge_request_seconds", &format!("{labels},le=\"+Inf\""), counted.requests);
        out.histogram_end("selvedge_request_seconds", labels, counted.micros as f64 / 1e6, counted.requests);
        out.sample("selvedge_response_bytes_total", "counter", labels, counted.response_bytes);
        out.sample("selvedge_cpu_microseconds_total", "counter", labels, counted.cpu_micros);
        out.sample("selvedge_memory_bytes_max", "gauge", labels, counted.memory_bytes_max);
        for (name, count) in &counted.errors {
            out.sample("selvedge_errors_total", "counter", &format!("{labels},error=\"{name}\""), *count);
        }
    }
}

/// Samples in Prometheus' text format, those of one name together.
#[derive(Default)]
pub(crate) struct Exposition {
    families: BTreeMap<&'static str, (&'static str, String)>,
}

impl Exposition {
    fn family(&mut self, name: &'static str, kind: &'static str) -> &mut String {
        &mut self.families.entry(name).or_insert((kind, String::new())).1
    }

    pub(crate) fn sample(&mut self, name: &'static str, kind: &'static str, labels: &str, value: u64) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.family(name, kind), "{name}{{{labels}}} {value}");
    }

    fn bucket(&mut self, name: &'static str, labels: &str, value: u64) {
        let _ = writeln!(self.family(name, "histogram"), "{name}_bucket{{{labels}}} {value}");
    }

    fn histogram_end(&mut self, name: &'static str, labels: &str, sum: f64, count: u64) {
        let _ =
            writeln!(self.family(name, "histogram"), "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }

    pub(crate) fn text(self) -> String {
        let family = |(name, (kind, samples)): (&str, (&str, String))| format!("# TYPE {name} {kind}\n{samples}");
        self.families.into_iter().map(family).collect()
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
        counters.add(&Outcome { status: 200, took, bytes: 5, used, error: None }, None);
        let (took, used) = (Duration::from_secs(20), Used::default());
        counters.add(&Outcome { status: 504, took, bytes: 0, used, error: Some("wall_limit") }, Some(&version));
        let counted = counters.counted();
        assert_eq!((counted.requests, counted.server_errors, counted.response_bytes), (2, 1, 5));
        assert_eq!((counted.cpu_micros, counted.memory_bytes_max), (30, 65_536));
        let mut exposition = Exposition::default();
        counters.prometheus("site=\"a\"", &mut exposition);
        version.prometheus("version=\"3\"", &mut exposition);
        let text = exposition.text();
        for line in [
            "# TYPE selvedge_request_seconds histogram",
            "selvedge_requests_total{site=\"a\",status=\"2xx\"} 1",
            "selvedge_request_seconds_bucket{site=\"a\",le=\"0.00005\"} 0",
            "selvedge_request_seconds_bucket{site=\"a\",le=\"0.0001\"} 1",
            "selvedge_request_seconds_bucket{site=\"a\",le=\"10\"} 1",
            "selvedge_request_seconds_bucket{site=\"a\",le=\"+Inf\"} 2",
            "selvedge_request_seconds_count{site=\"a\"} 2",
            "selvedge_version_requests_total{version=\"3\",status=\"2xx\"} 0",
            "selvedge_version_requests_total{version=\"3\",status=\"5xx\"} 1",
            "selvedge_version_microseconds_total{version=\"3\"} 20000000",
            "selvedge_errors_total{site=\"a\",error=\"wall_limit\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
