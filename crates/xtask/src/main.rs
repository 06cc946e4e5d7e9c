//! Chores of this repository: `cargo xtask --help`.
//!
//! `tidy` checks what compilers do not (see `tidy.toml`), `guests` and `modules` fetch and build
//! the programs the tests run, `test` does all of it and then the tests; `wasi-testsuite` runs the public
//! tests of the system interface, which are not in this repository.
//!
//! Not part of the product: nothing may depend on this crate.

#![allow(unreachable_pub, reason = "a binary: `pub` means for the other modules")]

mod guests;
mod markdown;
mod modules;
mod mutants;
mod repo;
mod syntax;
mod test;
mod tidy;
mod wasi_testsuite;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Check the house rules of `tidy.toml`; print every breach.
    Tidy {
        /// Also print sizes of files and functions, and where `unsafe` is.
        #[arg(long)]
        stats: bool,
    },
    /// Everything a change must pass: guests, format, clippy, tidy, tests.
    Test {
        /// Leave out toolchains, guests and modules: use what is there.
        #[arg(long)]
        quick: bool,
    },
    /// Install the guests' toolchains and build the guests.
    Guests {
        /// Only these guests.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Fetch the large modules that the tests run.
    Modules {
        /// Only these modules.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Take each check out of the verifier, and see that a test notices.
    Mutants(mutants::Choice),
    /// Run the preview-1 tests of a checkout of WebAssembly/wasi-testsuite.
    WasiTestsuite {
        /// The checkout, of a branch with built tests: `prod/testsuite-base`.
        #[arg(value_name = "DIR")]
        checkout: PathBuf,
    },
}

fn main() -> Result<ExitCode> {
    let passed = match Cli::parse().verb {
        Verb::Tidy { stats } => tidy::run(stats)?,
        Verb::Test { quick } => test::run(quick)?,
        Verb::Guests { only } => guests::build(&only).map(|()| true)?,
        Verb::Modules { only } => modules::fetch(&only).map(|()| true)?,
        Verb::Mutants(choice) => mutants::run(&choice)?,
        Verb::WasiTestsuite { checkout } => wasi_testsuite::run(&checkout)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
