//! `selvedge compile`: a module into an artifact, or into something to read.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use selvedge_compiler::CompileError;
use selvedge_contract::limits::{PREINIT_SECONDS_DEFAULT, WASM_BYTES_MAX};
use selvedge_preinit::{Allow, PreinitError};
use selvedge_runtime::Module;

use crate::artifact::Artifact;
use crate::jailed::{self, JailArgs};
use crate::options::{CompileArgs, size, time};
use crate::progress::Bar;
use crate::{disassemble, files, load};

/// Compile a module into an artifact
///
/// The input is WebAssembly, binary or text. The output appears whole or not at
/// all. The same input and flags give the same bytes, on any machine, except
/// with `--cpu native`.
///
/// With `--preinit` the module is initialised now, in the sandbox: its start
/// function runs, then `_initialize` if it is exported, then EXPORT. Memories,
/// globals and tables as they are then go into the artifact; what ran is no longer
/// exported, and does not run again. Meanwhile imports are refused, but for those
/// of `--preinit-allow`, which answer without arguments, environment, directories
/// and stdin, with a clock at 1970 and random bytes that are always the same:
/// whatever it draws from them, all its instances share. What it prints appears on
/// stderr.
///
/// With `--jailed` a process of its own compiles, which has no network, no files
/// and no other processes, and the memory and time it is given: for modules from
/// strangers. It needs a kernel with landlock and seccomp. With `--preinit` too,
/// a second such process proves the machine code before it runs it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge compile app.wasm                     writes app.selv
  selvedge compile app.wat -o out/app.selv --memory dense --memory-max 64MiB
  selvedge compile app.wasm -g --cpu x86-64-v3
  selvedge compile runtime.wasm --preinit=wizer.initialize --preinit-allow wasi
  selvedge compile app.wasm --emit asm | less
  selvedge compile --jailed --jail-memory 1GiB --jail-cpu 1m strange.wasm")]
pub(crate) struct Args {
    /// The module: .wasm or .wat
    input: PathBuf,
    /// Where to write; `-` is stdout. By default the artifact goes beside the
    /// input, with the ending .selv, and what people read goes to stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to make: the artifact, the intermediate code, or the machine code
    /// with names, traps and WebAssembly offsets
    #[arg(long, value_enum, default_value_t = Emit::Artifact)]
    emit: Emit,
    /// Most memory it may have, if less than it declares (64MiB, 1GiB, ...)
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Compiling")]
    memory_max: Option<u64>,
    #[command(flatten)]
    compile: CompileArgs,
    #[command(flatten)]
    preinit: PreinitArgs,
    #[command(flatten)]
    jail: JailArgs,
}

/// Whether and how to initialise.
#[derive(clap::Args)]
#[command(next_help_heading = "Initialising in advance")]
struct PreinitArgs {
    /// Initialise the module now, once for all its instances
    #[arg(long, value_name = "EXPORT", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    preinit: Option<String>,
    /// Allow it a function of WASI preview 1 meanwhile (`random_get`), or all of
    /// them (`wasi`); can be given several times
    #[arg(long, value_name = "IMPORT", requires = "preinit")]
    preinit_allow: Vec<String>,
    /// How long that may take (300ms, 2s, 1m, ...); 30s if not given
    #[arg(long, value_name = "TIME", value_parser = time, requires = "preinit")]
    preinit_timeout: Option<Duration>,
}

