//! Deploys: what is refused changes nothing, what is acknowledged stays, and who may do what.

mod common;

use common::{Edge, TWO_TENANTS, deploy, edge, get, guest, rest, restarted, send, serve};
use selvedge_edge::client::{Canary, Client, ClientError, DeployOrder, Host, Name, Prefix, Progress, Stage};

fn failed(progress: Progress) -> (Stage, String) {
    match progress {
        Progress::Failed { stage, message } => (stage, message),
        other => panic!("{other:?}"),
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A program that answers with a word.
fn says(word: &str) -> Vec<u8> {
    let text = String::from_utf8(guest("hello")).unwrap();
    text.replace("fine\\n", &format!("{word}\\n"))
        .replace("(i32.const 31)", &format!("(i32.const {})", 27 + word.len()))
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_at_any_stage_leaves_the_old_version_answering() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await.with(&["hello"]).await;
    let with_start = |body: &str| format!("(module (func (export \"_start\") {body}))").into_bytes();
    let import = b"(module (import \"env\" \"unknown\" (func)) (func (export \"_start\")))".to_vec();
    for (module, stage, why) in [
        (b"no module".to_vec(), Stage::Compile, "not valid WebAssembly"),
        (b"\0asm\x01\0\0\0\xff".to_vec(), Stage::Compile, ""),
        (b"(module)".to_vec(), Stage::Link, "_start"),
        (import, Stage::Link, "env unknown"),
        (b"(module (func $s) (start $s) (func (export \"_start\")))".to_vec(), Stage::Link, "start function"),
        (b"(module (func (export \"_start\") (param i32)))".to_vec(), Stage::Link, "without parameters"),
        (with_start("(unreachable)"), Stage::Check, "guest_trap"),
        (with_start("(nop)"), Stage::Check, "no_response"),
        (with_start("(loop (br 0))"), Stage::Check, "cpu_limit"),
        (b"(module (memory 17) (func (export \"_start\")))".to_vec(), Stage::Check, "1048576"),
    ] {
        let (at, message) = failed(deploy(&client, "hello", module).await);
        assert_eq!((at, message.contains(why)), (stage, true), "{message}");
        assert!(get(server.listen(), "hello", "/").ends_with("fine\n"));
    }
    assert_eq!(client.versions(&name("hello")).await.unwrap().active, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_switch_back_and_survive_a_restart() {
    let Edge { server, client, state } = edge(common::CONFIG).await;
    for (number, word) in [(1, "one"), (2, "two"), (3, "three")] {
        let deployed = deploy(&client, "site", says(word)).await;
        assert!(matches!(deployed, Progress::Deployed { version, .. } if version == number), "{deployed:?}");
        assert!(get(server.listen(), "site", "/").ends_with(&format!("\n{word}\n")));
    }
    assert_eq!(client.rollback(&name("site"), None).await.unwrap().active, 2);
    assert!(get(server.listen(), "site", "/").ends_with("\ntwo\n"));
    assert!(matches!(client.rollback(&name("site"), Some(9)).await, Err(ClientError::Refused { status: 404, .. })));
    server.stop().await;
    drop(client);
    let server = restarted(common::CONFIG, state.path()).await;
    assert!(get(server.listen(), "site", "/").ends_with("\ntwo\n"));
    let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
    let record = client.versions(&name("site")).await.unwrap();
    assert_eq!((record.active, record.versions.len()), (2, 3));
    let deployed = deploy(&client, "site", says("four")).await;
    assert!(matches!(deployed, Progress::Deployed { version: 4, .. }), "{deployed:?}");
    client.delete(&name("site")).await.unwrap();
    assert!(get(server.listen(), "site", "/").contains("no_site"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_that_was_changed_is_never_run() {
    let Edge { server, client, state } = edge(common::CONFIG).await.with(&["hello"]).await;
    let artifact = client.versions(&name("hello")).await.unwrap().versions[0].artifact.unwrap();
    server.stop().await;
    let path = state.path().join("blobs").join(artifact.to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let server = restarted(common::CONFIG, state.path()).await;
    assert!(get(server.listen(), "hello", "/").contains("x-selvedge-error: no_version"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_in_browsers_cannot_deploy() {
    let Edge { server, client: _client, state: _state } = edge(common::CONFIG).await;
    let ask = |headers: &str| {
        rest(send(server.admin(), format!("GET /v1/sites HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")))
    };
    assert!(ask("Host: localhost\r\nx-selvedge: 1\r\n").starts_with("HTTP/1.1 200 "));
    for foreign in [
        "Host: localhost\r\n",
        "Host: localhost\r\nx-selvedge: 1\r\nOrigin: http://evil.example\r\n",
        "Host: evil.example\r\nx-selvedge: 1\r\n",
        "x-selvedge: 1\r\n",
    ] {
        assert!(ask(foreign).starts_with("HTTP/1.1 403 "), "{foreign}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_tokens_and_sites_of_their_own() {
    let Edge { server, client: nobody, state: _state } = edge(TWO_TENANTS).await;
    let with = |token: &str| Client::new(&format!("http://{}", server.admin()), Some(token.into())).unwrap();
    for client in [nobody, with("c"), with("")] {
        assert!(matches!(client.sites().await, Err(ClientError::Refused { status: 401, .. })));
    }
    let (alpha, beta) = (with("a"), with("b"));
    deploy(&alpha, "mine", says("alpha")).await;
    assert!(beta.sites().await.unwrap().is_empty());
    assert!(matches!(beta.rollback(&name("mine"), None).await, Err(ClientError::Refused { status: 404, .. })));
    let why = refused(&beta, "mine", &DeployOrder::default(), says("beta")).await;
    assert!(why.contains("mine.localhost belongs to another tenant"), "{why}");
    assert!(get(server.listen(), "mine", "/").ends_with("alpha\n"));
    assert!(!beta.metrics().await.unwrap().contains("mine"));
    assert!(
        alpha
            .metrics()
            .await
            .unwrap()
            .contains("selvedge_requests_total{tenant=\"alpha\",site=\"mine\",status=\"2xx\"} 1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_can_be_followed() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await.with(&["exits"]).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let following = tokio::spawn(async move {
        let site = name("exits");
        client.logs(&site, true, |entry| drop(tell.send(entry.to_string()))).await
    });
    let answer = get(server.listen(), "exits", "/x");
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    let wanted = [format!("{id} | fine"), format!("{id} ! guest_exit: "), format!("{id} GET /x 500 ")];
    for wanted in wanted {
        while !told.recv().await.unwrap().starts_with(&wanted) {}
    }
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_while_it_serves() {
    let Edge { server, client: _client, state } = edge(common::CONFIG).await.with(&["grows", "hello"]).await;
    let mut config = selvedge_edge::Config::parse("[limits]\nmemory = \"512KiB\"\nslots = 3", "edge.toml");
    assert!(config.is_err(), "slots is no limit");
    config = selvedge_edge::Config::parse("slots = 9\n[limits]\nmemory = \"512KiB\"", "edge.toml");
    let mut config = config.unwrap();
    config.state = state.path().to_owned();
    let fixed = server.reload(&config).unwrap();
    assert_eq!(fixed, ["listen", "admin", "slots"]);
    assert!(get(server.listen(), "grows", "/x").contains("its limit of 512 KiB"));
    assert!(get(server.listen(), "hello", "/x").ends_with("fine\n"));
}

/// Deploys with more than a host; the last progress.
async fn deploy_as(client: &Client, site: &str, order: &DeployOrder, module: Vec<u8>) -> Progress {
    let mut last = None;
    client.deploy_as(&name(site), order, module, |progress| last = Some(progress)).await.unwrap();
    last.unwrap()
}

/// Why a deploy is refused before it is read.
async fn refused(client: &Client, site: &str, order: &DeployOrder, module: Vec<u8>) -> String {
    match client.deploy_as(&name(site), order, module, drop).await {
        Err(ClientError::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

fn below(path: &str) -> DeployOrder {
    let hosts = vec![Host::new("site.localhost").unwrap()];
    DeployOrder { hosts, path: Some(Prefix::new(path).unwrap()), ..DeployOrder::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_share_a_host_by_path_and_keep_their_own() {
    let Edge { server, client, state } = edge(common::CONFIG).await;
    let deployed = deploy_as(&client, "whole", &below("/"), says("whole")).await;
    assert!(matches!(deployed, Progress::Deployed { .. }), "{deployed:?}");
    deploy_as(&client, "api", &below("/api/"), says("api")).await;
    deploy_as(&client, "env", &below("/api/env"), guest("env")).await;
    let answers = |server: &selvedge_edge::Server| {
        for (path, word) in [("/", "whole"), ("/apix", "whole"), ("/api", "api"), ("/api/x?y", "api")] {
            assert!(get(server.listen(), "site", path).ends_with(&format!("\n{word}\n")), "{path}");
        }
        let environment = get(server.listen(), "site", "/api/env/a%20b?c");
        for line in ["SCRIPT_NAME=/api/env", "PATH_INFO=/a b", "X_RAW_PATH_INFO=/a%20b", "X_MATCHED_ROUTE=/api/env/..."]
        {
            assert!(environment.lines().any(|l| l == line), "{line}\n{environment}");
        }
    };
    answers(&server);
    let why = refused(&client, "thief", &below("/api"), says("thief")).await;
    assert!(why.contains("site.localhost/api belongs to the site api"), "{why}");
    // Without a path it stays where it is; with another one it leaves its place to others.
    deploy_as(&client, "api", &DeployOrder::default(), says("again")).await;
    assert!(get(server.listen(), "site", "/api").ends_with("\nagain\n"));
    deploy_as(&client, "api", &DeployOrder::default(), says("api")).await;
    server.stop().await;
    drop(client);
    let server = restarted(common::CONFIG, state.path()).await;
    answers(&server);
    let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
    client.delete(&name("whole")).await.unwrap();
    assert!(get(server.listen(), "site", "/").contains("no_site: no site of the host"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_answers_its_share_until_it_is_promoted_or_dropped() {
    let Edge { server, client, state } = edge(common::CONFIG).await;
    let canary = DeployOrder { canary: Some(25), ..DeployOrder::default() };
    let why = refused(&client, "site", &canary, says("old")).await;
    assert!(why.contains("without --canary first"), "{why}");
    deploy(&client, "site", says("old")).await;
    let deployed = deploy_as(&client, "site", &canary, says("new")).await;
    assert!(matches!(deployed, Progress::Deployed { version: 2, canary: Some(25), .. }), "{deployed:?}");
    // On a busy machine a program may be stopped between its answer and its end: then the body comes in chunks.
    let is_new = |answer: String| {
        assert!(answer.contains("\nnew\n") || answer.contains("\nold\n"), "{answer}");
        answer.contains("\nnew\n")
    };
    let new = |server: &selvedge_edge::Server| (0..100).filter(|_| is_new(get(server.listen(), "site", "/"))).count();
    assert!(new(&server).abs_diff(25) <= 3);
    let metrics = client.metrics().await.unwrap();
    let of = |version: u32| {
        format!(
            "selvedge_version_requests_total{{tenant=\"default\",site=\"site\",version=\"{version}\",status=\"2xx\"}}"
        )
    };
    let count = |version| metrics.lines().find_map(|line| line.strip_prefix(&of(version))?.trim().parse::<u32>().ok());
    assert_eq!(count(1).zip(count(2)).map(|(old, new)| old + new), Some(100), "{metrics}");
    server.stop().await;
    drop(client);
    let server = restarted(common::CONFIG, state.path()).await;
    assert!(new(&server).abs_diff(25) <= 3, "it survives a restart");
    let client = Client::new(&format!("http://{}", server.admin()), None).unwrap();
    let site = name("site");
    let record = client.canary(&site, 2, 100).await.unwrap();
    assert_eq!((record.active, record.canary), (1, Some(Canary { version: 2, percent: 100 })));
    assert_eq!(new(&server), 100);
    assert_eq!((client.drop_canary(&site).await.unwrap().canary, new(&server)), (None, 0));
    for (version, percent, status) in [(1, 5, 404), (9, 5, 404), (2, 101, 400)] {
        let refused = client.canary(&site, version, percent).await;
        assert!(matches!(refused, Err(ClientError::Refused { status: s, .. }) if s == status), "{refused:?}");
    }
    assert!(matches!(client.promote(&site).await, Err(ClientError::Refused { status: 404, .. })));
    client.canary(&site, 2, 1).await.unwrap();
    let record = client.promote(&site).await.unwrap();
    assert_eq!((record.active, record.canary, new(&server)), (2, None, 100));
    client.canary(&site, 1, 50).await.unwrap();
    assert_eq!((client.rollback(&site, None).await.unwrap().canary, new(&server)), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_are_there_at_once_after_a_start_and_tenants_come_and_go() {
    let tenants = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[tenants.default]\n";
    let Edge { server, client, state } = edge(tenants).await;
    for number in 0..20 {
        deploy(&client, &format!("site-{number}"), says("fine")).await;
    }
    server.stop().await;
    drop(client);
    common::until("the state to be free", || {
        std::fs::File::open(state.path().join("sites.redb")).is_ok_and(|file| file.try_lock().is_ok())
    })
    .await;
    let server = serve(tenants, state.path()).await;
    assert_eq!(server.sites(), 20);
    // Whether it is loaded already or not.
    for number in (0..20).rev() {
        assert!(get(server.listen(), &format!("site-{number}"), "/").ends_with("\nfine\n"));
    }
    common::until("all loaded", || server.health().loading == 0).await;
    let health = rest(send(server.admin(), "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    assert!(health.starts_with("HTTP/1.1 200 ") && health.contains("\"sites\": 20"), "{health}");
    let reload = |text: &str| {
        let mut config = selvedge_edge::Config::parse(text, "edge.toml").unwrap();
        config.state = state.path().to_owned();
        server.reload(&config).unwrap();
    };
    reload("listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[tenants.other]\n");
    assert!(get(server.listen(), "site-3", "/").contains("no_site"));
    reload(tenants);
    common::until("it is back", || get(server.listen(), "site-3", "/").ends_with("\nfine\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_site_needs_is_removed_while_it_serves() {
    let Edge { server, client, state } = edge(common::CONFIG).await.with(&["hello", "trap"]).await;
    let blobs = || std::fs::read_dir(state.path().join("blobs")).unwrap().count();
    assert_eq!(blobs(), 4);
    client.delete(&name("trap")).await.unwrap();
    common::until("its blobs removed", || blobs() == 2).await;
    assert!(get(server.listen(), "hello", "/x").ends_with("fine\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_no_more_than_its_scope_says() {
    let Edge { server, client: _nobody, state: _state } = edge(common::SCOPED_TOKENS).await;
    let with = |token: &str| Client::new(&format!("http://{}", server.admin()), Some(token.into())).unwrap();
    let (all, looks, of_one) = (with("a"), with("b"), with("c"));
    deploy(&all, "one", says("one")).await;
    deploy(&all, "two", says("two")).await;
    let (one, two) = (name("one"), name("two"));
    let refused = |outcome: Result<(), ClientError>, why: &str| match outcome {
        Err(ClientError::Refused { status: 403, message }) => assert!(message.contains(why), "{message}"),
        other => panic!("{other:?}"),
    };
    // Who only looks sees all, and changes nothing.
    assert_eq!(looks.sites().await.unwrap().len(), 2);
    assert_eq!(looks.versions(&one).await.unwrap().active, 1);
    looks.logs(&one, false, drop).await.unwrap();
    assert!(looks.metrics().await.unwrap().contains("site=\"two\""));
    refused(looks.deploy(&one, &[], says("new"), drop).await, "may look");
    refused(looks.rollback(&one, Some(1)).await.map(drop), "may look");
    refused(looks.canary(&one, 1, 5).await.map(drop), "may look");
    refused(looks.delete(&one).await, "may look");
    // Who is there for one site does all with it, and neither sees nor changes another.
    assert!(matches!(deploy(&of_one, "one", says("new")).await, Progress::Deployed { version: 2, .. }));
    assert_eq!(of_one.rollback(&one, None).await.unwrap().active, 1);
    let seen: Vec<_> = of_one.sites().await.unwrap().into_iter().map(|site| site.site).collect();
    assert_eq!(seen, [one]);
    assert_eq!(of_one.top().await.unwrap().sites.len(), 1);
    assert!(!of_one.metrics().await.unwrap().contains("site=\"two\""));
    refused(of_one.versions(&two).await.map(drop), "other sites than two");
    refused(of_one.logs(&two, false, drop).await, "other sites than two");
    refused(of_one.deploy(&name("three"), &[], says("three"), drop).await, "other sites than three");
    refused(of_one.delete(&two).await, "other sites than two");
    // Nor takes it requests of another, and with them what browsers send there.
    let hosts = vec![Host::new("two.localhost").unwrap()];
    let login = DeployOrder { hosts, path: Some(Prefix::new("/login").unwrap()), ..DeployOrder::default() };
    refused(of_one.deploy_as(&name("one"), &login, says("stolen"), drop).await, "a site that this token is not for");
    for path in ["/", "/login"] {
        assert!(get(server.listen(), "two", path).ends_with("\ntwo\n"));
    }
    let deployed = deploy_as(&all, "one", &login, says("login")).await;
    assert!(matches!(deployed, Progress::Deployed { .. }), "whose token is for both may: {deployed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_looks_at_all_tenants_and_changes_none() {
    let Edge { server, client: _nobody, state: _state } = edge(common::OPERATORS).await;
    let with = |token: &str| Client::new(&format!("http://{}", server.admin()), Some(token.into())).unwrap();
    let (alpha, beta, operator, numbers) = (with("a"), with("b"), with("c"), with("d"));
    // Two sites of one name: whose is meant must be said.
    let one = name("one");
    for (client, host) in [(&alpha, "alpha.localhost"), (&beta, "beta.localhost")] {
        client.deploy(&one, &[Host::new(host).unwrap()], says(host), drop).await.unwrap();
    }
    let refused = |outcome: Result<(), ClientError>, expected: u16, why: &str| match outcome {
        Err(ClientError::Refused { status, message }) => {
            assert!(status == expected && message.contains(why), "{status} {message}");
        }
        other => panic!("{other:?}"),
    };
    let seen: Vec<_> = operator.sites().await.unwrap().into_iter().map(|site| site.tenant.to_string()).collect();
    assert_eq!(seen, ["alpha", "beta"]);
    assert_eq!(operator.top().await.unwrap().sites.len(), 2);
    refused(operator.versions(&one).await.map(drop), 400, "this token looks at several tenants");
    refused(operator.logs(&one, false, drop).await, 400, "this token looks at several tenants");
    let of_beta = operator.clone().of_tenant(name("beta"));
    assert_eq!(of_beta.versions(&one).await.unwrap().hosts, [Host::new("beta.localhost").unwrap()]);
    assert_eq!(of_beta.sites().await.unwrap().len(), 1);
    of_beta.logs(&one, false, drop).await.unwrap();
    refused(operator.clone().of_tenant(name("gamma")).top().await.map(drop), 404, "no tenant gamma");
    // One scrape has all of it.
    for client in [&operator, &numbers] {
        let metrics = client.metrics().await.unwrap();
        for tenant in ["alpha", "beta"] {
            let line = format!("selvedge_requests_total{{tenant=\"{tenant}\",site=\"one\",status=\"2xx\"}}");
            assert!(metrics.contains(&line), "{line}\n{metrics}");
        }
    }
    for client in [operator.clone(), of_beta, numbers.clone(), numbers.clone().of_tenant(name("beta"))] {
        refused(client.deploy(&one, &[], says("new"), drop).await, 403, "this token");
        refused(client.rollback(&one, None).await.map(drop), 403, "this token");
        refused(client.canary(&one, 1, 5).await.map(drop), 403, "this token");
        refused(client.promote(&one).await.map(drop), 403, "this token");
        refused(client.drop_canary(&one).await.map(drop), 403, "this token");
        refused(client.delete(&one).await, 403, "this token");
    }
    // A token for metrics sees nothing else, an operator's or a tenant's.
    for client in [numbers, with("e")] {
        refused(client.sites().await.map(drop), 403, "GET /metrics alone");
        refused(client.top().await.map(drop), 403, "GET /metrics alone");
        refused(client.clone().of_tenant(name("alpha")).logs(&one, false, drop).await, 403, "GET /metrics alone");
    }
    // Tenants see what they saw before, and cannot ask for more.
    for client in [&alpha, &with("e")] {
        let metrics = client.metrics().await.unwrap();
        assert!(metrics.contains("tenant=\"alpha\"") && !metrics.contains("beta"), "{metrics}");
        refused(client.clone().of_tenant(name("beta")).metrics().await.map(drop), 403, "another tenant than beta");
    }
    refused(alpha.clone().of_tenant(name("beta")).delete(&one).await, 403, "another tenant than beta");
    refused(alpha.clone().of_tenant(name("gamma")).delete(&one).await, 403, "another tenant than gamma");
    assert_eq!(alpha.sites().await.unwrap().len(), 1);
    for tenant in ["alpha", "beta"] {
        assert!(get(server.listen(), tenant, "/").ends_with(&format!("\n{tenant}.localhost\n")));
    }
    assert_eq!(alpha.of_tenant(name("alpha")).versions(&one).await.unwrap().versions.len(), 1);
}
