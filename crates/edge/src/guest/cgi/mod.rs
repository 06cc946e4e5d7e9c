//! Programs with stdin and stdout: CGI/1.1 (RFC 3875) under WASI preview 1, with WAGI's conventions.
//!
//! ```text
//!   request head ─► environment, arguments (env.rs)
//!   request body ─► stdin
//!                   stdout ─► head (head.rs), then the body as it is written
//!                   stderr ─► the site's log, by lines
//! ```
//!
//! Of its bundle it has arguments, before the request's, and files to read at `/`. It may ask the servers that its tenant's list
//! names (http.rs). It is granted nothing else: no directory of the host's, no socket, no variable of the server's.

mod env;
pub(crate) mod head;
mod http;

use std::io;
use std::task::{Context, Poll};

use hyper::http::request::Parts;
use selvedge_runtime::{InstancePre, Linker, Module, Pool, Store, TimeLimits, TypedExport, TypedFunc};
use selvedge_wasi::{OutputStream, Stdio, Wasi, WasiBuilder};

use self::head::Parser;
use self::http::Calls;
use crate::admission::Admission;
use crate::config::ByteCount;
use crate::exchange::{Exchange, Fault};
use crate::guest::notes::Notes;
use crate::guest::{Call, Ending, Guest, Interface, Origin, Program, Provision, StartError, Unfit, Used};
use crate::limits::{SLICE, SiteLimits};
use crate::upload::Upload;

/// Of WebAssembly.
const PAGE_BYTES: u64 = 64 << 10;

/// What a program has of the world.
struct World {
    wasi: Wasi,
    /// None if it does not import them.
    calls: Option<Box<Calls>>,
}

/// The interface.
pub(crate) struct Cgi {
    linker: Linker<Box<World>>,
}

impl Cgi {
    pub(crate) fn new() -> Cgi {
        let mut linker = Linker::new();
        selvedge_wasi::add_to_linker(&mut linker, |world: &mut Box<World>| &mut world.wasi);
        http::add_to_linker(&mut linker, |world: &mut Box<World>| world.calls.as_deref_mut());
        Cgi { linker }
    }
}

impl Interface for Cgi {
    fn prepare(&self, module: &Module, provision: Provision) -> Result<Box<dyn Program>, Unfit> {
        if !module.exports().any(|(name, _)| name == "_start") {
            return Err(Unfit::NoStart);
        }
        if module.contract().start.is_some() {
            return Err(Unfit::StartFunction);
        }
        let memories = module.contract().memories.iter();
        let memory_bytes = memories.map(|memory| memory.ty.min_pages.saturating_mul(PAGE_BYTES)).sum();
        let (pre, calls) = (self.linker.prepare(module)?, http::is_imported(module));
        let start = module.typed_export("_start").map_err(Unfit::StartType)?;
        let looks = Looks::of(module);
        Ok(Box::new(CgiProgram { pre, start, memory_bytes, calls, looks, provision }))
    }
}

struct CgiProgram {
    /// In a box: a store is moved several times until it runs.
    pre: InstancePre<Box<World>>,
    start: TypedExport<(), ()>,
    /// What an instance has at its start.
    memory_bytes: u64,
    /// Whether it asks other servers.
    calls: bool,
    looks: Looks,
    provision: Provision,
}

/// What of its world a program can look at: what it cannot is not put together for each request.
#[derive(Clone, Copy)]
struct Looks {
    arguments: bool,
    variables: bool,
}

impl Looks {
    /// By the functions that it imports, of whatever version of the interface.
    fn of(module: &Module) -> Looks {
        let imports = |names: &[&str]| module.imports().iter().any(|import| names.contains(&import.name.as_str()));
        let (arguments, variables) = (["args_get", "args_sizes_get"], ["environ_get", "environ_sizes_get"]);
        Looks { arguments: imports(&arguments), variables: imports(&variables) }
    }
}

impl Program for CgiProgram {
    fn start(&self, pool: &Pool, call: Call<'_>) -> Result<Guest, StartError> {
        let calls = self.calls.then(|| Box::new(calls(&call)));
        let Call { parts, body, origin, limits, now, exchange, log, admission, .. } = call;
        let SiteLimits { memory: ByteCount(bytes_max), cpu, wall, .. } = limits;
        if self.memory_bytes > bytes_max {
            return Err(StartError::Memory { bytes: self.memory_bytes, bytes_max });
        }
        let mut builder = Wasi::builder();
        self.say(&mut builder, parts, &origin);
        if let Some(files) = &self.provision.files {
            builder = builder.preopen_tree(files.clone(), "/")?;
        }
        let upload = |body| Stdio::reader(Upload::new(body, limits.request_body.0, exchange.clone()));
        let stdin = body.map_or(Stdio::Null, upload);
        let parser = Some(Parser::reusing(std::mem::take(&mut parts.headers)));
        let out = Output { parser, exchange, bytes_max: limits.response_body.0 };
        builder.set_stdio([stdin, Stdio::writer(out), Stdio::writer(log)]);
        let world = Box::new(World { wasi: builder.build_once()?, calls });
        let (mut store, instance) = pool.instantiate(&self.pre, world)?;
        store.set_memory_bytes_max(bytes_max);
        let start = self.start.of(&store, instance)?;
        store.set_time_limits_from(TimeLimits { cpu: Some(cpu.0), wall: Some(wall.0), slice: Some(SLICE) }, now)?;
        Ok(Box::pin(run(Admitted { store, _admission: admission }, start)))
    }
}

impl CgiProgram {
    /// Gives a program its arguments and variables, if it can look at them.
    fn say(&self, builder: &mut WasiBuilder, parts: &Parts, origin: &Origin<'_>) {
        if self.looks.arguments {
            self.provision.args.iter().for_each(|arg| builder.push_arg(arg));
            env::arguments(parts).for_each(|arg| builder.push_arg(arg));
        }
        if self.looks.variables {
            builder.set_environment(env::environment(parts, origin));
        }
    }
}

/// An instance, and below it, to be dropped later, its place among all.
struct Admitted {
    store: Store<Box<World>>,
    _admission: Admission,
}

async fn run(mut admitted: Admitted, start: TypedFunc<(), ()>) -> Ending {
    let store = &mut admitted.store;
    let result = start.call_async(store, ()).await;
    let used = Used { cpu: store.cpu_time(), memory_bytes: store.memory_bytes() };
    Ending { result, memory_refused: store.memory_limit_reached(), used, explanation: None }
}

/// What it may ask of others.
fn calls(call: &Call<'_>) -> Calls {
    let notes = Notes::new(call.site, call.origin.request_id, call.exchange.clone());
    Calls::new(call.site.tenant.outbound.load_full(), notes)
}

/// A program's stdout.
struct Output {
    /// Until the head is complete.
    parser: Option<Parser>,
    exchange: Exchange,
    bytes_max: u64,
}

impl OutputStream for Output {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.exchange.poll_writable(context)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(parser) = &mut self.parser else { return self.exchange.write_body(bytes, self.bytes_max) };
        match parser.feed(bytes) {
            Ok((done, None)) => Ok(done),
            Ok((done, Some(head))) => {
                self.parser = None;
                // With what comes right after it: simple programs do not look how much was taken.
                Ok(done + self.exchange.begin(head, &bytes[done..], self.bytes_max)?)
            }
            Err(wrong) => {
                self.exchange.fail(Fault::BadHead(wrong.to_string()));
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(why) = self.parser.as_ref().and_then(Parser::unfinished) {
            self.exchange.set_unfinished(why.to_string());
        }
    }
}
