//! Key sets of real issuers, and malformed ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod certificates;
mod choice;
mod faults;
mod pem;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use super::*;
use crate::jose::{AlgorithmSet, KeyFamily, UnverifiedToken};
use crate::test_support::{
    ED25519, MAX_BYTES, OTHER_P256, OTHER_RSA, P256, P384, P521, RSA, SigningKey, base64url, document,
    key_set, p256_key, parsed, unbase64url, with,
};

fn read(entries: &[Value], dialect: KeyDialect) -> ParsedKeys {
    ParsedKeys::parse(document(entries).as_bytes(), dialect).unwrap()
}

fn verifies(key: &VerificationKey, signer: &SigningKey, algorithm: Algorithm) -> bool {
    let token = signer.token(algorithm, None, &json!({"sub": "ada"}));
    UnverifiedToken::parse(&token, MAX_BYTES).unwrap().verify(key).is_ok()
}

/// Java's `Base64.getUrlEncoder().encodeToString(modulus.toByteArray())`.
fn openmetadata_jwk() -> Value {
    let (n, e) = RSA.rsa_numbers();
    let n = [&[0], &n[..]].concat();
    json!({"kty": "RSA", "kid": "om", "n": URL_SAFE.encode(n), "e": URL_SAFE.encode(e), "alg": "RS256", "use": "sig"})
}

#[test]
fn openmetadata_key_set_is_accepted() {
    let jwk = openmetadata_jwk();
    assert!(jwk["n"].as_str().unwrap().starts_with("AL") || jwk["n"].as_str().unwrap().starts_with('A'));
    assert!(jwk["n"].as_str().unwrap().ends_with('='), "257 bytes are padded");
    for dialect in [KeyDialect::Standard, KeyDialect::OpenMetadata] {
        let keys = read(std::slice::from_ref(&jwk), dialect);
        let key = &keys.usable[0];
        assert!(keys.skipped.is_empty());
        assert_eq!((key.kid(), key.bits()), (Some("om"), 2048));
        assert!(verifies(key, &RSA, Algorithm::RS256), "{dialect:?}");
        // It is labelled RS256 but may also sign with RS384 and RS512. Only this dialect accepts that.
        for algorithm in [Algorithm::RS384, Algorithm::RS512] {
            assert_eq!(
                verifies(key, &RSA, algorithm),
                dialect == KeyDialect::OpenMetadata,
                "{dialect:?} {algorithm}"
            );
        }
        for algorithm in [Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
            assert!(!verifies(key, &RSA, algorithm), "{dialect:?} {algorithm}");
        }
        assert!(!verifies(key, &OTHER_RSA, Algorithm::RS256), "{dialect:?}");
    }
}

#[test]
fn openmetadata_dialect_only_widens_rs256() {
    let keys = read(
        &[
            with(RSA.jwk_named("a"), json!({"alg": "PS256"})),
            with(P256.jwk_named("b"), json!({"alg": "ES256"})),
        ],
        KeyDialect::OpenMetadata,
    );
    assert_eq!(keys.usable[0].algorithms(), [Algorithm::PS256].into_iter().collect());
    assert_eq!(keys.usable[1].algorithms(), [Algorithm::ES256].into_iter().collect());
}

#[test]
fn all_encodings_of_a_number_are_the_same_key() {
    let (n, e) = RSA.rsa_numbers();
    let zeros = [&[0, 0, 0], &n[..]].concat();
    let plain = parsed(&[RSA.jwk()]);
    for (n, e, why) in [
        (base64url(&n), "AQAB".to_owned(), "as RFC 7518 wants it"),
        (STANDARD.encode(&n), STANDARD.encode(&e), "the standard alphabet with padding"),
        (STANDARD.encode(&n).trim_end_matches('=').to_owned(), "AQAB".to_owned(), "and without"),
        (URL_SAFE.encode(&n), "AQAB".to_owned(), "padding"),
        (base64url(&zeros), "AAAAAQAB".to_owned(), "leading zeros"),
    ] {
        let keys = parsed(&[json!({"kty": "RSA", "n": n, "e": e})]);
        assert!(keys.skipped.is_empty(), "{why}");
        assert_eq!(keys.usable[0].material(), plain.usable[0].material(), "{why}");
        assert!(verifies(&keys.usable[0], &RSA, Algorithm::RS256), "{why}");
    }
}

