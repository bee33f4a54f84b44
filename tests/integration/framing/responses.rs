//! The response to refused bytes, and what happens to the requests before and after them.

use std::io::Write as _;
use std::net::TcpStream;

use crate::support::eventually;
use crate::support::gateway::text;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, NoResponse, Response, request_bytes};

const BAD_TARGET: &str = "Request path is ambiguous or malformed";

/// Checks what every response to refused bytes has in common.
#[track_caller]
fn assert_refused(client: &mut Client, status: u16, message: &str) -> Response {
    let response = client.response().unwrap_or_else(|error| panic!("{status} {message}: {error}"));
    assert_eq!(response.status, status, "{:?}", response.text());
    assert_eq!(response.text(), format!(r#"{{"code":{status},"message":"{message}"}}"#));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("connection"), Some("close"));
    assert!(response.header("x-request-id").is_some_and(|id| !id.is_empty()));
    assert_eq!(response.header("www-authenticate"), None);
    assert_eq!(client.rest(), "", "no response to what follows");
    response
}

/// Checks that there is exactly one audit record for this response.
#[track_caller]
fn assert_recorded(
    stage: &Stage,
    response: &Response,
    reason: &str,
    detail: Option<&str>,
    line: (&str, &str),
) {
    let id = response.header("x-request-id").expect("an id");
    let of_response = || -> Vec<_> {
        stage.gateway.audit().into_iter().filter(|record| text(record, "request_id") == Some(id)).collect()
    };
    eventually("the record", || (!of_response().is_empty()).then_some(()));
    let records = of_response();
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!(text(record, "reason"), Some(reason), "{record}");
    assert_eq!(text(record, "decision"), Some("deny"), "{record}");
    assert_eq!(text(record, "detail"), detail, "{record}");
    assert_eq!((text(record, "method"), text(record, "path")), (Some(line.0), Some(line.1)), "{record}");
    assert_eq!(record["status"], response.status, "{record}");
    assert_eq!(text(record, "source_address"), Some("127.0.0.1"));
}

/// Status, message and reason.
type Refusal = (u16, &'static str, &'static str);
const BAD: Refusal = (400, BAD_TARGET, "bad_target");
const LONG: Refusal = (414, "Request target is too long", "target_too_long");
const LARGE: Refusal = (431, "Request head is too large", "head_too_large");

/// A request head, its refusal, and the detail, method and path in its audit record.
struct RefusedHead(String, Refusal, Option<&'static str>, &'static str, &'static str);

fn refused_heads() -> Vec<RefusedHead> {
    let bad =
        |bytes: &str, detail, method, path| RefusedHead(bytes.to_owned(), BAD, Some(detail), method, path);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9000));
    let large = format!("GET /e HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(70_000));
    let fields: String = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
    let exceeds = Some("it exceeds limits.headerBytes or limits.headerCount");
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    vec![
        bad(
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            r##"target has a fragment: "#" at position 3 of the path"##,
            "GET",
            "/a",
        ),
        bad(
            "GET /b?t=s3cret HTTP/1.1\nHost: a\n\n",
            "a line does not end with CR LF: octet 0x0A at position 25 of line 1",
            "GET",
            "/b",
        ),
        bad(
            "GET http://user:s3cret@a/c HTTP/1.3\r\n\r\n",
            "version is neither HTTP/1.0 nor HTTP/1.1: octet 0x33 at position 35 of line 1",
            "GET",
            "/c",
        ),
        bad("\u{16}\u{3}\u{1}\u{2}", "method is not a token: octet 0x16 at position 1 of line 1", "", ""),
        bad(&"M".repeat(100_000), "method is too long", "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", ""),
        bad(
            &format!("POST /d HTTP/1.1\r\nHost: a\r\n{both}"),
            r#"both Transfer-Encoding and Content-Length: field "Transfer-Encoding" is "chunked""#,
            "POST",
            "/d",
        ),
        RefusedHead(long, LONG, Some("it is longer than limits.targetBytes"), "GET", "/xxx"),
        RefusedHead(large, LARGE, exceeds, "GET", "/e"),
        RefusedHead(format!("GET /f HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), LARGE, exceeds, "GET", "/f"),
    ]
}

#[test]
fn refused_heads_get_a_response_a_record_and_a_count() {
    let stage = Stage::plain(|setup| setup);
    let heads = refused_heads();
    for RefusedHead(bytes, (status, message, reason), detail, method, path) in &heads {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(bytes);
        let response = assert_refused(&mut client, *status, message);
        // Only the beginning of a long path is recorded.
        let path = if *path == "/xxx" { format!("/{}...", "x".repeat(2047)) } else { (*path).to_owned() };
        assert_recorded(&stage, &response, reason, *detail, (method, &path));
    }
    for (_, _, reason) in [BAD, LONG, LARGE] {
        let count = heads.iter().filter(|head| head.1.2 == reason).count() as f64;
        let counted = stage.gateway.metric("metagate_requests_total", &[("reason", reason)]);
        assert!((counted - count).abs() < 0.5, "{reason}: {counted}, not {count}");
    }
    assert_eq!(stage.gateway.audit().len(), heads.len());
    assert!(stage.gateway.audit().iter().all(|record| !record.to_string().contains("s3cret")));
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn slow_head_is_408_and_silence_is_closed_without_a_response() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__HEADER_READ_TIMEOUT", "300ms"));
    let mut client = Client::connect(stage.gateway.proxy);
    client.send("GET /slow?x HTTP/1.1\r\nHost: a\r\n");
    let response = assert_refused(&mut client, 408, "Request did not arrive in time");
    let detail = Some("the head did not arrive in time");
    assert_recorded(&stage, &response, "request_timeout", detail, ("GET", "/slow"));

    let mut silent = Client::connect(stage.gateway.proxy);
    assert_eq!(silent.rest(), "");
    let mut empty = Client::connect(stage.gateway.proxy);
    empty.send("\r\n");
    assert_eq!(empty.rest(), "");
    assert_eq!(stage.gateway.audit().len(), 1, "silence is not a request");
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn stalled_body_is_408() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_UPSTREAM__IDLE_TIMEOUT", "300ms"));
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "POST /stall HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"
    ));
    let response = assert_refused(&mut client, 408, "Request did not arrive in time");
    assert_recorded(&stage, &response, "request_timeout", None, ("POST", "/stall"));
    assert!(stage.upstream.requests().iter().all(|request| !request.complete));
}

#[test]
fn malformed_body_is_400_and_never_completes() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for (name, body) in [
        ("size", "5\r\nhello\r\n 0\r\n\r\n"),
        ("extension", "5\r\nhello\r\n0;\r\n\r\n"),
        ("line", "5\r\nhello\r\n0\r\n\n"),
        ("trailer", "5\r\nhello\r\n0\r\nA\r\n\r\n"),
    ] {
        let mut client = Client::connect(stage.gateway.proxy);
        let inner = format!("GET /inner HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n");
        client.send(format!(
            "POST /{name} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n{body}{inner}"
        ));
        let response = assert_refused(&mut client, 400, BAD_TARGET);
        let detail = Some("the request's body was broken off or framed wrongly, after 5 bytes");
        assert_recorded(&stage, &response, "bad_target", detail, ("POST", &format!("/{name}")));
    }
    assert!(stage.upstream.requests().iter().all(|request| !request.complete));
}

#[test]
fn pipelined_requests_are_decided_independently() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let fields = [("Authorization", token.as_str())];
    let good = |path: &str, body: &[u8]| request_bytes("POST", path, &fields, body);
    let chunked = format!(
        "PUT /chunked HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n"
    );
    for (name, bad, status, message) in [
        ("no token", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 401, "No Authorization header provided"),
        ("garbage", "GARBAGE\r\n\r\n", 400, BAD_TARGET),
        ("LF", "GET /x HTTP/1.1\nHost: a\n\n", 400, BAD_TARGET),
    ] {
        let before = stage.upstream.requests().len();
        let mut client = Client::connect(stage.gateway.proxy);
        let after = good("/after", b"");
        let all = [&good("/one", b"body"), chunked.as_bytes(), &good("/two", b""), bad.as_bytes(), &after];
        client.send(all.concat());
        for _ in 0..3 {
            assert_eq!(client.response().expect(name).status, 200, "{name}");
        }
        let arrived = |count: usize| stage.upstream.requests().len() == before + count;
        if status == 401 {
            assert_eq!(client.response().expect(name).status, status, "{name}");
            assert_eq!(client.response().expect(name).status, 200, "{name}");
            assert!(arrived(4), "{name}");
        } else {
            assert_refused(&mut client, status, message);
            assert!(arrived(3), "{name}");
        }
    }
    for request in stage.upstream.requests() {
        assert!(["/one", "/chunked", "/two", "/after"].contains(&request.head.target()));
        assert_eq!(request.head.problems, Vec::<String>::new());
        assert_eq!(request.head.value("x"), None);
    }
}

