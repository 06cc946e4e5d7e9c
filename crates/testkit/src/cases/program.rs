//! A program under the command: what goes in, what must come out.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use selvedge_contract::MemoryLayout;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::Runner;
use super::format::Case;
use crate::fixtures::layout_name;

/// What the command exits with after a trap.
const EXIT_TRAP: i32 = 134;
/// A guest that takes longer hangs.
const TIMEOUT: &str = "600s";

/// Runs a case's program and checks what comes of it.
pub(super) fn check(runner: &Runner, case: &Case, module: &Path, layout: MemoryLayout) -> Result<()> {
    let directory = if case.has_directory() { Some(seeded(case)?) } else { None };
    let mut command = command(runner, case, module, layout);
    if let Some(directory) = &directory {
        command.arg("--dir").arg(format!("{}::/data", directory.path().display()));
    }
    command.arg(module).args(&case.args);
    let output = feed(command, &case.stdin)?;
    check_output(case, &output).with_context(|| describe(&output))?;
    directory.map_or(Ok(()), |directory| check_files(case, directory.path()))
}

fn command(runner: &Runner, case: &Case, module: &Path, layout: MemoryLayout) -> Command {
    let mut command = Command::new(&runner.selvedge);
    command.env("XDG_CACHE_HOME", &runner.cache);
    command.args(["run", "--memory", layout_name(layout), "--timeout", TIMEOUT]);
    command.arg("--argv0").arg(case.argv0.as_deref().unwrap_or(case.name()));
    for (name, value) in &case.env {
        command.arg("--env").arg(format!("{name}={value}"));
    }
    let modules = module.parent().unwrap_or(Path::new("."));
    for (guest, host) in &case.mounts {
        command.arg("--dir").arg(format!("{}::{guest}::ro", modules.join(host).display()));
    }
    command
}

fn seeded(case: &Case) -> Result<TempDir> {
    let directory = TempDir::new().context("making a directory for the guest")?;
    for (name, contents) in case.seed.iter().flatten() {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(directory.path()))?;
        std::fs::write(&path, contents).with_context(|| format!("writing {name}"))?;
    }
    Ok(directory)
}

fn feed(mut command: Command, stdin: &str) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let pipe = child.stdin.take();
    std::thread::scope(|scope| {
        // A guest that reads nothing closes the pipe: no error.
        scope.spawn(move || pipe.map(|mut pipe| pipe.write_all(stdin.as_bytes())));
        child.wait_with_output().context("waiting for the command")
    })
}

fn describe(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
    format!("{}\n--- stdout\n{}\n--- stderr\n{}\n---", output.status, text(&output.stdout), text(&output.stderr))
}

fn check_output(case: &Case, output: &Output) -> Result<()> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let exit = if case.trap.is_some() { EXIT_TRAP } else { case.exit };
    ensure!(output.status.code() == Some(exit), "expected exit code {exit}");
    if let Some(trap) = &case.trap {
        ensure!(stderr.contains(&format!("trap: {trap}")), "expected the trap {trap:?}");
    }
    if let Some(expected) = &case.stdout {
        ensure!(stdout == *expected, "stdout is not as expected:\n{expected}");
    }
    match (&case.stderr, &case.trap) {
        // The trap itself is reported after what the guest wrote.
        (Some(expected), Some(_)) => ensure!(stderr.starts_with(expected), "stderr does not begin as expected"),
        (Some(expected), None) => ensure!(stderr == *expected, "stderr is not as expected:\n{expected}"),
        (None, _) => {}
    }
    let wanted = case.stdout_contains.iter().map(|piece| (&stdout, "stdout", piece));
    for (text, name, piece) in wanted.chain(case.stderr_contains.iter().map(|piece| (&stderr, "stderr", piece))) {
        ensure!(text.contains(piece), "{name} lacks {piece:?}");
    }
    Ok(())
}

fn check_files(case: &Case, directory: &Path) -> Result<()> {
    let read = |name: &str| std::fs::read(directory.join(name)).with_context(|| format!("reading /data/{name}"));
    for (name, expected) in &case.files_after {
        let found = read(name)?;
        ensure!(found == expected.as_bytes(), "/data/{name} holds {:?}", String::from_utf8_lossy(&found));
    }
    for (name, expected) in &case.files_sha256 {
        let digest: String = Sha256::digest(read(name)?).iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(digest == *expected, "/data/{name} has SHA-256 {digest}");
    }
    for name in &case.files_absent {
        if directory.join(name).symlink_metadata().is_ok() {
            bail!("/data/{name} should not be there");
        }
    }
    Ok(())
}
