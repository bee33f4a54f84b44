//! A failing upstream: each failure has its status, and none looks like a complete response.

use std::net::TcpListener;

use crate::support::gateway::text;
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{Client, NoResponse, Response, request_bytes};

fn stage(upstream: Upstream) -> Stage {
    Stage::with(Issuer::of(keys::rsa()), upstream, |setup| setup)
}

#[track_caller]
fn assert_fault(stage: &Stage, response: &Response, path: &str, status: u16, reason: &str, message: &str) {
    assert_eq!(response.text(), format!(r#"{{"code":{status},"message":"{message}"}}"#));
    assert_eq!(response.status, status);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("www-authenticate"), None);
    assert!(response.header("x-request-id").is_some());
    let record = stage.gateway.audit_of(path);
    assert_eq!(text(&record, "reason"), Some(reason), "{record}");
    assert_eq!(record["status"], status, "{record}");
}

/// An address that nothing listens on.
pub(crate) fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn unreachable_upstream_is_a_502_only_with_a_valid_token() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__URL", closed_port()));
    let response = stage.gateway.get_as(&Token::bot(), "/a");
    assert_fault(&stage, &response, "/a", 502, "upstream_unreachable", "Backend is unreachable");
    assert_eq!(stage.gateway.get("/b", &[]).status, 401, "the token is checked first");
}

#[test]
fn malformed_upstream_response_is_a_502() {
    let nonsense = [
        "garbage\r\n\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for bytes in nonsense {
        let stage = stage(Upstream::scripted(move |exchange| {
            exchange.send(bytes)?;
            Ok(Next::Close)
        }));
        let response = stage.gateway.get_as(&Token::bot(), "/a");
        assert_fault(&stage, &response, "/a", 502, "upstream_protocol", "Backend sent a broken answer");
    }
}

#[test]
fn upstream_that_closes_without_a_response_is_a_502() {
    let stage = stage(Upstream::scripted(|exchange| {
        exchange.read_body()?;
        Ok(Next::Close)
    }));
    let response = stage.gateway.get_as(&Token::bot(), "/a");
    assert_eq!(response.status, 502, "{}", response.text());
    assert_eq!(response.json()["code"], 502);
}

#[test]
fn silent_upstream_is_a_504_after_the_timeout() {
    let gate = Gate::default();
    let upstream = Upstream::scripted(move |exchange| {
        exchange.hold(&gate);
        Ok(Next::Close)
    });
    let stage = Stage::with(Issuer::of(keys::rsa()), upstream, |setup| {
        setup.env("METAGATE_UPSTREAM__RESPONSE_TIMEOUT", "1s")
    });
    let response = stage.gateway.get_as(&Token::bot(), "/a");
    assert_fault(&stage, &response, "/a", 504, "upstream_timeout", "Backend did not answer in time");
    assert_eq!(stage.upstream.requests().len(), 1, "sent only once");
}

#[test]
fn upstream_failure_within_a_body_truncates_the_response() {
    for (name, bytes) in [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
        ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n"),
        ("within a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this"),
        (
            "an invalid chunk size",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n",
        ),
    ] {
        let stage = stage(Upstream::scripted(move |exchange| {
            exchange.send(bytes)?;
            Ok(Next::Close)
        }));
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(request_bytes("GET", "/cut", &[("Authorization", &bearer(&Token::bot()))], b""));
        match client.response() {
            Err(NoResponse::Cut(_) | NoResponse::Closed) => {}
            Ok(response) if response.status == 502 => {}
            other => panic!("A14 {name}: {other:?}"),
        }
        let record = stage.gateway.audit_of("/cut");
        assert!(record["status"].is_number(), "{record}");
    }
}

#[test]
fn closed_idle_upstream_connections_are_replaced() {
    let stage = stage(Upstream::echo());
    let token = Token::bot();
    for round in 0..5 {
        assert_eq!(stage.gateway.get_as(&token, &format!("/{round}")).status, 200, "A15");
        stage.upstream.close_connections();
    }
    let targets: Vec<_> = stage.upstream.requests().iter().map(|r| r.head.target().to_owned()).collect();
    assert_eq!(targets, ["/0", "/1", "/2", "/3", "/4"], "each exactly once");
}

#[test]
fn request_with_a_body_is_never_retried() {
    // Responds to the first request of a connection and closes it on the second.
    let stage = stage(Upstream::scripted(|exchange| {
        exchange.read_body()?;
        if exchange.request.head.target() == "/first" { echo(exchange) } else { Ok(Next::Close) }
    }));
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    let fields = [("Authorization", token.as_str())];
    client.send(request_bytes("GET", "/first", &fields, b""));
    assert_eq!(client.response().expect("a response").status, 200);
    client.send(request_bytes("POST", "/post", &fields, b"{}"));
    assert_eq!(client.response().expect("a response").status, 502);
    let count = |target: &str| stage.upstream.requests().iter().filter(|r| r.head.target() == target).count();
    assert_eq!(count("/post"), 1);

    client.send(request_bytes("GET", "/first", &fields, b""));
    assert_eq!(client.response().expect("a response").status, 200);
    client.send(request_bytes("GET", "/get", &fields, b""));
    assert_eq!(client.response().expect("a response").status, 502);
    assert!((1..=2).contains(&count("/get")), "at most one retry: {}", count("/get"));
}

