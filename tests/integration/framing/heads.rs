//! Request lines, field lines and sizes. Case ids are those of the attack catalogue.

use super::Expect::{Refused, Tolerated};
use super::{Case, assert_all, case};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::Client;

#[test]
fn malformed_line_ends_and_field_lines_are_refused() {
    let mut cases = vec![
        without_carriage_returns(case(
            "S12 LF throughout",
            "GET /x HTTP/1.1\r\nHost: a\r\nTOKEN\r\n",
            Refused,
        )),
        case("S12 LF after one field", "GET /x HTTP/1.1\r\nHost: a\nX: y\r\nTOKEN\r\n", Refused),
        case("S12 LF after the request line", "GET /x HTTP/1.1\nHost: a\r\nTOKEN\r\n", Refused),
        case("S12 LF at the end", "GET /x HTTP/1.1\r\nHost: a\r\nTOKEN\n", Refused),
        case("S12 LF before", "\nGET /x HTTP/1.1\r\nHost: a\r\nTOKEN\r\n", Refused),
        case(
            "S22 ten empty lines before",
            "\r\n".repeat(10) + "GET /x HTTP/1.1\r\nHost: a\r\nTOKEN\r\n",
            Refused,
        ),
        case(
            "S22 two empty lines before",
            "\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\nTOKEN\r\n",
            Tolerated("RFC 9112 section 2.2: servers skip empty lines before a request line"),
        ),
    ];
    for (name, bytes) in [
        ("S13 bare CR", "GET /x HTTP/1.1\rHost: a\r\nTOKEN\r\n"),
        ("S13 CR in a value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\nTOKEN\r\n"),
        ("S14 folded", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\nTOKEN\r\n"),
        ("S14 folded with a tab", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\nTOKEN\r\n"),
        ("S14 folded first", "GET /x HTTP/1.1\r\n Host: a\r\nTOKEN\r\n"),
        ("S15 space before the colon", "GET /x HTTP/1.1\r\nHost: a\r\nX : a\r\nTOKEN\r\n"),
        ("S15 tab before the colon", "GET /x HTTP/1.1\r\nHost: a\r\nX\t: a\r\nTOKEN\r\n"),
        ("S20 no colon", "GET /x HTTP/1.1\r\nHost: a\r\nX\r\nTOKEN\r\n"),
        ("S20 no name", "GET /x HTTP/1.1\r\nHost: a\r\n: a\r\nTOKEN\r\n"),
        ("S20 a bracket in a name", "GET /x HTTP/1.1\r\nHost: a\r\nX[0]: a\r\nTOKEN\r\n"),
        ("S20 a space in a name", "GET /x HTTP/1.1\r\nHost: a\r\nX Y: a\r\nTOKEN\r\n"),
        ("S20 NUL in a name", "GET /x HTTP/1.1\r\nHost: a\r\nX\0: a\r\nTOKEN\r\n"),
        ("S20 a name that is not ASCII", "GET /x HTTP/1.1\r\nHost: a\r\nXé: a\r\nTOKEN\r\n"),
        (
            "S20 look-alike of a framing field",
            "GET /x HTTP/1.1\r\nHost: a\r\nTransfer---Encoding: chunked\r\nTOKEN\r\n",
        ),
        ("S20 the same with a per cent sign", "GET /x HTTP/1.1\r\nHost: a\r\nContent%Length: 5\r\nTOKEN\r\n"),
        (
            "S20 the same without a hyphen",
            "GET /x HTTP/1.1\r\nHost: a\r\nTransferEncoding: chunked\r\nTOKEN\r\n",
        ),
        ("S20 look-alike of Host", "GET /x HTTP/1.1\r\nHost: a\r\nHo-st: b\r\nTOKEN\r\n"),
        ("H09 NUL in a value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\nTOKEN\r\n"),
        ("H09 DEL in a value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\u{7f}b\r\nTOKEN\r\n"),
        ("H09 a control in a value", "GET /x HTTP/1.1\r\nHost: a\r\nX: a\u{1}b\r\nTOKEN\r\n"),
        ("H11 a vertical tab before a name", "GET /x HTTP/1.1\r\nHost: a\r\n\u{b}X: a\r\nTOKEN\r\n"),
    ] {
        cases.push(case(name, bytes, Refused));
    }
    assert_all(&cases);
}

/// The same case with bare LF line ends.
fn without_carriage_returns(mut case: Case) -> Case {
    case.bytes.retain(|byte| *byte != b'\r');
    case
}

#[test]
fn malformed_request_lines_are_refused() {
    let mut cases = Vec::new();
    for line in [
        "GET /x HTTP/9.9",
        "GET /x HTTP/1.2",
        "GET /x HTTP/01.1",
        "GET /x HTTP/1.",
        "GET /x http/1.1",
        "GET /x HTTP/2.0",
        "GET /x HTTP/0.9",
        "GET /x",
        "GET  /x HTTP/1.1",
        "GET /x  HTTP/1.1",
        " GET /x HTTP/1.1",
        "GET\t/x\tHTTP/1.1",
        "GET /x HTTP/1.1 ",
        "GET /x y HTTP/1.1",
        "GET/x HTTP/1.1",
        "GET HTTP/1.1",
        "/x HTTP/1.1",
        "get /x HTTP/1.1",
        "Get /x HTTP/1.1",
        "G@T /x HTTP/1.1",
        "G\"T /x HTTP/1.1",
        "",
    ] {
        cases.push(case(format!("S22 {line:?}"), format!("{line}\r\nHost: a\r\nTOKEN\r\n"), Refused));
    }
    for method in ["TRACE", "TRACK", "CONNECT"] {
        cases.push(case(
            format!("P20 {method}"),
            format!("{method} /x HTTP/1.1\r\nHost: a\r\nTOKEN\r\n"),
            Refused,
        ));
    }
    assert_all(&cases);
}

#[test]
fn heads_over_the_limits_are_refused() {
    let large = "x".repeat(100 * 1024);
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let mut cases: Vec<Case> = vec![
        case("S26 target", format!("GET /{large} HTTP/1.1\r\nHost: a\r\nTOKEN\r\n"), Refused),
        case("S26 value", format!("GET /x HTTP/1.1\r\nHost: a\r\nTOKENX: {large}\r\n\r\n"), Refused),
        case("S26 name", format!("GET /x HTTP/1.1\r\nHost: a\r\nTOKEN{large}: y\r\n\r\n"), Refused),
        case(
            "S26 method",
            format!("{} /x HTTP/1.1\r\nHost: a\r\nTOKEN\r\n", "A".repeat(100 * 1024)),
            Refused,
        ),
    ];
    for count in [101, 120, 10_000] {
        let bytes = format!("GET /x HTTP/1.1\r\nHost: a\r\nTOKEN{}\r\n", fields(count));
        cases.push(case(format!("S26 {count} fields"), bytes, Refused));
    }
    assert_all(&cases);
}

#[test]
fn heads_within_the_limits_pass() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let fields: String = (0..95).map(|n| format!("X-{n}: y\r\n")).collect();
    let large = "x".repeat(40 * 1024);
    for extra in [fields, format!("X: {large}\r\n")] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n{extra}\r\n"));
        assert_eq!(client.response().expect("a response").status, 200);
    }
}

#[test]
fn unknown_expectation_is_not_forwarded() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nExpect: 200-ok\r\n\r\n"));
    let status = client.response().expect("a response").status;
    assert!([200, 400, 417].contains(&status), "S25 {status}");
    for request in stage.upstream.requests() {
        assert_eq!(request.head.value("expect"), None, "S25");
    }
}

#[test]
fn unknown_upgrade_is_not_forwarded() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: made-up\r\n",
        "Upgrade: h2c, websocket\r\n",
    ] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n{fields}\r\n"));
        let status = client.response().expect("a response").status;
        assert!([200, 400, 501].contains(&status), "S43 {status}");
    }
    for request in stage.upstream.requests() {
        for name in ["upgrade", "http2-settings"] {
            assert_eq!(request.head.value(name), None, "S43 {name}");
        }
    }
}