#[test]
fn coordinates_may_be_short_or_have_a_leading_zero() {
    // One key in 256 has an x that starts with a zero byte, and some issuers drop it.
    let short = (0..100_000)
        .map(|_| p256_key())
        .find(|key| key.public_bytes()[1] == 0 || key.public_bytes()[33] == 0)
        .unwrap();
    for signer in [&short, &*P256, &P384, &P521] {
        let jwk = signer.jwk();
        let algorithm = signer.algorithm();
        let coordinate = |name: &str| unbase64url(jwk[name].as_str().unwrap());
        let trimmed = |name: &str| {
            let bytes = coordinate(name);
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            base64url(&bytes[zeros..])
        };
        let padded = |name: &str| URL_SAFE.encode([&[0], &coordinate(name)[..]].concat());
        for (why, x, y) in [
            ("leading zeros dropped", trimmed("x"), trimmed("y")),
            ("a sign byte and padding", padded("x"), padded("y")),
            ("mixed", trimmed("x"), padded("y")),
        ] {
            let keys = parsed(&[with(jwk.clone(), json!({"x": x, "y": y}))]);
            assert!(keys.skipped.is_empty(), "{why}: {:?}", keys.skipped);
            assert!(verifies(&keys.usable[0], signer, algorithm), "{why}");
        }
    }
}

