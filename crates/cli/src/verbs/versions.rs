//! `selvedge versions`: what was deployed to a site.

use std::process::ExitCode;

use anyhow::Result;
use selvedge_edge::client::Name;

use crate::files;
use crate::remote::{RemoteArgs, date, name};

/// List the versions of a site
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  selvedge versions hello")]
pub(crate) struct Args {
    /// The site
    #[arg(value_parser = name)]
    site: Name,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let record = args.remote.run(async |client| Ok(client.versions(&args.site).await?))?;
    for version in &record.versions {
        let canary = record.canary.filter(|canary| canary.version == version.number);
        let active = match canary {
            _ if version.number == record.active => "active".to_string(),
            Some(canary) => format!("canary, {} %", canary.percent),
            None => String::new(),
        };
        let module = version.module.to_string();
        let (number, date) = (version.number, date(version.deployed_ms));
        let line = format!("{number:>4}  {date}  module {}  {active}", &module[..12]);
        files::print(&format!("{}\n", line.trim_end()))?;
    }
    Ok(ExitCode::SUCCESS)
}
