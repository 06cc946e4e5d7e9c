//! `/openapi.json` and the admin API say the same.

mod common;

use std::collections::BTreeSet;

use common::{Edge, deploy, edge, guest, rest, send};
use selvedge_edge::client::{Name, Payload};
use serde_json::Value;

const HEADERS: &str = "Host: localhost\r\nx-selvedge: 1\r\nConnection: close\r\n";

/// The routes in the code: `(&Method::GET, ["v1", "sites", site]) =>`.
fn routes() -> BTreeSet<(String, String)> {
    let code = include_str!("../src/admin/mod.rs");
    let arm = |line: &str| {
        let (method, parts) = line.trim().strip_prefix("(&Method::")?.split_once(", [")?;
        let parts = parts.split_once("]) =>")?.0.split(", ");
        let part = |part: &str| match part.strip_prefix('"') {
            Some(word) => format!("/{}", word.trim_end_matches('"')),
            None => format!("/{{{part}}}"),
        };
        Some((method.to_ascii_lowercase(), parts.map(part).collect()))
    };
    let open = ["/healthz", "/openapi.json"].map(|path| ("get".to_string(), path.to_string()));
    code.lines().filter_map(arm).chain(open).collect()
}

fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(|method| (method.clone(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// Whether a value has what its schema says, as far as these schemas go.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        return check(document, document.pointer(&name[1..]).unwrap(), value, at);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let schema = choices.iter().find(|choice| (choice["type"] == "null") == value.is_null()).unwrap();
        return check(document, schema, value, at);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed =
        schema["type"].as_str() == Some(kind) || schema["type"].as_array().is_some_and(|t| t.contains(&kind.into()));
    let listed = schema["enum"].as_array().is_some_and(|values| values.contains(value));
    assert!(allowed || listed, "{at}: {value} is not {schema}");
    for (at_index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(document, &schema["items"], item, &format!("{at}[{at_index}]"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{at} has no {name}: {value}");
    }
    for (name, part) in value.as_object().into_iter().flatten() {
        let schema = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
        assert!(schema.is_object(), "{at}.{name} is not documented");
        check(document, schema, part, &format!("{at}.{name}"));
    }
}

fn bundle() -> Payload {
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    archive.append_data(&mut header, "assets/x", &b"x"[..]).unwrap();
    Payload::Bundle(archive.into_inner().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_documented_and_every_documented_route_answers() {
    let Edge { server, client, state: _state } = edge(common::CONFIG).await.with(&["hello"]).await;
    deploy(&client, "hello", guest("hello")).await;
    // A version of each kind: what records can say is seen.
    let site = Name::new("hello").unwrap();
    client.deploy(&site, &[], bundle(), drop).await.unwrap();
    client.rollback(&site, Some(2)).await.unwrap();
    let ask = |method: &str, path: &str, body: &str| {
        let length = body.len();
        let line = format!("{} {path} HTTP/1.1\r\n", method.to_ascii_uppercase());
        let answer = rest(send(server.admin(), format!("{line}{HEADERS}Content-Length: {length}\r\n\r\n{body}")));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_string(), body.to_string())
    };
    let (head, text) = ask("get", "/openapi.json", "");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(routes(), documented(&document));
    let mut routes: Vec<_> = documented(&document).into_iter().collect();
    // What removes the site comes last.
    routes.sort_by_key(|(method, path)| (method == "delete", std::cmp::Reverse(path.len())));
    for (method, path) in routes {
        let operation = &document["paths"][&path][&method];
        let query = match path.rsplit('/').next().unwrap() {
            "rollback" => "?version=1",
            "canary" if method == "post" => "?version=2&percent=10",
            _ => "",
        };
        if path.ends_with("/promote") {
            client.canary(&Name::new("hello").unwrap(), 1, 10).await.unwrap();
        }
        let module = if method == "post" && path.ends_with("/versions") { guest("hello") } else { Vec::new() };
        let target = path.replace("{site}", "hello") + query;
        let (head, body) = ask(&method, &target, &String::from_utf8(module).unwrap());
        assert!(head.starts_with("HTTP/1.1 200 "), "{method} {target}\n{head}\n{body}");
        let content = operation["responses"]["200"]["content"].as_object().unwrap();
        let (content_type, content) = content.iter().next().unwrap();
        assert!(head.contains(&format!("content-type: {content_type}")), "{method} {path}\n{head}");
        if content_type == "application/json" && path != "/openapi.json" {
            check(&document, &content["schema"], &serde_json::from_str(&body).unwrap(), &path);
        }
    }
    let (head, body) = ask("get", "/v1/nowhere", "");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    check(&document, &document["components"]["schemas"]["Failure"], &serde_json::from_str(&body).unwrap(), "failure");
}
