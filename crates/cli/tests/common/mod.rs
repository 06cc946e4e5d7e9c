//! A server in this process, with the command as its compiler, and clients of it.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use selvedge_edge::client::{Client, Host, Name, Progress};
use selvedge_edge::{CompileCommand, Config, Server, start};

pub(crate) const SELVEDGE: &str = env!("CARGO_BIN_EXE_selvedge");

/// A server, an operator's client of it, and where it keeps its state.
pub(crate) struct Edge {
    pub(crate) server: Server,
    pub(crate) client: Client,
    _state: tempfile::TempDir,
}

impl Edge {
    pub(crate) async fn start() -> Edge {
        Edge::start_with("").await
    }

    /// One with more in its configuration.
    pub(crate) async fn start_with(more: &str) -> Edge {
        let state = tempfile::tempdir().unwrap();
        let text = format!("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{more}");
        let mut config = Config::parse(&text, "edge.toml").unwrap();
        config.state = state.path().to_owned();
        let server = start(config, Arc::new(CompileCommand::new(SELVEDGE, ["compile"]))).await.unwrap();
        let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
        Edge { server, client, _state: state }
    }

    /// Deploys a module as the site `site`, which answers for `site.localhost`.
    pub(crate) async fn deploy(&self, site: &str, module: &Path) {
        let bytes = std::fs::read(module);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", module.display()));
        let mut last = None;
        let (name, hosts) = (Name::new(site).unwrap(), [Host::new(&format!("{site}.localhost")).unwrap()]);
        self.client.deploy(&name, &hosts, bytes, |progress| last = Some(progress)).await.unwrap();
        assert!(matches!(last, Some(Progress::Deployed { .. })), "{site}: {last:?}");
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An answer: the head in small letters, and the body.
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request on a connection of its own.
pub(crate) fn ask(address: SocketAddr, host: &str, line: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = body.len();
    write!(stream, "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_string() };
    Answer { head, body }
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body += &rest[..size];
        text = &rest[size + 2..];
    }
    body
}
