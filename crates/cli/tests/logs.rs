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
