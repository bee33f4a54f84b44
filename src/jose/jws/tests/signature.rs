//! Valid signatures of each algorithm, and invalid ones.

use aws_lc_rs::digest;
use serde_json::{Value, json};

use super::super::*;
use crate::test_support::{
    ED25519, HMAC, MAX_BYTES, OTHER_ED25519, OTHER_P256, OTHER_P384, OTHER_P521, OTHER_RSA, P256, P384, P521,
    RSA, SigningKey, base64url, parsed, pem, unbase64url, with,
};

fn verify(token: &str, key: &VerificationKey) -> Result<SignedClaims, JoseFault> {
    UnverifiedToken::parse(token, MAX_BYTES)?.verify(key)
}

#[track_caller]
fn assert_refused(token: &str, key: &VerificationKey, why: &str) {
    match verify(token, key) {
        Err(JoseFault::InvalidSignature | JoseFault::Malformed(_)) => {}
        other => panic!("{why}: {other:?}"),
    }
}

/// The same token with another signature.
fn resigned(token: &str, signature: &[u8]) -> String {
    format!("{}.{}", token.rsplit_once('.').unwrap().0, base64url(signature))
}

fn signature_of(token: &str) -> Vec<u8> {
    unbase64url(token.rsplit_once('.').unwrap().1)
}

fn claims() -> Value {
    json!({"sub": "ada"})
}

/// Every algorithm with a signing key and another key of the same family.
fn cases() -> Vec<(Algorithm, &'static SigningKey, &'static SigningKey)> {
    let mut cases: Vec<(_, &SigningKey, &SigningKey)> =
        Algorithm::ASYMMETRIC[..6].iter().map(|algorithm| (*algorithm, &*RSA, &*OTHER_RSA)).collect();
    cases.push((Algorithm::ES256, &P256, &OTHER_P256));
    cases.push((Algorithm::ES384, &P384, &OTHER_P384));
    cases.push((Algorithm::ES512, &P521, &OTHER_P521));
    cases.push((Algorithm::EdDSA, &ED25519, &OTHER_ED25519));
    cases
}

#[test]
fn only_the_signing_key_verifies() {
    let other_secret = SigningKey::secret(b"fedcba9876543210fedcba9876543210");
    let all: [&SigningKey; 6] = [&RSA, &P256, &P384, &P521, &ED25519, &HMAC];
    for (algorithm, key, other) in cases().into_iter().chain([(Algorithm::HS256, &*HMAC, &other_secret)]) {
        let token = key.token(algorithm, None, &claims());
        let parts = verify(&token, &key.verifier())
            .unwrap_or_else(|fault| panic!("{algorithm}: {fault:?}"))
            .into_parts();
        assert_eq!(parts.algorithm, algorithm);
        assert_eq!(parts.claims.get("sub").and_then(JsonValue::as_str), Some("ada"));
        assert_refused(&token, &other.verifier(), &format!("{algorithm} with another key"));
        for stranger in all.iter().filter(|stranger| stranger.verifier().family() != algorithm.family()) {
            assert_refused(&token, &stranger.verifier(), &format!("{algorithm} with another family"));
        }
    }
}

#[test]
fn signature_by_another_algorithm_of_the_family_is_refused() {
    for claimed in &Algorithm::ASYMMETRIC[..6] {
        for made_by in Algorithm::ASYMMETRIC[..6].iter().filter(|made_by| *made_by != claimed) {
            let header = format!(r#"{{"alg":"{claimed}"}}"#);
            let token = RSA.compact(*made_by, header.as_bytes(), b"{}");
            assert_refused(&token, &RSA.verifier(), &format!("{claimed} made as {made_by}"));
        }
    }
}

#[test]
fn key_with_alg_verifies_only_that_algorithm() {
    let keys = parsed(&[with(RSA.jwk(), json!({"alg": "RS256"}))]);
    let key = &keys.usable[0];
    for algorithm in &Algorithm::ASYMMETRIC[..6] {
        let token = RSA.token(*algorithm, None, &claims());
        assert_eq!(verify(&token, key).is_ok(), *algorithm == Algorithm::RS256, "{algorithm}");
    }
}

#[test]
fn any_changed_byte_breaks_the_signature() {
    for (algorithm, key, _) in cases().into_iter().chain([(Algorithm::HS256, &*HMAC, &*HMAC)]) {
        let token = key.token(algorithm, None, &claims());
        let verifier = key.verifier();
        let signature = signature_of(&token);
        for at in [0, signature.len() / 2, signature.len() - 1] {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert_refused(&resigned(&token, &changed), &verifier, &format!("{algorithm}, byte {at}"));
        }
        let other = key.token(algorithm, None, &json!({"sub": "eve"}));
        assert_refused(&resigned(&other, &signature), &verifier, &format!("{algorithm}, other claims"));
        let renamed = key.token(algorithm, Some("k"), &claims());
        assert_refused(&resigned(&renamed, &signature), &verifier, &format!("{algorithm}, other header"));
    }
}

#[test]
fn truncated_and_extended_signatures_are_refused() {
    for (algorithm, key, _) in cases().into_iter().chain([(Algorithm::HS256, &*HMAC, &*HMAC)]) {
        let token = key.token(algorithm, None, &claims());
        let verifier = key.verifier();
        let whole = signature_of(&token);
        let variants: [(&str, Vec<u8>); 8] = [
            ("empty", vec![]),
            ("one byte", whole[..1].to_vec()),
            ("half", whole[..whole.len() / 2].to_vec()),
            ("without its last byte", whole[..whole.len() - 1].to_vec()),
            ("without its first byte", whole[1..].to_vec()),
            ("a zero after it", [&whole[..], &[0]].concat()),
            ("a zero before it", [&[0], &whole[..]].concat()),
            ("twice", [&whole[..], &whole[..]].concat()),
        ];
        for (why, signature) in variants {
            assert_refused(&resigned(&token, &signature), &verifier, &format!("{algorithm}, {why}"));
        }
        assert_refused(&resigned(&token, &vec![0; whole.len()]), &verifier, &format!("{algorithm}, zeros"));
        assert_refused(&resigned(&token, &vec![255; whole.len()]), &verifier, &format!("{algorithm}, ones"));
    }
}

/// ASN.1 INTEGER of a big-endian number.
fn der_integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let mut digits = number[zeros..].to_vec();
    if digits.first().is_none_or(|byte| byte & 0x80 != 0) {
        digits.insert(0, 0);
    }
    [&[2, u8::try_from(digits.len()).unwrap()], &digits[..]].concat()
}

