//! A tenant that means no good beside one that is asked at a modest rate: how much longer the other's clients wait.
//!
//! And, in the tenant's place, a process that only computes, as nice as can be: what comes of that is the machine's
//! and its kernel's doing. No server that leaves scheduling to the kernel, as ours does, can be expected to do better.

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::load::{Group, Pace, Seen, run};
use super::process::{Cores, Server};
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
# Nobody is there.
outbound = ["http://127.0.0.1:9"]
"#;
/// Connections of the noisy tenant's, each asking again at once.
const CONNECTIONS: usize = 8;
/// What it does, by path.
const DEEDS: [&str; 6] = ["/spin", "/allocate", "/log", "/trap", "/sockets", "/connect?http://127.0.0.1:9/"];
/// Requests a second of the quiet tenant's: a part of what a core can do.
const RATE: f64 = 5_000.0;

/// Who is beside the quiet tenant.
#[derive(Clone, Copy)]
enum Neighbour {
    Nobody,
    Process,
    Tenant(&'static str),
}

impl Neighbour {
    fn all() -> impl Iterator<Item = Neighbour> {
        [Neighbour::Nobody, Neighbour::Process].into_iter().chain(DEEDS.map(Neighbour::Tenant))
    }

    fn name(self) -> &'static str {
        match self {
            Neighbour::Nobody => "/alone",
            Neighbour::Process => "/process",
            Neighbour::Tenant(deed) => deed.split('?').next().unwrap_or(deed),
        }
    }

    /// What the quiet tenant's clients see beside it.
    fn quiet(self, cores: &Cores, server: &Server, connections: usize, time: Duration) -> Result<Seen> {
        let _process = matches!(self, Neighbour::Process).then(|| Computing::start(cores)).transpose()?;
        let mut groups = vec![Group::of("quiet", "/some/page", connections, Pace::Open(RATE))];
        if let Neighbour::Tenant(deed) = self {
            groups.push(Group::of("noisy", deed, CONNECTIONS, Pace::Closed));
        }
        let seen = run(server.address, &groups, time)?.swap_remove(0);
        let Seen { fine, refused, .. } = &seen;
        ensure!(*refused == 0 && *fine > 0, "of the quiet tenant {fine} requests were answered and {refused} refused");
        Ok(seen)
    }
}

/// A process that computes on the servers' core for as long as this lives, when nobody else wants to.
struct Computing(Child);

impl Computing {
    fn start(cores: &Cores) -> Result<Computing> {
        let mut command = Command::new("nice");
        command.args(["-n", "19", "sh", "-c", "while :; do :; done"]);
        cores.starting(true, || Ok(Computing(command.spawn().context("cannot start nice")?)))
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        // It does not end by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn measure(report: &mut Report, options: &Edge, cores: &Cores, bed: &Bed) -> Result<()> {
    let server = bed.ours(cores, true, "noise", TENANTS)?;
    deploy(&server, Some("quiet"), "quiet", read(&bed.hello)?)?;
    deploy(&server, Some("noisy"), "noisy", read(&bed.noisy)?)?;
    let (runs, time) = options.pick((5, Duration::from_secs(2)), (2, Duration::from_secs(1)));
    let mut samples: Vec<_> = Neighbour::all().map(|neighbour| (neighbour, <[Vec<f64>; 3]>::default())).collect();
    for round in 0..=runs {
        for (neighbour, samples) in &mut samples {
            let seen = neighbour.quiet(cores, &server, options.connections, time)?;
            if round > 0 {
                let values = [seen.percentile_us(50), seen.percentile_us(99), seen.usual_us(99)];
                samples.iter_mut().zip(values).for_each(|(samples, value)| samples.push(value));
            }
        }
    }
    for (neighbour, samples) in samples {
        for (what, samples) in ["p50", "p99", "p99_usual"].into_iter().zip(samples) {
            let name = format!("edge/noise{}/{what}", neighbour.name());
            report.add(Figure::new(name, Some(median(samples)), None, "us", runs));
        }
    }
    Ok(())
}
