//! `cargo xtask mutants`: deleting any check of the verifier must fail one of its tests.
//!
//! A copy of the crate with all changes in it (`sites`) is built once below `target/mutants/`; then its tests are
//! run for each change. A change that no test notices is a failure, unless the record says why it changes nothing.

mod record;
mod sites;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::record::Record;
use crate::repo;

const CRATE: &str = "crates/verifier";
/// Its test compares the verifier with a processor.
const BESIDE: &str = "crates/native";
/// What survives and may.
const RECORD: &str = "crates/verifier/tests/equivalent.toml";
/// The copy.
const DIRECTORY: &str = "target/mutants";
/// Which change is on.
const VARIABLE: &str = "SELVEDGE_MUTANT";
/// Files that decide nothing: what is said of a refusal.
const SPARED: [&str; 1] = ["src/report.rs"];
/// After this a test program has noticed: it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

const SWITCH: &str = r#"
/// Whether this change is on.
pub(crate) fn mutant(number: usize) -> bool {
    static ON: std::sync::LazyLock<usize> =
        std::sync::LazyLock::new(|| std::env::var("SELVEDGE_MUTANT").map_or(usize::MAX, |n| n.parse().unwrap()));
    *ON == number
}
"#;

/// Which mutants to run.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Only those of these files of the crate, by their ends.
    #[arg(long, value_delimiter = ',')]
    file: Vec<String>,
    /// Only every nth of them: a sample.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Only list them.
    #[arg(long)]
    list: bool,
}

/// A mutant with its name in the record.
struct Named {
    number: usize,
    place: String,
    name: String,
}

/// Runs the chosen mutants; `true` if all that survive are explained.
pub fn run(choice: &Choice) -> Result<bool> {
    let root = repo::root();
    let record = Record::load(&root.join(RECORD))?;
    let copy = root.join(DIRECTORY);
    let all = write_copy(&root, &copy)?;
    let chosen: Vec<&Named> = all.iter().filter(|m| choice.has(m)).step_by(choice.every as usize).collect();
    if choice.list {
        chosen.iter().for_each(|m| println!("{}: {}", m.place, m.name));
        return Ok(true);
    }
    let programs = build(&root, &copy)?;
    let own = root.join(CRATE);
    ensure!(survives(&programs, &own, usize::MAX)?, "the tests fail without any change");
    let begun = Instant::now();
    let mut unexplained = Vec::new();
    let mut explained = 0;
    for mutant in &chosen {
        if survives(&programs, &own, mutant.number)? {
            if record.explains(&mutant.name) {
                explained += 1;
            } else {
                println!("survives: {}: {}", mutant.place, mutant.name);
                unexplained.push(mutant);
            }
        }
    }
    let names: Vec<String> = all.iter().map(|m| m.name.clone()).collect();
    let stale: Vec<&str> = record.stale(&names).collect();
    stale.iter().for_each(|name| println!("explained, but there is no such mutant: {name}"));
    let noticed = chosen.len() - explained - unexplained.len();
    let seconds = begun.elapsed().as_secs();
    println!(
        "{noticed} of {} mutants noticed, {explained} explained, {} survive, in {seconds} s",
        chosen.len(),
        unexplained.len()
    );
    Ok(unexplained.is_empty() && stale.is_empty())
}

impl Choice {
    fn has(&self, mutant: &Named) -> bool {
        let file = mutant.name.split(':').next().unwrap_or_default();
        self.file.is_empty() || self.file.iter().any(|wanted| file.ends_with(wanted.as_str()))
    }
}

/// Writes a workspace with the changed crate, which takes everything else from this one.
fn write_copy(root: &Path, copy: &Path) -> Result<Vec<Named>> {
    let krate = copy.join("verifier");
    fs::create_dir_all(&krate)?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest = manifest.replace("members = [\"crates/*\"]", "members = [\"verifier\", \"native\"]");
    let end = manifest.find("default-members").context("the workspace names its default members")?;
    let next = manifest.find("[workspace.package]").context("the workspace has common fields")?;
    let mut text = format!("{}{}", &manifest[..end], &manifest[next..]);
    text = text.replace("path = \"crates/", &format!("path = \"{}/crates/", root.display()));
    for copied in [CRATE, BESIDE] {
        let name = copied.trim_start_matches("crates/");
        text = text.replace(&format!("path = \"{}/{copied}\"", root.display()), &format!("path = \"{name}\""));
    }
    write_if_changed(&copy.join("Cargo.toml"), &text)?;
    write_if_changed(&copy.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)?;
    for (from, to) in [(CRATE, &krate), (BESIDE, &copy.join("native"))] {
        write_if_changed(&to.join("Cargo.toml"), &fs::read_to_string(root.join(from).join("Cargo.toml"))?)?;
    }
    for file in files(&root.join(BESIDE))? {
        write_if_changed(&copy.join("native").join(&file), &fs::read_to_string(root.join(BESIDE).join(&file))?)?;
    }
    let mut all = Vec::new();
    for file in files(&root.join(CRATE))? {
        let text = fs::read_to_string(root.join(CRATE).join(&file));
        let Ok(text) = text else { continue };
        let name = file.to_string_lossy().into_owned();
        let text = if name.starts_with("src") && !SPARED.contains(&name.as_str()) {
            let mutated = sites::mutate(&text, all.len()).with_context(|| format!("parsing {name}"))?;
            all.extend(
                (all.len()..)
                    .zip(&mutated.mutants)
                    .map(|(number, m)| Named {
                        number,
                        place: format!("{CRATE}/{name}:{}", m.line),
                        name: record::name(&name, m),
                    })
                    .collect::<Vec<_>>(),
            );
            match name.as_str() {
                "src/lib.rs" => mutated.text.replace("#![warn(missing_docs)]", "#![allow(warnings)]") + SWITCH,
                _ => mutated.text,
            }
        } else {
            text
        };
        write_if_changed(&krate.join(&file), &text)?;
    }
    Ok(all)
}

/// Cargo builds anew what has a new date.
fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("it is in a directory")?)?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Sources and tests of the crate, sorted.
fn files(krate: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![krate.join("src"), krate.join("tests")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { found.push(path.strip_prefix(krate)?.to_path_buf()) }
        }
    }
    found.sort();
    Ok(found)
}

/// Builds the tests; their programs, the quickest first.
fn build(root: &Path, copy: &Path) -> Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    for tests in [&["-p", "selvedge-verifier"][..], &["-p", "selvedge-native", "--test", "transfer"]] {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--no-run", "--quiet", "--message-format=json", "--target-dir"])
            .arg(root.join("target"))
            .args(tests)
            .current_dir(copy)
            .stderr(Stdio::inherit())
            .output()
            .context("running cargo")?;
        ensure!(output.status.success(), "the changed crate does not build");
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            if let (Some(program), true) = (message["executable"].as_str(), message["profile"]["test"] == true) {
                programs.push(PathBuf::from(program));
            }
        }
    }
    ensure!(programs.len() > 2, "the changed crate has no tests");
    Ok(programs)
}

/// Whether all tests pass with this change.
fn survives(programs: &[PathBuf], krate: &Path, number: usize) -> Result<bool> {
    for program in programs {
        // A change may make it want all the memory there is.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -v 8000000; exec \"$0\""])
            .arg(program)
            .env(VARIABLE, number.to_string())
            .current_dir(krate)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("running {}", program.display()))?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if begun.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        match status {
            Some(status) if status.code() == Some(127) => bail!("{} cannot run", program.display()),
            Some(status) if status.success() => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}
