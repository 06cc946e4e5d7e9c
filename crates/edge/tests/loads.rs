//! Sites that are kept, loaded at a start: by a machine that is short of something, and by another release.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Edge, InProcess, deploy, edge, get, guest, restarted, until};
use selvedge_edge::client::{Client, Name, Progress};
use selvedge_edge::store::{DiskStore, Store};
use selvedge_edge::{Compile, CompileError, Config, Server, start};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A read that failed once, or a moment without memory or descriptors, left a site without a version until somebody
/// deployed it or the server was started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_cannot_be_loaded_now_is_loaded_later() {
    let Edge { server, client, state } = edge(common::CONFIG).await.with(&["hello", "env"]).await;
    deploy(&client, "twin", guest("hello")).await;
    let artifact = client.versions(&name("hello")).await.unwrap().versions[0].artifact.unwrap();
    server.stop().await;
    drop(client);
    let mend = common::unreadable(state.path(), artifact);
    let server = restarted(common::CONFIG, state.path()).await;
    until("both are tried, and for others the server is ready", || {
        let health = server.health();
        (health.failed, health.loading) == (2, 0)
    })
    .await;
    assert!(get(server.listen(), "env", "/x").contains("PATH_INFO=/x"));
    let answer = get(server.listen(), "hello", "/");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"), "{answer}");
    assert!(answer.contains("x-selvedge-error: loading"), "{answer}");
    // A deploy does not wait for it.
    let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
    let deployed = deploy(&client, "twin", guest("env")).await;
    assert!(matches!(deployed, Progress::Deployed { version: 2, .. }), "{deployed:?}");
    assert!(get(server.listen(), "twin", "/x").contains("PATH_INFO=/x"));
    assert_eq!(server.health().failed, 1);
    mend();
    until("it is loaded", || get(server.listen(), "hello", "/").ends_with("fine\n")).await;
    assert_eq!(server.health().failed, 0);
}

/// What is damaged stays so: nobody is told to come back for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_whose_blob_is_gone_has_no_version() {
    let Edge { server, client, state } = edge(common::CONFIG).await.with(&["hello"]).await;
    let artifact = client.versions(&name("hello")).await.unwrap().versions[0].artifact.unwrap();
    server.stop().await;
    drop(client);
    std::fs::remove_file(state.path().join("blobs").join(artifact.to_string())).unwrap();
    let server = restarted(common::CONFIG, state.path()).await;
    assert!(get(server.listen(), "hello", "/").contains("x-selvedge-error: no_version"));
    assert_eq!(server.health().failed, 1);
}

/// Counts what it compiles.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Compile for Counting {
    fn compile(&self, module: &Path, artifact: &Path) -> Result<(), CompileError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        InProcess.compile(module, artifact)
    }
}

async fn started(state: &Path, compiler: &Arc<Counting>) -> Server {
    let mut config = Config::parse(common::CONFIG, "edge.toml").unwrap();
    config.state = state.to_owned();
    start(config, compiler.clone()).await.unwrap()
}

async fn free(state: &Path) {
    let lock = state.join("sites.redb");
    let is_free = || std::fs::File::open(&lock).is_ok_and(|file| file.try_lock().is_ok());
    until("the state to be free", is_free).await;
}

/// Puts what another release would have compiled in the place of the first version's artifact; the site's revision.
async fn updated(state: &Path) -> u64 {
    free(state).await;
    let store = DiskStore::open(state).unwrap();
    let mut record = store.sites().unwrap().remove(0);
    record.versions[0].artifact = Some(store.put_blob(b"\x7fELF of another release").unwrap());
    record.revision += 1;
    store.put_site(&record).unwrap();
    record.revision
}

/// Each rollback and each canary to what another release had compiled compiled it anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_had_compiled_anew_is_kept() {
    let Edge { server, client, state } = edge(common::CONFIG).await.with(&["hello"]).await;
    deploy(&client, "hello", guest("env")).await;
    server.stop().await;
    drop(client);
    let revision = updated(state.path()).await;
    let compiler = Arc::new(Counting::default());
    let server = started(state.path(), &compiler).await;
    let (client, site) = (Client::new(&format!("http://{}", server.admin()), None).unwrap(), name("hello"));
    until("it answers", || get(server.listen(), "hello", "/x").contains("PATH_INFO=/x")).await;
    assert_eq!(compiler.0.load(Ordering::SeqCst), 0);
    for round in 0..2 {
        client.canary(&site, 1, 5).await.unwrap();
        client.drop_canary(&site).await.unwrap();
        assert_eq!(client.rollback(&site, None).await.unwrap().active, 1);
        assert!(get(server.listen(), "hello", "/x").ends_with("fine\n"));
        let record = client.rollback(&site, Some(2)).await.unwrap();
        assert_eq!((record.active, record.revision), (2, revision + 4 * (round + 1)));
        assert_eq!(compiler.0.load(Ordering::SeqCst), 1);
    }
}

/// After an update each start compiled every site anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_release_has_compiled_is_compiled_once() {
    let Edge { server, client, state } = edge(common::CONFIG).await.with(&["hello"]).await;
    server.stop().await;
    drop(client);
    let revision = updated(state.path()).await;
    let compiler = Arc::new(Counting::default());
    for _ in 0..2 {
        let server = started(state.path(), &compiler).await;
        until("it answers", || get(server.listen(), "hello", "/").ends_with("fine\n")).await;
        assert_eq!(compiler.0.load(Ordering::SeqCst), 1);
        let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
        let record = client.versions(&name("hello")).await.unwrap();
        assert_eq!(record.revision, revision, "nobody has changed the site");
        let blobs = std::fs::read_dir(state.path().join("blobs")).unwrap().count();
        assert!((2..=3).contains(&blobs), "the old one goes when somebody sweeps: {blobs}");
        server.stop().await;
        drop(client);
        free(state.path()).await;
    }
    let store = DiskStore::open(state.path()).unwrap();
    assert_eq!(std::fs::read_dir(state.path().join("blobs")).unwrap().count(), 2);
    assert_eq!(store.sites().unwrap().len(), 1);
}