#[test]
fn requests_sent_byte_by_byte_are_parsed_the_same() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let chunked = format!(
        "POST /slow HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\n\r\n"
    );
    let twice = [chunked.as_bytes(), &request_bytes("POST", "/next", &[("Authorization", &token)], b"body")];
    let bytes = twice.concat();
    let socket = TcpStream::connect(stage.gateway.proxy).expect("a connection");
    socket.set_nodelay(true).expect("no delay");
    let mut client = Client::of(socket.try_clone().expect("a second handle"));
    for byte in bytes.chunks(1) {
        (&socket).write_all(byte).expect("a written byte");
    }
    for _ in 0..2 {
        assert_eq!(client.response().expect("a response").status, 200);
    }
    let bodies: Vec<_> = stage.upstream.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [b"hello".to_vec(), b"body".to_vec()]);

    let mut client = Client::connect(stage.gateway.proxy);
    for byte in b"GET /x HTTP/1.1\r\nHost: a\n".chunks(1) {
        client.send(byte);
    }
    assert_refused(&mut client, 400, BAD_TARGET);
}

#[test]
fn refusal_can_be_read_while_the_client_still_sends() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let large = vec![b'x'; 1 << 20];
    for (name, head, status) in [
        ("head", "GET /#".to_owned(), 400),
        ("too long", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n".to_owned(), 401),
        (
            "chunk",
            format!(
                "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n;"
            ),
            400,
        ),
    ] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(&head).send(&large);
        let response = client.response().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((response.status, response.header("connection")), (status, Some("close")), "{name}");
        assert_eq!(client.rest(), "", "{name}");
    }
    // A body within the limit is discarded, and the connection stays open.
    let mut client = Client::connect(stage.gateway.proxy);
    for _ in 0..2 {
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n").send(&large);
        let response = client.response().expect("a response");
        assert_eq!((response.status, response.header("connection")), (401, None));
    }
}

