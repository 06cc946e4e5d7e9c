//! `selvedge top`: what the sites of a server are doing.

use std::fmt::Write;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use selvedge_edge::client::{Activity, ClientError, SiteActivity};

use crate::files;
use crate::remote::{RemoteArgs, listed};

/// Show what the sites of a server are doing
///
/// On a terminal it goes on until it is stopped; else it tells once.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  selvedge top")]
pub(crate) struct Args {
    /// Tell once
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

const EVERY: Duration = Duration::from_secs(1);

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let once = args.once || !std::io::stdout().is_terminal();
    args.remote.run(async |client| {
        let mut before: Option<Activity> = None;
        loop {
            let now = match client.top().await {
                // It was there a moment ago.
                Err(ClientError::Connect { authority, .. }) if before.is_some() => {
                    return Err(ClientError::Ended { authority }.into());
                }
                now => now?,
            };
            if once {
                return files::print(&table(&now, None));
            }
            files::print(&format!("\x1b[H\x1b[J{}", table(&now, before.as_ref())))?;
            before = Some(now);
            tokio::time::sleep(EVERY).await;
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// All sites, those with the most requests since `before` first.
fn table(now: &Activity, before: Option<&Activity>) -> String {
    let mut text = format!("{} instances at work, {} requests waiting\n\n", now.live, now.waiting);
    let rate = if before.is_some() { "per s" } else { "" };
    text += &format!("{:<24} {:>7} {:>5} ", "SITE", "VERSION", "LIVE");
    text += &format!("{:>10} {rate:>8} {:>9} {:>9} {:>8}\n", "REQUESTS", "MEAN", "CPU", "5XX");
    let since = |site: &SiteActivity| {
        let earlier = before.and_then(|before| {
            before.sites.iter().find(|other| (&other.tenant, &other.site) == (&site.tenant, &site.site))
        });
        site.counted.requests - earlier.map_or(0, |earlier| earlier.counted.requests.min(site.counted.requests))
    };
    let mut sites: Vec<_> = now.sites.iter().collect();
    sites.sort_by_key(|site| std::cmp::Reverse(since(site)));
    let several = now.sites.iter().any(|site| site.tenant != now.sites[0].tenant);
    for site in sites {
        let version = site.version.map_or("none".into(), |version| version.to_string());
        // Of no requests there is no mean.
        let mean =
            |micros: u64| micros.checked_div(site.counted.requests).map_or("-".to_string(), |mean| format!("{mean}us"));
        let (mean, cpu) = (mean(site.counted.micros), mean(site.counted.cpu_micros));
        let rate = before.map_or(String::new(), |_| since(site).to_string());
        let (requests, errors) = (site.counted.requests, site.counted.server_errors);
        let (name, live) = (listed(&site.tenant, &site.site, several), site.live);
        // Writing to a string cannot fail.
        let _ = write!(text, "{name:<24} {version:>7} {live:>5} ");
        let _ = writeln!(text, "{requests:>10} {rate:>8} {mean:>9} {cpu:>9} {errors:>8}");
        for (name, count) in &site.counted.errors {
            let _ = writeln!(text, "    {name} {count}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use selvedge_edge::client::{Counted, Name};

    use super::*;

    /// A site that nobody had asked was the fastest, with 0us.
    #[test]
    fn of_no_requests_there_is_no_mean() {
        let site = |name: &str, requests, micros| SiteActivity {
            tenant: Name::new("default").unwrap(),
            site: Name::new(name).unwrap(),
            version: Some(1),
            counted: Counted { requests, micros, cpu_micros: micros / 2, ..Counted::default() },
            canary: None,
            live: 0,
            waiting: 0,
        };
        let now = Activity { live: 0, waiting: 0, sites: vec![site("quiet", 0, 0), site("busy", 4, 40)] };
        let line = |name: &str| {
            let table = table(&now, None);
            let line = table.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(line("quiet"), ["quiet", "1", "0", "0", "-", "-", "0"]);
        assert_eq!(line("busy"), ["busy", "1", "0", "4", "10us", "5us", "0"]);
    }
}
