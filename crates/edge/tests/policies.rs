//! Policies of tenants: what modules ask for and who has signed them is looked at when they are deployed, and whenever
//! they are loaded.

mod common;

use std::path::{Path, PathBuf};

use common::{edge, get, guest, serve, until};
use minisign::KeyPair;
use selvedge_contract::policy::Policy;
use selvedge_edge::client::{Client, DeployOrder, Name, Progress, Stage};

/// The default policy with other lines; where it is.
fn policy(directory: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = Policy::DEFAULT_TOML.to_string();
    for (line, other) in changes {
        assert!(text.contains(line), "{line}");
        text = text.replace(line, other);
    }
    let path = directory.join("policy.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn config(policy: &Path) -> String {
    format!("policy = {:?}\n{}", policy.display().to_string(), common::CONFIG)
}

async fn deploy(client: &Client, module: Vec<u8>, signature: Option<String>) -> Progress {
    let order = DeployOrder { signature, ..DeployOrder::default() };
    let mut last = None;
    client.deploy_as(&Name::new("hello").unwrap(), &order, module, |progress| last = Some(progress)).await.unwrap();
    last.unwrap()
}

fn refused(progress: Progress) -> String {
    match progress {
        Progress::Failed { stage: Stage::Verify, message } => message,
        other => panic!("{other:?}"),
    }
}

fn sign(key: &KeyPair, bytes: &[u8]) -> String {
    minisign::sign(Some(&key.pk), &key.sk, bytes, Some("trusted \u{e4}"), None).unwrap().into_string()
}

fn key() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

/// The policy's line that names one signer.
fn signers(key: &KeyPair) -> String {
    format!("signers = [{:?}]", key.pk.to_base64())
}

const SIGNERS: &str = "signers = \"any\"";

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_policy_refuses_is_told() {
    let place = tempfile::tempdir().unwrap();
    let changes = [
        ("name = \"sock_*\"", "name = \"fd_read\""),
        ("bytes_max = \"4GiB\" ", "bytes_max = \"1MiB\" "),
        (SIGNERS, &signers(&key())),
    ];
    let edge = edge(&config(&policy(place.path(), &changes))).await;
    let message = refused(deploy(&edge.client, guest("hello"), None).await);
    let keys = ["imports.deny", "memory.bytes_max", "trust.signers"];
    assert!(message.contains("3 violations") && keys.iter().all(|key| message.contains(key)), "{message}");
    assert!(message.contains("policy.toml:"), "with its lines: {message}");
    assert!(edge.client.sites().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_a_signer_has_signed_is_deployed_and_loaded() {
    let place = tempfile::tempdir().unwrap();
    let (key, other) = (key(), key());
    let text = config(&policy(place.path(), &[(SIGNERS, &signers(&key))]));
    let common::Edge { server, client, state } = edge(&text).await;
    let module = guest("hello");
    for signature in [None, Some("nonsense".into()), Some(sign(&other, &module)), Some(sign(&key, b"another"))] {
        let message = refused(deploy(&client, module.clone(), signature).await);
        assert!(message.contains("trust.signers"), "{message}");
    }
    let deployed = deploy(&client, module.clone(), Some(sign(&key, &module))).await;
    assert!(matches!(deployed, Progress::Deployed { version: 1, .. }), "{deployed:?}");
    server.stop().await;
    drop(client);
    let free = || std::fs::File::open(state.path().join("sites.redb")).is_ok_and(|file| file.try_lock().is_ok());
    until("the state to be free", free).await;
    let server = serve(&text, state.path()).await;
    assert!(get(server.listen(), "hello", "/x").ends_with("fine\n"));
    server.stop().await;
    until("the state to be free", free).await;
    // Who may sign has changed: what is kept is not loaded any more.
    policy(place.path(), &[(SIGNERS, &signers(&other))]);
    let server = serve(&text, state.path()).await;
    assert!(get(server.listen(), "hello", "/x").contains("no_version"));
}

/// A program whose answer takes a while.
const SLOW: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $wait (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 8) "\40\00\00\00\1f\00\00\00")
    (data (i32.const 64) "Content-Type: text/plain\n\nfine\n")
    (func (export "_start")
        (i32.store (i32.const 144) (i32.const 1))
        (i64.store (i32.const 152) (i64.const 300000000))
        (drop (call $wait (i32.const 128) (i32.const 256) (i32.const 1) (i32.const 512)))
        (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))))"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_before_the_policy_changed_is_judged_by_the_new() {
    let place = tempfile::tempdir().unwrap();
    let text = config(&policy(place.path(), &[]));
    let edge = edge(&text).await;
    let reload = || {
        let mut config = selvedge_edge::Config::parse(&text, "edge.toml").unwrap();
        config.state = edge.state.path().to_owned();
        edge.server.reload(&config).unwrap();
    };
    let order = DeployOrder::default();
    let mut last = None;
    // It is accepted and answers its first request, which takes its time.
    let watch = |progress: Progress| {
        if matches!(progress, Progress::Passed { stage: Stage::Verify, .. }) {
            policy(place.path(), &[(SIGNERS, &signers(&key()))]);
            reload();
        }
        last = Some(progress);
    };
    edge.client.deploy_as(&Name::new("hello").unwrap(), &order, SLOW.as_bytes().to_vec(), watch).await.unwrap();
    assert!(matches!(last, Some(Progress::Deployed { version: 1, .. })), "{last:?}");
    assert!(get(edge.server.listen(), "hello", "/x").contains("no_version"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_read_leaves_the_old() {
    let place = tempfile::tempdir().unwrap();
    let path = policy(place.path(), &[]);
    let text = config(&path);
    let edge = edge(&text).await.with(&["hello"]).await;
    let reload = || {
        let mut config = selvedge_edge::Config::parse(&text, "edge.toml").unwrap();
        config.state = edge.state.path().to_owned();
        edge.server.reload(&config).map_err(|error| error.to_string())
    };
    std::fs::write(&path, "[imports]\n").unwrap();
    assert!(reload().unwrap_err().contains("policy.toml:1: "));
    std::fs::remove_file(&path).unwrap();
    assert!(reload().unwrap_err().contains("policy.toml: it cannot be read"));
    assert!(get(edge.server.listen(), "hello", "/x").ends_with("fine\n"));
    let message = deploy(&edge.client, guest("hello"), None).await;
    assert!(matches!(message, Progress::Deployed { version: 2, .. }), "by the policy that was read: {message:?}");
    policy(place.path(), &[(SIGNERS, &signers(&key()))]);
    reload().unwrap();
    until("what runs to be judged by it", || get(edge.server.listen(), "hello", "/x").contains("no_version")).await;
    refused(deploy(&edge.client, guest("hello"), None).await);
    // It may run again, and nobody has deployed it again.
    policy(place.path(), &[]);
    reload().unwrap();
    until("it answers again", || get(edge.server.listen(), "hello", "/x").ends_with("fine\n")).await;
}

/// What could not be read just then went on by the policy before for good.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_judged_now_is_judged_later() {
    let place = tempfile::tempdir().unwrap();
    let text = config(&policy(place.path(), &[]));
    let edge = edge(&text).await.with(&["hello"]).await;
    common::deploy(&edge.client, "next", guest("env")).await;
    let artifact = edge.client.versions(&Name::new("hello").unwrap()).await.unwrap().versions[0].artifact.unwrap();
    let mend = common::unreadable(edge.state.path(), artifact);
    policy(place.path(), &[(SIGNERS, &signers(&key()))]);
    let mut config = selvedge_edge::Config::parse(&text, "edge.toml").unwrap();
    config.state = edge.state.path().to_owned();
    edge.server.reload(&config).unwrap();
    // One is judged after the other.
    until("both have had their turn", || get(edge.server.listen(), "next", "/").contains("no_version")).await;
    assert!(get(edge.server.listen(), "hello", "/x").ends_with("fine\n"), "nobody has said that it may not");
    mend();
    until("it is judged", || get(edge.server.listen(), "hello", "/x").contains("no_version")).await;
}

#[tokio::test]
async fn what_a_configuration_names_and_cannot_be_used_is_told_with_its_line() {
    let place = tempfile::tempdir().unwrap();
    let tls =
        "[tls]\nlisten = \"127.0.0.1:0\"\ncertificates = [\n  { certificate = \"none.pem\", key = \"none.key\" },\n]";
    for (text, parts) in [
        ("policy = \"none.toml\"", ["edge.toml:4: policy: none.toml: ", "cannot be read"]),
        ("[tenants.a]\npolicy = \"none.toml\"", ["edge.toml:5: tenants.a.policy: none.toml: ", "cannot be read"]),
        (tls, ["edge.toml:7: tls.certificates: none.pem: ", "cannot be read"]),
        ("[traces]\nendpoint = \"here\"", ["edge.toml:5: traces.endpoint: found \"here\"", "expected a URL like"]),
        (
            "[traces]\nendpoint = \"https://a:1/\"\nca = \"none.pem\"",
            ["edge.toml:6: traces.ca: none.pem: ", "No such file"],
        ),
    ] {
        let text = format!("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n{text}\n");
        let mut config = selvedge_edge::Config::parse(&text, "edge.toml").unwrap();
        config.state = place.path().to_owned();
        let error = selvedge_edge::prepare(config).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(parts.iter().all(|part| error.contains(part)), "{text}{error}");
    }
}
