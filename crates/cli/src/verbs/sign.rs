//! `selvedge sign`: vouches for an artifact.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use minisign::PublicKey;
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;

use crate::artifact::Artifact;
use crate::secrets::{self, PasswordArgs};
use crate::{files, signatures};

/// Sign an artifact
///
/// The signature goes into a file of its own, in minisign's format, so that it
/// covers every byte of the artifact, and minisign can check it too. A server whose
/// policy names signers asks for that of the module that is deployed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge sign app.selv                        app.selv.minisig, by selvedge.key
  selvedge sign app.selv --key keys/release.key
  selvedge sign app.wasm                        to deploy it under a policy
  selvedge check app.selv --signer keys/release.pub
  minisign -V -p keys/release.pub -m app.selv")]
pub(crate) struct Args {
    /// The artifact, or module
    artifact: PathBuf,
    /// The secret key
    #[arg(long, value_name = "FILE", default_value = "selvedge.key")]
    key: PathBuf,
    /// Where to write, if not beside the artifact
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the signature says beside, for people to read; it cannot be changed
    /// later. When and what was signed, if not given
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let name = args.artifact.display();
    let bytes = files::read(&args.artifact, ARTIFACT_BYTES_MAX)?;
    // A module is signed to be deployed. Whoever signs something else has taken the wrong file.
    let bytes = match bytes.starts_with(b"\0asm") {
        true => bytes,
        false => Artifact::new(bytes).with_context(|| format!("cannot sign {name}"))?.bytes,
    };
    let comment = args.comment.clone().unwrap_or_else(|| comment(args));
    ensure!(!comment.contains(['\n', '\r']), "--comment is one line");
    let key = secrets::read(&args.key, &args.password)?;
    let public = PublicKey::from_secret_key(&key)?;
    let untrusted = "signature from selvedge secret key";
    let signature = minisign::sign(Some(&public), &key, bytes.as_slice(), Some(&comment), Some(untrusted));
    let signature = signature.with_context(|| format!("cannot sign {name}"))?;
    let output = args.output.clone().unwrap_or_else(|| signatures::path_beside(&args.artifact));
    files::write(&output, signature.into_string().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// As minisign writes it.
fn comment(args: &Args) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let file = args.artifact.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, "?");
    format!("timestamp:{seconds}\tfile:{file}\thashed")
}
