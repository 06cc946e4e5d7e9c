//! A document that names a path names one that exists.

use super::Finding;
use super::rules::{Docs, Rules};
use crate::markdown;
use crate::repo::{File, Repo};

/// Checks code spans and links of every document at the root and under `docs/`.
pub fn check(repo: &Repo, rules: &Rules) -> Vec<Finding> {
    let documents = repo.files.iter().filter(|file| is_document(file, &rules.docs));
    documents.flat_map(|file| in_document(repo, file, &rules.docs)).collect()
}

fn is_document(file: &File, docs: &Docs) -> bool {
    let placed = |root: &String| {
        let rest = file.path.strip_prefix(root.as_str());
        rest.is_some_and(|rest| !root.is_empty() || !rest.contains('/'))
    };
    let live = !docs.history.contains(&file.path);
    file.path.ends_with(".md") && live && docs.roots.iter().any(placed)
}

fn in_document(repo: &Repo, file: &File, docs: &Docs) -> Vec<Finding> {
    let text = file.text();
    let mut findings = Vec::new();
    for span in markdown::code_spans(&text) {
        for word in span.text.split_whitespace() {
            let missing = meant(word, docs).is_some_and(|path| !stands(repo, &path));
            if missing {
                findings.push(finding(file, span.line, word));
            }
        }
    }
    let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
    for link in markdown::links(&text) {
        let target = join(dir, &link.text);
        if !stands(repo, &target) {
            findings.push(finding(file, link.line, &link.text));
        }
    }
    findings
}

fn finding(file: &File, line: usize, path: &str) -> Finding {
    Finding::new(&file.path, line, format!("names `{path}`, which is not there"), "name what is")
}

/// The path of the repository that `word` means, if it means one.
fn meant(word: &str, docs: &Docs) -> Option<String> {
    let word = word.trim_start_matches("./").split(':').next()?;
    let word = word.trim_matches(|c| "'\"(),;".contains(c)).trim_end_matches('.');
    let (top, rest) = word.split_once('/')?;
    let known = docs.tops.iter().any(|name| name == top);
    let in_crate = rest == "src" || rest.starts_with("src/");
    if !known && !in_crate {
        return None;
    }
    // Up to the first part that stands for something else: `*`, `<name>`, `{a,b}`, `NAME`.
    let parts = word.split('/').take_while(|part| !is_placeholder(part));
    Some(parts.collect::<Vec<_>>().join("/"))
}

fn is_placeholder(part: &str) -> bool {
    let shouted = |stem: &str| stem.len() > 1 && stem.chars().all(|c| c.is_ascii_uppercase());
    part.contains(['*', '<', '{', '$', '…', '?']) || part == "..." || shouted(part)
}

/// Whether `path` is there as written, or inside `crates/`.
fn stands(repo: &Repo, path: &str) -> bool {
    path.is_empty() || repo.exists(path) || repo.exists(&format!("crates/{path}"))
}

/// `target` as seen from `dir`, both relative to the root.
fn join(dir: &str, target: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    #[test]
    fn paths_in_documents() {
        let there = ("crates/edge/src/serve.rs", "");
        let page = ("docs/page.md", "");
        for (text, missing) in [
            ("`crates/edge/src/serve.rs`, `crates/edge/`, `edge/src/serve.rs:12`", None),
            ("`crates/edge/src/gone.rs`", Some("crates/edge/src/gone.rs")),
            ("`edge/src/gone.rs::f`", Some("edge/src/gone.rs::f")),
            ("`cargo run crates/gone/x`", Some("crates/gone/x")),
            ("`crates/*/src`, `crates/<name>/x`, `target/guests/a.wasm`, `a/b`, `and/or`", None),
            ("`crates/gone/*.rs`", Some("crates/gone/*.rs")),
            ("[a](docs/page.md#there) [b](https://x.example/y) [c](#here)", None),
            ("[a](docs/gone.md)", Some("docs/gone.md")),
            ("`docs::/data` `--dir docs::/x`", None),
        ] {
            let what = missing.map(|path| format!("README.md:1: names `{path}`, which is not there"));
            let expected: Vec<&str> = what.as_deref().into_iter().collect();
            assert_findings(check, &[there, page, ("README.md", text)], &expected);
        }
    }

    #[test]
    fn which_documents() {
        let text = "`crates/gone`";
        let found = |path: &str| format!("{path}:1: names `crates/gone`, which is not there");
        for (path, checked) in [
            ("README.md", true),
            ("docs/deep/page.md", true),
            ("CHANGELOG.md", false),
            ("guests/README.md", false),
            ("docs/page.txt", false),
        ] {
            let what = checked.then(|| found(path));
            let expected: Vec<&str> = what.as_deref().into_iter().collect();
            assert_findings(check, &[(path, text)], &expected);
        }
    }

    #[test]
    fn links_are_relative_to_their_document() {
        let files = [("docs/a.md", "[b](b.md) [r](../README.md) [c](c.md)"), ("docs/b.md", "")];
        let what = "docs/a.md:1: names `c.md`, which is not there";
        assert_findings(check, &[files[0], files[1], ("README.md", "")], &[what]);
    }
}
