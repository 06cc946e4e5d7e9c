//! The configuration: one TOML file, or none at all.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//! admin = "127.0.0.1:8081"
//! state = "/var/lib/selvedge"
//! tokens = [{ hash = "sha256:…", may = "metrics" }]
//!
//! [tls]
//! listen = "0.0.0.0:8443"
//! certificates = [{ certificate = "hello.pem", key = "hello.key" }]
//!
//! [limits]
//! memory = "64MiB"
//!
//! [traces]
//! endpoint = "http://127.0.0.1:4318/v1/traces"
//!
//! [tenants.acme]
//! tokens = ["sha256:…", { hash = "sha256:…", may = "read", sites = ["hello"] }]
//! hosts = ["*.acme.example"]
//! limits = { wall = "5s", instances = 20 }
//! ```
//!
//! Relative paths begin at the file's directory, wherever the server was started. An error says file, line, key, what was
//! found and what was expected.

pub(crate) mod file;
mod hosts;
mod place;
mod quantity;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

pub(crate) use self::hosts::HostLists;
use self::hosts::Overlap;
pub use self::hosts::{HostError, HostPattern};
pub use self::place::from_toml;
use self::place::{Source, in_section};
pub use self::quantity::{ByteCount, TimeSpan};
use self::quantity::{Count, SLOTS, slots};
pub(crate) use self::quantity::{at_least_one, count, storage};
pub(crate) use self::token::ScopedToken;
pub use self::token::{May, OperatorToken, Scope, See, TokenConfig, TokenHash};
use crate::limits::{
    CERTIFICATES_MAX, OUTBOUND_DESTINATIONS_MAX, SLOTS_DEFAULT, SLOTS_MAX, SiteLimits, TENANT_HOSTS_MAX, WEIGHT_MAX,
};
use crate::name::Name;
use crate::outbound::Destination;
use crate::schema::{Address, WeightNumber};

/// Largest file.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What the server does. Relative paths begin at the directory of this file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "Address")]
    pub listen: SocketAddr,
    /// Where operators connect.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "Address")]
    pub admin: SocketAddr,
    /// Where clients connect by TLS, if they can.
    pub tls: Option<TlsConfig>,
    /// Where sites and their versions are kept.
    pub state: PathBuf,
    /// Instances at once, of all tenants together.
    #[serde(deserialize_with = "slots")]
    #[schemars(range(min = 1, max = SLOTS_MAX))]
    pub slots: u32,
    /// Say each request on stderr.
    pub access_log: bool,
    /// How the log on stderr is written.
    pub log_format: LogFormat,
    /// Where spans of requests are sent, if they are.
    pub traces: Option<TracesConfig>,
    /// Tokens that look at all tenants, and change nothing.
    pub tokens: Vec<OperatorToken>,
    /// Policy of tenants that have none of their own.
    policy: Option<PathBuf>,
    /// Servers that programs may ask, of tenants that have no such list of their own. None if not given.
    pub outbound: Vec<Destination>,
    /// Certificates that vouch for those with https, in PEM; those of the machine if none is named.
    pub outbound_ca: Option<PathBuf>,
    /// Limits of tenants that have none of their own.
    #[schemars(with = "SiteLimits")]
    limits: toml::Table,
    /// Who may deploy. Without any there is one, `default`. Where none has a token, the admin API asks for none.
    tenants: BTreeMap<Name, Tenant>,
    /// What it was read from.
    #[serde(skip)]
    source: Option<Source>,
}

/// How a log is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object each line, for programs.
    Json,
}

/// TLS: where, and with which certificates.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Where clients connect.
    #[serde(deserialize_with = "address")]
    #[schemars(with = "Address")]
    pub listen: SocketAddr,
    /// Whether operators, too, connect by TLS, and only so.
    #[serde(default)]
    pub admin: bool,
    /// Each is for the names in it. Whoever asks for none of them gets the first.
    pub certificates: Vec<CertificateConfig>,
}

