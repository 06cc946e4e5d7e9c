//! What must not be reachable through any number of dependencies, by Cargo's own resolution.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Finding;
use super::rules::{Rules, matches};

/// The part of `cargo metadata` that matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Asks Cargo, then checks.
pub fn check(root: &Path, rules: &Rules) -> Result<Vec<Finding>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("running cargo metadata")?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo metadata failed: {why}");
    let metadata = serde_json::from_slice(&output.stdout).context("reading cargo metadata")?;
    Ok(unreachable(&metadata, rules))
}

fn unreachable(metadata: &Metadata, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in &rules.arrows.unreachable {
        for krate in &rule.from {
            let manifest = format!("crates/{krate}/Cargo.toml");
            let here = |package: &&Package| package.manifest_path.ends_with(&format!("/{manifest}"));
            let Some(start) = metadata.packages.iter().find(here) else { continue };
            if let Some(chain) = chain(metadata, &start.id, &rule.name) {
                let what = format!("`{krate}` reaches `{}`", rule.name.trim_end_matches("-*"));
                let fix = format!("cut the chain {}", chain.join(" -> "));
                findings.push(Finding::new(&manifest, 1, what, fix));
            }
        }
    }
    findings
}

/// The names on the way from `start` to a package whose name matches, dev-dependencies left out.
fn chain<'a>(metadata: &'a Metadata, start: &'a str, pattern: &str) -> Option<Vec<&'a str>> {
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let names: BTreeMap<&str, &str> = metadata.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
    let mut seen = BTreeSet::from([start]);
    let mut queue = vec![vec![start]];
    while let Some(path) = queue.pop() {
        let last = path.last()?;
        if names.get(last).is_some_and(|name| matches(pattern, name)) {
            return Some(path.iter().filter_map(|id| names.get(id).copied()).collect());
        }
        for dependency in nodes.get(last).iter().flat_map(|node| &node.deps) {
            let shipped = dependency.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev"));
            if shipped && seen.insert(&dependency.pkg) {
                queue.push([path.as_slice(), &[&dependency.pkg]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `runtime -> middle -> cranelift-entity`, with the last arrow of the given kind.
    fn graph(kind: &str) -> Metadata {
        let text = format!(
            r#"{{"packages": [
                {{"id": "r", "name": "selvedge-runtime", "manifest_path": "/x/crates/runtime/Cargo.toml"}},
                {{"id": "m", "name": "middle", "manifest_path": "/y/Cargo.toml"}},
                {{"id": "c", "name": "cranelift-entity", "manifest_path": "/z/Cargo.toml"}}],
              "resolve": {{"nodes": [
                {{"id": "r", "deps": [{{"pkg": "m", "dep_kinds": [{{"kind": null}}]}}]}},
                {{"id": "m", "deps": [{{"pkg": "c", "dep_kinds": [{{"kind": {kind}}}]}}]}},
                {{"id": "c", "deps": []}}]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn cranelift_is_found_through_a_third_crate() {
        let rules = Rules::load().unwrap();
        for (kind, expected) in [("null", 1), ("\"build\"", 1), ("\"dev\"", 0)] {
            let findings = unreachable(&graph(kind), &rules);
            assert_eq!(findings.len(), expected, "{kind}");
            for finding in findings {
                assert_eq!(finding.path, "crates/runtime/Cargo.toml");
                assert!(finding.fix.contains("selvedge-runtime -> middle -> cranelift-entity"));
            }
        }
    }
}
