//! Requests with the same fields, again and again: most of what is read from them is kept, and each is judged.

use serde_json::json;

use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::Client;

const RULES: &str = "[{name: not-secret, match: {paths: ['/api/secret']}, require: {anyRole: [nobody]}}]";

#[test]
fn requests_with_the_same_fields_are_judged_and_forwarded_alike() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_AUTHORIZATION__RULES", RULES));
    let fields = format!(
        "Host: a.example\r\nAuthorization: {}\r\nX-Forwarded-User: root\r\nX-Other:  kept \r\n\r\n",
        bearer(&Token::user())
    );
    let mut client = Client::connect(stage.gateway.proxy);
    let mut status = |line: &str| {
        client.send(format!("{line} HTTP/1.1\r\n{fields}"));
        client.response().expect("a response").status
    };
    let sent = |path: &str| {
        let fields = stage.upstream.request_to(path).head.headers;
        fields.into_iter().filter(|(name, _)| name != "x-request-id").collect::<Vec<_>>()
    };
    assert_eq!(status("GET /api/0"), 200);
    let first = sent("/api/0");
    assert!(first.contains(&("x-forwarded-user".into(), "ada@open-metadata.org".into())), "{first:?}");
    for at in 1..6 {
        let path = format!("/api/{at}");
        assert_eq!(status(&format!("GET {path}")), 200);
        assert_eq!(sent(&path), first);
        assert_eq!(status("GET /api/secret"), 403);
        assert_eq!(status("GET http://a.example/api/x"), 200);
        let refused = ["GET http://b.example/api/x", "GET /a/%2e%2e/b", "TRACE /api/x"];
        // Each ends its connection.
        for line in refused {
            let mut other = Client::connect(stage.gateway.proxy);
            other.send(format!("{line} HTTP/1.1\r\n{fields}"));
            let expected = if line.starts_with("TRACE") { 405 } else { 400 };
            assert_eq!(other.response().expect("a response").status, expected, "{line}");
        }
    }
}

/// The fields of one request must not be those of another that is almost the same.
#[test]
fn two_callers_take_turns() {
    let stage = Stage::plain(|setup| setup);
    let callers = ["ada", "eve"].map(|name| {
        let email = format!("{name}@open-metadata.org");
        (bearer(&Token::user().claim("email", json!(email))), email)
    });
    let mut client = Client::connect(stage.gateway.proxy);
    for at in 0..8 {
        let (authorization, email) = &callers[at % 2];
        let path = format!("/api/{at}");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {authorization}\r\n\r\n"));
        assert_eq!(client.response().expect("a response").status, 200);
        assert_eq!(stage.upstream.request_to(&path).head.value("x-forwarded-user"), Some(&**email));
    }
}
