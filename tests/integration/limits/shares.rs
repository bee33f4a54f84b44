//! One client against the others: what it can occupy, and for how long.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::gateway::{Gateway, text};
use crate::support::http2::{
    Arrived, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Client, RST_STREAM, RawClient, frame, literals,
};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, request_bytes};
use crate::support::{DEADLINE, eventually};

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

fn rss_kib(gateway: &Gateway) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn open_stage(env: &[(&str, &str)]) -> Stage {
    Stage::with(Issuer::of(rsa()), Upstream::echo(), |mut setup| {
        for (name, value) in env {
            setup = setup.env(name, *value);
        }
        setup.env("METAGATE_AUTHORIZATION__PUBLIC", "[POST /login, GET /ui]")
    })
}

fn get(stream: u32) -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/private")];
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &literals(&fields))
}

#[test]
fn unread_refusals_hold_no_slots_and_end_their_connection() {
    let stage = open_stage(&[("METAGATE_LIMITS__REQUESTS", "20")]);
    let mut client = RawClient::with_settings(stage.gateway.proxy, &[(INITIAL_WINDOW_SIZE, 0)]);
    let requests: Vec<u8> = (0..50).flat_map(|number| get(2 * number + 1)).collect();
    assert!(client.send(requests));
    let asked = Instant::now();
    eventually("every request to be refused", || {
        let refused = stage.gateway.metric("metagate_requests_total", &[("reason", "missing_token")]);
        let in_flight = stage.gateway.metric("metagate_requests_in_flight", &[]);
        (refused >= 50.0 || in_flight == 0.0).then_some(())
    });
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/good").status, 200);
    let goaway = client.find(|arrived| arrived.kind == GOAWAY);
    assert!(goaway.is_some(), "GOAWAY was sent");
    while client.next().is_some() {}
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[test]
fn idle_unverified_connections_are_closed_to_make_room() {
    let stage = open_stage(&[("METAGATE_LIMITS__CONNECTIONS", "40")]);
    let mut verified = Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::bot());
    verified.send(request_bytes("GET", "/x", &[("Authorization", &token)], b""));
    assert_eq!(verified.response().expect("a response").status, 200);
    let mut idle: Vec<Client> = Vec::new();
    for _ in 0..60 {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(request_bytes("GET", "/x", &[], b""));
        assert_eq!(client.response().expect("a response").status, 401);
        idle.push(client);
    }
    // One address may have 20 connections.
    assert!(stage.gateway.metric("metagate_connections", &[]) <= 21.0);
    assert!(stage.gateway.metric("metagate_connections_closed_total", &[("cause", "idle")]) >= 40.0);
    assert_eq!(idle[0].rest(), "", "the oldest connection is closed");
    verified.send(request_bytes("GET", "/x", &[("Authorization", &token)], b""));
    assert_eq!(verified.response().expect("a response").status, 200);
}

#[test]
fn connections_per_client_leave_room_for_other_addresses() {
    let stage = open_stage(&[
        ("METAGATE_LIMITS__CONNECTIONS", "40"),
        ("METAGATE_LIMITS__CONNECTIONS_PER_CLIENT", "2"),
    ]);
    let waiting = "POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    let _busy: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(stage.gateway.proxy);
            client.send(waiting);
            client
        })
        .collect();
    eventually("two requests in flight", || {
        (stage.gateway.metric("metagate_requests_in_flight", &[]) == 2.0).then_some(())
    });
    assert_eq!(Client::connect(stage.gateway.proxy).response().expect("a response").status, 503);
    assert_eq!(stage.gateway.metric("metagate_connections_refused_total", &[("cause", "client")]), 1.0);
    let other = socket_from("127.0.0.2", &stage.gateway);
    let mut other = Client::of(other);
    other.send(request_bytes("GET", "/x", &[("Authorization", &bearer(&Token::bot()))], b""));
    assert_eq!(other.response().expect("a response").status, 200);
}

/// A connection from another address of this machine.
fn socket_from(address: &str, gateway: &Gateway) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("bound");
    let runtime = crate::support::http2::runtime();
    let stream = runtime.block_on(socket.connect(gateway.proxy)).expect("a connection");
    let stream = stream.into_std().expect("a socket");
    stream.set_nonblocking(false).expect("blocking");
    stream.set_read_timeout(Some(DEADLINE)).expect("a read timeout");
    stream
}

