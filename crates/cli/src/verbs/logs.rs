//! `selvedge logs`: what a site's programs said, and how its requests ended.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use selvedge_edge::client::{Entry, Name};
use tokio::sync::Notify;

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

/// Said where the server ends what has no end of its own.
const ENDED: &str = "the server goes on no more with this log: it is being stopped, the site was removed, or the token may not see it any more";

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let (mut shown, ended) = (Ok(true), Notify::new());
    args.remote.run(async |client| {
        let show = |entry: Entry| {
            if matches!(shown, Ok(true)) {
                shown = files::print_to_reader(format!("{} {entry}\n", date(entry.time_ms)).as_bytes());
            }
            if !matches!(shown, Ok(true)) {
                ended.notify_one();
            }
        };
        // A log that is followed has no end of its own.
        tokio::select! {
            told = client.logs(&args.site, args.follow, show) => {
                told?;
                ensure!(!args.follow, "{ENDED}");
                Ok(())
            }
            () = ended.notified() => Ok(()),
            () = files::until_unread() => Ok(()),
        }
    })?;
    shown.map(|_| ExitCode::SUCCESS)
}
