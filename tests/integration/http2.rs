//! HTTP/2 clients: well-behaved ones here, hostile ones in the submodules.

mod floods;
mod frames;
mod hpack;
mod octets;
mod resets;

use std::io::Read as _;
use std::net::TcpStream;

use bytes::Bytes;

use crate::support::gateway::text;
use crate::support::http2::{Http2Client, PREFACE, RawClient, whole};
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::Client;
use crate::support::{DEADLINE, eventually};

#[test]
fn h2_request_is_forwarded_as_http1() {
    let stage = Stage::plain(|setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::user());
    let fields = [
        ("authorization", token.as_str()),
        ("cookie", "a=1"),
        ("te", "trailers"),
        ("cookie", "b=2; c=3"),
        ("x-own", "x"),
    ];
    let response = client.send("GET", "/tables?limit=2", &fields, b"").expect("a response");
    assert_eq!((response.status, response.header("x-upstream")), (200, Some("yes")));
    assert_eq!(response.text(), r#"{"method":"GET","target":"/tables?limit=2"}"#);
    let head = stage.upstream.only_request().head;
    assert_eq!(head.start, "GET /tables?limit=2 HTTP/1.1");
    assert_eq!(head.values("host"), ["gateway.test"]);
    assert_eq!(head.values("cookie"), ["a=1; b=2; c=3"], "RFC 9113 section 8.2.3");
    assert_eq!(head.values("x-forwarded-host"), ["gateway.test"]);
    assert_eq!(
        (head.value("te"), head.value("transfer-encoding"), head.value("x-own")),
        (None, None, Some("x"))
    );
    assert!(head.problems.is_empty(), "{:?}", head.problems);

    let response = client.send("POST", "/up", &[("authorization", &token)], b"hello").expect("a response");
    assert_eq!(response.status, 200);
    let request = stage.upstream.request_to("/up");
    assert_eq!(
        (request.body.as_slice(), request.head.values("transfer-encoding")),
        (&b"hello"[..], vec!["chunked"])
    );
    let sized = [("authorization", token.as_str()), ("content-length", "5")];
    assert_eq!(client.send("PUT", "/sized", &sized, b"hello").expect("a response").status, 200);
    assert_eq!(stage.upstream.request_to("/sized").head.value("content-length"), Some("5"));
    assert_eq!(stage.upstream.connections(), 1, "the upstream connection is reused");
    let record = stage.gateway.audit_of("/up");
    assert_eq!(
        (&record["status"], &record["request_bytes"], &record["complete"]),
        (&200.into(), &5.into(), &true.into())
    );
}

#[test]
fn h2_refusals_match_http1_and_end_only_their_stream() {
    let stage = Stage::plain(|setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let response = client.send("GET", "/x", &[], b"").expect("a response");
    assert_eq!(response.text(), r#"{"code":401,"message":"No Authorization header provided"}"#);
    assert_eq!(
        (response.status, response.header("www-authenticate")),
        (401, Some("Bearer realm=\"metagate\""))
    );
    assert_eq!(response.header("connection"), None);
    // The refusal does not wait for the body.
    let (response, mut sending) = client.open("POST", "/x", &[("content-length", "1000000")], false);
    let response = client.wait(async { whole(response.await.expect("a response")).await }).expect("whole");
    assert_eq!(response.status, 401);
    let _ = sending.send_data(Bytes::from_static(&[0; 10_000]), false);
    let token = bearer(&Token::user());
    let bad = [("authorization", token.as_str()), ("x_forwarded_user", "admin"), ("content_length", "5")];
    assert_eq!(client.send("GET", "/bad", &bad, b"").expect("a response").status, 400);
    let good = client.send("GET", "/good", &[("authorization", &token)], b"").expect("a response");
    assert_eq!(good.status, 200, "on the same connection");
    assert_eq!(stage.upstream.only_request().head.target(), "/good");
}

#[test]
fn responses_to_head_and_204_have_no_data() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.request.head.target() == "/204" {
            exchange.send("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n")?;
            return Ok(Next::KeepOpen);
        }
        echo(exchange)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    // RFC 9110 section 9.3.2: to a client, DATA in the response to HEAD is a stream error.
    let response = client.send("HEAD", "/refused", &[], b"").expect("a response");
    assert_eq!(
        (response.status, response.body.len(), response.header("content-length")),
        (401, 0, Some("57"))
    );
    assert_eq!(stage.gateway.audit_of("/refused")["complete"], true);
    let token = bearer(&Token::user());
    let fields = [("authorization", token.as_str())];
    let response = client.send("HEAD", "/relayed", &fields, b"").expect("a response");
    assert_eq!((response.status, response.body.len()), (200, 0));
    let response = client.send("GET", "/204", &fields, b"").expect("a response");
    assert_eq!((response.status, response.header("content-length")), (204, None), "RFC 9110 section 8.6");
}

#[test]
fn grpc_refusals_are_trailers_only() {
    let config = "
authentication: {publicKeyUrls: [ISSUER/jwks.json]}
authorization:
  rules: [{name: admins, match: {paths: [/admin.Service/**]}, require: {anyRole: [Admin]}}]
";
    let config = config.replace("/jwks.json", crate::support::issuer::JWKS);
    let stage = Stage::configured(Issuer::of(rsa()), &config);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::user());
    let grpc = ("content-type", "application/grpc+proto");
    stage.upstream.close_connections();
    for (path, fields, status, message) in [
        ("/a.Service/M", vec![grpc], "16", "No Authorization header provided"),
        (
            "/admin.Service/M",
            vec![grpc, ("authorization", &token)],
            "7",
            "Token lacks required role/permission",
        ),
    ] {
        let response = client.send("POST", path, &fields, b"\0\0\0\0\0").expect("a response");
        assert_eq!((response.status, response.header("grpc-status")), (200, Some(status)));
        assert_eq!(response.header("grpc-message"), Some(message));
        assert_eq!(response.header("content-type"), Some("application/grpc"));
        assert!(response.body.is_empty() && response.trailers.is_none());
    }
    assert!(stage.upstream.requests().is_empty());
    let nobody = Upstream::echo();
    let url = nobody.url();
    drop(nobody);
    let alone = Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__URL", url));
    let mut client = Http2Client::connect(alone.gateway.proxy);
    let response = client
        .send("POST", "/a.Service/M", &[grpc, ("authorization", &token)], b"\0\0\0\0\0")
        .expect("a response");
    assert_eq!((response.status, response.header("grpc-status")), (200, Some("14")));
}

#[test]
fn bodiless_responses_and_trailers_pass_unchanged() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.read_body()?;
        let response = match exchange.request.head.target() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 7\r\n\r\n",
            "/hints" => {
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
            }
            "/trailers" => {
                "HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-End: yes\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            }
            _ => return echo(exchange),
        };
        exchange.send(response)?;
        Ok(Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::bot());
    let mut ask = |method: &str, path: &str| {
        client.send(method, path, &[("authorization", &token), ("te", "trailers")], b"").expect("a response")
    };
    assert_eq!((ask("GET", "/204").status, ask("GET", "/204").body.len()), (204, 0));
    let response = ask("GET", "/304");
    assert_eq!((response.status, response.header("etag"), response.body.len()), (304, Some("\"1\""), 0));
    assert_eq!((ask("GET", "/hints").status, ask("GET", "/hints").text().as_str()), (200, "hi"));
    let response = ask("HEAD", "/head");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert!(response.header("content-length").is_some_and(|length| length != "0"));
    let response = ask("GET", "/trailers");
    let trailers = response.trailers.as_ref().expect("trailers");
    assert_eq!(
        (response.text().as_str(), trailers.get("x-end").map(|end| end.as_bytes())),
        ("hi", Some(&b"yes"[..]))
    );
    assert_eq!(trailers.len(), 1, "{trailers:?}");

    // Over HTTP/1.1, only to a client that accepts trailers.
    let mut client = Client::connect(stage.gateway.proxy);
    for (te, expected) in [("TE: trailers\r\nConnection: TE\r\n", 1), ("", 0)] {
        client.send(format!("GET /trailers HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n{te}\r\n"));
        let response = client.response().expect("a response");
        assert_eq!((response.text().as_str(), response.trailers.len()), ("hi", expected), "{te}");
    }
}

#[test]
fn h2_bodies_are_streamed() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/other" {
            return echo(exchange);
        }
        exchange.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        exchange.send("5\r\nfirst\r\n")?;
        exchange.hold(&held);
        exchange.send("6\r\nsecond\r\n0\r\n\r\n")?;
        Ok(Next::KeepOpen)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::bot());
    let (events, _) = client.open("GET", "/events", &[("authorization", &token)], true);
    let events = client.wait(events).expect("a head");
    let mut events = events.into_body();
    let first = client.wait(events.data()).expect("an event").expect("data");
    assert_eq!(&first[..], b"first");
    // Other streams are not blocked by it.
    assert_eq!(
        client.send("GET", "/other", &[("authorization", &token)], b"").expect("a response").status,
        200
    );
    gate.open();
    assert_eq!(&client.wait(events.data()).expect("an event").expect("data")[..], b"second");
    let end = client.wait(events.data()).map(|end| end.expect("no error"));
    assert!(end.is_none_or(|end| end.is_empty()) && events.is_end_stream());

    // Request bodies are streamed, too.
    let (response, mut body) = client.open("POST", "/other", &[("authorization", &token)], false);
    body.send_data(Bytes::from_static(b"half"), false).expect("room");
    stage.upstream.wait_for("half of the body", |all| all.iter().any(|r| r.body == b"half").then_some(()));
    body.send_data(Bytes::from_static(b" and half"), true).expect("room");
    assert_eq!(client.wait(response).expect("a response").status(), 200);
}

#[test]
fn truncated_upstream_response_resets_the_stream() {
    let upstream = Upstream::scripted(|exchange| {
        let framing = match exchange.request.head.target() {
            "/chunked" => "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            _ => "Content-Length: 100\r\n\r\nhello",
        };
        exchange.send(format!("HTTP/1.1 200 OK\r\n{framing}"))?;
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    for path in ["/chunked", "/sized"] {
        let response = client.send("GET", path, &[("authorization", &bearer(&Token::bot()))], b"");
        let error = response.expect_err("no complete response");
        assert!(error.is_reset() && error.reason() != Some(h2::Reason::NO_ERROR), "{path}: {error}");
        assert_eq!(stage.gateway.audit_of(path)["complete"], false);
    }
}

#[test]
fn h2_reset_ends_the_upstream_request() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        if exchange.request.head.target() == "/streaming" {
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        }
        // This returns only when the proxy closes the connection.
        let rest = exchange.raw().unwrap_or_default();
        assert!(rest.is_empty());
        held.open();
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let token = bearer(&Token::bot());
    for path in ["/waiting", "/streaming"] {
        let mut client = Http2Client::connect(stage.gateway.proxy);
        let (response, mut stream) = client.open("GET", path, &[("authorization", &token)], true);
        stage.upstream.wait_for(path, |all| all.iter().any(|r| r.head.target() == path).then_some(()));
        if path == "/streaming" {
            let mut body = client.wait(response).expect("a head").into_body();
            client.wait(body.data()).expect("data").expect("data");
            stream.send_reset(h2::Reason::CANCEL);
        } else {
            stream.send_reset(h2::Reason::CANCEL);
        }
        let record = stage.gateway.audit_of(path);
        assert_eq!(record["complete"], false);
        // The connection still works.
        assert_eq!(client.send("GET", "/x", &[], b"").expect("a response").status, 401);
    }
    eventually("both upstream requests to end", || gate.is_open().then_some(()));
}

#[test]
fn reset_request_body_never_completes_upstream() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.request.head.target().starts_with("/early") {
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        }
        exchange.read_body()?;
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let token = bearer(&Token::bot());
    let reasons = [h2::Reason::NO_ERROR, h2::Reason::CANCEL, h2::Reason::INTERNAL_ERROR];
    let paths = ["/late", "/early"].into_iter().flat_map(|path| reasons.map(|reason| (path, reason)));
    for (path, reason) in paths {
        let path = format!("{path}/{}", u32::from(reason));
        let mut client = Http2Client::connect(stage.gateway.proxy);
        let (response, mut body) = client.open("POST", &path, &[("authorization", &token)], false);
        body.send_data(Bytes::from_static(b"half"), false).expect("room");
        stage.upstream.wait_for("half of the body", |all| {
            all.iter().any(|r| r.head.target() == path && r.body == b"half").then_some(())
        });
        if path.starts_with("/early") {
            client.wait(response).expect("a response while the request is still being sent");
        }
        body.send_reset(reason);
        assert_eq!(stage.gateway.audit_of(&path)["complete"], false);
        assert_eq!(client.send("GET", "/x", &[], b"").expect("a response").status, 401);
    }
    assert!(
        stage.upstream.requests().iter().all(|request| !request.complete),
        "{:#?}",
        stage.upstream.requests()
    );
}

#[test]
fn header_timeout_applies_to_the_first_h2_request() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__HEADER_READ_TIMEOUT", "300ms"));
    assert!(RawClient::connect(stage.gateway.proxy).end().is_empty(), "only SETTINGS");
    let mut socket = TcpStream::connect(stage.gateway.proxy).expect("a connection");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    std::io::Write::write_all(&mut socket, PREFACE).expect("room");
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).expect("an end");
    // Between requests the idle timeout applies, which is longer.
    let mut client = Http2Client::connect(stage.gateway.proxy);
    assert_eq!(client.send("GET", "/x", &[], b"").expect("a response").status, 401);
    RawClient::connect(stage.gateway.proxy).end();
    assert_eq!(client.send("GET", "/x", &[], b"").expect("a response").status, 401);
}

#[test]
fn draining_finishes_h2_requests_and_sends_goaway() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.hold(&held);
        echo(exchange)
    });
    let mut stage = Stage::with(Issuer::of(rsa()), upstream, |setup| setup);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let mut idle = RawClient::connect(stage.gateway.proxy);
    assert!(idle.answers_ping());
    let (response, _) = client.open("GET", "/slow", &[("authorization", &bearer(&Token::bot()))], true);
    stage.upstream.wait_for("the request", |all| (!all.is_empty()).then_some(()));
    stage.gateway.terminate();
    let goaway = idle.find(|arrived| arrived.kind == crate::support::http2::GOAWAY).expect("GOAWAY");
    assert_eq!(goaway.code(), Some(0));
    drop(idle);
    gate.open();
    let response = client.wait(async { whole(response.await.expect("a response")).await }).expect("whole");
    assert_eq!(response.status, 200);
    drop(client);
    assert_eq!(stage.gateway.wait_exit(), Some(0));
}

#[test]
fn zero_concurrent_streams_turns_http2_off() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__CONCURRENT_STREAMS", "0"));
    let mut client = Client::connect(stage.gateway.proxy);
    client.send([PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat());
    let response = client.rest();
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 400"), "S46 {response:?}");
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 200);
    assert_eq!(text(&stage.gateway.audit_of("/x"), "decision"), Some("allow"));
}
