//! Random input from seeds: heads that programs write, configurations, requests of operators.
//! `SELVEDGE_RANDOM_RUNS` makes so many times more of all, `SELVEDGE_RANDOM_SEED` others.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{edge, get, rest, send};
use selvedge_edge::fuzzing;

/// SplitMix64.
struct Random(u64);

impl Random {
    /// Says its seed if the test fails.
    fn new() -> Random {
        let seed = std::env::var("SELVEDGE_RANDOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
        println!("SELVEDGE_RANDOM_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// Some of the pieces, one after the other, with a few bytes that are others.
    fn bytes(&mut self, pieces: &[&[u8]], count_max: usize) -> Vec<u8> {
        let count = self.below(count_max + 1);
        let mut bytes: Vec<u8> = (0..count).flat_map(|_| self.of(pieces).to_vec()).collect();
        for _ in 0..self.below(3).min(bytes.len()) {
            let at = self.below(bytes.len());
            bytes[at] = self.below(256) as u8;
        }
        bytes
    }
}

/// How often: so many, or as many times more as the environment says.
fn runs(usual: usize) -> usize {
    let more = std::env::var("SELVEDGE_RANDOM_RUNS").ok().and_then(|times| times.parse().ok());
    usual * more.unwrap_or(1)
}

#[test]
fn any_bytes_are_a_head_or_refused_however_they_are_cut() {
    let long = b"x".repeat(5_000);
    let pieces: [&[u8]; 16] = [
        b"Content-Type: text/plain\n",
        b"Status: 200 OK\r\n",
        b"Status: ",
        b"404",
        b"Location: /there\n",
        b"Connection: close\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Set-Cookie: a=b\n",
        b": ",
        b"\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\r",
        b" folded\n",
        b"\0",
        &long,
    ];
    let mut random = Random::new();
    for _ in 0..runs(20_000) {
        let bytes = random.bytes(&pieces, 8);
        fuzzing::cgi_head(&bytes, 1 + random.below(40));
    }
}

/// Entries of archives, whole ones and not.
fn entry(name: &str, kind: tar::EntryType, contents: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(contents.len() as u64);
    header.set_cksum();
    let mut bytes = [header.as_bytes(), contents].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn any_bytes_are_a_bundle_or_refused() {
    use tar::EntryType::{Directory, GNULongName, Regular, Symlink, XHeader};
    let entries = [
        entry("app.wasm", Regular, b"module"),
        entry("assets/a", Regular, b"a"),
        entry("assets/b/c", Regular, &[7; 700]),
        entry("./assets/", Directory, b""),
        entry("files/x", Regular, b"x"),
        entry("files/d/", Directory, b""),
        entry("args", Regular, b"a\nb"),
        entry("long", GNULongName, b"assets/long\0"),
        entry("pax", XHeader, b"18 path=assets/pax\n"),
        entry("assets/link", Symlink, b""),
        vec![0; 1024],
        vec![0; 100],
    ];
    let pieces: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let mut random = Random::new();
    for _ in 0..runs(3_000) {
        fuzzing::bundle(&random.bytes(&pieces, 6));
    }
}

#[test]
fn any_text_is_a_configuration_or_a_mistake_with_its_line() {
    let pieces: [&[u8]; 20] = [
        b"listen = \"127.0.0.1:0\"\n",
        b"slots = 5\n",
        b"slots = -1\n",
        b"[limits]\n",
        b"[tenants.a]\n",
        b"[tenants.a.limits]\n",
        b"[tenants]\n",
        b"memory = \"64MiB\"\n",
        b"wall = \"3 s\"\n",
        b"cpu = 5\n",
        b"tokens = [\"sha256:00\"]\n",
        b"limits = { wall = \"1s\" }\n",
        b"limits = { wal = \"1s\" }\n",
        b"unknown = 1\n",
        b"= \n",
        b"\"\"\"",
        b"# \xc3\xa4\n",
        b"\r\n",
        b"{ ",
        b"]]",
    ];
    let mut random = Random::new();
    for _ in 0..runs(10_000) {
        fuzzing::config(&String::from_utf8_lossy(&random.bytes(&pieces, 8)));
    }
}

/// A request of an operator's, or nearly one, and whether all of it is there.
fn asked(random: &mut Random) -> (Vec<u8>, bool) {
    let method = random.of(&["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "X"]);
    let site = random.of(&["a", "b", "c", "A", "..", "%2e%2e", "a/b", "", "-", "a\u{e4}"]);
    let verb = random.of(&["/versions", "/rollback", "/canary", "/logs", "/x", ""]);
    let path = match random.below(6) {
        0 => random.of(&["/v1/sites", "/v1/top", "/metrics", "/healthz", "/v1", "*"]).to_string(),
        _ => format!("/v1/sites/{site}{verb}"),
    };
    let query = random.of(&[
        "",
        "?",
        "?version=1",
        "?version=x",
        "?tenant=b",
        "?host=a&host=A",
        "?percent=300",
        "?path=/a",
        "?%00",
        "?&&=",
    ]);
    let header =
        random.of(&["", "X-Selvedge: 1\r\n", "X-Selvedge: 1\r\n", "X-Selvedge: 1\r\n", "Authorization: Bearer x\r\n"]);
    let host = random.of(&["localhost", "localhost", "localhost", "127.0.0.1:1", "evil.example", ""]);
    let module: [&[u8]; 5] =
        [b"", b"(module)", b"\0asm\x01\0\0\0", b"no module", b"(module (func (export \"_start\") (unreachable)))"];
    let body = random.bytes(&module, 1);
    let length = if random.below(20) == 0 { body.len() + 1 } else { body.len() };
    let head = format!(
        "{method} {path}{query} HTTP/1.1\r\nHost: {host}\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    ([head.into_bytes(), body.clone()].concat(), length == body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_may_ask_anything_and_are_answered() {
    let edge = edge(common::CONFIG).await.with(&["hello"]).await;
    let admin = edge.server.admin();
    // What panics while it answers ends its connection, and is seen by nobody else.
    let panics = Arc::new(AtomicUsize::new(0));
    let (count, tell) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        count.fetch_add(1, Ordering::Relaxed);
        tell(info);
    }));
    let mut random = Random::new();
    for _ in 0..runs(500) {
        let (request, whole) = asked(&mut random);
        let stream = send(admin, &request);
        if !whole {
            // What is announced and does not come.
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let answer = tokio::task::spawn_blocking(move || rest(stream)).await.unwrap();
        let status = answer.get(..12).unwrap_or_default();
        let said = String::from_utf8_lossy(&request);
        assert!(!whole && answer.is_empty() || status.starts_with("HTTP/1.1 "), "{said}\n{answer}");
        assert!(!status.starts_with("HTTP/1.1 5"), "{said}\n{answer}");
        assert_eq!(panics.load(Ordering::Relaxed), 0, "{said}\n{answer}");
    }
    assert!(get(edge.server.listen(), "hello", "/x").ends_with("\r\n\r\nfine\n"));
}
