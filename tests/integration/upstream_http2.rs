//! HTTP/2 to the backend: the requests it gets, and how its connections are shared and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Response};
use tokio::sync::{Notify, Semaphore};

use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, text};
use crate::support::http2::{Http2Client, Http2Request, Http2Stub, StubOptions, echo, whole};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::rsa;
use crate::support::message::Body;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, send};

/// A gateway in front of this backend. The issuer must outlive it.
#[track_caller]
fn in_front_of(stub: &Http2Stub, adjust: impl FnOnce(Setup) -> Setup) -> (Gateway, Issuer) {
    let issuer = Issuer::of(rsa());
    let setup = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
        .env("METAGATE_UPSTREAM__URL", stub.url())
        .env("METAGATE_UPSTREAM__PROTOCOL", "http2");
    let gateway = adjust(setup).start();
    gateway.wait_ready();
    (gateway, issuer)
}

fn token() -> String {
    bearer(&Token::user())
}

#[test]
fn http1_and_h2_requests_share_one_backend_connection() {
    let stub = Http2Stub::start(StubOptions::default(), echo);
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let token = token();
    let fields =
        [("Authorization", token.as_str()), ("TE", "trailers"), ("Connection", "TE"), ("Cookie", "a=1")];
    for number in 0..20 {
        let response = send(gateway.proxy, "GET", &format!("/get?n={number}"), &fields, b"");
        assert_eq!((response.status, response.text().as_str()), (200, "connection 0"));
    }
    let head = stub.head_of("/get");
    assert_eq!(head.uri.to_string(), "http://gateway.test/get?n=19");
    for (name, value) in
        [("te", "trailers"), ("cookie", "a=1"), ("x-forwarded-user", "ada@open-metadata.org")]
    {
        assert_eq!(head.headers.get(name).and_then(|own| own.to_str().ok()), Some(value));
    }
    for name in ["host", "connection", "transfer-encoding"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    let response = send(gateway.proxy, "POST", "/post", &[("Authorization", &token)], b"hello");
    assert_eq!(response.text(), "hello");
    assert_eq!(stub.head_of("/post").headers.get("content-length"), Some(&HeaderValue::from_static("5")));

    let mut client = Http2Client::connect(gateway.proxy);
    let response = client.send("POST", "/post", &[("authorization", &token)], b"hello").expect("a response");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert!(!stub.head_of("/post").headers.contains_key("te"), "the client did not send TE");
    assert_eq!(stub.connections(), 1);
}

/// A gRPC server: echoes messages, then sends the status in trailers.
async fn grpc(mut arrived: Http2Request) {
    if arrived.request.uri().path() == "/a.Service/Fails" {
        let response =
            Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
        let _ = arrived.respond.send_response(response.body(()).expect("a response"), true);
        return;
    }
    let response =
        Response::builder().header("content-type", "application/grpc").body(()).expect("a response");
    let Ok(mut sending) = arrived.respond.send_response(response, false) else { return };
    let stream = arrived.request.body_mut();
    while let Some(Ok(piece)) = stream.data().await {
        let _ = stream.flow_control().release_capacity(piece.len());
        let _ = sending.send_data(piece, false);
    }
    let trailers = [("grpc-status", "0"), ("grpc-message", "fine")];
    let trailers: HeaderMap = trailers
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let _ = sending.send_trailers(trailers);
}

#[test]
fn grpc_is_streamed_message_by_message() {
    let stub = Http2Stub::start(StubOptions::default(), grpc);
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let token = token();
    let mut client = Http2Client::connect(gateway.proxy);
    let fields =
        [("authorization", token.as_str()), ("content-type", "application/grpc"), ("te", "trailers")];
    let (response, mut messages) = client.open("POST", "/a.Service/Stream", &fields, false);
    let mut body = client.wait(response).expect("a head, before any message").into_body();
    for message in [&b"\0\0\0\0\x02hi"[..], b"\0\0\0\0\x03you"] {
        messages.send_data(Bytes::from_static(message), false).expect("room");
        let back = client.wait(body.data()).expect("a message").expect("data");
        body.flow_control().release_capacity(back.len()).expect("capacity");
        assert_eq!(back, message);
    }
    messages.send_data(Bytes::new(), true).expect("room");
    while let Some(piece) = client.wait(body.data()) {
        assert!(piece.expect("no error").is_empty());
    }
    let trailers = client.wait(body.trailers()).expect("no error").expect("trailers");
    assert_eq!(trailers.get("grpc-status"), Some(&HeaderValue::from_static("0")));
    assert_eq!(trailers.get("grpc-message"), Some(&HeaderValue::from_static("fine")));
    let response = client.send("POST", "/a.Service/Fails", &fields, b"\0\0\0\0\0").expect("a response");
    assert_eq!((response.status, response.header("grpc-status")), (200, Some("5")));
    assert_eq!(
        stub.head_of("/a.Service/Stream").headers.get("te"),
        Some(&HeaderValue::from_static("trailers"))
    );
    assert_eq!(gateway.audit_of("/a.Service/Stream")["complete"], true);
}

#[test]
fn goaway_replaces_the_connection_without_losing_requests() {
    let stub = Http2Stub::start(StubOptions { requests: Some(3), ..StubOptions::default() }, echo);
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let token = token();
    for number in 0..30 {
        let response = send(gateway.proxy, "GET", &format!("/{number}"), &[("Authorization", &token)], b"");
        assert_eq!(response.status, 200, "{number}");
        let response = send(gateway.proxy, "POST", "/post", &[("Authorization", &token)], b"hello");
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{number}");
    }
    assert_eq!(stub.order().len(), 60, "none was sent twice");
    assert!(stub.connections() >= 20, "{} connections", stub.connections());
}

#[test]
fn only_refused_streams_are_retried() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let stub = Http2Stub::start(StubOptions::default(), move |mut arrived: Http2Request| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let reason = match arrived.request.uri().path() {
                "/refused" if number == 0 => Reason::REFUSED_STREAM,
                "/always" => Reason::REFUSED_STREAM,
                "/fails" => Reason::INTERNAL_ERROR,
                _ => return echo(arrived).await,
            };
            arrived.respond.send_reset(reason);
        }
    });
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let token = token();
    let ask = |method: &str, path: &str| {
        tries.store(0, Ordering::SeqCst);
        let status = send(gateway.proxy, method, path, &[("Authorization", &token)], b"").status;
        (status, tries.load(Ordering::SeqCst))
    };
    assert_eq!(ask("GET", "/refused"), (200, 2));
    assert_eq!(ask("POST", "/refused"), (200, 2), "REFUSED_STREAM means not processed");
    assert_eq!(ask("GET", "/always"), (502, 3));
    assert_eq!(ask("GET", "/fails"), (502, 1));
    assert_eq!(ask("POST", "/fails"), (502, 1));
    assert_eq!(text(&gateway.audit_of("/always"), "reason"), Some("upstream_unreachable"));
    assert_eq!(text(&gateway.audit_of("/fails"), "reason"), Some("upstream_protocol"));
}

