//! Protocol upgrades: who may upgrade, what counts as an upgrade, and how tunnels end.

mod endings;
mod revoked;
mod smuggling;

use std::io;

use crate::support::eventually;
use crate::support::gateway::{Setup, text};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::message::Body;
use crate::support::stage::Stage;
use crate::support::stub::{Exchange, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::Client;

const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";

/// The head of a WebSocket handshake with these additional lines.
fn handshake(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: gateway.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{lines}\r\n"
    )
}

fn authorized(path: &str, token: &Token) -> String {
    handshake(path, &format!("Authorization: {}\r\n", bearer(token)))
}

/// Accepts a WebSocket and echoes every byte; sends `bye` at the end.
fn socket(exchange: &mut Exchange) -> io::Result<Next> {
    if exchange.request.head.value("upgrade").is_none() {
        return echo(exchange);
    }
    exchange.send(SWITCHES)?;
    loop {
        let bytes = exchange.raw()?;
        if bytes.is_empty() {
            exchange.send("bye")?;
            return Ok(Next::Close);
        }
        exchange.send(bytes)?;
    }
}

#[track_caller]
fn stage(adjust: impl FnOnce(Setup) -> Setup) -> Stage {
    Stage::with(Issuer::of(rsa()), Upstream::scripted(socket), adjust)
}

/// Reads this many bytes from a tunnel.
#[track_caller]
fn read(client: &mut Client, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        bytes.extend(client.piece(&mut Body::UntilClose).expect("no end").expect("more"));
    }
    bytes
}

/// Everything until the end.
#[track_caller]
fn rest(client: &mut Client) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = client.piece(&mut Body::UntilClose) {
        bytes.extend(piece);
    }
    bytes
}

/// Opens a tunnel.
#[track_caller]
fn tunnel(stage: &Stage, head: &str) -> Client {
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(head);
    let (status, head) = client.response_head().expect("a head");
    assert_eq!(status, 101);
    assert_eq!(head.values("connection"), ["Upgrade"]);
    assert_eq!(head.values("upgrade"), ["websocket"]);
    client
}

#[test]
fn tunnel_relays_bytes_and_is_recorded_when_it_ends() {
    let stage = stage(|setup| setup);
    let mut client = tunnel(&stage, &authorized("/socket?EIO=4", &Token::user()));
    let head = stage.upstream.only_request().head;
    assert_eq!(head.values("connection"), ["Upgrade"], "written by the gateway");
    assert_eq!(head.values("upgrade"), ["websocket"]);
    assert_eq!(head.value("sec-websocket-key"), Some("AAAAAAAAAAAAAAAAAAAAAA=="));
    assert_eq!(head.value("x-forwarded-user"), Some("ada@open-metadata.org"));
    assert_eq!(head.target(), "/socket?EIO=4");
    // Frames, HTTP and other bytes pass unchanged.
    for bytes in [&b"\x81\x85\0\0\0\0hello"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 100_000]] {
        client.send(bytes);
        assert!(read(&mut client, bytes.len()) == bytes);
    }
    assert!(stage.gateway.audit().is_empty(), "a tunnel is recorded when it ends");
    client.half_close();
    assert_eq!(rest(&mut client), b"bye", "the other direction stays open until it ends");
    let record = stage.gateway.audit_of("/socket");
    let sent = 11 + 18 + 100_000;
    assert_eq!(record["status"], 101);
    assert_eq!((&record["request_bytes"], &record["response_bytes"]), (&sent.into(), &(sent + 3).into()));
    assert_eq!((&record["complete"], text(&record, "decision")), (&true.into(), Some("allow")));
    assert_eq!(stage.gateway.audit().len(), 1);
    eventually("the connection to leave the count", || {
        (stage.gateway.metric("metagate_connections", &[]) == 0.0).then_some(())
    });
}

#[test]
fn tunnel_needs_a_valid_token() {
    let stage = stage(|setup| setup);
    let expired = Token::user().expires_in(-3600);
    for head in [handshake("/socket", ""), authorized("/socket", &expired)] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(&head);
        assert_eq!(client.response().expect("a response").status, 401, "{head}");
        // The connection can still be used for requests.
        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().expect("a response").status, 401);
    }
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn openmetadata_push_feed_works_by_polling_and_websocket() {
    let stage = stage(|setup| setup.env("METAGATE_BACKEND", "openmetadata"));
    let feed = |transport: &str| format!("/api/v1/push/feed/?userId=1&EIO=4&transport={transport}");
    // As the web UI sends it: without a token, because a browser cannot add one.
    assert_eq!(stage.gateway.get(&feed("polling"), &[]).status, 200);
    for head in [handshake(&feed("websocket"), ""), authorized(&feed("websocket"), &Token::user())] {
        let mut client = tunnel(&stage, &head);
        client.send("2probe");
        assert_eq!(read(&mut client, 6), b"2probe");
    }
    // A token is verified if there is one.
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(authorized(&feed("websocket"), &Token::user().expires_in(-3600)));
    assert_eq!(client.response().expect("a response").status, 401);
}

#[test]
fn tunnels_do_not_block_each_other() {
    let stage = stage(|setup| setup);
    let head = authorized("/socket", &Token::user());
    let mut clients: Vec<Client> = (0..50).map(|_| tunnel(&stage, &head)).collect();
    for (number, client) in clients.iter_mut().enumerate().rev() {
        let bytes = format!("number {number}");
        client.send(&bytes);
        assert_eq!(read(client, bytes.len()), bytes.as_bytes());
    }
    assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 200);
}