#[test]
fn unusable_entries_do_not_affect_the_others() {
    let good = RSA.jwk_named("good");
    for odd in [
        json!(5),
        json!(null),
        json!("RSA"),
        json!([]),
        json!({}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
        json!({"kty": "OKP", "crv": "X25519", "x": base64url(&[9; 32])}),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        json!({"kty": null}),
        json!({"kty": 5}),
        json!({"kty": "rsa"}),
        with(RSA.jwk(), json!({"kid": 5})),
        with(RSA.jwk(), json!({"alg": 256})),
        with(RSA.jwk(), json!({"use": ["sig"]})),
        with(RSA.jwk(), json!({"key_ops": "verify"})),
        with(RSA.jwk(), json!({"n": null})),
        with(RSA.jwk(), json!({"n": [1]})),
        with(RSA.jwk(), json!({"n": "not base64!"})),
        with(RSA.jwk(), json!({"kid": "k".repeat(257)})),
        json!({"kty": "RSA", "kid": null, "n": null, "e": null, "alg": "RS256", "use": "sig"}),
    ] {
        let keys = parsed(&[odd.clone(), good.clone(), odd.clone()]);
        assert_eq!(keys.usable.len(), 1, "{odd}");
        assert_eq!(keys.skipped.len(), 2, "{odd}");
        assert!(verifies(&keys.usable[0], &RSA, Algorithm::RS256), "{odd}");
    }
    // Members that are not read may have any value.
    for more in [json!({"x5c": "MII"}), json!({"x5t": 5}), json!({"x5c": [1]}), json!({"exp": {}, "iat": []})]
    {
        assert!(parsed(&[with(good.clone(), more.clone())]).skipped.is_empty(), "{more}");
    }
    assert!(parsed(&[RSA.jwk_named(&"k".repeat(256))]).skipped.is_empty(), "the longest kid");
    let twice = format!(r#"{{"keys":[{{"kty":"RSA","kty":"EC"}},{good}]}}"#);
    assert_eq!(ParsedKeys::parse(twice.as_bytes(), KeyDialect::Standard).unwrap().usable.len(), 1);
}

#[test]
fn documents_that_are_not_key_sets_are_refused() {
    for (text, fault) in [
        (&b""[..], KeySetFault::Empty),
        (b" \r\n\t", KeySetFault::Empty),
        (b"\xef\xbb\xbf", KeySetFault::Empty),
        (b"<!DOCTYPE html><html></html>", KeySetFault::Html),
        (b"\n  <html>", KeySetFault::Html),
        (b"<?xml version=\"1.0\"?><a/>", KeySetFault::Xml),
        (b"<md:EntityDescriptor/>", KeySetFault::Xml),
        (
            br#"{"issuer":"https://a.example","jwks_uri":"https://a.example/keys"}"#,
            KeySetFault::DiscoveryDocument,
        ),
        (br#"{"keys":{},"jwks_uri":"x"}"#, KeySetFault::NotAKeySet),
        (b"not json", KeySetFault::NotAKeySet),
        (b"null", KeySetFault::NotAKeySet),
        (b"[]", KeySetFault::NotAKeySet),
        (b"{}", KeySetFault::NotAKeySet),
        (b"{\"keys\":null}", KeySetFault::NotAKeySet),
        (b"{\"keys\":{}}", KeySetFault::NotAKeySet),
        (b"{\"keys\":[]", KeySetFault::NotAKeySet),
        (b"{\"keys\":[]} x", KeySetFault::NotAKeySet),
        (b"{\"keys\":[],\"keys\":[]}", KeySetFault::NotAKeySet),
        (b"\xff\xfe{\0", KeySetFault::NotAKeySet),
    ] {
        let name = String::from_utf8_lossy(text);
        assert_eq!(ParsedKeys::parse(text, KeyDialect::Standard).err(), Some(fault), "{name:.40}");
    }
    let marked = format!("\u{feff}{}", document(&[RSA.jwk()]));
    assert_eq!(ParsedKeys::parse(marked.as_bytes(), KeyDialect::Standard).unwrap().usable.len(), 1);
}

#[test]
fn members_that_are_null_are_absent() {
    let null = json!({
        "kid": null, "alg": null, "use": null, "key_ops": null, "x5c": null, "x5t": null, "d": null, "p": null, "k": null
    });
    let keys = parsed(&[with(RSA.jwk(), null)]);
    assert!(keys.skipped.is_empty(), "{:?}", keys.skipped);
    assert_eq!((keys.usable[0].kid(), keys.usable[0].algorithms()), (None, KeyFamily::Rsa.algorithms()));
}

#[test]
fn one_jwk_alone_is_a_set_of_one() {
    for jwk in [RSA.jwk_named("a"), P521.jwk_named("a")] {
        let keys = ParsedKeys::parse(jwk.to_string().as_bytes(), KeyDialect::Standard).unwrap();
        assert_eq!((keys.usable.len(), keys.usable[0].kid()), (1, Some("a")));
    }
    let broken = ParsedKeys::parse(br#"{"kty":"RSA"}"#, KeyDialect::Standard).unwrap();
    assert_eq!(broken.skipped[0].fault, KeyFault::Malformed);
}

#[test]
fn a_larger_set_keeps_the_first_keys() {
    let jwk = |number: usize| P256.jwk_named(&number.to_string());
    let read = |max, entries: &[Value]| {
        ParsedKeys::parse_at_most(max, document(entries).as_bytes(), KeyDialect::Standard).unwrap()
    };
    let many: Vec<_> = (0..150).map(jwk).collect();
    let keys = read(100, &many);
    assert_eq!((keys.usable.len(), keys.usable[99].kid()), (100, Some("99")));
    assert_eq!(keys.skipped, [SkippedKey { kid: Some("100".into()), fault: KeyFault::BeyondLimit }]);
    assert!(read(100, &many[..100]).skipped.is_empty());
    assert_eq!(read(150, &many).usable.len(), 150);
    // Keys that cannot be used do not count, and only as many of them are named.
    let keys = read(2, &[json!(0), jwk(1), jwk(2), jwk(3)]);
    assert_eq!((keys.usable.len(), keys.skipped.len()), (2, 2));
    let keys = read(2, &[json!(0), json!(0), json!(0), jwk(1)]);
    assert_eq!((keys.usable.len(), keys.skipped.len()), (0, 3));
    let pem = crate::test_support::pem("PUBLIC KEY", &P256.spki()).repeat(101);
    let keys = ParsedKeys::parse(pem.as_bytes(), KeyDialect::Standard).unwrap();
    assert_eq!((keys.usable.len(), keys.skipped[0].fault), (100, KeyFault::BeyondLimit));
}

#[test]
fn different_keys_with_one_kid_and_algorithm_are_dropped() {
    let other = |jwk: &Value| with(jwk.clone(), json!({"kid": "a"}));
    let (first, second) = (RSA.jwk_named("a"), other(&OTHER_RSA.jwk()));
    let keys = parsed(&[first.clone(), P256.jwk_named("b"), second.clone()]);
    assert_eq!(keys.usable.len(), 1, "both are dropped, the third stays");
    assert_eq!(keys.usable[0].kid(), Some("b"));
    let dropped = SkippedKey { kid: Some("a".into()), fault: KeyFault::DuplicateKeyId };
    assert_eq!(keys.skipped, [dropped.clone(), dropped]);

    // A repeated key is one key, but a different key with the same kid makes it ambiguous.
    assert!(parsed(&[first.clone(), first.clone()]).skipped.is_empty());
    assert_eq!(parsed(&[first.clone(), first.clone(), second.clone()]).usable.len(), 0);
    // With different algorithms, they can be distinguished.
    let bound = [with(first.clone(), json!({"alg": "RS256"})), with(second.clone(), json!({"alg": "PS256"}))];
    assert_eq!(parsed(&bound).usable.len(), 2);
    // Keys without a kid are not ambiguous.
    assert_eq!(parsed(&[RSA.jwk(), OTHER_RSA.jwk()]).usable.len(), 2);
    // A kid is compared byte for byte.
    for kid in ["A", "a ", "a\0", "\u{e1}", "a\u{301}"] {
        assert_eq!(parsed(&[first.clone(), OTHER_RSA.jwk_named(kid)]).usable.len(), 2, "{kid:?}");
    }
}

#[test]
fn the_length_of_a_key_is_in_bits() {
    for (signer, bits) in [(&*RSA, 2048), (&*P256, 256), (&*P384, 384), (&*P521, 521), (&*ED25519, 256)] {
        assert_eq!(signer.verifier().bits(), bits);
    }
    assert_eq!(VerificationKey::from_shared_secret(&[7; 48]).bits(), 384);
}

#[test]
fn alg_restricts_a_key() {
    for (jwk, algorithms) in [
        (RSA.jwk(), KeyFamily::Rsa.algorithms()),
        (with(RSA.jwk(), json!({"alg": "PS384"})), [Algorithm::PS384].into_iter().collect::<AlgorithmSet>()),
        (P256.jwk(), [Algorithm::ES256].into_iter().collect()),
        (P384.jwk(), [Algorithm::ES384].into_iter().collect()),
        (P521.jwk(), [Algorithm::ES512].into_iter().collect()),
        (ED25519.jwk(), [Algorithm::EdDSA].into_iter().collect()),
        (with(ED25519.jwk(), json!({"alg": "EdDSA"})), [Algorithm::EdDSA].into_iter().collect()),
        (with(ED25519.jwk(), json!({"alg": "Ed25519"})), [Algorithm::EdDSA].into_iter().collect()),
        (
            with(P256.jwk(), json!({"use": "sig", "key_ops": ["verify"]})),
            [Algorithm::ES256].into_iter().collect(),
        ),
    ] {
        assert_eq!(parsed(std::slice::from_ref(&jwk)).usable[0].algorithms(), algorithms, "{jwk}");
    }
}
