//! A server in its jail does all that one outside does: it deploys, serves, opens TLS, reads its configuration and its
//! certificates again, rolls back, and starts again from its state.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use selvedge_edge::client::{Client, Name, Payload, Progress};
use selvedge_edge::limits::COMPILER_NICER;

const SELVEDGE: &str = env!("CARGO_BIN_EXE_selvedge");
/// A line that does not come in this time does not come.
const LINE_MAX: Duration = Duration::from_secs(60);

/// A server with a configuration of its own, and what it says.
struct Server {
    child: Child,
    lines: Receiver<String>,
    site: String,
    secure: String,
    admin: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(config: &Path, options: &[&str]) -> Server {
        Server::start_in(Path::new("."), config, options)
    }

    fn start_in(directory: &Path, config: &Path, options: &[&str]) -> Server {
        let mut command = Command::new(SELVEDGE);
        command.arg("serve").arg(config).args(options).current_dir(directory).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (tell, lines) = channel();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || said.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        let mut server = Server { child, lines, site: String::new(), secure: String::new(), admin: String::new() };
        let address = |line: String, mark: &str| {
            let (_, address) = line.split_once(mark).unwrap_or_else(|| panic!("{line}"));
            address.split([':', ',']).take(2).collect::<Vec<_>>().join(":")
        };
        server.site = address(server.says("on http://"), "on http://");
        server.secure = address(server.says("on https://"), "on https://");
        server.admin = address(server.says("admin on http://"), "admin on http://");
        server
    }

    /// The next line that contains this.
    fn says(&self, part: &str) -> String {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(LINE_MAX) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => before.push(line),
                Err(_) => panic!("it does not say {part:?} but {before:#?}"),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// What a site answers in plain text.
    fn get(&self, path: &str) -> String {
        answer(TcpStream::connect(&self.site).unwrap(), path)
    }

    /// The same by TLS, if it shows this certificate.
    fn get_securely(&self, trusted: &CertificateDer<'static>) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("site.localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(client), name).unwrap();
        answer(rustls::StreamOwned::new(connection, TcpStream::connect(&self.secure).unwrap()), "/")
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.admin), None).unwrap()
    }
}

fn answer(mut stream: impl Read + Write, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: site.localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A connection that breaks off says what it said before.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A program that answers with a text.
fn program(text: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\20\00\00\00")
            (data (i32.const 16) "Content-Type: text/plain\n\n{text:<6}")
            (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
}

/// Deploys; the last that is told.
fn deploy(server: &Server, payload: impl Into<Payload>) -> Progress {
    let mut last = None;
    let name = Name::new("site").unwrap();
    let client = server.client();
    wait(client.deploy(&name, &[], payload, |progress| last = Some(progress))).unwrap();
    last.unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A directory with a configuration and a certificate, and beside it one for the state.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> (Place, CertificateDer<'static>) {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.at("etc")).unwrap();
        let certificate = place.certify("etc");
        place.configure("etc", "30s");
        (place, certificate)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces certificate and key in a directory.
    fn certify(&self, directory: &str) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["site.localhost".into()]).unwrap();
        for (name, text) in [("site.pem", made.cert.pem()), ("site.key", made.signing_key.serialize_pem())] {
            let new = self.at(directory).join(".new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.at(directory).join(name)).unwrap();
        }
        made.cert.der().clone()
    }

    /// Replaces the configuration: certificates are in this directory.
    fn configure(&self, certificates: &str, wall: &str) {
        let (state, certificates) = (self.at("state"), self.at(certificates));
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstate = {state:?}\nslots = 8\n[limits]\nwall = {wall:?}\n\
             [tls]\nlisten = \"127.0.0.1:0\"\ncertificates = [{{ certificate = {:?}, key = {:?} }}]\n",
            certificates.join("site.pem"),
            certificates.join("site.key"),
        );
        std::fs::write(self.at("etc/.new"), text).unwrap();
        std::fs::rename(self.at("etc/.new"), self.at("etc/edge.toml")).unwrap();
    }
}

/// Every thread of a process has this in its status.
fn each_thread_has(process: u32, line: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    // One that has ended meanwhile has nothing.
    let status = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("status")).ok();
    threads.flatten().filter_map(status).all(|status| status.contains(line))
}

