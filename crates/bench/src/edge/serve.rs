//! The servers that are compared, each as a verb of this command that nobody sees: native hyper, Selvedge, the peer.
//!
//! All have the same runtime, the same hyper with the same settings, and as many threads as cores are theirs: one.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use selvedge_edge::{CompileCommand, Config, measuring};
use tokio::net::TcpListener;

use super::proxy;

/// What answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// A function in the server.
    Native,
    /// Selvedge's edge server; its configuration is given.
    Ours,
    /// The same, with a function in it where the instance is.
    OursNatively,
    /// The peer; a component is given.
    Peer,
}

/// Serves until the standard input ends; says its addresses first.
#[derive(Args)]
pub(crate) struct ServerArgs {
    pub(crate) kind: Kind,
    pub(crate) path: Option<PathBuf>,
}

impl ServerArgs {
    pub(crate) fn to_arguments(&self) -> Vec<OsString> {
        let kind = self.kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let path = self.path.clone().map(PathBuf::into_os_string);
        ["edge-server".into(), kind.into()].into_iter().chain(path).collect()
    }

    fn path(&self) -> Result<&PathBuf> {
        self.path.as_ref().context("the server needs a file")
    }
}

/// Compiles a module to an artifact, for the server in another process.
#[derive(Args)]
pub(crate) struct CompileArgs {
    module: PathBuf,
    #[arg(short)]
    out: PathBuf,
}

/// Runs the verb that compiles.
pub(crate) fn compile(args: &CompileArgs) -> Result<()> {
    let wasm = wat::parse_file(&args.module)?;
    Ok(std::fs::write(&args.out, selvedge_compiler::compile(&wasm, &selvedge_compiler::Options::default(), &())?)?)
}

/// Runs the verb that serves.
pub(crate) fn run(args: &ServerArgs) -> Result<()> {
    if matches!(args.kind, Kind::Ours | Kind::OursNatively) {
        return ours(args.path()?, args.kind == Kind::OursNatively);
    }
    let workers = std::thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(async {
        match args.kind {
            Kind::Peer => say(&[proxy::serve(args.path()?).await?]),
            _ => say(&[native().await?]),
        }
        until_told(()).await
    })
}

/// As `selvedge serve` does, without the jail.
fn ours(config: &Path, natively: bool) -> Result<()> {
    let compiler = CompileCommand::new(std::env::current_exe()?, ["edge-compile"]);
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let prepared = first.block_on(selvedge_edge::prepare(Config::read(config)?))?;
    let prepared = if natively { measuring::natively(prepared, |uri| body(uri).into_bytes()) } else { prepared };
    prepared.executor()?.block_on(async {
        let server = prepared.start(Arc::new(compiler)).await?;
        say(&[server.listen(), server.admin()]);
        until_told(server).await
    })
}

/// Keeps something until the standard input ends; answers each line of it with how many tasks there are.
async fn until_told<T>(kept: T) -> Result<()> {
    let runtime = tokio::runtime::Handle::current();
    let told = tokio::task::spawn_blocking(move || {
        std::io::stdin().lines().try_for_each(|line| line.map(|_| println!("{}", runtime.metrics().num_alive_tasks())))
    });
    told.await??;
    drop(kept);
    Ok(())
}

fn say(addresses: &[SocketAddr]) {
    println!("{}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
}

/// Somewhere to listen.
pub(super) async fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A server that does nothing but what it must, with the bytes of ours.
async fn native() -> Result<SocketAddr> {
    let (listener, address) = listen().await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Without it small responses may wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            tokio::spawn(native_connection(TokioIo::new(stream)));
        }
    });
    Ok(address)
}

/// One of its connections.
pub(super) async fn native_connection(stream: impl Read + Write + Unpin) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).max_buf_size(32 << 10);
    // How it ends is the client's affair.
    let _ = builder.serve_connection(stream, service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from(body(request.uri()))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(HeaderName::from_static("x-request-id"), HeaderValue::from_static("0123456789abcdef"));
    Ok(response)
}

/// What all servers say.
fn body(uri: &Uri) -> String {
    format!("hello from {}\n", uri.path())
}
