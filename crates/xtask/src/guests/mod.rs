//! `cargo xtask guests`: the programs our tests run, built from `guests/` into `target/guests/`.
//!
//! ```text
//! guests/guests.toml ──► manifest ──► tools: apt, pip, npm ──► build ──► target/guests/NAME.wasm
//! ```
//!
//! Which toolchains there are and what they compile is data (`guests/guests.toml`); nothing here
//! knows a language. A guest whose sources and commands are unchanged is not built again.
//!
//! Not here: running the guests, and modules somebody else built (`modules`).

mod build;
mod manifest;
mod packages;
pub mod tools;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::repo;
use manifest::Manifest;
use tools::Tools;

/// Builds the guests named in `only`, by guest, language or toolchain; all of them if it is empty.
/// Installs the toolchains those need.
pub fn build(only: &[String]) -> Result<()> {
    let root = repo::root();
    let path = root.join("guests/guests.toml");
    let manifest = Manifest::load(&path)?;
    let started = Instant::now();
    let stale: Vec<_> =
        manifest.select(only)?.into_iter().filter(|&(guest, chain)| build::is_stale(&root, guest, chain)).collect();
    install(&root, &stale)?;
    for &(guest, chain) in &stale {
        println!("guest {} ({})", guest.name, guest.toolchain);
        build::build(&root, guest, chain).with_context(|| format!("guest `{}` of {}", guest.name, path.display()))?;
    }
    println!("guests: {} built, the rest up to date, {:.1} s", stale.len(), started.elapsed().as_secs_f64());
    Ok(())
}

/// Debian packages of programs that tests use: one whose formats ours must agree with, and a browser.
const FOR_TESTS: [&str; 3] = ["minisign", "chromium", "chromium-driver"];

/// Makes sure of every package that the guests to be built need, and the tests besides.
fn install(root: &Path, stale: &[(&manifest::Guest, &manifest::Toolchain)]) -> Result<()> {
    let all = |list: fn(&manifest::Toolchain) -> &Vec<String>| {
        let mut names: Vec<String> = stale.iter().flat_map(|(_, chain)| list(chain)).cloned().collect();
        names.sort();
        names.dedup();
        names
    };
    let tools = Tools::new(root);
    let mut debian = all(|chain| &chain.apt);
    debian.extend(FOR_TESTS.map(String::from));
    tools.apt(&debian)?;
    tools.pip(&all(|chain| &chain.pip))?;
    tools.npm(&all(|chain| &chain.npm))
}
