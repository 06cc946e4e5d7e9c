//! What the machine itself allows two threads: two processes that share nothing, each with one thread and a pool of its
//! own, against one of them alone. If two threads of one process do as well, it is the machine that limits them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::engine::Settings;
use crate::instances::{SPAN, cases, throughput};
use crate::ours;

/// What a child of the bench runs.
#[derive(Args)]
pub(crate) struct CyclesArgs {
    name: String,
    #[command(flatten)]
    settings: Settings,
}

/// Runs as a child: for each line that comes, cycles on one thread, and how many in a line back.
pub(crate) fn serve(args: &CyclesArgs) -> Result<()> {
    let cases = cases()?;
    let case = cases.iter().find(|case| case.name == args.name).context("no case has that name")?;
    let pool = ours::pool(&case.wasm, case.call, args.settings)?;
    for line in std::io::stdin().lines() {
        line?;
        println!("{}", throughput(&*pool, 1, SPAN)?);
    }
    Ok(())
}

/// Two processes of one thread each.
pub(crate) struct Pair([Worker; 2]);

struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    counts: BufReader<ChildStdout>,
}

impl Pair {
    /// Starts them, and lets each warm up.
    pub(crate) fn start(name: &str, settings: Settings) -> Result<Pair> {
        let mut pair = Pair([Worker::start(name, settings)?, Worker::start(name, settings)?]);
        pair.cycles(2)?;
        Ok(pair)
    }

    /// How many cycles the first, or both at once, do together in a [`SPAN`].
    pub(crate) fn cycles(&mut self, processes: usize) -> Result<u64> {
        let working = &mut self.0[..processes];
        working.iter_mut().try_for_each(Worker::begin)?;
        working.iter_mut().map(Worker::end).sum()
    }
}

impl Worker {
    fn start(name: &str, settings: Settings) -> Result<Worker> {
        let own = std::env::current_exe().context("where this program is")?;
        let mut command = Command::new(own);
        command.arg("cycles").arg(name).args(settings.arguments()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start another process of the bench")?;
        let (orders, counts) = (child.stdin.take(), child.stdout.take().context("its output is a pipe")?);
        Ok(Worker { child, orders, counts: BufReader::new(counts) })
    }

    fn begin(&mut self) -> Result<()> {
        let orders = self.orders.as_mut().context("it takes orders until it is dropped")?;
        Ok(writeln!(orders)?)
    }

    fn end(&mut self) -> Result<u64> {
        let mut line = String::new();
        ensure!(self.counts.read_line(&mut line)? > 0, "another process of the bench has ended");
        Ok(line.trim().parse()?)
    }
}

impl Drop for Worker {
    /// It ends with its orders.
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
    }
}
