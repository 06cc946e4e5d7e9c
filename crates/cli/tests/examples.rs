//! The services of `examples/`, built from source by `cargo xtask guests`, deployed and asked; the one in Python is run by
//! the interpreter that `cargo xtask modules` fetches.

mod common;

use std::process::Command;

use common::{Answer, Edge, SELVEDGE, ask, root};
use selvedge_edge::client::{Event, Host, Name};

/// All of them answer alike, but for the language's name.
async fn check(guest: &str, language: &str) {
    let edge = Edge::start().await;
    edge.deploy("hello", &root().join("target/guests").join(guest).with_extension("wasm")).await;
    answers(&edge, language).await;
    edge.server.stop().await;
}

/// What each of them answers and logs.
async fn answers(edge: &Edge, language: &str) {
    let ask = |line: &str, body: &str| ask(edge.server.listen(), "hello.localhost", line, body);
    let is = |answer: Answer, status: &str, body: &str| {
        assert!(answer.head.starts_with(&format!("http/1.1 {status}")), "{}", answer.head);
        assert!(answer.head.contains("content-type: text/plain; charset=utf-8"), "{}", answer.head);
        assert_eq!(answer.body, body);
    };
    is(ask("GET /", ""), "200", &format!("hello, world, from {language}\n"));
    is(ask("GET /?a=b&name=Ada+%26%20Grace", ""), "200", &format!("hello, Ada & Grace, from {language}\n"));
    is(ask("POST /count", ""), "200", "0 bytes, 0 lines\n");
    let body = "a line of a body that is longer than any buffer\n".repeat(10_000);
    is(ask("POST /count", &body), "200", "480000 bytes, 10000 lines\n");
    is(ask("HEAD /", ""), "200", "");
    for (line, allowed) in [("POST /", "GET, HEAD"), ("DELETE /numbers", "GET, HEAD"), ("GET /count", "POST")] {
        let refused = ask(line, "");
        assert!(refused.head.contains(&format!("allow: {}", allowed.to_ascii_lowercase())), "{}", refused.head);
        is(refused, "405", &format!("allowed here: {allowed}\n"));
    }
    is(ask("GET /nowhere", ""), "404", "there is nothing at /nowhere\n");
    streams(&ask("GET /numbers", ""));
    assert_eq!(logged(edge).await, ["nothing for GET /nowhere"]);
}

/// What does not fit into the server's buffer is sent before the program has ended.
fn streams(answer: &Answer) {
    assert!(answer.head.contains("transfer-encoding: chunked"), "{}", answer.head);
    let numbers: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(answer.body == numbers, "{} bytes instead of {}", answer.body.len(), numbers.len());
}

/// What the program wrote to stderr.
async fn logged(edge: &Edge) -> Vec<String> {
    let mut lines = Vec::new();
    let each = |entry: selvedge_edge::client::Entry| match entry.event {
        Event::Guest { line } => lines.push(line),
        Event::Request { .. } => {}
        failure @ Event::Failure { .. } => panic!("{failure:?}"),
    };
    edge.client.logs(&Name::new("hello").unwrap(), false, each).await.unwrap();
    lines
}

/// It asks another of the server's own services, which is a server like any other to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_asks_another_server() {
    let guest = |name: &str| root().join("target/guests").join(name).with_extension("wasm");
    let asked = Edge::start().await;
    let (name, hosts) = (Name::new("hello").unwrap(), [Host::new("127.0.0.1").unwrap()]);
    asked.client.deploy(&name, &hosts, std::fs::read(guest("hello-c")).unwrap(), |_| ()).await.unwrap();
    let url = format!("http://{}", asked.server.listen());
    let edge = Edge::start_with(&format!("outbound = [{url:?}]")).await;
    edge.deploy("fetch", &guest("fetch-c")).await;
    let ask = |query: &str| ask(edge.server.listen(), "fetch.localhost", &format!("GET /?{query}"), "");
    let answer = ask(&format!("{url}/"));
    assert!(answer.head.contains("content-type: text/plain; charset=utf-8"), "{}", answer.head);
    assert_eq!(answer.body, "hello, world, from C\n");
    streams(&ask(&format!("{url}/numbers")));
    assert!(ask(&format!("{url}/nowhere")).head.starts_with("http/1.1 404"));
    let answer = ask("http://127.0.0.1:1/");
    assert!(answer.head.starts_with("http/1.1 502") && answer.head.contains("x-selvedge-limit: outbound_limit"));
    assert_eq!(answer.body, "the server is not on the list of those that may be asked\n");
    assert!(ask("nonsense").body.contains("that is no URL"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_c() {
    check("hello-c", "C").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_rust() {
    check("hello-rust", "Rust").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_go() {
    check("hello-go", "Go").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_assemblyscript() {
    check("hello-assemblyscript", "AssemblyScript").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_zig() {
    check("hello-zig", "Zig").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_python_is_a_script_that_an_interpreter_finds_in_its_bundle() {
    let edge = Edge::start().await;
    let directory = tempfile::tempdir().unwrap();
    let interpreter = root().canonicalize().unwrap().join("target/modules/cpython.wasm");
    let script = root().canonicalize().unwrap().join("examples/python-hello");
    let mut command = Command::new(SELVEDGE);
    command.current_dir(directory.path()).arg("deploy").arg(&interpreter).arg("--files").arg(&script);
    command.args(["--arg", "python", "--arg", "/app.py", "--site", "hello", "--to"]);
    let output = command.arg(format!("http://{}", edge.server.admin())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    answers(&edge, "Python").await;
    edge.server.stop().await;
}
