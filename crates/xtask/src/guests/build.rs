//! One guest from its sources to its module.
//!
//! Every command runs in `guests/` with relative paths, so that what it builds does not depend on
//! where the repository lies. The module appears under its name only when it is whole; the stamp
//! beside it says from what it was built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::manifest::{Guest, Toolchain};
use super::{packages, tools};

/// Whether the module is missing or was built from something else than what is there now.
pub fn is_stale(root: &Path, guest: &Guest, chain: &Toolchain) -> bool {
    let built_from = fs::read_to_string(stamp_path(root, guest)).unwrap_or_default();
    let wanted = stamp(root, guest, chain).unwrap_or_default(); // an unreadable source: building will say so
    !module_path(root, guest).exists() || built_from != wanted || wanted.is_empty()
}

/// Builds the module and puts it in place.
pub fn build(root: &Path, guest: &Guest, chain: &Toolchain) -> Result<()> {
    let stamp = stamp(root, guest, chain)?;
    let work = root.join(WORK).join(&guest.name);
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let package = guest.package.as_deref().map(|package| packages::directory(root, package)).transpose()?;
    for command in &chain.commands {
        run(&root.join("guests"), &fill(command, guest, package.as_deref()), chain)?;
    }
    let (built, module) = (work.join(format!("{}.wasm", guest.name)), module_path(root, guest));
    fs::rename(&built, &module).with_context(|| format!("its commands left no {}", built.display()))?;
    fs::write(stamp_path(root, guest), stamp).context("cannot write its stamp")
}

/// Below the repository; toolchains leave objects here.
const WORK: &str = "target/guests/scratch";

fn module_path(root: &Path, guest: &Guest) -> PathBuf {
    root.join("target/guests").join(format!("{}.wasm", guest.name))
}

fn stamp_path(root: &Path, guest: &Guest) -> PathBuf {
    root.join(WORK).join(format!("{}.stamp", guest.name))
}

/// A hash of everything the module is made from: toolchain, flags and the sources' contents.
fn stamp(root: &Path, guest: &Guest, chain: &Toolchain) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{guest:?}{chain:?}"));
    for source in guest.sources.iter().chain(&guest.headers) {
        let path = root.join("guests").join(source);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    Ok(tools::hex(&hash.finalize()))
}

/// A command with its placeholders filled in; `package` is where the sources it includes are.
fn fill(command: &[String], guest: &Guest, package: Option<&Path>) -> Vec<String> {
    let one = |argument: &String| match argument.as_str() {
        "{sources}" => guest.sources.clone(),
        "{flags}" => guest.flags.clone(),
        "{link}" => guest.link.clone(),
        other => vec![fill_paths(other, &guest.name)],
    };
    let package = package.map(Path::to_string_lossy).unwrap_or_default();
    command.iter().flat_map(one).map(|argument| argument.replace("{package}", &package)).collect()
}

fn fill_paths(text: &str, name: &str) -> String {
    let work = format!("../{WORK}/{name}");
    text.replace("{out}", &format!("{work}/{name}.wasm"))
        .replace("{work}", &work)
        .replace("{tools}", &format!("../{}", tools::DIRECTORY))
}

fn run(directory: &Path, command: &[String], chain: &Toolchain) -> Result<()> {
    let line = command.join(" ");
    let (program, arguments) = command.split_first().context("an empty command")?;
    let program = if program.contains('/') { directory.join(program) } else { program.into() };
    // Absolute, for tools that insist on it; nothing of it reaches the module.
    let env = chain.env.iter().map(|(key, value)| {
        let value = value.replace("{tools}", &directory.join("..").join(tools::DIRECTORY).to_string_lossy());
        (key, value)
    });
    let status = Command::new(&program)
        .args(arguments)
        .envs(env)
        .current_dir(directory)
        .status()
        .with_context(|| format!("cannot run {}: is its toolchain installed?", program.display()))?;
    ensure!(status.success(), "failed with {status}, in guests/: {line}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Guest {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Guest {
            name: "g".into(),
            language: "c".into(),
            toolchain: "cc".into(),
            sources: list(&["a.c", "b.c"]),
            headers: list(&[]),
            package: None,
            flags: list(&["-I{package}/src"]),
            link: list(&["-lm"]),
        }
    }

    #[test]
    fn placeholders_become_lists_and_paths() {
        let command: Vec<String> = ["cc", "{flags}", "{sources}", "{link}", "-o{out}"].map(str::to_owned).into();
        assert_eq!(
            fill(&command, &guest(), Some(Path::new("/p"))),
            ["cc", "-I/p/src", "a.c", "b.c", "-lm", "-o../target/guests/scratch/g/g.wasm"]
        );
    }

    #[test]
    fn a_guest_without_readable_sources_is_stale() {
        let chain = Toolchain { apt: vec![], pip: vec![], npm: vec![], env: Default::default(), commands: vec![] };
        assert!(is_stale(Path::new("/nowhere"), &guest(), &chain));
    }
}
