//! `selvedge serve`: the edge server, with this command as its compiler.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use selvedge_edge::signals::{self, Asked};
use selvedge_edge::{Compile, CompileBroker, CompileCommand, Config, LogFormat, Prepared, Server};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::grants::Grants;
use crate::jailed;

use crate::files;

/// Serve sites: a fresh instance of a program for every request
///
/// A program is a module with stdin and stdout (WASI preview 1) that answers
/// requests as a CGI/1.1 script does: it prints header lines, an empty line and
/// the body. `selvedge deploy` sends programs to the admin address. Without
/// tokens in the configuration that address must be a loopback address, and takes
/// orders from programs on this machine.
///
/// SIGTERM lets requests under way end, a second one does not; SIGHUP, or a change of the configuration
/// file or a certificate, takes over tenants, limits and certificates.
///
/// Before it lets anybody in, the server jails itself: it keeps its addresses,
/// reads the directories in which configuration, policies and certificates are,
/// writes the state, and opens nothing else, starts nothing and connects to
/// nothing. Processes that have nothing at all compile modules; others connect, one
/// to the collector of traces alone, one to the servers that the configuration lets
/// programs ask (`outbound`). Secrets that the
/// server does not need belong in another directory than its configuration.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge serve
  selvedge serve --listen 0.0.0.0:80 --state /var/lib/selvedge
  selvedge serve edge.toml

