//! Keys that arrive late, change, or are requested too often.

use crate::support::gateway::{Gateway, Setup, text};
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::stub::Gate;
use crate::support::token::{Token, bearer, tampered};
use crate::support::upstream::Upstream;
use crate::support::wire::{self, Client, request_bytes};

/// A gateway whose key server does not respond until the gate opens.
fn waiting(adjust: impl FnOnce(Setup) -> Setup) -> (Gateway, Upstream, Issuer, Gate) {
    let gate = Gate::default();
    let issuer = Issuer::empty();
    let keys = Reply::Json(keys::key_set(&[keys::rsa().jwk()]));
    issuer.set(JWKS, Reply::Held(gate.clone(), Box::new(keys)));
    let upstream = Upstream::echo();
    let setup = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream.url());
    let gateway = adjust(setup).start();
    issuer.wait_hits(JWKS, 1);
    (gateway, upstream, issuer, gate)
}

#[test]
fn request_waits_until_the_keys_are_fetched() {
    let (gateway, upstream, issuer, gate) = waiting(|setup| setup);
    let mut client = Client::connect(gateway.proxy);
    client.send(request_bytes("GET", "/held", &[("Authorization", &bearer(&Token::bot()))], b""));
    // Meanwhile, requests that need no keys get their response.
    assert_eq!(gateway.get("/none", &[]).status, 401);
    assert_eq!(gateway.get_with("abc", "/malformed").status, 401);
    assert_eq!(gateway.get_as(&Token::user().header("alg", "none".into()), "/none").status, 401);
    assert_eq!(upstream.requests().len(), 0);
    gate.open();
    assert_eq!(client.response().expect("a response").status, 200);
    assert_eq!(issuer.hits(JWKS), 1, "all requests wait for the same fetch");
}

#[test]
fn request_waits_for_keys_at_most_max_wait() {
    let (gateway, upstream, _issuer, _gate) =
        waiting(|setup| setup.env("METAGATE_AUTHENTICATION__JWKS__MAX_WAIT", "1s"));
    let response = gateway.get_as(&Token::bot(), "/late");
    assert_eq!(response.status, 503);
    assert_eq!(response.text(), r#"{"code":503,"message":"Signing keys are not available, try again"}"#);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("www-authenticate"), None, "missing keys are not the token's fault");
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(text(&gateway.audit_of("/late"), "reason"), Some("keys_unavailable"));
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn failed_initial_fetch_is_retried() {
    let issuer = Issuer::empty();
    issuer.set(JWKS, Reply::Status(500, vec![], String::new()));
    let upstream = Upstream::echo();
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", upstream.url())
        .start();
    issuer.wait_hits(JWKS, 1);
    assert_eq!(gateway.probe("/readyz").status, 503);
    issuer.publish(JWKS, &[keys::rsa().jwk()]);
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&Token::bot(), "/x").status, 200, "A01");
}

#[test]
fn issuer_without_keys_does_not_affect_another() {
    let issuer = Issuer::of(keys::rsa());
    let config = "authentication:\n  jwks: {maxWait: 1s}\n  publicKeyUrls: [ISSUER/jwks]\n  issuers: [{name: down, issuer: \"https://down.test\", publicKeyUrls: [ISSUER/missing], optional: true}]\n";
    let stage = Stage::configured(issuer, config);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/x").status, 200, "A11");
    assert_eq!(stage.gateway.get_as(&Token::user().issuer("https://down.test"), "/x").status, 503);
}

#[test]
fn unknown_kids_cause_a_burst_of_fetches_and_then_one_per_cooldown() {
    let stage = Stage::plain(|setup| setup);
    let first = stage.issuer.hits(JWKS);
    for index in 0..20 {
        let token = Token::user().header("kid", format!("unknown-{index}").into());
        let response = stage.gateway.get_as(&token, "/x");
        assert_eq!(response.status, 401);
        assert_eq!(response.json()["message"], "Token signing key not found in the configured public keys");
    }
    assert_eq!(stage.issuer.hits(JWKS) - first, 3, "A08, A10");
    assert_eq!(stage.upstream.requests().len(), 0);
}

#[test]
fn a_new_key_works_without_a_restart() {
    let stage = Stage::plain(|setup| setup);
    let new = Token::user().signed("RS256", keys::other_rsa());
    stage.issuer.publish(JWKS, &[keys::rsa().jwk(), keys::other_rsa().jwk()]);
    assert_eq!(stage.gateway.get_as(&new, "/new").status, 200, "A07");
    assert_eq!(stage.gateway.get_as(&Token::user(), "/old").status, 200);
    assert_eq!(stage.issuer.hits(JWKS), 2);
}

#[test]
fn removed_key_invalidates_its_cached_tokens() {
    let stage = Stage::plain(|setup| setup);
    let old = Token::user();
    assert_eq!(stage.gateway.get_as(&old, "/old").status, 200);
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    // The first token of the new key causes a fetch. The old token is cached but no longer valid.
    assert_eq!(stage.gateway.get_as(&Token::user().signed("RS256", keys::other_rsa()), "/new").status, 200);
    assert_eq!(stage.gateway.get_as(&old, "/old").status, 401, "J74");
}

