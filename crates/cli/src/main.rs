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
#[cfg(test)]
mod documents;
mod files;
mod grants;
mod itself;
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

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use selvedge_native::jail::Allocator;

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
    let outcome = match std::env::args_os().nth(1) {
        Some(verb) if itself::is_meant(&verb) => itself::main(),
        _ => run(&Cli::parse_from(line(std::env::args_os().collect())).verb),
    };
    outcome.unwrap_or_else(|error| {
        report(&error);
        ExitCode::FAILURE
    })
}

/// The command line. After `help` all are names of verbs, but people ask it for `--help`, as they ask every verb.
fn line(words: Vec<OsString>) -> Vec<OsString> {
    match words.get(1).is_some_and(|verb| verb == "help") {
        true => words.into_iter().filter(|word| word != "--help" && word != "-h").collect(),
        false => words,
    }
}

fn run(verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Compile(args) => verbs::compile::main(args),
        Verb::Run(args) => verbs::run::main(args),
        Verb::Inspect(args) => verbs::inspect::main(args),
        Verb::Verify(args) => verbs::verify::main(args),
        Verb::Check(args) => verbs::check::main(args),
        Verb::Key(args) => verbs::key::main(args),
        Verb::Sign(args) => verbs::sign::main(args),
        Verb::Wast(args) => verbs::wast::main(args),
        Verb::New(args) => verbs::new::main(args),
        Verb::Dev(args) => verbs::dev::main(args),
        Verb::Serve(args) => verbs::serve::main(args),
        Verb::Deploy(args) => verbs::deploy::main(args),
        Verb::Versions(args) => verbs::versions::main(args),
        Verb::Rollback(args) => verbs::rollback::main(args),
        Verb::Canary(args) => verbs::canary::main(args),
        Verb::Sites(args) => verbs::sites::main(args),
        Verb::Logs(args) => verbs::logs::main(args),
        Verb::Top(args) => verbs::top::main(args),
    }
}

/// An error and what led to it, one a line.
fn report(error: &anyhow::Error) {
    eprintln!("error: {}", told(error).join("\n  because: "));
}

/// An error and what led to it; causes that only repeat what was said are left out.
fn told(error: &anyhow::Error) -> Vec<String> {
    let mut told = vec![error.to_string()];
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.last().is_some_and(|said| said.contains(&cause)) {
            told.push(cause);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_says_itself_is_not_said_again() {
        let missing = selvedge_edge::Config::read("nowhere/edge.toml".as_ref()).unwrap_err();
        let told = told(&anyhow::Error::from(missing).context("cannot start"));
        assert_eq!(told, ["cannot start", "cannot read nowhere/edge.toml: No such file or directory (os error 2)"]);
    }
}
