//! Requests that programs make of other servers. Each file of `tests/outbound` says what a program asks for and what comes
//! of it, for its client and in the site's log; `UPDATE=1` writes down what came; read it.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use common::{Edge, TWO_TENANTS, deploy, edge, guest, rest, send, until};
use selvedge_edge::client::{Client, Entry, Event, Host, Name, Progress};
use selvedge_edge::{Config, Dialing};

/// MiB of the largest answer.
const LARGE_PIECES: usize = 200;

/// A server that programs ask.
struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What it has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    /// MiB of large answers that were taken.
    pieces: AtomicUsize,
    /// Who asked and did not wait for the answer.
    hung_up: AtomicUsize,
}

impl Upstream {
    fn start() -> Upstream {
        Upstream::at("127.0.0.1:0")
    }

    fn at(address: &str) -> Upstream {
        let listener = TcpListener::bind(address).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
        let sees = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                sees.connections.fetch_add(1, Ordering::Relaxed);
                let sees = sees.clone();
                // Whoever hangs up ends his thread.
                std::thread::spawn(move || serve(stream.unwrap(), &sees));
            }
        });
        Upstream { address, seen }
    }

    fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Answers one request after the other; `None` when the connection is over.
fn serve(stream: TcpStream, Seen { pieces, hung_up, .. }: &Seen) -> Option<()> {
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
                out.write_all(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2/\r\ncontent-length: 0\r\n\r\n")
                    .ok()?;
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
                let odd =
                    b"HTTP/1.1 200 OK\r\nx-twice: 1\r\nx-latin: caf\xe9\r\nx-twice: 2\r\ncontent-length: 0\r\n\r\n";
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
                write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", LARGE_PIECES << 20).ok()?;
                for _ in 0..LARGE_PIECES {
                    out.write_all(&[b'x'; 1 << 20]).ok()?;
                    pieces.fetch_add(1, Ordering::Relaxed);
                }
            }
            // A head without an end, until the other side hangs up.
            "/begins" => {
                out.write_all(b"HTTP/1.1 200 OK\r\nx-long: ").ok()?;
                while out.write_all(b"x").is_ok() {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                hung_up.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            // Says without end that the answer will come.
            "/soon" => while out.write_all("HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000).as_bytes()).is_ok() {},
            // Never answers; the other side hangs up.
            "/never" => {
                assert_eq!(out.read(&mut [0]).unwrap_or(0), 0);
                hung_up.fetch_add(1, Ordering::Relaxed);
            }
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
        let order =
            ports.iter().fold(of(">").join("\n") + "\n", |text, (name, port)| text.replace(name, &port.to_string()));
        let answer = fetch(edge.server.listen(), &order);
        let came = shown(&answer, &logged(&edge).await);
        let named =
            |line: &String| ports.iter().fold(line.clone(), |line, (name, port)| line.replace(&port.to_string(), name));
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

/// A configuration in which programs may ask these.
fn listing(urls: &[String]) -> String {
    format!("outbound = {urls:?}\n{}", common::CONFIG)
}

fn order(url: &str) -> String {
    format!("1\nGET\n{url}\n\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_for_the_next_request_and_counted() {
    let upstream = Upstream::start();
    let url = format!("http://{}", upstream.address);
    let edge = edge(&listing(std::slice::from_ref(&url))).await.with(&["fetch"]).await;
    for _ in 0..20 {
        let answer = fetch(edge.server.listen(), &order(&format!("{url}/small")));
        assert!(answer.ends_with("\n\nsmall"), "{answer}");
    }
    let connections = upstream.seen.connections.load(Ordering::Relaxed);
    assert!(connections < 10, "{connections}");
    fetch(edge.server.listen(), &order(&format!("{url}/gone")));
    fetch(edge.server.listen(), &order("http://127.0.0.9/"));
    fetch(edge.server.listen(), &order("http://127.0.0.9/").replacen('1', "3", 1));
    let metrics = edge.client.metrics().await.unwrap();
    for line in [
        "selvedge_outbound_requests_total{tenant=\"default\",site=\"fetch\",outcome=\"answered\"} 20",
        "selvedge_outbound_requests_total{tenant=\"default\",site=\"fetch\",outcome=\"failed\"} 1",
        "selvedge_outbound_requests_total{tenant=\"default\",site=\"fetch\",outcome=\"refused\"} 4",
        "selvedge_limits_reached_total{tenant=\"default\",site=\"fetch\",limit=\"outbound\"} 2",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }
}

/// They had the places of connections to others for ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn kept_connections_are_in_nobodys_way() {
    let upstream = Upstream::at("0.0.0.0:0");
    let urls: Vec<String> = (1..250).map(|n| format!("http://127.0.1.{n}:{}", upstream.port())).collect();
    let edge = edge(&listing(&urls)).await.with(&["fetch"]).await;
    for url in &urls {
        let answer = fetch(edge.server.listen(), &order(&format!("{url}/small")));
        assert!(answer.ends_with("\n\nsmall"), "{url}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_program_says_is_an_error_at_most() {
    let upstream = Upstream::start();
    let url = format!("http://{}", upstream.address);
    let edge = edge(&listing(std::slice::from_ref(&url))).await.with(&["asks"]).await;
    let url = url + "/small";
    let head = format!("POST /x HTTP/1.0\r\nHost: asks.localhost\r\nContent-Length: {}\r\n\r\n", url.len());
    let answer = rest(send(edge.server.listen(), head + &url));
    assert!(answer.ends_with("\r\n\r\ndddddddgikgbbbbaefgddaedddaacadaaabb"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_as_it_is_read_and_left_when_its_program_ends() {
    let upstream = Upstream::start();
    let url = format!("http://{}", upstream.address);
    // No limit on the response here, but a client who takes nothing.
    let config = listing(std::slice::from_ref(&url)).replace("400KiB", "1GiB");
    let edge = edge(&config).await.with(&["fetch"]).await;
    let address = edge.server.listen();
    let ask = |path: &str| {
        let order = order(&format!("{url}{path}"));
        let head = format!("POST /x HTTP/1.0\r\nHost: fetch.localhost\r\nContent-Length: {}\r\n\r\n", order.len());
        send(address, head + &order)
    };
    let client = ask("/large");
    until("the answer to begin", || upstream.seen.pieces.load(Ordering::Relaxed) > 0).await;
    // Ended by its wall time, since its client takes nothing.
    until("the program to end", || edge.server.live_instances() == 0).await;
    let taken = upstream.seen.pieces.load(Ordering::Relaxed);
    assert!(taken < LARGE_PIECES / 2, "{taken} MiB were taken that nobody read");
    drop(client);
    // Whoever waits for an answer ends with its wall time; and with its client.
    assert!(rest(ask("/never")).contains("x-selvedge-error: wall_limit"));
    until("the request to be given up", || upstream.seen.hung_up.load(Ordering::Relaxed) == 1).await;
    assert!(rest(ask("/begins")).contains("x-selvedge-error: wall_limit"));
    until("the answer to be given up", || upstream.seen.hung_up.load(Ordering::Relaxed) == 2).await;
    let client = ask("/never");
    let connected = upstream.seen.connections.load(Ordering::Relaxed);
    until("the request", || edge.server.live_instances() == 1).await;
    drop(client);
    until("the program to end", || edge.server.live_instances() == 0).await;
    assert!(upstream.seen.connections.load(Ordering::Relaxed) <= connected + 1);
    let whole = fetch(address, &order(&format!("{url}/large")));
    let (_, body) = whole.rsplit_once("\n\n").unwrap();
    assert!(body.len() == LARGE_PIECES << 20 && body.bytes().all(|byte| byte == b'x'), "{} bytes", body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_tenants_own_and_change_while_it_serves() {
    let upstream = Upstream::start();
    let url = format!("http://{}", upstream.address);
    let tenants = |alpha: &str, beta: &str| {
        let text = TWO_TENANTS.replacen("tokens", &format!("outbound = [{alpha}]\n    tokens"), 1);
        text.replacen("[tenants.beta]", &format!("[tenants.beta]\n    outbound = [{beta}]"), 1)
    };
    let listed = format!("{url:?}");
    let edge = edge(&tenants(&listed, "")).await;
    for (site, token) in [("fetch", "a"), ("other", "b")] {
        let client = Client::new(&format!("http://{}", edge.server.admin()), Some(token.into())).unwrap();
        assert!(matches!(deploy(&client, site, guest("fetch")).await, Progress::Deployed { .. }));
    }
    let address = edge.server.listen();
    let ask = |site: &str| {
        let order = order(&format!("{url}/small"));
        let head = format!("POST /x HTTP/1.0\r\nHost: {site}.localhost\r\nContent-Length: {}\r\n\r\n", order.len());
        rest(send(address, head + &order)).ends_with("small")
    };
    assert_eq!([ask("fetch"), ask("other")], [true, false]);
    for (alpha, beta) in [("", &listed[..]), (&listed[..], &listed[..]), ("\"http://127.0.0.2\"", "")] {
        let mut config = Config::parse(&tenants(alpha, beta), "edge.toml").unwrap();
        config.state = edge.state.path().to_owned();
        let fixed = edge.server.reload(&config).unwrap();
        assert!(!fixed.contains(&"outbound_ca"), "{fixed:?}");
        assert_eq!([ask("fetch"), ask("other")], [alpha == listed, beta == listed]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_https_are_asked_by_http_2_and_must_be_who_they_should() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name).display().to_string();
    for name in ["ours", "others"] {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        std::fs::write(file(&format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(file(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    // The server that is asked is one like that which asks.
    let (certificate, key) = (file("ours.pem"), file("ours.key"));
    let tls =
        format!("[tls]\nlisten = \"0.0.0.0:0\"\ncertificates = [{{ certificate = {certificate:?}, key = {key:?} }}]");
    let asked = edge(&format!("{}\n{tls}\n", common::CONFIG)).await;
    let hosts = ["127.0.0.1", "localhost"].map(|host| Host::new(host).unwrap());
    asked.client.deploy(&Name::new("env").unwrap(), &hosts, guest("env"), |_| ()).await.unwrap();
    let port = asked.server.secure().unwrap().port();
    let urls = [format!("https://127.0.0.1:{port}"), format!("https://127.0.0.2:{port}")];
    // Four answers at once, three of which are not read, and are longer than what is sent of each until they are.
    let ca = format!("outbound_ca = {:?}\n", file("ours.pem"));
    asked.client.deploy(&Name::new("env").unwrap(), &hosts, guest("echo"), |_| ()).await.unwrap();
    let asking = edge(&(ca + &listing(&urls))).await.with(&["fetch"]).await;
    let body = "x".repeat(150 << 10);
    let answer = fetch(asking.server.listen(), &format!("4\nPOST\n{}/echo\n\n{body}", urls[0]));
    assert!(answer.ends_with(&format!("\n\n{body}")), "{}", answer.split("xxx").next().unwrap());
    asked.client.deploy(&Name::new("env").unwrap(), &hosts, guest("env"), |_| ()).await.unwrap();
    for (trusted, fits) in [("ours.pem", true), ("others.pem", false)] {
        let ca = format!("outbound_ca = {:?}\n", file(trusted));
        let edge = edge(&(ca + &listing(&urls))).await.with(&["fetch"]).await;
        let answer = fetch(edge.server.listen(), &order(&format!("{}/path?a=b", urls[0])));
        for line in ["SERVER_PROTOCOL=HTTP/2.0", "REQUEST_URI=/path?a=b", "HTTPS=on"] {
            assert_eq!(answer.lines().any(|l| l == line), fits, "{trusted}, {line}: {answer}");
        }
        let log = shown(&answer, &logged(&edge).await);
        assert_eq!(log.iter().any(|line| line.contains("invalid peer certificate")), !fits, "{log:?}");
        // Whose certificate is for another name is another one.
        let answer = fetch(edge.server.listen(), &order(&urls[1]));
        let log = shown(&answer, &logged(&edge).await);
        assert!(log[0] == "error 11" && log[1].contains("invalid peer certificate"), "{log:?}");
    }
}

/// What the server does for a program that asks was on nobody's account: one that waited for an answer had all the wall time
/// for it, however much there was to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_for_a_program_that_asks_is_of_its_cpu_time() {
    let upstream = Upstream::start();
    let url = format!("http://{}", upstream.address);
    let config = listing(std::slice::from_ref(&url)).replace("2s", "60s");
    let edge = edge(&config).await.with(&["fetch"]).await;
    let answer = fetch(edge.server.listen(), &order(&format!("{url}/soon")));
    assert!(answer.contains("x-selvedge-error: cpu_limit"), "{answer}");
}

/// A server with https that ends each connection with its answer; how each began.
fn secure_upstream(certificate: &Path, key: &Path) -> (SocketAddr, Arc<Mutex<Vec<HandshakeKind>>>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, kinds) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
    let seen = kinds.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream.unwrap()));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).is_ok_and(|count| count > 0) {}
            let stream = stream.get_mut();
            seen.lock().unwrap().extend(stream.conn.handshake_kind());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nsmall");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (address, kinds)
}

/// By a session that two tenants shared, a server could tell that the same machine asks for both.
#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_goes_on_with_anothers_tls_session() {
    let place = tempfile::tempdir().unwrap();
    let [certificate, key] = ["ours.pem", "ours.key"].map(|name| place.path().join(name));
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (upstream, kinds) = secure_upstream(&certificate, &key);
    let url = format!("https://{upstream}");
    let edge = edge(&format!("outbound_ca = {certificate:?}\noutbound = [{url:?}]\n{TWO_TENANTS}")).await;
    for (site, token) in [("fetch", "a"), ("other", "b")] {
        let client = Client::new(&format!("http://{}", edge.server.admin()), Some(token.into())).unwrap();
        assert!(matches!(deploy(&client, site, guest("fetch")).await, Progress::Deployed { .. }));
    }
    for site in ["fetch", "fetch", "other", "other"] {
        let order = order(&format!("{url}/small"));
        let head = format!("POST /x HTTP/1.0\r\nHost: {site}.localhost\r\nContent-Length: {}\r\n\r\n", order.len());
        let answer = rest(send(edge.server.listen(), head + &order));
        assert!(answer.ends_with("\n\nsmall"), "{answer}");
    }
    let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
    assert_eq!(*kinds.lock().unwrap(), [full, resumed, full, resumed]);
}

#[test]
fn who_connects_for_a_jailed_server_asks_the_configuration_alone() {
    let upstream = Upstream::start();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("edge.toml");
    let write = |text: &str| {
        let new = place.path().join(".new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    // The server has read it; it is being changed when the other process looks.
    write("outbound = [");
    let dialing = Dialing::new(&file);
    let port = upstream.port();
    let dial = |words: &str| dialing.connect(words).map(drop).map_err(|error| error.kind());
    let denied = Err(std::io::ErrorKind::PermissionDenied);
    assert_eq!(dial(&format!("private 127.0.0.1:{port}")), denied);
    write(&format!("[tenants.a]\noutbound = [\"http://{}\"]\n", upstream.address));
    assert_eq!(dial(&format!("private 127.0.0.1:{port}")), Ok(()));
    // Listed, but not everybody's: a server that does not say so does not know that.
    assert_eq!(dial(&format!("127.0.0.1:{port}")), denied);
    for words in ["127.0.0.1:1", "private 127.0.0.1:1", "private 127.0.0.2:80", "private localhost:80", "", "\n", "x"] {
        assert_eq!(dial(words), denied, "{words:?}");
    }
    assert_eq!(dial(&format!("private localhost:{port}")), denied);
    write(&format!("[tenants.a]\noutbound = [{{ url = \"http://localhost:{port}\", private = true }}]\n"));
    assert_eq!(dial(&format!("private localhost:{port}")), Ok(()));
    assert_eq!(dial(&format!("localhost:{port}")), denied);
    assert_eq!(dial(&format!("private 127.0.0.1:{port}")), denied);
    write("[tenants.a]\noutbound = 5\n");
    assert_eq!(dial(&format!("private localhost:{port}")), Ok(()), "a file that is wrong changes nothing");
    write("");
    assert_eq!(dial(&format!("private localhost:{port}")), denied);
}
