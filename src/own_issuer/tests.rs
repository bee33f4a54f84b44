//! Tests of the tokens that metagate issues.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::HashSet;

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::*;
use crate::claims::{ClaimsFault, IssuedKind, VerifiedToken};
use crate::jose::{Algorithm, KeyDialect, KeySet, ParsedKeys, UnverifiedToken};
use crate::mint::PrivateKeyFault;
use crate::numeric_date::NumericDate;
use crate::test_support::{NOW, RSA, base64url, good_claims, key_set, open_rules, unbase64url, with};
use crate::trust::{self, TokenFault, TrustedIssuer};

const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);
const URL: &str = "https://metagate.example";
const DAY: Duration = Duration::from_secs(86_400);
const LEEWAY: Duration = Duration::from_secs(30);

fn issuer() -> TokenIssuer {
    let keys = (0..2).map(|_| IssuerKey::generate().unwrap()).collect();
    TokenIssuer::new(URL, "metagate", keys)
}

fn issue(issuer: &TokenIssuer, kind: IssuedKind) -> IssuedToken {
    issuer.issue(kind, "nightly", DAY, NOW_DATE, &[]).unwrap()
}

fn verify_at(issuer: &TokenIssuer, text: &str, now: i64) -> Result<VerifiedToken, TokenFault> {
    let token = UnverifiedToken::parse(text, 4096).unwrap();
    let keys = issuer.key_set();
    trust::verify(&token, &issuer.trusted(LEEWAY), Some(&keys), NumericDate::from_secs(now))
}

fn verify(issuer: &TokenIssuer, text: &str) -> Result<VerifiedToken, TokenFault> {
    verify_at(issuer, text, NOW + 10)
}

fn parts(text: &str) -> (Value, Value) {
    let parts: Vec<&str> = text.split('.').collect();
    let read = |at: usize| serde_json::from_slice(&unbase64url(parts[at])).unwrap();
    (read(0), read(1))
}

/// A token with this header and these claims, signed with the first key.
fn signed(issuer: &TokenIssuer, header: &Value, claims: &Value) -> String {
    let input =
        format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
    let signature = issuer.keys()[0].sign(input.as_bytes()).unwrap();
    format!("{input}.{}", base64url(&signature))
}

