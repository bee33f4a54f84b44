//! J06 to J13, J16, J17, J20: which key may verify a token.

use serde_json::{Value, json};

use super::environments::{ALPHA, BETA, Environment, STRICT, attacker, trap};
use super::{Case, case, good};
use crate::support::issuer::JWKS;
use crate::support::keys::{self, url64};
use crate::support::token::Token;

const UNKNOWN: &str = "unknown_key";

pub fn cases() -> Vec<Case> {
    [embedded(), key_ids(), missing_key_ids(), issuers(), not_configured()].into_iter().flatten().collect()
}

/// J06, J07, J08: keys embedded in the token. The URLs point to a server that has the attacker's
/// key under every name; every environment checks that it was never contacted.
fn embedded() -> Vec<Case> {
    let jwks = trap().url(JWKS);
    let authority = jwks.trim_start_matches("http://");
    let members: Vec<(&str, &str, Value)> = vec![
        ("J06", "jwk", attacker().jwk()),
        ("J06", "jwk", attacker().jwk_with(json!({"kid": "rsa-1"}))),
        ("J07", "jku", json!(jwks)),
        ("J07", "jku", json!(format!("http://idp.test@{authority}"))),
        ("J07", "jku", json!("file:///etc/passwd")),
        ("J07", "jku", json!("https://idp.test.evil.test/")),
        ("J07", "jwks_uri", json!(jwks)),
        ("J08", "x5u", json!(jwks)),
        ("J08", "x5c", json!([url64("certificate")])),
        ("J08", "x5t", json!("AAAA")),
        ("J08", "x5t#S256", json!("AAAA")),
    ];
    let mut cases = Vec::new();
    for (id, name, value) in members {
        for (kid, reason) in [("rsa-1", "invalid_signature"), ("rsa-3", UNKNOWN)] {
            let token = Token::user().signed("RS256", attacker());
            let token = token.header("kid", json!(kid)).header(name, value.clone()).encode();
            let short: String = value.to_string().chars().take(60).collect();
            cases.push(case(id, format!("{name} {short} with kid {kid}"), token, reason));
        }
        // RFC 7515 section 4: header members that are not understood are ignored, and these never
        // are understood.
        let honest = Token::user().header(name, value.clone());
        cases.push(good(id, format!("{name} {} beside a good signature", cases.len()), &honest));
    }
    cases
}

/// J09, J10, J13
fn key_ids() -> Vec<Case> {
    let named = |kid: Value| Token::user().header("kid", kid).encode();
    let mut cases = Vec::new();
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "' OR '1'='1",
        "a;sleep 5",
        "http://x/",
        "%00",
        "\0",
        "🔑",
        "\u{202e}rsa-1",
        "a\r\nX-Evil: 1",
        "\u{1b}[31m",
        "",
    ] {
        cases.push(case("J09", format!("kid {kid:?}"), named(json!(kid)), UNKNOWN));
    }
    for length in [257, 10_000] {
        let token = named(json!("k".repeat(length)));
        cases.push(case("J09", format!("kid of {length} bytes"), token, "malformed_token"));
    }
    for kid in [json!(1), json!(null), json!([]), json!({}), json!(true), json!(["rsa-1"])] {
        cases.push(case("J10", format!("kid {kid}"), named(kid), "malformed_token"));
    }
    for kid in ["RSA-1", "rsa-1 ", " rsa-1", "rsa-", "rsa-11", "rsa-1\0"] {
        cases.push(case("J13", format!("kid {kid:?}"), named(json!(kid)), UNKNOWN));
    }
    for (alg, key, kid) in [
        ("RS256", keys::other_rsa(), "rsa-1"),
        ("RS256", keys::rsa(), "rsa-2"),
        ("ES256", keys::p256_short(), "p256-1"),
    ] {
        let token = Token::user().signed(alg, key).header("kid", json!(kid)).encode();
        cases.push(case("J13", format!("{} as {kid}", key.kid), token, "invalid_signature"));
    }
    cases
}

/// J11, J12: a set with two RSA keys and one of each other type.
fn missing_key_ids() -> Vec<Case> {
    let nameless = |alg: &str, key| Token::user().signed(alg, key).without_header("kid");
    vec![
        good("J11", "one P-256 key", &nameless("ES256", keys::p256())),
        good("J11", "one P-384 key", &nameless("ES384", keys::p384())),
        good("J11", "one Ed25519 key", &nameless("EdDSA", keys::ed25519())),
        good("J11", "one key of the issuer", &nameless("RS256", keys::other_rsa()).issuer(BETA))
            .at(Environment::Issuers),
        case(
            "J11",
            "another key than the only one",
            nameless("ES256", keys::p256_short()).encode(),
            "invalid_signature",
        ),
        case("J11", "no key fits", nameless("EdDSA", keys::ed25519()).issuer(BETA).encode(), UNKNOWN)
            .at(Environment::Issuers),
        case("J12", "the first of two", nameless("RS256", keys::rsa()).encode(), UNKNOWN),
        case("J12", "the second of two", nameless("RS256", keys::other_rsa()).encode(), UNKNOWN),
    ]
}

/// J16, J17: alpha and beta publish different keys under the id `same`.
fn issuers() -> Vec<Case> {
    let by =
        |issuer: &str, key| Token::user().issuer(issuer).signed("RS256", key).header("kid", json!("same"));
    let (alphas, betas) = (keys::rsa(), keys::other_rsa());
    let alphas_curve = Token::user().signed("ES256", keys::p256());
    let betas_curve = Token::user().signed("ES384", keys::p384());
    [
        good("J16", "alpha with alpha's key", &by(ALPHA, alphas)),
        good("J16", "beta with beta's key", &by(BETA, betas)),
        good("J16", "beta under its second name", &by(&format!("{BETA}/v2"), betas)),
        case("J16", "alpha with beta's key", by(ALPHA, betas).encode(), "invalid_signature"),
        case("J17", "beta with alpha's key", by(BETA, alphas).encode(), "invalid_signature"),
        case("J17", "beta with a kid of alpha", alphas_curve.issuer(BETA).encode(), UNKNOWN),
        case("J17", "alpha with a kid of beta", betas_curve.issuer(ALPHA).encode(), UNKNOWN),
    ]
    .into_iter()
    .map(|case| case.at(Environment::Issuers))
    .collect()
}

/// J20: an entry that accepts RS256 and ES256, and a key without `alg`.
fn not_configured() -> Vec<Case> {
    let token = |alg, key| Token::user().issuer(STRICT).claim("aud", json!("us")).signed(alg, key);
    let mut cases = vec![
        good("J20", "RS256", &token("RS256", keys::rsa())),
        good("J20", "ES256", &token("ES256", keys::p256())),
    ];
    for alg in ["RS384", "RS512", "PS256", "PS512"] {
        cases.push(case("J20", alg, token(alg, keys::rsa()).encode(), "algorithm_not_allowed"));
    }
    let other = token("EdDSA", keys::ed25519()).encode();
    cases.push(case("J20", "EdDSA", other, "algorithm_not_allowed"));
    cases.into_iter().map(|case| case.at(Environment::Issuers)).collect()
}
