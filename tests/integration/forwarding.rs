//! Requests and responses pass unchanged, except for what a proxy must remove and what it must add.

mod addresses;
mod bodies;
mod credentials;
pub(crate) mod faults;
mod identity;
mod idle;
mod interim;
mod mcp;
mod reachability;
pub(crate) mod recorded;

use serde_json::json;

use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::Next;
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{self, Client, request_bytes};

#[test]
fn target_is_forwarded_byte_for_byte() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for target in [
        "/",
        "/api/v1/tables/name/a%2Fb",
        "/entitiesV2/urn%3Ali%3Adataset%3A%28urn%3Ali%3AdataPlatform%3Ahive%2Ca.b%2CPROD%29",
        "/x/%22quoted%22",
        "/x/with%20space",
        "/x/%C3%A9",
        "/x/a+b~c!$&'()*,=:@",
        "/x;v=1/y",
        "//double//slashes/",
        "/x?",
        "/x?a=%2F..%2F&b=/../&c=;d",
        "/x?q=a%20b+c%00",
        "/x?a[]=1&b={2}|3",
    ] {
        let response = stage.gateway.get(target, &[("Authorization", &token)]);
        assert_eq!(response.status, 200, "{target}: {}", response.text());
        assert_eq!(response.json()["target"], target);
        assert_eq!(stage.upstream.request_to(target).head.target(), target);
    }
}

#[test]
fn every_allowed_method_is_forwarded() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let target = format!("/{method}");
        let response = wire::send(stage.gateway.proxy, method, &target, &[("Authorization", &token)], b"");
        assert_eq!(response.status, 200, "{method}");
        assert_eq!(stage.upstream.request_to(&target).head.method(), method);
    }
}

#[test]
fn path_of_the_upstream_url_is_prepended() {
    let issuer = crate::support::issuer::Issuer::of(keys::rsa());
    let upstream = Upstream::echo();
    let url = format!("{}/base/", upstream.url());
    let stage = Stage::with(issuer, upstream, |setup| setup.env("METAGATE_UPSTREAM__URL", url));
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/api/v1?x=1").json()["target"], "/base/api/v1?x=1");
}

#[test]
fn hop_by_hop_fields_are_not_forwarded() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    stage.gateway.get(
        "/hop",
        &[
            ("Authorization", &token),
            ("Connection", "keep-alive, X-Hop, x-other-hop"),
            ("X-Hop", "1"),
            ("X-Other-Hop", "2"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "Basic eDp5"),
            ("TE", "gzip"),
            ("Trailer", "X-Sum"),
            ("Upgrade", "made-up/1"),
            ("HTTP2-Settings", "AAMAAABk"),
            ("X-Stays", "3"),
        ],
    );
    let head = stage.upstream.request_to("/hop").head;
    for name in [
        "x-hop",
        "x-other-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(head.value(name), None, "{name}");
    }
    assert_eq!(head.value("x-stays"), Some("3"));
    assert_eq!(head.value("authorization"), Some(token.as_str()));
}

#[test]
fn connection_cannot_remove_fields_set_by_the_gateway() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let nominated = "close, Authorization, Host, Cookie, X-Forwarded-User, X-Forwarded-For, X-Request-Id";
    let fields = [("Authorization", token.as_str()), ("Connection", nominated), ("Cookie", "a=b")];
    let response = stage.gateway.get("/named", &fields);
    // Refusing the request is fine, too.
    if response.status == 400 {
        assert_eq!(stage.upstream.requests().len(), 0);
        return;
    }
    let head = stage.upstream.request_to("/named").head;
    for name in ["authorization", "host", "cookie", "x-forwarded-user", "x-forwarded-for", "x-request-id"] {
        assert!(head.value(name).is_some(), "I05 {name}");
    }
}