#[test]
fn a_token_says_whose_it_is_and_when_it_ends() {
    let issuer = issuer();
    let token =
        issuer.issue(IssuedKind::Exchanged, "nightly", DAY, NOW_DATE, &[("exchange", json!("ci"))]).unwrap();
    let (header, claims) = parts(token.text.expose_secret());
    assert_eq!(header, json!({"alg": "ES256", "typ": "at+jwt", "kid": issuer.keys()[0].kid()}));
    assert_eq!(
        claims,
        json!({
            "iss": URL, "aud": "metagate", "sub": "nightly", "jti": &*token.id, "iat": NOW,
            "exp": NOW + 86_400, "tokenType": "EXCHANGED", "exchange": "ci",
        })
    );
    assert_eq!((token.issued.as_secs(), token.expires.as_secs()), (NOW, NOW + 86_400));
    let shown = format!("{token:?} {issuer:?}");
    assert!(!shown.contains(token.text.expose_secret()) && !shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn ids_have_128_random_bits() {
    let issuer = issuer();
    let ids: HashSet<_> = (0..50).map(|_| issue(&issuer, IssuedKind::Bot).id).collect();
    assert_eq!(ids.len(), 50);
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
}

#[test]
fn every_key_verifies_and_replicas_with_the_same_files_agree() {
    let before = issuer();
    let pems: Vec<_> = before.keys().iter().map(|key| key.to_pem().unwrap()).collect();
    let read = |at: usize| IssuerKey::from_pem(&pems[at]).unwrap();
    let replica = TokenIssuer::new(URL, "metagate", vec![read(0), read(1)]);
    let rotated = TokenIssuer::new(URL, "metagate", vec![read(1), read(0)]);
    let token = issue(&before, IssuedKind::Bot);
    for other in [&replica, &rotated] {
        let verified = verify(other, token.text.expose_secret()).unwrap();
        assert_eq!(
            (verified.entry(), verified.issued(), verified.subject(), verified.id()),
            (ENTRY, Some(IssuedKind::Bot), Some("nightly"), Some(&*token.id))
        );
        assert!(verified.roles().is_empty() && !verified.is_backends_own());
    }
    let retired = TokenIssuer::new(URL, "metagate", vec![read(1)]);
    let fault = verify(&retired, token.text.expose_secret()).unwrap_err();
    assert_eq!(fault, TokenFault::UnknownKey);
}

#[test]
fn both_forms_of_pem_are_read_and_nothing_else() {
    // RFC 5915, made with `openssl ecparam -name prime256v1 -genkey`; parameters come first.
    let sec1 = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
                -----BEGIN EC PRIVATE KEY-----\n\
                MHcCAQEEIB9V+twepWONifAoRwtIx8bme/2qiXZkt5hXdwZcfUfaoAoGCCqGSM49\n\
                AwEHoUQDQgAEa5iGpa5POP5VdYLY8X2odTMS72oWSQGgUK58zBAW3g+yXDMd2xEV\n\
                4rPGqshblZiXmpbvAFFZ9gMfy4YYD4VNVQ==\n\
                -----END EC PRIVATE KEY-----\n";
    let key = IssuerKey::from_pem(sec1).unwrap();
    let again = IssuerKey::from_pem(&key.to_pem().unwrap()).unwrap();
    assert_eq!((again.kid(), again.material()), (key.kid(), key.material()));
    assert_eq!(key.material(), key.public().material());
    assert_eq!(key.kid(), format!("metagate-{}", key.thumbprint()));
    let p384 = "-----BEGIN EC PRIVATE KEY-----\nMIGkAgEBBDCmux2IQHqjS4ZtfJwOgjtmHeXNi+OkKzZf34ZvGAJInsqrRwqqE0/b\n\
                WTYCNbjlyxCgBwYFK4EEACKhZANiAARsR+sOGOiNGX8lPKaNB++/FN8t+vmnCTaP\n\
                msg8L1JDgJkgyYAamTxbEqWyHvUpWw3+LWvTXwHUgPTqYWiHXR+Vw12V6V01jHZu\n\
                RuOL/ORP0fNXWhdj3pxpJDsJPXnefGE=\n\
                -----END EC PRIVATE KEY-----\n";
    for (text, fault) in [
        (RSA.private_pem(), PrivateKeyFault::NotP256),
        (p384.to_owned(), PrivateKeyFault::NotP256),
        (format!("{sec1}{sec1}"), PrivateKeyFault::Several),
        ("nothing".to_owned(), PrivateKeyFault::NotPem),
        (sec1.replace("EC PRIVATE", "ENCRYPTED PRIVATE"), PrivateKeyFault::Encrypted),
    ] {
        assert_eq!(IssuerKey::from_pem(&text).unwrap_err(), fault);
    }
}

#[test]
fn what_is_published_is_what_verifies() {
    let issuer = issuer();
    assert_eq!((issuer.url(), issuer.audience()), (URL, "metagate"));
    let parsed = ParsedKeys::parse(issuer.jwks().to_string().as_bytes(), KeyDialect::Standard).unwrap();
    assert!(parsed.skipped.is_empty(), "{:?}", parsed.skipped);
    let kids: Vec<_> = parsed.usable.iter().map(|key| key.kid()).collect();
    assert_eq!(kids, issuer.keys().iter().map(|key| Some(key.kid())).collect::<Vec<_>>());
    let token = issue(&issuer, IssuedKind::Bot);
    let token = UnverifiedToken::parse(token.text.expose_secret(), 4096).unwrap();
    let (keys, now) = (KeySet::new(parsed.usable), NumericDate::from_secs(NOW + 10));
    assert!(trust::verify(&token, &issuer.trusted(LEEWAY), Some(&keys), now).is_ok());
}

#[test]
fn a_lifetime_is_bounded_and_own_claims_cannot_be_replaced() {
    let issuer = issuer();
    let issue = |lifetime, more: &[(&str, Value)]| {
        issuer.issue(IssuedKind::Bot, "nightly", lifetime, NOW_DATE, more).map(|_| ())
    };
    assert_eq!(issue(Duration::ZERO, &[]), Err(IssueFault::Lifetime));
    assert_eq!(issue(MAX_LIFETIME + Duration::from_nanos(1), &[]), Err(IssueFault::Lifetime));
    assert_eq!(issue(MAX_LIFETIME, &[]), Ok(()));
    for name in ["iss", "EXP", "tokentype", "sub", "nbf"] {
        assert_eq!(issue(DAY, &[(name, json!("x"))]), Err(IssueFault::ReservedClaim), "{name}");
    }
    let none = TokenIssuer::new(URL, "metagate", Vec::new());
    let fault = none.issue(IssuedKind::Bot, "nightly", DAY, NOW_DATE, &[]).unwrap_err();
    assert_eq!(fault, IssueFault::NoKey);
}

#[test]
fn only_what_is_issued_verifies() {
    let issuer = issuer();
    let (header, claims) = parts(issue(&issuer, IssuedKind::Bot).text.expose_secret());
    let refused = |header: &Value, claims: &Value| verify(&issuer, &signed(&issuer, header, claims)).err();
    assert_eq!(refused(&header, &claims), None);
    for typ in ["JWT", "JOSE", "application/jwt"] {
        let fault = refused(&with(header.clone(), json!({"typ": typ})), &claims);
        assert!(matches!(fault, Some(TokenFault::Malformed(_))), "{typ} {fault:?}");
    }
    let fault = refused(&json!({"alg": "ES256", "kid": issuer.keys()[0].kid()}), &claims);
    assert!(matches!(fault, Some(TokenFault::Malformed(_))), "without typ: {fault:?}");
    assert!(matches!(
        refused(&header, &with(claims.clone(), json!({"tokenType": "PERSONAL_ACCESS"}))),
        Some(TokenFault::Claims(ClaimsFault::Malformed(_)))
    ));
    for (changed, fault) in [
        (json!({"exp": null}), ClaimsFault::MissingExpiry),
        (json!({"aud": "openmetadata"}), ClaimsFault::WrongAudience),
        (json!({"aud": ["metagate", "sts.amazonaws.com"]}), ClaimsFault::WrongAudience),
        (json!({"iss": "https://other.example"}), ClaimsFault::UntrustedIssuer),
        (json!({"exp": NOW + 365 * 86_400 + 60}), ClaimsFault::LifetimeTooLong),
        (json!({"sub": ""}), ClaimsFault::MissingPrincipal),
    ] {
        let found = refused(&header, &with(claims.clone(), changed.clone()));
        assert_eq!(found, Some(TokenFault::Claims(fault)), "{changed}");
    }
    let expired = verify_at(&issuer, &signed(&issuer, &header, &claims), NOW + 86_431);
    assert_eq!(expired.unwrap_err(), TokenFault::Claims(ClaimsFault::Expired));
}

#[test]
fn the_simple_list_never_takes_one() {
    let issuer = issuer();
    let token = issue(&issuer, IssuedKind::Bot);
    let token = UnverifiedToken::parse(token.text.expose_secret(), 4096).unwrap();
    let list = TrustedIssuer {
        name: "public-keys".into(),
        algorithms: [Algorithm::ES256, Algorithm::RS256].into_iter().collect(),
        rules: open_rules(),
    };
    for trust in [vec![list.clone(), issuer.trusted(LEEWAY)], vec![issuer.trusted(LEEWAY), list]] {
        let taken = trust::entry_for(&token, &trust, None).unwrap();
        assert_eq!(&*trust[taken].name, ENTRY);
    }
    // And a key of the simple list signs nothing for this entry.
    let header = json!({"alg": "RS256", "typ": "at+jwt", "kid": "1"});
    let claims = with(good_claims(), json!({"iss": URL, "aud": "metagate", "tokenType": "BOT"}));
    let forged = RSA.compact(Algorithm::RS256, header.to_string().as_bytes(), claims.to_string().as_bytes());
    let forged = UnverifiedToken::parse(&forged, 4096).unwrap();
    let keys = key_set(&[RSA.jwk_named("1")]);
    let fault = trust::verify(&forged, &issuer.trusted(LEEWAY), Some(&keys), NOW_DATE).unwrap_err();
    assert_eq!(fault, TokenFault::AlgorithmNotAllowed);
}
