//! `selvedge logs` beside what reads it.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Edge, SELVEDGE, ask, root};

/// `selvedge logs hello -f | head -1` went on for ever, and held a connection of the server's.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_any_more_is_followed_no_longer() {
    let edge = Edge::start().await;
    edge.deploy("hello", &root().join("crates/edge/tests/guests/hello.wat")).await;
    let admin = format!("http://{}", edge.server.admin());
    // While the site says something, and while it does not.
    for quiet in [true, false] {
        let mut command = Command::new(SELVEDGE);
        command.args(["logs", "hello", "--follow", "--to", &admin]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        ask(edge.server.listen(), "hello.localhost", "GET /", "");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("GET /"), "{line}");
        let mut ended = None;
        for _ in 0..600 {
            ended = child.try_wait().unwrap();
            if ended.is_some() {
                break;
            }
            if !quiet {
                ask(edge.server.listen(), "hello.localhost", "GET /", "");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let status = ended.unwrap_or_else(|| {
            child.kill().unwrap();
            panic!("it goes on (quiet: {quiet})")
        });
        assert!(status.success(), "{status}");
    }
}

/// It was said that the server does not answer as it should.
#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_log_is_told_that_the_server_stops() {
    let edge = Edge::start().await;
    edge.deploy("hello", &root().join("crates/edge/tests/guests/hello.wat")).await;
    let admin = format!("http://{}", edge.server.admin());
    let mut command = Command::new(SELVEDGE);
    command.args(["logs", "hello", "--follow", "--to", &admin]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    ask(edge.server.listen(), "hello.localhost", "GET /", "");
    let mut told = BufReader::new(child.stdout.take().unwrap());
    told.read_line(&mut String::new()).unwrap();
    edge.server.stop().await;
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    // In time it is told; else its connection ends.
    let in_time = said.starts_with("error: the server goes on no more with this log: it is being stopped");
    assert!(in_time || said.starts_with("error: the server at 127.0.0.1:") && said.contains("was stopped"), "{said}");
    assert_eq!(ended.status.code(), Some(1));
}
