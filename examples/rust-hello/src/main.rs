//! A service in Rust: a CGI program. The request comes as environment and standard input, the answer goes to standard
//! output as header lines, an empty line and the body; what is written to standard error is the site's log.

use std::env;
use std::io::{self, BufWriter, Read, Write};

fn main() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let (method, path) = (variable("REQUEST_METHOD"), variable("PATH_INFO"));
    // Of what answers HEAD the server leaves the body out.
    let asked = if method == "HEAD" { "GET" } else { method.as_str() };
    match (asked, path.as_str()) {
        ("GET", "/") => greet(&mut out)?,
        ("POST", "/count") => count(&mut out)?,
        ("GET", "/numbers") => numbers(&mut out)?,
        (_, "/" | "/numbers") => refuse(&mut out, "GET, HEAD")?,
        (_, "/count") => refuse(&mut out, "POST")?,
        _ => {
            eprintln!("nothing for {method} {path}");
            begin(&mut out, "404 Not Found")?;
            writeln!(out, "there is nothing at {path}")?;
        }
    }
    out.flush()
}

fn begin(out: &mut impl Write, status: &str) -> io::Result<()> {
    write!(out, "Status: {status}\nContent-Type: text/plain; charset=utf-8\n\n")
}

fn refuse(out: &mut impl Write, allowed: &str) -> io::Result<()> {
    begin(out, &format!("405 Method Not Allowed\nAllow: {allowed}"))?;
    writeln!(out, "allowed here: {allowed}")
}

fn greet(out: &mut impl Write) -> io::Result<()> {
    let name = parameter("name").unwrap_or_else(|| "world".into());
    begin(out, "200 OK")?;
    writeln!(out, "hello, {name}, from Rust")
}

/// Reads the body as it comes: it need not fit into memory.
fn count(out: &mut impl Write) -> io::Result<()> {
    let (mut bytes, mut lines) = (0, 0);
    let (mut body, mut buffer) = (io::stdin().lock(), [0; 16 * 1024]);
    loop {
        let got = body.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        bytes += got;
        lines += buffer[..got].iter().filter(|byte| **byte == b'\n').count();
    }
    begin(out, "200 OK")?;
    writeln!(out, "{bytes} bytes, {lines} lines")
}

/// Writes more than the server buffers: the client gets it while it is written.
fn numbers(out: &mut impl Write) -> io::Result<()> {
    begin(out, "200 OK")?;
    (1..=100_000).try_for_each(|number| writeln!(out, "{number}"))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The value of a parameter of the query.
fn parameter(name: &str) -> Option<String> {
    let query = variable("QUERY_STRING");
    let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    Some(decoded(value))
}

/// Text without its escapes (`%20`).
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().replace('+', " ").into_bytes();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(part[2..].replace('+', " ").bytes());
            }
            None => bytes.extend(format!("%{part}").bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
