//! Clients and guests that mean no good, each beside somebody who must not notice.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{deploy, edge, get, guest, rest, send, until};
use selvedge_edge::client::Client;

/// Room for all, so that limits are reached only where a test wants it.
const ROOMY: &str = r#"
    listen = "127.0.0.1:0"
    admin = "127.0.0.1:0"
    slots = 16
    [limits]
    wall = "60s"
    cpu = "2s"
    request_body = "4GiB"
    response_body = "4GiB"
"#;

fn is_fine(response: &str) -> bool {
    response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\nfine\n")
}

/// A request whose body never comes, so that its instance waits.
fn hold(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = send(address, "POST /x HTTP/1.1\r\nHost: echo.localhost\r\nContent-Length: 3\r\n\r\n");
    // Its head says that it has its instance.
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_or_are_too_long_are_refused() {
    let edge = edge(ROOMY).await.with(&["hello"]).await;
    let address = edge.server.listen();
    let slow = send(address, "GET / HTTP/1.1\r\nHost: hello.lo");
    let silent = send(address, "");
    let long = format!("GET / HTTP/1.1\r\nHost: hello.localhost\r\nX: {}\r\n\r\n", "x".repeat(100 << 10));
    let many = format!("GET / HTTP/1.1\r\nHost: hello.localhost\r\n{}\r\n", "X: 1\r\n".repeat(200));
    for request in [long, many] {
        let mut stream = TcpStream::connect(address).unwrap();
        // The server may have hung up before it has all of it.
        let _ = stream.write_all(request.as_bytes());
        let came = rest(stream);
        assert!(came.is_empty() || came.starts_with("HTTP/1.1 431 "), "{}: {came}", request.len());
    }
    assert!(is_fine(&get(address, "hello", "/")));
    for (name, stream) in [("slow", slow), ("silent", silent)] {
        let came = tokio::task::spawn_blocking(|| rest(stream)).await.unwrap();
        assert!(!came.contains("200 OK"), "{name}: {came}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_spin_leave_the_others_their_turn() {
    let edge = edge(ROOMY).await.with(&["hello", "spins"]).await;
    let address = edge.server.listen();
    let spin = || send(address, "GET /x HTTP/1.1\r\nHost: spins.localhost\r\nConnection: close\r\n\r\n");
    let spinning: Vec<_> = (0..8).map(|_| spin()).collect();
    until("all spinning", || edge.server.live_instances() == 8).await;
    assert!(is_fine(&get(address, "hello", "/x")));
    assert_eq!(edge.server.live_instances(), 8, "it did not wait for any of them");
    for stream in spinning {
        let came = rest(stream);
        assert!(came.contains("504 Gateway Timeout") && came.contains("x-selvedge-error: cpu_limit"), "{came}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_go_away_leave_nothing_behind() {
    let edge = edge(ROOMY).await.with(&["echo", "endless", "hello"]).await;
    let address = edge.server.listen();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    drop(hold(address));
    assert!(is_fine(&get(address, "hello", "/x")));
    until("rest", || edge.server.live_instances() == 0).await;
    let before = descriptors();
    for _ in 0..20 {
        // In the middle of its body, of a response, of its head, and one that says nothing.
        drop(hold(address));
        let mut endless = send(address, "GET /x HTTP/1.1\r\nHost: endless.localhost\r\n\r\n");
        endless.read_exact(&mut [0; 100_000]).unwrap();
        drop(endless);
        drop(send(address, "GET / HT"));
        drop(send(address, ""));
    }
    until("every instance recycled", || edge.server.live_instances() == 0).await;
    until("every descriptor closed", || descriptors() <= before).await;
    assert!(is_fine(&get(address, "hello", "/x")));
    let gone =
        edge.client.top().await.unwrap().sites.iter().map(|s| s.counted.errors.values().sum::<u64>()).sum::<u64>();
    assert!(gone >= 40, "each is in the accounts: {gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_go_no_faster_than_they_are_taken() {
    let edge = edge(ROOMY).await.with(&["echo"]).await;
    let address = edge.server.listen();
    let mut stream = send(address, "POST /x HTTP/1.1\r\nHost: echo.localhost\r\nContent-Length: 1073741824\r\n\r\n");
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // The client takes nothing of what comes back: at some time nothing more is taken of what it sends.
    let chunk = vec![7; 1 << 20];
    let mut sent = 0;
    while let Ok(done) = stream.write(&chunk) {
        sent += done;
        assert!(sent < 200 << 20, "the server swallows whatever it is given");
    }
    assert_eq!(edge.server.live_instances(), 1, "it waits");
    drop(stream);
    until("recycled", || edge.server.live_instances() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_comes_back_whole() {
    let edge = edge(ROOMY).await.with(&["echo"]).await;
    let size = 8 << 20;
    let head = format!("POST /x HTTP/1.0\r\nHost: echo.localhost\r\nContent-Length: {size}\r\n\r\n");
    let stream = send(edge.server.listen(), head);
    let mut writer = stream.try_clone().unwrap();
    let body: Vec<u8> = (0..size).map(|at: u32| b'a' + (at % 251 % 26) as u8).collect();
    let sent = body.clone();
    let sender = std::thread::spawn(move || writer.write_all(&sent));
    let came = rest(stream);
    sender.join().unwrap().unwrap();
    let (_, echoed) = came.split_once("\r\n\r\n").unwrap();
    assert!(echoed.as_bytes() == body, "{} of {} bytes", echoed.len(), body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_tenant_may_is_told_to_come_back() {
    let config = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nslots = 4\n[limits]\ninstances = 1\nqueue = 1\n";
    let edge = edge(config).await.with(&["echo", "hello"]).await;
    let address = edge.server.listen();
    let mut held = hold(address);
    assert_eq!(edge.server.live_instances(), 1);
    let queued = send(address, "GET /x HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n");
    while edge.client.top().await.unwrap().waiting == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let turned_away = get(address, "hello", "/x");
    assert!(turned_away.contains("x-selvedge-error: queue_limit"), "{turned_away}");
    assert!(
        turned_away.starts_with("HTTP/1.1 503 ") && turned_away.contains("\r\nretry-after: 1\r\n"),
        "{turned_away}"
    );
    held.write_all(b"end").unwrap();
    assert!(is_fine(&rest(queued)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_site_answers_is_counted_all_the_same() {
    let edge = edge(ROOMY).await.with(&["hello"]).await;
    let address = edge.server.listen();
    let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(200));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100 << 10));
    for request in [
        &b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\nConnection: close\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        b"this is no request\r\n\r\n",
        fields.as_bytes(),
        long.as_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        // The server may have hung up before it has all of it.
        let _ = stream.write_all(request);
        rest(stream);
    }
    // Clients that go away say nothing wrong.
    for begun in [&b"GET / HT"[..], b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        drop(send(address, begun));
    }
    assert!(is_fine(&get(address, "hello", "/")));
    let lines = [
        "selvedge_unrouted_requests_total{error=\"no_site\",status=\"404\"} 1",
        "selvedge_unrouted_requests_total{error=\"bad_request\",status=\"400\"} 2",
        "selvedge_unrouted_requests_total{error=\"request_head_limit\",status=\"431\"} 0",
        "selvedge_unrouted_requests_total{error=\"draining\",status=\"503\"} 0",
        "selvedge_connections_refused_total{reason=\"request_head_limit\"} 2",
        "selvedge_connections_refused_total{reason=\"malformed_request\"} 2",
        "selvedge_connections_refused_total{reason=\"connections_limit\"} 0",
    ];
    let mut metrics = String::new();
    // A connection is counted when it has ended, a little after its client was told.
    for _ in 0..600 {
        metrics = edge.client.metrics().await.unwrap();
        if lines.iter().all(|line| metrics.lines().any(|l| l == *line)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let missing: Vec<_> = lines.iter().filter(|line| !metrics.lines().any(|l| l == **line)).collect();
    assert!(missing.is_empty(), "{missing:?}\n{metrics}");
    assert!(!metrics.contains("nobody"), "no client chooses what is in there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept() {
    let config = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nslots = 4\n[limits]\nrequests_per_second = 3\n";
    let edge = edge(config).await.with(&["hello"]).await;
    let answers: Vec<String> = (0..60).map(|_| get(edge.server.listen(), "hello", "/")).collect();
    assert!(answers.iter().any(|answer| is_fine(answer)));
    let refused = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 429 "));
    assert!(refused.clone().count() > 0);
    assert!(
        refused.clone().all(|answer| answer.contains("requests_per_second_limit") && answer.contains("retry-after"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_many_programs_that_spin_has_no_more_than_its_share() {
    // The SHA-256 of "a" and of "b".
    let config = r#"
        listen = "127.0.0.1:0"
        admin = "127.0.0.1:0"
        slots = 32
        [limits]
        wall = "600s"
        cpu = "2s"
        [tenants.alpha]
        tokens = ["sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"]
        [tenants.beta]
        tokens = ["sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"]
    "#;
    let edge = edge(config).await;
    let address = edge.server.listen();
    let many = 6 * std::thread::available_parallelism().map_or(1, usize::from).min(4);
    for (token, site) in [("a", "many"), ("b", "one")] {
        let client = Client::new(&format!("http://{}", edge.server.admin()), Some(token.into())).unwrap();
        deploy(&client, site, guest("spins")).await;
    }
    let spin =
        |site: &str| send(address, format!("GET /x HTTP/1.1\r\nHost: {site}.localhost\r\nConnection: close\r\n\r\n"));
    let spinning: Vec<_> = (0..many).map(|_| spin("many")).collect();
    until("all spinning", || edge.server.live_instances() == many).await;
    // It begins last, and has had its CPU time before any of the others, each of which may have as much.
    let one = rest(spin("one"));
    assert!(one.contains("x-selvedge-error: cpu_limit"), "{one}");
    assert_eq!(edge.server.live_instances(), many, "one program beside many has half of what there is");
    drop(spinning);
    until("every instance recycled", || edge.server.live_instances() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_whose_clients_take_nothing_take_no_turns_from_others() {
    let config = ROOMY.replace("wall = \"60s\"", "wall = \"600s\"").replace("cpu = \"2s\"", "cpu = \"600s\"");
    let edge = edge(&config).await.with(&["toils"]).await;
    let address = edge.server.listen();
    let ask = || send(address, "GET /x HTTP/1.1\r\nHost: toils.localhost\r\n\r\n");
    let many = 2 * std::thread::available_parallelism().map_or(1, usize::from).min(7);
    let held: Vec<_> = (0..many).map(|_| ask()).collect();
    // Some time to fill what lies between; it does not matter how long they need.
    until("at work", || edge.server.live_instances() == many).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut other = ask();
    // More than lies between: it has turns, and not only a first slice.
    tokio::task::spawn_blocking(move || other.read_exact(&mut vec![0; 16 << 20]).unwrap()).await.unwrap();
    assert!(edge.server.live_instances() >= many, "the others wait for their clients");
    drop(held);
    until("every instance recycled", || edge.server.live_instances() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_instances_do_is_told_to_prometheus_of_each_site() {
    let edge = edge(common::CONFIG).await.with(&["echo", "trap", "spins", "floods", "hello"]).await;
    let address = edge.server.listen();
    for site in ["trap", "trap", "spins", "floods", "hello"] {
        get(address, site, "/x");
    }
    // As Prometheus asks: it has no header of ours.
    let ask = |headers: &str| {
        let head = format!("GET /metrics HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        rest(send(edge.server.admin(), head))
    };
    let says = |lines: &[&str]| {
        let metrics = ask("Host: 127.0.0.1:8081\r\n");
        lines.iter().find(|line| !metrics.contains(&format!("\n{line}\n"))).map(|line| format!("{line}\n{metrics}"))
    };
    let held = hold(address);
    assert_eq!(
        says(&[
            "selvedge_requests_total{tenant=\"default\",site=\"trap\",status=\"5xx\"} 2",
            "selvedge_traps_total{tenant=\"default\",site=\"trap\",trap=\"unreachable\"} 2",
            "selvedge_limits_reached_total{tenant=\"default\",site=\"spins\",limit=\"cpu\"} 1",
            "selvedge_limits_reached_total{tenant=\"default\",site=\"floods\",limit=\"log\"} 1",
            "selvedge_limits_reached_total{tenant=\"default\",site=\"hello\",limit=\"log\"} 0",
            "selvedge_memory_bytes_max{tenant=\"default\",site=\"hello\"} 262144",
            "selvedge_instances_live{tenant=\"default\",site=\"echo\"} 1",
            "selvedge_instances_parked{tenant=\"default\",site=\"echo\"} 1",
            "selvedge_instances_live{tenant=\"default\",site=\"hello\"} 0",
            // Each was asked once before it was deployed.
            "selvedge_instances_recycled_total{tenant=\"default\",site=\"hello\"} 2",
            "selvedge_instances_recycled_total{tenant=\"default\",site=\"echo\"} 1",
            "selvedge_requests_waiting{tenant=\"default\",site=\"echo\"} 0",
            "selvedge_tenant_instances_live{tenant=\"default\"} 1",
        ]),
        None
    );
    let top = edge.client.top().await.unwrap();
    let live: Vec<_> = top.sites.iter().filter(|site| site.live > 0).map(|site| site.site.as_str()).collect();
    assert_eq!(live, ["echo"]);
    drop(held);
    until("recycled", || edge.server.live_instances() == 0).await;
    let gone = [
        "selvedge_instances_live{tenant=\"default\",site=\"echo\"} 0",
        "selvedge_instances_parked{tenant=\"default\",site=\"echo\"} 0",
        "selvedge_instances_recycled_total{tenant=\"default\",site=\"echo\"} 2",
    ];
    until("it is counted", || says(&gone).is_none()).await;
    // A page of another origin may not.
    for headers in ["Host: localhost\r\nOrigin: http://evil.example\r\n", "Host: evil.example\r\n"] {
        assert!(ask(headers).starts_with("HTTP/1.1 403 "), "{headers}");
    }
}
