//! One client against the others behind the same trusted proxy.

use std::io::Write as _;
use std::net::TcpStream;

use crate::support::gateway::text;
use crate::support::http2::{
    END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, RawClient, WINDOW_UPDATE, frame, literals,
};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{Client, request_bytes};
use crate::support::{DEADLINE, eventually};

const ATTACKER: &str = "192.0.2.66";
const OTHER: &str = "192.0.2.1";

fn stage(upstream: Upstream, limits: &str) -> Stage {
    let config = format!(
        "authentication: {{publicKeyUrls: [ISSUER/jwks]}}\ntrustedProxies: [127.0.0.1/32]\nauthorization: {{public: [\"* /public/**\"]}}\nlimits: {{{limits}}}\n"
    );
    Stage::configured_with(Issuer::of(rsa()), upstream, &config)
}

/// A request of the other client over the proxy's connection.
fn get(client: &mut Client, path: &str) -> u16 {
    let fields = [("X-Forwarded-For", OTHER), ("Authorization", &bearer(&Token::bot()))];
    client.send(request_bytes("GET", path, &fields, b""));
    client.response().expect("a response").status
}

#[test]
fn memory_behind_a_proxy_is_limited_by_the_share_of_the_named_client() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.request.head.target() != "/public/endless" {
            return echo(exchange);
        }
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")?;
        let piece = vec![b'x'; 65_536];
        while exchange.send(&piece).is_ok() {}
        Ok(Next::Close)
    });
    // 96 MiB leave 30 MiB for clients: 15 MiB for one of them, which is 80 downloads.
    let stage = stage(upstream, "memory: 96MiB");
    let mut other = Client::connect(stage.gateway.proxy);
    assert_eq!(get(&mut other, "/before"), 200);
    let request = request_bytes("GET", "/public/endless", &[("X-Forwarded-For", ATTACKER)], b"");
    let (mut unread, mut refused) = (Vec::new(), 0);
    for _ in 0..150 {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(&request);
        let (status, head) = client.response_head().expect("a response");
        if status == 503 {
            refused += 1;
        } else {
            // Its data shows that it is a download, which takes more memory.
            client.piece(&mut client.body_after(status, &head)).expect("data");
        }
        unread.push(client);
    }
    assert!(refused >= 30, "{refused} requests over its share were refused");
    let closed = stage.gateway.metric("metagate_connections_closed_total", &[("cause", "memory")]);
    assert_eq!(closed, 0.0, "no connection of the proxy is closed");
    assert!(stage.gateway.metric("metagate_memory_held_bytes", &[]) < 28.0 * 1024.0 * 1024.0);
    assert_eq!(get(&mut other, "/during"), 200);
}

#[test]
fn response_that_grows_beyond_the_share_is_cut_off() {
    let gate = Gate::default();
    let opens = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.hold(&gate);
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")?;
        let piece = vec![b'x'; 65_536];
        while exchange.send(&piece).is_ok() {}
        Ok(Next::Close)
    });
    let stage = stage(upstream, "memory: 96MiB");
    let request = request_bytes("GET", "/public/slow", &[("X-Forwarded-For", ATTACKER)], b"");
    // All are admitted while they are small: 64 KiB of 15 MiB. A download takes 192 KiB.
    let mut all: Vec<_> = (0..150)
        .map(|_| {
            let mut socket =
                TcpStream::connect_timeout(&stage.gateway.proxy, DEADLINE).expect("a connection");
            socket.write_all(&request).expect("room");
            socket
        })
        .collect();
    eventually("all to be in flight", || {
        (stage.gateway.metric("metagate_requests_in_flight", &[]) == 150.0).then_some(())
    });
    opens.open();
    let record = stage.gateway.audit_of("/public/slow");
    assert_eq!(record["complete"], false, "{record}");
    let detail = "ended: more memory of this client address than its share (limits.memory)";
    assert_eq!(text(&record, "detail"), Some(detail), "{record}");
    all.clear();
}

#[test]
fn connections_that_only_discard_refused_bodies_make_room() {
    let stage = stage(Upstream::echo(), "connections: 40");
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!(
            "POST /private HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {ATTACKER}\r\nContent-Length: 1000000\r\n\r\nx"
        ));
        assert_eq!(client.response().expect("a response").status, 401);
        held.push(client);
    }
    assert_eq!(get(&mut Client::connect(stage.gateway.proxy), "/other"), 200);
}

fn head(stream: u32, method: &str, path: &str, client: &str, ends: bool) -> Vec<u8> {
    let fields = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
        ("x-forwarded-for", client),
    ];
    frame(HEADERS, END_HEADERS | if ends { END_STREAM } else { 0 }, stream, &literals(&fields))
}

#[test]
fn resets_by_one_client_do_not_end_the_connection_of_a_proxy() {
    let gate = Gate::default();
    let opens = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/public/held" {
            exchange.hold(&gate);
        }
        echo(exchange)
    });
    let stage = stage(upstream, "");
    let mut proxy = RawClient::connect(stage.gateway.proxy);
    proxy.send(head(1, "GET", "/public/held", OTHER, true));
    for number in 1..=400 {
        let stream = 2 * number + 1;
        proxy.send(head(stream, "GET", "/public/reset", ATTACKER, true));
        proxy.send(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        if number % 10 == 0 {
            assert!(proxy.answers_ping(), "after {number} resets");
        }
    }
    opens.open();
    let response = proxy.find(|arrived| arrived.stream == 1 || arrived.kind == GOAWAY).expect("a frame");
    assert_eq!(response.kind, HEADERS);
}

/// Otherwise uploads that the backend does not read would block those of other clients.
#[test]
fn h2_connection_of_a_proxy_has_room_for_the_window_of_every_stream() {
    for (proxies, window) in [("[127.0.0.1/32]", 100 * 65_536), ("[]", 512 * 1024)] {
        let stage = Stage::plain(|setup| setup.env("METAGATE_TRUSTED_PROXIES", proxies));
        let mut proxy = RawClient::connect(stage.gateway.proxy);
        let update = proxy.find(|arrived| arrived.kind == WINDOW_UPDATE && arrived.stream == 0);
        let payload = update.expect("a WINDOW_UPDATE").payload;
        let increment = u32::from_be_bytes(payload.try_into().expect("four bytes"));
        assert_eq!(65_535 + increment, window, "{proxies}");
    }
}
