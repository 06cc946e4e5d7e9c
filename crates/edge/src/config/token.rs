//! Tokens of tenants and of operators: what they are known by, and what they may.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use super::from_hex;
use crate::name::Name;

/// The SHA-256 of a token, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenHash(pub [u8; 32]);

/// A token, and what it may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenConfig {
    /// What it is known by.
    pub hash: TokenHash,
    /// What it may.
    pub scope: Scope,
}

/// A token that is no tenant's: it looks at all of them, and changes nothing. Whoever deploys has one of a tenant.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "{ hash = \"sha256:…\", may = \"read\" }")]
pub struct OperatorToken {
    /// What it is known by.
    pub hash: TokenHash,
    /// What it may see.
    pub may: See,
}

/// What an operator's token may see of all tenants.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum See {
    /// `GET /metrics`, and nothing else.
    Metrics,
    /// Sites, versions, logs and metrics.
    Read,
}

impl OperatorToken {
    /// What it may, as tenants' tokens say it.
    pub(crate) fn scope(&self) -> Scope {
        let may = match self.may {
            See::Metrics => May::Metrics,
            See::Read => May::Read,
        };
        Scope { may, sites: None }
    }
}

/// What a token may, of all that its tenant can do.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Scope {
    /// How much of it.
    pub may: May,
    /// The sites that it is for, if not for all.
    pub sites: Option<BTreeSet<Name>>,
}

/// How much a token may.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum May {
    /// `GET /metrics`, and nothing else.
    Metrics,
    /// See sites, versions, logs and metrics, and change nothing.
    Read,
    /// All of it.
    #[default]
    Deploy,
}

impl Scope {
    /// Whether it is for this site.
    pub fn is_for(&self, site: &Name) -> bool {
        self.sites.as_ref().is_none_or(|sites| sites.contains(site))
    }

    /// Whether it may see more than numbers.
    pub fn may_read(&self) -> bool {
        self.may != May::Metrics
    }

    /// Whether it may change something.
    pub fn may_change(&self) -> bool {
        self.may == May::Deploy
    }
}

/// A token that may not do all that its tenant can.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopedToken {
    /// Its hash.
    hash: TokenHash,
    /// How much it may.
    #[serde(default)]
    may: May,
    /// The sites that it is for; all if none are named.
    #[serde(default)]
    sites: Option<BTreeSet<Name>>,
}

/// A hash, or a table.
struct Written;

impl<'de> de::Visitor<'de> for Written {
    type Value = TokenConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token's hash, or { hash = \"sha256:…\", may = \"read\", sites = [\"hello\"] }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TokenConfig, E> {
        Ok(TokenConfig { hash: TokenHash::read(text)?, scope: Scope::default() })
    }

    fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<TokenConfig, M::Error> {
        let ScopedToken { hash, may, sites } = ScopedToken::deserialize(de::value::MapAccessDeserializer::new(map))?;
        if sites.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(de::Error::custom("found no site in `sites`, expected one or more, or no such key"));
        }
        Ok(TokenConfig { hash, scope: Scope { may, sites } })
    }
}

impl<'de> Deserialize<'de> for TokenConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TokenConfig, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl TokenHash {
    fn read<E: de::Error>(text: &str) -> Result<TokenHash, E> {
        let bytes = text.strip_prefix("sha256:").and_then(from_hex);
        let expected = "expected \"sha256:\" and 64 hexadecimal digits; made by: printf %s TOKEN | sha256sum";
        bytes.map(TokenHash).ok_or_else(|| E::custom(format!("found {text:?}, {expected}")))
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TokenHash, D::Error> {
        TokenHash::read(&String::deserialize(deserializer)?)
    }
}
