//! Servers as processes of their own, each on one core, and what the kernel says of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use selvedge_edge::client::Client;

use super::serve::{Kind, ServerArgs};

/// The cores that this process began with: the servers get the first, the generator the last.
pub(crate) struct Cores {
    all: CpuSet,
    server: usize,
    generator: usize,
}

impl Cores {
    pub(crate) fn of_this_process() -> Result<Cores> {
        let all = sched_getaffinity(None)?;
        let mut numbers = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu));
        let server = numbers.next().context("a process has a core")?;
        Ok(Cores { all, server, generator: numbers.next_back().unwrap_or(server) })
    }

    /// Whether servers and generator have a core each.
    pub(crate) fn are_two(&self) -> bool {
        self.server != self.generator
    }

    /// This thread, and what it starts from now on, has the generator's core.
    pub(crate) fn generate(&self) -> Result<()> {
        Ok(sched_setaffinity(None, &only(self.generator))?)
    }

    /// Runs something on the servers' core, or on any; what it starts stays there.
    pub(super) fn starting<T>(&self, pinned: bool, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let cores = if pinned { only(self.server) } else { self.all };
        let before = sched_getaffinity(None)?;
        sched_setaffinity(None, &cores)?;
        let started = start();
        sched_setaffinity(None, &before)?;
        started
    }
}

fn only(cpu: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(cpu);
    cores
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    pub(crate) tasks: u64,
    pub(crate) memory_bytes: u64,
}

/// A server that runs. It ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// With one of this command's own.
    talk: Option<Mutex<Talk>>,
    pub(crate) address: SocketAddr,
    /// Of our own.
    pub(crate) admin: Option<SocketAddr>,
}

/// What is said to a server and by it.
struct Talk {
    /// Its end tells the server to end.
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server on the servers' core, or on all cores.
    pub(crate) fn start(cores: &Cores, pinned: bool, kind: Kind, guest: Option<PathBuf>) -> Result<Server> {
        let args = ServerArgs { kind, path: guest };
        let mut child = cores.starting(pinned, || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(args.to_arguments()).stdin(Stdio::piped()).stdout(Stdio::piped());
            command.spawn().context("cannot start a server")
        })?;
        let stdin = child.stdin.take().context("it is piped")?;
        let mut stdout = BufReader::new(child.stdout.take().context("it is piped")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let mut addresses = line.split_whitespace().map(str::parse);
        let said = || format!("the server {kind:?} did not start: it said {line:?}");
        let address = addresses.next().and_then(Result::ok).with_context(said)?;
        let talk = Some(Mutex::new(Talk { stdin, stdout }));
        Ok(Server { child, talk, address, admin: addresses.next().and_then(Result::ok) })
    }

    /// Starts somebody else's server on the servers' core; the first line of its stderr ends with its URL.
    pub(crate) fn start_other(cores: &Cores, mut command: Command) -> Result<Server> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let shown = format!("{command:?}");
        let mut child = cores.starting(true, || command.spawn().with_context(|| format!("cannot start {shown}")))?;
        let mut stderr = BufReader::new(child.stderr.take().context("it is piped")?);
        let mut line = String::new();
        stderr.read_line(&mut line)?;
        let url = line.trim_end().rsplit_once("http://").map(|(_, rest)| rest.trim_end_matches('/'));
        let Some(address) = url.and_then(|address| address.parse().ok()) else {
            stderr.read_to_string(&mut line)?;
            bail!("{shown} did not serve: it said {line}");
        };
        // It complains of each connection that is closed; what matters is in its answers. The pipe must never be full.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Ok(Server { child, talk: None, address, admin: None })
    }

    /// Ends it at once, whatever it does.
    pub(crate) fn kill(&self) -> Result<()> {
        let child = Pid::from_child(&self.child);
        Ok(kill_process(child, Signal::KILL)?)
    }

    /// What it holds, by the kernel and by itself.
    pub(crate) fn held(&self) -> Result<Held> {
        let count = |what: &str| Ok(std::fs::read_dir(format!("/proc/{}/{what}", self.child.id()))?.count() as u64);
        let (descriptors, threads): (Result<u64>, Result<u64>) = (count("fd"), count("task"));
        let tasks = self.tasks()?;
        Ok(Held { descriptors: descriptors?, threads: threads?, tasks, memory_bytes: self.memory_bytes()? })
    }

    /// How many tasks it has.
    fn tasks(&self) -> Result<u64> {
        let talk = self.talk.as_ref().context("it is not asked anything")?;
        let mut talk = talk.lock().expect("nobody panics holding it");
        writeln!(talk.stdin, "tasks")?;
        let mut line = String::new();
        talk.stdout.read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("a server says {line:?} of its tasks"))
    }

    /// What it tells of its sites, in Prometheus' format.
    pub(crate) fn metrics(&self) -> Result<String> {
        let client = Client::new(&format!("http://{}", self.admin.context("it has an admin API")?), None)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(client.metrics())?)
    }

    /// CPU time up to now, of all its threads, in user and system mode.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("a name ends with a parenthesis")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).context("a time");
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1_000 / per_second))
    }

    /// Resident memory and page tables, in bytes.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kib.with_context(|| format!("the kernel does not say {name}"))
        };
        Ok((field("VmRSS:")? + field("VmPTE:")?) * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
