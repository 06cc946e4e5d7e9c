//! The copy of the verifier with all changes in it: a workspace of its own below `target/mutants/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{record, sites};

/// The crate that is changed.
pub const CRATE: &str = "crates/verifier";
/// Its test compares the verifier with a processor.
const BESIDE: &str = "crates/native";
/// The copy.
pub const DIRECTORY: &str = "target/mutants";
/// Files that decide nothing: what is said of a refusal, and what a test asks.
const SPARED: [&str; 2] = ["src/report.rs", "src/walk/straight.rs"];
/// More changes than there are.
const CHANGES_MAX: usize = 4096;

/// What the copy's sites call. A change is on if its number is in the environment. A run without changes writes to a
/// file the number of each change that would have made a difference.
const SWITCH: &str = r#"
static ON: std::sync::LazyLock<usize> =
    std::sync::LazyLock::new(|| std::env::var("SELVEDGE_MUTANT").map_or(usize::MAX, |n| n.parse().unwrap()));
static REACHED: [std::sync::atomic::AtomicBool; 4096] = [const { std::sync::atomic::AtomicBool::new(false) }; 4096];

/// Whether this change is on.
pub(crate) fn mutant(number: usize) -> bool {
    if !REACHED[number].swap(true, std::sync::atomic::Ordering::Relaxed) {
        if let Some(path) = std::env::var_os("SELVEDGE_REACHED") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            std::io::Write::write_all(&mut file.unwrap(), format!("{number}\n").as_bytes()).unwrap();
        }
    }
    *ON == number
}

/// What was found, or something else instead.
pub(crate) fn instead<T: PartialEq>(number: usize, new: T, found: T) -> T {
    if new != found && mutant(number) { new } else { found }
}
"#;

/// A mutant with its name in the record.
pub struct Named {
    pub number: usize,
    /// File and line.
    pub place: String,
    pub name: String,
}

/// Writes a workspace with the changed crate, which takes everything else from this one.
pub fn write(root: &Path, copy: &Path) -> Result<Vec<Named>> {
    write_manifests(root, copy)?;
    for (krate, copied) in [(CRATE, "verifier"), (BESIDE, "native")] {
        remove_gone(&root.join(krate), &copy.join(copied))?;
    }
    for file in files(&root.join(BESIDE))? {
        write_if_changed(&copy.join("native").join(&file), &fs::read_to_string(root.join(BESIDE).join(&file))?)?;
    }
    let mut all = Vec::new();
    for file in files(&root.join(CRATE))? {
        let Ok(text) = fs::read_to_string(root.join(CRATE).join(&file)) else { continue };
        let name = file.to_string_lossy().into_owned();
        let text = if name.starts_with("src") && !SPARED.contains(&name.as_str()) {
            mutated(&name, &text, &mut all)?
        } else {
            text
        };
        write_if_changed(&copy.join("verifier").join(&file), &text)?;
    }
    ensure!(all.len() <= CHANGES_MAX, "there are more than {CHANGES_MAX} changes: raise the limit");
    Ok(all)
}

/// A source file with its changes, which are added to all.
fn mutated(name: &str, text: &str, all: &mut Vec<Named>) -> Result<String> {
    let mutated = sites::mutate(text, all.len()).with_context(|| format!("parsing {name}"))?;
    for mutant in &mutated.mutants {
        let place = format!("{CRATE}/{name}:{}", mutant.line);
        all.push(Named { number: all.len(), place, name: record::name(name, mutant) });
    }
    Ok(match name {
        "src/lib.rs" => mutated.text.replace("#![warn(missing_docs)]", "#![allow(warnings)]") + SWITCH,
        _ => mutated.text,
    })
}

fn write_manifests(root: &Path, copy: &Path) -> Result<()> {
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest = manifest.replace("members = [\"crates/*\"]", "members = [\"verifier\", \"native\"]");
    let end = manifest.find("default-members").context("the workspace names its default members")?;
    let next = manifest.find("[workspace.package]").context("the workspace has common fields")?;
    let mut text = format!("{}{}", &manifest[..end], &manifest[next..]);
    text = text.replace("path = \"crates/", &format!("path = \"{}/crates/", root.display()));
    for copied in [CRATE, BESIDE] {
        let name = copied.trim_start_matches("crates/");
        text = text.replace(&format!("path = \"{}/{copied}\"", root.display()), &format!("path = \"{name}\""));
        let own = fs::read_to_string(root.join(copied).join("Cargo.toml"))?;
        write_if_changed(&copy.join(name).join("Cargo.toml"), &own)?;
    }
    write_if_changed(&copy.join("Cargo.toml"), &text)?;
    write_if_changed(&copy.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)
}

/// Cargo builds anew what has a new date.
fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("it is in a directory")?)?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// What the crate has no more would be built beside what is there instead.
fn remove_gone(krate: &Path, copied: &Path) -> Result<()> {
    for file in files(copied)? {
        if !krate.join(&file).exists() {
            fs::remove_file(copied.join(&file)).with_context(|| format!("removing {} of the copy", file.display()))?;
        }
    }
    Ok(())
}

/// Sources and tests of a crate, sorted; none if it is not there.
fn files(krate: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> =
        ["src", "tests"].map(|part| krate.join(part)).into_iter().filter(|part| part.exists()).collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { found.push(path.strip_prefix(krate)?.to_path_buf()) }
        }
    }
    found.sort();
    Ok(found)
}
