//! Compiling in the jail: this command starts itself again, as a child that has only its input and output.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use selvedge_compiler::CompileError;
use selvedge_contract::limits::{
    ARTIFACT_BYTES_MAX, JAIL_CPU_SECONDS_DEFAULT, JAIL_MEMORY_BYTES_DEFAULT, JAIL_WALL_FACTOR, WASM_BYTES_MAX,
};
use selvedge_edge::Dialing;
use selvedge_edge::limits::{COMPILE_TIMEOUT, COMPILER_NICER, MODULE_BYTES_MAX, OUTBOUND_DIALS_MAX};
use selvedge_native::jail::{self, Broker, COMPILE_CHILD, Confined, ConfinedError, Dialer, DialerJail, Jail};

use crate::grants;
use crate::options::{size, time};

/// This program, also when its file was replaced since it was started.
const THIS: &str = "/proc/self/exe";

/// The verb that has modules compiled for a server.
pub(crate) const BROKER: &str = "@compile-broker";
/// The verb that connects to a server's collector.
pub(crate) const DIALER: &str = "@collector-dialer";
/// The verb that connects to the servers that programs may ask.
pub(crate) const OUTBOUND: &str = "@outbound-dialer";
/// The verb that initialises artifacts.
pub(crate) const PREINIT_CHILD: &str = "@preinit-child";

/// Said to a child that compiles what another will initialise.
const PREINIT_LATER: &str = "--preinit-later";

/// Modules that a broker has compiled at once: more than a server sends at once, so that those it gave up are in
/// nobody's way.
const BROKER_WORKERS: usize = 8;
/// For how long they compute at a time.
const COMPILER_STRETCH: Duration = Duration::from_millis(3);

/// Whether and how to jail.
#[derive(clap::Args)]
#[command(next_help_heading = "Compiling in the jail")]
pub(crate) struct JailArgs {
    /// Compile in a process that has no network, files or other processes
    #[arg(long)]
    jailed: bool,
    /// Most memory it may take (512MiB, 2GiB, ...); 4GiB if not given
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "jailed")]
    jail_memory: Option<u64>,
    /// Most CPU time, of all its threads together (30s, 2m, ...); 5m if not given
    #[arg(long, value_name = "TIME", value_parser = time, requires = "jailed")]
    jail_cpu: Option<Duration>,
    /// Go on without what this kernel lacks of the jail, and say so on stderr
    #[arg(long, requires = "jailed")]
    jail_gaps: bool,
}

impl JailArgs {
    /// Whether to compile in the jail.
    pub(crate) fn jailed(&self) -> bool {
        self.jailed
    }

    fn memory_bytes(&self) -> u64 {
        self.jail_memory.unwrap_or(JAIL_MEMORY_BYTES_DEFAULT)
    }

    /// Whole seconds, as the kernel counts.
    fn cpu_seconds(&self) -> u64 {
        self.jail_cpu.map_or(JAIL_CPU_SECONDS_DEFAULT, |cpu| cpu.as_secs() + u64::from(cpu.subsec_nanos() > 0))
    }
}

/// Compiles in a child, with the options of this command line.
/// If it is to be initialised, that comes later.
pub(crate) fn compile(args: &JailArgs, initialised: bool, wasm: &[u8]) -> Result<Vec<u8>> {
    let verb = [COMPILE_CHILD, PREINIT_LATER];
    run(args, &verb[..1 + usize::from(initialised)], Duration::ZERO, wasm)
}

/// Initialises an artifact in another child, with the options of this command line; it may wait so long.
pub(crate) fn initialise(args: &JailArgs, wait: Duration, artifact: &[u8]) -> Result<Vec<u8>> {
    run(args, &[PREINIT_CHILD], wait, artifact)
}

fn run(args: &JailArgs, verb: &[&str], wait: Duration, input: &[u8]) -> Result<Vec<u8>> {
    let wall = Duration::from_secs(args.cpu_seconds().saturating_mul(JAIL_WALL_FACTOR)).saturating_add(wait);
    let child = Confined::new(THIS, ARTIFACT_BYTES_MAX, wall).args(verb).args(std::env::args_os().skip(2));
    match child.run(input) {
        Ok(answer) => {
            eprint!("{}", answer.said);
            Ok(answer.output)
        }
        Err(error) => Err(explained(args, error)),
    }
}

/// What happened, and what the user can do about it.
fn explained(args: &JailArgs, error: ConfinedError) -> anyhow::Error {
    match error {
        ConfinedError::Memory => {
            let mebibytes = args.memory_bytes() >> 20;
            anyhow!("{error} of the jail, {mebibytes} MiB; --jail-memory raises it, --threads 1 needs less")
        }
        ConfinedError::Cpu => anyhow!("{error} of the jail, {} s; --jail-cpu raises it", args.cpu_seconds()),
        ConfinedError::Wall(_) => {
            anyhow!("{error}, {JAIL_WALL_FACTOR} times the cap on its CPU time; --jail-cpu raises it")
        }
        ConfinedError::Unjailed(why) => anyhow!("{why}\n--jail-gaps goes on without what the kernel lacks"),
        error => error.into(),
    }
}

