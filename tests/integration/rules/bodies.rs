//! Bodies that rules inspect: how much is read, from whom, and that they are forwarded byte for byte.

use std::time::Instant;

use serde_json::json;

use super::{admin, editor, graphql, query, reader, stage};
use crate::support::gateway::text;
use crate::support::token::bearer;
use crate::support::wire::{self, Client, request_bytes};

const HEAD: &str = "POST /api/graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";

#[test]
fn bodies_are_read_up_to_the_limit() {
    let stage = stage();
    let of = |bytes: usize| {
        let short = query("{ me }").to_string().len();
        query(&format!("{{ me{} }}", " ".repeat(bytes - short)))
    };
    assert_eq!(of(4096).to_string().len(), 4096);
    assert_eq!(graphql(&stage, &reader(), &of(4096)), 200);
    assert_eq!(graphql(&stage, &reader(), &of(4097)), 403);
    assert_eq!(graphql(&stage, &admin(), &of(100_000)), 403, "its contents are unknown");
    let detail = Some("graphql: the body is longer than limits.graphqlBytes");
    super::audited(&stage, |record| text(record, "detail") == detail);
    // On other paths the size does not matter.
    let large = vec![b'x'; 200_000];
    let headers = [("Authorization", &*bearer(&reader())), ("Content-Type", "application/json")];
    let response = wire::send(stage.gateway.proxy, "POST", "/other", &headers, &large);
    assert_eq!(response.status, 200);
    assert!(stage.upstream.request_to("/other").body == large);
}

#[test]
fn framing_of_an_inspected_body_is_kept() {
    let stage = stage();
    let token = bearer(&editor());
    let body = query("mutation { addTag }").to_string();
    // In one chunk, in many, and with trailers.
    for pieces in [1, 3, body.len()] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("{HEAD}Authorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n"));
        for piece in body.as_bytes().chunks(body.len().div_ceil(pieces)) {
            client.send(format!("{:x}\r\n", piece.len())).send(piece).send("\r\n");
        }
        client.send("0\r\nX-Forwarded-User: admin\r\n\r\n");
        assert_eq!(client.response().expect("a response").status, 200, "{pieces}");
        let requests = stage.upstream.requests();
        let request = requests.last().expect("a request");
        assert_eq!(request.body, body.as_bytes());
        assert_eq!(request.head.values("transfer-encoding"), ["chunked"]);
        assert_eq!(request.head.value("content-length"), None);
    }
    let response = graphql(&stage, &editor(), &query("mutation { addTag }"));
    assert_eq!(response, 200);
    let requests = stage.upstream.requests();
    let request = requests.last().expect("a request");
    assert_eq!(request.head.value("content-length"), Some(&*body.len().to_string()));
    assert_eq!(request.head.value("transfer-encoding"), None);
}

#[test]
fn chunked_body_over_the_limit_is_refused_before_its_end() {
    let stage = stage();
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!("{HEAD}Authorization: {}\r\nTransfer-Encoding: chunked\r\n\r\n", bearer(&admin())));
    client.send(format!("2000\r\n{}\r\n", " ".repeat(0x2000)));
    assert_eq!(client.response().expect("a response to half a body").status, 403);
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn connection_is_reused_after_an_inspected_body() {
    let stage = stage();
    let token = bearer(&reader());
    let headers = [("Authorization", &*token), ("Content-Type", "application/json")];
    let mut client = Client::connect(stage.gateway.proxy);
    for (document, status) in
        [("{ a }", 200), ("mutation { a }", 403), ("{ b }", 200), ("mutation { b }", 403), ("{ c }", 200)]
    {
        let body = query(document).to_string();
        client.send(request_bytes("POST", "/api/graphql", &headers, body.as_bytes()));
        assert_eq!(client.response().expect("a response").status, status, "{document}");
    }
    assert_eq!(stage.upstream.requests().len(), 3);
}

#[test]
fn body_of_an_unverified_caller_is_not_read() {
    let stage = stage();
    let forged = format!("{HEAD}Authorization: Bearer {}\r\n", "a.b.c");
    for head in [HEAD.to_owned(), forged] {
        // The response does not wait for the body, which is never sent.
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("{head}Content-Length: 4000\r\nExpect: 100-continue\r\n\r\n"));
        let (status, _) = client.response_head().expect("a final response");
        assert_eq!(status, 401);
    }
    // A verified caller gets a 100.
    let mut client = Client::connect(stage.gateway.proxy);
    let body = query("{ me }").to_string();
    client.send(format!(
        "{HEAD}Authorization: {}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        bearer(&reader()),
        body.len()
    ));
    let (status, _) = client.response_head().expect("an interim response");
    assert_eq!(status, 100);
    client.send(body.as_bytes());
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(stage.upstream.only_request().body, body.as_bytes());
}

#[test]
fn compressed_bodies_and_other_media_types_are_unreadable() {
    let stage = stage();
    let body = query("{ me }").to_string();
    for (name, value, status) in [
        ("Content-Type", "application/json", 200),
        ("Content-Type", "application/json; charset=UTF-8", 200),
        ("Content-Type", "application/json; charset=utf-16", 403),
        ("Content-Type", "text/plain", 403),
        ("X-Nothing", "x", 403),
    ] {
        let headers = [("Authorization", &*bearer(&reader())), (name, value)];
        let response = wire::send(stage.gateway.proxy, "POST", "/api/graphql", &headers, body.as_bytes());
        assert_eq!(response.status, status, "{name}: {value}");
    }
    let headers = [
        ("Authorization", &*bearer(&reader())),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
    ];
    assert_eq!(
        wire::send(stage.gateway.proxy, "POST", "/api/graphql", &headers, body.as_bytes()).status,
        403
    );
}

#[test]
fn truncated_body_is_not_forwarded() {
    let stage = stage();
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!("{HEAD}Authorization: {}\r\nContent-Length: 50\r\n\r\n{{\"que", bearer(&reader())));
    client.half_close();
    let _ = client.rest();
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "{HEAD}Authorization: {}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        bearer(&reader())
    ));
    assert_eq!(client.response().expect("a response").status, 400);
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn stalled_inspected_body_times_out() {
    let config = format!("{}\nupstream: {{idleTimeout: 300ms}}\n", super::RULES);
    let stage = crate::support::stage::Stage::configured(
        crate::support::issuer::Issuer::of(crate::support::keys::rsa()),
        &config,
    );
    let mut client = Client::connect(stage.gateway.proxy);
    let started = Instant::now();
    client.send(format!("{HEAD}Authorization: {}\r\nContent-Length: 50\r\n\r\n{{\"que", bearer(&reader())));
    let response = client.response().expect("a response");
    assert_eq!(response.status, 400);
    assert!(started.elapsed().as_millis() >= 300);
    assert!(stage.upstream.requests().is_empty());
    assert_eq!(graphql(&stage, &reader(), &json!({"query": "{ me }"})), 200);
}
