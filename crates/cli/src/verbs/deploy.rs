//! `selvedge deploy`: a module, or files, or both, become the version of a site that answers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use clap::ArgGroup;
use selvedge_edge::client::{DeployOrder, Host, Name, Payload, Prefix, Progress, Stage};

use crate::bundle::{Parts, read_module};
use crate::remote::{KnownArgs, RemoteArgs, name};
use crate::{files, signatures};

/// Deploy a module, files, or both to a server
///
/// The server compiles the module, proves the code, lets it answer a first request, keeps
/// it, and only then sends requests to it. If any of this fails, the version
/// before goes on answering.
#[derive(clap::Args)]
#[command(group(ArgGroup::new("what").args(["module", "assets"]).required(true).multiple(true)))]
#[command(after_help = "\
Examples:
  selvedge deploy app.wasm --site hello
  selvedge deploy app.wasm --site hello --host hello.example --host www.hello.example
  selvedge deploy api.wasm --site api --host hello.example --path /api
  selvedge deploy app.wasm --site hello --canary 5
  selvedge deploy app.wasm --assets public --site hello
  selvedge deploy --assets public --site docs
  selvedge deploy app.wasm --site hello --to http://127.0.0.1:8081

What is deployed answers for its hosts:
  curl -H 'Host: hello.localhost' http://127.0.0.1:8080/")]
pub(crate) struct Args {
    /// The module: .wasm or .wat. Or a bundle: .tar, or a directory, with app.wasm,
    /// assets/, files/ and args, of which it needs the first or the second
    module: Option<PathBuf>,
    /// Files that clients get as they are, before the module is asked: /a/b.css is
    /// DIR/a/b.css, and / is DIR/index.html
    #[arg(long, value_name = "DIR")]
    assets: Option<PathBuf>,
    /// Files that the module finds at /, to read
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// Arguments for the module, before those of a request; one each time
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
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
    known: KnownArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

fn host(text: &str) -> Result<Host, selvedge_edge::client::NameError> {
    Host::new(text)
}

fn prefix(text: &str) -> Result<Prefix, selvedge_edge::client::NameError> {
    Prefix::new(text)
}

impl Args {
    /// What is sent, and the module in it.
    fn payload(&self) -> Result<(Payload, Option<PathBuf>)> {
        let Args { module, assets, files, args, .. } = self;
        if let Some(whole) = module.as_deref().filter(|path| is_bundle(path)) {
            ensure!(
                assets.is_none() && files.is_none() && args.is_empty(),
                "{} is a bundle, with files and arguments of its own: leave out --assets, --files and --arg",
                whole.display()
            );
            if !whole.is_dir() {
                let file = File::open(whole).with_context(|| format!("cannot read {}", whole.display()))?;
                return Ok((Payload::Bundle(file), None));
            }
            return packed(Parts::of_directory(whole)?);
        }
        packed(Parts { module: module.clone(), assets: assets.clone(), files: files.clone(), args: args.clone() })
    }
}

fn is_bundle(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|end| end == "tar")
}

fn packed(parts: Parts) -> Result<(Payload, Option<PathBuf>)> {
    let payload = match &parts.module {
        Some(module) if parts.is_module_alone() => Payload::Module(read_module(module)?),
        _ => Payload::Bundle(parts.pack()?),
    };
    Ok((payload, parts.module))
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let (payload, module) = args.payload()?;
    let signature = match (&args.signature, &module) {
        (Some(path), _) => Some(signatures::read(path)?),
        (None, Some(module)) => signatures::beside(module)?,
        (None, None) => None,
    };
    let mut last = None;
    args.remote.run(async |client| {
        let progress = |progress| {
            show(&progress);
            last = Some(progress);
        };
        let (hosts, path) = (args.hosts.clone(), args.path.clone());
        let order = DeployOrder { hosts, path, canary: args.canary, signature };
        Ok(args.known.of(client).deploy_as(&args.site, &order, payload, progress).await?)
    })?;
    match last {
        Some(Progress::Deployed { version, hosts, path, canary, revision: _ }) => {
            let share = canary.map(|percent| format!(" {percent} % of the requests")).unwrap_or_default();
            let hosts: Vec<String> = hosts.iter().map(|host| format!("{host}{path}")).collect();
            files::print(&format!("version {version} of {} answers{share} for {}\n", args.site, hosts.join(", ")))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Progress::Failed { stage, message }) => {
            Err(anyhow!("not deployed, {} failed: {message}\nnothing has changed", called(stage)))
        }
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
        Stage::Unpack => "unpack",
        Stage::Compile => "compile",
        Stage::Verify => "verify",
        Stage::Link => "link",
        Stage::Check => "check",
        Stage::Store => "store",
        Stage::Switch => "switch",
    }
}