#[test]
fn concurrent_tokens_of_a_new_key_cause_one_fetch() {
    let stage = Stage::plain(|setup| setup);
    let gate = Gate::default();
    let both = Reply::Json(keys::key_set(&[keys::rsa().jwk(), keys::other_rsa().jwk()]));
    stage.issuer.set(JWKS, Reply::Held(gate.clone(), Box::new(both)));
    let token = bearer(&Token::user().signed("RS256", keys::other_rsa()));
    let mut crowd: Vec<Client> = (0..50)
        .map(|index| {
            let mut client = Client::connect(stage.gateway.proxy);
            client.send(request_bytes("GET", &format!("/{index}"), &[("Authorization", &token)], b""));
            client
        })
        .collect();
    stage.issuer.wait_hits(JWKS, 2);
    // Tokens of known keys do not wait for the fetch.
    assert_eq!(stage.gateway.get_as(&Token::user(), "/known").status, 200, "A04");
    gate.open();
    for client in &mut crowd {
        assert_eq!(client.response().expect("a response").status, 200, "A09");
    }
    assert_eq!(stage.issuer.hits(JWKS), 2, "A09: one fetch for the crowd");
}

#[test]
fn failed_refresh_keeps_the_keys() {
    for reply in [
        Reply::Status(500, vec![], String::new()),
        Reply::Status(200, vec![("Content-Type", "text/html".into())], "<html>Log in</html>".into()),
        Reply::Status(200, vec![], String::new()),
        Reply::Json("{}".into()),
        Reply::Json("[]".into()),
        Reply::Json("{\"keys\":".into()),
        Reply::CutShort(keys::key_set(&[keys::other_rsa().jwk()])),
        Reply::Endless,
    ] {
        let stage = Stage::plain(|setup| setup);
        stage.issuer.set(JWKS, reply);
        // An unknown key causes a fetch, which gets this response.
        let other = Token::user().signed("RS256", keys::other_rsa());
        let response = stage.gateway.get_as(&other, "/x");
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "the key may exist");
        let record = stage.gateway.audit_of("/x");
        assert_eq!(
            (text(&record, "reason"), text(&record, "decision")),
            (Some("keys_unavailable"), Some("error"))
        );
        assert!(
            text(&record, "detail").is_some_and(|detail| detail.contains("cannot be reached")),
            "{record}"
        );
        assert_eq!(stage.issuer.hits(JWKS), 2);
        // For a known key a bad signature is certain.
        let forged = tampered(&Token::user().encode());
        assert_eq!(stage.gateway.get_with(&forged, "/z").status, 401);
        assert_eq!(stage.gateway.get_as(&Token::user(), "/y").status, 200, "A05");
    }
}

#[test]
fn unknown_kids_within_the_burst_do_not_delay_a_rotated_key() {
    let stage = Stage::plain(|setup| setup);
    for index in 0..2 {
        let token = Token::user().header("kid", format!("unknown-{index}").into());
        assert_eq!(stage.gateway.get_as(&token, "/x").status, 401);
    }
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    let new = Token::user().signed("RS256", keys::other_rsa());
    assert_eq!(stage.gateway.get_as(&new, "/new").status, 200);
}

#[test]
fn token_of_a_rotated_key_waits_out_the_cooldown() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_AUTHENTICATION__JWKS__UNKNOWN_KEY_COOLDOWN", "4s"));
    for index in 0..3 {
        let token = Token::user().header("kid", format!("unknown-{index}").into());
        assert_eq!(stage.gateway.get_as(&token, "/x").status, 401);
    }
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    let new = Token::user().signed("RS256", keys::other_rsa());
    assert_eq!(stage.gateway.get_as(&new, "/new").status, 200);
    assert_eq!(stage.issuer.hits(JWKS), 5);
}

#[test]
fn keys_are_refreshed_on_schedule_and_a_304_keeps_them() {
    let issuer = Issuer::empty();
    issuer.set(JWKS, Reply::Tagged("\"v1\"", keys::key_set(&[keys::rsa().jwk()])));
    let stage = Stage::with(issuer, Upstream::echo(), |setup| {
        setup.env("METAGATE_AUTHENTICATION__JWKS__REFRESH_INTERVAL", "1s")
    });
    stage.issuer.wait_hits(JWKS, 2);
    assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 200, "A06: 304 keeps the keys");
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    let new = request_bytes(
        "GET",
        "/new",
        &[("Authorization", &bearer(&Token::user().signed("RS256", keys::other_rsa())))],
        b"",
    );
    let mut client = Client::connect(stage.gateway.proxy);
    assert_eq!(client.send(new).response().expect("a response").status, 200);
    assert_eq!(
        wire::get(stage.gateway.proxy, "/old", &[("Authorization", &bearer(&Token::user()))]).status,
        401
    );
}
