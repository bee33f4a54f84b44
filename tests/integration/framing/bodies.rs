//! Content-Length, Transfer-Encoding and chunks. Case ids are those of the attack catalogue.

use super::Expect::{Broken, Refused, Tolerated};
use super::{Case, assert_all, case};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::Client;

/// A POST with these framing fields and this body.
fn post(name: &str, fields: &str, body: &str, expect: super::Expect) -> Case {
    case(
        format!("{name} {fields:?}"),
        format!("POST /x HTTP/1.1\r\nHost: a\r\nTOKEN{fields}\r\n{body}"),
        expect,
    )
}

const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

#[test]
fn content_length_with_transfer_encoding_is_refused() {
    assert_all(&[
        post("S01", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG", Refused),
        post(
            "S02",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            "5c\r\nGPOST / HTTP/1.1\r\n\r\n",
            Refused,
        )
        .half_closed(),
        post("S01", "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", HELLO, Refused),
        post("S01", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", HELLO, Refused),
    ]);
}

#[test]
fn connection_closes_after_a_request_with_two_framings() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let inner = format!("GET /inner HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n");
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!(
            "POST /outer HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n{fields}\r\n0\r\n\r\n{inner}"
        ));
        assert_eq!(client.response().expect("a response").status, 400);
        assert_eq!(client.rest(), "", "S01 {fields:?}: the connection stays open");
    }
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    let mut cases = Vec::new();
    for (id, fields) in [
        ("S03", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        ("S03", "Transfer-Encoding: chunked\r\nTransfer-Encoding: xchunked\r\n"),
        ("S03", "Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n"),
        ("S03", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        ("S04", "Transfer-Encoding: chunked, chunked\r\n"),
        ("S04", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("S05", "Transfer-Encoding: , chunked\r\n"),
        ("S05", "Transfer-Encoding: ,chunked\r\n"),
        ("S05", "Transfer-Encoding: chunked,\r\n"),
        ("S05", "Transfer-Encoding: chunked;x=1\r\n"),
        ("S05", "Transfer-Encoding: \"chunked\"\r\n"),
        ("S05", "Transfer-Encoding: \u{b}chunked\r\n"),
        ("S05", "Transfer-Encoding: chunked\u{c}\r\n"),
        ("S05", "Transfer-Encoding: chu nked\r\n"),
        ("S05", "Transfer-Encoding:\r\n"),
        ("S07", "Transfer-Encoding: chunked, gzip\r\n"),
        ("S07", "Transfer-Encoding: gzip\r\n"),
        ("S07", "Transfer-Encoding: xchunked\r\n"),
        ("S07", "Transfer-Encoding: gzip, chunked\r\n"),
        ("S07", "Transfer-Encoding: identity, chunked\r\n"),
        ("S07", "Transfer-Encoding: identity\r\n"),
        ("S14", "Transfer-Encoding:\r\n chunked\r\n"),
        ("S15", "Transfer-Encoding : chunked\r\n"),
    ] {
        cases.push(post(id, fields, HELLO, Refused));
    }
    for fields in ["Transfer-Encoding: Chunked\r\n", "transfer-encoding:\tchunked \r\n"] {
        cases.push(post("S05", fields, HELLO, Tolerated("case and outer white space are not significant")));
    }
    for fields in
        ["Transfer_Encoding: chunked\r\n", "Content_Length: 5\r\n", "Transfer.Encoding: chunked\r\n"]
    {
        cases.push(post("S20", fields, "", Refused));
    }
    let fields = "X-Transfer-Encoding: chunked\r\n";
    cases.push(post("S20", fields, "", Tolerated("another field's name is not framing")));
    cases.push(case(
        "S06",
        format!("POST / HTTP/1.0\r\nHost: a\r\nTOKENTransfer-Encoding: chunked\r\n\r\n{HELLO}"),
        Refused,
    ));
    assert_all(&cases);
}

#[test]
fn invalid_content_lengths_are_refused() {
    let mut cases = Vec::new();
    for length in [
        "+5",
        "-1",
        "-0",
        "0x5",
        "5_0",
        "5.0",
        "1e1",
        "",
        "5,",
        ",5",
        "5;",
        "five",
        "5 5",
        "18446744073709551616",
        "99999999999999999999",
        "05",
        "00",
        "0005",
        "\u{b2}",
        "5, 6",
        "5, 5",
    ] {
        cases.push(post("S08, S09", &format!("Content-Length: {length}\r\n"), "hello", Refused));
    }
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 6\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-length: 0\r\n",
        "Content-Length : 5\r\n",
        "Content-Length:\r\n 5\r\n",
    ] {
        cases.push(post("S08, S14, S15", fields, "hello!", Refused));
    }
    cases.push(post("S08", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello", Refused));
    cases.push(post(
        "S09",
        "Content-Length:   5  \r\n",
        "hello",
        Tolerated("outer white space is not significant"),
    ));
    assert_all(&cases);
}

#[test]
fn malformed_chunks_are_refused() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    let broken = |body: &str| {
        let shown: String = body.chars().take(40).collect();
        post(&format!("S16-S18 {shown:?}"), chunked, body, Broken).half_closed()
    };
    let mut cases: Vec<Case> = [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "11111111111111111\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n",
        "5\r\nhel",
        "5\r\nhello\r\n0\r\n",
        "5\r\rhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;@\r\nhello\r\n0\r\n\r\n",
        "5;a\0\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5;a=b c\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
    ]
    .into_iter()
    .map(broken)
    .collect();
    cases.push(broken(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(64 * 1024))));
    cases.push(broken("2\r\r;a\r\nhi\r\n0\r\n\r\n"));
    for body in ["5;a=b\r\nhello\r\n0\r\n\r\n", "5;a=\"b;\\\"c\";d\r\nhello\r\n0;e\r\n\r\n"] {
        let tolerated = Tolerated("extensions are ignored (RFC 9112 section 7.1.1) and not forwarded");
        cases.push(post(&format!("S16 {body:?}"), chunked, body, tolerated));
    }
    assert_all(&cases);
}

#[test]
fn chunk_extensions_are_not_forwarded() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n5;evil=ext\r\nhello\r\n0;last\r\n\r\n"
    ));
    let _ = client.response();
    for connection in 0..stage.upstream.connections() {
        let raw = String::from_utf8_lossy(&stage.upstream.raw(connection)).into_owned();
        assert!(!raw.contains("evil") && !raw.contains("last"), "S16 {raw}");
    }
}
