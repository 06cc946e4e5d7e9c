//! Crates depend in one direction only, and on other engines nowhere but where we compare.

use std::collections::BTreeMap;

use super::Finding;
use super::rules::{Rules, matches};
use crate::repo::{File, Repo};

/// A dependency as a manifest writes it.
struct Arrow {
    to: String,
    dev: bool,
    line: usize,
}

/// Checks every manifest of ours.
pub fn check(repo: &Repo, rules: &Rules) -> Vec<Finding> {
    let packages: BTreeMap<String, &str> =
        repo.manifests().filter_map(|(dir, file)| Some((package_name(file)?, dir))).collect();
    let mut findings = Vec::new();
    for (dir, file) in repo.manifests() {
        let Ok(manifest) = file.text().parse::<toml::Table>() else {
            findings.push(Finding::new(&file.path, 1, "not TOML", "repair it"));
            continue;
        };
        if !rules.arrows.allowed.contains_key(dir) {
            let fix = "add its arrows to crates/xtask/tidy.toml and ARCHITECTURE.md";
            findings.push(Finding::new(&file.path, 1, format!("new crate `{dir}`"), fix));
        }
        for arrow in arrows(file, &manifest) {
            let wrong = match packages.get(&arrow.to) {
                Some(to) => ours(dir, to, arrow.dev, rules),
                None => theirs(dir, &arrow, rules),
            };
            findings.extend(wrong.map(|(what, fix)| Finding::new(&file.path, arrow.line, what, fix)));
        }
    }
    findings
}

fn package_name(file: &File) -> Option<String> {
    let manifest: toml::Table = file.text().parse().ok()?;
    Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
}

/// Every dependency in `manifest`, whatever table it is in and whatever it is renamed to.
fn arrows(file: &File, manifest: &toml::Table) -> Vec<Arrow> {
    let mut tables = vec![manifest];
    let targets = manifest.get("target").and_then(|target| target.as_table());
    tables.extend(targets.into_iter().flatten().filter_map(|(_, table)| table.as_table()));
    let mut arrows = Vec::new();
    for table in tables {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (name, value) in table.get(kind).and_then(|deps| deps.as_table()).into_iter().flatten() {
                let to = value.get("package").and_then(|name| name.as_str()).unwrap_or(name);
                let dev = kind.starts_with("dev");
                arrows.push(Arrow { to: to.to_owned(), dev, line: line_of(file, kind, name) });
            }
        }
    }
    arrows
}

/// The line on which `name` is a key of a table whose header ends in `kind`.
fn line_of(file: &File, kind: &str, name: &str) -> usize {
    let mut within = false;
    for (at, line) in file.text().lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            within = header.split('.').any(|part| part == kind);
            if within && header.ends_with(&format!(".{name}")) {
                return at + 1;
            }
        }
        let key = line.split(['=', '.', ' ']).next().unwrap_or_default().trim_matches('"');
        if within && key == name {
            return at + 1;
        }
    }
    1
}

/// An arrow between two crates of ours: what is wrong with it and what to do.
fn ours(from: &str, to: &str, dev: bool, rules: &Rules) -> Option<(String, String)> {
    let nothing = Vec::new();
    let allowed = rules.arrows.allowed.get(from).unwrap_or(&nothing);
    let listed = allowed.iter().any(|name| name == to || name == "*");
    let permitted = listed || (dev && !rules.arrows.tools.iter().any(|tool| tool == to));
    if permitted {
        return None;
    }
    let fix = match allowed.as_slice() {
        [] => format!("move what `{from}` needs below it: it depends on no crate of ours"),
        names => format!("`{from}` may depend on {}", names.join(", ")),
    };
    Some((format!("arrow `{from}` -> `{to}`"), fix))
}

/// An arrow to somebody else's crate.
fn theirs(from: &str, arrow: &Arrow, rules: &Rules) -> Option<(String, String)> {
    let rule = rules.arrows.external.iter().find(|rule| matches(&rule.name, &arrow.to))?;
    let permitted = rule.only_in.iter().any(|name| name == from) || (arrow.dev && rule.dev_anywhere);
    let dev = if rule.dev_anywhere { " and dev-dependencies" } else { "" };
    let fix = format!("only in {}{dev}", rule.only_in.join(", "));
    (!permitted).then(|| (format!("`{from}` depends on `{}`", arrow.to), fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    const CONTRACT: (&str, &str) = ("crates/contract/Cargo.toml", "[package]\nname = \"selvedge-contract\"");
    const BENCH: (&str, &str) = ("crates/bench/Cargo.toml", "[package]\nname = \"bench\"");

    fn one(path: &str, text: &str, expected: &[&str]) {
        assert_findings(check, &[CONTRACT, BENCH, (path, text)], expected);
    }

    #[test]
    fn arrows_of_ours() {
        let native = "crates/native/Cargo.toml";
        one(native, "[dependencies]\nselvedge-contract.workspace = true", &[]);
        let cli = "[package]\nname = \"c\"\n[dependencies]\nbench = { path = \"../bench\" }";
        one("crates/cli/Cargo.toml", cli, &["crates/cli/Cargo.toml:4: arrow `cli` -> `bench`"]);
        let renamed = "[dependencies.x]\npackage = \"bench\"";
        one(native, renamed, &["crates/native/Cargo.toml:1: arrow `native` -> `bench`"]);
        one("fuzz/Cargo.toml", "[dependencies]\nbench = \"1\"", &[]);
    }

    #[test]
    fn dev_dependencies_may_point_up_but_not_at_tools() {
        let native = "crates/native/Cargo.toml";
        one(native, "[dev-dependencies]\nselvedge-contract = \"1\"", &[]);
        let tool = "[dev-dependencies]\nbench = \"1\"";
        one(native, tool, &["crates/native/Cargo.toml:2: arrow `native` -> `bench`"]);
    }

    #[test]
    fn a_crate_nobody_listed_is_found() {
        one("crates/odd/Cargo.toml", "", &["crates/odd/Cargo.toml:1: new crate `odd`"]);
    }

    #[test]
    fn arrows_to_others() {
        let runtime = "crates/runtime/Cargo.toml";
        let found = |name: &str, line| format!("{runtime}:{line}: `runtime` depends on `{name}`");
        for (text, expected) in [
            ("[dependencies]\nwasmparser = \"1\"", None),
            ("[dependencies]\ncranelift-entity.workspace = true", Some(found("cranelift-entity", 2))),
            ("[dev-dependencies]\ncranelift-entity = \"1\"", Some(found("cranelift-entity", 2))),
            ("[dev-dependencies]\nwasmi = \"1\"", None),
            ("[build-dependencies]\nwasmtime = \"1\"", Some(found("wasmtime", 2))),
            ("[target.'cfg(unix)'.dependencies]\niced-x86 = \"1\"", Some(found("iced-x86", 2))),
        ] {
            one(runtime, text, &expected.as_deref().into_iter().collect::<Vec<_>>());
        }
    }
}
