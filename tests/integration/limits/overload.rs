//! `limits.requests`: the limit on requests in flight over all connections.

use crate::support::eventually;
use crate::support::gateway::{Gateway, text};
use crate::support::http2::Http2Client;
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::{Exchange, Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{Client, request_bytes};

const REFUSED: &str = r#"{"code":503,"message":"Too many connections"}"#;

fn in_flight(gateway: &Gateway) -> f64 {
    gateway.metric("metagate_requests_in_flight", &[])
}

#[track_caller]
fn wait_in_flight(gateway: &Gateway, count: f64) {
    eventually(&format!("{count} requests in flight"), || (in_flight(gateway) == count).then_some(()));
}

/// Responds to `/held...` when the gate opens, and to `/stream` with a body that ends then.
fn holding(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::scripted(move |exchange: &mut Exchange| {
        let target = exchange.request.head.target().to_owned();
        if target.starts_with("/held") {
            exchange.hold(&gate);
        }
        if target.starts_with("/stream") {
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
            exchange.hold(&gate);
            exchange.send("0\r\n\r\n")?;
            return Ok(Next::KeepOpen);
        }
        echo(exchange)
    })
}

fn stage(most: &str, upstream: Upstream) -> Stage {
    Stage::with(Issuer::of(rsa()), upstream, |setup| setup.env("METAGATE_LIMITS__REQUESTS", most))
}

#[track_caller]
fn assert_refused(stage: &Stage, path: &str) {
    let response = stage.gateway.get_as(&Token::bot(), path);
    assert_eq!((response.status, response.text().as_str()), (503, REFUSED));
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert!(response.header("x-request-id").is_some());
    let record = stage.gateway.audit_of(path);
    assert_eq!(text(&record, "decision"), Some("error"), "{record}");
    assert_eq!(text(&record, "reason"), Some("overloaded"), "{record}");
    assert_eq!(record["status"], 503, "{record}");
}

#[test]
fn request_over_the_limit_is_503_and_others_complete() {
    let gate = Gate::default();
    let stage = stage("3", holding(&gate));
    let token = bearer(&Token::bot());
    let fields = [("authorization", token.as_str())];
    let mut http1 = Client::connect(stage.gateway.proxy);
    http1.send(request_bytes("GET", "/held/1", &fields, b""));
    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    let (second, _) = http2.open("GET", "/held/2", &fields, true);
    let (third, _) = http2.open("GET", "/held/3", &fields, true);
    stage.upstream.wait_for("three requests", |all| (all.len() == 3).then_some(()));
    assert_eq!(in_flight(&stage.gateway), 3.0);

    assert_refused(&stage, "/fourth");
    let response = http2.send("GET", "/fifth", &fields, b"").expect("a response");
    assert_eq!((response.status, response.text().as_str()), (503, REFUSED));
    assert_eq!(response.header("retry-after"), Some("1"));
    // Refused before the token is checked, because that is the load to shed.
    assert_eq!(stage.gateway.get("/sixth", &[]).status, 503);
    assert_eq!(in_flight(&stage.gateway), 3.0, "refused requests do not count");
    assert_eq!(stage.upstream.requests().len(), 3);
    assert_eq!(stage.gateway.probe("/livez").status, 200);

    gate.open();
    assert_eq!(http1.response().expect("a response").status, 200);
    for response in [second, third] {
        assert_eq!(http2.wait(response).expect("a response").status(), 200);
    }
    wait_in_flight(&stage.gateway, 0.0);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/again").status, 200);
}

#[test]
fn slot_is_released_when_the_response_ends_or_the_client_disconnects() {
    let gate = Gate::default();
    let stage = stage("1", holding(&gate));
    let token = bearer(&Token::bot());
    let fields = [("authorization", token.as_str())];
    // A request is in flight until its response ends.
    let mut streaming = Client::connect(stage.gateway.proxy);
    streaming.send(request_bytes("GET", "/stream", &fields, b""));
    let (status, head) = streaming.response_head().expect("a head");
    let mut body = streaming.body_after(status, &head);
    assert_eq!(streaming.piece(&mut body).expect("a piece"), Some(b"hi".to_vec()));
    assert_refused(&stage, "/during");
    drop(streaming);
    wait_in_flight(&stage.gateway, 0.0);

    let mut waiting = Client::connect(stage.gateway.proxy);
    waiting.send(request_bytes("GET", "/held", &fields, b""));
    stage.upstream.wait_for("it", |all| all.iter().any(|r| r.head.target() == "/held").then_some(()));
    assert_refused(&stage, "/meanwhile");
    drop(waiting);
    wait_in_flight(&stage.gateway, 0.0);

    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    let (response, mut stream) = http2.open("GET", "/held/2", &fields, true);
    stage.upstream.wait_for("it", |all| all.iter().any(|r| r.head.target() == "/held/2").then_some(()));
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    wait_in_flight(&stage.gateway, 0.0);
    gate.open();
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/after").status, 200);
}

#[test]
fn refusals_and_failures_release_their_slots() {
    let upstream = Upstream::scripted(|exchange| match exchange.request.head.target() {
        "/broken" => exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi").map(|()| Next::Close),
        "/nothing" => Ok(Next::Close),
        _ => echo(exchange),
    });
    let stage = stage("1", upstream);
    let token = bearer(&Token::bot());
    for _ in 0..5 {
        assert_eq!(stage.gateway.get("/no-token", &[]).status, 401);
        let mut client = Client::connect(stage.gateway.proxy);
        client.send("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        assert_eq!(client.response().expect("a response").status, 400);
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(request_bytes("GET", "/broken", &[("Authorization", &token)], b""));
        client.rest();
        assert_eq!(stage.gateway.get_as(&Token::bot(), "/nothing").status, 502);
        wait_in_flight(&stage.gateway, 0.0);
    }
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/good").status, 200);
}

#[test]
fn tunnel_is_in_flight_until_it_ends() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.request.head.value("upgrade").is_none() {
            return echo(exchange);
        }
        exchange
            .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")?;
        while !exchange.raw()?.is_empty() {}
        Ok(Next::Close)
    });
    let stage = stage("1", upstream);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "GET /push HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    assert_eq!(client.response_head().expect("a head").0, 101);
    assert_eq!(in_flight(&stage.gateway), 1.0);
    assert_refused(&stage, "/besides");
    drop(client);
    wait_in_flight(&stage.gateway, 0.0);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/after").status, 200);
}
