//! Every crate opens by saying what it is for, and every library has its public items documented
//! (rustc checks those; here only that it is asked to).

use super::Finding;
use super::rules::Rules;
use crate::repo::Repo;

/// Checks the root file of every crate.
pub fn check(repo: &Repo, _: &Rules) -> Vec<Finding> {
    let workspace = repo.file("Cargo.toml").is_some_and(|file| asks(&file.text(), "workspace.lints"));
    let mut findings = Vec::new();
    for (_, manifest) in repo.manifests() {
        let dir = manifest.path.trim_end_matches("Cargo.toml");
        let text = manifest.text();
        let by_manifest = asks(&text, "lints") || (workspace && inherits_lints(&text));
        for (name, library) in [("src/lib.rs", true), ("src/main.rs", false)] {
            let path = format!("{dir}{name}");
            let file = repo.file(&path).and_then(|file| file.rust.as_ref()?.as_ref().ok());
            let Some(rust) = file else { continue };
            if !rust.has_module_doc {
                let fix = "open with `//!`: what it is for, its invariants, what it is not";
                findings.push(Finding::new(&path, 1, "no module documentation", fix));
            }
            let asked = by_manifest || rust.inner_lints.iter().any(|lint| lint == "missing_docs");
            if library && !asked {
                let fix = "add `#![warn(missing_docs)]`";
                findings.push(Finding::new(&path, 1, "public items may go undocumented", fix));
            }
        }
    }
    findings
}

/// Whether `missing_docs` is set under `[<table>.rust]`.
fn asks(manifest: &str, table: &str) -> bool {
    let Ok(root) = manifest.parse::<toml::Table>() else { return false };
    let mut at = Some(&toml::Value::Table(root)).cloned();
    for key in table.split('.').chain(["rust", "missing_docs"]) {
        at = at.and_then(|value| value.get(key).cloned());
    }
    at.is_some()
}

fn inherits_lints(manifest: &str) -> bool {
    let root = manifest.parse::<toml::Table>().unwrap_or_default();
    let inherits = root.get("lints").and_then(|lints| lints.get("workspace"));
    inherits.and_then(|value| value.as_bool()).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    const LIB: &str = "crates/a/src/lib.rs";
    const UNTITLED: &str = "crates/a/src/lib.rs:1: no module documentation";
    const UNASKED: &str = "crates/a/src/lib.rs:1: public items may go undocumented";

    #[test]
    fn libraries() {
        let inherit = "[lints]\nworkspace = true";
        let lint = "[workspace.lints.rust]\nmissing_docs = \"warn\"";
        for (root, manifest, text, expected) in [
            ("", "", "//! A.\n#![warn(missing_docs)]", &[][..]),
            ("", "", "//! A.\n#![forbid(unsafe_code)]", &[UNASKED]),
            ("", "[lints.rust]\nmissing_docs = \"warn\"", "fn f() {}", &[UNTITLED]),
            (lint, inherit, "//! A.", &[]),
            (lint, "", "// A.", &[UNTITLED, UNASKED]),
        ] {
            let manifest = ("crates/a/Cargo.toml", manifest);
            assert_findings(check, &[("Cargo.toml", root), manifest, (LIB, text)], expected);
        }
    }

    #[test]
    fn programs_need_only_the_opening() {
        let manifest = ("crates/a/Cargo.toml", "");
        let what = "crates/a/src/main.rs:1: no module documentation";
        assert_findings(check, &[manifest, ("crates/a/src/main.rs", "fn main() {}")], &[what]);
        assert_findings(check, &[manifest, ("crates/a/src/main.rs", "//! A.\nfn main() {}")], &[]);
    }
}
