//! `selvedge sites`: what a server serves, and removing of it.

use std::process::ExitCode;

use anyhow::Result;
use selvedge_edge::client::{Name, SiteInfo};

use crate::files;
use crate::remote::{KnownArgs, RemoteArgs, listed, name};

/// List the sites of a server, or remove one
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge sites
  selvedge sites --remove hello")]
pub(crate) struct Args {
    /// Remove this site and all its versions
    #[arg(long, value_name = "SITE", value_parser = name)]
    remove: Option<Name>,
    #[command(flatten)]
    known: KnownArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if let Some(site) = &args.remove {
        args.remote.run(async |client| Ok(args.known.of(client).delete(site).await?))?;
        files::print(&format!("{site} is removed\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let sites = args.remote.run(async |client| Ok(client.sites().await?))?;
    let several = sites.iter().any(|site| site.tenant != sites[0].tenant);
    let name = |site: &SiteInfo| listed(&site.tenant, &site.site, several);
    let longest = sites.iter().map(|site| name(site).len()).max().unwrap_or_default();
    for site in sites {
        let name = name(&site);
        let hosts: Vec<String> = site.hosts.iter().map(|host| format!("{host}{}", site.path)).collect();
        let canary = site.canary.map(|c| format!(", {} for {} %", c.version, c.percent)).unwrap_or_default();
        let (active, versions, hosts) = (site.active, site.versions, hosts.join(", "));
        files::print(&format!("{name:<longest$}  version {active}{canary} of {versions}  {hosts}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
