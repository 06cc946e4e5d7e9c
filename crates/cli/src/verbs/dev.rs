//! `selvedge dev`: a project is built and served; whenever it changes, anew.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use selvedge_contract::limits::WASM_BYTES_MAX;
use selvedge_edge::client::{Client, Host, Payload, Progress};
use selvedge_edge::{Compile, CompileCommand, Config, Destination, EdgeError, signals};

use crate::files;
use crate::project::watch::{LOOK_EVERY, Sources};
use crate::project::{FILE, Project, build, templates};

/// Build and serve a project, again whenever it changes
///
/// The project is a directory with a `selvedge.toml`, which `selvedge new` writes.
/// Requests and what the service writes to stderr are shown here. When a build
/// fails, the version before goes on answering. Nothing is kept when this ends.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge dev
  selvedge dev ../shop --port 9000
  selvedge dev --outbound https://api.example.com")]
pub(crate) struct Args {
    /// The project's directory
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Where it answers, on this machine alone; 0 for any that is free
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// A server that the service may ask; once for each
    #[arg(long, value_name = "URL")]
    outbound: Vec<Destination>,
}

/// What threads that wait for a disk or a compiler have time for at the end.
const AFTERWARDS_MAX: Duration = Duration::from_secs(1);

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    // What cannot be right is said before anything is started.
    Project::read(&args.directory)?;
    signals::block().context("cannot block signals")?;
    let mut asked = signals::listen().context("cannot wait for signals")?;
    let this = std::env::current_exe().context("cannot find this command, which compiles")?;
    // One's own code needs no jail, but lines in its backtraces.
    let compiler = Arc::new(CompileCommand::new(this, ["compile", "-g"]));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = develop(args, compiler.clone()) => ended,
            () = signals::stop(&mut asked) => Ok(()),
        }
    });
    // It may be at work for long, and nobody waits for it.
    compiler.give_up();
    runtime.shutdown_timeout(AFTERWARDS_MAX);
    ended.map(|()| ExitCode::SUCCESS)
}

/// Serves until it is dropped.
async fn develop(args: &Args, compiler: Arc<CompileCommand>) -> Result<()> {
    let state = tempfile::tempdir().context("cannot make a directory for the server's state")?;
    let mut config = Config::default();
    config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    config.admin = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.state = state.path().to_owned();
    config.access_log = true;
    config.outbound = args.outbound.iter().cloned().map(Destination::at_any_address).collect();
    let server = selvedge_edge::start(config, compiler).await.map_err(unstarted)?;
    let url = format!("http://{}", server.listen());
    let client = Client::new(&format!("http://{}", server.admin()), None)?;
    let mut sources = Sources::of(&args.directory);
    let mut answers = false;
    loop {
        let began = Instant::now();
        match renew(&args.directory, &client).await {
            Ok(()) => {
                eprintln!("ready after {:.1} s: {url}/", began.elapsed().as_secs_f64());
                answers = true;
            }
            Err(error) => {
                eprintln!("error: {}", crate::told(&error).join(": "));
                if let Some(missing) = missing(&args.directory) {
                    eprintln!("to build it, this is missing here: {missing}");
                }
                match answers {
                    true => eprintln!("what was built before goes on answering at {url}/"),
                    false => eprintln!("nothing answers at {url}/ yet"),
                }
            }
        }
        settled_change(&mut sources).await;
        eprintln!("--- changed");
    }
}

/// Why there is no server. Where it listens, here an option says, and no configuration.
fn unstarted(error: EdgeError) -> anyhow::Error {
    match error {
        EdgeError::Listen { address, source, .. } => anyhow!(
            "cannot listen on {address}: {source}; choose another port with --port, or any that is free with --port 0"
        ),
        error => error.into(),
    }
}

/// Builds and deploys.
async fn renew(directory: &Path, client: &Client) -> Result<()> {
    let project = Project::read(directory)?;
    build::run(directory, &project.build).await?;
    let parts = project.parts(directory);
    let path = directory.join(&project.module);
    let module = files::read(&path, WASM_BYTES_MAX).with_context(|| format!("{FILE} names no module that is there"))?;
    let payload = if parts.is_module_alone() { Payload::Module(module) } else { Payload::Bundle(parts.pack()?) };
    let named = format!("{}.localhost", project.site);
    let hosts = [&named, "localhost", "127.0.0.1"].map(Host::new).into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut last = None;
    client.deploy(&project.site, &hosts, payload, |progress| last = Some(progress)).await?;
    match last {
        Some(Progress::Deployed { .. }) => Ok(()),
        Some(Progress::Failed { message, .. }) => bail!("{message}"),
        _ => bail!("the server did not end the deploy"),
    }
}

/// What a project that cannot be built may lack here.
fn missing(directory: &Path) -> Option<String> {
    let project = Project::read(directory).ok()?;
    templates::missing(directory, project.site.as_str(), &project.build)
}

/// Waits for a change, and for the writing to be over.
async fn settled_change(sources: &mut Sources) {
    let mut changed = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match sources.look() {
            true => changed = true,
            false if changed => return,
            false => {}
        }
    }
}
