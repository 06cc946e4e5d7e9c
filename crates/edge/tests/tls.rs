//! TLS: whose certificate, which version of HTTP, and certificates that change while connections are served.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{Edge, deploy, edge, guest, until};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use selvedge_edge::Config;
use selvedge_edge::client::{Client, ClientError, Progress, Roots};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Makes a certificate for names that vouches for itself, as `NAME.pem` and `NAME.key`.
fn make(directory: &Path, file: &str, names: &[&str]) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(directory.join(file).with_extension("pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.join(file).with_extension("key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// The same, for an authority: what simple tools make of whoever vouches for himself.
fn make_authority(directory: &Path, file: &str) {
    let mut made = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    made.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(directory.join(file).with_extension("pem"), made.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(directory.join(file).with_extension("key"), key.serialize_pem()).unwrap();
}

fn config(directory: &Path, files: &[&str]) -> String {
    let path = |file: &str, extension: &str| directory.join(file).with_extension(extension).display().to_string();
    let pair = |file: &&str| format!("{{ certificate = {:?}, key = {:?} }}", path(file, "pem"), path(file, "key"));
    let pairs: Vec<String> = files.iter().map(pair).collect();
    format!("{}\n[tls]\nlisten = \"127.0.0.1:0\"\ncertificates = [{}]\n", common::CONFIG, pairs.join(", "))
}

/// Connects, and expects a certificate.
async fn connect(
    edge: &Edge,
    name: &str,
    trusted: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(edge.server.secure().unwrap()).await?;
    let name = ServerName::try_from(name.to_string()).unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, stream).await
}

async fn get(stream: &mut TlsStream<TcpStream>, host: &str) -> String {
    stream.write_all(format!("GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut came = Vec::new();
    let _ = stream.read_to_end(&mut came).await;
    String::from_utf8_lossy(&came).into_owned()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_gets_its_certificate_and_each_client_its_version() {
    let place = Place::new();
    let one = make(place.0.path(), "one", &["env.localhost"]);
    let two = make(place.0.path(), "two", &["hello.localhost", "*.wild.localhost"]);
    let edge = edge(&config(place.0.path(), &["one", "two"])).await.with(&["hello", "env"]).await;
    for (name, certificate) in
        [("hello.localhost", &two), ("HELLO.localhost", &two), ("a.wild.localhost", &two), ("env.localhost", &one)]
    {
        connect(&edge, name, certificate, &[]).await.unwrap();
    }
    let stranger = connect(&edge, "a.b.wild.localhost", &two, &[]).await.unwrap_err();
    assert!(stranger.to_string().contains("certificate"), "{stranger}");
    let mut plain = connect(&edge, "env.localhost", &one, &[]).await.unwrap();
    let came = get(&mut plain, "env.localhost").await;
    assert!(came.contains("\nHTTPS=on\n") && came.contains("\nX_FULL_URL=https://env.localhost/x\n"), "{came}");
    let stream = connect(&edge, "hello.localhost", &two, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("https://hello.localhost/x").body(()).unwrap();
    let (response, _) = client.ready().await.unwrap().send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_and_bad_ones_leave_the_old() {
    let place = Place::new();
    let directory = place.0.path();
    let old = make(directory, "site", &["hello.localhost"]);
    let text = config(directory, &["site"]);
    let edge = edge(&text).await.with(&["hello"]).await;
    let mut before = connect(&edge, "hello.localhost", &old, &[]).await.unwrap();
    let reload = || {
        let mut config = Config::parse(&text, "edge.toml").unwrap();
        config.state = edge.state.path().to_owned();
        edge.server.reload(&config).map_err(|error| error.to_string())
    };
    let good = std::fs::read(place.file("site.pem")).unwrap();
    let other = make(directory, "other", &["hello.localhost"]);
    for (content, why) in [
        (std::fs::read(place.file("other.pem")).unwrap(), "does not belong to the certificate"),
        (b"nonsense".to_vec(), "expected -----BEGIN CERTIFICATE-----"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(), "its first certificate is none"),
        (vec![b'x'; 2 << 20], "expected at most"),
    ] {
        std::fs::write(place.file("site.pem"), content).unwrap();
        let error = reload().unwrap_err();
        assert!(error.contains(why) && error.contains("site.pem"), "{error}");
        connect(&edge, "hello.localhost", &old, &[]).await.unwrap();
    }
    std::fs::write(place.file("site.pem"), good).unwrap();
    std::fs::remove_file(place.file("site.key")).unwrap();
    assert!(reload().unwrap_err().contains("site.key: it cannot be read"));
    std::fs::rename(place.file("other.pem"), place.file("site.pem")).unwrap();
    std::fs::rename(place.file("other.key"), place.file("site.key")).unwrap();
    reload().unwrap();
    connect(&edge, "hello.localhost", &other, &[]).await.unwrap();
    connect(&edge, "hello.localhost", &old, &[]).await.unwrap_err();
    assert!(get(&mut before, "hello.localhost").await.ends_with("fine\n"), "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_are_none_end() {
    let place = Place::new();
    let certificate = make(place.0.path(), "one", &["hello.localhost"]);
    let edge = edge(&config(place.0.path(), &["one"])).await.with(&["hello"]).await;
    let address = edge.server.secure().unwrap();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n").await.unwrap();
    // A record that is announced and never comes.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"\x16\x03\x01\x40\x00\x01").await.unwrap();
    let mut good = connect(&edge, "hello.localhost", &certificate, &[]).await.unwrap();
    assert!(get(&mut good, "hello.localhost").await.ends_with("fine\n"));
    for (name, stream) in [("plain", &mut plain), ("slow", &mut slow), ("silent", &mut silent)] {
        let mut came = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut came)).await;
        assert!(end.is_ok() && !String::from_utf8_lossy(&came).contains("fine"), "{name}");
    }
    until("rest", || edge.server.live_instances() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_come_by_tls_and_trust_whom_they_are_told_to() {
    let place = Place::new();
    let directory = place.0.path();
    make(directory, "own", &["127.0.0.1"]);
    make(directory, "other", &["127.0.0.1"]);
    std::fs::write(place.file("none.pem"), "nothing").unwrap();
    let text = config(directory, &["own"]).replace("[tls]", "[tls]\nadmin = true");
    let edge = edge(&text).await;
    let port = edge.server.admin().port();
    let client =
        |host: &str, ca: &str| Client::trusting(&format!("https://{host}:{port}"), None, &Roots::File(place.file(ca)));
    let own = client("127.0.0.1", "own.pem").unwrap();
    let deployed = deploy(&own, "hello", guest("hello")).await;
    assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
    let other = client("127.0.0.1", "other.pem").unwrap();
    for stranger in [&other, &client("localhost", "own.pem").unwrap()] {
        let refused = stranger.sites().await.unwrap_err();
        assert!(matches!(refused, ClientError::Untrusted { .. }) && refused.to_string().contains("--ca"), "{refused}");
    }
    for ca in ["none.pem", "nowhere.pem"] {
        assert!(matches!(client("127.0.0.1", ca), Err(ClientError::Roots(why)) if why.contains(ca)));
    }
    let plain = edge.client.sites().await.unwrap_err().to_string();
    assert!(plain.contains("begins with https://"), "in plain text nobody is answered: {plain}");
    // What is replaced is replaced here, too.
    for end in ["pem", "key"] {
        std::fs::rename(place.file(&format!("other.{end}")), place.file(&format!("own.{end}"))).unwrap();
    }
    let mut changed = Config::parse(&text, "edge.toml").unwrap();
    changed.state = edge.state.path().to_owned();
    edge.server.reload(&changed).unwrap();
    assert!(matches!(own.sites().await, Err(ClientError::Untrusted { .. })));
    assert_eq!(other.sites().await.unwrap().len(), 1);
    make_authority(directory, "own");
    edge.server.reload(&changed).unwrap();
    let why = client("127.0.0.1", "own.pem").unwrap().sites().await.unwrap_err().to_string();
    assert!(why.contains("CA:FALSE"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_at_the_wrong_address_is_told_what_is_there() {
    let place = Place::new();
    make(place.0.path(), "own", &["127.0.0.1"]);
    let edge = edge(common::CONFIG).await;
    let secure = format!("https://{}", edge.server.admin());
    let secure = Client::trusting(&secure, None, &Roots::File(place.file("own.pem"))).unwrap();
    let why = secure.sites().await.unwrap_err().to_string();
    assert!(why.contains("does not speak TLS") && why.contains("begins with http://"), "{why}");
    let clients = Client::new(&format!("http://{}", edge.server.listen()), None).unwrap();
    let why = clients.sites().await.unwrap_err().to_string();
    assert!(why.contains("404") && why.contains("no admin API"), "{why}");
}