A configuration, every key with its default; relative paths begin at its
directory, those of options here where the command is started:
  listen = \"127.0.0.1:8080\"
  admin = \"127.0.0.1:8081\"
  state = \"selvedge-state\"
  slots = 1000                 # instances at once
  access_log = false           # each request on stderr
  log_format = \"text\"          # or json, an object each line
  policy = \"policy.toml\"       # what modules may ask for; any if not given
  outbound = [                 # servers that programs may ask; else none
    \"https://api.example.com\", \"https://*.example.org\",
    { url = \"http://db.internal:5984\", private = true }, # in a private network
  ]
  outbound_ca = \"ca.pem\"       # for https; this machine's if not given
  tokens = [                   # of operators, who look at all tenants
    { hash = \"sha256:...\", may = \"metrics\" },
  ]                            # may: metrics, or read: logs, too
  [tls]                        # no TLS if not given
  listen = \"0.0.0.0:8443\"
  admin = false                # true: operators by TLS, too
  certificates = [{ certificate = \"a.pem\", key = \"a.key\" }]
  [traces]                     # no traces if not given
  endpoint = \"http://127.0.0.1:4318/v1/traces\"
  service = \"selvedge\"
  share = 1.0                  # of requests in no trace yet
  ca = \"ca.pem\"                # for https; this machine's if not given
  [limits]                     # of a request:
  memory = \"128MiB\"
  wall = \"30s\"
  cpu = \"10s\"
  request_body = \"64MiB\"
  response_body = \"1GiB\"
  log = \"64KiB\"
  instances = 100              # of a tenant's requests together:
  queue = 100
  requests_per_second = 1000   # no limit if not given
  sites = 100                  # of what it keeps:
  storage = \"10GiB\"
  [tenants.acme]               # without tenants no tokens are asked for
  tokens = [
    \"sha256:...\",              # printf %s TOKEN | sha256sum
    { hash = \"sha256:...\", may = \"read\", sites = [\"hello\"] },
  ]                            # may: metrics, read or deploy, which it is
                               # if not given; sites: all
  hosts = [                    # of its sites, and no other tenant's;
    \"acme.example\", \"*.acme.example\", # all below it
  ]                            # what nobody lists if not given
  weight = 2                   # share of the processors; 1 if not given
  policy = \"acme.toml\"         # instead of the one above
  outbound = []                # instead of the list above
  limits = { wall = \"5s\" }")]
pub(crate) struct Args {
    /// A configuration in TOML; options here come first
    config: Option<PathBuf>,
    /// Where clients connect; 127.0.0.1:8080 if not given
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where operators connect; 127.0.0.1:8081 if not given
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,
    /// Where sites are kept; if not given, selvedge-state beside the configuration,
    /// or here if there is none
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print a line on stderr for each request
    #[arg(long)]
    access_log: bool,
    /// Print the JSON schema of the configuration, and do nothing else
    #[arg(long)]
    print_schema: bool,
    /// Jail neither the server nor compilers: for kernels without landlock and
    /// seccomp, and modules and clients you trust
    #[arg(long)]
    unjailed: bool,
    /// Go on without what this kernel lacks of the jail, and say so on stderr
    #[arg(long, conflicts_with = "unjailed")]
    jail_gaps: bool,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an address with a port like 127.0.0.1:8080 or [::]:8080")
}

/// How often the configuration file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What threads that wait for a disk have time for once the server has stopped: to end what they have begun.
const AFTERWARDS_MAX: Duration = Duration::from_secs(1);

/// When each of the files was changed that the configuration is read from.
type Changed = Vec<Option<SystemTime>>;

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

impl Args {
    /// The configuration: the file's, and what stands on the command line.
    fn config(&self) -> Result<Config> {
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
        config.listen = self.listen.unwrap_or(config.listen);
        config.admin = self.admin.unwrap_or(config.admin);
        config.state = self.state.clone().unwrap_or(config.state);
        config.access_log |= self.access_log;
        config.check()?;
        Ok(config)
    }

    /// The configuration, and what [`Args::changed`] said before it was read: what is changed meanwhile is read again.
    fn read(&self) -> Result<(Config, Changed)> {
        let mut seen: Changed = self.config.iter().map(|path| changed(path)).collect();
        let config = self.config()?;
        // What it names is read later.
        seen.extend(config.files().map(changed));
        Ok((config, seen))
    }

    /// This command, as a compiler in other processes.
    fn compiler(&self) -> Result<Arc<dyn Compile>> {
        if !self.unjailed {
            return Ok(Arc::new(CompileBroker::new(jailed::start_broker(self.jail_gaps)?)));
        }
        let this = std::env::current_exe().context("cannot find this command, which compiles")?;
        Ok(Arc::new(CompileCommand::new(this, ["compile"])))
    }

    /// The server, with processes that connect to its collector and for its programs if it is to be jailed.
    fn connected(&self, prepared: Prepared) -> Result<Prepared> {
        let collector = prepared.collector().filter(|_| !self.unjailed);
        let dialer = collector.map(|address| jailed::start_dialer(&address, self.jail_gaps)).transpose()?;
        let prepared = match dialer {
            Some(dialer) => prepared.dial_by(dialer),
            None => prepared,
        };
        // Without a file nobody can ever list a server.
        let config = self.config.as_ref().filter(|_| !self.unjailed);
        let dialer = config.map(|config| jailed::start_outbound_dialer(config, self.jail_gaps)).transpose()?;
        Ok(match dialer {
            Some(dialer) => prepared.dial_outbound_by(dialer),
            None => prepared,
        })
    }

    /// What the server may open from now on, if it is to be jailed.
    fn grants(&self, config: &Config, collector: Option<String>) -> Result<Option<Grants>> {
        if self.unjailed {
            return Ok(None);
        }
        let files = self.config.iter().map(PathBuf::as_path).chain(config.files());
        let collector = collector.map(|address| format!("the collector at {address}"));
        let listed = self.config.iter().map(|_| "what `outbound` lists".to_string());
        let grants = Grants::new(files, &config.state, collector.into_iter().chain(listed).collect())?;
        self.config.iter().try_for_each(|config| grants.keep_apart(config))?;
        Ok(Some(grants))
    }

    fn changed(&self, config: &Config) -> Changed {
        self.config.iter().map(PathBuf::as_path).chain(config.files()).map(changed).collect()
    }
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if args.print_schema {
        files::print(&selvedge_edge::schema::schema())?;
        return Ok(ExitCode::SUCCESS);
    }
    let (config, seen) = args.read()?;
    let log = Log(config.log_format);
    serve(args, (config, seen), log).or_else(|error| log.failed(error))
}

fn serve(args: &Args, (config, seen): (Config, Changed), log: Log) -> Result<ExitCode> {
    // All this comes before there are other threads.
    signals::block().context("cannot block signals")?;
    let compiler = args.compiler()?;
    let prepared = args.connected(prepare(&config)?)?;
    let grants = args.grants(&config, prepared.collector())?;
    if let Some(grants) = &grants {
        grants.enter(args.jail_gaps, |warning| log.say(warning))?;
    }
    let executor = prepared.executor()?;
    let served = executor.block_on(async {
        let server = prepared.start(compiler.clone()).await?;
        greet(&server, grants.as_ref(), log);
        let mut asked = signals::listen().context("cannot wait for signals")?;
        until_stopped(args, &server, (config, seen), grants.as_ref(), &mut asked, log).await;
        stop(server, &mut asked, log).await;
        Ok(ExitCode::SUCCESS)
    });
    // A module may be compiled for minutes, and nobody will run it.
    compiler.give_up();
    executor.shutdown_timeout(AFTERWARDS_MAX);
    served
}

/// Lets requests under way end, or gives them up if asked again.
async fn stop(server: Server, asked: &mut UnboundedReceiver<Asked>, log: Log) {
    log.say("stopping: requests under way may end");
    tokio::select! {
        given_up = server.stop() => {
            if given_up > 0 {
                log.say(format!("{given_up} requests did not end in time and were given up"));
            }
        }
        () = signals::stop(asked) => log.say("stopped at once, as a second signal asks"),
    }
}

/// Opens what the server needs, on this thread.
fn prepare(config: &Config) -> Result<Prepared> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("cannot wait for sockets")?.block_on(selvedge_edge::prepare(config.clone()))?)
}

/// What this command says beside the server, in the format of the server's log.
#[derive(Clone, Copy)]
struct Log(LogFormat);

impl Log {
    fn say(self, message: impl Into<String>) {
        eprintln!("{}", self.0.remark(message.into()));
    }

    /// An error that ends the command. For people it is told as those of other verbs.
    fn failed(self, error: anyhow::Error) -> Result<ExitCode> {
        match self.0 {
            LogFormat::Text => Err(error),
            LogFormat::Json => {
                self.say(format!("error: {}", crate::told(&error).join(": ")));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

fn greet(server: &Server, grants: Option<&Grants>, log: Log) {
    let scheme = if server.admin_by_tls() { "https" } else { "http" };
    let (listen, admin) = (server.listen(), format!("{scheme}://{}", server.admin()));
    log.say(format!("serving {} sites on http://{listen}", server.sites()));
    if let Some(secure) = server.secure() {
        log.say(format!("and on https://{secure}"));
    }
    match server.open() {
        true => log.say(format!("admin on {admin}: no tokens are configured, programs on this machine may deploy")),
        false => log.say(format!("admin on {admin}, with tokens")),
    }
    log.say(format!("deploy with: selvedge deploy app.wasm --site hello --to {admin}"));
    log.say(format!("dashboard in a browser: {admin}/"));
    match grants {
        Some(grants) => log.say(format!("jailed: {grants}")),
        None => log.say("warning: neither the server nor compilers are jailed, as --unjailed asks"),
    }
}

/// Reloads when asked to, until asked to stop.
async fn until_stopped(
    args: &Args,
    server: &Server,
    (mut config, mut seen): (Config, Changed),
    grants: Option<&Grants>,
    asked: &mut UnboundedReceiver<Asked>,
    log: Log,
) {
    // Why it was refused. It may name files that come later, so it is looked at again and again.
    let mut refused = None;
    loop {
        let asked = tokio::time::timeout(LOOK_EVERY, asked.recv()).await;
        let changed = args.changed(&config);
        let is_asked = match asked {
            Ok(Some(Asked::Stop) | None) => return,
            Err(_) if changed == seen && refused.is_none() => continue,
            Ok(Some(Asked::Reload)) => true,
            Err(_) => changed != seen,
        };
        seen = changed;
        match reload(args, server, grants) {
            Ok((said, other)) => {
                log.say(said);
                ((config, seen), refused) = (other, None);
            }
            Err(error) => {
                let why = Some(crate::told(&error).join(": "));
                if is_asked || refused != why {
                    log.say(format!("the configuration stays as it was: {}", why.as_deref().unwrap_or_default()));
                }
                refused = why;
            }
        }
    }
}

/// Takes the configuration over; what there is to say of that.
fn reload(args: &Args, server: &Server, grants: Option<&Grants>) -> Result<(String, (Config, Changed))> {
    let (config, seen) = args.read()?;
    grants.map_or(Ok(()), |grants| grants.check(config.files()))?;
    let fixed = server.reload(&config)?;
    let fixed = if fixed.is_empty() { String::new() } else { format!("; only a restart changes {}", fixed.join(", ")) };
    Ok((format!("the configuration was read again{fixed}"), (config, seen)))
}
