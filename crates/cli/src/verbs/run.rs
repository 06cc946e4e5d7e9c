//! `selvedge run`: a program under the system interface, or one export of a library.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use selvedge_contract::limits::{ARTIFACT_BYTES_MAX, STACK_BYTES_MAX, STACK_BYTES_MIN, WASM_BYTES_MAX};
use selvedge_contract::policy::Policy;
use selvedge_contract::types::ExternType;
use selvedge_runtime::{CallError, Instance, InstantiateError, Limits, Linker, LoadError, Module, Store};
use selvedge_wasi::{DirAccess, Tracer, Tree, Wasi};

use crate::cache::{Cache, Entry};
use crate::options::{CompileArgs, size, time};
use crate::progress::Bar;
use crate::verbs::check::read_policy;
use crate::watchdog::Watchdog;
use crate::{files, load, values};

/// What the shell reports for a program that aborted.
const EXIT_TRAP: u8 = 134;
/// What `timeout` reports.
const EXIT_TIMEOUT: u8 = 124;

/// Run a program, or one export of a library
///
/// Takes a module (.wasm or .wat), which is compiled once and kept in a cache,
/// or an artifact (.selv). The program gets the system interface WASI preview 1
/// and of the host only what is granted here; stdin, stdout and stderr are those
/// of this command. Options for this command stand before FILE, everything after
/// it is the program's: on a terminal a note tells of one of ours there, unless
/// `--` stands before FILE.
///
/// Neither needs to be trusted: an artifact, in the cache too, is run only after
/// its machine code was proved to keep its contract. `--trusted` leaves that out,
/// which starts large programs faster: for artifacts nobody could tamper with.
#[derive(clap::Args)]
#[command(after_help = "\
Exit code: the program's; 134 after a trap, 124 after --timeout, --cpu-time or
--meter-limit, 1 if it could not be run, 2 for a mistake on this command line.

Compiled modules are kept in $XDG_CACHE_HOME/selvedge or ~/.cache/selvedge, at
most 4 GiB; the directory can be removed at any time.

Examples:
  selvedge run app.wasm one two
  selvedge run --dir . --env HOME app.wasm --flag-of-the-program
  selvedge run --dir /srv/data::/data::ro --memory-max 64MiB app.selv
  selvedge run --dir assets.tar::/assets app.wasm
  selvedge run --timeout 2s --cpu-time 300ms loop.wat
  selvedge run --trace wasi app.wasm
  selvedge run --policy edge.toml app.selv
  selvedge run --invoke add math.wat 2 3")]
pub(crate) struct Args {
    /// The module or artifact, then the program's arguments
    #[arg(required = true, trailing_var_arg = true, value_names = ["FILE", "ARGS"])]
    command: Vec<OsString>,
    /// Grant a directory, under its own or another name; `::ro` for reading only.
    /// A tar archive is granted as the directory it holds, for reading
    #[arg(long = "dir", value_name = "HOST[::GUEST[::ro]]", value_parser = grant_of)]
    dirs: Vec<Grant>,
    /// Set an environment variable, or pass this command's own on if it is set
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = variable)]
    env: Vec<Variable>,
    /// Call this export with the arguments after FILE, and print what it returns;
    /// `_initialize` is called first if there is one
    #[arg(long, value_name = "NAME")]
    invoke: Option<String>,
    /// The program's name, its argument 0; FILE's name if not given
    #[arg(long, value_name = "NAME")]
    argv0: Option<OsString>,
    /// Tell on stderr of each call the program makes to the host: what it asked,
    /// what it got, and how long that took in seconds
    #[arg(long, value_enum, value_name = "WHAT")]
    trace: Option<Trace>,
    /// Most memory it may use (64MiB, 1GiB, ...); 4 GiB if not given
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Limits")]
    memory_max: Option<u64>,
    /// Its stack; 1MiB if not given
    #[arg(long, value_name = "SIZE", value_parser = stack_size, help_heading = "Limits")]
    stack_size: Option<usize>,
    /// End it after this time (300ms, 2s, 1m, ...)
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Limits")]
    timeout: Option<Duration>,
    /// End it when it has used so much CPU time, what the host does for it included
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Limits")]
    cpu_time: Option<Duration>,
    /// End it before it executes more instructions; a module is compiled with
    /// --meter for it, an artifact must be
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    meter_limit: Option<u64>,
    /// Say on stderr, when it has ended, how many instructions it executed
    #[arg(long, help_heading = "Limits")]
    meter_show: bool,
    /// Run it only if this policy accepts it (`selvedge check --help`)
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    policy: Option<PathBuf>,
    /// Do not prove the machine code: who could change the file owns the process
    #[arg(long, help_heading = "Trust", conflicts_with = "policy")]
    trusted: bool,
    /// Compile anew, and keep nothing
    #[arg(long, help_heading = "Compiling")]
    no_cache: bool,
    #[command(flatten)]
    compile: CompileArgs,
}

