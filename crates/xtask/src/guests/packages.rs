//! Rust packages that carry C sources of others: where Cargo unpacked them.
//!
//! They are dependencies of this crate for a platform that does not exist: pinned and fetched with the others,
//! never built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    manifest_path: PathBuf,
}

/// The directory of a package, given as `name@version`.
pub fn directory(root: &Path, wanted: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root);
    let output = command.output().context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata: unexpected output")?;
    let found = metadata.packages.into_iter().find(|package| format!("{}@{}", package.name, package.version) == wanted);
    let found = found.with_context(|| format!("{wanted} is not in Cargo.lock: crates/xtask/Cargo.toml pins it"))?;
    found.manifest_path.parent().map(Path::to_path_buf).context("a package lies in a directory")
}
