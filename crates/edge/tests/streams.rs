//! Connections that did not come by the server's own doors.

mod common;

use std::time::Duration;

use common::{CONFIG, edge};
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
