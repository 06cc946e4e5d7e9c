//! A server that is killed, at random moments, while deploys are under way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use selvedge_edge::client::{Client, Name, Payload, Progress};

/// Within this a kill comes: time for a few deploys.
const DELAY_MAX_US: u64 = 150_000;

const SELVEDGE: &str = env!("CARGO_BIN_EXE_selvedge");

/// A server, and where it listens.
struct Server {
    child: Child,
    site: String,
    admin: String,
}

impl Server {
    fn start(state: &Path) -> Server {
        let mut command = Command::new(SELVEDGE);
        // Whether there is a jail on this machine is tested elsewhere.
        command
            .args(["serve", "--unjailed", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state"])
            .arg(state);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut address = |mark: &str| {
            let line = lines.next().expect("the server says where it listens").unwrap();
            let (_, address) = line.split_once(mark).unwrap_or_else(|| panic!("{line}"));
            address.split([':', ',']).take(2).collect::<Vec<_>>().join(":")
        };
        let (site, admin) = (address("on http://"), address("admin on http://"));
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, site, admin }
    }

    /// What the site answers, its program and its file alike; nothing if there is none yet.
    fn answer(&self) -> Option<u32> {
        let program = self.get("/")?;
        if has_file(program) {
            assert_eq!(self.get("/number"), Some(program), "a version's file is that version's");
        }
        Some(program)
    }

    fn get(&self, path: &str) -> Option<u32> {
        let mut stream = TcpStream::connect(&self.site).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: site.localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 ") || head.contains("no_site"), "{answer}");
        body.trim().parse().ok()
    }
}

/// A program that answers with a number.
fn program(number: u32) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\20\00\00\00")
            (data (i32.const 16) "Content-Type: text/plain\n\n{number:05}\n")
            (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
}

/// Every other version has a file beside its program.
fn has_file(number: u32) -> bool {
    number.is_multiple_of(2)
}

/// A module, or a bundle.
fn payload(number: u32) -> Payload {
    let (module, file) = (program(number).into_bytes(), format!("{number:05}\n").into_bytes());
    if !has_file(number) {
        return module.into();
    }
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    for (name, contents) in [("app.wat", module), ("assets/number", file)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        archive.append_data(&mut header, name, &contents[..]).unwrap();
    }
    Payload::Bundle(archive.into_inner().unwrap())
}

/// Deploys a version; whether that was acknowledged.
async fn deploy(admin: &str, number: u32) -> bool {
    let client = Client::new(&format!("http://{admin}"), None).unwrap();
    let (site, mut last) = (Name::new("site").unwrap(), None);
    let done = client.deploy(&site, &[], payload(number), |progress| last = Some(progress));
    // Also if the connection broke off right after it.
    let _ = done.await;
    matches!(last, Some(Progress::Deployed { .. }))
}

#[test]
fn a_server_that_is_killed_loses_no_acknowledged_deploy() {
    let kills = std::env::var("SELVEDGE_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(200);
    let place = tempfile::tempdir().unwrap();
    let state = place.path().join("state");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut random = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let (mut acknowledged, mut tried, mut all_acknowledged, mut broken_off) = (0, 0, 0, 0);
    for kill in 0..kills {
        let mut server = Server::start(&state);
        let answers = server.answer().unwrap_or(0);
        assert!(
            (acknowledged..=tried).contains(&answers),
            "kill {kill}: {acknowledged} was acknowledged, {answers} answers"
        );
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_micros((random >> 33) % DELAY_MAX_US);
        std::thread::scope(|scope| {
            let child = &mut server.child;
            let killer = scope.spawn(move || {
                std::thread::sleep(delay);
                child.kill().unwrap();
                child.wait().unwrap();
            });
            while !killer.is_finished() {
                tried += 1;
                if runtime.block_on(deploy(&server.admin, tried)) {
                    (acknowledged, all_acknowledged) = (tried, all_acknowledged + 1);
                } else {
                    broken_off += 1;
                }
            }
        });
    }
    let mut server = Server::start(&state);
    assert!((acknowledged..=tried).contains(&server.answer().unwrap_or(0)));
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    println!("{kills} kills, {all_acknowledged} deploys acknowledged, {broken_off} broken off");
    assert!(all_acknowledged > 0 && broken_off > 0, "the kills came at other moments than within deploys");
}
