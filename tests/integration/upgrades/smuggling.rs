//! Upgrade smuggling: requests that make the proxy see a tunnel while the backend sees HTTP.

use super::{SWITCHES, authorized, read, stage};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::Next;
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::Client;

const ADMIN: &str = "GET /admin HTTP/1.1\r\nHost: gateway.test\r\n\r\n";

#[test]
fn requests_after_a_response_other_than_101_are_authorized() {
    for response in [426, 200, 400] {
        let upstream = Upstream::scripted(move |exchange| {
            exchange.reply(response, &[("Upgrade", "websocket"), ("Connection", "Upgrade")], "no")
        });
        let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
        let head = authorized("/socket", &Token::user());
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("{head}{ADMIN}"));
        let first = client.response().expect("a response");
        assert_eq!((first.status, first.text().as_str()), (response, "no"), "S44");
        assert_eq!((first.header("upgrade"), first.header("connection")), (None, None));
        assert_eq!(client.response().expect("a response").status, 401, "S44");
        assert_eq!(stage.upstream.only_request().head.target(), "/socket", "S44");
        // The backend connection is still used for requests.
        client
            .send(format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\n\r\n", bearer(&Token::user())));
        assert_eq!(client.response().expect("a response").status, response);
        assert_eq!(stage.upstream.connections(), 1);
    }
}

/// RFC 6455 section 4.2.1: a backend that does not check would open a tunnel for an invalid
/// handshake.
#[test]
fn invalid_websocket_handshake_is_refused() {
    let stage = stage(|setup| setup);
    let good = authorized("/socket", &Token::user());
    const KEY: &str = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
    for (line, by) in [
        (KEY, ""),
        (KEY, "Sec-WebSocket-Key: AAAA\r\n"),
        (KEY, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB==\r\n"),
        (KEY, &KEY.repeat(2)),
        (VERSION, ""),
        (VERSION, "Sec-WebSocket-Version: 777\r\n"),
        (VERSION, "Sec-WebSocket-Version: 13, 8\r\n"),
        (VERSION, &VERSION.repeat(2)),
    ] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(good.replace(line, by) + ADMIN);
        let response = client.response().expect("a response");
        assert_eq!(response.status, 400, "{by}");
        let version = (line == VERSION).then_some("13");
        assert_eq!(response.header("sec-websocket-version"), version, "RFC 6455 section 4.4: {by}");
        assert!(client.response().is_err(), "what follows is not parsed: {by}");
    }
    assert!(stage.upstream.requests().is_empty());
    // Without a token the refusal is 401.
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(super::handshake("/socket", "").replace(KEY, ""));
    assert_eq!(client.response().expect("a response").status, 401);
}

#[test]
fn early_tunnel_bytes_wait_for_the_101() {
    let stage = stage(|setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!("{}\u{1}early", authorized("/socket", &Token::user())));
    let (status, _) = client.response_head().expect("a head");
    assert_eq!(status, 101);
    assert_eq!(read(&mut client, 6), b"\x01early");
}

#[test]
fn upgrade_requires_exactly_one_protocol() {
    let stage = stage(|setup| setup);
    let token = bearer(&Token::bot());
    let plain = |fields: &str, body: &str| {
        format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n{fields}\r\n{body}")
    };
    let cases = [
        plain(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            "",
        ),
        plain("Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", ""),
        plain("Connection: Upgrade\r\nUpgrade: made-up\r\n", ""),
        plain("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n", ""),
        plain("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", ""),
        plain("Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n", ""),
        plain("Upgrade: websocket\r\n", ""),
        plain("Connection: keep-alive\r\nUpgrade: websocket\r\n", ""),
        plain("Connection: Upgrade\r\n", ""),
        plain("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n", "hi"),
        plain("Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        plain("Connection: Upgrade\r\nUpgrade: websocket\r\n", "").replace("GET", "POST"),
        plain("Connection: Upgrade\r\nUpgrade: websocket\r\n", "").replace("HTTP/1.1", "HTTP/1.0"),
    ];
    for case in &cases {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(case);
        let response = client.response().expect("a response");
        assert_eq!(response.status, 200, "S43, S45: {case}");
        if !case.contains("HTTP/1.0") {
            client.send(ADMIN);
            assert_eq!(client.response().expect("a response").status, 401, "S43, S45: {case}");
        }
    }
    let requests = stage.upstream.requests();
    assert_eq!(requests.len(), cases.len());
    for request in requests {
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(request.head.value(name), None, "S43, S45 {name}");
        }
    }
}

#[test]
fn unrequested_protocol_switch_is_a_502() {
    let token = Token::user();
    for granted in [
        SWITCHES.replace("Upgrade: websocket", "Upgrade: h2c"),
        SWITCHES.replace("Upgrade: websocket\r\n", ""),
        SWITCHES.replace("Connection: Upgrade\r\n", ""),
    ] {
        let upstream = Upstream::scripted(move |exchange| {
            exchange.send(&granted)?;
            Ok(Next::Close)
        });
        let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(authorized("/socket", &token));
        assert_eq!(client.response().expect("a response").status, 502);
    }
    // Also if no upgrade was requested.
    let upstream = Upstream::scripted(|exchange| {
        exchange.send(SWITCHES)?;
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    assert_eq!(stage.gateway.get_as(&token, "/x").status, 502);
}

#[test]
fn only_configured_protocols_are_upgraded() {
    let ask = |stage: &Stage, protocol: &str| {
        let head = authorized("/socket", &Token::user())
            .replace("Upgrade: WebSocket", &format!("Upgrade: {protocol}"));
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(head);
        client.response_head().expect("a head").0
    };
    let none = stage(|setup| setup.env("METAGATE_UPSTREAM__UPGRADES", "[]"));
    assert_eq!(ask(&none, "websocket"), 200);
    assert_eq!(none.upstream.only_request().head.value("upgrade"), None);

    let other = Upstream::scripted(|exchange| {
        if exchange.request.head.value("upgrade") == Some("tunnel/1") {
            exchange.send(SWITCHES.replace("websocket", "Tunnel/1"))?;
            return Ok(Next::Close);
        }
        echo(exchange)
    });
    let other =
        Stage::with(Issuer::of(rsa()), other, |setup| setup.env("METAGATE_UPSTREAM__UPGRADES", "[Tunnel/1]"));
    assert_eq!(ask(&other, "tunnel/1"), 101);
    assert_eq!(ask(&other, "websocket"), 200);
}