#[test]
fn unverified_request_reaches_the_backend_only_with_its_body() {
    let stage = open_stage(&[("METAGATE_LIMITS__UNVERIFIED_TIMEOUT", "300ms")]);
    let head = "POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(head);
    assert_eq!(client.response().expect("a response").status, 408);
    assert_eq!(stage.upstream.connections(), 0);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(head).send("hello");
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(stage.upstream.only_request().body, b"hello");
    // The body begins and then stalls.
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(head).send("he");
    assert_eq!(client.response().expect("a response").status, 408);
}

#[test]
fn unverified_timeout_closes_idle_connections_without_a_token() {
    let stage = open_stage(&[("METAGATE_LIMITS__UNVERIFIED_TIMEOUT", "300ms")]);
    let token = bearer(&Token::bot());
    let mut verified = Client::connect(stage.gateway.proxy);
    verified.send(request_bytes("GET", "/x", &[("Authorization", &token)], b""));
    assert_eq!(verified.response().expect("a response").status, 200);
    for target in ["/ui", "/private"] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(request_bytes("GET", target, &[], b""));
        client.response().expect("a response");
        assert_eq!(client.rest(), "", "closed by the proxy");
    }
    verified.send(request_bytes("GET", "/x", &[("Authorization", &token)], b""));
    assert_eq!(
        verified.response().expect("a response").status,
        200,
        "verified connections have the longer timeout"
    );
}

