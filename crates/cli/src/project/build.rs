//! Commands of a project, run one after another, and ended with all that they have started.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often it is looked whether a command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the lines; the first that fails is the last. What they say goes where ours goes.
pub(crate) async fn run(directory: &Path, lines: &[String]) -> Result<()> {
    for line in lines {
        eprintln!("$ {line}");
        let mut command = Group::start(directory, line).with_context(|| format!("cannot run sh for {line}"))?;
        let status = command.end().await.with_context(|| format!("cannot wait for {line}"))?;
        ensure!(status.success(), "the build failed with {status}: {line}");
    }
    Ok(())
}

/// A command in a process group of its own, which does not outlive this.
struct Group {
    leader: Child,
    ended: bool,
}

impl Group {
    fn start(directory: &Path, line: &str) -> io::Result<Group> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(directory).stdin(Stdio::null()).process_group(0);
        Ok(Group { leader: command.spawn()?, ended: false })
    }

    async fn end(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.leader.try_wait()? {
                self.ended = true;
                return Ok(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The leader was not waited for, so its number is still its own. Whatever is gone already needs no killing.
        let _ = killpg(Pid::from_raw(self.leader.id() as i32), Signal::SIGKILL);
        let _ = self.leader.wait();
    }
}
