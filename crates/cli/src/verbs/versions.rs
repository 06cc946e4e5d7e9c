//! `selvedge versions`: what was deployed to a site.

use std::process::ExitCode;

use anyhow::Result;
use selvedge_edge::client::{Name, VersionRecord};

use crate::files;
use crate::remote::{RemoteArgs, date, name, table};

/// List the versions of a site
///
/// The last line is the site's revision, which every change makes one more. Whoever
/// names it with --revision changes what is shown here, or nothing.
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
    let row = |version: &VersionRecord| {
        let canary = record.canary.filter(|canary| canary.version == version.number);
        let active = match canary {
            _ if version.number == record.active => "active".to_string(),
            Some(canary) => format!("canary, {} %", canary.percent),
            None => String::new(),
        };
        [format!("{:>4}", version.number), date(version.deployed_ms), content(version), active]
    };
    let versions = table(record.versions.iter().map(row).collect());
    files::print(&format!("{versions}revision {}\n", record.revision))?;
    Ok(ExitCode::SUCCESS)
}

/// What it is made of, in a few words.
fn content(version: &VersionRecord) -> String {
    let module = version.module.map(|module| format!("module {}", &module.to_string()[..12]));
    let count =
        |count: u32, what: &str| (count > 0).then(|| format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
    let assets = version.bundle.and_then(|bundle| count(bundle.summary.assets, "asset"));
    let files = version.bundle.and_then(|bundle| count(bundle.summary.files, "file"));
    module.into_iter().chain(assets).chain(files).collect::<Vec<_>>().join(", ")
}
