//! What a tenant's deploys take from others: places, turns, sites and bytes on the disk.

mod common;

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Edge, InProcess, TWO_TENANTS, deploy, edge, get, guest, rest, send, until};
use selvedge_edge::client::{Client, ClientError, Name, Payload, Progress, Stage};
use selvedge_edge::limits::DEPLOYS_OF_TENANT_MAX;
use selvedge_edge::{Compile, CompileError, Config, Server, start};

/// What does not come in this time does not come.
const COMES: Duration = Duration::from_secs(60);

/// A compiler that a module with the word `held` keeps busy.
#[derive(Default)]
struct Held {
    released: AtomicBool,
    at_work: AtomicUsize,
}

impl Compile for Held {
    fn compile(&self, module: &Path, artifact: &Path) -> Result<(), CompileError> {
        let held = std::fs::read(module).unwrap().windows(4).any(|word| word == b"held");
        self.at_work.fetch_add(held.into(), Ordering::SeqCst);
        while held && !self.released.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        InProcess.compile(module, artifact)
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn held() -> Vec<u8> {
    [&guest("hello")[..], b";; held"].concat()
}

fn of(server: &Server, token: &str) -> Client {
    Client::new(&format!("http://{}", server.admin()), Some(token.into())).unwrap()
}

/// A deploy of alpha's, of which a part of the body has come.
fn began(server: &Server) -> TcpStream {
    let head = "POST /v1/sites/none/versions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nx-selvedge: 1\r\n\
                Content-Length: 1000000\r\nConnection: close\r\n\r\nbeginning";
    send(server.admin(), head)
}

fn scratch(state: &Path) -> usize {
    std::fs::read_dir(state.join("scratch")).unwrap().count()
}

/// One tenant's uploads held both permits there were, and its rollbacks waited with everybody else's behind them; how
/// many lay on the disk meanwhile nobody counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_holds_up_no_other_and_has_so_many_deploys_at_once() {
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::parse(TWO_TENANTS, "edge.toml").unwrap();
    config.state = state.path().to_owned();
    let compiler = Arc::new(Held::default());
    let server = start(config, compiler.clone()).await.unwrap();
    let (alpha, beta) = (of(&server, "a"), of(&server, "b"));
    for _ in 0..2 {
        assert!(matches!(deploy(&alpha, "steady", guest("hello")).await, Progress::Deployed { .. }));
    }
    let alphas = (0..DEPLOYS_OF_TENANT_MAX).map(|at| {
        let alpha = alpha.clone();
        tokio::spawn(async move { deploy(&alpha, &format!("held-{at}"), held()).await })
    });
    let alphas: Vec<_> = alphas.collect();
    until("all of them", || scratch(state.path()) > DEPLOYS_OF_TENANT_MAX).await;
    // One more is told so before it is read.
    let refused = tokio::task::spawn_blocking({
        let more = began(&server);
        move || rest(more)
    });
    let refused = tokio::time::timeout(COMES, refused).await.unwrap().unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("retry-after: "), "{refused}");
    assert!(refused.contains("4 deploys under way"), "{refused}");
    // Another tenant deploys, and this one changes what does not compile.
    let deployed = tokio::time::timeout(COMES, deploy(&beta, "other", guest("hello"))).await.unwrap();
    assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
    let back = tokio::time::timeout(COMES, alpha.rollback(&name("steady"), None)).await.unwrap();
    assert_eq!(back.unwrap().active, 1);
    assert_eq!(compiler.at_work.load(Ordering::SeqCst), 1, "one of a tenant at a time");
    compiler.released.store(true, Ordering::SeqCst);
    for deployed in alphas {
        let deployed = deployed.await.unwrap();
        assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
    }
    until("nothing left", || scratch(state.path()) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_it_uploads_leaves_its_place() {
    let Edge { server, client: _nobody, state } = edge(TWO_TENANTS).await;
    let uploads: Vec<_> = (0..DEPLOYS_OF_TENANT_MAX).map(|_| began(&server)).collect();
    until("all of them", || scratch(state.path()) == DEPLOYS_OF_TENANT_MAX).await;
    let alpha = of(&server, "a");
    let refused = alpha.deploy(&name("mine"), &[], guest("hello"), drop).await;
    assert!(matches!(refused, Err(ClientError::Refused { status: 429, .. })), "{refused:?}");
    drop(uploads);
    until("their places", || scratch(state.path()) == 0).await;
    assert!(matches!(deploy(&alpha, "mine", guest("hello")).await, Progress::Deployed { .. }));
}

/// A bundle with one file of so many KiB, of which no two are the same.
fn files(kib: usize, word: u8) -> Payload {
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size((kib << 10) as u64);
    archive.append_data(&mut header, "assets/x", &vec![word; kib << 10][..]).unwrap();
    Payload::Bundle(archive.into_inner().unwrap())
}

async fn deploy_files(client: &Client, site: &str, payload: Payload) -> Progress {
    let mut last = None;
    client.deploy(&name(site), &[], payload, |progress| last = Some(progress)).await.unwrap();
    last.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_keeps_is_bounded_and_its_older_versions_give_way() {
    let config = common::CONFIG.to_string() + "sites = 2\nstorage = \"250KiB\"\n";
    let Edge { server, client, state } = edge(&config).await;
    let blobs = || std::fs::read_dir(state.path().join("blobs")).unwrap().count();
    let kept = async |site: &str| {
        let record = client.versions(&name(site)).await.unwrap();
        record.versions.iter().map(|version| version.number).collect::<Vec<_>>()
    };
    for word in *b"abc" {
        let deployed = deploy_files(&client, "one", files(100, word)).await;
        assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
    }
    assert_eq!(kept("one").await, [2, 3], "the oldest went, the one that answered before did not");
    until("what it left", || blobs() == 2).await;
    for (site, kib) in [("one", 200), ("two", 100)] {
        match deploy_files(&client, site, files(kib, b'd')).await {
            Progress::Failed { stage: Stage::Store, message } => {
                assert!(message.contains("limits.storage is 250 KiB"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        until("nothing left of it", || blobs() == 2).await;
    }
    assert!(get(server.listen(), "one", "/x").ends_with(&"c".repeat(1000)));
    // The same bytes again take no room.
    let deployed = deploy_files(&client, "two", files(100, b'c')).await;
    assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
    match client.deploy(&name("three"), &[], files(1, b'x'), drop).await {
        Err(ClientError::Refused { status: 403, message }) => {
            assert!(message.contains("has 2 sites, and limits.sites is 2"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    client.delete(&name("two")).await.unwrap();
    let deployed = deploy_files(&client, "three", files(1, b'x')).await;
    assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
}
