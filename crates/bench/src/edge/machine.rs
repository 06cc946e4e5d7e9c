//! What the machine does to whoever computes on the servers' core: a hypervisor, the kernel and others take it away.
//!
//! No server can answer in such a pause, and all that came meanwhile waits after it, too. Percentiles of latencies
//! cannot be told from those of the pauses where these are many; hence this, beside them.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Edge;
use super::process::Cores;
use crate::report::{Figure, Report};

/// To look at the clock twice takes less, by far.
const PAUSE_MIN: Duration = Duration::from_micros(20);

/// Looks at the clock for some seconds, while nothing else is asked of the machine.
pub(super) fn measure(report: &mut Report, options: &Edge, cores: &Cores) -> Result<()> {
    let time = options.pick(Duration::from_secs(5), Duration::from_secs(1));
    let pauses = cores.starting(true, || Ok(pauses(time)))?;
    let taken = pauses.iter().sum::<Duration>().as_secs_f64() / time.as_secs_f64() * 100.0;
    let longest = pauses.iter().max().copied().unwrap_or_default().as_secs_f64() * 1e6;
    for (name, value, unit) in [("taken", taken, "%"), ("longest_pause", longest, "us")] {
        report.add(Figure::new(format!("edge/machine/{name}"), Some(value), None, unit, pauses.len()));
    }
    Ok(())
}

/// When this thread did not run, though it wanted to.
fn pauses(time: Duration) -> Vec<Duration> {
    let began = Instant::now();
    let (mut last, mut pauses) = (began, Vec::new());
    while last - began < time {
        let now = Instant::now();
        if now - last > PAUSE_MIN {
            pauses.push(now - last);
        }
        last = now;
    }
    pauses
}