#[test]
fn a_jailed_server_does_what_one_outside_does() {
    let (place, old) = Place::new();
    let server = Server::start(&place.at("etc/edge.toml"), &[]);
    let said = server.says("jailed: ");
    assert!(said.contains(&place.at("state").display().to_string()) && said.contains("etc"), "{said}");
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t000000000000000"] {
        assert!(each_thread_has(server.child.id(), line), "{line}");
    }
    assert!(matches!(deploy(&server, module(program("one"))), Progress::Deployed { version: 1, .. }));
    assert!(server.get("/").ends_with("one   "), "{}", server.get("/"));
    assert!(server.get_securely(&old).ends_with("one   "));
    assert!(matches!(deploy(&server, module(program("two"))), Progress::Deployed { version: 2, .. }));
    assert!(server.get("/").ends_with("two   "));
    // The compiler answers from another jail, by way of the broker.
    let refused = deploy(&server, module("(module (func (result i32)))".into()));
    assert!(matches!(&refused, Progress::Failed { message, .. } if message.contains("type mismatch")), "{refused:?}");
    wait(server.client().rollback(&Name::new("site").unwrap(), None)).unwrap();
    assert!(server.get("/").ends_with("one   "));

    // What is replaced in its directories is read again, what is elsewhere is not.
    let new = place.certify("etc");
    server.signal(Signal::SIGHUP);
    server.says("the configuration was read again");
    assert!(server.get_securely(&new).ends_with("one   "));
    std::fs::create_dir(place.at("elsewhere")).unwrap();
    place.certify("elsewhere");
    place.configure("elsewhere", "20s");
    let said = server.says("the configuration stays as it was");
    assert!(said.contains("elsewhere/site.pem") && said.contains("restart it"), "{said}");
    place.configure("etc", "20s");
    server.says("the configuration was read again");
    assert!(server.get_securely(&new).ends_with("one   "));

    // What is named before it is there is waited for.
    let certificate = place.at("etc/site.pem");
    let later = place.at("etc/later.pem");
    std::fs::rename(&certificate, &later).unwrap();
    place.configure("etc", "30s");
    let said = server.says("the configuration stays as it was");
    assert!(said.contains("etc/site.pem"), "{said}");
    std::fs::rename(&later, &certificate).unwrap();
    server.says("the configuration was read again");

    stop(server);
    let server = Server::start(&place.at("etc/edge.toml"), &["--jail-gaps"]);
    server.says("jailed: ");
    assert!(server.get("/").ends_with("one   "));
    assert!(matches!(deploy(&server, module(program("three"))), Progress::Deployed { version: 3, .. }));
    assert!(matches!(deploy(&server, bundle(program("four"), "word")), Progress::Deployed { version: 4, .. }));
    assert!(server.get("/").ends_with("four  ") && server.get("/file").ends_with("word"), "{}", server.get("/file"));
    stop(server);
    let server = Server::start(&place.at("etc/edge.toml"), &[]);
    assert!(server.get("/file").ends_with("word"), "it is kept: {}", server.get("/file"));
    stop(server);
}

