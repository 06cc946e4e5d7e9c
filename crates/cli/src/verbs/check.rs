//! `selvedge check`: does an artifact, or what a module compiles to, keep to a policy, and who signed it?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::ArgGroup;
use selvedge_contract::limits::{ARTIFACT_BYTES_MAX, POLICY_BYTES_MAX, WASM_BYTES_MAX};
use selvedge_contract::policy::{Fact, Policy, Signers, Verification, Violation};
use selvedge_contract::signature::{PublicKey, signed_by};

use crate::artifact::Artifact;
use crate::options::{CompileArgs, size};
use crate::progress::Bar;
use crate::{files, load, signatures};

/// Check an artifact or module against a policy, or who signed it
///
/// Lists everything that the policy refuses, each with its line in the policy. A
/// module (.wasm or .wat) is compiled, and the artifact is checked. Nothing of it
/// is loaded or run. Exit code 1 if anything is refused.
///
/// A signature is looked for beside the artifact, under its name with .minisig
/// added; `selvedge sign` and minisign make them. It covers the whole file.
#[derive(clap::Args)]
#[command(group(ArgGroup::new("what").args(["policy", "signer", "print_default"]).required(true).multiple(true)))]
#[command(override_usage = "\
selvedge check [OPTIONS] <FILE> <--policy <FILE>|--signer <KEY>>
       selvedge check --print-default")]
#[command(after_help = "\
Examples:
  selvedge check --print-default > edge.toml    a policy to begin with
  selvedge check app.selv --policy edge.toml
  selvedge check app.wasm --policy edge.toml --json | jq .violations
  selvedge check app.selv --signer release.pub")]
pub(crate) struct Args {
    /// The artifact or module
    #[arg(required_unless_present = "print_default")]
    file: Option<PathBuf>,
    /// The policy: a TOML file
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// It must be signed by this key, a .pub file or its 56 characters; one of
    /// them if given several times
    #[arg(long, value_name = "KEY")]
    signer: Vec<String>,
    /// The signature, if it is not beside the artifact
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print the default policy, with comments
    #[arg(long, exclusive = true)]
    print_default: bool,
    /// Most memory a module may have, if less than it declares
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Compiling")]
    memory_max: Option<u64>,
    #[command(flatten)]
    compile: CompileArgs,
}

