//! The `selvedge` command: one file per verb in `verbs/`.
//!
//! Everything here is about the command line: reading it, saying what happened, exit codes. What it does
//! lives in the crates below it. Errors say what, where and what to do, on stderr; exit code 1, or 2 for a
//! mistake on the command line itself.
#![deny(unsafe_code)]

mod artifact;
mod bundle;
mod cache;
mod disassemble;
mod files;
mod grants;
mod jailed;
mod load;
mod options;
mod progress;
mod project;
mod remote;
mod secrets;
mod signatures;
mod values;
mod verbs;
mod watchdog;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use selvedge_native::jail::{Allocator, COMPILE_CHILD};

/// The system's; in the jail, memory that runs short is told apart from a crash.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Compiles WebAssembly ahead of time, runs it and serves it.
#[derive(Parser)]
#[command(name = "selvedge", version, max_term_width = 80, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "`selvedge help VERB` explains a verb, with examples.")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Compile(verbs::compile::Args),
    /// What `compile --jailed` starts: compiles stdin to stdout, in the jail
    #[command(name = COMPILE_CHILD, hide = true)]
    CompileChild(verbs::compile::Args),
    /// What a jailed `serve` starts: has modules compiled for it, in the jail
    #[command(name = jailed::BROKER, hide = true)]
    CompileBroker(jailed::BrokerArgs),
    /// What a jailed `serve` with `[traces]` starts: connects to the collector for it
    #[command(name = jailed::DIALER, hide = true)]
    CollectorDialer(jailed::DialerArgs),
    /// What `compile --jailed --preinit` starts: initialises stdin to stdout, in the jail
    #[command(name = jailed::PREINIT_CHILD, hide = true)]
    PreinitChild(verbs::compile::Args),
    Run(verbs::run::Args),
    Inspect(verbs::inspect::Args),
    Verify(verbs::verify::Args),
    Check(verbs::check::Args),
    Key(verbs::key::Args),
    Sign(verbs::sign::Args),
    Wast(verbs::wast::Args),
    New(verbs::new::Args),
    Dev(verbs::dev::Args),
    Serve(verbs::serve::Args),
    Deploy(verbs::deploy::Args),
    Versions(verbs::versions::Args),
    Rollback(verbs::rollback::Args),
    Canary(verbs::canary::Args),
    Sites(verbs::sites::Args),
    Logs(verbs::logs::Args),
    Top(verbs::top::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Compile(args) => verbs::compile::main(&args),
        Verb::CompileChild(args) => verbs::compile::child(&args),
        Verb::CompileBroker(args) => jailed::broker(&args),
        Verb::CollectorDialer(args) => jailed::dialer(&args),
        Verb::PreinitChild(args) => verbs::compile::preinit_child(&args),
        Verb::Run(args) => verbs::run::main(&args),
        Verb::Inspect(args) => verbs::inspect::main(&args),
        Verb::Verify(args) => verbs::verify::main(&args),
        Verb::Check(args) => verbs::check::main(&args),
        Verb::Key(args) => verbs::key::main(&args),
        Verb::Sign(args) => verbs::sign::main(&args),
        Verb::Wast(args) => verbs::wast::main(&args),
        Verb::New(args) => verbs::new::main(&args),
        Verb::Dev(args) => verbs::dev::main(&args),
        Verb::Serve(args) => verbs::serve::main(&args),
        Verb::Deploy(args) => verbs::deploy::main(&args),
        Verb::Versions(args) => verbs::versions::main(&args),
        Verb::Rollback(args) => verbs::rollback::main(&args),
        Verb::Canary(args) => verbs::canary::main(&args),
        Verb::Sites(args) => verbs::sites::main(&args),
        Verb::Logs(args) => verbs::logs::main(&args),
        Verb::Top(args) => verbs::top::main(&args),
    };
    outcome.unwrap_or_else(|error| {
        report(&error);
        ExitCode::FAILURE
    })
}

/// An error and what led to it, one a line; causes that only repeat what was said are left out.
fn report(error: &anyhow::Error) {
    let mut said = error.to_string();
    eprintln!("error: {said}");
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.contains(&cause) {
            eprintln!("  because: {cause}");
            said = cause;
        }
    }
}
