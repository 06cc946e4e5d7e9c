//! Mutants that are known to survive, with their reasons: `crates/verifier/tests/equivalent.toml`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::sites::Mutant;

/// The record.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    #[serde(default)]
    reason: Vec<Reason>,
}

/// Why some mutants survive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    why: String,
    /// Each `file: function: change`.
    mutants: Vec<String>,
}

/// A mutant as the record writes it.
pub fn name(file: &str, mutant: &Mutant) -> String {
    format!("{file}: {}: {}", mutant.function, mutant.change)
}

impl Record {
    /// Reads it.
    pub fn load(path: &Path) -> Result<Record> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Whether it has a reason for this one's survival.
    pub fn explains(&self, name: &str) -> bool {
        self.reason.iter().any(|reason| !reason.why.is_empty() && reason.mutants.iter().any(|known| known == name))
    }

    /// What it explains although no mutant is called so.
    pub fn stale<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        let all = self.reason.iter().flat_map(|reason| &reason.mutants);
        all.map(String::as_str).filter(|known| !names.iter().any(|name| name == known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_reason_is_explained() {
        let text = "[[reason]]\nwhy = \"it only saves time\"\nmutants = [\"a.rs: f: x\"]\n[[reason]]\nwhy = \"\"\nmutants = [\"b\"]";
        let record: Record = toml::from_str(text).unwrap();
        assert!(record.explains("a.rs: f: x"));
        assert!(!record.explains("a.rs: f: y") && !record.explains("b"));
        assert_eq!(record.stale(&["b".into()]).collect::<Vec<_>>(), ["a.rs: f: x"]);
    }
}
