//! `selvedge sites`: what a server serves, and removing of it.

use std::process::ExitCode;

use anyhow::Result;
use selvedge_edge::client::{Name, SiteInfo};

use crate::files;
use crate::remote::{KnownArgs, RemoteArgs, listed, name, table};

/// List the sites of a server, or remove one
///
/// `version 3 of 4, 4 for 10 %` is a site with four versions, of which the third answers,
/// but for ten of a hundred requests: those the fourth does, its canary.
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
    if sites.is_empty() {
        // Nothing for a script to take for a site.
        eprintln!("there are no sites yet; `selvedge deploy MODULE --site NAME` makes one");
    }
    files::print(&list(&sites))?;
    Ok(ExitCode::SUCCESS)
}

/// A line for each site: its name, what answers, and where.
fn list(sites: &[SiteInfo]) -> String {
    let several = sites.iter().any(|site| site.tenant != sites[0].tenant);
    let row = |site: &SiteInfo| {
        let canary = site.canary.map(|c| format!(", {} for {} %", c.version, c.percent)).unwrap_or_default();
        let hosts: Vec<String> = site.hosts.iter().map(|host| format!("{host}{}", site.path)).collect();
        let answers = format!("version {} of {}{canary}", site.active, site.versions);
        [listed(&site.tenant, &site.site, several), answers, hosts.join(", ")]
    };
    table(sites.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use selvedge_edge::client::{Canary, Host, Prefix};

    use super::*;

    /// `version 3, 4 for 10 % of 4` was how many of how many?
    #[test]
    fn columns_stand_below_each_other_and_a_canary_says_its_share() {
        let site = |name: &str, active, canary, versions, path: &str| SiteInfo {
            tenant: Name::new("default").unwrap(),
            site: Name::new(name).unwrap(),
            hosts: vec![Host::new(&format!("{name}.example")).unwrap()],
            path: Prefix::new(path).unwrap(),
            active,
            canary,
            versions,
            revision: 1,
        };
        let canary = Some(Canary { version: 4, percent: 10 });
        let sites = [site("hello", 3, canary, 4, "/"), site("a", 12, None, 12, "/api")];
        let expected = "hello  version 3 of 4, 4 for 10 %  hello.example\n\
                        a      version 12 of 12            a.example/api\n";
        assert_eq!((list(&sites).as_str(), list(&[]).as_str()), (expected, ""));
    }
}