#[test]
fn request_is_not_repeated_once_a_byte_of_a_response_has_arrived() {
    let stage = stage(Upstream::scripted(|exchange| {
        exchange.read_body()?;
        match exchange.request.head.target() {
            "/first" => return echo(exchange),
            "/head" => exchange.send("HTTP/1.1 2")?,
            _ => exchange.send("HTTP/1.1 100 Continue\r\n\r\n")?,
        }
        Ok(Next::Close)
    }));
    for target in ["/head", "/interim"] {
        assert_eq!(stage.gateway.get_as(&Token::bot(), "/first").status, 200);
        assert_eq!(stage.gateway.get_as(&Token::bot(), target).status, 502, "{target}");
        let sent = stage.upstream.requests().iter().filter(|request| request.head.target() == target).count();
        assert_eq!(sent, 1, "{target}");
    }
}

#[test]
fn bytes_after_an_upstream_response_are_discarded() {
    let stage = stage(Upstream::scripted(|exchange| {
        exchange.read_body()?;
        if exchange.request.head.target() == "/poison" {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")?;
            return Ok(Next::KeepOpen);
        }
        echo(exchange)
    }));
    let token = Token::bot();
    for round in 0..5 {
        assert_eq!(stage.gateway.get_as(&token, "/poison").text(), "ok", "S24");
        let target = format!("/{round}");
        assert_eq!(stage.gateway.get_as(&token, &target).json()["target"], target, "S24");
    }
}

#[test]
fn response_to_the_client_has_exactly_one_framing() {
    for (bytes, body) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            "hi",
        ),
        ("HTTP/1.0 200 OK\r\n\r\nuntil close", "until close"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
        ),
    ] {
        let stage = stage(Upstream::scripted(move |exchange| {
            exchange.send(bytes)?;
            Ok(Next::Close)
        }));
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(request_bytes("GET", "/x", &[("Authorization", &bearer(&Token::bot()))], b""));
        // The test client rejects a response with two framings.
        match client.response() {
            Ok(response) if response.status == 502 => {
                assert!(bytes.contains("Content-Length: 3"), "{bytes:?}")
            }
            Ok(response) => {
                assert_eq!(response.text(), body, "{bytes:?}");
                let start = &response.head.start;
                assert!(start.starts_with("HTTP/1.1 "), "{start} was not written by the gateway");
            }
            Err(error) => panic!("{bytes:?}: {error}"),
        }
    }
}

#[test]
fn ambiguous_upstream_framing_is_a_502() {
    for (fields, body) in [
        ("Content-Length: 2\r\nContent-Length: 3\r\n", "hi!"),
        ("Content-Length: 2, 3\r\n", "hi!"),
        ("Content-Length: 2, 02\r\n", "hi"),
        // Only chunked is decoded: the rest would be forwarded without naming its coding.
        ("Transfer-Encoding: gzip, chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"),
        ("Transfer-Encoding: gzip\r\n", "hi"),
    ] {
        let stage = stage(Upstream::scripted(move |exchange| {
            exchange.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}"))?;
            Ok(Next::Close)
        }));
        assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 502, "{fields:?}");
    }
}

#[test]
fn a_length_that_the_backend_repeats_is_forwarded_once() {
    for fields in ["Content-Length: 2\r\nContent-Length: 2\r\n", "Content-Length: 2, 2\r\n"] {
        let stage = stage(Upstream::scripted(move |exchange| {
            exchange.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\nhi"))?;
            Ok(Next::KeepOpen)
        }));
        for _ in 0..2 {
            let response = stage.gateway.get_as(&Token::bot(), "/x");
            assert_eq!((response.status, response.text().as_str()), (200, "hi"), "{fields:?}");
            assert_eq!(response.head.values("content-length"), ["2"], "{fields:?}");
        }
        assert_eq!(stage.upstream.connections(), 1, "{fields:?}");
    }
}

#[test]
fn the_number_of_fields_of_a_response_is_limited_as_configured() {
    let respond = |count: usize| {
        Upstream::scripted(move |exchange| {
            let fields: String = (0..count - 1).map(|number| format!("X-{number}: a\r\n")).collect();
            exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nhi"))?;
            Ok(Next::Close)
        })
    };
    for (count, limit, status) in [(300, None, 200), (300, Some("300"), 200), (301, Some("300"), 502)] {
        let stage = Stage::with(Issuer::of(keys::rsa()), respond(count), |setup| match limit {
            Some(limit) => setup.env("METAGATE_LIMITS__RESPONSE_FIELDS", limit),
            None => setup,
        });
        let response = stage.gateway.get_as(&Token::bot(), "/x");
        assert_eq!(response.status, status, "{count} {limit:?}");
        if status == 200 {
            assert_eq!(response.header(&format!("x-{}", count - 2)), Some("a"));
        } else {
            let record = stage.gateway.audit_of("/x");
            assert!(text(&record, "detail").is_some_and(|text| text.contains("limits.responseFields")));
        }
    }
}

#[test]
fn upstream_heads_that_can_be_read_in_two_ways_are_a_502() {
    for head in [
        "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\n",
        "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 02\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n",
    ] {
        let stage = stage(Upstream::scripted(move |exchange| {
            exchange.send(format!("{head}hi"))?;
            Ok(Next::Close)
        }));
        assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 502, "{head:?}");
    }
}
