//! Compiling, elsewhere: the compiler is a command, given one file to read and one to write.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, setpriority_process};
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;
use selvedge_native::jail::{Broker, BrokerError};
use thiserror::Error;

use crate::limits::{COMPILE_TIMEOUT, COMPILER_NICER, COMPILER_OUTPUT_BYTES_MAX};
use crate::logs;

/// Turns modules into artifacts. What it returns is proved before it is run.
pub trait Compile: Send + Sync {
    /// Reads the file `module` and writes the file `artifact`. It may take its time: it has a thread.
    ///
    /// # Errors
    /// If there is no artifact.
    fn compile(&self, module: &Path, artifact: &Path) -> Result<(), CompileError>;

    /// The server has stopped: what is compiled, or will be, is of no use any more. A compiler that ends with this process
    /// need not do anything.
    fn give_up(&self) {}
}

/// A module was not compiled.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The compiler refuses it. Its maker's to mend.
    #[error("{0}")]
    Refused(String),
    /// It takes too long.
    #[error("compiling took longer than {COMPILE_TIMEOUT:?}, and was ended")]
    Timeout,
    /// The server stops. Nobody's fault.
    #[error("the server stops, and compiles nothing any more")]
    GivenUp,
    /// There is no compiler. The operator's to mend.
    #[error("the compiler {program} cannot be run: {source}")]
    NoCompiler {
        /// What was tried.
        program: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl CompileError {
    /// Whether the same may succeed in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, CompileError::NoCompiler { .. })
    }
}

/// A compiler in a process of its own: `PROGRAM ARGS… MODULE -o ARTIFACT`.
#[derive(Clone, Debug)]
pub struct CompileCommand {
    program: PathBuf,
    args: Vec<OsString>,
    given_up: Arc<AtomicBool>,
}

impl CompileCommand {
    /// The command; what is between program and files comes from the caller.
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<OsString>>) -> CompileCommand {
        let args = args.into_iter().map(Into::into).collect();
        CompileCommand { program: program.into(), args, given_up: Arc::default() }
    }
}

impl Compile for CompileCommand {
    fn compile(&self, module: &Path, artifact: &Path) -> Result<(), CompileError> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(module).arg("-o").arg(artifact);
        // Nothing of the server's environment: it may hold secrets.
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let no_compiler = |source| CompileError::NoCompiler { program: self.program.display().to_string(), source };
        let mut child = command.spawn().map_err(no_compiler)?;
        // One that cannot be made nicer is as good a compiler.
        let _ = setpriority_process(Some(Pid::from_child(&child)), COMPILER_NICER.into());
        let said = hear(&mut child);
        let is_given_up = || self.given_up.load(Ordering::Relaxed);
        let late = || if is_given_up() { CompileError::GivenUp } else { CompileError::Timeout };
        let status = wait(&mut child, COMPILE_TIMEOUT, is_given_up).map_err(no_compiler)?.ok_or_else(late)?;
        if status.success() {
            return Ok(());
        }
        let said = said.and_then(|thread| thread.join().ok()).unwrap_or_default();
        Err(CompileError::Refused(refusal(&said, status, module)))
    }

    fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// A compiler behind a broker, for a server in a jail, which starts no processes.
#[derive(Debug)]
pub struct CompileBroker(Broker);

impl CompileBroker {
    /// The broker, and so its client, must have been started before the jail was entered.
    pub fn new(broker: Broker) -> CompileBroker {
        CompileBroker(broker)
    }
}

impl Compile for CompileBroker {
    fn compile(&self, module: &Path, artifact: &Path) -> Result<(), CompileError> {
        let no_compiler = |source| CompileError::NoCompiler { program: "broker".into(), source };
        let module = std::fs::read(module).map_err(no_compiler)?;
        match self.0.run(&module, ARTIFACT_BYTES_MAX) {
            Ok(compiled) => std::fs::write(artifact, compiled).map_err(no_compiler),
            Err(BrokerError::Late) => Err(CompileError::Timeout),
            Err(BrokerError::Refused(why)) => Err(CompileError::Refused(logs::message(&why))),
            Err(BrokerError::Gone(source)) => Err(no_compiler(source)),
            Err(BrokerError::Unable(why)) => Err(no_compiler(io::Error::other(logs::message(&why)))),
        }
    }
}

/// What the compiler said, without what only the server knows.
fn refusal(said: &[u8], status: ExitStatus, module: &Path) -> String {
    let said = logs::message(&String::from_utf8_lossy(said).replace(&module.display().to_string(), "the module"));
    match said.trim() {
        "" => format!("the compiler ended with {status}"),
        said => said.strip_prefix("error: ").unwrap_or(said).to_string(),
    }
}

/// Reads what it says, to the end, and keeps the beginning.
fn hear(child: &mut Child) -> Option<JoinHandle<Vec<u8>>> {
    let mut stderr = child.stderr.take()?;
    let read = move || {
        let mut said = Vec::new();
        // What cannot be read is not told.
        let _ = stderr.by_ref().take(COMPILER_OUTPUT_BYTES_MAX as u64).read_to_end(&mut said);
        let _ = io::copy(&mut stderr, &mut io::sink());
        said
    };
    std::thread::Builder::new().name("compiler output".into()).spawn(read).ok()
}

/// Waits for its end; none if it had to be killed.
fn wait(child: &mut Child, timeout: Duration, is_given_up: impl Fn() -> bool) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + timeout;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end || is_given_up() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Result<(), CompileError> {
        CompileCommand::new("/bin/sh", ["-c", script]).compile(Path::new("/tmp/in.wasm"), Path::new("/tmp/out"))
    }

    #[test]
    fn what_a_compiler_says_is_bounded_and_names_no_path_of_the_server() {
        run("exit 0").unwrap();
        let error = run("echo error: cannot compile /tmp/in.wasm: bad >&2; exit 1").unwrap_err().to_string();
        assert_eq!(error, "cannot compile the module: bad");
        let error = run("exit 3").unwrap_err().to_string();
        assert_eq!(error, "the compiler ended with exit status: 3");
        let error = run("head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 1").unwrap_err().to_string();
        assert!(error.len() <= crate::limits::MESSAGE_BYTES_MAX);
        let none = CompileCommand::new("/nowhere", [""; 0]).compile(Path::new("a"), Path::new("b")).unwrap_err();
        assert!(none.to_string().contains("/nowhere cannot be run"));
    }

    #[test]
    fn compilers_leave_the_processors_to_those_who_answer() {
        // `nice` alone says what it is.
        let error = run("sleep 0.1; nice >&2; exit 1").unwrap_err().to_string();
        assert_eq!(error, COMPILER_NICER.to_string());
    }

    #[test]
    fn a_compiler_that_does_not_end_is_ended() {
        let mut child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        assert!(wait(&mut child, Duration::from_millis(20), || false).unwrap().is_none());
        assert!(child.try_wait().unwrap().is_some());
        let compiler = CompileCommand::new("/bin/sh", ["-c", "sleep 1000"]);
        compiler.give_up();
        let error = compiler.compile(Path::new("/tmp/in.wasm"), Path::new("/tmp/out")).unwrap_err();
        assert!(matches!(error, CompileError::GivenUp), "{error}");
    }
}
