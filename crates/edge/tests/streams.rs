//! Connections that did not come by the server's own doors; and what is counted of responses that come in pieces.

mod common;

use std::io::Read;
use std::time::Duration;

use common::{CONFIG, edge, get, rest, send};
use selvedge_edge::client::{Client, Counted};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_memory_is_served_and_ends_with_the_server() {
    let common::Edge { server, state, .. } = edge(CONFIG).await.with(&["env"]).await;
    let (mut client, end) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(server.serve_stream(end, "192.0.2.1:5000".parse().unwrap()));
    for _ in 0..3 {
        client.write_all(b"GET /all HTTP/1.1\r\nHost: env.localhost\r\n\r\n").await.unwrap();
        let (mut came, mut piece) = (String::new(), [0; 1 << 12]);
        while !["REMOTE_ADDR=192.0.2.1", "REMOTE_PORT=5000"].iter().all(|variable| came.contains(variable)) {
            let count = tokio::time::timeout(Duration::from_secs(60), client.read(&mut piece)).await;
            let count = count.unwrap_or_else(|_| panic!("no more comes than {came}")).unwrap();
            assert!(count > 0, "{came}");
            came.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        assert!(came.starts_with("HTTP/1.1 200 "), "{came}");
    }
    assert_eq!(server.stop().await, 0);
    // It waits for another request, and is closed.
    tokio::time::timeout(Duration::from_secs(60), serving).await.expect("it ends").unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    drop(state);
}

/// What is counted of a site, once it has answered so many requests.
async fn counted(client: &Client, requests: u64) -> Counted {
    loop {
        let counted = client.top().await.unwrap().sites.remove(0).counted;
        if counted.requests >= requests {
            return counted;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_all_it_was_told_of_is_not_gone() {
    let common::Edge { server, client, state: _state } = edge(CONFIG).await.with(&["told"]).await;
    let address = server.listen();
    let answer = tokio::task::spawn_blocking(move || get(address, "told", "/length")).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nfine\n"), "{answer}");
    let counted = counted(&client, 1).await;
    assert_eq!((counted.errors.len(), counted.response_bytes), (0, 5));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_has_computed_counts_though_nobody_waits_for_its_end() {
    let common::Edge { server, client, state: _state } = edge(CONFIG).await.with(&["toils"]).await;
    let mut before = Counted::default();
    for (request, error) in [("GET", Some("client_gone")), ("HEAD", None), ("POST", Some("response_body_limit"))] {
        let length = if request == "POST" { "Content-Length: 0\r\n" } else { "" };
        let mut stream =
            send(server.listen(), format!("{request} /x HTTP/1.1\r\nHost: toils.localhost\r\n{length}\r\n"));
        stream.read_exact(&mut [0; 16]).unwrap();
        // One that reads gets more than the program may say.
        let reads = (request == "POST").then(|| std::thread::spawn(move || rest(stream)));
        let after = counted(&client, before.requests + 1).await;
        assert!(after.cpu_micros > before.cpu_micros, "{request}: {after:?}");
        assert_eq!(error.map(|error| after.errors.get(error).copied()), error.map(|_| Some(1)), "{request}: {after:?}");
        assert!(error.is_none() || after.response_bytes > before.response_bytes, "{request}: {after:?}");
        before = after;
        reads.into_iter().for_each(|reads| drop(reads.join()));
    }
    server.stop().await;
}