/// A certificate and its key, as files in PEM.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The certificate, and after it those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Traces by OpenTelemetry: a span for each request.
#[derive(Clone, PartialEq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// A collector's URL for OTLP over HTTP: `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// What this server is called in traces.
    #[serde(default = "service")]
    pub service: String,
    /// Of requests that are in no trace yet, those that begin one: from 0 to 1. Others are as their clients say.
    #[serde(default = "all", deserialize_with = "share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// Certificates that vouch for a collector with https, in PEM; those of the machine if none is named.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

fn service() -> String {
    "selvedge".into()
}

fn all() -> f64 {
    1.0
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    let wrong = || de::Error::custom(format!("found {share}, expected a share from 0.0 to 1.0"));
    Some(share).filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wrong)
}

/// Somebody who deploys sites.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Tenant {
    /// Hashes of the tokens that act for it, made by `printf %s TOKEN | sha256sum`, and what they may if not all.
    tokens: Vec<TokenConfig>,
    /// What it has of the processors beside others.
    #[schemars(with = "WeightNumber")]
    weight: Weight,
    /// Hosts that its sites may answer for, and nobody else's. Those that are on no tenant's list if it is not given.
    hosts: Option<Vec<HostPattern>>,
    /// What its modules may ask for, instead of what all may.
    policy: Option<PathBuf>,
    /// Servers that its programs may ask, instead of those of all.
    outbound: Option<Vec<Destination>>,
    /// Its limits, where they are not those of all.
    #[schemars(with = "SiteLimits")]
    limits: toml::Table,
}

/// A tenant, with its limits worked out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantConfig {
    /// Its name.
    pub name: Name,
    /// The tokens that act for it.
    pub tokens: Vec<TokenConfig>,
    /// What it has of the processors beside others.
    pub weight: Weight,
    /// Hosts that its sites may answer for; if it has no list, those that are on nobody's.
    pub hosts: Option<Vec<HostPattern>>,
    /// The file that says what its modules may ask for.
    pub policy: Option<PathBuf>,
    /// Servers that its programs may ask.
    pub outbound: Vec<Destination>,
    /// What its sites may use.
    pub limits: SiteLimits,
}

/// What a tenant has of the processors when others compute, too: twice as much as one of half the weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weight(pub u32);

impl Default for Weight {
    fn default() -> Weight {
        Weight(1)
    }
}

/// A configuration cannot be used. The operator's to mend.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{place}{key}{message}")]
    Wrong {
        /// File and line, perhaps column, and a colon; nothing for what no file says.
        place: String,
        /// The key and a colon, where there is one.
        key: String,
        /// What was found, and what was expected.
        message: String,
    },
}

impl Default for Config {
    fn default() -> Config {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Config {
            listen: SocketAddr::new(loopback, 8080),
            admin: SocketAddr::new(loopback, 8081),
            tls: None,
            state: PathBuf::from("selvedge-state"),
            slots: SLOTS_DEFAULT,
            access_log: false,
            log_format: LogFormat::default(),
            traces: None,
            tokens: Vec::new(),
            policy: None,
            outbound: Vec::new(),
            outbound_ca: None,
            limits: toml::Table::new(),
            tenants: BTreeMap::new(),
            source: None,
        }
    }
}

