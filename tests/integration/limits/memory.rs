//! Bodies are streamed: memory does not grow with their size or with slow readers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::DEADLINE;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::Client;

const PIECE: usize = 64 * 1024;
const PIECES: usize = 2048;
const BYTES: usize = PIECE * PIECES;
/// For HTTP/2, whose small frames are slower to process here.
const FEWER: usize = BYTES / 4;
/// More than the gateway buffers for the requests of a test, and far less than their bodies.
const GROWTH_KIB: usize = 4 * 1024;

/// The peak resident memory of the process.
fn peak_kib(gateway: &Gateway) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// What a backend did with a connection.
#[derive(Debug, PartialEq, Eq)]
enum Did {
    /// It received this many bytes of a body.
    Received(usize),
    /// It wrote the whole response.
    Sent,
    /// Its writes block after this many bytes.
    Stuck(usize),
}

/// Reads and writes bodies without keeping them. The response to `GET` has [`BYTES`], or eight
/// times as many if the path says so; for other methods it reads [`BYTES`].
fn backend() -> (String, Receiver<Did>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                while let Some(did) = exchange(&socket) {
                    if sender.send(did).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, receiver)
}

fn exchange(mut socket: &TcpStream) -> Option<Did> {
    let mut buffer = vec![0; PIECE];
    let mut head = Vec::new();
    let end = loop {
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let count = socket.read(&mut buffer).ok().filter(|count| *count > 0)?;
        head.extend(&buffer[..count]);
    };
    if !head.starts_with(b"GET") {
        let mut received = head.len() - end;
        while received < BYTES {
            received += socket.read(&mut buffer).ok().filter(|count| *count > 0)?;
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").ok()?;
        return Some(Did::Received(received));
    }
    let pieces = match () {
        () if head.starts_with(b"GET /huge") => 8 * PIECES,
        () if head.starts_with(b"GET /fewer") => FEWER / PIECE,
        () => PIECES,
    };
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", pieces * PIECE);
    socket.write_all(response.as_bytes()).ok()?;
    socket.set_write_timeout(Some(Duration::from_millis(500))).ok()?;
    let mut sent = 0;
    while sent < pieces * PIECE {
        match socket.write(&buffer) {
            Ok(count) => sent += count,
            Err(_) => return Some(Did::Stuck(sent)),
        }
    }
    Some(Did::Sent)
}

/// A gateway that has served both kinds of clients, and its memory after that.
fn stage() -> (Stage, Receiver<Did>, usize) {
    let (url, did) = backend();
    let stage = Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__URL", url));
    for _ in 0..3 {
        assert_eq!(stage.gateway.get("/warm", &[]).status, 401);
        let mut client = Http2Client::connect(stage.gateway.proxy);
        assert_eq!(client.send("GET", "/warm", &[], b"").expect("a response").status, 401);
    }
    let before = peak_kib(&stage.gateway);
    (stage, did, before)
}

#[track_caller]
fn assert_flat(stage: &Stage, before: usize, what: &str) {
    let growth = peak_kib(&stage.gateway) - before;
    println!("{what}: {growth} KiB more than {before}");
    assert!(growth < GROWTH_KIB, "{what}: {growth} KiB more than {before}");
}

#[test]
fn http1_uploads_and_downloads_do_not_grow_memory() {
    let (stage, did, before) = stage();
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "PUT /up HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: {BYTES}\r\n\r\n"
    ));
    let piece = vec![b'x'; PIECE];
    for _ in 0..PIECES {
        client.send(&piece);
    }
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(did.recv_timeout(DEADLINE), Ok(Did::Received(BYTES)));
    assert_flat(&stage, before, "upload");

    client.send(format!("GET /down HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
    let (status, head) = client.response_head().expect("a head");
    let mut body = client.body_after(status, &head);
    let mut received = 0;
    while let Some(piece) = client.piece(&mut body).expect("a piece") {
        received += piece.len();
    }
    assert_eq!((received, did.recv_timeout(DEADLINE)), (BYTES, Ok(Did::Sent)));
    assert_flat(&stage, before, "download");
}

#[test]
fn h2_downloads_do_not_grow_memory() {
    let (stage, did, before) = stage();
    let token = bearer(&Token::bot());
    let fields = [("authorization", token.as_str())];
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let (response, _) = client.open("GET", "/fewer", &fields, true);
    let mut body = client.wait(response).expect("a head").into_body();
    let received = client.wait(async {
        let mut received = 0;
        while let Some(piece) = body.data().await {
            let piece = piece.expect("a piece");
            body.flow_control().release_capacity(piece.len()).expect("an open stream");
            received += piece.len();
        }
        received
    });
    assert_eq!((received, did.recv_timeout(DEADLINE)), (FEWER, Ok(Did::Sent)));
    assert_flat(&stage, before, "download");
}

#[test]
fn stalled_readers_do_not_grow_memory() {
    let (stage, did, before) = stage();
    let token = bearer(&Token::bot());
    let mut http1 = Client::connect(stage.gateway.proxy);
    http1.send(format!("GET /huge HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
    let (status, head) = http1.response_head().expect("a head");
    let mut body = http1.body_after(status, &head);
    let mut received = 0;
    while received < BYTES / 8 {
        received += http1.piece(&mut body).expect("a piece").expect("more").len();
    }
    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    let (response, _) = http2.open("GET", "/huge", &[("authorization", &token)], true);
    let unread = http2.wait(response).expect("a head").into_body();
    for _ in 0..2 {
        match did.recv_timeout(DEADLINE) {
            Ok(Did::Stuck(sent)) => assert!(sent < BYTES / 2, "{sent} bytes are buffered between the two"),
            other => panic!("{other:?}"),
        }
    }
    assert_flat(&stage, before, "two stalled downloads");
    drop((http1, unread));
    assert_eq!(stage.gateway.get("/others", &[]).status, 401);
}
