//! Octets that RFC 3986 does not allow in a query, but that clients send unescaped.

use crate::support::gateway::Setup;
use crate::support::http2::{
    END_HEADERS, END_STREAM, HEADERS, Http2Stub, RawClient, StubOptions, echo, frame, literals,
};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::Client;

const QUERY: &str = r#"q="a"<b>\|^`{}[]&%22=""#;

const RULES: &str = r#"
authentication: {publicKeyUrls: [ISSUER/jwks]}
authorization:
  default: allow
  rules:
    - {name: quoted, match: {query: {q: ['"a"<b>*']}}, action: deny}
    - {name: fields, match: {paths: [/graphql], graphql: {fields: [secrets]}}, action: deny}
"#;

/// Sends a GET over HTTP/2 byte for byte, and returns the status.
fn get_over_http2(client: &mut RawClient, stream: u32, target: &str, token: &str) -> String {
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", target),
        (":authority", "gateway.test"),
        ("authorization", token),
    ];
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &literals(&fields)));
    let response =
        client.find(|arrived| arrived.kind == HEADERS && arrived.stream == stream).expect("a response");
    match response.payload[0] & 0x7f {
        8 => "200".to_owned(),
        12 => "400".to_owned(),
        _ => format!("{:?}", &response.payload[..8]),
    }
}

#[test]
fn a_query_is_forwarded_byte_for_byte() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::user());
    for (number, start) in ["", "http://gateway.test"].iter().enumerate() {
        let target = format!("/{number}?{QUERY}");
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!(
            "GET {start}{target} HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: {token}\r\n\r\n"
        ));
        assert_eq!(client.response().expect("a response").status, 200, "{start}");
        stage.upstream.request_to(&target);
    }
    let target = format!("/http2?{QUERY}");
    let mut client = RawClient::connect(stage.gateway.proxy);
    assert_eq!(get_over_http2(&mut client, 1, &target, &token), "200");
    stage.upstream.request_to(&target);
    // A stand-in that a client sends itself is refused.
    assert_eq!(get_over_http2(&mut client, 3, "/http2?\u{a2}", &token), "400");
}

#[test]
fn rules_and_graphql_read_the_bytes_that_are_forwarded() {
    let stage = Stage::configured(Issuer::of(rsa()), RULES);
    let token = bearer(&Token::user());
    let status = |target: &str| {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
        client.response().expect("a response").status
    };
    for target in [r#"/a?q="a"<b>c"#, "/a?q=%22a%22%3Cb%3Ec", r#"/a?q="a"%3Cb>"#] {
        assert_eq!(status(target), 403, "{target}");
        let mut client = RawClient::connect(stage.gateway.proxy);
        assert_ne!(get_over_http2(&mut client, 1, target, &token), "200", "{target} over HTTP/2");
    }
    assert_eq!(status(r#"/a?q="a"b"#), 200);
    assert_eq!(status(r#"/graphql?query={secrets(a:"<b>")}"#), 403);
    assert_eq!(status(r#"/graphql?query={names(a:"secrets>")}"#), 200);
}

/// hyper writes the target from a URI, which does not accept three of these octets.
#[test]
fn over_http2_to_the_backend_three_octets_are_percent_encoded() {
    let stub = Http2Stub::start(StubOptions::default(), echo);
    let issuer = Issuer::of(rsa());
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
        .env("METAGATE_UPSTREAM__URL", stub.url())
        .env("METAGATE_UPSTREAM__PROTOCOL", "http2")
        .start();
    gateway.wait_ready();
    let token = bearer(&Token::user());
    for (number, (query, sent)) in
        [(r"\|^`{}", r"\|^`{}"), (r#"q="a"&r=<b>"#, "q=%22a%22&r=%3Cb%3E"), (r#"q=%22%3c""#, "q=%22%3c%22")]
            .into_iter()
            .enumerate()
    {
        let mut client = Client::connect(gateway.proxy);
        client.send(format!("GET /{number}?{query} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
        assert_eq!(client.response().expect("a response").status, 200, "{query}");
        assert_eq!(stub.head_of(&format!("/{number}")).uri.query(), Some(sent));
    }
}

#[test]
fn a_dot_at_the_end_of_a_host_is_not_forwarded() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::user());
    for (number, (host, forwarded)) in
        [("a.example.", "a.example"), ("A.example.:80", "A.example:80")].into_iter().enumerate()
    {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n"));
        assert_eq!(client.response().expect("a response").status, 200, "{host}");
        let request = stage.upstream.request_to(&format!("/{number}"));
        assert_eq!(request.head.values("host"), [forwarded]);
        assert_eq!(request.head.values("x-forwarded-host"), [forwarded]);
    }
}
