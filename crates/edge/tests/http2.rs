//! HTTP/2 by prior knowledge: what HTTP/1 promises holds here, too, and clients that abuse what is new in it are
//! bounded.

mod common;

use std::net::SocketAddr;

use common::{CONFIG, edge, get, until};
use h2::client::{Builder, SendRequest};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A connection, and its end.
async fn connect(address: SocketAddr, builder: Builder) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, connection) = builder.handshake(stream).await.unwrap();
    (client, tokio::spawn(connection))
}

fn request(method: Method, site: &str, path: &str) -> Request<()> {
    let uri = format!("http://{site}.localhost{path}");
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

/// Status, named error and body.
async fn ask(client: &SendRequest<Bytes>, request: Request<()>) -> (StatusCode, String, Vec<u8>) {
    let (response, _) = client.clone().ready().await.unwrap().send_request(request, true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut came = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        came.extend_from_slice(&piece);
    }
    let error = head.headers.get("x-selvedge-error").map_or("", |name| name.to_str().unwrap());
    (head.status, error.to_string(), came)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_answers_many_requests_each_for_itself() {
    let edge = edge(CONFIG).await.with(&["hello", "trap", "env", "endless"]).await;
    let (client, _connection) = connect(edge.server.listen(), Builder::new()).await;
    let fine = |_| ask(&client, request(Method::GET, "hello", "/x"));
    let answers = futures(0..4, fine).await;
    assert!(answers.iter().all(|answer| *answer == (StatusCode::OK, String::new(), b"fine\n".to_vec())), "{answers:?}");
    let (status, error, _) = ask(&client, request(Method::GET, "trap", "/x")).await;
    assert_eq!((status.as_u16(), error.as_str()), (500, "guest_trap"));
    for site in ["hello", "endless", "trap"] {
        let (_, _, body) = ask(&client, request(Method::HEAD, site, "/x")).await;
        assert_eq!(body, b"", "an answer to HEAD has no body");
    }
    let (_, _, environment) = ask(&client, request(Method::GET, "env", "/a?b")).await;
    let environment = String::from_utf8(environment).unwrap();
    for line in ["SERVER_PROTOCOL=HTTP/2.0", "HTTP_HOST=env.localhost", "SERVER_NAME=env.localhost", "QUERY_STRING=b"] {
        assert!(environment.lines().any(|l| l == line), "{line}\n{environment}");
    }
    until("rest", || edge.server.live_instances() == 0).await;
}

async fn futures<F: Future>(numbers: std::ops::Range<u32>, each: impl Fn(u32) -> F) -> Vec<F::Output> {
    let mut all = Vec::new();
    for number in numbers {
        all.push(each(number).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_comes_back_whole_over_http2() {
    let config =
        CONFIG.replace("\"200KiB\"", "\"64MiB\"").replace("\"400KiB\"", "\"64MiB\"").replace("\"2s\"", "\"60s\"");
    let edge = edge(&config).await.with(&["echo"]).await;
    let (client, _connection) = connect(edge.server.listen(), Builder::new()).await;
    let (response, mut sender) =
        client.ready().await.unwrap().send_request(request(Method::POST, "echo", "/x"), false).unwrap();
    let body: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 251) as u8).collect();
    let mut sent = Bytes::from(body.clone());
    let sending = tokio::spawn(async move {
        while !sent.is_empty() {
            sender.reserve_capacity(sent.len());
            let room = std::future::poll_fn(|context| sender.poll_capacity(context)).await.unwrap().unwrap();
            let piece = sent.split_to(room.min(sent.len()));
            sender.send_data(piece, sent.is_empty()).unwrap();
        }
    });
    let (_, mut came) = response.await.unwrap().into_parts();
    let mut echoed = Vec::new();
    while let Some(piece) = came.data().await {
        let piece = piece.unwrap();
        came.flow_control().release_capacity(piece.len()).unwrap();
        echoed.extend_from_slice(&piece);
    }
    sending.await.unwrap();
    assert!(echoed == body, "{} of {} bytes", echoed.len(), body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_are_refused_over_http2() {
    let edge = edge(CONFIG).await.with(&["hello"]).await;
    let (client, _connection) = connect(edge.server.listen(), Builder::new()).await;
    let with = |count: usize, bytes: usize| {
        let mut request = request(Method::GET, "hello", "/x");
        for number in 0..count {
            let name = hyper::header::HeaderName::from_bytes(format!("x-{number}").as_bytes()).unwrap();
            request.headers_mut().insert(name, "x".repeat(bytes).parse().unwrap());
        }
        request
    };
    let (status, error, _) = ask(&client, with(200, 1)).await;
    assert_eq!((status.as_u16(), error.as_str()), (431, "request_head_limit"));
    let (response, _) = client.clone().ready().await.unwrap().send_request(with(10, 10 << 10), true).unwrap();
    // It is refused before it is understood.
    assert!(response.await.map_or(true, |response| response.status() == 431));
    assert_eq!(ask(&connect(edge.server.listen(), Builder::new()).await.0, with(50, 1)).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_taken_back_without_end_end_the_connection() {
    let edge = edge(CONFIG).await.with(&["echo", "hello"]).await;
    let address = edge.server.listen();
    let (client, connection) = connect(address, Builder::new()).await;
    let mut sent = 0;
    // Each has a body that never comes, so that it is still asked when it is taken back.
    while let Ok(mut ready) = client.clone().ready().await {
        let Ok((_, mut sender)) = ready.send_request(request(Method::POST, "echo", "/"), false) else { break };
        sender.send_reset(h2::Reason::CANCEL);
        sent += 1;
        assert!(sent < 100_000, "it goes on for ever");
        tokio::task::yield_now().await;
    }
    drop(connection);
    assert!(sent > 100, "some may be taken back");
    assert!(get(address, "hello", "/x").ends_with("fine\n"));
    until("every instance recycled", || edge.server.live_instances() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_nobody_takes_ends_with_its_guests_time() {
    let edge = edge(CONFIG).await.with(&["endless", "hello"]).await;
    let mut builder = Builder::new();
    builder.initial_window_size(0);
    let (client, _connection) = connect(edge.server.listen(), builder).await;
    let (response, _) =
        client.clone().ready().await.unwrap().send_request(request(Method::GET, "endless", "/x"), true).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(edge.server.live_instances(), 1, "it waits for its client");
    let end = body.data().await.unwrap().unwrap_err();
    assert_eq!(end.reason(), Some(h2::Reason::CANCEL));
    until("recycled", || edge.server.live_instances() == 0).await;
    let other = client.clone().ready().await.unwrap().send_request(request(Method::GET, "hello", "/x"), true).unwrap();
    assert_eq!(other.0.await.unwrap().status(), 200, "the connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http2_after_its_preface_is_hung_up_on() {
    let edge = edge(CONFIG).await.with(&["hello"]).await;
    let address = edge.server.listen();
    for nonsense in
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        let mut came = Vec::new();
        let _ = stream.read_to_end(&mut came).await;
        assert!(!String::from_utf8_lossy(&came).contains("fine"));
    }
    // More requests at once than are allowed: the rest are refused, and one that was not is answered.
    let mut raw = TcpStream::connect(address).await.unwrap();
    raw.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // A body that never comes: `:method: POST`, `:scheme: http`, `:path: /`, `:authority: echo.localhost`.
    let head = b"\x83\x86\x84\x41\x0fhello.localhost";
    for number in 0..300_u32 {
        let mut frame = vec![0, 0, head.len() as u8, 1, 4];
        frame.extend_from_slice(&(number * 2 + 1).to_be_bytes());
        frame.extend_from_slice(head);
        if raw.write_all(&frame).await.is_err() {
            break;
        }
    }
    raw.shutdown().await.unwrap();
    let mut came = Vec::new();
    let _ = raw.read_to_end(&mut came).await;
    let refused = came.windows(13).filter(|w| w[..4] == [0, 0, 4, 3] && w[9..] == [0, 0, 0, 7]).count();
    assert!(refused > 0, "no stream was refused: {} bytes", came.len());
    assert!(get(address, "hello", "/x").ends_with("fine\n"));
    until("every instance recycled", || edge.server.live_instances() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_end_before_the_server_does() {
    let edge = edge(CONFIG).await.with(&["spins"]).await;
    let (client, _connection) = connect(edge.server.listen(), Builder::new()).await;
    let (response, _) =
        client.clone().ready().await.unwrap().send_request(request(Method::GET, "spins", "/x"), true).unwrap();
    until("at work", || edge.server.live_instances() == 1).await;
    assert_eq!(edge.server.stop().await, 0);
    let (head, body) = response.await.unwrap().into_parts();
    assert_eq!(head.status, 504);
    drop(body);
}
