//! `selvedge rollback`: an earlier version answers again.

use std::process::ExitCode;

use anyhow::Result;
use selvedge_edge::client::Name;

use crate::files;
use crate::remote::{KnownArgs, RemoteArgs, name};

/// Let an earlier version of a site answer again
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge rollback hello
  selvedge rollback hello --version 3")]
pub(crate) struct Args {
    /// The site
    #[arg(value_parser = name)]
    site: Name,
    /// Which version; the one before the active one if not given
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    #[command(flatten)]
    known: KnownArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let record =
        args.remote.run(async |client| Ok(args.known.of(client).rollback(&args.site, args.version).await?))?;
    files::print(&format!("version {} of {} answers\n", record.active, args.site))?;
    Ok(ExitCode::SUCCESS)
}
