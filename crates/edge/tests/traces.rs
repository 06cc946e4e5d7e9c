//! Traces: what a collector gets, what programs are told, and what becomes of it all when the collector is away.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{edge, rest, send};
use serde_json::Value;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A collector of one kind: it takes what it is sent, at one path.
struct Collector {
    address: SocketAddr,
    batches: Receiver<Value>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, (to, batches)) = (listener.local_addr().unwrap(), channel());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
                }
                assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
                assert!(head.contains("content-type: application/json\r\n"), "{head}");
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
                to.send(serde_json::from_slice(&body).unwrap()).unwrap();
            }
        });
        Collector { address, batches }
    }

    /// The spans of the next batch.
    fn spans(&self) -> Vec<Value> {
        let batch = self.batches.recv_timeout(Duration::from_secs(60)).unwrap();
        let resource = &batch["resourceSpans"][0];
        assert_eq!(attribute(&resource["resource"], "service.name"), Some("edge"));
        resource["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    }
}

/// An attribute, a text or a number.
fn attribute<'v>(of: &'v Value, key: &str) -> Option<&'v str> {
    let found = of["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == key)?;
    found["value"].as_object().unwrap().values().next().unwrap().as_str()
}

fn config(address: SocketAddr, more: &str) -> String {
    let traces = format!("[traces]\nendpoint = \"http://{address}/v1/traces\"\nservice = \"edge\"\n{more}\n");
    format!("{}\n{traces}", common::CONFIG)
}

fn ask(address: SocketAddr, site: &str, path: &str, headers: &str) -> String {
    rest(send(address, format!("GET {path} HTTP/1.1\r\nHost: {site}.localhost\r\nConnection: close\r\n{headers}\r\n")))
}

/// What a program was told.
fn told(answer: &str) -> Option<&str> {
    answer.lines().find_map(|line| line.strip_prefix("HTTP_TRACEPARENT="))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_between_its_client_and_its_program() {
    let collector = Collector::start();
    let edge = edge(&config(collector.address, "")).await.with(&["env", "trap"]).await;
    let address = edge.server.listen();
    let answer = ask(address, "env", "/x", &format!("traceparent: {PARENT}\r\n"));
    let context: Vec<&str> = told(&answer).unwrap().split('-').collect();
    assert_eq!((context[1], context[3]), ("0af7651916cd43dd8448eb211c80319c", "01"));
    let alone = ask(address, "env", "/y", "traceparent: 00-nonsense\r\n");
    let new: Vec<&str> = told(&alone).unwrap().split('-').collect();
    ask(address, "trap", "/x", "");
    let mut spans = Vec::new();
    while spans.len() < 3 {
        spans.extend(collector.spans());
    }
    let [first, second, third] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!(
        (&first["traceId"], &first["parentSpanId"], &first["spanId"]),
        (&context[1].into(), &"b7ad6b7169203331".into(), &context[2].into())
    );
    assert_eq!(
        (&second["traceId"], &second["spanId"], second.get("parentSpanId")),
        (&new[1].into(), &new[2].into(), None)
    );
    assert_ne!(second["traceId"], third["traceId"]);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/x"),
        ("server.address", "env.localhost"),
        ("http.response.status_code", "200"),
        ("selvedge.tenant", "default"),
        ("selvedge.site", "env"),
        ("selvedge.version", "1"),
    ] {
        assert_eq!(attribute(first, key), Some(value), "{first:#}");
    }
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    assert_eq!(attribute(first, "selvedge.request_id"), id);
    for key in ["selvedge.cpu_us", "selvedge.instance_wait_us"] {
        attribute(first, key).unwrap().parse::<u64>().unwrap();
    }
    let time = |key: &str| first[key].as_str().unwrap().parse::<u128>().unwrap();
    assert!(time("startTimeUnixNano") > 0 && time("endTimeUnixNano") >= time("startTimeUnixNano"));
    assert_eq!((attribute(third, "error.type"), &third["status"]["code"]), (Some("guest_trap"), &2.into()));
    assert!(first.get("status").is_none() && attribute(first, "error.type").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_does_not_want_traced_is_not_nor_more_than_the_share() {
    let collector = Collector::start();
    let edge = edge(&config(collector.address, "share = 0.0")).await.with(&["env"]).await;
    let address = edge.server.listen();
    assert_eq!(told(&ask(address, "env", "/x", "")), None);
    let unsampled = PARENT.replace("-01", "-00");
    let answer = ask(address, "env", "/x", &format!("traceparent: {unsampled}\r\n"));
    assert_eq!(told(&answer), Some(unsampled.as_str()), "it is handed on as it is");
    ask(address, "env", "/last", &format!("traceparent: {PARENT}\r\n"));
    let spans = collector.spans();
    assert_eq!((spans.len(), attribute(&spans[0], "url.path")), (1, Some("/last")));
}

/// The value of a metric.
async fn metric(client: &selvedge_edge::client::Client, name: &str) -> u64 {
    let metrics = client.metrics().await.unwrap();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix("{} "))
        .unwrap_or_else(|| panic!("{metrics}"));
    line.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_no_request() {
    // Nobody is there; and somebody who takes connections and never answers.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let requests = 6_000;
    for (address, count) in [(gone, 3), (silent.local_addr().unwrap(), requests)] {
        let edge = edge(&config(address, "")).await.with(&["hello"]).await;
        let mut stream = send(edge.server.listen(), "");
        let mut writer = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            for at in 0..count {
                let last = if at + 1 == count { "Connection: close\r\n" } else { "" };
                write!(writer, "GET / HTTP/1.1\r\nHost: hello.localhost\r\n{last}\r\n").unwrap();
            }
        });
        let mut came = String::new();
        stream.read_to_string(&mut came).unwrap();
        sender.join().unwrap();
        assert_eq!(came.matches("HTTP/1.1 200 OK").count(), count);
        while metric(&edge.client, "selvedge_spans_dropped_total").await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(metric(&edge.client, "selvedge_spans_sent_total").await, 0);
    }
}
