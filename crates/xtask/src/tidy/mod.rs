//! House rules that no compiler checks. `tidy.toml` holds them as data; each module here is one
//! check: repository and rules in, findings out, with its tests beside it.

mod arrows;
mod docs;
mod hygiene;
mod lengths;
mod paths;
mod promises;
mod reach;
mod rules;
mod sizes;
mod stats;
mod unsafe_border;
mod words;

use std::fmt;

use anyhow::Result;

use crate::repo::{self, Repo};
use rules::Rules;

/// A breach of a rule: where, what, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: usize,
    what: String,
    fix: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.what, self.fix)
    }
}

type Check = fn(&Repo, &Rules) -> Vec<Finding>;

/// Every check that needs nothing but the files.
const CHECKS: [Check; 10] = [
    syntax,
    arrows::check,
    unsafe_border::check,
    lengths::check,
    paths::check,
    promises::check,
    docs::check,
    sizes::check,
    words::check,
    hygiene::check,
];

/// Checks everything, prints the findings; `true` if there are none.
pub fn run(stats: bool) -> Result<bool> {
    let root = repo::root();
    let rules = Rules::load()?;
    let repo = Repo::load(&root)?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&repo, &rules)).collect();
    findings.extend(reach::check(&root, &rules)?);
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    if stats {
        print!("{}", stats::report(&repo, &rules));
    }
    match findings.len() {
        0 => println!("tidy: {} files, nothing found", repo.files.len()),
        n => println!("tidy: {n} found"),
    }
    Ok(findings.is_empty())
}

/// What does not parse cannot be checked.
fn syntax(repo: &Repo, _: &Rules) -> Vec<Finding> {
    let broken = |file: &repo::File| {
        let error = file.rust.as_ref()?.as_ref().err()?;
        let line = error.span().start().line;
        Some(Finding::new(&file.path, line, format!("does not parse ({error})"), "repair it"))
    };
    repo.files.iter().filter_map(broken).collect()
}

/// Runs `check` on `files` under the real rules and compares `path:line: what`.
#[cfg(test)]
fn assert_findings(check: Check, files: &[(&str, &str)], expected: &[&str]) {
    let rules = Rules::load().unwrap();
    let mut findings = check(&Repo::of(files), &rules);
    findings.sort();
    let seen: Vec<String> = findings.iter().map(|f| format!("{}:{}: {}", f.path, f.line, f.what)).collect();
    assert_eq!(seen, expected, "for {files:#?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_parse_is_found() {
        let files = [("crates/a/src/lib.rs", "fn f() {}\nfn g( {}"), ("guests/a.rs", "fn g( {}")];
        let findings = syntax(&Repo::of(&files), &Rules::load().unwrap());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "crates/a/src/lib.rs");
        assert_eq!(findings[0].line, 2);
    }

    #[test]
    fn a_finding_reads_as_place_fault_remedy() {
        let finding = Finding::new("a.rs", 3, "too long", "split it");
        assert_eq!(finding.to_string(), "a.rs:3: too long: split it");
    }
}