#[test]
fn forwarded_fields_are_set_only_by_the_gateway() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    stage.gateway.get(
        "/told",
        &[
            ("Authorization", &token),
            ("X-Forwarded-For", "203.0.113.9"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil.test"),
        ],
    );
    let head = stage.upstream.request_to("/told").head;
    assert_eq!(head.value("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.value("x-forwarded-proto"), Some("http"));
    assert_eq!(head.value("x-forwarded-host"), Some("gateway.test"));
    assert!(head.value("x-request-id").is_some_and(|id| !id.is_empty()));

    let trusting = Stage::plain(|setup| setup.env("METAGATE_TRUSTED_PROXIES", "[127.0.0.0/8]"));
    let fields = [
        ("Authorization", token.as_str()),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
    ];
    trusting.gateway.get("/told", &fields);
    let head = trusting.upstream.request_to("/told").head;
    let chain: Vec<&str> =
        head.value("x-forwarded-for").expect("a chain").split(',').map(str::trim).collect();
    assert_eq!(chain, ["203.0.113.9", "127.0.0.1"]);
    assert_eq!(head.value("x-forwarded-proto"), Some("https"));
}

#[test]
fn responses_pass_unchanged() {
    let upstream = Upstream::scripted(|exchange| {
        exchange.read_body()?;
        match exchange.request.head.target() {
            "/fields" => exchange.reply(
                418,
                &[
                    ("Set-Cookie", "a=1"),
                    ("Set-Cookie", "b=2"),
                    ("WWW-Authenticate", "om-auth"),
                    ("Connection", "X-Hop"),
                    ("X-Hop", "1"),
                    ("Keep-Alive", "timeout=5"),
                    ("Content-Encoding", "gzip"),
                    ("Location", "http://elsewhere.test/"),
                ],
                b"\x1f\x8b\xff\x00",
            ),
            "/304" => {
                exchange.send("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n")?;
                Ok(Next::KeepOpen)
            }
            _ => echo(exchange),
        }
    });
    let stage = Stage::with(crate::support::issuer::Issuer::of(keys::rsa()), upstream, |setup| setup);
    let token = Token::bot();
    let response = stage.gateway.get_as(&token, "/fields");
    assert_eq!((response.status, response.body.as_slice()), (418, b"\x1f\x8b\xff\x00".as_slice()));
    assert_eq!(response.head.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("www-authenticate"), Some("om-auth"));
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert_eq!(response.header("location"), Some("http://elsewhere.test/"));
    assert_eq!((response.header("x-hop"), response.header("keep-alive")), (None, None));
    let response = stage.gateway.get_as(&token, "/304");
    assert_eq!((response.status, response.header("etag")), (304, Some("\"1\"")));
}

#[test]
fn many_requests_share_one_upstream_connection() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut client = Client::connect(stage.gateway.proxy);
    for index in 0..30 {
        let body: &[u8] = if index % 3 == 0 { b"{}" } else { b"" };
        let method = if body.is_empty() { "GET" } else { "PUT" };
        client.send(request_bytes(method, &format!("/{index}"), &[("Authorization", &token)], body));
        assert_eq!(client.response().expect("a response").json()["target"], format!("/{index}"));
    }
    assert_eq!((stage.upstream.requests().len(), stage.upstream.connections()), (30, 1));
    assert!(stage.upstream.requests().iter().all(|request| request.connection == 0));
}

#[test]
fn pipelined_requests_are_authorized_independently() {
    let stage = Stage::plain(|setup| setup);
    let good = bearer(&Token::bot());
    let get = |target, value: &str| request_bytes("GET", target, &[("Authorization", value)], b"");
    let mut client = Client::connect(stage.gateway.proxy);
    client.send([get("/1", &good), get("/2", "Bearer abc"), get("/3", &good)].concat());
    let statuses: Vec<u16> = (0..3).map(|_| client.response().expect("a response").status).collect();
    assert_eq!(statuses, [200, 401, 200], "S21");
    let targets: Vec<_> = stage.upstream.requests().iter().map(|r| r.head.target().to_owned()).collect();
    assert_eq!(targets, ["/1", "/3"]);

    client.send([get("/4", &good), b"GARBAGE\r\n\r\n".to_vec()].concat());
    assert_eq!(client.response().expect("the first").json(), json!({"method": "GET", "target": "/4"}));
    assert_eq!(client.response().expect("a refusal").status, 400);
    assert_eq!(client.rest(), "");
}
