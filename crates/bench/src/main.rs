//! Selvedge's speed in numbers, beside its peer's (the newest Wasmtime) and the machine's own.
//!
//! One verb per question; every verb prints a table for people or, with `--json`, one object a line.
//! Nothing here is part of the product: this member alone may depend on another engine.

mod call;
mod ceiling;
mod code;
mod compile;
mod density;
mod edge;
mod engine;
mod instances;
mod interruption;
mod javascript;
mod load;
mod measure;
mod modules;
mod ours;
mod peer;
mod programs;
mod report;
mod slots;
mod snapshot;
mod switching;
mod verify;
mod wasi;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use engine::{Contestant, Settings};

/// Measures Selvedge against Wasmtime and native code, in one run, on this machine.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run time of C programs compiled to wasm, against the peer and native.
    Code {
        #[command(flatten)]
        options: Options,
        /// Run metered code, too, and the peer's with its fuel, which counts roughly the same.
        #[arg(long)]
        meter: bool,
    },
    /// Wall time, CPU time and peak memory of compiling modules of several sizes.
    Compile(Options),
    /// Cost of calls: host to guest, guest to host, indirect.
    Call(Options),
    /// Time to load a trusted artifact of 25 MB from disk.
    Load(Options),
    /// Machine code proved a second, on one thread and on all; beside it, the peer compiling the module.
    Verify(Options),
    /// Cost of system calls: clocks, writing, opening, reading, listing.
    Wasi(Options),
    /// Cost of a fresh instance: made, called, dropped; on two threads; in rotation; suspended and resumed; and of
    /// interruption: how soon, at what cost to running code, and stopped and resumed.
    Instances(Options),
    /// As many instances as there can be, alive and waiting: memory and time for each.
    Density(density::Density),
    /// Cycles of one case, as a child of `instances`.
    #[command(hide = true)]
    Cycles(ceiling::CyclesArgs),
    /// The edge server: requests a second and CPU time for each, beside a native server and the peer's; what clients
    /// wait; a thousand sites; a tenant that means no good.
    Edge(edge::Edge),
    /// One of the servers that `edge` compares, as a child of it.
    #[command(hide = true)]
    EdgeServer(edge::ServerArgs),
    /// Compiles a module for it.
    #[command(hide = true)]
    EdgeCompile(edge::CompileArgs),
    /// Compiles one module once and prints what it cost: what `compile` starts as a child.
    #[command(hide = true)]
    CompileOnce {
        engine: Contestant,
        module: PathBuf,
        #[command(flatten)]
        settings: Settings,
    },
}

/// What every verb understands.
#[derive(Args)]
pub(crate) struct Options {
    /// Print one JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Fewer runs: a first look, not a result.
    #[arg(long)]
    quick: bool,
    /// Measure only what has this name; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    #[command(flatten)]
    settings: Settings,
}

impl Options {
    /// Whether `--only` lets this name through.
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// How many runs: `full`, or `quick` when asked for a first look.
    fn runs(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Code { options, meter } => code::run(options, *meter),
        Verb::Compile(options) => compile::run(options),
        Verb::Call(options) => call::run(options),
        Verb::Load(options) => load::run(options),
        Verb::Verify(options) => verify::run(options),
        Verb::Wasi(options) => wasi::run(options),
        Verb::Instances(options) => instances::run(options),
        Verb::Density(options) => density::run(options),
        Verb::Cycles(args) => ceiling::serve(args),
        Verb::Edge(options) => edge::run(options),
        Verb::EdgeServer(args) => edge::serve(args),
        Verb::EdgeCompile(args) => edge::compile(args),
        Verb::CompileOnce { engine, module, settings } => compile::once(*engine, module, *settings),
    }
}
