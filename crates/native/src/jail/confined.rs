//! Work done by a child in the jail: both ends of the conversation.
//!
//! The child ([`serve`]) enters the jail before it reads its first byte of input, and says so. Then it reads its input
//! from stdin until it ends, works, and writes to stdout what came of it: a byte, and the output or the reason. The
//! parent ([`Confined`]) bounds what it takes from the child, and the time it waits.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal};
use selvedge_contract::limits::{ARTIFACT_BYTES_MAX, JAIL_WALL_FACTOR};
use thiserror::Error;

use super::allocator::EXIT_MEMORY;
use super::{Jail, Lack};

/// The verb of the command `selvedge` that compiles in the jail: it takes the options of `compile`.
pub const COMPILE_CHILD: &str = "@compile-child";

/// What a child says first, when it is in the jail.
const GREETING: &[u8] = b"selvedge: jailed\n";
/// What it says instead, when it could not enter; the reason follows.
const UNJAILED: u8 = b'!';
/// Before the output.
const DONE: u8 = b'+';
/// Before the reason why there is none.
const REFUSED: u8 = b'-';

/// Most of a child's stderr that is kept, and of a reason.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A program that does its work in the jail, by [`serve`].
#[derive(Clone, Debug)]
pub struct Confined {
    program: PathBuf,
    args: Vec<OsString>,
    output_bytes_max: usize,
    wall: Duration,
}

/// What a jailed child made.
#[derive(Debug)]
pub struct Answer {
    /// Its output. It comes from a process that read what strangers sent: believe none of it.
    pub output: Vec<u8>,
    /// What it said on stderr, for the operator: what is lacking of the jail, for example.
    pub said: String,
}

/// A jailed child did not do its work.
#[derive(Debug, Error)]
pub enum ConfinedError {
    /// The program could not be started. The operator's to mend.
    #[error("cannot start {program}: {source}", program = program.display())]
    Start {
        /// Which.
        program: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The program could not enter the jail, and so did not begin. The operator's to mend.
    #[error("{0}")]
    Unjailed(String),
    /// The program never said that it is in the jail: it is another one, or of another version. The operator's to mend.
    #[error("{program} did not enter the jail ({how}): is it this version of selvedge?{said}", program = program.display(), said = appended(said))]
    NotJailed {
        /// Which.
        program: PathBuf,
        /// How it ended.
        how: String,
        /// What it said on stderr.
        said: String,
    },
    /// The work cannot be done, for this reason. The input's fault.
    #[error("{0}")]
    Refused(String),
    /// It took all the memory it may have. The input's fault, or the cap is too low.
    #[error("it reached the cap on memory")]
    Memory,
    /// It took all the CPU time it may have. The input's fault, or the cap is too low.
    #[error("it reached the cap on CPU time")]
    Cpu,
    /// It did not end in time. The input's fault, or the machine's.
    #[error("it did not end within {0:?}")]
    Wall(Duration),
    /// It made more output than it may. The input's fault.
    #[error("it made more than {0} bytes")]
    Output(usize),
    /// It ended without an answer: a bug that the input found, or an attempt to break out.
    #[error("it crashed ({how}): a bug, or an attack{said}", said = appended(said))]
    Crashed {
        /// How it ended.
        how: String,
        /// What it said on stderr.
        said: String,
    },
}

fn appended(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said:\n{}", said.trim_end()) }
}

impl Confined {
    /// A program whose answer may have so many bytes and take so long.
    ///
    /// The caps on memory and CPU time are the child's to set, as it enters the jail: they are among its arguments.
    pub fn new(program: impl Into<PathBuf>, output_bytes_max: usize, wall: Duration) -> Confined {
        Confined { program: program.into(), args: Vec::new(), output_bytes_max, wall }
    }

    /// The `selvedge` command as a compiler: a module in, an artifact out. `options` are those of `selvedge compile`;
    /// `--preinit` and what names files is refused.
    pub fn compiler(
        selvedge: impl Into<PathBuf>,
        memory_bytes_max: u64,
        cpu_seconds_max: u64,
        options: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Confined {
        let wall = Duration::from_secs(cpu_seconds_max.saturating_mul(JAIL_WALL_FACTOR));
        Confined::new(selvedge, ARTIFACT_BYTES_MAX, wall)
            .args([COMPILE_CHILD, "-", "--jailed", "--jail-memory", &memory_bytes_max.to_string()])
            .args(["--jail-cpu", &cpu_seconds_max.to_string()])
            .args(options)
    }

    /// How long it may take.
    pub fn within(mut self, wall: Duration) -> Confined {
        self.wall = wall;
        self
    }

    /// An argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Confined {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Confined {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().into()));
        self
    }

    /// Starts a child, gives it the input, and waits for its answer. It takes a thread of the caller's meanwhile.
    ///
    /// # Errors
    /// If there is no output, for whatever reason; the child has ended then too.
    pub fn run(&self, input: &[u8]) -> Result<Answer, ConfinedError> {
        let fail = |source| ConfinedError::Start { program: self.program.clone(), source };
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Ended(command.spawn().map_err(fail)?);
        let talk = talk(&mut child.0, input, self.output_bytes_max, self.wall).map_err(fail)?;
        self.judge(talk)
    }