#[test]
fn relative_paths_begin_at_the_configurations_directory_wherever_the_server_is_started() {
    let (place, certificate) = Place::new();
    let elsewhere = place.at("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let policy = Command::new(SELVEDGE).args(["check", "--print-default"]).output().unwrap().stdout;
    std::fs::write(place.at("etc/policy.toml"), policy).unwrap();
    let configure = |state: &str| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\npolicy = \"policy.toml\"\n{state}[tls]\n\
             listen = \"127.0.0.1:0\"\ncertificates = [{{ certificate = \"site.pem\", key = \"./site.key\" }}]\n"
        );
        std::fs::write(place.at("etc/edge.toml"), text).unwrap();
    };
    configure("state = \"../state\"\n");
    let server = Server::start_in(&elsewhere, Path::new("../etc/edge.toml"), &[]);
    server.says("jailed: ");
    assert!(matches!(deploy(&server, module(program("one"))), Progress::Deployed { version: 1, .. }));
    assert!(server.get_securely(&certificate).ends_with("one   "));
    let new = place.certify("etc");
    server.signal(Signal::SIGHUP);
    server.says("the configuration was read again");
    assert!(server.get_securely(&new).ends_with("one   "));
    stop(server);
    let server = Server::start(&place.at("etc/edge.toml"), &["--state", &place.at("state").display().to_string()]);
    assert!(server.get("/").ends_with("one   "), "the state is the same one");
    stop(server);
    // An option begins where the command is started, and the default beside the configuration.
    for (options, state) in [(&["--state", "state"][..], "elsewhere/state"), (&[], "etc/selvedge-state")] {
        configure("");
        stop(Server::start_in(&elsewhere, Path::new("../etc/edge.toml"), options));
        assert!(place.at(state).is_dir(), "{state}");
    }
    assert!(!place.at("elsewhere/selvedge-state").exists());
}

/// What a server says that is started with this in its configuration, each line an object; `meanwhile` gets each message,
/// and the server's process.
fn said_to_programs(place: &Path, more: &str, mut meanwhile: impl FnMut(&str, u32)) -> Vec<String> {
    let config = place.join("edge.toml");
    std::fs::write(&config, format!("log_format = \"json\"\naccess_log = true\n{more}")).unwrap();
    let mut command = Command::new(SELVEDGE);
    command.arg("serve").arg(&config).arg("--state").arg(place.join("state")).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let object: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(object["time_ms"].is_u64() && object["event"] == "server", "{line}");
        let message = object["message"].as_str().unwrap().to_string();
        meanwhile(&message, child.id());
        said.push(message);
    }
    child.wait().unwrap();
    said
}

#[test]
fn where_the_log_is_for_programs_every_line_is_an_object() {
    let place = tempfile::tempdir().unwrap();
    let any = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
    let said = said_to_programs(place.path(), any, |message, server| {
        let signal = |signal| kill(Pid::from_raw(server as i32), signal).unwrap();
        if message.starts_with("jailed: ") {
            std::fs::write(place.path().join("edge.toml"), "log_format = \"text\"\nlistn = 1\n").unwrap();
            signal(Signal::SIGHUP);
        } else if message.starts_with("the configuration stays as it was: ") {
            signal(Signal::SIGTERM);
        }
    });
    let begins = |part: &str| said.iter().any(|line| line.starts_with(part));
    assert!(begins("serving 0 sites on http://") && begins("admin on ") && begins("stopping: "), "{said:#?}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!("listen = \"{}\"\nadmin = \"127.0.0.1:0\"\n", taken.local_addr().unwrap());
    let said = said_to_programs(place.path(), &config, |_, _| {});
    assert!(said.len() == 1 && said[0].starts_with("error: "), "{said:#?}");
}

fn module(text: String) -> Payload {
    text.into_bytes().into()
}

/// A program with a file beside it.
fn bundle(module: String, text: &str) -> Payload {
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    for (name, contents) in [("app.wat", module.as_str()), ("assets/file", text)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        archive.append_data(&mut header, name, contents.as_bytes()).unwrap();
    }
    Payload::Bundle(archive.into_inner().unwrap())
}

fn stop(mut server: Server) {
    server.signal(Signal::SIGTERM);
    server.says("stopping");
    assert!(server.child.wait().unwrap().success());
}

/// A collector that takes what it is sent, a connection for each batch.
fn collector() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (tell, batches)) = (listener.local_addr().unwrap(), channel());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let head: Vec<_> =
                reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            tell.send(String::from_utf8(body).unwrap()).unwrap();
        }
    });
    (address, batches)
}