#[test]
fn backend_stream_limit_is_respected() {
    let open = Arc::new(Semaphore::new(0));
    let held = open.clone();
    let stub =
        Http2Stub::start(StubOptions { max_streams: Some(2), ..StubOptions::default() }, move |arrived| {
            let held = held.clone();
            async move {
                if arrived.request.uri().path() == "/held" {
                    let _permit = held.acquire().await.expect("an open semaphore");
                }
                echo(arrived).await;
            }
        });
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let token = token();
    let ask = |path: &str| {
        let mut client = Client::connect(gateway.proxy);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
        client
    };
    // The first response comes with the backend's SETTINGS.
    assert_eq!(ask("/first").response().expect("a response").status, 200);
    assert_eq!(ask("/first").response().expect("a response").status, 200);
    let mut held: Vec<Client> = Vec::new();
    for count in 1..=6 {
        held.push(ask("/held"));
        eventually("the request to arrive", || (stub.order().len() == 2 + count).then_some(()));
    }
    assert_eq!(stub.connections(), 3, "two streams per connection");
    open.add_permits(1);
    for mut client in held {
        assert_eq!(client.response().expect("a response").status, 200);
    }
}

#[test]
fn reset_backend_stream_truncates_the_response() {
    let arrived_there = Arc::new(Notify::new());
    let held = arrived_there.clone();
    let stub = Http2Stub::start(StubOptions::default(), move |mut arrived: Http2Request| {
        let held = held.clone();
        async move {
            let reason = match arrived.request.uri().path() {
                "/no-error" => Reason::NO_ERROR,
                _ => Reason::CANCEL,
            };
            let Ok(mut sending) = arrived.respond.send_response(Response::new(()), false) else { return };
            let _ = sending.send_data(Bytes::from_static(b"half"), false);
            held.notified().await;
            sending.send_reset(reason);
        }
    });
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let token = token();
    for path in ["/no-error", "/cancel"] {
        let mut client = Client::connect(gateway.proxy);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
        let (status, head) = client.response_head().expect("a head");
        let mut body = client.body_after(status, &head);
        assert_eq!(client.piece(&mut body).expect("the beginning").expect("more"), b"half");
        arrived_there.notify_one();
        assert!(client.piece(&mut body).is_err(), "{path}: no last chunk");
        assert_eq!(gateway.audit_of(path)["complete"], false);

        let mut client = Http2Client::connect(gateway.proxy);
        let (response, _) = client.open("GET", path, &[("authorization", &token)], true);
        let mut body = client.wait(response).expect("a head").into_body();
        assert_eq!(&client.wait(body.data()).expect("the beginning").expect("data")[..], b"half");
        arrived_there.notify_one();
        let error = client.wait(body.data()).expect("no end").expect_err("a reset");
        assert_ne!(error.reason(), Some(Reason::NO_ERROR), "{path}");
    }
}