#[test]
fn probes_work_while_other_clients_occupy_every_connection() {
    let stage = open_stage(&[]);
    let held = |address, request: &str, count: usize| -> Vec<TcpStream> {
        let requests = request.repeat(200);
        (0..count)
            .map(|_| {
                let mut socket = TcpStream::connect_timeout(&address, DEADLINE).expect("a connection");
                socket.set_write_timeout(Some(Duration::from_millis(20))).expect("a write timeout");
                // This client never reads, so at some point its writes block.
                let _ = socket.write_all(requests.as_bytes());
                socket
            })
            .collect()
    };
    let _health = held(stage.gateway.listener("health"), "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 70);
    let admin = stage.gateway.admin();
    let _admin = held(admin, &format!("GET /status HTTP/1.1\r\nHost: {admin}\r\n\r\n"), 40);
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(stage.gateway.probe("/livez").status, 200);
        assert_eq!(stage.gateway.probe("/readyz").status, 200);
        assert_eq!(stage.gateway.ask_admin("GET", "/status", &[]).status, 200);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
}

#[test]
fn h2_client_with_a_body_can_read_the_whole_refusal() {
    let stage = open_stage(&[]);
    static BODY: [u8; 1 << 20] = [b'x'; 1 << 20];
    for size in [2, 70_000, 1 << 20] {
        let body = &BODY[..size];
        let mut client = Http2Client::connect(stage.gateway.proxy);
        for _ in 0..3 {
            let response = client.send("POST", "/private", &[], body).expect("a response");
            assert_eq!(response.status, 401, "{size} bytes");
            assert_eq!(response.text(), r#"{"code":401,"message":"No Authorization header provided"}"#);
        }
    }
    // The response ends the stream without a reset.
    let mut client = RawClient::connect(stage.gateway.proxy);
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/private")];
    client.send(frame(HEADERS, END_HEADERS, 1, &literals(&fields)));
    let ended = client.find(|arrived| arrived.stream == 1 && arrived.flags & END_STREAM != 0);
    assert!(ended.is_some_and(|arrived| arrived.kind != RST_STREAM));
    client.send(frame(0, END_STREAM, 1, b"{}"));
    client.send(frame(6, 0, 0, b"metagate"));
    let next = client.find(|arrived| arrived.kind == RST_STREAM || arrived.kind == 6).expect("a frame");
    assert_eq!(next.kind, 6, "{next:?}");
}

#[test]
fn body_over_discard_bytes_resets_its_stream() {
    let stage = open_stage(&[("METAGATE_LIMITS__DISCARD_BYTES", "100KiB")]);
    let mut client = RawClient::connect(stage.gateway.proxy);
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/private")];
    client.send(frame(HEADERS, END_HEADERS, 1, &literals(&fields)));
    let ended = client.find(|arrived| arrived.stream == 1 && arrived.flags & END_STREAM != 0);
    assert!(ended.is_some_and(|arrived| arrived.kind != RST_STREAM));
    // As much as the window allows, until the server has had enough.
    let (piece, mut window) = (vec![0; 16_000], 65_535);
    let reset = loop {
        if window >= piece.len() {
            client.send(frame(0, 0, 1, &piece));
            window -= piece.len();
            continue;
        }
        let of_stream = |arrived: &Arrived| arrived.stream == 1 && [RST_STREAM, 8].contains(&arrived.kind);
        let arrived = client.find(of_stream).expect("a WINDOW_UPDATE or a reset");
        if arrived.kind == RST_STREAM {
            break arrived;
        }
        window += u32::from_be_bytes(arrived.payload[..4].try_into().expect("an increment")) as usize;
    };
    assert_eq!((reset.stream, reset.code()), (1, Some(0)), "NO_ERROR (RFC 9113 section 8.1)");
    assert!(client.answers_ping());
}

#[test]
fn memory_for_unfinished_heads_is_bounded_and_released() {
    let stage = open_stage(&[("METAGATE_LIMITS__MEMORY", "64MiB"), ("METAGATE_LIMITS__CONNECTIONS", "2000")]);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/warm").status, 200);
    let before = rss_kib(&stage.gateway);
    let head = format!("GET /x HTTP/1.1\r\nHost: a\r\nX-Long: {}", "x".repeat(60_000));
    let mut held = Vec::new();
    for _ in 0..600 {
        let mut socket = TcpStream::connect_timeout(&stage.gateway.proxy, DEADLINE).expect("a connection");
        // The write fails if the connection is closed at once, which is what this test is about.
        let _ = socket.write_all(head.as_bytes());
        held.push(socket);
    }
    eventually("connections to be closed for memory", || {
        let closed = stage.gateway.metric("metagate_connections_closed_total", &[("cause", "memory")]);
        let refused = stage.gateway.metric("metagate_connections_refused_total", &[]);
        (closed >= 1.0 && closed + refused >= 100.0).then_some(())
    });
    let mut other = Client::of(socket_from("127.0.0.2", &stage.gateway));
    other.send(request_bytes("GET", "/good", &[("Authorization", &bearer(&Token::bot()))], b""));
    assert_eq!(other.response().expect("a response").status, 200);
    let during = rss_kib(&stage.gateway);
    assert!(during < before + 40 * 1024, "{during} KiB, {before} before");
    drop(held);
    eventually("every connection to end", || {
        (stage.gateway.metric("metagate_connections", &[]) <= 2.0).then_some(())
    });
    assert!(stage.gateway.metric("metagate_memory_held_bytes", &[]) < 256.0 * 1024.0);
    let record = stage.gateway.audit_of("/good");
    assert_eq!(text(&record, "decision"), Some("allow"));
}

#[test]
fn unread_response_to_an_unverified_client_is_aborted() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")?;
        let piece = vec![b'x'; 1 << 16];
        loop {
            exchange.send(&piece)?;
        }
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| {
        setup
            .env("METAGATE_AUTHORIZATION__PUBLIC", "[GET /ui]")
            .env("METAGATE_LIMITS__UNVERIFIED_TIMEOUT", "1s")
    });
    let mut socket = TcpStream::connect_timeout(&stage.gateway.proxy, DEADLINE).expect("a connection");
    socket.write_all(b"GET /ui HTTP/1.1\r\nHost: a\r\n\r\n").expect("room");
    eventually("the response to start", || {
        (stage.gateway.metric("metagate_requests_in_flight", &[]) == 1.0).then_some(())
    });
    eventually("the response to be aborted", || {
        (stage.gateway.metric("metagate_connections", &[]) == 0.0).then_some(())
    });
    let mut rest = Vec::new();
    // What the kernel has buffered can still be read, followed by the end or a reset.
    let _ = socket.read_to_end(&mut rest);
    assert!(rest.len() < 100_000_000);
    let record = stage.gateway.audit_of("/ui");
    assert_eq!(record["complete"], false, "{record}");
}

#[test]
fn upload_blocked_by_the_backend_ends_with_the_idle_timeout() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", backend.local_addr().expect("an address"));
    let stage = open_stage(&[("METAGATE_UPSTREAM__URL", &url), ("METAGATE_UPSTREAM__IDLE_TIMEOUT", "500ms")]);
    let mut client = TcpStream::connect_timeout(&stage.gateway.proxy, DEADLINE).expect("a connection");
    let token = bearer(&Token::bot());
    let head = format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 1000000000\r\n\r\n"
    );
    client.write_all(head.as_bytes()).expect("room");
    let (held, _) = backend.accept().expect("a connection");
    client.set_write_timeout(Some(Duration::from_millis(200))).expect("a write timeout");
    let piece = vec![b'x'; 1 << 20];
    // Writes until every buffer on the way is full.
    while client.write_all(&piece).is_ok() {}
    drop(client);
    eventually("the connection to be released", || {
        (stage.gateway.metric("metagate_connections", &[]) == 0.0).then_some(())
    });
    drop(held);
}
