//! `selvedge compile`: a module into an artifact, or into something to read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use selvedge_contract::limits::WASM_BYTES_MAX;

use crate::artifact::Artifact;
use crate::options::{CompileArgs, size};
use crate::progress::Bar;
use crate::{disassemble, files};

/// Compile a module into an artifact
///
/// The input is WebAssembly, binary or text. The output appears whole or not at
/// all. The same input and flags give the same bytes, on any machine, except
/// with `--cpu native`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge compile app.wasm                     writes app.selv
  selvedge compile app.wat -o out/app.selv --memory dense --memory-max 64MiB
  selvedge compile app.wasm -g --cpu x86-64-v3
  selvedge compile app.wasm --emit asm | less")]
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
    let made = emit(args, &wasm).with_context(|| format!("cannot compile {}", args.input.display()))?;
    match output {
        Some(path) => files::write(&path, &made)?,
        None => files::print_bytes(&made)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a module; an artifact in its place is the user's slip.
pub(crate) fn read_module(path: &Path) -> Result<Vec<u8>> {
    let wasm = files::read(path, WASM_BYTES_MAX)?;
    let name = path.display();
    ensure!(!files::is_artifact(&wasm), "{name} is compiled already; run it with `selvedge run {name}`");
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
    let options = args.compile.options(args.memory_max);
    Ok(match args.emit {
        Emit::Artifact => selvedge_compiler::compile(wasm, &options, &Bar::new())?,
        Emit::Clif => selvedge_compiler::clif(wasm, &options)?.into_bytes(),
        Emit::Asm => {
            let artifact = Artifact::new(selvedge_compiler::compile(wasm, &options, &Bar::new())?)?;
            disassemble::all(&artifact).into_bytes()
        }
    })
}