/// Processes that a process has started, by any of its threads.
fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    // A thread may have ended meanwhile.
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    threads.flat_map(|thread| of(thread).split_whitespace().map(|n| n.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// How nice a process is: the nineteenth field of its line (proc_pid_stat(5)), of which the second may hold anything.
fn niceness(process: u32) -> i32 {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = line.rsplit_once(") ").unwrap().1;
    fields.split(' ').nth(16).unwrap().parse().unwrap()
}

#[test]
fn a_jailed_servers_compilers_are_nicer_than_it() {
    let (place, _) = Place::new();
    place.configure("etc", "10s");
    let server = Server::start(&place.at("etc/edge.toml"), &["--jail-gaps"]);
    assert!(matches!(deploy(&server, module(program("one"))), Progress::Deployed { version: 1, .. }));
    // The broker, whose children inherit it.
    let command = |process: &u32| std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    let children = children(server.child.id());
    let broker = children.iter().find(|process| command(process).contains("@compile-broker")).unwrap();
    assert_eq!(niceness(*broker), niceness(server.child.id()) + i32::from(COMPILER_NICER));
    stop(server);
}

#[test]
fn a_jailed_server_sends_spans_by_a_process_that_connects_to_the_collector_alone() {
    let (place, _) = Place::new();
    let (address, batches) = collector();
    let config = place.at("etc/edge.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}[traces]\nendpoint = \"http://{address}/v1/traces\"\n")).unwrap();
    let server = Server::start(&config, &[]);
    let said = server.says("jailed: ");
    assert!(
        said.contains(&format!("connects to nothing; other processes connect to the collector at {address} and what")),
        "{said}"
    );
    assert!(matches!(deploy(&server, module(program("one"))), Progress::Deployed { version: 1, .. }));
    for path in ["/first", "/second"] {
        assert!(server.get(path).ends_with("one   "));
        let batch = batches.recv_timeout(LINE_MAX).unwrap();
        assert!(batch.contains(path) && batch.contains("spanId"), "{batch}");
    }
    let command = |process: &u32| std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    let children = children(server.child.id());
    let dialer = children.iter().find(|process| command(process).contains("@collector-dialer")).unwrap();
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"] {
        assert!(each_thread_has(*dialer, line), "{line}");
    }
    // The server lives without it, and so do requests.
    kill(Pid::from_raw(*dialer as i32), Signal::SIGKILL).unwrap();
    assert!(server.get("/third").ends_with("one   "));
    let dropped = || wait(server.client().metrics()).unwrap().contains("selvedge_spans_dropped_total{} 1\n");
    for waited in 0.. {
        if dropped() {
            break;
        }
        assert!(waited < 600, "the span is neither sent nor dropped");
        std::thread::sleep(Duration::from_millis(100));
    }
    stop(server);
}

/// A server that answers each request with one word.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).for_each(drop);
            reader
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nword")
                .unwrap();
        }
    });
    address
}

