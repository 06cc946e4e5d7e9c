//! The server as data: each file of `tests/serve` says what is sent on one connection, byte by byte but for ends of
//! lines, and what comes back. `UPDATE=1` writes down what came; read it.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

const GUESTS: [&str; 13] = [
    "waits", "hello", "trap", "exits", "wrong", "silent", "spins", "floods", "grows", "endless", "echo", "env", "told",
];

fn main() {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());
    let edge = runtime.block_on(async { common::edge(common::CONFIG).await.with(&GUESTS).await });
    let address = edge.server.listen();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/serve");
    let mut files: Vec<PathBuf> = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let trial = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        Trial::test(name, move || check(&file, address))
    };
    libtest_mimic::run(&arguments, files.into_iter().map(trial).collect()).exit();
}

fn check(file: &Path, address: SocketAddr) -> Result<(), Failed> {
    let text = std::fs::read_to_string(file)?;
    let of = |mark: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(mark))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect::<Vec<_>>()
    };
    let came = shown(&exchange(address, &(of(">").join("\r\n") + "\r\n"))?);
    if std::env::var_os("UPDATE").is_some() {
        let kept: String = text.lines().filter(|line| !line.starts_with('<')).map(|line| format!("{line}\n")).collect();
        let came: String = came.iter().map(|line| format!("< {line}").trim_end().to_string() + "\n").collect();
        return Ok(std::fs::write(file, kept + &came)?);
    }
    let came: Vec<&str> = came.iter().map(|line| line.trim_end()).collect();
    let expected = of("<");
    if came == expected {
        Ok(())
    } else {
        Err(format!("expected:\n{}\n\ncame:\n{}", expected.join("\n"), came.join("\n")).into())
    }
}

/// Sends all, and returns what comes until the server ends the connection.
fn exchange(address: SocketAddr, sent: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(sent.as_bytes())?;
    let mut came = Vec::new();
    // A connection that breaks off says what it said before.
    let _ = stream.read_to_end(&mut came);
    Ok(came)
}

/// As lines, without what differs each time; bodies of zeroes by their length.
fn shown(came: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(came).replace('\r', "");
    let line = |line: &str| {
        let zeroes = line.matches('\0').count();
        let line = line.replace('\0', "");
        match line.split_once(": ") {
            Some((name @ ("x-request-id" | "request id"), _)) => format!("{name}: ID"),
            Some((name @ "date", _)) => format!("{name}: DATE"),
            _ if line.starts_with("UNIQUE_ID=") => "UNIQUE_ID=ID".into(),
            _ if line.starts_with("REMOTE_PORT=") => "REMOTE_PORT=PORT".into(),
            _ if line.starts_with("SERVER_PORT=") => "SERVER_PORT=PORT".into(),
            _ if zeroes > 0 => format!("{line}({zeroes} zeroes)"),
            _ => line,
        }
    };
    text.lines().map(line).collect()
}
