//! `selvedge wast`: runs specification test scripts.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_testkit::{layout_name, layouts, wast};

use crate::files;
use crate::options::{Layout, Without};

const SCRIPT_BYTES_MAX: usize = 64 << 20;

/// Run specification test scripts (.wast)
///
/// Each script runs in a fresh store, once per memory layout. For each file one
/// line says whether it passed; if not, the line of the first failure and what
/// happened follow. Scripts of WebAssembly 2.0 call invalid what later proposals
/// allow: run those `--without` them.
#[derive(clap::Args)]
#[command(after_help = "\
Exit code: 0 if all passed, 1 if any failed.

Examples:
  selvedge wast i32.wast
  selvedge wast --memory dense spec/test/core/*.wast
  selvedge wast --without multi-memory memory.wast")]
pub(crate) struct Args {
    /// Only this memory layout; else both
    #[arg(long, value_enum)]
    memory: Option<Layout>,
    /// Tell of every failure, not just the first of each file
    #[arg(long)]
    all: bool,
    /// Check the compiler's intermediate code and register allocation (slow)
    #[arg(long)]
    verify_ir: bool,
    #[command(flatten)]
    without: Without,
    /// Scripts
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let mut failed = 0;
    for file in &args.files {
        if !run(file, args)? {
            failed += 1;
        }
    }
    files::print(&format!("{} passed, {failed} failed\n", args.files.len() - failed))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(args: &Args, memory: MemoryLayout) -> Options {
    let proposals = args.without.proposals();
    Options { memory, proposals, verify_ir: args.verify_ir, threads: Some(1), ..Options::default() }
}

fn run(file: &Path, args: &Args) -> Result<bool> {
    let bytes = files::read(file, SCRIPT_BYTES_MAX)?;
    let source = String::from_utf8(bytes).with_context(|| format!("cannot read {} as text", file.display()))?;
    let chosen = layouts().into_iter().filter(|layout| args.memory.is_none_or(|only| *layout == only.into()));
    let mut told = String::new();
    let (mut passed, mut success) = (0, true);
    for layout in chosen {
        let options = options(args, layout);
        let report = wast::run(&source, &options);
        passed += report.passed;
        success &= report.is_success();
        for failure in report.failures.iter().take(if args.all { usize::MAX } else { 1 }) {
            let place = format!("{}:{}", file.display(), failure.line);
            told += &format!("  {place}: {} ({})\n", failure.message, layout_name(layout));
        }
    }
    let verdict = if success { "passed" } else { "FAILED" };
    files::print(&format!("{verdict}  {} ({passed} directives passed)\n{told}", file.display()))?;
    Ok(success)
}
