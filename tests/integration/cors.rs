//! Web applications of other origins.

use crate::support::gateway::{Gateway, text};
use crate::support::http2::Http2Client;
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::Next;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, Response, get, request_bytes, send};

const APP: (&str, &str) = ("Origin", "https://app.example");
const ASKS: (&str, &str) = ("Access-Control-Request-Method", "PUT");
const CORS: &str = "METAGATE_CORS__ALLOW_ORIGINS";

fn stage() -> Stage {
    Stage::plain(|setup| setup.env(CORS, "[https://app.example]"))
}

fn options(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Response {
    send(gateway.proxy, "OPTIONS", target, headers, b"")
}

fn all<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    response.head.values(name)
}

#[test]
fn preflights_from_allowed_origins_are_answered_without_a_token() {
    let stage = stage();
    let response = options(&stage.gateway, "/api/v1/tables", &[APP, ASKS]);
    assert_eq!((response.status, response.body.len()), (204, 0));
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("access-control-allow-headers", "Authorization, Content-Type"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(all(&response, name), [value], "{name}");
    }
    assert_eq!(response.header("access-control-allow-credentials"), None);
    let record = stage.gateway.audit_of("/api/v1/tables");
    assert_eq!((text(&record, "decision"), text(&record, "method")), (Some("preflight"), Some("OPTIONS")));
    assert_eq!(stage.gateway.metric("metagate_requests_total", &[("decision", "preflight")]), 1.0);

    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    let fields = [("origin", APP.1), ("access-control-request-method", "PUT")];
    let response = http2.send("OPTIONS", "/http2", &fields, b"").expect("a response");
    assert_eq!((response.status, response.header("access-control-allow-origin")), (204, Some(APP.1)));
    assert_eq!(stage.upstream.requests().len(), 0, "nothing is forwarded");
}

/// Whatever else looks like a preflight is authorized like every other request.
#[test]
fn other_options_requests_go_the_usual_way() {
    let stage = stage();
    for headers in [
        &[APP][..],
        &[ASKS],
        &[("Origin", "https://evil.example"), ASKS],
        &[("Origin", "null"), ASKS],
        &[APP, APP, ASKS],
        &[APP, ASKS, ASKS],
    ] {
        assert_eq!(options(&stage.gateway, "/usual", headers).status, 401, "{headers:?}");
    }
    for target in ["/a/../b", "/%2e%2e/b", "/a%00"] {
        assert_eq!(options(&stage.gateway, target, &[APP, ASKS]).status, 400, "{target}");
    }
    let token = bearer(&Token::bot());
    let response = options(&stage.gateway, "/usual", &[APP, ("Authorization", &token)]);
    assert_eq!(response.status, 200, "no method is asked for: the backend answers");
    assert_eq!(stage.upstream.requests().len(), 1);
}

#[test]
fn a_preflight_with_a_body_does_not_desynchronize_the_connection() {
    let stage = stage();
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes("OPTIONS", "/body", &[APP, ASKS], b"GET /smuggled HTTP/1.1\r\n\r\n"));
    client.send(request_bytes("GET", "/next", &[("Authorization", &bearer(&Token::bot()))], b""));
    assert_eq!(client.response_to("OPTIONS").expect("a response").status, 204);
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(stage.upstream.requests().len(), 1);
}

#[test]
fn an_application_can_read_refusals() {
    let stage = Stage::plain(|setup| {
        setup.env(CORS, "[https://app.example]").env("METAGATE_CORS__ALLOW_CREDENTIALS", "true")
    });
    let refused = stage.gateway.get("/x", &[APP]);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), Some(APP.1));
    assert_eq!(refused.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(refused.header("access-control-expose-headers"), Some("WWW-Authenticate, X-Request-Id"));
    assert_eq!(refused.header("vary"), Some("Origin"));
    let other = stage.gateway.get("/x", &[("Origin", "https://evil.example")]);
    assert_eq!((other.status, other.header("access-control-allow-origin")), (401, None));
    assert_eq!(
        (other.header("access-control-allow-credentials"), other.header("vary")),
        (None, Some("Origin"))
    );
}

/// A backend with CORS fields of its own.
fn open_backend() -> Upstream {
    Upstream::scripted(|exchange| {
        exchange.send(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n\
             Access-Control-Allow-Credentials: true\r\nVary: Accept\r\n\r\nok",
        )?;
        Ok(Next::KeepOpen)
    })
}

#[test]
fn the_fields_of_the_backend_are_replaced() {
    let token = bearer(&Token::bot());
    let ask = |stage: &Stage, origin| {
        get(stage.gateway.proxy, "/x", &[("Origin", origin), ("Authorization", &token)])
    };
    let stage = Stage::with(Issuer::of(keys::rsa()), open_backend(), |setup| {
        setup.env(CORS, "[https://app.example]")
    });
    let allowed = ask(&stage, APP.1);
    assert_eq!(all(&allowed, "access-control-allow-origin"), [APP.1]);
    assert_eq!(all(&allowed, "access-control-allow-credentials"), Vec::<&str>::new());
    assert_eq!(all(&allowed, "vary"), ["Accept", "Origin"]);
    let other = ask(&stage, "https://evil.example");
    assert_eq!((other.status, other.header("access-control-allow-origin")), (200, None));

    let off = Stage::with(Issuer::of(keys::rsa()), open_backend(), |setup| setup);
    let response = ask(&off, APP.1);
    assert_eq!(all(&response, "access-control-allow-origin"), ["*"], "without cors the backend decides");
    assert_eq!(all(&response, "vary"), ["Accept"]);
}

#[test]
fn a_refused_preflight_says_what_to_configure() {
    let stage = Stage::plain(|setup| setup);
    assert_eq!(options(&stage.gateway, "/preflight", &[APP, ASKS]).status, 401);
    let record = stage.gateway.audit_of("/preflight");
    let detail = text(&record, "detail").expect("a detail");
    assert!(detail.contains("add \"https://app.example\" to cors.allowOrigins"), "{detail}");
    assert_eq!(options(&stage.gateway, "/sandboxed", &[("Origin", "null"), ASKS]).status, 401);
    let record = stage.gateway.audit_of("/sandboxed");
    assert!(text(&record, "detail").expect("a detail").contains("null"), "{record}");
}