#[test]
fn programs_of_a_jailed_server_ask_others_by_a_process_that_connects_to_what_is_listed() {
    let (place, _) = Place::new();
    let (one, other) = (upstream(), upstream());
    let config = place.at("etc/edge.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let list = |servers: &[SocketAddr]| {
        let urls: Vec<String> = servers.iter().map(|address| format!("http://{address}")).collect();
        std::fs::write(place.at("etc/.new"), format!("outbound = {urls:?}\n{text}")).unwrap();
        std::fs::rename(place.at("etc/.new"), &config).unwrap();
    };
    list(&[one]);
    let server = Server::start(&config, &[]);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/tests/guests/fetch.wat");
    let program = std::fs::read(program).unwrap();
    assert!(matches!(deploy(&server, program), Progress::Deployed { version: 1, .. }));
    let ask = |address: SocketAddr| {
        let order = format!("1\nGET\nhttp://{address}/\n\n");
        let mut stream = TcpStream::connect(&server.site).unwrap();
        let length = order.len();
        write!(stream, "POST / HTTP/1.0\r\nHost: site.localhost\r\nContent-Length: {length}\r\n\r\n{order}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask(one).ends_with("word"), "{}", ask(one));
    assert!(ask(other).contains("x-selvedge-limit: outbound_limit"), "{}", ask(other));
    list(&[other]);
    server.says("the configuration was read again");
    assert!(ask(other).ends_with("word"), "{}", ask(other));
    assert!(ask(one).contains("error 7"), "{}", ask(one));
    let command = |process: &u32| std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    let children = children(server.child.id());
    let dialer = children.iter().find(|process| command(process).contains("@outbound-dialer")).unwrap();
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"] {
        assert!(each_thread_has(*dialer, line), "{line}");
    }
    kill(Pid::from_raw(*dialer as i32), Signal::SIGKILL).unwrap();
    // The program is told, and nobody hangs.
    for _ in 0..3 {
        assert!(ask(other).contains("error 11"), "{}", ask(other));
    }
    stop(server);
}

#[test]
fn a_configuration_that_the_server_could_write_is_refused() {
    let (place, _) = Place::new();
    std::fs::create_dir_all(place.at("state/etc")).unwrap();
    std::fs::copy(place.at("etc/edge.toml"), place.at("state/etc/edge.toml")).unwrap();
    for name in ["state/etc/edge.toml", "link.toml"] {
        if name == "link.toml" {
            std::os::unix::fs::symlink(place.at("state/etc/edge.toml"), place.at(name)).unwrap();
        }
        let refused = Command::new(SELVEDGE).arg("serve").arg(place.at(name)).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("where the jailed server may write") && said.contains("keep it elsewhere"), "{said}");
        assert_eq!(refused.status.code(), Some(1), "{said}");
    }
}

/// A module that takes a while to compile.
fn long() -> Payload {
    let body = "(local.set 0 (i32.mul (i32.add (local.get 0) (i32.const 7)) (local.get 1)))".repeat(200);
    let functions = format!("(func (param i32 i32) (result i32) {body} (local.get 0))").repeat(1_000);
    module(format!("(module {functions} (func (export \"_start\")))"))
}

/// The compiler below a process, stopped: it does not end by itself.
fn stopped_compiler(process: u32) -> Pid {
    fn below(process: u32) -> Option<u32> {
        let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let verb = command.split('\0').nth(1).unwrap_or_default();
        // Before it is in its jail it has not asked to end with who started it.
        let is_jailed = || each_thread_has(process, "Seccomp:\t2");
        if verb == "compile" || verb == "@compile-child" && is_jailed() {
            return Some(process);
        }
        children(process).into_iter().find_map(below)
    }
    for _ in 0..60_000 {
        if let Some(compiler) = below(process) {
            let compiler = Pid::from_raw(compiler as i32);
            kill(compiler, Signal::SIGSTOP).unwrap();
            return compiler;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("nothing is compiled");
}

/// Waits for what does not happen if it does not in a minute.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} does not come");
}

/// A server that was stopped while a module was compiled neither answered nor ended until that was done, minutes later.
#[test]
fn a_server_that_is_stopped_waits_for_no_compiler() {
    for options in [&[][..], &["--unjailed"]] {
        let (place, _) = Place::new();
        let mut server = Server::start(&place.at("etc/edge.toml"), options);
        let client = server.client();
        let deploying = std::thread::spawn(move || {
            let site = Name::new("site").unwrap();
            wait(async { client.deploy(&site, &[], long(), drop).await }).is_ok()
        });
        let compiler = stopped_compiler(server.child.id());
        server.signal(Signal::SIGTERM);
        server.says("stopping");
        until("its end", || server.child.try_wait().unwrap().is_some_and(|status| status.success()));
        let is_gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{compiler}/stat"));
            // Nobody may have asked after it yet.
            stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
        };
        until("the compiler's end", is_gone);
        // Its client may have been told of a failure before the end.
        deploying.join().unwrap();
        let server = Server::start(&place.at("etc/edge.toml"), options);
        assert!(server.get("/").contains("no_site"));
        assert!(matches!(deploy(&server, module(program("one"))), Progress::Deployed { version: 1, .. }));
        stop(server);
    }
}

