//! `selvedge verify`: proves that an artifact's machine code keeps its contract, or says where it does not.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use selvedge_verifier::{Proof, Refusal, Report, verify};

use crate::artifact::Artifact;
use crate::files;

/// Prove that an artifact keeps its contract
///
/// Nothing is believed but the machine code itself: neither who compiled it nor
/// what its tables say. Exit code 1 if it cannot be proved.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge verify app.selv
  selvedge verify app.selv --json | jq .refusals")]
pub(crate) struct Args {
    /// The artifact: .selv
    artifact: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Threads to prove with; one per core if not given
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let artifact = Artifact::read(&args.artifact)?;
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let result = verify(&artifact.bytes, &artifact.index, threads);
    let said = match (&result, args.json) {
        (Ok(proof), false) => format!("proved: {}\n", words(proof, artifact.contract().defined_functions)),
        (Err(report), false) => format!("{report}\n"),
        (Ok(proof), true) => format!("{}\n", proof_json(proof)),
        (Err(report), true) => format!("{}\n", report_json(report)),
    };
    files::print_bytes(said.as_bytes())?;
    Ok(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was proved is more than the module's own functions, which `inspect` counts.
fn words(proof: &Proof, own: u32) -> String {
    let counts = &proof.counts;
    format!(
        "{} functions ({own} of the module, {} for calls into it and out of it), {} bytes of code, {} instructions, \
         {} memory accesses, {} indirect calls\n\
         holds under misprediction: {}",
        proof.functions,
        proof.functions - own as usize,
        proof.code_bytes,
        counts.instructions,
        counts.heap_accesses,
        counts.indirect_calls,
        Proof::UNDER_MISPREDICTION.join(", ")
    )
}

fn proof_json(proof: &Proof) -> serde_json::Value {
    serde_json::json!({
        "proved": true,
        "functions": proof.functions,
        "code_bytes": proof.code_bytes,
        "instructions": proof.counts.instructions,
        "steps": proof.counts.steps,
        "heap_accesses": proof.counts.heap_accesses,
        "indirect_calls": proof.counts.indirect_calls,
        "under_misprediction": Proof::UNDER_MISPREDICTION,
    })
}

fn report_json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "proved": false,
        "functions": report.functions,
        "refused": report.refused,
        "refusals": report.refusals.iter().map(refusal_json).collect::<Vec<_>>(),
    })
}

fn refusal_json(refusal: &Refusal) -> serde_json::Value {
    serde_json::json!({
        "function": refusal.function.map(|function| format!("{function:?}")),
        "name": refusal.name,
        "offset": refusal.offset,
        "instruction": refusal.instruction,
        "before": refusal.before,
        "rule": refusal.rule as u32,
        "says": refusal.rule.text(),
        "detail": refusal.detail,
        "state": refusal.state.lines().collect::<Vec<_>>(),
    })
}
