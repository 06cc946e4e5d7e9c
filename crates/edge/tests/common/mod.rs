//! A server in this process, with programs from `tests/guests` deployed to it.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selvedge_edge::client::{Client, Host, Name, Progress};
use selvedge_edge::store::Digest;
use selvedge_edge::{Compile, CompileError, Config, Server, start};

/// Limits that tests can reach.
pub(crate) const CONFIG: &str = r#"
    listen = "127.0.0.1:0"
    admin = "127.0.0.1:0"
    slots = 8
    [limits]
    memory = "1MiB"
    wall = "2s"
    cpu = "300ms"
    instances = 4
    queue = 2
    request_body = "200KiB"
    response_body = "400KiB"
    log = "100B"
"#;

/// Tenants with a token each: "a" and "b", of which these are the SHA-256.
pub(crate) const TWO_TENANTS: &str = r#"
    listen = "127.0.0.1:0"
    admin = "127.0.0.1:0"
    [tenants.alpha]
    tokens = ["sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"]
    [tenants.beta]
    tokens = ["sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"]
"#;

/// A tenant with three tokens: "a" may do all, "b" only looks, "c" is for the site `one`.
pub(crate) const SCOPED_TOKENS: &str = r#"
    listen = "127.0.0.1:0"
    admin = "127.0.0.1:0"
    [tenants.alpha]
    tokens = [
        "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        { hash = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d", may = "read" },
        { hash = "sha256:2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6", sites = ["one"] },
    ]
"#;

/// Two tenants as before, and tokens that look at both: "c" reads, "d" is for metrics. "e" is for alpha's metrics.
pub(crate) const OPERATORS: &str = r#"
    listen = "127.0.0.1:0"
    admin = "127.0.0.1:0"
    tokens = [
        { hash = "sha256:2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6", may = "read" },
        { hash = "sha256:18ac3e7343f016890c510e93f935261169d9e3f565436429830faf0934f4f8e4", may = "metrics" },
    ]
    [tenants.alpha]
    tokens = [
        "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        { hash = "sha256:3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea", may = "metrics" },
    ]
    [tenants.beta]
    tokens = ["sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"]
"#;

/// The compiler, in this process.
pub(crate) struct InProcess;

impl Compile for InProcess {
    fn compile(&self, module: &Path, artifact: &Path) -> Result<(), CompileError> {
        let refused = |error: &dyn std::fmt::Display| CompileError::Refused(error.to_string());
        let module = std::fs::read(module).map_err(|error| refused(&error))?;
        let compiled = selvedge_testkit::compile(module, selvedge_contract::MemoryLayout::Guarded);
        let compiled = compiled.map_err(|error| refused(&error))?;
        std::fs::write(artifact, compiled).map_err(|error| refused(&error))
    }
}

/// A server and where it keeps its state.
pub(crate) struct Edge {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) state: tempfile::TempDir,
}

pub(crate) async fn edge(config: &str) -> Edge {
    let state = tempfile::tempdir().unwrap();
    let server = serve(config, state.path()).await;
    let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
    Edge { server, client, state }
}

pub(crate) async fn serve(config: &str, state: &Path) -> Server {
    let mut config = Config::parse(config, "edge.toml").unwrap();
    config.state = state.to_owned();
    start(config, Arc::new(InProcess)).await.unwrap()
}

/// The text of a program.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests").join(name).with_extension("wat");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Deploys a module; the last progress.
pub(crate) async fn deploy(client: &Client, site: &str, module: Vec<u8>) -> Progress {
    let (site, hosts) = (Name::new(site).unwrap(), [Host::new(&format!("{site}.localhost")).unwrap()]);
    let mut last = None;
    client.deploy(&site, &hosts, module, |progress| last = Some(progress)).await.unwrap();
    last.unwrap()
}

impl Edge {
    /// Deploys programs, each as the site of its name.
    pub(crate) async fn with(self, guests: &[&str]) -> Edge {
        for name in guests {
            let last = deploy(&self.client, name, guest(name)).await;
            assert!(matches!(last, Progress::Deployed { version: 1, .. }), "{name}: {last:?}");
        }
        self
    }
}

/// Sends bytes on a connection of their own.
pub(crate) fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes.as_ref()).unwrap();
    stream
}

/// All that comes until the other side ends the connection.
pub(crate) fn rest(mut stream: TcpStream) -> String {
    let mut came = Vec::new();
    // What breaks off says what it said before.
    let _ = stream.read_to_end(&mut came);
    String::from_utf8_lossy(&came).into_owned()
}

/// A whole response.
pub(crate) fn get(address: SocketAddr, site: &str, path: &str) -> String {
    rest(send(address, format!("GET {path} HTTP/1.1\r\nHost: {site}.localhost\r\nConnection: close\r\n\r\n")))
}

/// Waits until something holds; a test that waits for ever is ended by a person.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for waited in 0.. {
        if holds() {
            return;
        }
        assert!(waited < 6_000, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Makes a blob unreadable, as a disk that fails does; what mends it.
pub(crate) fn unreadable(state: &Path, blob: Digest) -> impl Fn() + use<> {
    let (path, aside) = (state.join("blobs").join(blob.to_string()), state.join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    move || {
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
}

/// A server with the state of one that was stopped: it is free once the last connection of that is gone.
pub(crate) async fn restarted(config: &str, state: &Path) -> Server {
    let lock = state.join("sites.redb");
    until("the state to be free", || std::fs::File::open(&lock).is_ok_and(|file| file.try_lock().is_ok())).await;
    serve(config, state).await
}
