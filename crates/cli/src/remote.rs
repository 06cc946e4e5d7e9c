//! What commands that speak with a server share: which one, and how.

use std::future::Future;
use std::path::PathBuf;

use anyhow::{Context, Result};
use selvedge_edge::client::{self, Client, ClientError, Name, NameError, Roots};

/// Which server.
#[derive(clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct RemoteArgs {
    /// The server's admin address; else $SELVEDGE_SERVER, else
    /// http://127.0.0.1:8081. If the server asks for a token, it is taken from
    /// $SELVEDGE_TOKEN
    #[arg(long, value_name = "URL", value_parser = address)]
    to: Option<String>,
    /// Certificates in PEM, one of which must vouch for a server with https; else
    /// $SELVEDGE_CA, else those that this machine trusts
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Whose sites, if an operator's token looks at those of several
    #[arg(long, value_name = "NAME", value_parser = name)]
    tenant: Option<Name>,
}

/// What somebody knows of a site that they change.
#[derive(clap::Args)]
pub(crate) struct KnownArgs {
    /// Only if this is the site's revision, as `selvedge versions` shows it: nobody has
    /// changed it since
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
}

impl KnownArgs {
    /// The client, for who knows this.
    pub(crate) fn of(&self, client: Client) -> Client {
        self.revision.iter().fold(client, |client, revision| client.at_revision(*revision))
    }
}

impl RemoteArgs {
    /// Speaks with it.
    pub(crate) fn run<F: Future<Output = Result<T>>, T>(&self, task: impl FnOnce(Client) -> F) -> Result<T> {
        let url = self.to.clone().or_else(|| variable("SELVEDGE_SERVER"));
        let url = url.as_deref().unwrap_or("http://127.0.0.1:8081");
        // A file's last line break comes along easily.
        let token = variable("SELVEDGE_TOKEN").map(|token| token.trim_end().to_string());
        let roots = self.ca.clone().or_else(|| variable("SELVEDGE_CA").map(PathBuf::from));
        let roots = roots.map_or(Roots::System, Roots::File);
        let client = Client::trusting(url, token, &roots)?;
        let client = self.tenant.iter().fold(client, |client, tenant| client.of_tenant(tenant.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("cannot wait for the network")?.block_on(task(client))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A server's address on the command line.
fn address(text: &str) -> Result<String, ClientError> {
    client::address(text).map(|_| text.to_string())
}

/// A site's name on the command line.
pub(crate) fn name(text: &str) -> Result<Name, NameError> {
    Name::new(text)
}

/// A site as a list names it: with its tenant, where the list has sites of several.
pub(crate) fn listed(tenant: &Name, site: &Name, several: bool) -> String {
    if several { format!("{tenant}/{site}") } else { site.to_string() }
}

/// Rows, with their columns below each other.
pub(crate) fn table<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// How long ago, or when: milliseconds since 1970 as a date and time in UTC.
pub(crate) fn date(ms: u64) -> String {
    let (days, second) = ((ms / 86_400_000) as i64, ms / 1_000 % 86_400);
    // Howard Hinnant's civil_from_days; years begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399_999, "2000-02-28 23:59:59Z"),
            (951_782_400_000, "2000-02-29 00:00:00Z"),
            (1_709_251_200_000, "2024-03-01 00:00:00Z"),
            (4_102_444_799_000, "2099-12-31 23:59:59Z"),
        ] {
            assert_eq!(date(ms), expected);
        }
    }
}
