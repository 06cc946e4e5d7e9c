//! Whose sites may answer for which hosts, as the configuration says it now.

mod common;

use std::path::Path;

use common::{TWO_TENANTS, edge, guest, rest, restarted, send};
use selvedge_edge::client::{Client, ClientError, DeployOrder, Host, Name, Progress};
use selvedge_edge::{Config, Server};

const SITE: &str = "site";

fn with_lists(alpha: &str, beta: &str) -> String {
    let (before, of_beta) = TWO_TENANTS.split_once("[tenants.beta]").unwrap();
    format!("{before}\n{alpha}\n[tenants.beta]\n{of_beta}\n{beta}\n")
}

fn of(server: &Server, token: &str) -> Client {
    Client::new(&format!("http://{}", server.admin()), Some(token.into())).unwrap()
}

fn reload(server: &Server, text: &str, state: &Path) {
    let mut config = Config::parse(text, "edge.toml").unwrap();
    config.state = state.to_owned();
    server.reload(&config).unwrap();
}

/// What becomes of a deploy: the version's number, or why it is refused, with which status.
async fn deployed(client: &Client, host: &str, canary: Option<u8>) -> Result<u32, (u16, String)> {
    let hosts = Host::new(host).into_iter().collect();
    let order = DeployOrder { hosts, canary, ..DeployOrder::default() };
    let mut last = None;
    match client.deploy_as(&Name::new(SITE).unwrap(), &order, guest("hello"), |progress| last = Some(progress)).await {
        Err(ClientError::Refused { status, message }) => Err((status, message)),
        done => match done.map(|()| last.unwrap()).unwrap() {
            Progress::Deployed { version, .. } => Ok(version),
            other => panic!("{other:?}"),
        },
    }
}

fn answers(server: &Server, host: &str) -> bool {
    let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    rest(send(server.listen(), head)).ends_with("fine\n")
}

/// Whoever came first had a host, the operator's own and the admin address's among them.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_deployed_where_its_tenant_may_be_and_nowhere_else() {
    let edge = edge(&with_lists("hosts = [\"*.alpha.example\", \"alpha.example\"]", "")).await;
    let (alpha, beta) = (of(&edge.server, "a"), of(&edge.server, "b"));
    for (client, host, why) in [
        (
            &alpha,
            "beta.example",
            "the host beta.example is not on the list tenants.alpha.hosts, which has *.alpha.example",
        ),
        (&alpha, "", "the host site.localhost is not on the list tenants.alpha.hosts"),
        (&beta, "alpha.example", "the host alpha.example is on another tenant's list"),
        (&beta, "x.y.alpha.example", "the host x.y.alpha.example is on another tenant's list"),
        (&beta, "127.0.0.1", "the host 127.0.0.1 is what the admin address is called"),
        (&beta, "LOCALHOST", "the host localhost is what the admin address is called"),
    ] {
        let (status, message) = deployed(client, host, None).await.unwrap_err();
        assert!(status == 403 && message.starts_with(why), "{host}: {status}: {message}");
    }
    assert_eq!(deployed(&alpha, "x.alpha.example", None).await, Ok(1));
    assert_eq!(deployed(&beta, "beta.example", None).await, Ok(1));
    assert!(answers(&edge.server, "x.alpha.example") && answers(&edge.server, "beta.example"));
    assert_eq!(deployed(&alpha, "", Some(10)).await, Ok(2), "it has a host by now");
}

/// What lists say later takes nothing from anybody: that would be an outage by a slip in a file.
#[tokio::test(flavor = "multi_thread")]
async fn what_answers_already_goes_on_and_gets_no_new_version_there() {
    let edge = edge(TWO_TENANTS).await;
    let beta = of(&edge.server, "b");
    for number in 1..=2 {
        assert_eq!(deployed(&beta, "shop.example", None).await, Ok(number));
    }
    let listed = with_lists("hosts = [\"shop.example\"]", "");
    reload(&edge.server, &listed, edge.state.path());
    let refused = |canary| {
        let beta = beta.clone();
        async move {
            for host in ["", "shop.example"] {
                let (status, message) = deployed(&beta, host, canary).await.unwrap_err();
                assert!(status == 403 && message.contains("shop.example is on another tenant's list"), "{message}");
            }
        }
    };
    refused(None).await;
    refused(Some(10)).await;
    assert!(answers(&edge.server, "shop.example"));
    assert_eq!(beta.rollback(&Name::new(SITE).unwrap(), None).await.unwrap().active, 1, "which moves nothing");
    let (server, state) = (edge.server, edge.state);
    server.stop().await;
    drop((beta, edge.client));
    let server = restarted(&listed, state.path()).await;
    assert!(answers(&server, "shop.example"));
    let beta = of(&server, "b");
    assert_eq!(deployed(&beta, "other.example", None).await, Ok(3), "it moves");
    assert_eq!(deployed(&of(&server, "a"), "shop.example", None).await, Ok(1), "and the other has its host");
}