/// A directory, or an archive of one, and what the guest may do in it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Grant {
    host: PathBuf,
    guest: String,
    access: DirAccess,
}

/// `HOST[::GUEST[::ro]]`.
fn grant_of(text: &str) -> Result<Grant, &'static str> {
    let parts: Vec<&str> = text.split("::").collect();
    let (host, guest, access) = match parts[..] {
        [host] => (host, host, DirAccess::ReadWrite),
        // Whoever writes that wants to grant no writing.
        [_, "ro"] => return Err("it says not under which name; write HOST::GUEST::ro"),
        [host, guest] => (host, guest, DirAccess::ReadWrite),
        [host, guest, "ro"] => (host, guest, DirAccess::ReadOnly),
        _ => return Err("it is not HOST, HOST::GUEST or HOST::GUEST::ro"),
    };
    match host.is_empty() || guest.is_empty() {
        true => Err("it names no directory; write HOST::GUEST"),
        false => Ok(Grant { host: host.into(), guest: guest.into(), access }),
    }
}

/// An environment variable; without a value it is this command's own.
#[derive(Clone, Debug)]
struct Variable {
    name: String,
    value: Option<String>,
}

/// `NAME[=VALUE]`.
fn variable(text: &str) -> Result<Variable, &'static str> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.into())));
    match name {
        "" => Err("it names no variable; write NAME=VALUE or NAME"),
        name => Ok(Variable { name: name.into(), value }),
    }
}

/// What `--trace` tells of.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Trace {
    /// The system interface
    Wasi,
}

impl Args {
    fn file(&self) -> &Path {
        Path::new(&self.command[0])
    }

    fn wants_meter(&self) -> bool {
        self.meter_limit.is_some() || self.meter_show
    }

    fn args(&self) -> &[OsString] {
        &self.command[1..]
    }

    /// The first of the program's arguments that is called like an option of this verb: whoever wrote it there may believe
    /// that it holds here. Help is of the program that it stands behind.
    pub(crate) fn misplaced(&self) -> Option<String> {
        let verb = <Args as clap::Args>::augment_args(clap::Command::new("run"));
        let options: Vec<&str> = verb.get_arguments().filter_map(clap::Arg::get_long).collect();
        let arguments = self.args().iter().take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str());
        let mut names = arguments.filter_map(|arg| arg.strip_prefix("--")?.split('=').next());
        names.find(|name| options.contains(name)).map(|name| format!("--{name}"))
    }
}

/// Tells people of an option that does not hold where it stands. What is no terminal hears nothing: there stderr is the
/// program's, and may be read by a machine.
fn note_misplaced(args: &Args) {
    if !std::io::stderr().is_terminal() || is_separated(std::env::args_os(), &args.command) {
        return;
    }
    if let Some(option) = args.misplaced() {
        let file = args.file().display();
        eprintln!("note: {option} after {file} goes to the program; for `selvedge run`, put it before {file}");
    }
}

/// Whether `--` stands before the program and its arguments: that says that all of them are the program's.
fn is_separated(line: impl Iterator<Item = OsString>, command: &[OsString]) -> bool {
    let line: Vec<OsString> = line.collect();
    let before = line.len().checked_sub(command.len() + 1).and_then(|at| line.get(at));
    before.is_some_and(|before| before == "--")
}

fn stack_size(text: &str) -> Result<usize, String> {
    let bytes = size(text)?;
    let fits = (STACK_BYTES_MIN as u64..=STACK_BYTES_MAX as u64).contains(&bytes);
    fits.then_some(bytes as usize).ok_or_else(|| "a stack has from 16KiB to 1GiB".into())
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    note_misplaced(args);
    let wasi = grant(args)?;
    let module = module(args)?;
    let unmetered = args.wants_meter() && !module.contract().metered;
    ensure!(!unmetered, "{} was compiled without --meter; compile it again with it", args.file().display());
    let mut store = Store::new(wasi, limits(args))?;
    let watchdog = args.timeout.map(|timeout| Watchdog::start(store.interrupt_handle(), timeout, EXIT_TIMEOUT));
    let watchdog = watchdog.transpose().context("cannot start the thread that watches the time")?;
    let outcome = instantiate(args, &mut store, &module).and_then(|instance| start(args, &mut store, instance));
    drop(watchdog);
    if args.meter_show {
        eprintln!("executed {} instructions", store.meter_used());
    }
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => ending(args, error),
    }
}

