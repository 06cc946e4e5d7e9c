//! The dashboard: in a real browser, and against those who would misuse it.

#[path = "dashboard/browser.rs"]
mod browser;
mod common;

use std::net::SocketAddr;

use browser::Browser;
use common::{Edge, TWO_TENANTS, deploy, edge, get, guest, rest, send};
use selvedge_edge::client::{Client, Host, Name};

/// A program whose names, log and answer are markup; it traps if its query is not empty, in another way if that has two parts.
const MARKUP: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 64) "Content-Type: text/html\n\n<script>window.harm=1</script>")
    (data (i32.const 128) "<img src=x onerror=\"window.harm=2\">\n")
    (func $"<img src=x onerror=window.harm=3>" (unreachable))
    (func $say (param $stream i32) (param $text i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $text))
        (i32.store (i32.const 4) (local.get $length))
        (drop (call $write (local.get $stream) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "_start")
        (drop (call $args (i32.const 16) (i32.const 20)))
        (call $say (i32.const 2) (i32.const 128) (i32.const 36))
        (if (i32.gt_u (i32.load (i32.const 16)) (i32.const 2)) (then (drop (i32.div_u (i32.const 1) (i32.const 0)))))
        (if (i32.gt_u (i32.load (i32.const 16)) (i32.const 1)) (then (call $"<img src=x onerror=window.harm=3>")))
        (call $say (i32.const 1) (i32.const 64) (i32.const 55))))"#;

/// A request to the admin address, as a browser's page there would make it but for these headers.
fn ask(admin: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let form = "Content-Type: application/x-www-form-urlencoded";
    rest(send(
        admin,
        format!("{line} HTTP/1.1\r\n{headers}{form}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"),
    ))
}

