//! Request bodies that are too large or too slow, and responses that are not read.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::support::eventually;
use crate::support::gateway::text;
use crate::support::http2::Http2Client;
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, request_bytes};

const TOO_LARGE: &str = r#"{"code":413,"message":"Request body is larger than allowed"}"#;

fn eight() -> Stage {
    Stage::plain(|setup| setup.env("METAGATE_LIMITS__BODY_BYTES", "8"))
}

#[track_caller]
fn assert_never_whole(stage: &Stage, path: &str) {
    let record = stage.gateway.audit_of(path);
    assert_eq!(text(&record, "reason"), Some("payload_too_large"), "{record}");
    let whole = |all: Vec<crate::support::stub::Received>| {
        all.iter().any(|request| request.head.target() == path && request.complete)
    };
    assert!(!whole(stage.upstream.requests()), "{:#?}", stage.upstream.requests());
}

#[test]
fn chunked_body_over_the_limit_is_413() {
    let stage = eight();
    let token = bearer(&Token::bot());
    for (path, chunks) in [("/one", "9\r\n123456789\r\n0\r\n\r\n"), ("/two", "5\r\n12345\r\n4\r\n6789\r\n")] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        let response = client.response().expect("a response");
        assert_eq!((response.status, response.text().as_str()), (413, TOO_LARGE), "{path}");
        assert_eq!(response.header("connection"), Some("close"), "{path}");
        assert_never_whole(&stage, path);
    }
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "POST /fits HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n"
    ));
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(stage.upstream.request_to("/fits").body, b"12345678");
}

#[test]
fn body_limit_applies_over_http2() {
    let stage = eight();
    let token = bearer(&Token::bot());
    let fields = [("authorization", token.as_str())];
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let response = client.send("POST", "/unannounced", &fields, b"123456789").expect("a response");
    assert_eq!((response.status, response.text().as_str()), (413, TOO_LARGE));
    assert_never_whole(&stage, "/unannounced");
    let connections = stage.upstream.connections();
    let announced = [("authorization", token.as_str()), ("content-length", "9")];
    let response = client.send("POST", "/announced", &announced, b"123456789").expect("a response");
    assert_eq!((response.status, response.text().as_str()), (413, TOO_LARGE));
    assert_never_whole(&stage, "/announced");
    assert_eq!(stage.upstream.connections(), connections, "nothing was sent upstream");
    assert_eq!(client.send("POST", "/fits", &fields, b"12345678").expect("a response").status, 200);
    assert_eq!(stage.upstream.request_to("/fits").body, b"12345678");
}

#[test]
fn body_over_the_limit_after_the_response_began_aborts_both() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        exchange.read_body()?;
        exchange.send("0\r\n\r\n")?;
        Ok(Next::KeepOpen)
    });
    let stage =
        Stage::with(Issuer::of(rsa()), upstream, |setup| setup.env("METAGATE_LIMITS__BODY_BYTES", "8"));
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n"
    ));
    let (status, head) = client.response_head().expect("a head");
    let mut body = client.body_after(status, &head);
    assert_eq!(client.piece(&mut body).expect("a piece"), Some(b"hi".to_vec()));
    client.send("5\r\n56789\r\n0\r\n\r\n");
    assert!(client.piece(&mut body).is_err(), "no last chunk");
    assert_eq!(stage.gateway.audit_of("/x")["complete"], false);
    assert!(stage.upstream.requests().iter().all(|request| !request.complete));
}

#[test]
fn trickled_body_is_408_and_frees_the_backend() {
    let gone = Gate::default();
    let seen = gone.clone();
    let upstream = Upstream::scripted(move |exchange| {
        // This returns only when the proxy closes the connection.
        let ended = exchange.read_body();
        assert!(ended.is_err());
        seen.open();
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| {
        setup.env("METAGATE_UPSTREAM__IDLE_TIMEOUT", "500ms")
    });
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "POST /slow HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 100000\r\n\r\n"
    ));
    let (mut bytes, mut last) = (0, Instant::now());
    // Each byte arrives well within the idle timeout. Responses on another connection serve as the
    // clock.
    eventually("the request to be aborted", || {
        if last.elapsed() > Duration::from_millis(50) {
            client.send("x");
            (bytes, last) = (bytes + 1, Instant::now());
        }
        stage.gateway.get("/clock", &[]);
        gone.is_open().then_some(())
    });
    assert!(bytes > 2, "{bytes}");
    let record = stage.gateway.audit_of("/slow");
    assert_eq!(
        (text(&record, "reason"), &record["status"]),
        (Some("request_timeout"), &408.into()),
        "{record}"
    );
    let response = client.response().expect("a response");
    assert_eq!(response.text(), r#"{"code":408,"message":"Request did not arrive in time"}"#);
}

#[test]
fn stalled_h2_body_is_408() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__IDLE_TIMEOUT", "300ms"));
    let token = bearer(&Token::bot());
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let (response, mut body) = client.open("POST", "/slow", &[("authorization", &token)], false);
    body.send_data(Bytes::from_static(b"half"), false).expect("room");
    assert_eq!(client.wait(response).expect("a response").status(), 408);
    // Only its stream has ended.
    assert_eq!(
        client.send("GET", "/next", &[("authorization", &token)], b"").expect("a response").status,
        200
    );
    assert!(stage.upstream.requests().iter().all(|r| r.head.target() != "/slow" || !r.complete));
}

/// A backend with an endless response. Opens the gate when its connection is closed.
fn endless(gone: &Gate) -> Upstream {
    let gone = gone.clone();
    Upstream::scripted(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")?;
        let piece = vec![b'x'; 65_536];
        while exchange.send(&piece).is_ok() {}
        gone.open();
        Ok(Next::Close)
    })
}

#[test]
fn unread_response_is_aborted_and_frees_the_backend() {
    let token = bearer(&Token::bot());
    let gone = Gate::default();
    let stage = Stage::with(Issuer::of(rsa()), endless(&gone), |setup| {
        setup.env("METAGATE_UPSTREAM__IDLE_TIMEOUT", "500ms")
    });
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("GET", "/http1", &[("Authorization", &token)], b""));
    assert_eq!(client.response_head().expect("a head").0, 200);
    assert_eq!(stage.gateway.audit_of("/http1")["complete"], false);
    eventually("the upstream request to end", || gone.is_open().then_some(()));
}
