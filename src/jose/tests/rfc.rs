//! The examples of RFC 7520 section 4 and RFC 8037 appendix A.4.

use serde_json::json;

use super::*;
use crate::jose::UnverifiedToken;
use crate::test_support::{key_set, parsed, unbase64url};

/// Figure 8, encoded: "It's a dangerous business, Frodo, going out your door. [...]"
const PAYLOAD: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0\
     aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91\
     IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
/// Figure 4: the modulus of the RSA key.
const RSA_N: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMa\
     JMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6c\
     S6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwd\
     q_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
/// Figure 1: the point of the P-521 key.
const EC_X: &str = "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt";
const EC_Y: &str = "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1";
/// Figure 7: the secret.
const SECRET: &str = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg";
const RS256_HEADER: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
const RS256_SIGNATURE: &str = "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7P\
     NDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9e\
     Ro4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4\
     uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg";
const PS384_HEADER: &str = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
const PS384_SIGNATURE: &str = "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dD\
     DItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ij\
     Q7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAj\
     VKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";
const ES512_HEADER: &str = "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
const ES512_SIGNATURE: &str = "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPB\
     u_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2";
const HS256_HEADER: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9";
const HS256_SIGNATURE: &str = "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0";

fn token(header: &str, signature: &str) -> String {
    format!("{header}.{PAYLOAD}.{signature}")
}

/// The key of figure 4, bound to one algorithm.
fn rsa_keys(alg: &str) -> KeySet {
    let kid = "bilbo.baggins@hobbiton.example";
    key_set(&[json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": alg, "n": RSA_N, "e": "AQAB"})])
}

/// Checks that the signature is valid but the payload, a text, is refused as a claims set.
#[track_caller]
fn assert_signature_alone(token: &str, keys: &KeySet) {
    assert_eq!(accept(token, keys), Ok(unbase64url(PAYLOAD)));
    assert!(matches!(UnverifiedToken::parse(token, MAX_BYTES), Err(JoseFault::Malformed(_))));
}

#[test]
fn rfc_7520_section_4_1_rsa_v15_signature() {
    let token = token(RS256_HEADER, RS256_SIGNATURE);
    assert_signature_alone(&token, &rsa_keys("RS256"));
    assert_eq!(accept(&token, &rsa_keys("PS256")), Err(Refusal::NoKey));
}

#[test]
fn rfc_7520_section_4_2_rsa_pss_signature() {
    let token = token(PS384_HEADER, PS384_SIGNATURE);
    assert_signature_alone(&token, &rsa_keys("PS384"));
    assert_eq!(accept(&token, &rsa_keys("RS256")), Err(Refusal::NoKey));
}

#[test]
fn rfc_7520_section_4_3_es512_signature() {
    let kid = "bilbo.baggins@hobbiton.example";
    let keys =
        key_set(&[json!({"kty": "EC", "kid": kid, "use": "sig", "crv": "P-521", "x": EC_X, "y": EC_Y})]);
    assert_signature_alone(&token(ES512_HEADER, ES512_SIGNATURE), &keys);
}

#[test]
fn rfc_7520_section_4_4_hmac_sha2() {
    let (token, secret) = (token(HS256_HEADER, HS256_SIGNATURE), unbase64url(SECRET));
    let key = VerificationKey::from_shared_secret(&secret);
    assert_signature_alone(&token, &KeySet::new(vec![key.into()]));
    // The same secret is refused in a public key set.
    let published = parsed(&[json!({"kty": "oct", "alg": "HS256", "use": "sig", "k": SECRET})]);
    assert_eq!(accept(&token, &KeySet::new(published.usable)), Err(Refusal::NoKey));
}

#[test]
fn rfc_7520_section_4_5_a_detached_payload_is_refused() {
    let token = format!("{HS256_HEADER}..{HS256_SIGNATURE}");
    let key = VerificationKey::from_shared_secret(&unbase64url(SECRET));
    assert_eq!(accept(&token, &KeySet::new(vec![key.into()])), Err(Refusal::Signature));
    assert!(matches!(UnverifiedToken::parse(&token, MAX_BYTES), Err(JoseFault::Malformed(_))));
}

/// The example of section 4.6 has an unprotected header, so it has no compact form. Those of 4.7 and 4.8 use the
/// same general and flattened serializations.
#[test]
fn rfc_7520_sections_4_6_to_4_8_json_serializations_are_refused() {
    let signature = "bWUSVaxorn7bEF1djytBd0kHv70Ly5pvbomzMWSOr20";
    let flattened = json!({
        "payload": PAYLOAD,
        "protected": "eyJhbGciOiJIUzI1NiJ9",
        "header": {"kid": "018c0ae5-4d9b-471b-bfd6-eef314bc7037"},
        "signature": signature,
    });
    let refused = accept(&flattened.to_string(), &KeySet::default());
    assert!(matches!(refused, Err(Refusal::Form(JoseFault::Malformed(_)))), "{refused:?}");
}

#[test]
fn rfc_8037_appendix_a_4_ed25519() {
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                 hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let keys = key_set(&[json!({"kty": "OKP", "crv": "Ed25519", "x": x})]);
    assert_eq!(accept(token, &keys), Ok(b"Example of Ed25519 signing".to_vec()));
}