    fn judge(&self, talk: Talk) -> Result<Answer, ConfinedError> {
        let how = talk.status.to_string();
        let Some(answer) = talk.answer.strip_prefix(GREETING) else {
            return Err(match talk.answer.split_first() {
                Some((&UNJAILED, reason)) => ConfinedError::Unjailed(text(reason)),
                _ if talk.late => ConfinedError::Wall(self.wall),
                _ => ConfinedError::NotJailed { program: self.program.clone(), how, said: talk.said },
            });
        };
        match (talk.status.code(), talk.status.signal()) {
            (_, _) if talk.late => Err(ConfinedError::Wall(self.wall)),
            (_, _) if talk.long => Err(ConfinedError::Output(self.output_bytes_max)),
            (Some(EXIT_MEMORY), _) => Err(ConfinedError::Memory),
            (_, Some(libc::SIGXCPU)) => Err(ConfinedError::Cpu),
            (Some(0), _) => match answer.split_first() {
                Some((&DONE, output)) => Ok(Answer { output: output.to_vec(), said: talk.said }),
                Some((&REFUSED, reason)) => Err(ConfinedError::Refused(text(reason))),
                _ => Err(ConfinedError::Crashed { how: "without an answer".into(), said: talk.said }),
            },
            _ => Err(ConfinedError::Crashed { how, said: talk.said }),
        }
    }
}

/// A child that does not outlive this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has usually ended and been waited for already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a child said, and how it ended.
struct Talk {
    answer: Vec<u8>,
    said: String,
    status: ExitStatus,
    /// It was killed because its time was over.
    late: bool,
    /// It was killed, or stopped, because it said too much.
    long: bool,
}

/// Writes to a child and reads from it, all at once; ends it when it is late or says too much.
fn talk(child: &mut Child, input: &[u8], output_bytes_max: usize, wall: Duration) -> std::io::Result<Talk> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let whole = output_bytes_max.saturating_add(GREETING.len() + 1);
    thread::scope(|scope| {
        // A child that reads no more has its reasons: its answer tells.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        let answer = scope.spawn(move || bounded(stdout, whole));
        let said = scope.spawn(move || drained(stderr));
        let waited = ends_within(child, wall);
        // Unblocks the threads, whatever it is that the child waits for.
        let killed = child.kill();
        let status = child.wait();
        let late = !waited?;
        killed?;
        let (answer, long) = answer.join().unwrap_or_default();
        let said = said.join().unwrap_or_default();
        Ok(Talk { answer, said: text(&said), status: status?, late, long })
    })
}

/// Reads to the end, or just beyond the most that may come; says whether it was more. Dropping the pipe then stops
/// whoever writes to it.
fn bounded(from: Option<impl Read>, bytes_max: usize) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read before an error is what there is.
        let _ = from.take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    }
    let long = bytes.len() > bytes_max;
    bytes.truncate(bytes_max);
    (bytes, long)
}

/// Reads to the end and keeps the beginning: who complains at length is not stopped by that.
fn drained(from: Option<impl Read>) -> Vec<u8> {
    let Some(mut from) = from else { return Vec::new() };
    let (bytes, _) = bounded(Some(&mut from), TEXT_BYTES_MAX);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    bytes
}

/// Waits for a child to end; not at all after some time.
fn ends_within(child: &Child, wall: Duration) -> std::io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::NotFound)?;
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let end = Instant::now().checked_add(wall);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]).into_owned()
}

/// What a jailed program does: enters the jail, reads its input, works, and answers. The work's error is told to the
/// parent as the reason for there being no output.
///
/// Nothing but the standard streams stays open: call it first of all, in a process that was started for it. With
/// `accept_gaps` the process goes on without what the kernel lacks of the jail, and says so on stderr.
///
/// # Errors
/// If the parent is gone. What else goes wrong is the answer.
pub fn serve(
    jail: &Jail,
    accept_gaps: bool,
    input_bytes_max: usize,
    work: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = drop_in(jail, accept_gaps) {
        stdout.write_all(&[&[UNJAILED], error.as_bytes()].concat())?;
        return stdout.flush();
    }
    stdout.write_all(GREETING)?;
    stdout.flush()?;
    let mut input = Vec::new();
    std::io::stdin().lock().take(input_bytes_max as u64 + 1).read_to_end(&mut input)?;
    let made = if input.len() > input_bytes_max {
        Err(format!("the input is larger than the {input_bytes_max} bytes it may have"))
    } else {
        work(&input)
    };
    match &made {
        Ok(output) => stdout.write_all(&[DONE]).and_then(|()| stdout.write_all(output))?,
        Err(reason) => stdout.write_all(&[REFUSED]).and_then(|()| stdout.write_all(reason.as_bytes()))?,
    }
    stdout.flush()
}

fn drop_in(jail: &Jail, accept_gaps: bool) -> Result<(), String> {
    // Whoever waits for the answer may be killed: nobody would look after this process then.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    close_others()?;
    let entered = match accept_gaps {
        false => jail.enter(),
        true => {
            jail.enter_with_what_there_is(|lack: Lack| eprintln!("warning: not jailed fully: this kernel lacks {lack}"))
        }
    };
    entered.map_err(|error| error.to_string())
}

/// Closes all descriptors but the standard ones.
fn close_others() -> Result<(), String> {
    // SAFETY: this process was started to serve, and nothing in it holds a descriptor yet: what is open was inherited,
    // and belongs to no value of this program.
    match unsafe { libc::close_range(3, u32::MAX, 0) } {
        0 => Ok(()),
        _ => Err(format!("cannot close inherited files: {}", std::io::Error::last_os_error())),
    }
}
