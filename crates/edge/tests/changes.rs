//! Changes that take their time, and what is changed meanwhile: the site, its tenant, the token, somebody else's mind.

mod common;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Edge, InProcess, TWO_TENANTS, edge, get, guest, rest, send, until};
use selvedge_edge::client::{Client, ClientError, DeployOrder, Host, Name, Prefix, Progress, SiteRecord, Stage};
use selvedge_edge::{Compile, CompileError, Config, Server, start};

const ONE_TENANT: &str = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[tenants.default]\n";
const ANOTHER_TENANT: &str = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[tenants.other]\n";

/// A compiler that ends when it may.
#[derive(Default)]
struct Slow {
    held: AtomicBool,
    begun: AtomicUsize,
}

impl Compile for Slow {
    fn compile(&self, module: &Path, artifact: &Path) -> Result<(), CompileError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        while self.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        InProcess.compile(module, artifact)
    }
}

/// A server with one site, `hello`, and a compiler that can be held.
async fn slow_edge() -> (Edge, Arc<Slow>) {
    let (state, slow) = (tempfile::tempdir().unwrap(), Arc::new(Slow::default()));
    let mut config = Config::parse(ONE_TENANT, "edge.toml").unwrap();
    config.state = state.path().to_owned();
    let server = start(config, slow.clone()).await.unwrap();
    let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
    (Edge { server, client, state }.with(&["hello"]).await, slow)
}

fn reload(server: &Server, text: &str, state: &Path) {
    let mut config = Config::parse(text, "edge.toml").unwrap();
    config.state = state.to_owned();
    server.reload(&config).unwrap();
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A program that answers `new!`.
fn new() -> Vec<u8> {
    String::from_utf8(guest("hello")).unwrap().replace("fine\\n", "new!\\n").into_bytes()
}

async fn deploy_as(client: &Client, site: &str, order: &DeployOrder, module: Vec<u8>) -> Progress {
    let mut last = None;
    client.deploy_as(&name(site), order, module, |progress| last = Some(progress)).await.unwrap();
    last.unwrap()
}

/// Deploys `new` while something else is done before it is compiled; where and why that fails.
async fn overtaken<F: Future<Output = ()>>(
    (edge, slow): (&Edge, &Slow),
    (site, order): (&'static str, DeployOrder),
    meanwhile: impl FnOnce() -> F,
) -> (Stage, String) {
    let begun = slow.begun.load(Ordering::SeqCst);
    slow.held.store(true, Ordering::SeqCst);
    let client = edge.client.clone();
    let deploy = tokio::spawn(async move { deploy_as(&client, site, &order, new()).await });
    until("it is being compiled", || slow.begun.load(Ordering::SeqCst) > begun).await;
    meanwhile().await;
    slow.held.store(false, Ordering::SeqCst);
    match deploy.await.unwrap() {
        Progress::Failed { stage, message } => (stage, message),
        other => panic!("{other:?}"),
    }
}

/// The deploy published a site of a tenant that was there no more, or, added again, had other limits by then.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_for_a_tenant_that_is_gone_is_not_kept() {
    let (edge, slow) = slow_edge().await;
    let load = |text| reload(&edge.server, text, edge.state.path());
    for site in ["hello", "fresh"] {
        let gone = overtaken((&edge, &slow), (site, DeployOrder::default()), async || load(ANOTHER_TENANT)).await;
        assert!(gone.0 == Stage::Store && gone.1.contains("default is not configured any more"), "{gone:?}");
        assert!(get(edge.server.listen(), site, "/").contains("no_site"));
        load(ONE_TENANT);
        until("it is back", || get(edge.server.listen(), "hello", "/x").ends_with("fine\n")).await;
        let meanwhile = async || {
            load(ANOTHER_TENANT);
            load(ONE_TENANT);
        };
        let other = overtaken((&edge, &slow), (site, DeployOrder::default()), meanwhile).await;
        assert!(other.0 == Stage::Store && other.1.contains("default was configured anew"), "{other:?}");
        until("it is back", || get(edge.server.listen(), "hello", "/x").ends_with("fine\n")).await;
    }
    assert_eq!(edge.client.sites().await.unwrap().len(), 1);
    assert_eq!(edge.client.versions(&name("hello")).await.unwrap().versions.len(), 1);
}

/// A token was asked for once, at the beginning of an upload that might take days.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_withdrawn_during_an_upload_deploys_nothing() {
    let edge = edge(TWO_TENANTS).await;
    let module = new();
    let head = format!(
        "POST /v1/sites/mine/versions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        module.len()
    );
    let mut upload = send(edge.server.admin(), head);
    upload.write_all(&module[..5]).unwrap();
    until("it comes", || std::fs::read_dir(edge.state.path().join("scratch")).unwrap().count() > 0).await;
    // The SHA-256 of "c" in place of that of "a".
    let a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
    let others = TWO_TENANTS.replace(a, "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6");
    reload(&edge.server, &others, edge.state.path());
    upload.write_all(&module[5..]).unwrap();
    let answer = rest(upload);
    assert!(answer.contains("is no token of the tenant alpha now"), "{answer}");
    let c = Client::new(&format!("http://{}", edge.server.admin()), Some("c".into())).unwrap();
    assert!(c.sites().await.unwrap().is_empty());
}