/// The system interface with what was granted.
fn grant(args: &Args) -> Result<Wasi> {
    let name = args.argv0.as_deref().or(args.file().file_name()).unwrap_or(OsStr::new("program"));
    let mut builder = Wasi::builder().inherit_stdio().arg(name);
    if args.invoke.is_none() {
        builder = builder.args(args.args());
    }
    for Variable { name, value } in &args.env {
        let value = value.as_ref().map(OsString::from).or_else(|| std::env::var_os(name));
        builder = builder.envs(value.map(|value| (name, value)));
    }
    for Grant { host, guest, access } in &args.dirs {
        builder = match host.is_file() {
            true => builder.preopen_tree(archive(host)?, guest)?,
            false => builder.preopen_dir(host, guest, *access)?,
        };
    }
    Ok(builder.build()?)
}

/// Whether the guest gets a directory in which it may change files.
fn grants_writing(dirs: &[Grant]) -> bool {
    dirs.iter().any(|dir| dir.access != DirAccess::ReadOnly)
}

/// The tree in an archive.
fn archive(path: &Path) -> Result<Tree> {
    let named = || format!("cannot grant {} to the guest", path.display());
    let bytes = std::fs::read(path).with_context(named)?;
    Tree::from_tar(bytes).with_context(named)
}

fn limits(args: &Args) -> Limits {
    let mut limits = Limits::default();
    limits.memory_bytes_max = args.memory_max.unwrap_or(limits.memory_bytes_max);
    limits.meter_max = args.meter_limit.unwrap_or(limits.meter_max);
    limits.stack_bytes = args.stack_size.unwrap_or(limits.stack_bytes);
    limits.time.cpu = args.cpu_time;
    limits
}

/// Loads an artifact, or compiles a module or takes it from the cache.
fn module(args: &Args) -> Result<Module> {
    let mut head = [0; 4];
    let is_artifact = std::fs::File::open(args.file())
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head))
        .is_ok_and(|()| files::is_artifact(&head));
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    if is_artifact {
        return artifact(args, policy.as_ref());
    }
    let wasm = files::read(args.file(), WASM_BYTES_MAX)?;
    let mut options = args.compile.options(None);
    options.meter |= args.wants_meter();
    let compile = || {
        let compiled = selvedge_compiler::compile(&wasm, &options, &Bar::new());
        let compiled = compiled.map_err(|error| error.in_file(args.file()));
        compiled.with_context(|| format!("cannot compile {}", args.file().display()))
    };
    let cache = if args.no_cache { None } else { Cache::of_user() };
    let entry = match cache {
        None => Entry::Compiled(compile()?),
        Some(cache) => cache.get(&wasm, &options, compile)?,
    };
    match (entry, policy) {
        (Entry::Compiled(artifact), None) => load::compiled(&artifact),
        (Entry::Compiled(artifact), Some(policy)) => load::under(&policy, args.file(), &artifact),
        (Entry::Found(path), Some(policy)) => {
            load::under(&policy, args.file(), &files::read(&path, ARTIFACT_BYTES_MAX)?)
        }
        (Entry::Found(path), None) if args.trusted => load::trusted(&path, grants_writing(&args.dirs)),
        (Entry::Found(path), None) => match load::untrusted(&path) {
            // Tampered with, or beyond what the verifier can prove: neither keeps the module from being run.
            Err(LoadError::Unproved(_)) => {
                eprintln!("warning: {} cannot be proved: the module is compiled anew", path.display());
                let _ = std::fs::remove_file(&path);
                load::compiled(&compile()?)
            }
            loaded => loaded.with_context(|| format!("cannot load {}", path.display())),
        },
    }
}

/// Loads an artifact as it was asked for.
fn artifact(args: &Args, policy: Option<&Policy>) -> Result<Module> {
    let file = args.file();
    match policy {
        Some(policy) => load::under(policy, file, &files::read(file, ARTIFACT_BYTES_MAX)?),
        None if args.trusted => load::trusted(file, grants_writing(&args.dirs)),
        None => load::untrusted(file).with_context(|| format!("cannot load {}", file.display())),
    }
}

fn instantiate(args: &Args, store: &mut Store<Wasi>, module: &Module) -> Result<Instance> {
    let mut linker = Linker::new();
    match args.trace {
        None => selvedge_wasi::add_to_linker(&mut linker, |wasi: &mut Wasi| wasi),
        Some(Trace::Wasi) => {
            let tracer = Tracer::new(|line| eprintln!("{line}"));
            selvedge_wasi::add_traced_to_linker(&mut linker, |wasi: &mut Wasi| wasi, &tracer);
        }
    }
    linker.instantiate(store, module).map_err(|error| match error {
        InstantiateError::Start(error) => error.into(),
        InstantiateError::Limit(limit) => anyhow!("the module does not fit its limits: {limit}; raise --memory-max"),
        InstantiateError::Link(error) => {
            anyhow!("{error}\nonly WASI preview 1 is provided here; embed the runtime to provide more")
        }
        error => error.into(),
    })
}