#[test]
fn expect_100_continue_gets_a_100_or_the_refusal() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let fields = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!("POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n{fields}\r\n"));
    let (status, _) = client.response_head().expect("an interim response");
    assert_eq!(status, 100);
    client.send("hello");
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(stage.upstream.only_request().body, b"hello");

    for bad in
        ["POST /x#y HTTP/1.1\r\nHost: a\r\n", "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n"]
    {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("{bad}{fields}\r\n"));
        assert_refused(&mut client, 400, BAD_TARGET);
    }
}

#[test]
fn http_1_0_and_head_requests_are_served() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    for _ in 0..2 {
        client.send(format!(
            "GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nAuthorization: {token}\r\n\r\n"
        ));
        assert_eq!(client.response().expect("a response").status, 200, "the connection stays open");
    }
    client.send(format!("GET /x HTTP/1.0\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(client.rest(), "");

    let mut client = Client::connect(stage.gateway.proxy);
    for _ in 0..2 {
        client.send(request_bytes("HEAD", "/x", &[("Authorization", &token)], b""));
        assert_eq!(client.response_to("HEAD").expect("a response").status, 200);
    }
    client.send("HEAD /x#y HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response_to("HEAD").expect("a response");
    assert_eq!((response.status, response.header("connection")), (400, Some("close")));
    assert_eq!(client.rest(), "", "a refused HEAD has no body either");
}

#[test]
fn requests_after_a_declined_upgrade_are_authorized() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let upgrade = format!(
        "GET /ws HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nConnection: Upgrade\r\nUpgrade: made-up\r\n\r\n"
    );
    let next = request_bytes("GET", "/next", &[("Authorization", &token)], b"");
    let mut client = Client::connect(stage.gateway.proxy);
    client.send([upgrade.as_bytes(), &next, b"GET /x#y HTTP/1.1\r\n"].concat());
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(client.response().expect("a response").status, 200);
    assert_refused(&mut client, 400, BAD_TARGET);
    assert!(matches!(client.response(), Err(NoResponse::Closed)));
}
