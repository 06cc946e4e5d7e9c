//! `tidy.toml`, typed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub limits: Limits,
    pub arrows: Arrows,
    pub unsafe_border: UnsafeBorder,
    pub lengths: Lengths,
    pub docs: Docs,
    pub words: Words,
}

/// Sizes beyond which a thing is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub function_lines_max: usize,
    pub file_lines_max: usize,
    pub tracked_file_bytes_max: usize,
}

/// Who may depend on whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrows {
    pub allowed: BTreeMap<String, Vec<String>>,
    pub tools: Vec<String>,
    pub external: Vec<External>,
    pub unreachable: Vec<Unreachable>,
}

/// A third party's crate that only some may name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    pub name: String,
    pub only_in: Vec<String>,
    pub dev_anywhere: bool,
}

/// A third party's crate that some must not reach at all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unreachable {
    pub from: Vec<String>,
    pub name: String,
}

/// Where `unsafe` may stand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsafeBorder {
    pub homes: Vec<String>,
    pub exceptions: Vec<UnsafeException>,
}

/// A file outside the homes that may use `unsafe`, counted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsafeException {
    pub file: String,
    pub max: usize,
    pub reason: String,
}

/// What may be longer than the limits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    pub exceptions: Vec<LengthException>,
}

/// A long file, or a long function in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthException {
    pub file: String,
    pub function: Option<String>,
    pub lines_max: usize,
    pub reason: String,
}

/// How documents are read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Docs {
    pub roots: Vec<String>,
    pub history: Vec<String>,
    pub tops: Vec<String>,
    pub promises: String,
}

/// What no file may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    pub absolute_tops: Vec<String>,
    pub hosts: Vec<[String; 2]>,
    pub exempt: Vec<String>,
}

impl Rules {
    /// The rules this binary was built with.
    pub fn load() -> Result<Rules> {
        toml::from_str(include_str!("../../tidy.toml")).context("crates/xtask/tidy.toml")
    }
}

/// Whether `text` is `pattern`, where one `*` stands for anything but a `/`.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let middle = text.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
    middle.is_some_and(|middle| !middle.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exception_gives_its_reason() {
        let rules = Rules::load().unwrap();
        let unsafes = rules.unsafe_border.exceptions.iter().map(|e| &e.reason);
        let lengths = rules.lengths.exceptions.iter().map(|e| &e.reason);
        assert!(unsafes.chain(lengths).all(|reason| reason.len() > 10));
    }

    #[test]
    fn patterns() {
        for (pattern, text, matched) in [
            ("a/*.rs", "a/b.rs", true),
            ("a/*.rs", "a/b/c.rs", false),
            ("cranelift-*", "cranelift-codegen", true),
            ("cranelift-*", "cranelift", false),
            ("iced", "iced", true),
            ("iced", "iced-x86", false),
        ] {
            assert_eq!(matches(pattern, text), matched, "{pattern} {text}");
        }
    }
}
