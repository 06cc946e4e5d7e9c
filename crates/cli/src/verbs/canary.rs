//! `selvedge canary`: a version is tried on a part of the requests.

use std::process::ExitCode;

use anyhow::{Result, bail};
use selvedge_edge::client::{Name, SiteRecord};

use crate::files;
use crate::remote::{KnownArgs, RemoteArgs, name};

/// Let a version of a site answer a part of the requests
///
/// Of each hundred requests it gets its share, spread evenly: which request goes to
/// which version does not depend on the client. `selvedge versions` shows it, and the
/// metrics count the requests of each version. A deploy or a rollback ends it.
#[derive(clap::Args)]
#[command(override_usage = "\
selvedge canary [OPTIONS] <SITE> <VERSION> <PERCENT>
       selvedge canary [OPTIONS] <SITE> <--promote|--drop>")]
#[command(after_help = "\
Examples:
  selvedge deploy app.wasm --site hello --canary 5   # deploy it as one
  selvedge canary hello 7 5                          # version 7 gets 5 %
  selvedge canary hello --promote                    # it gets all
  selvedge canary hello --drop                       # it gets none")]
pub(crate) struct Args {
    /// The site
    #[arg(value_parser = name)]
    site: Name,
    /// Which version
    #[arg(required_unless_present_any = ["promote", "drop"], requires = "percent")]
    version: Option<u32>,
    /// Of a hundred requests, those that it answers
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    percent: Option<u8>,
    /// Let the canary answer all requests
    #[arg(long, conflicts_with_all = ["version", "drop"])]
    promote: bool,
    /// Let the canary answer no more
    #[arg(long, conflicts_with = "version")]
    drop: bool,
    #[command(flatten)]
    known: KnownArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let SiteRecord { active, canary, .. } = args.remote.run(async |client| {
        let client = args.known.of(client);
        Ok(match (args.version, args.percent) {
            _ if args.promote => client.promote(&args.site).await?,
            _ if args.drop => client.drop_canary(&args.site).await?,
            (Some(version), Some(percent)) => client.canary(&args.site, version, percent).await?,
            _ => bail!("say which version, and how many percent"),
        })
    })?;
    let rest = if canary.is_some() { " the other requests" } else { "" };
    if let Some(canary) = canary {
        files::print(&format!(
            "version {} of {} answers {} % of the requests\n",
            canary.version, args.site, canary.percent
        ))?;
    }
    files::print(&format!("version {active} of {} answers{rest}\n", args.site))?;
    Ok(ExitCode::SUCCESS)
}
