//! Connections that were accepted under a policy that is no longer in force.

use super::*;
use crate::support::http2::{GOAWAY, RawClient};
use crate::support::message::Body;
use crate::support::stub::Next;

/// Each of these changes which connections are accepted or what their source address is.
const CHANGES: [&str; 3] =
    ["proxyProtocol: require", "trustedProxies: [192.0.2.1/32]", "trustedProxies: [unix]"];

fn get(path: &str) -> Vec<u8> {
    request_bytes("GET", path, &[("Authorization", &bearer(&Token::bot()))], b"")
}

#[test]
fn connections_close_with_their_next_response() {
    for change in CHANGES {
        let stage = Reloadable::start("");
        let mut client = Client::connect(stage.gateway.proxy);
        assert_eq!(client.send(get("/before")).response().expect("a response").header("connection"), None);
        // A change that is not about connections closes none.
        stage.write("authorization: {public: [\"GET /open\"]}");
        assert_eq!(stage.reload().0, 200);
        assert_eq!(client.send(get("/other")).response().expect("a response").header("connection"), None);
        let mut http2 = RawClient::connect(stage.gateway.proxy);
        assert!(http2.answers_ping());

        stage.write(change);
        assert_eq!(stage.reload().0, 200, "{change}");
        let response = client.send(get("/after")).response().expect("a response");
        assert_eq!((response.status, response.header("connection")), (200, Some("close")), "{change}");
        assert!(client.send(get("/never")).response().is_err());
        assert!(http2.find(|arrived| arrived.kind == GOAWAY).is_some(), "{change}");
        let paths = stage.upstream.requests();
        assert!(paths.iter().all(|request| request.head.target() != "/never"));
    }
}

#[test]
fn running_response_is_not_truncated() {
    let (gate, held) = (Gate::default(), Gate::default());
    let (head, rest) = (gate.clone(), held.clone());
    let upstream = Upstream::scripted(move |exchange| {
        exchange.hold(&head);
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")?;
        exchange.hold(&rest);
        exchange.send("done")?;
        Ok(Next::Close)
    });
    let stage = Reloadable::with(upstream, "", |setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(get("/held"));
    stage.upstream.wait_for("the request", |all| all.first().map(|_| ()));
    stage.write(CHANGES[0]);
    assert_eq!(stage.reload().0, 200);
    gate.open();
    let (status, fields) = client.response_head().expect("a head");
    assert_eq!(
        (status, fields.value("connection")),
        (200, Some("close")),
        "the response starts after the reload"
    );
    held.open();
    let mut body = client.body_after(status, &fields);
    assert_eq!(client.piece(&mut body).expect("a piece").as_deref(), Some(&b"done"[..]));
}

#[test]
fn websocket_is_closed_with_going_away() {
    const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
    let upstream = Upstream::scripted(|exchange| {
        exchange.send(SWITCHES)?;
        while !exchange.raw()?.is_empty() {}
        Ok(Next::Close)
    });
    let stage = Reloadable::with(upstream, "", |setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: {}\r\n\r\n",
        bearer(&Token::bot())
    ));
    assert_eq!(client.response_head().expect("a head").0, 101);
    stage.write(CHANGES[0]);
    assert_eq!(stage.reload().0, 200);
    let mut rest = Vec::new();
    while let Ok(Some(piece)) = client.piece(&mut Body::UntilClose) {
        rest.extend(piece);
    }
    assert_eq!(rest, [0x88, 2, 0x03, 0xe9], "1001, going away");
}