#[test]
fn disconnecting_client_resets_only_its_stream() {
    let (gone, open) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, held) = (gone.clone(), open.clone());
    let stub = Http2Stub::start(StubOptions::default(), move |mut arrived: Http2Request| {
        let (seen, held) = (seen.clone(), held.clone());
        async move {
            if arrived.request.uri().path() == "/other" {
                held.notified().await;
                return echo(arrived).await;
            }
            let _ = std::future::poll_fn(|cx| arrived.respond.poll_reset(cx)).await;
            seen.notify_one();
        }
    });
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let token = token();
    let mut other = Client::connect(gateway.proxy);
    other.send(format!("GET /other HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
    eventually("the first request", || (stub.order().len() == 1).then_some(()));
    let waiting = Http2Client::connect(gateway.proxy);
    let mut leaving = Client::connect(gateway.proxy);
    leaving.send(format!("GET /leaves HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
    eventually("the second request", || (stub.order().len() == 2).then_some(()));
    drop(leaving);
    waiting.wait(gone.notified());
    open.notify_one();
    assert_eq!(other.response().expect("a response").status, 200);
    assert_eq!(stub.connections(), 1);
}

#[test]
fn slow_readers_do_not_block_other_streams() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let stub = Http2Stub::start(StubOptions::default(), move |mut arrived: Http2Request| {
        let counted = counted.clone();
        async move {
            if arrived.request.uri().path() != "/large" {
                return echo(arrived).await;
            }
            let Ok(mut sending) = arrived.respond.send_response(Response::new(()), false) else { return };
            // Endless, as fast as it is read.
            loop {
                sending.reserve_capacity(16 * 1024);
                let Some(Ok(room)) = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await else {
                    return;
                };
                counted.fetch_add(room, Ordering::SeqCst);
                let _ = sending.send_data(Bytes::from(vec![b'x'; room]), false);
            }
        }
    });
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let token = token();
    let slow: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::connect(gateway.proxy);
            client.send(format!("GET /large HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
            client.piece(&mut Body::UntilClose).expect("the beginning");
            client
        })
        .collect();
    let mut client = Http2Client::connect(gateway.proxy);
    let mut ask = || {
        let response =
            client.send("POST", "/echo", &[("authorization", &token)], b"hello").expect("a response");
        assert_eq!(response.text(), "hello");
        sent.load(Ordering::SeqCst)
    };
    // Until all buffers towards the slow readers are full and their streams no longer progress.
    eventually("the slow streams to stall", || {
        let before = ask();
        (0..50).all(|_| ask() == before).then_some(())
    });
    assert_eq!(stub.connections(), 1);
    drop(slow);
}

#[test]
fn upgrade_is_not_forwarded_over_http2() {
    let stub = Http2Stub::start(StubOptions::default(), echo);
    let (gateway, _issuer) = in_front_of(&stub, |setup| setup);
    let fields = [("Authorization", &*token()), ("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let mut client = Client::connect(gateway.proxy);
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send(format!("GET /socket HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    assert_eq!(client.response().expect("a response").status, 200);
    assert!(!stub.head_of("/socket").headers.contains_key("upgrade"));
}

#[test]
fn backend_without_http2_is_a_gateway_error() {
    let backend = crate::support::upstream::Upstream::echo();
    let issuer = Issuer::of(rsa());
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
        .env("METAGATE_UPSTREAM__URL", backend.url())
        .env("METAGATE_UPSTREAM__PROTOCOL", "http2")
        .env("METAGATE_UPSTREAM__RESPONSE_TIMEOUT", "1s")
        .start();
    gateway.wait_ready();
    let status = gateway.get_as(&Token::user(), "/x").status;
    assert!([502, 504].contains(&status), "{status}");
    let mut client = Http2Client::connect(gateway.proxy);
    let (response, _) = client.open("GET", "/x", &[("authorization", &token())], true);
    let response = client.wait(async { whole(response.await.expect("a response")).await }).expect("whole");
    assert!([502, 504].contains(&response.status));
}

#[test]
fn an_idle_connection_of_one_worker_makes_room_for_another() {
    let stub = Http2Stub::start(StubOptions::default(), echo);
    let (gateway, _issuer) = in_front_of(&stub, |setup| {
        setup.env("METAGATE_UPSTREAM__MAX_CONNECTIONS", "1").env("METAGATE_WORKERS", "2")
    });
    let token = token();
    // Held open, so that the next client is served by the other worker.
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(gateway.proxy)).collect();
    for round in 0..4 {
        for client in &mut clients {
            client.send(format!("GET /{round} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
            assert_eq!(client.response().expect("a response").status, 200, "{round}");
        }
    }
    assert!(stub.connections() > 1, "both workers had one");
}
