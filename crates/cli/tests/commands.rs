//! The command as users see it: `tests/commands/*.txt`, each a session in a directory of its own.
//!
//! ```text
//! # what the next commands show
//! $ selvedge run --invoke add math.wat 2 3
//! > a line on stdout
//! ! a line on stderr
//! = 1
//! ```
//!
//! Commands run under `sh` among copies of `tests/commands/files/`. No exit code means 0. `UPDATE=1` writes
//! what happened into the files; read the difference.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

const SELVEDGE: &str = env!("CARGO_BIN_EXE_selvedge");

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands");
    let mut sessions = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            sessions.push(path);
        }
    }
    sessions.sort();
    libtest_mimic::run(&arguments, sessions.into_iter().map(trial).collect()).exit()
}

fn trial(path: PathBuf) -> Trial {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Trial::test(name, move || check(&path).map_err(|error| Failed::from(format!("{error:#}"))))
}

fn check(path: &Path) -> Result<()> {
    let expected = std::fs::read_to_string(path)?;
    let place = tempfile::tempdir()?;
    for file in path.with_file_name("files").read_dir()? {
        let file = file?;
        std::fs::copy(file.path(), place.path().join(file.file_name()))?;
    }
    let is_result = |line: &&str| ['>', '!', '='].iter().any(|mark| line.starts_with(*mark));
    let mut happened = String::new();
    for line in expected.lines().filter(|line| !is_result(line)) {
        happened += line;
        happened.push('\n');
        if let Some(command) = line.strip_prefix("$ ") {
            happened += &run(command, place.path())?;
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, happened).context("writing what happened");
    }
    ensure!(happened == expected, "it went otherwise:\n{}", first_difference(&expected, &happened));
    Ok(())
}

/// Runs one line and writes down what came of it.
fn run(line: &str, place: &Path) -> Result<String> {
    let bin = Path::new(SELVEDGE).parent().context("the command has a directory")?;
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(place).env_clear();
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("HOME", place.join("home"));
    let output = command.output().with_context(|| format!("running {line}"))?;
    let place = place.display().to_string();
    let mut result = String::new();
    for (mark, bytes) in [('>', &output.stdout), ('!', &output.stderr)] {
        for line in String::from_utf8_lossy(bytes).replace(&place, "[PLACE]").lines() {
            result += format!("{mark} {line}").trim_end();
            result.push('\n');
        }
    }
    match output.status.code() {
        Some(0) => {}
        Some(code) => result += &format!("= {code}\n"),
        None => result += &format!("= {}\n", output.status),
    }
    Ok(result)
}

fn first_difference(expected: &str, happened: &str) -> String {
    let mut command = "";
    let mut pairs = expected.lines().zip(happened.lines());
    while let Some((wanted, got)) = pairs.next() {
        if wanted.starts_with("$ ") {
            command = wanted;
        }
        if wanted != got {
            let rest: Vec<_> = pairs.take(5).map(|(_, line)| line).collect();
            return format!("{command}\nexpected {wanted}\ngot      {got}\n         {}", rest.join("\n         "));
        }
    }
    format!("{command}\none has more lines than the other:\n{happened}")
}