/// What forms of this page carry.
fn form_token(page: &str) -> &str {
    page.split("name=\"form\" value=\"").nth(1).unwrap_or_else(|| panic!("{page}")).split('"').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_is_text_on_every_page() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await;
    deploy(&client, "markup", MARKUP.into()).await;
    get(server.listen(), "markup", "/");
    assert!(get(server.listen(), "markup", "/?trap").contains("guest_trap"));
    let host = "Host: localhost\r\n";
    let page = ask(server.admin(), "GET /sites/markup", host, "");
    let form = form_token(&page).to_string();
    let asked =
        ask(server.admin(), "POST /sites/markup/ask", host, &format!("form={form}&method=GET&path=/&body=%3Cb%3E"));
    let tried = ask(server.admin(), "POST /try", host, &format!("form={form}&site=x&text=%3Cscript%3E%3C/textarea%3E"));
    assert!(page.contains("&#60;img src=x onerror=") && page.contains("harm=3"), "{page}");
    assert!(asked.contains("&#60;script&#62;window.harm=1"), "{asked}");
    assert!(tried.contains("&#60;script&#62;&#60;/textarea&#62;"), "{tried}");
    for page in [&page, &asked, &tried] {
        let body = page.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body.matches("<script").count(), 1, "only our own:\n{body}");
        assert!(!body.contains("<img") && !body.contains("<b>&"), "{body}");
        assert!(page.contains("content-security-policy: default-src 'none'; script-src 'self';"), "{page}");
        assert!(page.contains("x-frame-options: DENY") && page.contains("x-content-type-options: nosniff"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_change_nothing() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await.with(&["hello"]).await;
    deploy(&client, "hello", guest("hello")).await;
    let admin = server.admin();
    let page = ask(admin, "GET /sites/hello", "Host: localhost\r\n", "");
    let good = format!("form={}&version=1", form_token(&page));
    let local = "Host: localhost\r\n";
    let active = || async { client.versions(&Name::new("hello").unwrap()).await.unwrap().active };
    for (headers, body) in [
        ("Host: localhost\r\nOrigin: http://evil.example\r\n", &*good),
        ("Host: localhost\r\nOrigin: http://localhost:8080\r\n", &good),
        ("Host: localhost\r\nOrigin: null\r\n", &good),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", &good),
        ("Host: localhost\r\nSec-Fetch-Site: same-site\r\n", &good),
        ("Host: evil.example\r\nOrigin: http://evil.example\r\n", &good),
        (local, "version=1"),
        (local, "form=&version=1"),
        (local, "form=0123456789abcdef&version=1"),
    ] {
        for does in ["rollback", "promote", "drop"] {
            let answer = ask(admin, &format!("POST /sites/hello/{does}"), headers, body);
            assert!(answer.starts_with("HTTP/1.1 403 "), "{does} {headers}{body}\n{answer}");
        }
        // What is dropped in has the form's number in a header: the right one, unless that is what is wrong.
        let number = form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "form");
        let number = number.map(|(_, number)| format!("x-selvedge-form: {number}\r\n")).unwrap_or_default();
        let module = format!("{headers}{number}x-selvedge: 1\r\n");
        let answer = ask(admin, "POST /try?site=hello", &module, std::str::from_utf8(&guest("hello")).unwrap());
        assert!(answer.starts_with("HTTP/1.1 403 "), "{module}\n{answer}");
        // Its script was given a page, and said that this was no JSON.
        let is_json = answer.contains("content-type: application/json");
        assert_eq!(is_json, module.contains("x-selvedge-form"), "{module}\n{answer}");
        assert_eq!(active().await, 2);
    }
    for foreign in
        ["Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", "Host: localhost\r\nOrigin: http://a.example\r\n"]
    {
        assert!(ask(admin, "GET /events", foreign, "").starts_with("HTTP/1.1 403 "), "{foreign}");
    }
    assert!(ask(admin, "GET /", "Host: evil.example\r\n", "").starts_with("HTTP/1.1 403 "), "a name that was rebound");
    let ours = format!("{local}Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n");
    // The page was drawn before somebody else changed the site.
    let old = ask(admin, "POST /sites/hello/rollback", &ours, &format!("{good}&revision=1"));
    assert!(old.starts_with("HTTP/1.1 409 ") && old.contains("is at revision 2, not 1"), "{old}");
    let drawn = ask(admin, "GET /sites/hello", local, "");
    assert!(drawn.contains(r#"name="revision" value="2""#), "{drawn}");
    assert!(
        ask(admin, "POST /sites/hello/rollback", &ours, &format!("{good}&revision=2")).starts_with("HTTP/1.1 303 ")
    );
    assert_eq!(active().await, 1);
    let module = format!("{ours}x-selvedge-form: {}\r\n", form_token(&page));
    let answer = ask(admin, "POST /try?site=hello", &module, std::str::from_utf8(&guest("hello")).unwrap());
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"version\":3"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_in_is_bounded() {
    let Edge { server, client: _client, state: _state } = edge(common::CONFIG).await;
    let page = ask(server.admin(), "GET /try", "Host: localhost\r\n", "");
    let header = format!("Host: localhost\r\nx-selvedge-form: {}\r\n", form_token(&page));
    let answer = ask(server.admin(), "POST /try?site=big", &header, &" ".repeat((16 << 20) + 1));
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("at most 16 MiB"), "{answer}");
    let text = format!("form={}&site=big&text={}", form_token(&page), "x".repeat((1 << 20) + 1));
    let answer = ask(server.admin(), "POST /try", "Host: localhost\r\n", &text);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("at most 1 MiB"), "{answer}");
    let answer = ask(server.admin(), "POST /try", "Host: localhost\r\n", &"x".repeat((4 << 20) + 1));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Of whom nothing is known yet, little is read.
    let answer = ask(server.admin(), "POST /login", "Host: localhost\r\n", &"x".repeat((4 << 10) + 1));
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("at most 4 KiB"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_a_session_that_ends_and_shows_one_tenant() {
    let Edge { server, client: _nobody, state: _state } = edge(TWO_TENANTS).await;
    let admin = server.admin();
    let alpha = Client::new(&format!("http://{admin}"), Some("a".into())).unwrap();
    deploy(&alpha, "mine", guest("hello")).await;
    let local = "Host: localhost\r\n";
    assert!(ask(admin, "GET /", local, "").contains("\r\nlocation: /login\r\n"));
    let script = format!("{local}x-selvedge-form: x\r\n");
    for (line, headers, body) in
        [("POST /try", local, "form=x"), ("POST /try", &*script, ""), ("POST /login", local, "token=c")]
    {
        let refused = ask(admin, line, headers, body);
        assert!(refused.starts_with("HTTP/1.1 401 ") && !refused.contains("set-cookie"), "{refused}");
        // Only an answer that was no page said what was asked for.
        assert!(refused.contains("\r\nwww-authenticate: Bearer\r\n"), "{refused}");
    }
    let log_in = |token: &str| {
        let answer = ask(admin, "POST /login", local, &format!("token={token}"));
        let cookie =
            answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("{answer}"));
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        format!("{local}Cookie: x=1; {}\r\n", cookie.split(';').next().unwrap())
    };
    let (a, b) = (log_in("a"), log_in("b"));
    let page = ask(admin, "GET /sites/mine", &a, "");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(!ask(admin, "GET /", &b, "").contains("mine"));
    assert!(ask(admin, "GET /sites/mine", &b, "").starts_with("HTTP/1.1 404 "));
    let form = format!("form={}&version=1", form_token(&page));
    assert!(ask(admin, "POST /sites/mine/rollback", &b, &form).starts_with("HTTP/1.1 403 "), "another session's form");
    assert!(ask(admin, "GET /v1/sites", &a, "").starts_with("HTTP/1.1 401 "), "the API takes tokens alone");
    assert!(ask(admin, "POST /logout", &a, &form).contains("location: /login"));
    assert!(ask(admin, "GET /", &a, "").contains("location: /login"), "the session is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_no_tenants_or_for_metrics_alone_open_no_session() {
    let Edge { server, client: _nobody, state: _state } = edge(common::OPERATORS).await;
    for (token, why) in [("c", "looks at all tenants"), ("d", "GET /metrics alone"), ("e", "GET /metrics alone")] {
        let answer = ask(server.admin(), "POST /login", "Host: localhost\r\n", &format!("token={token}"));
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains(why), "{token}\n{answer}");
        assert!(!answer.contains("set-cookie"), "{token}\n{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_no_more_than_its_token() {
    let Edge { server, client: _nobody, state: _state } = edge(common::SCOPED_TOKENS).await;
    let admin = server.admin();
    let alpha = Client::new(&format!("http://{admin}"), Some("a".into())).unwrap();
    let local = "Host: localhost\r\n";
    let log_in = |token: &str| {
        let answer = ask(admin, "POST /login", local, &format!("token={token}"));
        let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        format!("{local}Cookie: {}\r\n", cookie.split(';').next().unwrap())
    };
    let (all, looks, of_one) = (log_in("a"), log_in("b"), log_in("c"));
    assert!(ask(admin, "GET /", &all, "").contains("href=\"/try\">drop a module here"));
    let empty = ask(admin, "GET /", &looks, "");
    assert!(empty.contains("deploy nothing") && !empty.contains("/try"), "{empty}");
    for site in ["one", "two"] {
        deploy(&alpha, site, guest("hello")).await;
        deploy(&alpha, site, guest("hello")).await;
    }
    let is = |status: &str, answer: String| assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let page = ask(admin, "GET /sites/two", &looks, "");
    assert!(!page.contains("Switch to 1") && !page.contains("/try") && page.contains("version 2"), "{page}");
    assert!(ask(admin, "GET /sites/two", &all, "").contains("Switch to 1"));
    let form = format!("form={}&version=1&site=two&text=x", form_token(&page));
    alpha.canary(&Name::new("two").unwrap(), 1, 20).await.unwrap();
    let page = ask(admin, "GET /sites/two", &looks, "");
    assert!(
        !page.contains("Promote 1") && !page.contains("Drop the canary") && page.contains("canary 1, 20 %"),
        "{page}"
    );
    let changes = ["rollback", "promote", "drop", "ask"].map(|does| format!("POST /sites/two/{does}"));
    for path in changes.iter().map(String::as_str).chain(["POST /try", "GET /try"]) {
        is("403", ask(admin, path, &looks, &form));
    }
    let overview = ask(admin, "GET /", &of_one, "");
    assert!(overview.contains("/sites/one") && !overview.contains("two"), "{overview}");
    let form = format!("form={}&version=1&site=two&text=x", form_token(&ask(admin, "GET /sites/one", &of_one, "")));
    let others = ["GET /sites/two", "GET /sites/two/events", "POST /try"];
    let others = others.into_iter().chain(changes.iter().map(String::as_str));
    others.for_each(|path| is("403", ask(admin, path, &of_one, &form)));
    is("303", ask(admin, "POST /sites/one/rollback", &of_one, &form));
    assert!(ask(admin, "POST /logout", &looks, &format!("form={}", form_token(&page))).contains("location: /login"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_script_a_text_is_deployed_and_asked() {
    let Edge { server, client: _client, state: _state } = edge(common::CONFIG).await;
    let page = ask(server.admin(), "GET /try", "Host: localhost\r\n", "");
    let text: String = String::from_utf8(guest("hello")).unwrap().bytes().map(|byte| format!("%{byte:02x}")).collect();
    let body = format!("form={}&site=tried&text={text}", form_token(&page));
    let answer = ask(server.admin(), "POST /try", "Host: localhost\r\n", &body);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("<pre>fine"), "{answer}");
    // A path is checked by itself: behind a site's prefix it would be another site's.
    let module = String::from_utf8(guest("hello")).unwrap();
    let deployed =
        ask(server.admin(), "POST /v1/sites/below/versions?path=/app", "Host: localhost\r\nx-selvedge: 1\r\n", &module);
    assert!(deployed.contains("\"deployed\""), "{deployed}");
    for path in ["nowhere", "@nowhere/"] {
        let body = format!("form={}&method=GET&path={path}&body=", form_token(&page));
        let answer = ask(server.admin(), "POST /sites/below/ask", "Host: localhost\r\n", &body);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("a path begins with /"), "{path}\n{answer}");
    }
    let again = ask(server.admin(), "GET /sites/tried/ask", "Host: localhost\r\n", "");
    assert!(again.contains("\r\nlocation: /sites/tried\r\n"), "{again}");
    assert!(get(server.listen(), "tried", "/").ends_with("fine\n"));
    let body = format!("form={}&site=tried&text=(module", form_token(&page));
    let answer = ask(server.admin(), "POST /try", "Host: localhost\r\n", &body);
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("<li class=\"bad\">compile</li>"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_a_module_is_dropped_in_watched_and_rolled_back() {
    let Edge { server, client, state } = edge(common::CONFIG).await.with(&["hello"]).await;
    let (admin, listen) = (format!("http://{}", server.admin()), server.listen());
    deploy(&client, "markup", MARKUP.into()).await;
    let first = state.path().join("first.wat");
    std::fs::write(&first, guest("hello")).unwrap();
    let runtime = tokio::runtime::Handle::current();
    let work = tokio::task::spawn_blocking(move || {
        let browser = Browser::start();
        browser.go(&admin);
        browser.until("document.querySelector('a.name')");
        for _ in 0..3 {
            get(listen, "hello", "/");
        }
        // Without a reload.
        browser.until("document.querySelector('.sites tr').parentNode.parentNode.innerText.match(/hello[^]*0\\.3/)");
        // A file, then a text: two versions.
        browser.go(&format!("{admin}/try"));
        browser.run("document.querySelector('[name=site]').value = 'dropped'");
        browser.type_into("#file", first.to_str().unwrap());
        browser.until("location.pathname === '/sites/dropped/ask' && document.querySelector('#answer')");
        assert!(browser.text("#answer").contains("200 OK") && browser.text("#answer").contains("fine"));
        browser.go(&format!("{admin}/try"));
        browser.run("document.querySelector('[name=site]').value = 'dropped'");
        browser.click("#try button");
        browser.until("location.pathname === '/sites/dropped/ask' && document.querySelector('#answer')");
        assert!(browser.text("#answer").contains("hello, from a fresh instance"));
        assert!(browser.text("h1").contains("version 2"));
        browser.click(".versions button");
        browser.until(
            "location.pathname === '/sites/dropped' && document.querySelector('h1').innerText.includes('version 1')",
        );
        assert!(get(listen, "dropped", "/").ends_with("fine\n"));
        // What somebody deploys elsewhere shows without a reload, and can be taken back.
        let name = Name::new("dropped").unwrap();
        runtime.block_on(client.rollback(&name, Some(2))).unwrap();
        browser.until("document.querySelector('h1').innerText.includes('version 2')");
        browser.until("document.querySelector('.versions tr').innerText.includes('active')");
        runtime.block_on(client.canary(&name, 1, 20)).unwrap();
        browser.until("document.querySelector('h1').innerText.includes('canary 1, 20 %')");
        browser.until("document.querySelector('#versions').innerText.includes('canary 20 %')");
        // It is dropped, then another is promoted.
        browser.click("form[action$='/drop'] button");
        browser.until("location.pathname === '/sites/dropped' && !document.body.innerText.includes('canary')");
        runtime.block_on(client.canary(&name, 1, 30)).unwrap();
        browser.until("document.querySelector('form[action$=\"/promote\"] button')?.innerText === 'Promote 1'");
        browser.click("form[action$='/promote'] button");
        browser.until("document.querySelector('h1').innerText.includes('version 1')");
        assert!(!browser.text("main").contains("canary"));
        // A module that is none is refused where it was written. Nothing is replaced unless somebody says so.
        runtime.block_on(deploy(&client, "trial", guest("hello")));
        browser.go(&format!("{admin}/try"));
        assert_eq!(browser.run("return document.querySelector('[name=site]').value"), "trial-2");
        browser.run("document.querySelector('#text').value = '(module'");
        browser.click("#try button");
        browser.until("document.querySelector('#stages .bad') && !document.querySelector('#failure').hidden");
        // What a program says, as it says it, is not run.
        browser.go(&format!("{admin}/sites/markup"));
        get(listen, "markup", "/?trap");
        browser.until("document.querySelector('#errors pre') && document.querySelector('#log .guest')");
        assert!(browser.text("#errors").contains("<img src=x onerror=window.harm=3>"));
        // Sixty equal ones were sixty entries.
        get(listen, "markup", "/?again");
        browser.until("document.querySelector('#errors summary').innerText.includes('2 times')");
        // What somebody has opened or closed stays so when more comes.
        get(listen, "markup", "/?two&parts");
        browser.until("document.querySelectorAll('#errors details').length === 2");
        browser.click("#errors details:nth-of-type(1) summary");
        browser.click("#errors details:nth-of-type(2) summary");
        get(listen, "markup", "/?two&parts");
        browser.until("document.querySelector('#errors summary').innerText.includes('2 times')");
        let open = browser.run("return [...document.querySelectorAll('#errors details')].map(one => one.open).join()");
        assert_eq!(open, "false,true");
        let said = browser.run("return document.querySelector('#errors details:not([open]) summary').innerText");
        assert!(said.as_str().unwrap().contains("trapped"), "what went wrong is seen before it is opened: {said}");
        assert_eq!(browser.run("return window.harm ?? 0"), 0);
        assert_eq!(browser.run("return document.querySelectorAll('main img, main script').length"), 0);
    });
    work.await.unwrap();
}

/// A browser that had mistyped an address was told of headers, as JSON, and that it might not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_nowhere_is_not_found_whoever_asks() {
    for config in [common::CONFIG, TWO_TENANTS] {
        let Edge { server, client: _nobody, state: _state } = edge(config).await;
        let client = Client::new(&format!("http://{}", server.admin()), Some("a".into())).unwrap();
        deploy(&client, "hello", guest("hello")).await;
        let paths =
            ["/nosuch", "/favicon.ico", "/v1", "/v1/sites/a/nosuch", "/metrics/", "/sites", "/sites/a/b/c", "//"];
        for host in ["Host: localhost\r\n", "Host: evil.example\r\nOrigin: http://evil.example\r\n"] {
            for (method, path) in paths.map(|path| [("GET", path), ("POST", path)]).into_iter().flatten() {
                let line = format!("{method} {path}");
                let answer = ask(server.admin(), &line, host, "");
                assert!(answer.starts_with("HTTP/1.1 404 "), "{line}\n{answer}");
                assert!(
                    answer.ends_with(&format!("{{\n  \"error\": \"there is nothing at {path}\"\n}}\n")),
                    "{answer}"
                );
                let browsers = format!("{host}Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n");
                let page = ask(server.admin(), &line, &browsers, "");
                assert!(page.starts_with("HTTP/1.1 404 ") && page.contains("content-security-policy: "), "{page}");
                assert!(page.contains(&format!("<p class=\"failure\">there is nothing at {path}</p>")), "{page}");
            }
        }
        // Of sites it says nothing: whether there is one is for those who may see it.
        let [there, not] = ["/v1/sites/hello", "/v1/sites/nosuch"].map(|path| {
            let answer = ask(server.admin(), &format!("GET {path}/versions"), "Host: evil.example\r\n", "");
            answer.lines().next().unwrap().to_string()
        });
        assert!(there == not && !not.contains("404"), "{there}, {not}");
    }
}

/// A name of 63 letters made pages three times as wide as a telephone.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_narrow_window_no_page_is_wider_than_it() {
    let name = "n".repeat(63);
    let Edge { server, client, state: _state } = edge(&format!("{}[tenants.{name}]", common::CONFIG)).await;
    // As in the list of sites, in order.
    let hosts = [format!("{name}.localhost"), format!("{}.a.localhost", "m".repeat(63))];
    let hosts = hosts.map(|host| Host::new(&host).unwrap());
    let site = Name::new(&name).unwrap();
    for _ in 0..2 {
        client.deploy(&site, &hosts, guest("hello"), |_| {}).await.unwrap();
    }
    client.canary(&site, 1, 20).await.unwrap();
    let page = ask(server.admin(), &format!("GET /sites/{name}"), "Host: localhost\r\n", "");
    assert!(page.replace("<wbr>", "").contains(&format!("{}, {}", hosts[1], hosts[0])), "{page}");
    let admin = format!("http://{}", server.admin());
    let work = tokio::task::spawn_blocking(move || {
        let browser = Browser::start();
        browser.window(360, 740);
        for page in ["/", &format!("/sites/{name}"), "/try", "/nowhere", "/login"] {
            browser.go(&format!("{admin}{page}"));
            let beyond =
                browser.run("const page = document.documentElement; return page.scrollWidth - page.clientWidth");
            assert_eq!(beyond, 0, "{page}");
            assert_eq!(browser.run("return innerWidth"), 360, "{page}");
        }
    });
    work.await.unwrap();
}

/// What is clicked must be seen and hit: WCAG 2.2, 1.4.11 and 2.5.8.
const CONTROLS: &str = r#"
    const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const numbers = colour => colour.match(/[\d.]+/g).map(Number);
    const luminance = colour => {
        const [red, green, blue] = numbers(colour).map(channel);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return numbers(colour)[3] === 0 ? behind(element.parentElement) : colour;
    };
    const contrast = (one, other) => {
        const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };
    const wrong = [];
    for (const element of document.querySelectorAll("a, button, summary, input, select, textarea, .button, .drop")) {
        const { width, height } = element.getBoundingClientRect();
        const { borderTopColor } = getComputedStyle(element);
        // Hidden, or a file's, which its label stands for, or a word in a sentence.
        if (!height || element.matches("[type=file], p a")) continue;
        if (width < 24 || height < 24) wrong.push(`${element.outerHTML} is ${width} by ${height}`);
        if (!element.matches("input, select, textarea, button.quiet, .drop")) continue;
        const least = Math.min(contrast(borderTopColor, behind(element)), contrast(borderTopColor, behind(element.parentElement)));
        if (least < 3) wrong.push(`the border of ${element.outerHTML} has a contrast of ${least}`);
    }
    return wrong.join("\n");"#;

#[tokio::test(flavor = "multi_thread")]
async fn controls_are_seen_and_hit_and_nothing_is_kept_from_narrow_windows() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await.with(&["hello"]).await;
    deploy(&client, "hello", guest("hello")).await;
    client.canary(&Name::new("hello").unwrap(), 1, 20).await.unwrap();
    let (admin, listen) = (format!("http://{}", server.admin()), server.listen());
    (0..40).for_each(|_| drop(get(listen, "hello", "/")));
    let work = tokio::task::spawn_blocking(move || {
        let browser = Browser::start();
        for (width, scheme) in [(360, "light"), (1280, "light"), (360, "dark"), (1280, "dark")] {
            browser.window(width, 740);
            browser.prefers(scheme);
            for page in ["/", "/sites/hello", "/try", "/login"] {
                browser.go(&format!("{admin}{page}"));
                assert_eq!(browser.run(CONTROLS), "", "{page} {width} {scheme}");
            }
            browser.go(&admin);
            assert_eq!(browser.text("nav .tenant"), "default");
            let sites = browser.text(".sites").to_lowercase();
            for shown in ["version", "canary 1, 20 %", "median", "slowest 1 %"] {
                assert!(sites.contains(shown), "{shown} {width}: {sites}");
            }
        }
        // By keyboard, too; whole lines.
        browser.go(&format!("{admin}/sites/hello"));
        let log = "const log = document.querySelector('[role=region][aria-label=Log]');";
        browser.run(&format!("{log} log.focus(); log.scrollTop = 39"));
        get(listen, "hello", "/again");
        browser.until("document.querySelector('.log').innerText.includes('/again')");
        let stays = format!("{log} return document.activeElement === log && log.scrollTop === 39");
        assert_eq!(browser.run(&stays), true);
        let cut = format!(
            "{log} const line = log.querySelector('time').getBoundingClientRect().height; return log.clientHeight % line"
        );
        assert_eq!(browser.run(&cut), 0);
    });
    work.await.unwrap();
}
