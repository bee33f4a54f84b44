//! An installation below a path (`stripPrefix`).

use crate::support::gateway::text;
use crate::support::http2::Http2Client;
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::{Client, send};

const CONFIG: &str = "
stripPrefix: /catalog
authentication: {publicKeyUrls: [ISSUER/jwks]}
authorization:
  public: [\"GET /public\", \"GET /\"]
  rules:
    - {name: no-admin, match: {paths: [/admin/**]}, action: deny}
";

fn stage() -> Stage {
    Stage::configured(Issuer::of(rsa()), CONFIG)
}

#[test]
fn routes_and_rules_are_about_the_path_below_the_prefix() {
    let stage = stage();
    for (target, anonymous, with_token) in [
        ("/catalog/public", 200, 200),
        ("/catalog", 200, 200),
        ("/catalog/", 200, 200),
        ("/catalog?a=b", 200, 200),
        ("/catalog/tables", 401, 200),
        ("/catalog/catalog/public", 401, 200),
        ("/catalog/admin/users", 401, 403),
        ("/catalog/%61dmin/users", 401, 403),
        ("/catalog//admin/users", 401, 403),
        ("/catalog/admin;x/users", 401, 403),
        ("/catalog/public/../admin/users", 400, 400),
        ("/catalog/%2e%2e/admin", 400, 400),
        ("/catalog/..", 400, 400),
    ] {
        assert_eq!(stage.gateway.get(target, &[]).status, anonymous, "{target}");
        assert_eq!(stage.gateway.get_as(&Token::bot(), target).status, with_token, "{target}");
    }
}

#[test]
fn what_is_outside_is_not_found() {
    let stage = stage();
    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&Token::bot());
    for target in [
        "/",
        "/public",
        "/catalogue",
        "/catalogue/public",
        "/Catalog/public",
        "/%63atalog/public",
        "/catalog%2Fpublic",
        "/catalog;x/public",
        "//catalog/public",
        "/./catalog/public",
        "/x/../catalog/public",
        "/public?/catalog/public",
    ] {
        let response = stage.gateway.get_as(&Token::bot(), target);
        assert_eq!(
            (response.status, response.json()["message"].as_str()),
            (404, Some("No such path")),
            "{target}"
        );
        let response = http2.send("GET", target, &[("authorization", &token)], b"").expect("a response");
        assert_eq!(response.status, 404, "{target}");
    }
    let record = stage.gateway.audit_of("/catalogue");
    assert_eq!((text(&record, "decision"), text(&record, "reason")), (Some("deny"), Some("outside_prefix")));
    assert_eq!(send(stage.gateway.proxy, "OPTIONS", "*", &[], b"").status, 404);
    assert!(stage.upstream.requests().is_empty());
}

#[test]
fn the_backend_gets_the_rest_and_the_prefix_in_a_field() {
    let stage = stage();
    let token = bearer(&Token::bot());
    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    for (target, received) in [
        ("/catalog/a%2Fb;c?d=/e", "/a%2Fb;c?d=/e"),
        ("/catalog?x=1", "/?x=1"),
        ("/catalog//x", "//x"),
        ("http://gateway.test/catalog/absolute", "/absolute"),
    ] {
        let forged =
            [("X-Forwarded-Prefix", "/evil"), ("X_Forwarded_Prefix", "/evil"), ("Authorization", &token)];
        assert_eq!(stage.gateway.get(target, &forged).status, 200, "{target}");
        let request = stage.upstream.request_to(received);
        assert_eq!(request.head.values("x-forwarded-prefix"), ["/catalog"], "{target}");
        assert_eq!(request.head.value("x_forwarded_prefix"), None);
        assert_eq!(request.head.value("host"), Some("gateway.test"));
    }
    let response =
        http2.send("GET", "/catalog/http2", &[("authorization", &token)], b"").expect("a response");
    assert_eq!(response.status, 200);
    let request = stage.upstream.request_to("/http2");
    assert_eq!(request.head.value("x-forwarded-prefix"), Some("/catalog"));
    let record = stage.gateway.audit_of("/catalog/http2");
    assert_eq!(text(&record, "decision"), Some("allow"), "the record has the path that the client sent");
}

#[test]
fn redirects_of_the_backend_stay_below_the_prefix() {
    let upstream = Upstream::scripted(|exchange| {
        let target = exchange.request.head.target().to_owned();
        match target.strip_prefix("/to?") {
            Some(location) => exchange.reply(302, &[("Location", location)], ""),
            None => echo(exchange),
        }
    });
    let stage = Stage::configured_with(Issuer::of(rsa()), upstream, CONFIG);
    for (location, expected) in [
        ("/signin", "/catalog/signin"),
        ("/catalog/signin", "/catalog/signin"),
        ("http://gateway.test/signin", "http://gateway.test/catalog/signin"),
        ("https://idp.example/authorize", "https://idp.example/authorize"),
        ("//idp.example/authorize", "//idp.example/authorize"),
        ("relative", "relative"),
    ] {
        let response = stage.gateway.get_as(&Token::bot(), &format!("/catalog/to?{location}"));
        assert_eq!((response.status, response.header("location")), (302, Some(expected)), "{location}");
    }
}

#[test]
fn forward_auth_judges_the_path_below_the_prefix() {
    let config = format!("{CONFIG}\nforwardAuth: {{listen: 127.0.0.1:0, target: forwarded}}\n");
    let stage = Stage::configured(Issuer::of(rsa()), &config);
    let listener = stage.gateway.listener("forward-auth");
    let token = bearer(&Token::bot());
    let ask = |target: &str| {
        let headers = [
            ("Authorization", token.as_str()),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Uri", target),
            ("X-Forwarded-Host", "gateway.test"),
            ("X-Forwarded-For", "192.0.2.1"),
        ];
        let mut client = Client::connect(listener);
        client.send(crate::support::wire::request_bytes("GET", "/auth", &headers, b""));
        client.response().expect("a response")
    };
    let granted = ask("/catalog/tables");
    assert_eq!((granted.status, granted.header("x-forwarded-prefix")), (200, Some("/catalog")));
    assert_eq!(ask("/catalog/admin/x").status, 403);
    assert_eq!(ask("/tables").status, 404);
    assert_eq!(ask("/%63atalog/tables").status, 404);
}