/// What was found.
struct Findings {
    /// Each with where its rule is from.
    violations: Vec<(String, Violation)>,
    /// Whether the code was proved, if that was asked for.
    proved: Option<bool>,
    signed_by: Option<PublicKey>,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let Some(file) = args.file.as_deref().filter(|_| !args.print_default) else {
        files::print(Policy::DEFAULT_TOML)?;
        return Ok(ExitCode::SUCCESS);
    };
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    let signers = args.signer.iter().map(|key| signatures::public_key(key)).collect::<Result<Vec<_>>>()?;
    let findings = findings(args, file, policy.as_ref(), &signers)?;
    files::print(&match args.json {
        true => format!("{}\n", json(file, &findings)),
        false => words(file, &findings),
    })?;
    Ok(if findings.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads a policy.
pub(crate) fn read_policy(path: &Path) -> Result<Policy> {
    let bytes = files::read(path, POLICY_BYTES_MAX)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is no UTF-8 text", path.display()))?;
    Ok(Policy::read(&path.display().to_string(), &text)?)
}

fn findings(args: &Args, file: &Path, policy: Option<&Policy>, signers: &[PublicKey]) -> Result<Findings> {
    let bytes = files::read(file, ARTIFACT_BYTES_MAX)?;
    let is_module = !files::is_artifact(&bytes);
    let bytes = if is_module { compile(args, file, &bytes)? } else { bytes };
    let artifact = Artifact::new(bytes).with_context(|| format!("cannot check {}", file.display()))?;
    let mut findings = Findings { violations: Vec::new(), proved: None, signed_by: None };
    let signature = signature(args, file)?;
    if let Some(policy) = policy {
        contract(&artifact, policy, &mut findings);
        if is_module && policy.signers.value != Signers::Any {
            eprintln!("note: a signature is of an artifact: whether one of trust.signers signed it was not checked");
        } else if !is_module {
            let signed = policy.check_signature(&artifact.bytes, signature.as_deref());
            findings.add(policy, signed.err().map(|violations| violations.list));
        }
    }
    if !signers.is_empty() {
        ensure!(!is_module, "{} is a module: signatures are of artifacts; compile and sign it first", file.display());
        match signature.map(|signature| signed_by(&artifact.bytes, &signature, signers)) {
            Some(Ok(key)) => findings.signed_by = Some(key.clone()),
            Some(Err(error)) => findings.violations.push(unsigned(Fact::Signature(error))),
            None => findings.violations.push(unsigned(Fact::Unsigned)),
        }
    }
    Ok(findings)
}

impl Findings {
    fn add(&mut self, policy: &Policy, violations: Option<Vec<Violation>>) {
        let named = violations.into_iter().flatten().map(|violation| (policy.name.clone(), violation));
        self.violations.extend(named);
    }
}

fn compile(args: &Args, file: &Path, wasm: &[u8]) -> Result<Vec<u8>> {
    ensure!(wasm.len() <= WASM_BYTES_MAX, "{} is larger than a module may be", file.display());
    let compiled = selvedge_compiler::compile(wasm, &args.compile.options(args.memory_max), &Bar::new());
    let compiled = compiled.map_err(|error| error.in_file(file));
    compiled.with_context(|| format!("cannot compile {}", file.display()))
}

fn signature(args: &Args, file: &Path) -> Result<Option<String>> {
    match &args.signature {
        Some(path) => signatures::read(path).map(Some),
        None => signatures::beside(file),
    }
}

/// What the contract says, and that the code keeps it.
fn contract(artifact: &Artifact, policy: &Policy, findings: &mut Findings) {
    findings.add(policy, policy.check(artifact.contract()).err().map(|violations| violations.list));
    if policy.verification.value == Verification::Required {
        let proof = selvedge_verifier::verify(&artifact.bytes, &artifact.index, load::threads());
        findings.proved = Some(proof.is_ok());
        let refused = proof.err().and_then(|report| policy.unproved(report.to_string()));
        findings.add(policy, refused.map(|violation| vec![violation]));
    }
}

fn unsigned(fact: Fact) -> (String, Violation) {
    let says = "it must be signed by one of these keys".into();
    ("command line".into(), Violation { key: "--signer", line: None, fact, says })
}

fn place(policy: &str, violation: &Violation) -> String {
    violation.line.map_or_else(|| policy.to_owned(), |line| format!("{policy}:{line}"))
}

fn words(file: &Path, findings: &Findings) -> String {
    let name = file.display();
    let count = findings.violations.len();
    if count == 0 {
        let proved = if findings.proved == Some(true) { ", its machine code proved" } else { "" };
        let signed = findings.signed_by.as_ref().map(|key| format!(", signed by {key}")).unwrap_or_default();
        return format!("{name}: accepted{proved}{signed}\n");
    }
    let mut said = format!("{name}: refused, {count} {}\n", if count == 1 { "violation" } else { "violations" });
    for (policy, violation) in &findings.violations {
        // A refused proof has lines of its own.
        let lines = violation.to_string().replace('\n', "\n    ");
        said += &format!("  {}: {lines}\n", place(policy, violation));
    }
    said
}

fn json(file: &Path, findings: &Findings) -> serde_json::Value {
    let violation = |(policy, violation): &(String, Violation)| {
        serde_json::json!({
            "policy": policy,
            "line": violation.line,
            "key": violation.key,
            "fact": violation.fact.to_string(),
            "says": violation.says,
        })
    };
    serde_json::json!({
        "file": file.display().to_string(),
        "accepted": findings.violations.is_empty(),
        "proved": findings.proved,
        "signed_by": findings.signed_by.as_ref().map(PublicKey::to_string),
        "violations": findings.violations.iter().map(violation).collect::<Vec<_>>(),
    })
}
