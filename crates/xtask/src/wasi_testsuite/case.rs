//! One test: its manifest, a fresh copy of its directory, one run, and whether that ended as the manifest says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;

/// A test that takes longer hangs; the slowest takes less than a second.
const TIMEOUT: &str = "60s";

/// What a manifest says. A key that is not here is an error: a test must not pass because it was misread.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
struct Manifest {
    args: Vec<String>,
    env: BTreeMap<String, String>,
    /// The directory that is the guest's `/`.
    root: Option<String>,
    /// Directories under their own names, in older checkouts.
    dirs: Vec<String>,
    exit_code: i32,
    stdout: Option<String>,
    stderr: Option<String>,
}

impl Manifest {
    /// A test without a manifest has no arguments and ends with 0.
    fn read(file: &Path) -> Result<Manifest> {
        match fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Manifest::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("in {}", file.display())),
        }
    }

    /// The directories to grant, and the guest's names for them.
    fn grants(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.dirs.iter().map(|dir| (dir.as_str(), dir.as_str()));
        self.root.iter().map(|root| (root.as_str(), "/")).chain(own)
    }

    fn check(&self, output: &Output) -> Result<()> {
        let Some(code) = output.status.code() else { bail!("ended with {}", output.status) };
        ensure!(code == self.exit_code, "exit code {code}, not {}{}", self.exit_code, quote(&output.stderr));
        for (name, expected, found) in
            [("stdout", &self.stdout, &output.stdout), ("stderr", &self.stderr, &output.stderr)]
        {
            let same = expected.as_ref().is_none_or(|expected| expected.as_bytes() == *found);
            ensure!(same, "{name} is {:?}, not {expected:?}", String::from_utf8_lossy(found));
        }
        Ok(())
    }
}

/// What the guest said, in one line.
fn quote(stderr: &[u8]) -> String {
    let words: Vec<_> = String::from_utf8_lossy(stderr).split_whitespace().map(str::to_owned).collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(" ")) }
}

/// Runs a test.
pub fn run(selvedge: &Path, test: &Path, layout: &str) -> Result<()> {
    let manifest = Manifest::read(&test.with_extension("json"))?;
    let own = test.parent().context("a test is in no directory")?;
    let scratch = TempDir::new().context("making a directory for the test")?;
    let mut command = Command::new(selvedge);
    command.args(["run", "--no-cache", "--memory", layout, "--timeout", TIMEOUT]);
    for (dir, guest) in manifest.grants() {
        let copied = scratch.path().join(dir);
        copy(&own.join(dir), &copied)?;
        command.arg("--dir").arg(format!("{}::{guest}", copied.display()));
    }
    command.args(manifest.env.iter().flat_map(|(name, value)| ["--env".to_owned(), format!("{name}={value}")]));
    command.arg(test).args(&manifest.args);
    manifest.check(&output(command)?)
}

/// Runs a command with a stdin that stays open and empty, as the suite's own runner does.
fn output(mut command: Command) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("starting the selvedge command")?;
    let stdin = child.stdin.take();
    let output = child.wait_with_output().context("waiting for the selvedge command")?;
    drop(stdin);
    Ok(output)
}

/// Copies a tree, without what an earlier run of a test left behind in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let entries = from.read_dir().with_context(|| format!("reading the test's directory {}", from.display()))?;
    fs::create_dir_all(to)?;
    for entry in entries {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.extension().is_some_and(|extension| extension == "cleanup") {
            continue;
        }
        match path.is_dir() {
            true => copy(&path, &to.join(name))?,
            false => fs::copy(&path, to.join(name)).map(drop).with_context(|| format!("copying {}", path.display()))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn manifest(text: &str) -> Manifest {
        serde_json::from_str(text).unwrap()
    }

    fn ended(code: i32, stdout: &str) -> Output {
        Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: b"line\nline".into() }
    }

    #[test]
    fn manifests_are_read_as_the_suite_means_them() {
        assert_eq!(Manifest::read(Path::new("/no/such.json")).unwrap(), Manifest::default());
        let root = manifest(r#"{ "root": "fs-tests.dir", "args": [] }"#);
        assert_eq!(root.grants().collect::<Vec<_>>(), [("fs-tests.dir", "/")]);
        let dirs = manifest(r#"{ "dirs": ["d"], "args": ["d"], "env": { "a": "b" } }"#);
        assert_eq!(dirs.grants().collect::<Vec<_>>(), [("d", "d")]);
        let error = serde_json::from_str::<Manifest>(r#"{ "operations": [] }"#).unwrap_err().to_string();
        assert!(error.contains("operations"), "{error}");
    }

    #[test]
    fn endings_are_compared() {
        let expected = manifest(r#"{ "exit_code": 33, "stdout": "hello" }"#);
        assert!(expected.check(&ended(33, "hello")).is_ok());
        assert_eq!(expected.check(&ended(0, "hello")).unwrap_err().to_string(), "exit code 0, not 33: line line");
        assert!(expected.check(&ended(33, "hello\n")).unwrap_err().to_string().starts_with("stdout is \"hello\\n\""));
        assert!(manifest("{}").check(&ended(0, "whatever")).is_ok());
        let killed = Output { status: ExitStatus::from_raw(9), ..ended(0, "") };
        assert!(manifest("{}").check(&killed).unwrap_err().to_string().contains("signal: 9"));
    }

    #[test]
    fn every_run_gets_a_fresh_copy() {
        let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        fs::create_dir_all(from.path().join("a/b.cleanup/c")).unwrap();
        fs::write(from.path().join("a/file"), "x").unwrap();
        copy(from.path(), &to.path().join("copy")).unwrap();
        assert_eq!(fs::read(to.path().join("copy/a/file")).unwrap(), b"x");
        assert!(!to.path().join("copy/a/b.cleanup").exists());
    }
}