/// A deploy brought back what had been deleted, at another host; a canary a record that could never be loaded.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_deleted_during_a_deploy_stays_deleted() {
    let (edge, slow) = slow_edge().await;
    for canary in [None, Some(5)] {
        let order = DeployOrder { canary, ..DeployOrder::default() };
        let delete = async || edge.client.delete(&name("hello")).await.unwrap();
        let failed = overtaken((&edge, &slow), ("hello", order), delete).await;
        assert!(failed.0 == Stage::Store && failed.1.contains("was deleted meanwhile"), "{failed:?}");
        assert!(get(edge.server.listen(), "hello", "/").contains("no_site"));
        assert!(edge.client.sites().await.unwrap().is_empty());
        until("nothing of it is kept", || std::fs::read_dir(edge.state.path().join("blobs")).unwrap().count() == 0)
            .await;
        let anew = deploy_as(&edge.client, "hello", &DeployOrder::default(), guest("hello")).await;
        assert!(matches!(anew, Progress::Deployed { version: 1, .. }), "{anew:?}");
    }
}

/// An upload and a compiler took their time before anybody heard that the site was another by then, or its host taken.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_to_be_refused_is_refused_before_the_upload() {
    let (edge, slow) = slow_edge().await;
    let deployed = deploy_as(&edge.client, "other", &DeployOrder::default(), new()).await;
    assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
    let compiled = || slow.begun.load(Ordering::SeqCst);
    let before = compiled();
    for (parameters, status, why) in [
        ("revision=7", 409, "\"hello\" is at revision 1, not 7: somebody has changed it"),
        ("host=other.localhost", 409, "other.localhost belongs to the site other"),
        ("host=hello.localhost&host=other.localhost", 409, "other.localhost belongs to the site other"),
        ("canary=5&host=free.localhost", 400, "deploy without --canary to move the site"),
    ] {
        let head = format!(
            "POST /v1/sites/hello/versions?{parameters} HTTP/1.1\r\nHost: localhost\r\nx-selvedge: 1\r\n\
             Connection: close\r\nContent-Length: 1000\r\n\r\n"
        );
        let answer = rest(send(edge.server.admin(), head));
        let is_refused = answer.starts_with(&format!("HTTP/1.1 {status} "));
        assert!(is_refused && answer.replace("\\\"", "\"").contains(why), "{parameters}: {answer}");
    }
    // What was too much for the connection to hold was being sent yet when it was closed, and nobody heard why.
    for _ in 0..10 {
        let stale = edge.client.clone().at_revision(7);
        let refused = stale.deploy_as(&name("hello"), &DeployOrder::default(), vec![b' '; 32 << 20], drop).await;
        assert!(matches!(refused, Err(ClientError::Refused { status: 409, .. })), "{refused:?}");
    }
    assert_eq!(compiled(), before);
    // Who was faster meanwhile is found in the end, by the same words.
    let deploy = |site: &'static str| {
        let order = DeployOrder { hosts: vec![Host::new("free.localhost").unwrap()], ..DeployOrder::default() };
        let client = edge.client.clone();
        tokio::spawn(async move { deploy_as(&client, site, &order, new()).await })
    };
    slow.held.store(true, Ordering::SeqCst);
    let first = deploy("other");
    until("it is being compiled", || compiled() > before).await;
    let files = || std::fs::read_dir(edge.state.path().join("scratch")).unwrap().count();
    let of_first = files();
    let second = deploy("hello");
    until("the next is uploaded", || files() > of_first).await;
    slow.held.store(false, Ordering::SeqCst);
    assert!(matches!(first.await.unwrap(), Progress::Deployed { .. }));
    match second.await.unwrap() {
        Progress::Failed { stage: Stage::Store, message } => {
            assert!(message.contains("free.localhost belongs to the site other"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_a_revision_undoes_nothing_that_they_have_not_seen() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await;
    let (site, order) = (name("hello"), DeployOrder::default());
    let refused = |outcome: Result<(), ClientError>, expected: &str| match outcome {
        Err(ClientError::Refused { status: 409, message }) => assert!(message.contains(expected), "{message}"),
        other => panic!("{other:?}"),
    };
    let deploy = async |client: &Client| client.deploy_as(&site, &order, guest("hello"), drop).await;
    refused(deploy(&client.clone().at_revision(3)).await, "\"hello\" is at revision 0, not 3");
    for revision in 0..3 {
        let at = client.clone().at_revision(revision);
        let deployed = deploy_as(&at, "hello", &order, guest("hello")).await;
        assert!(matches!(deployed, Progress::Deployed { revision: now, .. } if now == revision + 1), "{deployed:?}");
    }
    let seen = client.clone().at_revision(client.versions(&site).await.unwrap().revision);
    // Somebody else is faster.
    client.canary(&site, 1, 5).await.unwrap();
    let stale = |outcome| refused(outcome, "is at revision 4, not 3: somebody has changed it");
    stale(seen.rollback(&site, None).await.map(drop));
    stale(seen.canary(&site, 2, 5).await.map(drop));
    stale(seen.promote(&site).await.map(drop));
    stale(seen.drop_canary(&site).await.map(drop));
    stale(seen.delete(&site).await);
    stale(deploy(&seen).await);
    let SiteRecord { active, canary, revision, .. } = client.versions(&site).await.unwrap();
    assert_eq!((active, canary.is_some(), revision), (3, true, 4));
    assert_eq!(client.sites().await.unwrap()[0].revision, 4);
    assert_eq!(client.clone().at_revision(4).promote(&site).await.unwrap().revision, 5);
    client.at_revision(5).delete(&site).await.unwrap();
    assert!(get(server.listen(), "hello", "/").contains("no_site"));
}

/// All requests went to the new host at once, and did not come back with the version before.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_moves_no_site() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await.with(&["hello"]).await;
    let own = Host::new("hello.localhost").unwrap();
    let canary = DeployOrder { canary: Some(5), ..DeployOrder::default() };
    for (hosts, path) in [
        (vec![Host::new("other.localhost").unwrap()], None),
        (vec![own.clone(), Host::new("other.localhost").unwrap()], None),
        (vec![], Some(Prefix::new("/x").unwrap())),
    ] {
        let order = DeployOrder { hosts, path, ..canary.clone() };
        match client.deploy_as(&name("hello"), &order, new(), drop).await {
            Err(ClientError::Refused { status: 400, message }) => {
                assert!(message.contains("deploy without --canary to move"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(get(server.listen(), "hello", "/x").ends_with("fine\n"));
    let same = DeployOrder { hosts: vec![own], path: Some(Prefix::default()), ..canary };
    let deployed = deploy_as(&client, "hello", &same, new()).await;
    assert!(matches!(deployed, Progress::Deployed { canary: Some(5), .. }), "{deployed:?}");
}
