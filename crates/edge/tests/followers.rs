//! Logs that are followed and pages that are watched: answers without an end, which must be in nobody's way and go no
//! further than whoever asked may see.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use common::{Edge, deploy, edge, get, guest, rest, send, until};
use selvedge_edge::Config;
use selvedge_edge::client::{Client, Host, Name};
use sha2::{Digest, Sha256};

fn hash(token: &str) -> String {
    let digest = Sha256::digest(token);
    format!("\"sha256:{}\"", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Tenants `t0` and so on with a token of each name, and `r0` and so on that only read.
fn tenants(count: usize) -> String {
    let tenant = |n| {
        let (all, reads) = (hash(&format!("t{n}")), hash(&format!("r{n}")));
        format!("[tenants.t{n}]\ntokens = [{all}, {{ hash = {reads}, may = \"read\" }}]\n")
    };
    let tenants: String = (0..count).map(tenant).collect();
    format!("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{tenants}")
}

fn client(admin: SocketAddr, token: &str) -> Client {
    Client::new(&format!("http://{admin}"), Some(token.into())).unwrap()
}

/// Asks for something, and returns the head of what is answered.
fn begin(admin: SocketAddr, path: &str, headers: &str) -> (String, TcpStream) {
    let mut stream = send(admin, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (String::from_utf8(head).unwrap(), stream)
}

fn follow(admin: SocketAddr, token: &str) -> (String, TcpStream) {
    begin(admin, "/v1/sites/hello/logs?follow=true", &format!("Authorization: Bearer {token}\r\n"))
}

/// A browser's header, of a session that begins with a token.
fn log_in(admin: SocketAddr, token: &str) -> String {
    let body = format!("token={token}");
    let head =
        format!("POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}", body.len());
    let answer = rest(send(admin, format!("{head}\r\n\r\n{body}")));
    let cookie =
        answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("{answer}"));
    format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

/// Reads until a part has come.
fn read_until(stream: &mut TcpStream, part: &str) {
    let (mut came, mut piece) = (String::new(), [0; 4096]);
    while !came.contains(part) {
        let count = stream.read(&mut piece).unwrap_or_else(|error| panic!("{error} after {came}"));
        assert!(count > 0, "it ended after {came}");
        came += &String::from_utf8_lossy(&piece[..count]);
    }
}

/// A token that reads had all connections of the server's operators, and nobody could roll anything back.
#[tokio::test(flavor = "multi_thread")]
async fn who_follows_leaves_room_for_requests_that_end() {
    let Edge { server, client: _nobody, state: _state } = edge(&tenants(6)).await;
    let admin = server.admin();
    for tenant in 0..6 {
        let client = client(admin, &format!("t{tenant}"));
        let (site, hosts) = (Name::new("hello").unwrap(), [Host::new(&format!("t{tenant}.localhost")).unwrap()]);
        client.deploy(&site, &hosts, guest("hello"), drop).await.unwrap();
    }
    let ok = |head: &str| head.starts_with("HTTP/1.1 200 ");
    let browser = log_in(admin, "r0");
    let mut held = Vec::new();
    for n in 0..20 {
        // A followed log or a watched page, it is the same.
        let (head, stream) =
            if n % 2 == 0 { follow(admin, "r0") } else { begin(admin, "/sites/hello/events", &browser) };
        assert_eq!(ok(&head), n < 16, "{n}: {head}");
        if ok(&head) {
            held.push(stream);
        } else {
            assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
        }
    }
    assert!(begin(admin, "/events", &browser).0.starts_with("HTTP/1.1 429 "));
    // All tenants together have no more than some of the connections.
    for (tenant, ones) in [(1, 16), (2, 16), (3, 16), (4, 0), (5, 0)] {
        let token = format!("r{tenant}");
        for n in 0..16 {
            let (head, stream) = follow(admin, &token);
            assert_eq!(ok(&head), n < ones, "{tenant} {n}: {head}");
            match ok(&head) {
                true => held.push(stream),
                false => assert!(head.starts_with("HTTP/1.1 503 "), "{head}"),
            }
        }
    }
    assert_eq!(held.len(), 64);
    assert!(ok(&begin(admin, "/healthz", "").0));
    assert!(ok(&begin(admin, "/metrics", "Authorization: Bearer r5\r\n").0));
    let last = deploy(&client(admin, "t0"), "hello", guest("hello")).await;
    assert!(format!("{last:?}").contains("version: 2"), "{last:?}");
    client(admin, "t0").rollback(&Name::new("hello").unwrap(), None).await.unwrap();
    // Who goes away makes room.
    drop(held);
    until("a place", || ok(&follow(admin, "r5").0)).await;
}

/// What was followed with a token was told to whoever had it for as long as they liked, whatever became of the token.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_ends_with_the_token_or_session_that_opened_it() {
    let text = common::SCOPED_TOKENS;
    let Edge { server, client: _nobody, state } = edge(text).await;
    let admin = server.admin();
    deploy(&client(admin, "a"), "hello", guest("hello")).await;
    let (a, b) = (log_in(admin, "a"), log_in(admin, "b"));
    let (head, mut kept) = follow(admin, "a");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let watch = |path: &str, browser: &str| {
        let (head, mut stream) = begin(admin, path, browser);
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        read_until(&mut stream, "event: part");
        stream
    };
    // Logged out: that session's pages end, another's do not.
    let (mine, site, other) = (watch("/events", &a), watch("/sites/hello/events", &a), watch("/events", &b));
    let page = rest(send(admin, format!("GET / HTTP/1.1\r\nHost: localhost\r\n{a}Connection: close\r\n\r\n")));
    let form = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let head = format!("POST /logout HTTP/1.1\r\nHost: localhost\r\n{a}Connection: close\r\nContent-Length: 69");
    assert!(rest(send(admin, format!("{head}\r\n\r\nform={form}"))).contains("location: /login"));
    ends(mine);
    ends(site);
    let (_, mut followed) = follow(admin, "b");
    get(server.listen(), "hello", "/seen");
    read_until(&mut followed, "GET /seen");
    // The token is taken back, or is for other sites from now on.
    let reads = text.lines().find(|line| line.contains("may = \"read\"")).unwrap();
    let reload = |text: &str| {
        let mut config = Config::parse(text, "edge.toml").unwrap();
        config.state = state.path().to_owned();
        server.reload(&config).unwrap();
    };
    reload(&text.replace(reads, &reads.replace("may = \"read\"", "may = \"read\", sites = [\"other\"]")));
    get(server.listen(), "hello", "/secret");
    assert!(!ends(followed).contains("GET /secret"));
    let other_page = watch("/events", &b);
    reload(&text.replace(reads, ""));
    get(server.listen(), "hello", "/secret");
    ends(other);
    ends(other_page);
    // Whose token is still good goes on.
    get(server.listen(), "hello", "/last");
    read_until(&mut kept, "GET /last");
}

/// What comes to the end of an answer.
fn ends(mut stream: TcpStream) -> String {
    // Far less than after which a page ends anyway.
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (mut came, mut piece) = (String::new(), [0; 4096]);
    while !came.ends_with("0\r\n\r\n") {
        let count = stream.read(&mut piece).unwrap_or_else(|error| panic!("it goes on: {error} after {came}"));
        if count == 0 {
            break;
        }
        came += &String::from_utf8_lossy(&piece[..count]);
    }
    came
}

/// Whose machine vanished kept its place until the server was started again: nothing is ever sent to a quiet site's reader.
#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_asks_after_operators_who_say_nothing() {
    let Edge { server, client: _client, state: _state } = edge(common::CONFIG).await.with(&["hello"]).await;
    let (_, stream) = begin(server.admin(), "/v1/sites/hello/logs?follow=true", "x-selvedge: 1\r\n");
    let (here, there) = (stream.local_addr().unwrap().port(), server.admin().port());
    let ends = format!("0100007F:{there:04X} 0100007F:{here:04X} 01 ");
    // The server's end, which waits with the timer of kind 2, that of keepalive.
    let watched = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| line.contains(&ends)).unwrap_or_else(|| panic!("{ends}\n{table}"));
        line.split_whitespace().nth(5).unwrap().starts_with("02:")
    };
    until("keepalive", watched).await;
}

#[tokio::test]
async fn an_empty_line_says_that_somebody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        let entry = "{\"time_ms\":1,\"request\":\"r\",\"event\":\"guest\",\"line\":\"said\"}";
        write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\n{entry}\n\n\n{entry}\n\n").unwrap();
        // What it still sends is read, so that the connection ends in order.
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let client =
        Client::new(&format!("http://{address}"), Some("a-token-that-makes-the-request-longer".into())).unwrap();
    let mut said = Vec::new();
    client.logs(&Name::new("hello").unwrap(), true, |entry| said.push(entry.to_string())).await.unwrap();
    assert_eq!(said, ["r | said", "r | said"]);
    server.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_document_have_heads() {
    let Edge { server, client: _client, state: _state } = edge(common::TWO_TENANTS).await;
    for path in ["/healthz", "/openapi.json"] {
        let answer =
            rest(send(server.admin(), format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{path}\n{answer}");
    }
}