/// The order of P-256 (SEC 2 section 2.4.2).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn order_minus(number: &[u8]) -> Vec<u8> {
    let mut difference = vec![0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let digit = i16::from(P256_ORDER[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(digit < 0);
        difference[at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    difference
}

#[test]
fn ecdsa_signature_must_be_fixed_size_and_in_range() {
    let token = P256.token(Algorithm::ES256, None, &claims());
    let verifier = P256.verifier();
    let whole = signature_of(&token);
    let (r, s) = whole.split_at(32);
    let body = [der_integer(r), der_integer(s)].concat();
    let der = [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat();
    let zero = vec![0; 32];
    let one = [&[0; 31][..], &[1]].concat();
    for (why, signature) in [
        ("DER", der),
        ("r = s = 0", [&zero[..], &zero].concat()),
        ("r = 0", [&zero[..], s].concat()),
        ("s = 0", [r, &zero[..]].concat()),
        ("r = s = 1", [&one[..], &one].concat()),
        ("r = s = n", [&P256_ORDER[..], &P256_ORDER].concat()),
        ("r = n", [&P256_ORDER[..], s].concat()),
        ("s = n", [r, &P256_ORDER[..]].concat()),
        ("r and s swapped", [s, r].concat()),
    ] {
        assert_refused(&resigned(&token, &signature), &verifier, why);
    }
}

#[test]
fn malleated_ecdsa_signature_keeps_the_fingerprint() {
    let token = P256.token(Algorithm::ES256, None, &claims());
    let whole = signature_of(&token);
    let (r, s) = whole.split_at(32);
    let twin = resigned(&token, &[r, &order_minus(s)].concat());
    assert_ne!(token, twin);
    let [first, second] = [&token, &twin].map(|token| verify(token, &P256.verifier()).unwrap().into_parts());
    assert_eq!(first.fingerprint, second.fingerprint, "the signature is no part of an identity");
    let input = token.rsplit_once('.').unwrap().0;
    let expected: String = digest::digest(&digest::SHA256, input.as_bytes()).as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(first.fingerprint.short(), &*expected);
    let other = P256.token(Algorithm::ES256, Some("k"), &claims());
    assert_ne!(verify(&other, &P256.verifier()).unwrap().into_parts().fingerprint, first.fingerprint);
}

#[test]
fn public_key_is_not_accepted_as_hmac_secret() {
    for key in [&*RSA, &P256, &P384, &P521, &ED25519] {
        let spki = pem("PUBLIC KEY", &key.spki());
        let mut secrets: Vec<(&str, Vec<u8>)> = vec![
            ("PEM", spki.clone().into_bytes()),
            ("PEM without its last line end", spki.trim_end().as_bytes().to_vec()),
            ("SubjectPublicKeyInfo", key.spki()),
            ("key bytes", key.public_bytes()),
            ("JWK", key.jwk().to_string().into_bytes()),
            ("nothing", Vec::new()),
        ];
        if let SigningKey::Rsa(_) = key {
            secrets.push(("modulus", key.rsa_numbers().0));
            secrets.push(("modulus in base64url", base64url(&key.rsa_numbers().0).into_bytes()));
            secrets.push(("PKCS #1 PEM", pem("RSA PUBLIC KEY", &key.public_bytes()).into_bytes()));
        } else {
            secrets.push(("x", key.public_bytes()[1..].to_vec()));
        }
        for (name, secret) in secrets {
            let forger = SigningKey::secret(&secret);
            let forged = forger.token(Algorithm::HS256, None, &claims());
            assert_refused(&forged, &key.verifier(), &format!("HS256 with the public key's {name}"));
            // The same HMAC, but with the key's own algorithm in the header.
            let header = format!(r#"{{"alg":"{}"}}"#, key.algorithm());
            let forged = forger.compact(Algorithm::HS256, header.as_bytes(), b"{}");
            assert_refused(&forged, &key.verifier(), &format!("an HMAC by {name} as {}", key.algorithm()));
        }
    }
}

#[test]
fn keys_in_the_header_are_ignored() {
    let header = with(json!({"alg": "RS256", "kid": "a"}), json!({"jwk": OTHER_RSA.jwk(), "x5c": ["MII"]}));
    let forged = OTHER_RSA.compact(Algorithm::RS256, header.to_string().as_bytes(), b"{}");
    assert_refused(&forged, &RSA.verifier(), "signed by the key in the header");
    let honest = RSA.compact(Algorithm::RS256, header.to_string().as_bytes(), b"{}");
    assert!(verify(&honest, &RSA.verifier()).is_ok(), "the key in the header is ignored");
}
