//! `limits.failures` and `limits.principal`. The rates are one an hour, so that no test depends on how long it takes.

use std::net::SocketAddr;

use crate::support::gateway::{Setup, text};
use crate::support::http2::Http2Client;
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer, tampered};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, Response, request_bytes};

const BURST: usize = 3;

fn limited(adjust: impl FnOnce(Setup) -> Setup) -> Stage {
    Stage::plain(|setup| {
        adjust(
            setup
                .env("METAGATE_LIMITS__FAILURES__RATE", "1/h")
                .env("METAGATE_LIMITS__FAILURES__BURST", BURST.to_string()),
        )
    })
}

/// A token of its own, which no cache knows.
fn fresh(name: &str) -> Token {
    Token::user().claim("jti", name.into())
}

fn get(proxy: SocketAddr, path: &str, token: &str, client: Option<&str>) -> Response {
    let mut fields = vec![("Authorization", format!("Bearer {token}"))];
    fields.extend(client.map(|client| ("X-Forwarded-For", client.to_owned())));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Client::connect(proxy).send(request_bytes("GET", path, &fields, b"")).response().expect("a response")
}

/// Uses up the limit of a client. Every response is the usual one.
#[track_caller]
fn use_up(stage: &Stage, client: Option<&str>) {
    for number in 0..BURST {
        let forged = tampered(&fresh(&format!("forged-{number}")).encode());
        assert_eq!(get(stage.gateway.proxy, "/forged", &forged, client).status, 401, "{number}");
    }
}

fn rate_limited(stage: &Stage, limit: &str) -> f64 {
    stage.gateway.metric("metagate_rate_limited_total", &[("limit", limit)])
}

