//! A tenant that means no good beside one that is asked at a modest rate: how much longer the other's clients wait.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::load::{Group, Pace, Seen, run};
use super::process::Cores;
use super::{Bed, Edge, deploy, read};
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
    let mut samples = vec![<[Vec<f64>; 3]>::default(); scenes.len()];
    for round in 0..=runs {
        for (scene, samples) in scenes.iter().zip(&mut samples) {
            let seen = run(server.address, scene, time)?;
            let Seen { fine, refused, .. } = &seen[0];
            ensure!(
                *refused == 0 && *fine > 0,
                "of the quiet tenant {fine} requests were answered and {refused} refused"
            );
            if round > 0 {
                let values = [seen[0].percentile_us(50), seen[0].percentile_us(99), seen[0].usual_us(99)];
                samples.iter_mut().zip(values).for_each(|(samples, value)| samples.push(value));
            }
        }
    }
    for (name, samples) in std::iter::once("/alone").chain(DEEDS).zip(samples) {
        for (what, samples) in ["p50", "p99", "p99_usual"].into_iter().zip(samples) {
            report.add(Figure::new(format!("edge/noise{name}/{what}"), Some(median(samples)), None, "us", runs));
        }
    }
    Ok(())
}