/// The child that compiles: enters the jail, reads a module from stdin, and answers on stdout.
pub(crate) fn serve(args: &JailArgs, compile: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let jail = Jail::new(args.memory_bytes(), args.cpu_seconds());
    let work = |wasm: &[u8]| {
        compile(wasm).map_err(|error| {
            if let Some(CompileError::Threads(_)) = error.downcast_ref() {
                jail::memory_is_short();
            }
            format!("{error:#}")
        })
    };
    Ok(jail::serve(&jail, args.jail_gaps, WASM_BYTES_MAX, work)?)
}

/// The child that initialises: as the one that compiles, with an artifact as its input, and it may run a guest.
pub(crate) fn serve_guest(args: &JailArgs, initialise: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let jail = Jail::new(args.memory_bytes(), args.cpu_seconds()).run_guests(ARTIFACT_BYTES_MAX as u64);
    let work = |artifact: &[u8]| initialise(artifact).map_err(|error| format!("{error:#}"));
    Ok(jail::serve(&jail, args.jail_gaps, ARTIFACT_BYTES_MAX, work)?)
}

/// Time in which a collector must take a connection.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a broker is told.
#[derive(clap::Args)]
pub(crate) struct BrokerArgs {
    /// Go on without what this kernel lacks of the jail
    #[arg(long)]
    jail_gaps: bool,
}

/// Starts a broker, for a process that will be jailed.
pub(crate) fn start_broker(gaps: bool) -> Result<Broker> {
    let mut command = Command::new(THIS);
    command.arg(BROKER).args(gaps.then_some("--jail-gaps")).stderr(Stdio::inherit());
    Broker::start(command).context("cannot start the process that has modules compiled")
}

/// The broker: has modules compiled in the jail until its client is gone.
pub(crate) fn broker(args: &BrokerArgs) -> Result<ExitCode> {
    let (memory, cpu) = (JAIL_MEMORY_BYTES_DEFAULT, JAIL_CPU_SECONDS_DEFAULT);
    let compiler = Confined::compiler(THIS, memory, cpu, args.jail_gaps.then_some("--jail-gaps"));
    let compiler = compiler.within(COMPILE_TIMEOUT);
    // Compilers inherit it. One that cannot be made nicer is as good.
    let _ = selvedge_native::set_urgency(COMPILER_STRETCH, COMPILER_NICER);
    jail::serve_broker(&compiler, MODULE_BYTES_MAX as usize, BROKER_WORKERS, args.jail_gaps)?;
    Ok(ExitCode::SUCCESS)
}

/// What a dialer is told.
#[derive(clap::Args)]
pub(crate) struct DialerArgs {
    /// Where to connect, HOST:PORT
    address: String,
    /// Go on without what this kernel lacks of the jail
    #[arg(long)]
    jail_gaps: bool,
}

/// Starts what connects to the collector, for a process that will be jailed.
pub(crate) fn start_dialer(address: &str, gaps: bool) -> Result<Dialer> {
    let mut command = Command::new(THIS);
    command.arg(DIALER).args(gaps.then_some("--jail-gaps")).arg("--").arg(address).stderr(Stdio::inherit());
    Dialer::start(command).context("cannot start the process that connects to the collector")
}

/// The dialer: connects to one address until its client is gone.
pub(crate) fn dialer(args: &DialerArgs) -> Result<ExitCode> {
    let (host, port) = args.address.rsplit_once(':').context("the collector's address has no port")?;
    let port = port.parse().context("the collector's port is no number")?;
    // Whoever asks, for whatever: there is one address.
    let connect = |_: &str| jail::connect(host, port, DIAL_TIMEOUT, |_| true);
    jail::serve_dialer(&DialerJail::new(&args.address), args.jail_gaps, connect)?;
    Ok(ExitCode::SUCCESS)
}

/// What the dialer for programs is told.
#[derive(clap::Args)]
pub(crate) struct OutboundArgs {
    /// The configuration, which says where to connect
    config: PathBuf,
    /// Go on without what this kernel lacks of the jail
    #[arg(long)]
    jail_gaps: bool,
}

/// Starts what connects to the servers that programs may ask, for a process that will be jailed.
pub(crate) fn start_outbound_dialer(config: &Path, gaps: bool) -> Result<Dialer> {
    let mut command = Command::new(THIS);
    command.arg(OUTBOUND).args(gaps.then_some("--jail-gaps")).arg("--").arg(config).stderr(Stdio::inherit());
    Dialer::start(command).context("cannot start the process that connects to the servers which programs may ask")
}

/// The dialer for programs: connects to what the configuration lists until its client is gone.
pub(crate) fn outbound_dialer(args: &OutboundArgs) -> Result<ExitCode> {
    let dialing = Dialing::new(&args.config);
    let threads = NonZeroUsize::new(OUTBOUND_DIALS_MAX).context("no thread is to connect")?;
    let jail = DialerJail::to_any_port().threads(threads);
    let jail = grants::directories(&args.config)?.into_iter().fold(jail, DialerJail::read);
    jail::serve_dialer(&jail, args.jail_gaps, |ask| dialing.connect(ask))?;
    Ok(ExitCode::SUCCESS)
}
