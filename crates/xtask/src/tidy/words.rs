//! Nothing in the repository depends on, or tells of, the machine it was written on.

use super::Finding;
use super::rules::{Rules, Words};
use crate::repo::Repo;

/// Checks every text file.
pub fn check(repo: &Repo, rules: &Rules) -> Vec<Finding> {
    let words = &rules.words;
    let name = |path: &str| path.rsplit('/').next().map(str::to_owned).unwrap_or_default();
    let mut findings = Vec::new();
    for file in &repo.files {
        if words.exempt.contains(&name(&file.path)) || file.bytes.contains(&0) {
            continue;
        }
        for (at, line) in file.text().lines().enumerate() {
            findings.extend(in_line(line, words).map(|(what, fix)| Finding::new(&file.path, at + 1, what, fix)));
        }
    }
    findings
}

fn in_line(line: &str, words: &Words) -> Option<(String, &'static str)> {
    for top in &words.absolute_tops {
        let start = format!("/{top}/");
        if line.match_indices(&start).any(|(at, _)| starts_a_path(&line[..at])) {
            return Some((format!("path under `{start}`"), "make it relative, or read it from outside"));
        }
    }
    for [host, path] in &words.hosts {
        let address = if path.is_empty() { host.clone() } else { format!("{host}/{path}") };
        if line.contains(&address) {
            return Some((format!("address `{address}`"), "go through the package manager"));
        }
    }
    None
}

/// Whether a `/` after `before` begins a path, rather than going on with one.
fn starts_a_path(before: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || "_-.~*/})>".contains(c);
    !before.ends_with(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    #[test]
    fn absolute_paths_and_addresses() {
        // `%` stands for `/`, or this file would be found.
        for (text, what) in [
            ("see %work/x", Some("path under `%work/`")),
            ("\"%home/me/x\"", Some("path under `%home/`")),
            ("guests%work/x ./root/y ${X}%home/z", None),
            ("a %working/x, %work", None),
            ("https://crates.io%api/v1", Some("address `crates.io%api`")),
            ("https://crates.io/crates/wat", None),
        ] {
            let text = text.replace('%', "/");
            let what = what.map(|what| format!("a.md:1: {}", what.replace('%', "/")));
            let expected: Vec<&str> = what.as_deref().into_iter().collect();
            assert_findings(check, &[("a.md", &text)], &expected);
            assert_findings(check, &[("x/Cargo.lock", &text)], &[]);
        }
    }
}
