//! Requests that programs make of other servers. Each file of `tests/outbound` says what a program asks for and what comes
//! of it, for its client and in the site's log; `UPDATE=1` writes down what came; read it.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Edge, edge, rest, send};
use selvedge_edge::client::{Entry, Event, Name};

/// A server that programs ask.
struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Upstream {
    fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                // Whoever hangs up ends his thread.
                std::thread::spawn(move || serve(stream.unwrap()));
            }
        });
        Upstream { address, connections }
    }

    fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Answers one request after the other; `None` when the connection is over.
fn serve(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            Some(reader.read_line(&mut head).ok()?).filter(|count| *count > 0)?;
        }
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let path = head.split(' ').nth(1)?.split('?').next()?.to_string();
        let out = reader.get_mut();
        match path.as_str() {
            "/echo" => {
                let body = [head.replace('\r', "").into_bytes(), body].concat();
                write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).ok()?;
                out.write_all(&body).ok()?;
            }
            "/small" => out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nsmall").ok()?,
            "/moved" => {
                out.write_all(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2/\r\ncontent-length: 0\r\n\r\n").ok()?;
            }
            "/chunks" => {
                out.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
                for piece in ["one ", "two ", "three"] {
                    write!(out, "{:x}\r\n{piece}\r\n", piece.len()).ok()?;
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                out.write_all(b"0\r\n\r\n").ok()?;
            }
            "/odd" => {
                let odd = b"HTTP/1.1 200 OK\r\nx-twice: 1\r\nx-latin: caf\xe9\r\nx-twice: 2\r\ncontent-length: 0\r\n\r\n";
                out.write_all(odd).ok()?;
            }
            "/broken" => {
                out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nnot all").ok()?;
                return None;
            }
            "/nonsense" => {
                out.write_all(b"220 mail.example ESMTP\r\n\r\n").ok()?;
                return None;
            }
            "/large" => {
                let body = vec![b'x'; 100 << 20];
                write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).ok()?;
                out.write_all(&body).ok()?;
            }
            // Never answers; the other side hangs up.
            "/never" => drop(out.read(&mut [0])),
            _ => return None,
        }
    }
}

/// A port that nobody listens on.
fn nobody() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What the program `fetch` answers when it is told to ask for something.
fn fetch(address: SocketAddr, order: &str) -> String {
    let length = order.len();
    let head = format!("POST /x HTTP/1.0\r\nHost: fetch.localhost\r\nContent-Length: {length}\r\n\r\n");
    rest(send(address, head + order))
}

async fn logged(edge: &Edge) -> Vec<Entry> {
    let mut entries = Vec::new();
    edge.client.logs(&Name::new("fetch").unwrap(), false, |entry| entries.push(entry)).await.unwrap();
    entries
}

/// A response's status, if it is an error, limits and body, and what the log says of its request.
fn shown(answer: &str, log: &[Entry]) -> Vec<String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let said = |line: &&str| line.starts_with("x-selvedge-");
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    let failures = log.iter().filter(|entry| entry.request.as_str() == id).filter_map(|entry| match &entry.event {
        Event::Failure { name, message } => Some(format!("! {name}: {message}")),
        _ => None,
    });
    let lines = head.lines().filter(said).chain(body.lines().filter(|line| !line.starts_with("request id")));
    lines.map(str::to_string).chain(failures).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_ask_the_servers_on_their_list_and_no_others() {
    let (upstream, other, nobody) = (Upstream::start(), Upstream::start(), nobody());
    let ports = [("PORT", upstream.port()), ("OTHER", other.port()), ("NOBODY", nobody)];
    let outbound = format!(
        "outbound = [\"http://127.0.0.1:{0}\", \"http://localhost:{0}\", \"http://127.0.0.1:{nobody}\",\n\
         {{ url = \"http://localhost:{1}\", private = true }}]\n",
        upstream.port(),
        other.port()
    );
    let edge = edge(&(outbound + common::CONFIG)).await.with(&["fetch"]).await;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outbound");
    let mut files: Vec<PathBuf> = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let of = |mark: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
            lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>()
        };
        let order = ports.iter().fold(of(">").join("\n") + "\n", |text, (name, port)| text.replace(name, &port.to_string()));
        let answer = fetch(edge.server.listen(), &order);
        let came = shown(&answer, &logged(&edge).await);
        let named = |line: &String| ports.iter().fold(line.clone(), |line, (name, port)| line.replace(&port.to_string(), name));
        let came: Vec<String> = came.iter().map(named).map(|line| line.trim_end().to_string()).collect();
        if std::env::var_os("UPDATE").is_some() {
            let kept = text.lines().filter(|line| !line.starts_with('<')).map(|line| format!("{line}\n"));
            let came = came.iter().map(|line| format!("< {line}").trim_end().to_string() + "\n");
            std::fs::write(&file, kept.chain(came).collect::<String>()).unwrap();
        } else if came != of("<") {
            let (file, expected) = (file.file_stem().unwrap().display(), of("<").join("\n"));
            wrong.push(format!("{file}, expected:\n{expected}\n\ncame:\n{}\n", came.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
