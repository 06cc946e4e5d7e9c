//! `guests/guests.toml`: what its comments say, as types.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    toolchain: BTreeMap<String, Toolchain>,
    guest: Vec<Guest>,
}

/// Packages to install and commands to run; placeholders are explained in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// Debian packages.
    #[serde(default)]
    pub apt: Vec<String>,
    /// PyPI packages, `name==version`.
    #[serde(default)]
    pub pip: Vec<String>,
    /// npm packages, `name@version`.
    #[serde(default)]
    pub npm: Vec<String>,
    /// Environment of the commands.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Run one after another; the last one writes the module.
    pub commands: Vec<Vec<String>>,
}

/// One program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// What its module is called: `target/guests/NAME.wasm`.
    pub name: String,
    /// The language it is written in, for people to select by.
    pub language: String,
    /// A key of the toolchain table.
    pub toolchain: String,
    /// Files below `guests/`.
    pub sources: Vec<String>,
    /// Files below `guests/` that the sources include.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The Rust package whose C sources it includes, `name@version`, for the placeholder `{package}`.
    pub package: Option<String>,
    /// For the placeholder `{flags}`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// For the placeholder `{link}`.
    #[serde(default)]
    pub link: Vec<String>,
}

impl Manifest {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Manifest> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Manifest::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Manifest> {
        let manifest: Manifest = toml::from_str(text)?;
        for (at, guest) in manifest.guest.iter().enumerate() {
            let known = manifest.toolchain.contains_key(&guest.toolchain);
            ensure!(known, "guest `{}` names toolchain `{}`, which is not defined", guest.name, guest.toolchain);
            let twice = manifest.guest[..at].iter().any(|other| other.name == guest.name);
            ensure!(!twice, "two guests are called `{}`", guest.name);
        }
        Ok(manifest)
    }

    /// The guests that a word of `only` names, by name, language or toolchain; all for no words.
    pub fn select(&self, only: &[String]) -> Result<Vec<(&Guest, &Toolchain)>> {
        for word in only {
            ensure!(
                self.guest.iter().any(|guest| guest.is(word)),
                "no guest, language or toolchain is called `{word}`: see guests/guests.toml"
            );
        }
        let chosen = self.guest.iter().filter(|guest| only.is_empty() || only.iter().any(|word| guest.is(word)));
        Ok(chosen.map(|guest| (guest, &self.toolchain[&guest.toolchain])).collect())
    }
}

impl Guest {
    fn is(&self, word: &str) -> bool {
        [&self.name, &self.language, &self.toolchain].into_iter().any(|own| own == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [toolchain.cc]
        commands = [["cc", "{sources}"]]
        [[guest]]
        name = "a"
        language = "c"
        toolchain = "cc"
        sources = ["a.c"]
    "#;

    #[test]
    fn selects_by_name_language_and_toolchain() {
        let manifest = Manifest::parse(TEXT).unwrap();
        for word in ["a", "c", "cc"] {
            assert_eq!(manifest.select(&[word.to_owned()]).unwrap().len(), 1, "{word}");
        }
        assert!(manifest.select(&["b".to_owned()]).is_err());
    }

    #[test]
    fn refuses_an_unknown_toolchain() {
        let error = Manifest::parse(&TEXT.replace("toolchain = \"cc\"", "toolchain = \"tcc\"")).unwrap_err();
        assert!(error.to_string().contains("`tcc`"), "{error}");
    }

    #[test]
    fn refuses_two_of_one_name() {
        let twice = format!("{TEXT}\n[[guest]]\nname = \"a\"\nlanguage = \"c\"\ntoolchain = \"cc\"\nsources = []");
        assert!(Manifest::parse(&twice).is_err());
    }
}