/// Calls `_start`, or what `--invoke` names.
fn start(args: &Args, store: &mut Store<Wasi>, instance: Instance) -> Result<()> {
    match &args.invoke {
        Some(export) => invoke(args, store, instance, export),
        None => {
            let start = instance.get_func(store, "_start").ok_or_else(|| no_program(args, store, instance))?;
            start.call(store, &[])?;
            Ok(())
        }
    }
}

fn no_program(args: &Args, store: &Store<Wasi>, instance: Instance) -> anyhow::Error {
    let file = args.file().display();
    match args.args().first() {
        Some(first) if first == "--invoke" => {
            anyhow!("{file} exports no _start; options stand before it: selvedge run --invoke NAME {file} ARGS")
        }
        _ => anyhow!("{file} exports no _start; call an export with --invoke: {}", functions(store, instance)),
    }
}

/// The functions an instance exports, as a list.
fn functions(store: &Store<Wasi>, instance: Instance) -> String {
    const SHOWN_MAX: usize = 20;
    let exports = instance.module(store).exports();
    let names: Vec<&str> = exports.filter(|(_, ty)| matches!(ty, ExternType::Func(_))).map(|(name, _)| name).collect();
    match names.len() {
        0 => "it exports no functions".into(),
        count if count > SHOWN_MAX => {
            format!("it has {}, and {} more", names[..SHOWN_MAX].join(", "), count - SHOWN_MAX)
        }
        _ => format!("it has {}", names.join(", ")),
    }
}

fn invoke(args: &Args, store: &mut Store<Wasi>, instance: Instance, export: &str) -> Result<()> {
    let func = instance.get_func(store, export);
    let func = func.ok_or_else(|| anyhow!("no function {export:?} is exported; {}", functions(store, instance)))?;
    let texts = args.args().iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let values = values::parse_all(&texts, &func.ty(store)?).with_context(|| format!("cannot call {export}"))?;
    if let Some(initialize) = instance.get_func(store, "_initialize").filter(|_| export != "_initialize") {
        initialize.call(store, &[])?;
    }
    for result in func.call(store, &values)? {
        files::print(&(values::show(&result) + "\n"))?;
    }
    Ok(())
}

/// Turns how the guest ended into what this command says and exits with.
fn ending(args: &Args, error: anyhow::Error) -> Result<ExitCode> {
    let (code, limit) = match error.downcast_ref::<CallError>() {
        Some(CallError::Exit(code)) => return Ok(ExitCode::from(*code as u8)),
        Some(CallError::Trap(_)) => (EXIT_TRAP, None),
        Some(CallError::MeterExhausted(_)) => (EXIT_TIMEOUT, None),
        Some(CallError::Interrupted(_)) => (EXIT_TIMEOUT, args.timeout.map(|time| format!("{time:?}, the --timeout"))),
        Some(CallError::CpuTimeExceeded(_)) => {
            (EXIT_TIMEOUT, args.cpu_time.map(|time| format!("{time:?} of CPU time, the --cpu-time")))
        }
        _ => return Err(error),
    };
    match limit {
        Some(limit) => eprintln!("error: ended after {limit}; {error}"),
        None => eprintln!("error: {error}"),
    }
    Ok(ExitCode::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_granted_by_name() {
        let granted = |host: &str, guest: &str, access| Ok(Grant { host: host.into(), guest: guest.into(), access });
        assert_eq!(grant_of("a"), granted("a", "a", DirAccess::ReadWrite));
        assert_eq!(grant_of("/a::/b"), granted("/a", "/b", DirAccess::ReadWrite));
        assert_eq!(grant_of("/a::/b::ro"), granted("/a", "/b", DirAccess::ReadOnly));
        for wrong in ["", "::", "a::", "::b", "a::ro", "a::b::rw", "a::b::ro::c"] {
            assert!(grant_of(wrong).is_err(), "{wrong}");
        }
    }

    /// What is mapped from a file is changed by whoever changes the file.
    #[test]
    fn who_may_write_anywhere_is_known() {
        for (dirs, writes) in [
            (&[] as &[&str], false),
            (&["a::b::ro"], false),
            (&["a::b::ro", "c"], true),
            (&["a::b"], true),
            (&["ro"], true),
        ] {
            let dirs: Vec<Grant> = dirs.iter().map(|dir| grant_of(dir).unwrap()).collect();
            assert_eq!(grants_writing(&dirs), writes, "{dirs:?}");
        }
    }
}
