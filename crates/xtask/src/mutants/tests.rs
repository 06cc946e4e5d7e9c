//! The tests of the copy, each run by itself.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::copy::CRATE;

/// Seconds of CPU time that a test may take, and how many times what it takes without changes: then it hangs, which is
/// noticed. Of time that passes, which other programs lengthen, there is enough.
const CPU_SECONDS: u64 = 5;
const TIMES: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(600);

/// How many programs the verifier's test `hunt` makes for each change, with the variable that says so. It takes longer than
/// all others together, and runs for each change that none of them notices; what it finds it nearly always finds among the
/// first few. Those that it makes unasked are for the verifier as it is.
const HUNT: (&str, &str) = ("SELVEDGE_HUNT", "300");

/// A test of the copy.
pub struct Test {
    program: PathBuf,
    pub name: String,
    /// What it took without changes.
    took: Duration,
    /// The changes that make a difference in it.
    reached: HashSet<usize>,
}

/// Builds the tests and runs each without changes; the quickest first.
pub fn all(root: &Path, copy: &Path) -> Result<Vec<Test>> {
    let own = root.join(CRATE);
    let directory = tempfile::tempdir()?;
    let mut tests = Vec::new();
    for program in build(root, copy)? {
        let list = Command::new(&program).args(["--list", "--format=terse"]).output()?;
        for name in String::from_utf8_lossy(&list.stdout).lines().filter_map(|line| line.strip_suffix(": test")) {
            let trace = directory.path().join(format!("{}", tests.len()));
            let mut test =
                Test { program: program.clone(), name: name.to_owned(), took: Duration::ZERO, reached: HashSet::new() };
            let begun = Instant::now();
            let mut command = test.command(&own, PATIENCE.as_secs());
            command.env("SELVEDGE_REACHED", &trace);
            ensure!(test.passes(command)?, "{name} fails without any change");
            test.took = begun.elapsed();
            let reached = fs::read_to_string(&trace).unwrap_or_default();
            test.reached = reached.lines().map(str::parse).collect::<Result<_, _>>()?;
            tests.push(test);
        }
    }
    ensure!(tests.len() > 20, "the changed crate has no tests");
    tests.sort_by_key(|test| test.took);
    Ok(tests)
}

/// Builds the tests; their programs.
fn build(root: &Path, copy: &Path) -> Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    for tests in [&["-p", "selvedge-verifier"][..], &["-p", "selvedge-native", "--test", "transfer"]] {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--no-run", "--quiet", "--message-format=json-render-diagnostics", "--target-dir"])
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
    Ok(programs)
}

impl Test {
    /// Whether it fails with this change. What never made a difference in it cannot make it fail.
    pub fn notices(&self, root: &Path, number: usize) -> Result<bool> {
        if !self.reached.contains(&number) {
            return Ok(false);
        }
        let mut command = self.command(&root.join(CRATE), CPU_SECONDS + (TIMES * self.took).as_secs());
        command.env("SELVEDGE_MUTANT", number.to_string());
        self.passes(command).map(|passes| !passes)
    }

    fn command(&self, krate: &Path, cpu_seconds: u64) -> Command {
        // A change may make it want all the memory there is, or never end.
        let limited = format!("ulimit -v 8000000; ulimit -t {cpu_seconds}; exec \"$0\" --exact \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &limited]).arg(&self.program).arg(&self.name);
        command.env(HUNT.0, HUNT.1).current_dir(krate).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn passes(&self, command: Command) -> Result<bool> {
        match wait(command)? {
            Some(status) if status.code() == Some(127) => bail!("{} cannot run", self.program.display()),
            status => Ok(status.is_some_and(|status| status.success())),
        }
    }
}

/// Waits for it, but not for ever.
fn wait(mut command: Command) -> Result<Option<ExitStatus>> {
    let mut child = command.spawn().context("running a test")?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}