/// What the child that compiles is told.
#[derive(clap::Args)]
pub(crate) struct ChildArgs {
    /// Another process initialises it
    #[arg(long, requires = "preinit")]
    preinit_later: bool,
    #[command(flatten)]
    args: Args,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Emit {
    Artifact,
    Clif,
    Asm,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let wasm = read_module(&args.input)?;
    let output = output(args)?;
    let made = match args.jail.jailed() {
        true => jailed(args, &wasm),
        false => emit(args, &wasm),
    };
    let made = made.with_context(|| format!("cannot compile {}", args.input.display()))?;
    match output {
        Some(path) => files::write(&path, &made)?,
        None => files::print_bytes(&made)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Compiles in one jailed process, and initialises in another, which believes nothing of what the first made.
fn jailed(args: &Args, wasm: &[u8]) -> Result<Vec<u8>> {
    let preinit = preinit(args)?;
    let artifact = jailed::compile(&args.jail, preinit.is_some(), wasm)?;
    match preinit {
        Some(preinit) => jailed::initialise(&args.jail, preinit.timeout, &artifact),
        None => Ok(artifact),
    }
}

/// Runs the verb that `--jailed` starts.
pub(crate) fn child(ChildArgs { preinit_later, args }: &ChildArgs) -> Result<ExitCode> {
    let ignored = args.preinit.preinit.is_some() && !preinit_later;
    ensure!(!ignored, "--preinit runs the module: not in the process that compiles");
    jailed::serve(&args.jail, |wasm| compile(args, wasm))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the verb that `--jailed --preinit` starts then.
pub(crate) fn preinit_child(args: &Args) -> Result<ExitCode> {
    let preinit = preinit(args)?.context("there is nothing to initialise without --preinit")?;
    jailed::serve_guest(&args.jail, |artifact| initialise(&load::proved(artifact)?, &preinit))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a module; an artifact in its place is the user's slip.
pub(crate) fn read_module(path: &Path) -> Result<Vec<u8>> {
    let wasm = files::read(path, WASM_BYTES_MAX)?;
    let name = path.display();
    ensure!(!files::is_our_artifact(&wasm), "{name} is compiled already; run it with `selvedge run {name}`");
    Ok(wasm)
}

/// Where to write; `None` is stdout.
fn output(args: &Args) -> Result<Option<PathBuf>> {
    let path = match &args.output {
        Some(path) if path.as_os_str() == "-" => return Ok(None),
        Some(path) => path.clone(),
        None if args.emit == Emit::Artifact => args.input.with_extension("selv"),
        None => return Ok(None),
    };
    let same = path.canonicalize().is_ok_and(|path| args.input.canonicalize().is_ok_and(|input| input == path));
    ensure!(!same, "the output {} is the input; name another with -o", path.display());
    Ok(Some(path))
}

fn emit(args: &Args, wasm: &[u8]) -> Result<Vec<u8>> {
    let preinit = preinit(args)?;
    let made = compile(args, wasm)?;
    match preinit {
        Some(preinit) => initialise(&load::compiled(&made)?, &preinit),
        None => Ok(made),
    }
}

fn compile(args: &Args, wasm: &[u8]) -> Result<Vec<u8>> {
    let options = args.compile.options(args.memory_max);
    // What is compiled for a server comes without a file.
    let named = |error: CompileError| if args.input.as_os_str() == "-" { error } else { error.in_file(&args.input) };
    let artifact = || selvedge_compiler::compile(wasm, &options, &Bar::new()).map_err(named);
    Ok(match args.emit {
        Emit::Artifact => artifact()?,
        Emit::Clif => selvedge_compiler::clif(wasm, &options).map_err(named)?.into_bytes(),
        Emit::Asm => disassemble::all(&Artifact::new(artifact()?)?).into_bytes(),
    })
}

/// What is to be initialised, if it is asked for and makes sense.
fn preinit(args: &Args) -> Result<Option<selvedge_preinit::Options>> {
    let preinit = args.preinit.options()?;
    ensure!(preinit.is_none() || args.emit == Emit::Artifact, "--preinit changes no code; leave it out with --emit");
    Ok(preinit)
}

impl PreinitArgs {
    fn options(&self) -> Result<Option<selvedge_preinit::Options>> {
        let Some(export) = &self.preinit else { return Ok(None) };
        let mut allow = Allow::default();
        self.preinit_allow.iter().try_for_each(|name| allow.add(name)).context("--preinit-allow")?;
        let timeout = self.preinit_timeout.unwrap_or(Duration::from_secs(PREINIT_SECONDS_DEFAULT));
        let export = Some(export.clone()).filter(|export| !export.is_empty());
        Ok(Some(selvedge_preinit::Options { export, allow, timeout, ..Default::default() }))
    }
}

/// Initialises a module; shows what it printed, whatever came of it.
fn initialise(module: &Module, options: &selvedge_preinit::Options) -> Result<Vec<u8>> {
    let made = selvedge_preinit::initialise(module, options);
    std::io::stderr().write_all(&options.output.take()).context("cannot write to stderr")?;
    made.map_err(|error| match error {
        PreinitError::ImportCalled { .. } => anyhow::anyhow!("{error}").context("--preinit-allow says what it may use"),
        PreinitError::Timeout { .. } => {
            anyhow::anyhow!("{error}").context("--preinit-timeout says how long it may take")
        }
        error => error.into(),
    })
    .context("cannot initialise it (--preinit)")
}
