//! A tenant that means no good beside one that is asked at a modest rate: how much longer the other's clients wait.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::load::{Group, Pace, Seen, run};
use super::process::Cores;
use super::{Bed, Edge, deploy, read};
use crate::instances::percentile;
use crate::measure::median;
use crate::report::{Figure, Report};

/// Two tenants, with the tokens `quiet` and `noisy`.
const TENANTS: &str = r#"
[tenants.quiet]
tokens = ["sha256:008f0747f4e27c8462baa991a538025bcc2dd143e78422f1afbdfcd9e757a20f"]
[tenants.noisy]
tokens = ["sha256:acd6beff7c3430bfed5d69f86c5c9e6a32ad2a27a2c2a1e8763ce08f6c3da5ec"]
limits = { cpu = "1s", memory = "64MiB", instances = 20 }
"#;
/// Connections of the noisy tenant's, each asking again at once.
const CONNECTIONS: usize = 8;
/// What it does, by path.
const DEEDS: [&str; 4] = ["/spin", "/allocate", "/log", "/trap"];
/// Requests a second of the quiet tenant's: a part of what a core can do.
const RATE: f64 = 5_000.0;

pub(super) fn measure(report: &mut Report, options: &Edge, cores: &Cores, bed: &Bed) -> Result<()> {
    let server = bed.ours(cores, true, "noise", TENANTS)?;
    deploy(&server, Some("quiet"), "quiet", read(&bed.hello)?)?;
    deploy(&server, Some("noisy"), "noisy", read(&bed.noisy)?)?;
    let (runs, time) = options.pick((5, Duration::from_secs(2)), (2, Duration::from_secs(1)));
    let quiet = || Group::of("quiet", "/some/page", options.connections, Pace::Open(RATE));
    let scenes: Vec<Vec<Group>> = std::iter::once(vec![quiet()])
        .chain(DEEDS.map(|deed| vec![quiet(), Group::of("noisy", deed, CONNECTIONS, Pace::Closed)]))
        .collect();
    let mut samples = vec![(Vec::new(), Vec::new()); scenes.len()];
    for round in 0..=runs {
        for (scene, (p50, p99)) in scenes.iter().zip(&mut samples) {
            let seen = run(server.address, scene, time)?;
            let Seen { fine, refused, .. } = seen[0];
            ensure!(
                refused == 0 && fine > 0,
                "of the quiet tenant {fine} requests were answered and {refused} refused"
            );
            if round > 0 {
                p50.push(percentile(seen[0].latencies_ns.clone(), 50) / 1e3);
                p99.push(percentile(seen[0].latencies_ns.clone(), 99) / 1e3);
            }
        }
    }
    for (name, (p50, p99)) in std::iter::once("/alone").chain(DEEDS).zip(samples) {
        let mut add = |what: &str, value| {
            report.add(Figure::new(format!("edge/noise{name}/{what}"), Some(value), None, "us", runs));
        };
        add("p50", median(p50));
        add("p99", median(p99));
    }
    Ok(())
}
