//! `selvedge logs`: what a site's programs said, and how its requests ended.

use std::process::ExitCode;

use anyhow::Result;
use selvedge_edge::client::Name;

use crate::files;
use crate::remote::{RemoteArgs, date, name};

/// Show the log of a site
///
/// Each line has the time, the request's id (which its client gets as the header
/// x-request-id) and what happened: the request and its answer, `|` what the
/// program wrote to stderr, `!` what went wrong. The server keeps the newest
/// 256 KiB of each site.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge logs hello
  selvedge logs hello --follow")]
pub(crate) struct Args {
    /// The site
    #[arg(value_parser = name)]
    site: Name,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let mut shown = Ok(());
    args.remote.run(async |client| {
        let show = |entry: selvedge_edge::client::Entry| {
            if shown.is_ok() {
                shown = files::print(&format!("{} {entry}\n", date(entry.time_ms)));
            }
        };
        Ok(client.logs(&args.site, args.follow, show).await?)
    })?;
    shown.map(|()| ExitCode::SUCCESS)
}