#[track_caller]
fn assert_limited(response: &Response) {
    assert_eq!(response.status, 429, "{}", response.text());
    assert_eq!(response.json()["code"], 429);
    assert_eq!(response.json()["message"], "Too many requests");
    assert_eq!(response.header("www-authenticate"), None);
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

#[test]
fn after_a_burst_of_forged_tokens_only_known_tokens_pass() {
    let stage = limited(|setup| setup);
    let proxy = stage.gateway.proxy;
    let known = fresh("known").encode();
    assert_eq!(get(proxy, "/before", &known, None).status, 200);
    use_up(&stage, None);
    assert_eq!(rate_limited(&stage, "failures"), 0.0);
    let refused = get(proxy, "/limited", &tampered(&fresh("more").encode()), None);
    assert_limited(&refused);
    let seconds: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((3000..=3600).contains(&seconds), "{seconds}");
    assert_limited(&get(proxy, "/new", &fresh("new").encode(), None));
    assert_eq!(get(proxy, "/known", &known, None).status, 200, "its token is in the cache");
    assert_eq!(stage.gateway.get("/none", &[]).status, 401, "nothing to verify");
    assert_eq!(rate_limited(&stage, "failures"), 2.0);
    assert_eq!(stage.gateway.metric("metagate_requests_total", &[("reason", "rate_limited")]), 2.0);
    let record = stage.gateway.audit_of("/limited");
    assert_eq!(text(&record, "reason"), Some("rate_limited"), "{record}");
    assert_eq!(text(&record, "detail"), Some("more than limits.failures of this client network"));
    assert_eq!(text(&record, "decision"), Some("deny"));
    let warned = stage.gateway.logs().into_iter().filter(|log| text(log, "network") == Some("127.0.0.1/32"));
    assert_eq!(warned.count(), 1, "logged once");
}

#[test]
fn failures_are_limited_by_default_and_can_be_turned_off() {
    for (rate, expected) in [(None, 429), (Some("off"), 401)] {
        let stage = Stage::plain(|mut setup| {
            setup.environment.remove("METAGATE_LIMITS__FAILURES__RATE");
            if let Some(rate) = rate { setup.env("METAGATE_LIMITS__FAILURES__RATE", rate) } else { setup }
        });
        let mut client = Client::connect(stage.gateway.proxy);
        let forged = format!("Bearer {}", tampered(&Token::user().encode()));
        let request = request_bytes("GET", "/", &[("Authorization", &forged)], b"");
        let statuses: Vec<u16> =
            (0..300).map(|_| client.send(&request).response().expect("a response").status).collect();
        assert!(statuses[..100].iter().all(|status| *status == 401), "the burst");
        assert!(statuses.contains(&expected) && (expected == 429 || !statuses.contains(&429)));
    }
}

#[test]
fn tokens_that_have_expired_or_are_missing_do_not_count() {
    let stage = limited(|setup| setup);
    for number in 0..4 * BURST {
        let expired = fresh(&format!("expired-{number}")).expires_in(-3600).encode();
        let response = get(stage.gateway.proxy, "/expired", &expired, None);
        assert_eq!(response.json()["message"], "Token has expired");
        assert_eq!(stage.gateway.get("/none", &[]).status, 401);
    }
    assert_eq!(get(stage.gateway.proxy, "/good", &fresh("good").encode(), None).status, 200);
}

/// A client that gets a new token must not be refused because of others behind its address.
#[test]
fn a_connection_whose_last_token_was_good_may_show_a_new_one() {
    let stage = limited(|setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    let mut send = |token: &str| {
        let field = format!("Bearer {token}");
        client.send(request_bytes("GET", "/", &[("Authorization", &field)], b""));
        client.response().expect("a response").status
    };
    let known = fresh("first").encode();
    assert_eq!(send(&known), 200);
    use_up(&stage, None);
    assert_eq!(get(stage.gateway.proxy, "/", &fresh("other").encode(), None).status, 429);
    assert_eq!(send(&fresh("second").encode()), 200);
    let forged = tampered(&fresh("forged").encode());
    assert_eq!(send(&forged), 401, "one attempt");
    assert_eq!(send(&forged), 429);
    assert_eq!(send(&fresh("third").encode()), 429);
    assert_eq!(send(&known), 200);
    assert_eq!(send(&fresh("fourth").encode()), 200, "in good standing again");
}

#[test]
fn behind_a_trusted_proxy_the_named_client_is_limited() {
    let stage = limited(|setup| setup.env("METAGATE_TRUSTED_PROXIES", "[127.0.0.1/32]"));
    let proxy = stage.gateway.proxy;
    use_up(&stage, Some("192.0.2.66"));
    assert_eq!(get(proxy, "/", &fresh("a").encode(), Some("192.0.2.66")).status, 429);
    assert_eq!(get(proxy, "/", &fresh("b").encode(), Some("192.0.2.1")).status, 200);
    // A proxy that names nobody is not limited: its address is that of everybody.
    use_up(&stage, None);
    assert_eq!(get(proxy, "/", &fresh("c").encode(), None).status, 200);
    // The connection of a proxy serves many clients, so a good token on it says nothing about the next.
    let mut client = Client::connect(proxy);
    for (token, address, status) in [("d", "192.0.2.1", 200), ("e", "192.0.2.66", 429)] {
        let token = bearer(&fresh(token));
        let fields = [("Authorization", token.as_str()), ("X-Forwarded-For", address)];
        client.send(request_bytes("GET", "/", &fields, b""));
        assert_eq!(client.response().expect("a response").status, status, "{address}");
    }
}

#[test]
fn h2_streams_and_grpc_calls_are_limited() {
    let stage = limited(|setup| setup);
    use_up(&stage, None);
    let mut client = Http2Client::connect(stage.gateway.proxy);
    let token = bearer(&fresh("h2"));
    let response = client.send("GET", "/h2", &[("authorization", &token)], b"").expect("a response");
    assert_eq!(response.status, 429);
    assert!(response.header("retry-after").is_some());
    let fields = [("authorization", token.as_str()), ("content-type", "application/grpc")];
    let response = client.send("POST", "/grpc.Service/Call", &fields, b"").expect("a response");
    assert_eq!((response.status, response.header("grpc-status")), (200, Some("8")));
}

#[test]
fn a_reload_does_not_fill_the_buckets() {
    let stage = limited(|setup| setup);
    use_up(&stage, None);
    let reloaded = stage.gateway.ask_admin("POST", "/reload", &[crate::support::gateway::DELIBERATE]);
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(get(stage.gateway.proxy, "/", &fresh("new").encode(), None).status, 429);
}

#[test]
fn report_mode_counts_and_lets_through() {
    let stage = limited(|setup| setup.env("METAGATE_AUTHORIZATION__MODE", "report"));
    for number in 0..BURST + 2 {
        let forged = tampered(&fresh(&format!("forged-{number}")).encode());
        assert_eq!(get(stage.gateway.proxy, "/", &forged, None).status, 200);
    }
    assert_eq!(get(stage.gateway.proxy, "/good", &fresh("good").encode(), None).status, 200);
    assert_eq!(rate_limited(&stage, "failures"), 3.0);
    let record = stage.gateway.audit_of("/good");
    assert_eq!(text(&record, "decision"), Some("allow"), "its identity is known: {record}");
}

#[test]
fn a_principal_is_limited_whatever_its_address_and_token() {
    let stage = Stage::with(Issuer::of(rsa()), Upstream::echo(), |setup| {
        setup.env("METAGATE_LIMITS__PRINCIPAL__RATE", "1/h").env("METAGATE_LIMITS__PRINCIPAL__BURST", "2")
    });
    let proxy = stage.gateway.proxy;
    for token in ["a", "b"] {
        assert_eq!(get(proxy, "/", &fresh(token).encode(), None).status, 200);
    }
    let refused = get(proxy, "/limited", &fresh("a").encode(), None);
    assert_limited(&refused);
    let seconds: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((3000..=3600).contains(&seconds), "{seconds}");
    assert_eq!(get(proxy, "/", &Token::bot().encode(), None).status, 200, "another principal");
    let record = stage.gateway.audit_of("/limited");
    assert_eq!(text(&record, "detail"), Some("more than limits.principal of this principal"), "{record}");
    assert!(text(&record, "principal").is_some(), "{record}");
    assert_eq!((rate_limited(&stage, "principal"), rate_limited(&stage, "failures")), (1.0, 0.0));
}
