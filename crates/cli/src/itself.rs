//! What this command starts itself as, for other processes and never for people.
//!
//! These verbs are apart from those of [`super::Cli`], so that help does not know them and no typo is answered by one.
//! Their names begin with a mark that no verb of people has.

use std::ffi::OsStr;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use selvedge_native::jail::COMPILE_CHILD;

use crate::{jailed, verbs};

/// What their names begin with.
const MARK: u8 = b'@';

#[derive(Parser)]
#[command(name = "selvedge", disable_help_subcommand = true)]
struct Itself {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// What `compile --jailed` starts: compiles stdin to stdout, in the jail
    #[command(name = COMPILE_CHILD)]
    CompileChild(verbs::compile::ChildArgs),
    /// What a jailed `serve` starts: has modules compiled for it, in the jail
    #[command(name = jailed::BROKER)]
    CompileBroker(jailed::BrokerArgs),
    /// What a jailed `serve` with `[traces]` starts: connects to the collector for it
    #[command(name = jailed::DIALER)]
    CollectorDialer(jailed::DialerArgs),
    /// What a jailed `serve` with a configuration starts: connects to the servers that programs may ask
    #[command(name = jailed::OUTBOUND)]
    OutboundDialer(jailed::OutboundArgs),
    /// What `compile --jailed --preinit` starts: initialises stdin to stdout, in the jail
    #[command(name = jailed::PREINIT_CHILD)]
    PreinitChild(verbs::compile::Args),
}

/// Whether this is what the first argument asks for.
pub(crate) fn is_meant(verb: &OsStr) -> bool {
    verb.as_encoded_bytes().first() == Some(&MARK)
}

/// Reads the command line and does it.
pub(crate) fn main() -> Result<ExitCode> {
    match Itself::parse().verb {
        Verb::CompileChild(args) => verbs::compile::child(&args),
        Verb::CompileBroker(args) => jailed::broker(&args),
        Verb::CollectorDialer(args) => jailed::dialer(&args),
        Verb::OutboundDialer(args) => jailed::outbound_dialer(&args),
        Verb::PreinitChild(args) => verbs::compile::preinit_child(&args),
    }
}
