//! When a client disconnects, its request to the backend ends at once.

use std::future::pending;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::support::DEADLINE;
use crate::support::gateway::Setup;
use crate::support::http2::{Http2Client, Http2Request, Http2Stub, StubOptions};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, request_bytes};

/// Far longer than it takes, far shorter than any timeout.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A backend that never ends a response and reports when the proxy disconnects.
fn stage() -> (Stage, Receiver<Instant>) {
    let (left, leaving) = channel();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/streaming" {
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        }
        // This returns only when the proxy closes the connection.
        while exchange.raw().is_ok_and(|bytes| !bytes.is_empty()) {}
        let _ = left.send(Instant::now());
        Ok(Next::Close)
    });
    (Stage::with(Issuer::of(rsa()), upstream, |setup| setup), leaving)
}

#[track_caller]
fn assert_at_once(stage: &Stage, path: &str, since: Instant, leaving: &Receiver<Instant>) {
    let left = leaving.recv_timeout(DEADLINE).expect("the backend's connection ends");
    let took = left.saturating_duration_since(since);
    println!("{path}: {took:?}");
    assert!(took < AT_ONCE, "{path}: {took:?}");
    let record = stage.gateway.audit_of(path);
    // A client that disconnected within its request may have been sent a response that it never read.
    assert!(record["complete"] == false || record["status"] == 400, "{record}");
}

#[test]
fn http1_disconnect_ends_the_upstream_request() {
    let (stage, leaving) = stage();
    let token = bearer(&Token::bot());
    let fields = [("Authorization", token.as_str())];
    let upload = format!(
        "POST /uploading HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 9\r\n\r\nhalf"
    );
    for (path, bytes) in [
        ("/waiting", request_bytes("GET", "/waiting", &fields, b"")),
        ("/posted", request_bytes("POST", "/posted", &fields, b"{}")),
        ("/streaming", request_bytes("GET", "/streaming", &fields, b"")),
        ("/uploading", upload.into_bytes()),
    ] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(bytes);
        stage.upstream.wait_for(path, |all| all.iter().any(|r| r.head.target() == path).then_some(()));
        if path == "/streaming" {
            client.response_head().expect("a head");
        }
        let since = Instant::now();
        drop(client);
        assert_at_once(&stage, path, since, &leaving);
    }
    assert_eq!(stage.upstream.requests().len(), 4, "nothing is sent twice");
}

/// The backend reads the head and then nothing, until the upload is stuck in the kernel of every side.
#[test]
fn a_client_that_leaves_while_its_upload_is_stuck_is_noticed() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.hold(&held);
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let head = format!(
        "POST /stuck HTTP/1.1\r\nHost: a\r\nAuthorization: {}\r\nContent-Length: 1000000000\r\n\r\n",
        bearer(&Token::bot())
    );
    let mut client = TcpStream::connect(stage.gateway.proxy).expect("a connection");
    client.write_all(head.as_bytes()).expect("a head");
    client.set_write_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    while client.write_all(&[0; 64 * 1024]).is_ok() {}
    // As a process that is killed with unread data, or whose machine restarts.
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(client);
    let record = stage.gateway.audit_of("/stuck");
    assert_eq!(record["complete"], false, "{record}");
    assert!(!gate.is_open(), "while the backend still does not read");
    gate.open();
}

/// The backend takes as much as a window of HTTP/2 has room for, and then nothing. The end of what the client sends has
/// arrived behind the rest of it.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_ends_within_its_stuck_upload_is_noticed() {
    let issuer = Issuer::of(rsa());
    let chunks = format!("400\r\n{}\r\n", "x".repeat(0x400)).repeat(96);
    for (path, framing, closes) in [
        ("/length/ends", "Content-Length: 1000000", false),
        ("/length/closes", "Content-Length: 1000000", true),
        ("/chunks/ends", "Transfer-Encoding: chunked", false),
        ("/chunks/closes", "Transfer-Encoding: chunked", true),
    ] {
        let stub = Http2Stub::start(StubOptions::default(), |request: Http2Request| async move {
            let _unread = request;
            pending::<()>().await;
        });
        let setup = Setup::run()
            .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
            .env("METAGATE_UPSTREAM__URL", stub.url())
            .env("METAGATE_UPSTREAM__PROTOCOL", "http2");
        let gateway = setup.start();
        gateway.wait_ready();
        let token = bearer(&Token::bot());
        let mut client = Client::connect(gateway.proxy);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n{framing}\r\n\r\n{chunks}"
        ));
        client.half_close();
        let client = (!closes).then_some(client);
        let record = gateway.audit_of(path);
        assert_eq!(record["complete"], false, "{record}");
        drop(client);
    }
}

#[test]
fn h2_reset_and_connection_loss_end_the_upstream_request() {
    let (stage, leaving) = stage();
    let token = bearer(&Token::bot());
    for path in ["/waiting", "/streaming"] {
        let mut client = Http2Client::connect(stage.gateway.proxy);
        let (response, mut stream) = client.open("GET", path, &[("authorization", &token)], true);
        stage.upstream.wait_for(path, |all| all.iter().any(|r| r.head.target() == path).then_some(()));
        let body = (path == "/streaming").then(|| client.wait(response).expect("a head").into_body());
        let since = Instant::now();
        stream.send_reset(h2::Reason::CANCEL);
        assert_at_once(&stage, path, since, &leaving);
        drop(body);
    }
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let (_response, _stream) = client.open("GET", "/cut", &[("authorization", &token)], true);
    stage.upstream.wait_for("it", |all| all.iter().any(|r| r.head.target() == "/cut").then_some(()));
    let since = Instant::now();
    drop(client);
    assert_at_once(&stage, "/cut", since, &leaving);
}
