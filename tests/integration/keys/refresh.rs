//! Early key fetches: for a token that no cached key verifies, and on an operator's request.

use serde_json::{Value, json};

use crate::support::gateway::{Finished, Setup};
use crate::support::issuer::{JWKS, Reply};
use crate::support::keys::{self, Key};
use crate::support::stage::Stage;
use crate::support::token::{Token, tampered};

/// The kid of the first key, which other keys reuse.
const KID: &str = "rsa-1";

fn token(alg: &str, key: &'static Key) -> Token {
    Token::user().signed(alg, key).header("kid", json!(KID))
}

/// OpenMetadata keeps `JWT_KEY_ID` when its key pair is replaced.
#[test]
fn key_pair_replaced_under_the_same_kid_works_at_once() {
    for (alg, key) in [("RS256", keys::other_rsa()), ("ES256", keys::p256()), ("PS512", keys::other_rsa())] {
        let stage = Stage::plain(|setup| setup);
        let jwk = key.jwk_with(json!({"kid": KID}));
        assert_eq!(stage.gateway.get_as(&Token::user(), "/before").status, 200);
        stage.issuer.publish(JWKS, &[jwk]);
        assert_eq!(stage.gateway.get_as(&token(alg, key), "/renewed").status, 200, "{alg} {}", key.kid);
        assert_eq!(stage.issuer.hits(JWKS), 2, "{alg}");
        assert_eq!(stage.gateway.get_as(&Token::user(), "/old").status, 401, "its key has been replaced");
    }
}

#[test]
fn bad_signatures_cause_no_more_fetches_than_unknown_kids() {
    let stage = Stage::plain(|setup| setup);
    for number in 0..20 {
        let forged = tampered(&Token::user().claim("jti", json!(number)).encode());
        let response = stage.gateway.get_with(&forged, "/forged");
        assert_eq!(response.json()["message"], "Token signature is invalid");
        let wrong_kind = token("ES256", keys::p256()).claim("jti", json!(number));
        assert_eq!(
            stage.gateway.get_as(&wrong_kind, "/kind").json()["message"],
            "Token algorithm is not allowed"
        );
        let unknown = Token::user().header("kid", json!(format!("unknown-{number}")));
        assert_eq!(stage.gateway.get_as(&unknown, "/unknown").status, 401);
    }
    assert_eq!(stage.issuer.hits(JWKS) - 1, 3);
    assert_eq!(stage.upstream.requests().len(), 0);
}

#[test]
fn disallowed_algorithm_causes_no_fetch() {
    let stage = Stage::plain(|setup| setup.env("AUTHENTICATION_TOKEN_VALIDATION_ALGORITHM", "RS256"));
    let response = stage.gateway.get_as(&token("ES256", keys::p256()), "/x");
    assert_eq!(response.json()["message"], "Token algorithm is not allowed");
    assert_eq!(stage.issuer.hits(JWKS), 1);
}

#[test]
fn admin_refresh_fetches_every_source() {
    let stage = Stage::plain(|setup| setup);
    let refresh = || stage.gateway.ask_admin("POST", "/keys/refresh", &[("X-Metagate", "1")]);
    assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 200);
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk()]);
    let response = refresh();
    assert_eq!(response.status, 200);
    let sources = response.json();
    assert_eq!((&sources[0]["issuer"], &sources[0]["failure"]), (&json!("public-keys"), &Value::Null));
    assert_eq!(sources[0]["keys"][0]["kid"], keys::other_rsa().kid);
    assert_eq!(sources.as_array().map(Vec::len), Some(1));
    assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 401, "a key that was removed");
    // Operators are not rate-limited.
    let hits = stage.issuer.hits(JWKS);
    for _ in 0..3 {
        assert_eq!(refresh().status, 200);
    }
    assert_eq!(stage.issuer.hits(JWKS), hits + 3);

    stage.issuer.set(JWKS, Reply::Status(500, vec![], String::new()));
    let failed = refresh();
    assert_eq!(failed.status, 502);
    assert_eq!(failed.json()[0]["failure"], "answered 500 Internal Server Error");
    assert_eq!(failed.json()[0]["keys"][0]["kid"], keys::other_rsa().kid, "a failed fetch keeps the keys");
    let other = stage.gateway.ask_admin("GET", "/keys/refresh", &[]);
    assert_eq!((other.status, other.header("allow")), (405, Some("POST")));
    let elsewhere = [("X-Metagate", "1"), ("Origin", "http://evil.example")];
    let hits = stage.issuer.hits(JWKS);
    assert_eq!(stage.gateway.ask_admin("POST", "/keys/refresh", &elsewhere).status, 403);
    assert_eq!(stage.issuer.hits(JWKS), hits);
}

#[test]
fn refresh_command_calls_the_running_proxy() {
    let stage = Stage::plain(|setup| setup);
    let address = stage.gateway.admin();
    let command = |more: &[&str]| -> Finished {
        let url = format!("http://{address}");
        Setup::command(&[&["keys", "--refresh", "--url", &*url], more].concat()).finish()
    };
    stage.issuer.publish(JWKS, &[keys::other_rsa().jwk_with(json!({"kid": "a\u{1b}[2J\nb"}))]);
    let finished = command(&[]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stdout.contains("1 usable keys, fetched 0s ago: a\\u{1b}[2J\\nb"),
        "{}",
        finished.stdout
    );
    assert_eq!(stage.gateway.get_as(&Token::user(), "/x").status, 401, "in the running proxy");
    let json: Value = serde_json::from_str(&command(&["--json"]).stdout).expect("JSON");
    assert_eq!(json[0]["keys"][0]["usable"], true);
    // The address comes from the configuration of the proxy, whose secrets are not needed.
    let named = Setup::command(&["keys", "--refresh"]).env("METAGATE_ADMIN__LISTEN", address.to_string());
    assert_eq!(named.finish().code, Some(0));

    stage.issuer.set(JWKS, Reply::Status(404, vec![], String::new()));
    let failed = command(&[]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.stdout.contains("failed: answered 404"), "{}", failed.stdout);
    let wrong = Setup::command(&["keys", "--refresh", "--url", &format!("http://{}", stage.gateway.health)]);
    let wrong = wrong.finish();
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.stderr.contains("/keys/refresh answered 405 Method Not Allowed: not the admin"),
        "{}",
        wrong.stderr
    );
}
