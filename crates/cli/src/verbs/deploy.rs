//! `selvedge deploy`: a module becomes the version of a site that answers.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, ensure};
use selvedge_contract::limits::WASM_BYTES_MAX;
use selvedge_edge::client::{DeployOrder, Host, Name, Prefix, Progress, Stage};

use crate::remote::{RemoteArgs, name};
use crate::{files, signatures};

/// Deploy a module to a server
///
/// The server compiles it, proves the code, lets it answer a first request, keeps
/// it, and only then sends requests to it. If any of this fails, the version
/// before goes on answering.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge deploy app.wasm --site hello
  selvedge deploy app.wasm --site hello --host hello.example --host www.hello.example
  selvedge deploy api.wasm --site api --host hello.example --path /api
  selvedge deploy app.wasm --site hello --canary 5
  selvedge deploy app.wasm --site hello --to http://127.0.0.1:8081

What is deployed answers for its hosts:
  curl -H 'Host: hello.localhost' http://127.0.0.1:8080/")]
pub(crate) struct Args {
    /// The module: .wasm or .wat
    module: PathBuf,
    /// The site; it is made if there is none of this name
    #[arg(long, value_parser = name)]
    site: Name,
    /// Where it answers; can be given several times. Those of the version before
    /// if not given, and SITE.localhost for a new site
    #[arg(long = "host", value_parser = host)]
    hosts: Vec<Host>,
    /// For which paths: those below this one. The program sees it as SCRIPT_NAME, and
    /// the rest as PATH_INFO. As before if not given, and all for a new site
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    path: Option<Prefix>,
    /// Answer only so many of a hundred requests; `selvedge canary` goes on from there
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    canary: Option<u8>,
    /// The module's signature, for servers whose policy names signers; MODULE.minisig
    /// if not given, and if it is there
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    remote: RemoteArgs,
}

fn host(text: &str) -> Result<Host, selvedge_edge::client::NameError> {
    Host::new(text)
}

fn prefix(text: &str) -> Result<Prefix, selvedge_edge::client::NameError> {
    Prefix::new(text)
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let module = files::read(&args.module, WASM_BYTES_MAX)?;
    let signature = match &args.signature {
        Some(path) => Some(signatures::read(path)?),
        None => signatures::beside(&args.module)?,
    };
    let mut last = None;
    args.remote.run(async |client| {
        let progress = |progress| {
            show(&progress);
            last = Some(progress);
        };
        let (hosts, path) = (args.hosts.clone(), args.path.clone());
        let order = DeployOrder { hosts, path, canary: args.canary, signature };
        Ok(client.deploy_as(&args.site, &order, module, progress).await?)
    })?;
    match last {
        Some(Progress::Deployed { version, hosts, path, canary }) => {
            let share = canary.map(|percent| format!(" {percent} % of the requests")).unwrap_or_default();
            let hosts: Vec<String> = hosts.iter().map(|host| format!("{host}{path}")).collect();
            files::print(&format!("version {version} of {} answers{share} for {}\n", args.site, hosts.join(", ")))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Progress::Failed { stage, message }) => Err(anyhow!(
            "not deployed, {} failed: {message}\nwhat was deployed before goes on answering",
            called(stage)
        )),
        _ => {
            ensure!(last.is_some(), "the server said nothing");
            Err(anyhow!("the server went away; `selvedge versions {}` says what is deployed", args.site))
        }
    }
}

fn show(progress: &Progress) {
    if let Progress::Passed { stage, micros } = progress {
        eprintln!("{:<8} {:>9.1} ms", called(*stage), *micros as f64 / 1_000.0);
    }
}

fn called(stage: Stage) -> &'static str {
    match stage {
        Stage::Upload => "upload",
        Stage::Compile => "compile",
        Stage::Verify => "verify",
        Stage::Link => "link",
        Stage::Check => "check",
        Stage::Store => "store",
        Stage::Switch => "switch",
    }
}