/// Hosts that a new configuration lists for others would go on in silence.
#[test]
fn hosts_that_others_list_are_named_in_the_log() {
    let (place, _) = Place::new();
    let server = Server::start(&place.at("etc/edge.toml"), &[]);
    assert!(matches!(deploy(&server, module(program("one"))), Progress::Deployed { version: 1, .. }));
    let text = std::fs::read_to_string(place.at("etc/edge.toml")).unwrap();
    std::fs::write(place.at("etc/.new"), text + "[tenants.default]\nhosts = []\n").unwrap();
    std::fs::rename(place.at("etc/.new"), place.at("etc/edge.toml")).unwrap();
    let named =
        "default/site answers as before, and gets no new version where it does: the host site.localhost is not on";
    server.says(named);
    assert!(server.get("/").ends_with("one   "));
    stop(server);
    // At a start it says so before it says where it is.
    let mut command = Command::new(SELVEDGE);
    let mut again = command.arg("serve").arg(place.at("etc/edge.toml")).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(again.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with(named)));
    again.kill().unwrap();
    again.wait().unwrap();
}

/// Whoever did not want to wait for requests under way had to kill the server.
#[test]
fn a_second_signal_ends_a_server_at_once() {
    let (place, _) = Place::new();
    let mut server = Server::start(&place.at("etc/edge.toml"), &[]);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/tests/guests/echo.wat");
    assert!(matches!(deploy(&server, std::fs::read(program).unwrap()), Progress::Deployed { version: 1, .. }));
    let mut held = TcpStream::connect(&server.site).unwrap();
    held.write_all(b"POST /x HTTP/1.1\r\nHost: site.localhost\r\nContent-Length: 3\r\n\r\n").unwrap();
    held.read_exact(&mut [0; 12]).unwrap();
    server.signal(Signal::SIGTERM);
    server.says("stopping: requests under way may end");
    assert!(server.child.try_wait().unwrap().is_none(), "one is under way");
    server.signal(Signal::SIGINT);
    server.says("stopped at once, as a second signal asks");
    assert!(server.child.wait().unwrap().success());
}

/// What was changed after it was read, and before the server began to look, was found when it was changed again.
#[test]
fn what_changes_while_the_server_starts_is_read_again() {
    let (place, _) = Place::new();
    let (mut said, mut full) = std::io::pipe().unwrap();
    // As much as a pipe holds: the server waits where it says its first word, after it has read its configuration.
    full.write_all(&[b'\n'; 64 << 10]).unwrap();
    let mut command = Command::new(SELVEDGE);
    command.arg("serve").arg(place.at("etc/edge.toml")).arg("--unjailed").stderr(full);
    let mut child = command.spawn().unwrap();
    drop(command);
    until("its state", || place.at("state/scratch").exists());
    place.configure("etc", "20s");
    let (tell, lines) = channel();
    std::thread::spawn(move || {
        let mut text = BufReader::new(&mut said).lines().map_while(Result::ok);
        text.by_ref().for_each(|line| drop(tell.send(line)));
    });
    let again = loop {
        match lines.recv_timeout(LINE_MAX) {
            Ok(line) if line.contains("the configuration was read again") => break true,
            Ok(_) => {}
            Err(_) => break false,
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(again, "it was not read again");
}

#[test]
fn a_server_that_is_not_jailed_says_so() {
    let (place, _) = Place::new();
    let server = Server::start(&place.at("etc/edge.toml"), &["--unjailed"]);
    server.says("warning: neither the server nor compilers are jailed, as --unjailed asks");
    assert!(each_thread_has(server.child.id(), "Seccomp:\t0") || each_thread_has(std::process::id(), "Seccomp:\t2"));
    assert!(matches!(deploy(&server, module(program("one"))), Progress::Deployed { version: 1, .. }));
    stop(server);
}