impl Config {
    /// Reads a file. Relative paths in it begin at its directory.
    ///
    /// # Errors
    /// If it cannot be read or is wrong.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let opened = file::open(path).map_err(read)?;
        let length = opened.metadata().map_err(read)?.len();
        if length > CONFIG_BYTES_MAX {
            let message = format!("it has {length} bytes, a configuration has at most {CONFIG_BYTES_MAX}");
            return Err(ConfigError::Wrong { place: format!("{}: ", path.display()), key: String::new(), message });
        }
        let mut config =
            Config::parse(&file::text(opened, CONFIG_BYTES_MAX).map_err(read)?, &path.display().to_string())?;
        if let Some(directory) = path.parent() {
            config.paths().for_each(|path| *path = directory.join(&*path));
        }
        Ok(config)
    }

    /// Every path in it.
    fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let certificates = self.tls.iter_mut().flat_map(|tls| &mut tls.certificates);
        let certificates = certificates.flat_map(|pair| [&mut pair.certificate, &mut pair.key]);
        let policies = self.tenants.values_mut().map(|tenant| &mut tenant.policy).chain([&mut self.policy]);
        let roots = self.traces.iter_mut().map(|traces| &mut traces.ca).chain([&mut self.outbound_ca]);
        certificates.chain(policies.chain(roots).flatten()).chain([&mut self.state])
    }

    /// Reads a text; `file` is what errors call it. Its paths stay as they are.
    ///
    /// # Errors
    /// If it is wrong.
    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        let mut config: Config = from_toml(text, file)?;
        config.tenants().map_err(|(section, error)| in_section(text, file, &section, &error))?;
        config.source = Some(Source::new(file, text));
        Ok(config)
    }

    /// What is wrong with the value of a key, that has `part` in it.
    pub(crate) fn wrong(&self, key: &str, part: &str, message: impl fmt::Display) -> ConfigError {
        let place = self.source.as_ref().map(|source| source.place(key, part)).unwrap_or_default();
        ConfigError::Wrong { place, key: format!("{key}: "), message: message.to_string() }
    }

    /// Whether what must go together does.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self) -> Result<(), ConfigError> {
        // Who embeds the server sets it without a file.
        if !SLOTS.contains(&self.slots) {
            let found = format!("found {}, expected {}", self.slots, Count(SLOTS));
            return Err(self.wrong("slots", &self.slots.to_string(), found));
        }
        self.check_addresses()?;
        self.check_tokens()?;
        self.check_hosts()?;
        self.check_outbound()?;
        if self.open() && !self.admin.ip().is_loopback() {
            let admin = self.admin.to_string();
            let message = format!(
                "found {admin}, which can be reached from other machines, and no tenant has a token: anybody could \
                 deploy; expected 127.0.0.1, or tokens in [tenants.NAME]"
            );
            return Err(self.wrong("admin", &admin, message));
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), ConfigError> {
        let mut addresses = vec![("listen", self.listen), ("admin", self.admin)];
        if let Some(tls) = &self.tls {
            let count = tls.certificates.len();
            if count == 0 || count > CERTIFICATES_MAX {
                let message = format!("found {count}, expected 1 to {CERTIFICATES_MAX}");
                return Err(self.wrong("tls.certificates", "", message));
            }
            addresses.push(("tls.listen", tls.listen));
        }
        for (at, (key, address)) in addresses.iter().enumerate() {
            let same = addresses[..at].iter().find(|(_, other)| other == address && address.port() != 0);
            if let Some((other, _)) = same {
                let message = format!("found {address}, which `{other}` is, too; expected another port");
                return Err(self.wrong(key, &address.to_string(), message));
            }
        }
        Ok(())
    }

    /// Whether each token says for whom it acts.
    fn check_tokens(&self) -> Result<(), ConfigError> {
        self.check_operators()?;
        let mut owners = BTreeMap::new();
        for (name, tenant) in &self.tenants {
            for token in &tenant.tokens {
                if let Some(other) = owners.insert(token.hash.0, name).filter(|other| *other != name) {
                    let message = format!("found a token that tenants.{other} has, too; expected one for each tenant");
                    return Err(self.wrong(&format!("tenants.{name}.tokens"), "", message));
                }
            }
        }
        match self.tenants.keys().nth(1).filter(|_| self.open()) {
            Some(second) => {
                let message =
                    "found no token, and another tenant without; expected tokens: nobody could say for whom he acts";
                Err(self.wrong(&format!("tenants.{second}"), "", message))
            }
            None => Ok(()),
        }
    }

    /// Whether each host is on one list, and none of these is without end.
    fn check_hosts(&self) -> Result<(), ConfigError> {
        let long = self.tenants.iter().find_map(|(name, tenant)| {
            let found = tenant.hosts.as_ref().map_or(0, Vec::len);
            (found > TENANT_HOSTS_MAX).then_some((name, found))
        });
        if let Some((name, found)) = long {
            let message = format!("found {found} hosts, expected at most {TENANT_HOSTS_MAX}");
            return Err(self.wrong(&format!("tenants.{name}.hosts"), "", message));
        }
        match HostLists::new(self.admin.ip(), &self.tenant_list()).overlap() {
            Some(Overlap { tenant, pattern, other, by }) => {
                let message =
                    format!("found {pattern}, and {by} in tenants.{other}.hosts; expected each host on one list");
                Err(self.wrong(&format!("tenants.{tenant}.hosts"), &pattern.to_string(), message))
            }
            None => Ok(()),
        }
    }

    /// Whether lists of servers have a length that can be gone through for each request.
    fn check_outbound(&self) -> Result<(), ConfigError> {
        for tenant in self.tenant_list() {
            let found = tenant.outbound.len();
            if found > OUTBOUND_DESTINATIONS_MAX {
                let message = format!("found {found} servers, expected at most {OUTBOUND_DESTINATIONS_MAX}");
                return Err(self.wrong(&self.outbound_key(&tenant.name), "", message));
            }
        }
        Ok(())
    }

    /// Whether operators' tokens are theirs alone, and there is somebody whom they look at.
    fn check_operators(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        let twice = self.tokens.iter().any(|token| !seen.insert(token.hash.0));
        let has_one = |tenant: &Tenant| tenant.tokens.iter().any(|token| seen.contains(&token.hash.0));
        let tenant = self.tenants.iter().find(|(_, tenant)| has_one(tenant));
        let message = match tenant {
            _ if self.tokens.is_empty() => return Ok(()),
            Some((name, _)) => {
                format!("found a token that tenants.{name} has, too; expected one of the operator's own")
            }
            None if twice => "found a token twice; expected each once".into(),
            None if self.open() => {
                "found an operator's token, which deploys nothing, and no tenant with one: nobody could deploy; \
                 expected tokens in [tenants.NAME]"
                    .into()
            }
            None => return Ok(()),
        };
        Err(self.wrong("tokens", "", message))
    }

    /// The key that names a tenant's policy.
    pub(crate) fn policy_key(&self, tenant: &Name) -> String {
        match self.tenants.get(tenant).is_some_and(|tenant| tenant.policy.is_some()) {
            true => format!("tenants.{tenant}.policy"),
            false => "policy".into(),
        }
    }

    /// The key that names the servers which a tenant's programs may ask.
    pub(crate) fn outbound_key(&self, tenant: &Name) -> String {
        match self.tenants.get(tenant).is_some_and(|tenant| tenant.outbound.is_some()) {
            true => format!("tenants.{tenant}.outbound"),
            false => "outbound".into(),
        }
    }

    /// Whether programs may ask any server, or could when the file has changed.
    pub(crate) fn may_have_outbound(&self) -> bool {
        self.source.is_some() || !self.outbound.is_empty()
    }

    /// Files beside the configuration that are read with it.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let certificates = self.tls.iter().flat_map(|tls| &tls.certificates);
        let policies = self.tenants.values().map(|tenant| &tenant.policy).chain([&self.policy]);
        let policies = policies.filter_map(|policy| policy.as_deref());
        let certificates = certificates.flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()]);
        certificates.chain(policies).chain(self.outbound_ca.as_deref())
    }

    /// Whether operators connect by TLS.
    pub fn admin_by_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.admin)
    }

    /// Whether the admin API asks for no token: whoever deploys needs none.
    pub fn open(&self) -> bool {
        self.tenants.values().all(|tenant| tenant.tokens.is_empty())
    }

    /// The tenants; one, `default`, if none is named.
    fn tenants(&self) -> Result<Vec<TenantConfig>, (String, toml::de::Error)> {
        let limits = |table: &toml::Table, section: &str| {
            let mut all = self.limits.clone();
            all.extend(table.clone());
            SiteLimits::deserialize(all).map_err(|error| (section.to_string(), error))
        };
        if self.tenants.is_empty() {
            let name = Name::new("default").expect("it has small letters only");
            let limits = limits(&toml::Table::new(), "limits")?;
            let (policy, outbound) = (self.policy.clone(), self.outbound.clone());
            let (tokens, weight, hosts) = (Vec::new(), Weight::default(), None);
            return Ok(vec![TenantConfig { name, tokens, weight, hosts, policy, outbound, limits }]);
        }
        limits(&toml::Table::new(), "limits")?;
        let tenant = |(name, tenant): (&Name, &Tenant)| {
            let limits = limits(&tenant.limits, &format!("tenants.{name}.limits"))?;
            let policy = tenant.policy.clone().or_else(|| self.policy.clone());
            let outbound = tenant.outbound.as_ref().unwrap_or(&self.outbound).clone();
            let (tokens, weight, hosts) = (tenant.tokens.clone(), tenant.weight, tenant.hosts.clone());
            Ok(TenantConfig { name: name.clone(), tokens, weight, hosts, policy, outbound, limits })
        };
        self.tenants.iter().map(tenant).collect()
    }

    /// The tenants, with their limits.
    pub fn tenant_list(&self) -> Vec<TenantConfig> {
        self.tenants().unwrap_or_default()
    }
}

