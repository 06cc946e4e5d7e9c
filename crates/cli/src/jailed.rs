//! Compiling in the jail: this command starts itself again, as a child that has only its input and output.

use std::time::Duration;

use anyhow::{Result, anyhow};
use selvedge_compiler::CompileError;
use selvedge_contract::limits::{
    ARTIFACT_BYTES_MAX, JAIL_CPU_SECONDS_DEFAULT, JAIL_MEMORY_BYTES_DEFAULT, JAIL_WALL_FACTOR, WASM_BYTES_MAX,
};
use selvedge_native::jail::{self, COMPILE_CHILD, Confined, ConfinedError, Jail};

use crate::options::{size, time};

/// This program, also when its file was replaced since it was started.
const THIS: &str = "/proc/self/exe";

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
pub(crate) fn compile(args: &JailArgs, wasm: &[u8]) -> Result<Vec<u8>> {
    let wall = Duration::from_secs(args.cpu_seconds().saturating_mul(JAIL_WALL_FACTOR));
    let child = Confined::new(THIS, ARTIFACT_BYTES_MAX, wall).arg(COMPILE_CHILD).args(std::env::args_os().skip(2));
    match child.run(wasm) {
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

/// The child: enters the jail, reads a module from stdin, and answers on stdout.
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
