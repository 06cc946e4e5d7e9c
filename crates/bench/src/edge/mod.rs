//! `bench edge`: the edge server beside a native server and the peer's, on one core, with the load on the other.
//!
//! Each server is a process of its own and pinned to the first core; this process, the generator, to the last. Servers
//! take turns, so that a disturbance of the machine meets all. Requests and answers are the same bytes but for what an
//! id makes different; a C program answers, in a fresh instance for each request.

mod command;
mod in_process;
mod load;
mod machine;
mod noise;
mod process;
mod proxy;
mod saturation;
mod serve;
mod sites;
mod soak;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use selvedge_edge::client::{Client, Host, Name, Payload, Progress};

use crate::programs::{build_wasm, programs_folder};
use crate::report::Report;
pub(crate) use serve::{CompileArgs, ServerArgs, compile, run as serve};

use self::process::{Cores, Server};
use self::serve::Kind;

/// Options of the verb.
#[derive(Args)]
pub(crate) struct Edge {
    /// Print one JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Fewer and shorter runs, and fewer sites: a first look, not a result.
    #[arg(long)]
    quick: bool,
    /// Measure only this: in_process, saturated and latency (together), sites, noise, soak; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The command wasmtime: its verb `serve` is measured, too, beside the peer's library in a server like ours.
    #[arg(long, value_name = "PATH")]
    wasmtime: Option<PathBuf>,
    /// Requests and connections of the soak, which is measured only by its name.
    #[arg(long, value_name = "N")]
    operations: Option<u64>,
    /// Connections that ask at once.
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: usize,
    /// Sites in one process; 1,000 if not given, 50 with `--quick`.
    #[arg(long, value_name = "N")]
    sites: Option<usize>,
}

impl Edge {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// How many runs or seconds.
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Runs the verb.
pub(crate) fn run(options: &Edge) -> Result<()> {
    let cores = Cores::of_this_process()?;
    let mut report = Report::new("The edge server on one core, the load on another", options.json);
    if !cores.are_two() {
        report.note("there is one core: servers and load share it, and nothing here is what it says");
    }
    let bed = Bed::new()?;
    cores.generate()?;
    if options.wants("latency") || options.wants("noise") {
        machine::measure(&mut report, options, &cores)?;
    }
    if options.wants("in_process") {
        in_process::measure(&mut report, options, &bed)?;
    }
    if options.wants("saturated") || options.wants("latency") {
        saturation::measure(&mut report, options, &cores, &bed)?;
    }
    if options.wants("sites") {
        sites::measure(&mut report, options, &cores, &bed)?;
    }
    if options.wants("noise") {
        noise::measure(&mut report, options, &cores, &bed)?;
    }
    if options.only.iter().any(|only| only == "soak") {
        soak::measure(&mut report, options, &cores, &bed)?;
    }
    ensure!(!report.figures().is_empty(), "nothing here has that name");
    report.finish();
    Ok(())
}

/// The guests, and a directory for servers' state.
struct Bed {
    place: tempfile::TempDir,
    hello: PathBuf,
    least: PathBuf,
    noisy: PathBuf,
    soak: PathBuf,
    proxy: PathBuf,
}

impl Bed {
    fn new() -> Result<Bed> {
        let place = tempfile::tempdir()?;
        let core = build_wasm("edge/proxy", &["-O2", "-nostartfiles", "-Wl,--no-entry"])?;
        let proxy = place.path().join("proxy.wasm");
        let component = proxy::component(&std::fs::read(core)?, &programs_folder().join("edge/proxy.wit"))?;
        std::fs::write(&proxy, component)?;
        let program = |name: &str| build_wasm(name, &["-O2"]);
        Ok(Bed {
            place,
            hello: program("edge/hello")?,
            least: program("edge/least")?,
            noisy: program("edge/noisy")?,
            soak: program("edge/soak")?,
            proxy,
        })
    }

    /// Starts a server of our own; its state is kept under a name, `more` is added to its configuration.
    fn ours(&self, cores: &Cores, pinned: bool, name: &str, more: &str) -> Result<Server> {
        Server::start(cores, pinned, Kind::Ours, Some(self.config(name, more)?))
    }

    /// Starts the same with a function in it where the instance is.
    fn ours_natively(&self, cores: &Cores, name: &str) -> Result<Server> {
        Server::start(cores, true, Kind::OursNatively, Some(self.config(name, "")?))
    }

    /// The configuration of a server of our own.
    fn config(&self, name: &str, more: &str) -> Result<PathBuf> {
        let (state, config) = (self.place.path().join(name), self.place.path().join(name).with_extension("toml"));
        let listen = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"";
        std::fs::write(&config, format!("{listen}\nstate = {:?}\n{more}", state.display().to_string()))?;
        Ok(config)
    }
}

/// Deploys a module or bundle as a site, at a host of the same name.
fn deploy(server: &Server, token: Option<&str>, site: &str, payload: impl Into<Payload>) -> Result<()> {
    deploy_to(server.admin.context("the server has an admin API")?, token, site, payload)
}

/// The same, at an admin API.
fn deploy_to(admin: SocketAddr, token: Option<&str>, site: &str, payload: impl Into<Payload>) -> Result<()> {
    let client = Client::new(&format!("http://{admin}"), token.map(str::to_string))?;
    let (name, host) = (Name::new(site)?, Host::new(site)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut last = None;
    runtime.block_on(client.deploy(&name, &[host], payload, |progress| last = Some(progress)))?;
    ensure!(matches!(last, Some(Progress::Deployed { .. })), "the deploy of {site} ended with {last:?}");
    Ok(())
}

/// A bundle of files that clients get, by their paths.
fn files(files: &[(&str, &str)]) -> Result<Payload> {
    let mut archive = tar::Builder::new(tempfile::tempfile()?);
    for (path, contents) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(contents.len() as u64);
        header.set_mode(0o444);
        archive.append_data(&mut header, format!("assets{path}"), contents.as_bytes())?;
    }
    Ok(Payload::Bundle(archive.into_inner()?))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(std::fs::read(path)?)
}