pub(crate) fn from_hex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let expected = "expected an address with a port like \"127.0.0.1:8080\" or \"[::]:8080\"";
    text.parse().map_err(|_| de::Error::custom(format!("found {text:?}, {expected}")))
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Weight, D::Error> {
        let weight = u32::deserialize(deserializer)?;
        let wrong = || de::Error::custom(format!("found {weight}, expected a weight from 1 to {WEIGHT_MAX}"));
        Some(Weight(weight)).filter(|weight| (1..=WEIGHT_MAX).contains(&weight.0)).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SAME_TOKEN: &str = "[tenants.a]
tokens = [\"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\"]
[tenants.b]
tokens = [\"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\"]
";

    /// The SHA-256 of "a", which a token of an operator has here, and a tenant with another.
    const A: &str = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    const TENANT_B: &str =
        "[tenants.b]\ntokens = [\"sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d\"]\n";

    fn operator(may: &str, rest: &str) -> String {
        format!("tokens = [{{ hash = \"{A}\", may = \"{may}\" }}]\n{rest}")
    }

    fn error(text: &str) -> String {
        let parsed = Config::parse(text, "edge.toml").and_then(|config| config.check().map(|()| config));
        parsed.expect_err(text).to_string()
    }

    #[test]
    fn limits_of_a_tenant_come_on_top_of_all() {
        let text =
            "[limits]\nmemory = \"1MiB\"\nwall = \"2s\"\n[tenants.a]\nlimits = { memory = \"2MiB\" }\n[tenants.b]\n";
        let tenants = Config::parse(text, "edge.toml").unwrap().tenant_list();
        let of =
            |index: usize| (tenants[index].name.as_str(), tenants[index].limits.memory.0, tenants[index].limits.wall.0);
        assert_eq!(of(0), ("a", 2 << 20, Duration::from_secs(2)));
        assert_eq!(of(1), ("b", 1 << 20, Duration::from_secs(2)));
        assert_eq!(Config::default().tenant_list()[0].limits, SiteLimits::default());
    }

    #[test]
    fn errors_say_where_and_what() {
        for (text, parts) in [
            (
                "slots = \"x\"",
                &["edge.toml:1:9", "slots: ", "string \"x\", expected a whole number from 1 to 16000"][..],
            ),
            ("\nlisten = 5", &["edge.toml:2:", "listen: "]),
            (
                "listen = \"localhost:80\"",
                &["edge.toml:1:", "listen: ", "found \"localhost:80\"", "\"127.0.0.1:8080\""],
            ),
            ("log_format = \"xml\"", &["edge.toml:1:14: log_format: ", "`xml`", "`text`"]),
            ("listn = \"a\"", &["edge.toml:1:1", "unknown field `listn`", "`listen`"]),
            (
                "# 5 s\n[limits]\nmemory = \"64 MB\"",
                &["edge.toml:3: limits.memory: found \"64 MB\", expected a size up to 4GiB like \"64MiB\""],
            ),
            (
                "[limits]\nwall = \"1s\"\nmemory = 5",
                &["edge.toml:3: limits.memory: ", "integer `5`, expected a size up to 4GiB like \"64MiB\""],
            ),
            (
                "[limits]\nwall = \"1s\"\n[tenants.a]\nlimits = { wall = \"x\" }",
                &["edge.toml:4: tenants.a.limits.wall: found \"x\", expected a time"],
            ),
            ("[tenants.a.limits]\n\nwall = \"x\"", &["edge.toml:3: tenants.a.limits.wall: found \"x\""]),
            ("limits.wall = \"x\"", &["edge.toml:1: limits.wall: found \"x\""]),
            ("[limits]\nwal = \"1s\"", &["edge.toml:2", "unknown field `wal`", "`wall`"]),
            ("[tenants.a]\ntokens = [\"x\"]", &["edge.toml:2:", "tenants.a.tokens: ", "found \"x\"", "sha256:"]),
            (
                "[tenants.a]\ntokens = [{ hash = \"x\" }]",
                &["edge.toml:2:", "tenants.a.tokens: ", "found \"x\"", "sha256:"],
            ),
            (
                "[tenants.a]\ntokens = [5]",
                &["edge.toml:2:", "tenants.a.tokens: ", "integer `5`, expected a token's hash, or {"],
            ),
            ("[tenants.a]\ntokens = [{ may = \"all\" }]", &["edge.toml:2:", "tenants.a.tokens: ", "`all`", "`read`"]),
            ("[tenants.a]\ntokens = [{ sites = [] }]", &["edge.toml:2:", "tenants.a.tokens: ", "missing field `hash`"]),
            (
                "tokens = [\"sha256:0\"]",
                &["edge.toml:1:", "tokens: ", "string \"sha256:0\", expected { hash = \"sha256:…\", may = \"read\" }"],
            ),
            ("tokens = [{ hash = \"x\", may = \"read\" }]", &["edge.toml:1:", "tokens: ", "found \"x\"", "sha256:"]),
            (&operator("deploy", TENANT_B), &["edge.toml:1:", "tokens: ", "`deploy`", "`metrics` or `read`"]),
            (
                &operator("read", ""),
                &[
                    "edge.toml:1: tokens: found an operator's token,",
                    "nobody could deploy; expected tokens in [tenants",
                ],
            ),
            (
                &operator("metrics", SAME_TOKEN),
                &["edge.toml:1: tokens: found a token that tenants.a has, too; expected one of the operator's own"],
            ),
            (
                &operator("read", TENANT_B)
                    .replace("}]", "}, { hash = \"HASH\", may = \"metrics\" }]")
                    .replace("HASH", A),
                &["edge.toml:1: tokens: found a token twice; expected each once"],
            ),
            ("[tenants.a]\nweight = 0", &["edge.toml:2:", "tenants.a.weight: ", "found 0", "1 to 1000"]),
            ("[tenants.A]", &["edge.toml:1", "\"A\" cannot be a name"]),
            ("slots = 0", &["edge.toml:1:9: slots: found 0, expected a whole number from 1 to 16000"]),
            ("# 99999\nslots = 99999", &["edge.toml:2:9: slots: found 99999, expected a whole number from 1 to 16000"]),
            ("[limits]\ninstances = 0", &["edge.toml:2: limits.instances: found 0, expected a whole number from 1 up"]),
            ("[limits]\nqueue = -1", &["edge.toml:2: limits.queue: found -1, expected a whole number from 0 up"]),
            ("[limits]\nsites = 0", &["edge.toml:2: limits.sites: found 0, expected"]),
            ("[limits]\nstorage = \"1TiB\"", &["limits.storage", "found \"1TiB\", expected a size up to 1048576GiB"]),
            ("[limits]\nrequests_per_second = 0", &["edge.toml:2: limits.requests_per_second: found 0, expected"]),
            (
                "admin = \"0.0.0.0:1\"",
                &["edge.toml:1: admin: found 0.0.0.0:1,", "no tenant has a token", "expected 127.0.0.1"],
            ),
            ("admin = \"0.0.0.0:1\"\n[tenants.a]", &["edge.toml:1: admin: found 0.0.0.0:1,", "no tenant has a token"]),
            (
                "[tenants.a]\n[tenants.b]",
                &["edge.toml:2: tenants.b: found no token, and another tenant", "expected tokens"],
            ),
            (SAME_TOKEN, &["edge.toml:4: tenants.b.tokens: found a token that tenants.a has, too; expected one"]),
            ("listen = \"127.0.0.1:8081\"", &["admin: found 127.0.0.1:8081, which `listen` is, too; expected another"]),
            ("admin = \"127.0.0.1:8080\"", &["edge.toml:1: admin: found 127.0.0.1:8080, which `listen` is"]),
            (
                "[tls]\nlisten = \"127.0.0.1:1\"\ncertificates = []",
                &["edge.toml:3: tls.certificates: found 0, expected 1 to"],
            ),
            (
                "[tls]\nlisten = \"127.0.0.1:8080\"\ncertificates = [{ certificate = \"a\", key = \"b\" }]",
                &["edge.toml:2: tls.listen: found 127.0.0.1:8080, which `listen` is, too"],
            ),
            (
                "[tls]\nlisten = \"127.0.0.1:1\"\ncertificates = [{ certificate = \"a\" }]",
                &["edge.toml:3:", "tls.certificates: ", "missing field `key`"],
            ),
            ("[tls]\ncertificates = []", &["edge.toml:1:1: tls: missing field `listen`"]),
            ("slots = 5\n[tls]\ncertificates = []", &["edge.toml:2:1: tls: missing field `listen`"]),
            ("[[tls.certificates]]\ncertificate = \"a\"\nkey = \"b\"", &["edge.toml:1:3: tls: missing field `listen`"]),
            ("tls.certificates = []", &["edge.toml:1:1: tls: missing field `listen`"]),
            ("[traces]\nshare = 0.5", &["edge.toml:1:1: traces: missing field `endpoint`"]),
            (
                "[traces]\nendpoint = \"http://a\"\nshare = 1.5",
                &["edge.toml:3:", "traces.share: ", "found 1.5, expected a share from 0.0 to 1.0"],
            ),
            (
                "[tenants.a]\noutbound = [\"https://a/x\"]",
                &["edge.toml:2:", "tenants.a.outbound: found a path in \"https://a/x\", expected a server as"],
            ),
            (
                "outbound = [\"a.example\"]",
                &["edge.toml:1:", "outbound: found no scheme in", "\"https://api.example.com\""],
            ),
            ("outbound = [5]", &["edge.toml:1:", "outbound: ", "integer `5`, expected a server's URL, or { url ="]),
            ("outbound = [{ private = true }]", &["edge.toml:1:", "outbound: ", "missing field `url`"]),
            (
                "[tenants.a]\nhosts = [\"https://a.example\"]",
                &["edge.toml:2:", "tenants.a.hosts: found \"https://a.example\", expected a host as \"hello.example\""],
            ),
            (
                "[tenants.a]\nhosts = [\"*.10.0.0.1\"]",
                &["edge.toml:2:", "tenants.a.hosts: found \"*.10.0.0.1\", expected"],
            ),
            ("[tenants.a]\nhosts = [\"*\"]", &["edge.toml:2:", "tenants.a.hosts: found \"*\", expected"]),
            ("[tenants.a]\nhosts = [5]", &["edge.toml:2:", "tenants.a.hosts: ", "integer `5`, expected a string"]),
            (
                &format!("{TENANT_B}hosts = [\"*.x.example\"]\n[tenants.c]\nhosts = [\"a.example\", \"y.x.example\"]"),
                &["edge.toml:5: tenants.c.hosts: found y.x.example, and *.x.example in tenants.b.hosts; expected each"],
            ),
            (
                &format!("{TENANT_B}hosts = [\"*.y.x.example\"]\n[tenants.c]\nhosts = [\"*.x.example\"]"),
                &["edge.toml:3: tenants.b.hosts: found *.y.x.example, and *.x.example in tenants.c.hosts"],
            ),
            (
                &format!("{TENANT_B}hosts = [\"x.example\"]\n[tenants.c]\nhosts = [\"X.example\"]"),
                &["tenants.b.hosts: found x.example, and x.example in tenants.c.hosts"],
            ),
            (
                &format!("[tenants.a]\nhosts = [{}]", "\"a.example\", ".repeat(1_001)),
                &["edge.toml:2: tenants.a.hosts: found 1001 hosts, expected at most 1000"],
            ),
            ("a = [", &["edge.toml:1"]),
        ] {
            let error = error(text);
            assert!(parts.iter().all(|part| error.contains(part)), "{text}\n{error}");
        }
    }

    #[test]
    fn relative_paths_begin_at_the_files_directory() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("edge.toml");
        let text = "state = \"../s\"\npolicy = \"p\"\noutbound_ca = \"o\"
[tls]\nlisten = \"127.0.0.1:1\"\ncertificates = [{ certificate = \"c\", key = \"/k\" }]
[traces]\nendpoint = \"http://a\"\nca = \"t\"\n[tenants.a]\npolicy = \"q\"\n";
        std::fs::write(&file, text).unwrap();
        let mut config = Config::read(&file).unwrap();
        let at = |name: &str| place.path().join(name);
        let expected = [at("c"), PathBuf::from("/k"), at("q"), at("p"), at("t"), at("o"), at("../s")];
        assert_eq!(config.paths().map(|path| path.clone()).collect::<Vec<_>>(), expected);
        std::fs::write(&file, "").unwrap();
        assert_eq!(Config::read(&file).unwrap().state, at("selvedge-state"));
        assert_eq!(Config::default().state, Path::new("selvedge-state"));
    }

    #[test]
    fn lines_of_relative_paths_are_found() {
        let text = "policy = \"./p.toml\"
[tls]\nlisten = \"127.0.0.1:1\"\ncertificates = [
  { certificate = \"aa.pem\", key = \"/aa.key\" },
  { certificate = 'a.pem', key = \"/a.key\" },\n]
[tenants.a]\npolicy = \"../q.toml\"\n[tenants.b]\npolicy = \"p.toml\"\n";
        let tables = "[[tls.certificates]]\ncertificate = \"aa.pem\"\nkey = \"k\"
[[tls.certificates]]\ncertificate = \"a.pem\"\nkey = \"k\"\n[tls]\nlisten = \"127.0.0.1:1\"";
        for file in ["edge.toml", "./edge.toml", "etc/edge.toml", "etc//edge.toml", "../edge.toml", "/edge.toml"] {
            let directory = Path::new(file).parent().unwrap();
            for (text, key, path, line) in [
                (text, "policy", "./p.toml", 1),
                (text, "tls.certificates", "aa.pem", 5),
                (text, "tls.certificates", "a.pem", 6),
                (text, "tls.certificates", "/a.key", 6),
                (text, "tenants.a.policy", "../q.toml", 9),
                (text, "tenants.b.policy", "p.toml", 11),
                (tables, "tls.certificates", "a.pem", 5),
            ] {
                let config = Config::parse(text, file).unwrap();
                let error = config.wrong(key, &directory.join(path).display().to_string(), "it is none").to_string();
                assert_eq!(error, format!("{file}:{line}: {key}: it is none"), "{path}");
            }
        }
    }

    #[test]
    fn a_tenants_servers_are_its_own_or_those_of_all() {
        let text = "outbound = [\"https://a\"]\n[tenants.a]\n[tenants.b]\noutbound = []\n[tenants.c]\noutbound = [\"http://c\"]";
        let lists = Config::parse(text, "edge.toml").unwrap().tenant_list().into_iter().map(|tenant| tenant.outbound);
        let expected = [vec!["https://a"], vec![], vec!["http://c"]];
        let expected = expected.map(|urls| urls.iter().map(|url| url.parse().unwrap()).collect::<Vec<_>>());
        assert_eq!(lists.collect::<Vec<_>>(), expected);
        let many = format!("[tenants.a]\noutbound = [{}]", "\"http://a\", ".repeat(OUTBOUND_DESTINATIONS_MAX + 1));
        assert!(error(&many).contains("edge.toml:2: tenants.a.outbound: found 1001 servers, expected at most 1000"));
        let error = |text: &str| crate::outbound::Ways::of(&Config::parse(text, "edge.toml").unwrap()).err().unwrap();
        let unreadable = error("outbound_ca = \"/nowhere/ca.pem\"").to_string();
        assert!(unreadable.starts_with("edge.toml:1: outbound_ca: /nowhere/ca.pem: it cannot be read"), "{unreadable}");
    }

    #[test]
    fn any_text_is_a_configuration_or_an_error() {
        for text in [
            "\0",
            "=",
            "[[tenants]]",
            "[limits.memory]",
            "tenants = 5",
            "ä = 1",
            "[limits]\nmemory = \"99999999999999999999GiB\"",
        ] {
            error(text);
        }
    }
}
