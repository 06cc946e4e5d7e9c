//! What differs on purpose, as data.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// `differences.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Differences {
    /// Cases that cannot be compared at all.
    #[serde(default)]
    not_compared: Vec<NotCompared>,
    /// Lines of output, by how they begin and end.
    #[serde(default)]
    lines: Vec<Lines>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotCompared {
    cases: Vec<String>,
    reason: String,
}

/// Lines of a case that begin alike, with `call`, and end with `ours` and `peer`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    case: String,
    #[serde(default)]
    call: String,
    ours: String,
    peer: String,
    reason: String,
    #[serde(skip)]
    used: bool,
}

impl Lines {
    fn explains(&self, case: &str, ours: &str, theirs: &str) -> bool {
        let heads = ours.strip_suffix(&self.ours).zip(theirs.strip_suffix(&self.peer));
        self.case == case && ours.starts_with(&self.call) && heads.is_some_and(|(a, b)| a == b)
    }
}

impl Differences {
    /// Reads the file.
    pub(crate) fn load(path: &Path) -> Result<Differences> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Differences::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Differences> {
        let differences: Differences = toml::from_str(text)?;
        let reasons = differences.not_compared.iter().map(|n| &n.reason);
        let mut reasons = reasons.chain(differences.lines.iter().map(|l| &l.reason));
        anyhow::ensure!(reasons.all(|reason| !reason.is_empty()), "a difference without a reason");
        Ok(differences)
    }

    /// Whether a case is not to be compared.
    pub(crate) fn leaves_out(&self, case: &str) -> bool {
        self.not_compared.iter().any(|n| n.cases.iter().any(|name| name == case))
    }

    /// What differs in two outputs without a reason.
    pub(crate) fn between(&mut self, case: &str, ours: &str, theirs: &str) -> Vec<String> {
        let (a, b): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
        let pairs = a.iter().zip(&b).filter(|(a, b)| a != b);
        let unexplained = pairs.filter(|(a, b)| !self.explains(case, a, b));
        let mut findings: Vec<String> = unexplained.map(|(a, b)| format!("[{a:?}, {b:?}]")).collect();
        if a.len() != b.len() {
            findings.push(format!(
                "{} lines, the peer's {}; after {:?}",
                a.len(),
                b.len(),
                a.get(b.len().min(a.len()))
            ));
        }
        findings
    }

    fn explains(&mut self, case: &str, ours: &str, theirs: &str) -> bool {
        let found = self.lines.iter_mut().find(|lines| lines.explains(case, ours, theirs));
        found.map(|lines| lines.used = true).is_some()
    }

    /// Entries that explained nothing.
    pub(crate) fn unused(&self) -> impl Iterator<Item = String> {
        self.lines.iter().filter(|lines| !lines.used).map(|lines| format!("differs no longer: {lines:?}"))
    }
}

#[test]
fn only_what_is_listed_is_explained() {
    let text = "[[lines]]\ncase = 'c'\ncall = 'a'\nours = '1'\npeer = '2'\nreason = 'r'";
    let mut differences = Differences::parse(text).unwrap();
    assert_eq!(differences.unused().count(), 1);
    assert!(differences.between("c", "x\na: 1\n", "x\na: 2\n").is_empty());
    assert_eq!(differences.unused().count(), 0);
    assert_eq!(differences.between("d", "a: 1\n", "a: 2\n"), [r#"["a: 1", "a: 2"]"#]);
    for (ours, theirs) in [("a: 2", "a: 1"), ("b: 1", "b: 2"), ("ab: 1", "ac: 2"), ("x\ny", "x")] {
        assert_eq!(differences.between("c", ours, theirs).len(), 1, "{ours:?}, {theirs:?}");
    }
    assert!(Differences::parse(&text.replace("'r'", "''")).is_err());
}
