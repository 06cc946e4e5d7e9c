//! Bundles: files beside a program, or alone; and archives that mean no good.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Edge, edge, get, guest, rest, send, serve, until};
use selvedge_edge::Server;
use selvedge_edge::client::{Client, DeployOrder, Host, Name, Payload, Prefix, Progress, Stage};
use tar::{Builder, EntryType, Header};

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header
}

/// An archive of files, as any tool writes it.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, contents) in files {
        let mut header = header(EntryType::Regular, contents.len() as u64);
        builder.append_data(&mut header, name, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

fn bundle(bytes: &[u8]) -> Payload {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Payload::Bundle(file)
}

async fn deploy_as(client: &Client, order: &DeployOrder, payload: impl Into<Payload>) -> Progress {
    let mut last = None;
    client.deploy_as(&Name::new("site").unwrap(), order, payload, |progress| last = Some(progress)).await.unwrap();
    last.unwrap()
}

async fn deploy(client: &Client, files: &[(&str, &[u8])]) {
    let deployed = deploy_as(client, &DeployOrder::default(), bundle(&archive(files))).await;
    assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
}

/// An answer to the site, its head in lines.
fn ask(server: &Server, method: &str, path: &str, headers: &str) -> (Vec<String>, String) {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: site.localhost\r\nConnection: close\r\n{headers}\r\n");
    let answer = rest(send(server.listen(), head));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    (head.lines().map(str::to_string).collect(), body.to_string())
}

fn header_of<'h>(head: &'h [String], name: &str) -> Option<&'h str> {
    head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_first_and_the_program_has_the_rest() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await;
    let hello = guest("hello");
    let files: [(&str, &[u8]); 5] = [
        ("app.wat", &hello),
        ("assets/index.html", b"<p>home"),
        ("assets/style.css", b"p {}"),
        ("assets/docs/index.html", b"<p>docs"),
        ("assets/empty.txt", b""),
    ];
    deploy(&client, &files).await;
    for (path, status, body) in [
        ("/", "200 OK", "<p>home"),
        ("/index.html", "200 OK", "<p>home"),
        ("/style.css?v=1", "200 OK", "p {}"),
        ("/docs/", "200 OK", "<p>docs"),
        ("/empty.txt", "200 OK", ""),
        ("/docs?a=b", "308 Permanent Redirect", ""),
        ("/style.css/", "200 OK", "fine\n"),
        ("/app.wat", "200 OK", "fine\n"),
        ("/assets/style.css", "200 OK", "fine\n"),
        ("/..%2fapp.wat", "200 OK", "fine\n"),
        ("/docs/../style.css", "200 OK", "fine\n"),
    ] {
        let (head, came) = ask(&server, "GET", path, "");
        assert_eq!((head[0].as_str(), came.as_str()), (format!("HTTP/1.1 {status}").as_str(), body), "{path}");
        assert!(header_of(&head, "x-request-id").is_some(), "{head:?}");
    }
    let (head, _) = ask(&server, "GET", "/docs?a=b", "");
    assert_eq!(header_of(&head, "location"), Some("/docs/?a=b"));
    // Browsers keep it for good unless they are told otherwise, also after a rollback to where it is no directory.
    assert_eq!(header_of(&head, "cache-control"), Some("no-cache"));
    let (head, _) = ask(&server, "GET", "/style.css", "");
    for (name, value) in [
        ("content-type", "text/css; charset=utf-8"),
        ("content-length", "4"),
        ("cache-control", "no-cache"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(header_of(&head, name), Some(value), "{head:?}");
    }
    assert_eq!(ask(&server, "POST", "/style.css", "Content-Length: 0\r\n").1, "fine\n", "it only reads files");
    let (head, body) = ask(&server, "HEAD", "/style.css", "");
    assert_eq!((header_of(&head, "content-length"), body.as_str()), (Some("4"), ""));
    let top = client.top().await.unwrap();
    assert_eq!((top.sites[0].counted.requests, top.sites[0].counted.server_errors), (15, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_file_is_told_so_and_parts_are_given() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await;
    deploy(&client, &[("assets/a.txt", b"0123456789")]).await;
    let (head, _) = ask(&server, "GET", "/a.txt", "");
    let tag = header_of(&head, "etag").unwrap().to_string();
    for (headers, status, body) in [
        (format!("If-None-Match: {tag}\r\n"), 304, ""),
        (format!("If-None-Match: \"x\", W/{tag}\r\n"), 304, ""),
        ("If-None-Match: *\r\n".into(), 304, ""),
        (format!("If-None-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"), 304, ""),
        ("If-None-Match: \"x,*,y\"\r\n".into(), 200, "0123456789"),
        (format!("If-Match: \"x\"\r\nIf-Match: \"y\", {tag}\r\n"), 200, "0123456789"),
        ("If-Match: \"x\"\r\nIf-Match: \"y\"\r\n".into(), 412, ""),
        ("If-None-Match: \"x\"\r\n".into(), 200, "0123456789"),
        ("If-Match: \"x\"\r\n".into(), 412, ""),
        (format!("If-Match: {tag}\r\n"), 200, "0123456789"),
        ("Range: bytes=2-4\r\n".into(), 206, "234"),
        ("Range: bytes=-3\r\n".into(), 206, "789"),
        ("Range: bytes=8-\r\n".into(), 206, "89"),
        ("Range: bytes=10-\r\n".into(), 416, ""),
        ("Range: bytes=0-1,3-4\r\n".into(), 200, "0123456789"),
        (format!("Range: bytes=2-4\r\nIf-Range: {tag}\r\n"), 206, "234"),
        ("Range: bytes=2-4\r\nIf-Range: \"old\"\r\n".into(), 200, "0123456789"),
        (format!("Range: bytes=2-4\r\nIf-None-Match: {tag}\r\n"), 304, ""),
    ] {
        let (head, came) = ask(&server, "GET", "/a.txt", &headers);
        assert_eq!((&head[0][9..12], came.as_str()), (status.to_string().as_str(), body), "{headers}");
        assert_eq!(header_of(&head, "etag"), Some(tag.as_str()), "{headers}");
    }
    let (head, _) = ask(&server, "GET", "/a.txt", "Range: bytes=2-4\r\n");
    assert_eq!(header_of(&head, "content-range"), Some("bytes 2-4/10"));
    let (head, _) = ask(&server, "GET", "/a.txt", "Range: bytes=50-\r\n");
    assert_eq!(header_of(&head, "content-range"), Some("bytes */10"));
    // Without a program there is nothing else.
    let (head, body) = ask(&server, "GET", "/b.txt", "");
    assert_eq!((&head[0][9..12], header_of(&head, "x-selvedge-error")), ("404", Some("no_file")), "{body}");
    let (head, _) = ask(&server, "DELETE", "/a.txt", "");
    assert_eq!((&head[0][9..12], header_of(&head, "allow")), ("405", Some("GET, HEAD")));
    assert_eq!(server.live_instances(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_arguments_and_files() {
    let Edge { server, client, state } = edge(common::CONFIG).await;
    let program = guest("files");
    deploy(&client, &[("app.wat", &program), ("args", b"python\n/app.py\n"), ("files/word", b"from a file")]).await;
    let answer = "python\n/app.py\n/x\na=b\nfrom a file";
    assert_eq!(ask(&server, "GET", "/x?a=b", "").1, answer);
    assert_eq!(ask(&server, "GET", "/word", "").1, "python\n/app.py\n/word\nfrom a file", "it is no asset");
    let record = client.versions(&Name::new("site").unwrap()).await.unwrap();
    let summary = record.versions[0].bundle.unwrap().summary;
    assert_eq!((summary.assets, summary.files), (0, 1));
    server.stop().await;
    let server = common::restarted(common::CONFIG, state.path()).await;
    assert_eq!(ask(&server, "GET", "/x?a=b", "").1, answer, "it survives a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_switch_with_their_version_and_go_with_it() {
    let Edge { server, client, state } = edge(common::CONFIG).await;
    let (site, hello) = (Name::new("site").unwrap(), guest("hello"));
    let word = |server: &Server| ask(server, "GET", "/word", "").1;
    for text in ["one", "two"] {
        deploy(&client, &[("app.wat", &hello), ("assets/word", text.as_bytes())]).await;
        assert_eq!(word(&server), text);
    }
    // Without files, by a module alone: nothing of the version before is left.
    deploy_as(&client, &DeployOrder::default(), hello.clone()).await;
    assert_eq!(word(&server), "fine\n");
    client.rollback(&site, Some(1)).await.unwrap();
    assert_eq!(word(&server), "one");
    client.canary(&site, 2, 100).await.unwrap();
    assert_eq!(word(&server), "two");
    client.rollback(&site, Some(1)).await.unwrap();
    server.stop().await;
    drop(client);
    let server = common::restarted(common::CONFIG, state.path()).await;
    assert_eq!(word(&server), "one", "it survives a restart");
    let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
    let blobs = || std::fs::read_dir(state.path().join("blobs")).unwrap().count();
    assert_eq!(blobs(), 4, "a module, an artifact, two bundles");
    client.delete(&site).await.unwrap();
    until("its blobs removed", || blobs() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_below_a_prefix() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await;
    let hosts = vec![Host::new("site.localhost").unwrap()];
    let order = DeployOrder { hosts, path: Some(Prefix::new("/docs").unwrap()), ..DeployOrder::default() };
    let files: [(&str, &[u8]); 2] = [("assets/index.html", b"home"), ("assets/a/index.html", b"a")];
    deploy_as(&client, &order, bundle(&archive(&files))).await;
    assert_eq!(ask(&server, "GET", "/docs/", "").1, "home");
    for (path, place) in [("/docs", "/docs/"), ("/docs/a", "/docs/a/"), ("/docs/a?x", "/docs/a/?x")] {
        assert_eq!(header_of(&ask(&server, "GET", path, "").0, "location"), Some(place), "{path}");
    }
    assert!(ask(&server, "GET", "/index.html", "").1.contains("no_site"));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_are_sent_as_they_are_taken_within_limits() {
    let config = common::CONFIG.replace("400KiB", "64MiB") + "requests_per_second = 5\n";
    let Edge { server, client, state: _state } = edge(&config).await;
    let large: Vec<u8> = (0..32u32 << 20).map(|at| b'a' + (at % 251 % 26) as u8).collect();
    let long = vec![0; 65 << 20];
    deploy(&client, &[("assets/large", &large), ("assets/long", &long)]).await;
    let (head, body) = ask(&server, "GET", "/large", "");
    assert_eq!(header_of(&head, "content-length"), Some(large.len().to_string().as_str()));
    assert!(body.as_bytes() == large, "{} bytes", body.len());
    let (head, _) = ask(&server, "GET", "/long", "");
    assert_eq!(header_of(&head, "x-selvedge-error"), Some("response_body_limit"));
    // One that goes away in the middle is in the accounts, too.
    let mut stream = send(server.listen(), "GET /large HTTP/1.1\r\nHost: site.localhost\r\n\r\n");
    stream.read_exact(&mut [0; 100_000]).unwrap();
    drop(stream);
    let counted = async || client.top().await.unwrap().sites.remove(0).counted;
    while !counted().await.errors.contains_key("client_gone") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(counted().await.response_bytes >= large.len() as u64);
    let answers: Vec<String> = (0..20).map(|_| get(server.listen(), "site", "/none")).collect();
    assert!(answers.iter().any(|answer| answer.contains("requests_per_second_limit")), "files are counted, too");
    server.stop().await;
}

#[test]
fn a_server_that_is_stopped_sends_files_to_their_end() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = common::CONFIG.replace("400KiB", "64MiB");
    let large = vec![b'x'; 16 << 20];
    let (server, _state) = runtime.block_on(async {
        let Edge { server, client, state } = edge(&config).await;
        deploy(&client, &[("assets/large", &large)]).await;
        (server, state)
    });
    let mut stream = send(server.listen(), "GET /large HTTP/1.0\r\nHost: site.localhost\r\n\r\n");
    let mut came = vec![0; 1_000];
    stream.read_exact(&mut came).unwrap();
    // The client takes the end of it slowly, and more than the kernel has room for lies in the server's buffers.
    let (last, is_stopped) = (large.len() - (10 << 20), Arc::new(AtomicBool::new(false)));
    let stopped = is_stopped.clone();
    let slow = std::thread::spawn(move || {
        let mut piece = vec![0; 32 << 10];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            came.extend_from_slice(&piece[..count]);
            if came.len() > last && !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        came
    });
    assert_eq!(runtime.block_on(server.stop()), 0);
    // As the process ends.
    drop(runtime);
    is_stopped.store(true, Ordering::Relaxed);
    let came = slow.join().unwrap();
    let head = came.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(came[head..] == large, "{} bytes", came.len() - head);
}

/// Puts a name into a header as it is, also one that the library would refuse.
fn raw(name: &str, kind: EntryType, link: &str, contents: &[u8]) -> Vec<u8> {
    let mut header = header(kind, contents.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..name.len()].copy_from_slice(name.as_bytes());
    gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str) -> Vec<u8> {
    raw(name, EntryType::Regular, "", b"x")
}

/// A record of PAX's: its length, in its own text, a key and a value.
fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| length.to_string().len() + rest == *length).unwrap();
    format!("{length} {key}={value}\n").into_bytes()
}

/// Files that have thirty directories each to themselves.
fn deep_below(place: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| file(&format!("{place}/{at}{}", "/d".repeat(30)))).collect()
}

/// A file with a name that is almost as long as may be.
fn long_name(at: usize) -> [Vec<u8>; 2] {
    let name = format!("assets/{at:05}{}\0", "x".repeat(490));
    [raw("note", EntryType::GNULongName, "", name.as_bytes()), file("short")]
}

/// Archives, and what is said of them.
fn hostile() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let of = |kind| move |name: &str, link: &str| raw(name, kind, link, b"");
    let (symlink, hard) = (of(EntryType::Symlink), of(EntryType::Link));
    let note = |kind, text: &[u8]| raw("note", kind, "", text);
    let mut huge = header(EntryType::Regular, 1 << 60);
    huge.as_gnu_mut().unwrap().name[..8].copy_from_slice(b"assets/h");
    huge.set_cksum();
    let deep = format!("assets{}", "/d".repeat(40));
    let mut damaged = file("assets/x");
    damaged[3] ^= 1;
    vec![
        ("\"..\"", vec![file("../up")]),
        ("\"..\"", vec![file("assets/../../etc/passwd")]),
        ("absolute", vec![file("/etc/passwd")]),
        ("absolute", vec![file("assets//x")]),
        ("too long or deep", vec![file(&deep)]),
        ("control character", vec![file("assets/a\nb")]),
        ("\\", vec![file("assets\\x")]),
        ("has no place", vec![file("etc/passwd")]),
        ("has no place", vec![file("assets")]),
        ("has no place", vec![raw("app.wasm", EntryType::Directory, "", b"")]),
        ("\"assets/x\" is there twice", vec![file("assets/x"), file("./assets/x")]),
        ("twice", vec![file("app.wasm"), file("app.wat")]),
        ("neither file nor directory", vec![symlink("assets/x", "/etc/passwd")]),
        ("neither file nor directory", vec![hard("assets/x", "../x")]),
        ("neither file nor directory", vec![raw("assets/x", EntryType::Char, "", b"")]),
        ("neither file nor directory", vec![raw("assets/x", EntryType::Fifo, "", b"")]),
        ("neither file nor directory", vec![raw("assets/x", EntryType::GNUSparse, "", b"")]),
        ("sparse", vec![note(EntryType::XHeader, &pax("GNU.sparse.major", "1")), file("assets/x")]),
        ("said twice", vec![note(EntryType::XHeader, &pax("size", "9999")), file("assets/x")]),
        ("\"..\"", vec![note(EntryType::XHeader, &pax("path", "assets/../x")), file("assets/x")]),
        ("\"..\"", vec![note(EntryType::GNULongName, b"assets/../x\0"), file("assets/x")]),
        (
            "a path, size or link for all entries",
            vec![note(EntryType::XGlobalHeader, &pax("path", "assets/y")), file("assets/x")],
        ),
        (
            "a path, size or link for all entries",
            vec![note(EntryType::XGlobalHeader, &pax("size", "0")), file("assets/x")],
        ),
        (
            "a path, size or link for all entries",
            vec![file("assets/x"), note(EntryType::XGlobalHeader, &pax("linkpath", "/"))],
        ),
        ("sparse", vec![note(EntryType::XGlobalHeader, &pax("GNU.sparse.major", "1")), file("assets/x")]),
        ("more than 64 KiB", vec![note(EntryType::GNULongName, &[b'x'; 100_000]), file("assets/x")]),
        ("more than 64 KiB", vec![note(EntryType::XHeader, &[b'x'; 100_000]), file("assets/x")]),
        ("ends within its entry \"assets/h\"", vec![huge.as_bytes().to_vec()]),
        ("no tar archive, or damaged", vec![damaged]),
        ("no tar archive, or damaged", vec![b"no archive ".repeat(100)]),
        ("neither a program", vec![file("files/x")]),
        ("neither a program", vec![vec![0; 1024]]),
        ("lies below something", vec![file("assets/x"), file("files/a"), file("files/a/b")]),
        ("more than 20000 entries", (0..20_001).map(|at| file(&format!("assets/{at}"))).collect()),
        // A small archive made hundreds of megabytes of directories: only its entries were counted.
        ("more than 20000 entries", deep_below("assets", 700)),
        ("more than 20000 entries", [deep_below("files", 700), vec![file("assets/x")]].concat()),
        ("names have more than 2 MiB", (0..5_000).flat_map(long_name).collect()),
        ("more than 100 lines", vec![file("assets/x"), raw("args", EntryType::Regular, "", &[b'\n'; 200])]),
        ("more than 16 KiB", vec![file("assets/x"), raw("args", EntryType::Regular, "", &[b'x'; 20_000])]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_mean_no_good_are_refused_by_the_name_of_the_entry() {
    let Edge { server, client, state } = edge(common::CONFIG).await;
    deploy(&client, &[("assets/x", b"before")]).await;
    for (why, entries) in hostile() {
        let end = vec![0; 1024];
        let archive = [entries.concat(), end].concat();
        match deploy_as(&client, &DeployOrder::default(), bundle(&archive)).await {
            Progress::Failed { stage: Stage::Unpack, message } => assert!(message.contains(why), "{why}: {message}"),
            other => panic!("{why}: {other:?}"),
        }
        assert_eq!(ask(&server, "GET", "/x", "").1, "before");
    }
    let scratch = || std::fs::read_dir(state.path().join("scratch")).unwrap().count();
    until("nothing left of them", || scratch() == 0).await;
    assert_eq!(std::fs::read_dir(state.path().join("blobs")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_was_changed_is_never_served() {
    let Edge { server, client, state } = edge(common::CONFIG).await;
    deploy(&client, &[("assets/x", b"before")]).await;
    let record = client.versions(&Name::new("site").unwrap()).await.unwrap();
    server.stop().await;
    drop(client);
    let path = state.path().join("blobs").join(record.versions[0].bundle.unwrap().digest.to_string());
    let changed = String::from_utf8(std::fs::read(&path).unwrap()).unwrap().replace("before", "beware");
    std::fs::write(&path, changed).unwrap();
    let server = common::restarted(common::CONFIG, state.path()).await;
    assert!(get(server.listen(), "site", "/x").contains("x-selvedge-error: no_version"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tools_own_archive_is_a_bundle() {
    let (directory, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = format!("assets/{}page.html", "long/".repeat(25));
    for (name, text) in [("app.wat", guest("hello")), ("assets/a.txt", b"a".to_vec()), (&long, b"long".to_vec())] {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let server = serve(common::CONFIG, state.path()).await;
    let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
    // As `git archive` begins.
    let of_git = [raw("pax_global_header", EntryType::XGlobalHeader, "", &pax("comment", "fd4beba")), file("assets/x")];
    let deployed =
        deploy_as(&client, &DeployOrder::default(), bundle(&[of_git.concat(), vec![0; 1024]].concat())).await;
    assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
    for format in ["gnu", "posix", "ustar"] {
        let mut command = std::process::Command::new("tar");
        command.arg(format!("--format={format}")).arg("-C").arg(directory.path()).args(["-cf", "-", "."]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let deployed = deploy_as(&client, &DeployOrder::default(), bundle(&output.stdout)).await;
        assert!(matches!(deployed, Progress::Deployed { .. }), "{format}: {deployed:?}");
        assert_eq!(ask(&server, "GET", "/a.txt", "").1, "a");
        assert_eq!(ask(&server, "GET", &long["assets".len()..], "").1, "long");
    }
}
