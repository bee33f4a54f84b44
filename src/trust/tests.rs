//! Which keys verify a token.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::{Value, json};

use super::*;
use crate::jose::Algorithm;
use crate::test_support::{
    HMAC, MAX_BYTES, NOW, OTHER_RSA, P256, RSA, SigningKey, entry, good_claims, key_set, pem, with, without,
};

const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);

fn claims_of(issuer: &str) -> Value {
    with(good_claims(), json!({"iss": issuer}))
}

/// Entries `a`, `b` and the simple list. All their keys have the same kid.
struct Setup {
    issuers: Vec<TrustedIssuer>,
    keys: Vec<Option<KeySet>>,
}

fn setup() -> Setup {
    Setup {
        issuers: vec![
            entry("a", &["https://a.example"]),
            entry("b", &["https://b.example", "b"]),
            entry("public-keys", &[]),
        ],
        keys: vec![
            Some(key_set(&[RSA.jwk_named("k")])),
            Some(key_set(&[OTHER_RSA.jwk_named("k")])),
            Some(key_set(&[P256.jwk_named("k")])),
        ],
    }
}

impl Setup {
    fn verify(&self, token: &str) -> Result<String, TokenFault> {
        let token = UnverifiedToken::parse(token, MAX_BYTES)?;
        let at = entry_for(&token, &self.issuers, None)?;
        let verified = verify(&token, &self.issuers[at], self.keys[at].as_ref(), NOW_DATE)?;
        Ok(verified.entry().to_owned())
    }
}

fn rs256(key: &SigningKey, issuer: &str) -> String {
    key.token(Algorithm::RS256, Some("k"), &claims_of(issuer))
}

#[test]
fn issuer_selects_the_entry() {
    let setup = setup();
    assert_eq!(setup.verify(&rs256(&RSA, "https://a.example")), Ok("a".into()));
    assert_eq!(setup.verify(&rs256(&OTHER_RSA, "https://b.example")), Ok("b".into()));
    assert_eq!(setup.verify(&rs256(&OTHER_RSA, "b")), Ok("b".into()));
    let other = P256.token(Algorithm::ES256, Some("k"), &claims_of("https://c.example"));
    assert_eq!(setup.verify(&other), Ok("public-keys".into()));
    let none = P256.token(Algorithm::ES256, Some("k"), &without(good_claims(), "iss"));
    assert_eq!(setup.verify(&none), Ok("public-keys".into()));
}

#[test]
fn keys_of_one_issuer_do_not_verify_tokens_of_another() {
    let setup = setup();
    assert_eq!(setup.verify(&rs256(&OTHER_RSA, "https://a.example")), Err(TokenFault::InvalidSignature));
    assert_eq!(setup.verify(&rs256(&RSA, "https://b.example")), Err(TokenFault::InvalidSignature));
    // The simple list's key with the issuer of an entry, and the reverse.
    let list = P256.token(Algorithm::ES256, Some("k"), &claims_of("https://a.example"));
    assert_eq!(setup.verify(&list), Err(TokenFault::WrongKeyAlgorithm), "a's key of this kid is RSA");
    assert_eq!(setup.verify(&rs256(&RSA, "https://c.example")), Err(TokenFault::WrongKeyAlgorithm));
}

#[test]
fn simple_list_is_not_tried_for_an_entrys_issuer() {
    let mut setup = setup();
    // Now the simple list has the signing key.
    setup.keys[0] = Some(key_set(&[OTHER_RSA.jwk_named("k")]));
    setup.keys[2] = Some(key_set(&[RSA.jwk_named("k")]));
    assert_eq!(setup.verify(&rs256(&RSA, "https://a.example")), Err(TokenFault::InvalidSignature));
    setup.keys[0] = None;
    assert_eq!(setup.verify(&rs256(&RSA, "https://a.example")), Err(TokenFault::KeysUnavailable));
    // The order of the entries does not matter.
    setup.issuers.rotate_right(1);
    setup.keys.rotate_right(1);
    assert_eq!(setup.verify(&rs256(&RSA, "https://a.example")), Err(TokenFault::KeysUnavailable));
    assert_eq!(setup.verify(&rs256(&RSA, "https://c.example")), Ok("public-keys".into()));
}

#[test]
fn unknown_issuers_are_refused_without_the_simple_list() {
    let mut setup = setup();
    setup.issuers.pop();
    for issuer in ["https://c.example", "https://a.example/", "HTTPS://A.EXAMPLE", "a", ""] {
        assert_eq!(setup.verify(&rs256(&RSA, issuer)), Err(TokenFault::UntrustedIssuer), "{issuer}");
    }
    let none = RSA.token(Algorithm::RS256, Some("k"), &without(good_claims(), "iss"));
    assert_eq!(setup.verify(&none), Err(TokenFault::UntrustedIssuer));
    for issuer in [json!(["https://a.example"]), json!(5), json!({})] {
        let token = RSA.token(Algorithm::RS256, Some("k"), &with(good_claims(), json!({"iss": issuer})));
        assert!(matches!(setup.verify(&token), Err(TokenFault::Malformed(_))), "{issuer}");
    }
    assert!(entry_for(&UnverifiedToken::parse(&none, MAX_BYTES).unwrap(), &[], None).is_err());
}

/// Whatever its key: the simple list may have it, if it is the backend's own list.
#[test]
fn a_minted_token_is_of_no_entry() {
    let setup = setup();
    let text = P256.token(Algorithm::ES256, Some("k"), &claims_of("https://minted.example"));
    let token = UnverifiedToken::parse(&text, MAX_BYTES).unwrap();
    assert_eq!(entry_for(&token, &setup.issuers, None), Ok(2));
    let minted = Some("https://minted.example");
    assert_eq!(entry_for(&token, &setup.issuers, minted), Err(TokenFault::UntrustedIssuer));
    for (issuer, at) in [("https://a.example", 0), ("https://other.example", 2)] {
        let text = P256.token(Algorithm::ES256, Some("k"), &claims_of(issuer));
        assert_eq!(
            entry_for(&UnverifiedToken::parse(&text, MAX_BYTES).unwrap(), &setup.issuers, minted),
            Ok(at)
        );
    }
    let none = P256.token(Algorithm::ES256, Some("k"), &without(good_claims(), "iss"));
    assert_eq!(entry_for(&UnverifiedToken::parse(&none, MAX_BYTES).unwrap(), &setup.issuers, None), Ok(2));
}

#[test]
fn algorithm_is_checked_before_missing_keys() {
    let mut setup = setup();
    setup.keys[0] = None;
    let token = |algorithm| RSA.token(algorithm, Some("k"), &claims_of("https://a.example"));
    setup.issuers[0].algorithms = [Algorithm::RS256].into_iter().collect();
    assert_eq!(setup.verify(&token(Algorithm::RS256)), Err(TokenFault::KeysUnavailable));
    assert_eq!(setup.verify(&token(Algorithm::PS512)), Err(TokenFault::AlgorithmNotAllowed));
    let hmac = HMAC.token(Algorithm::HS256, None, &claims_of("https://a.example"));
    assert_eq!(setup.verify(&hmac), Err(TokenFault::AlgorithmNotAllowed));
    setup.keys[0] = Some(key_set(&[RSA.jwk_named("k")]));
    assert_eq!(setup.verify(&token(Algorithm::PS512)), Err(TokenFault::AlgorithmNotAllowed));
    assert_eq!(setup.verify(&token(Algorithm::RS256)), Ok("a".into()));
}

#[test]
fn unknown_key_differs_from_invalid_signature() {
    let mut setup = setup();
    let token = |kid: Option<&str>, key: &SigningKey| {
        key.token(Algorithm::RS256, kid, &claims_of("https://a.example"))
    };
    assert_eq!(setup.verify(&token(Some("other"), &RSA)), Err(TokenFault::UnknownKey));
    assert_eq!(setup.verify(&token(Some("K"), &RSA)), Err(TokenFault::UnknownKey));
    assert_eq!(setup.verify(&token(Some("k"), &OTHER_RSA)), Err(TokenFault::InvalidSignature));
    assert_eq!(setup.verify(&token(None, &RSA)), Ok("a".into()), "one key fits");
    assert_eq!(setup.verify(&token(None, &OTHER_RSA)), Err(TokenFault::InvalidSignature));
    setup.keys[0] = Some(key_set(&[RSA.jwk_named("k"), OTHER_RSA.jwk_named("l")]));
    assert_eq!(setup.verify(&token(None, &RSA)), Err(TokenFault::UnknownKey), "two keys fit");
    // If none of the keys without a kid verifies the token, its key is unknown.
    let file = pem("PUBLIC KEY", &RSA.spki());
    let file = crate::jose::ParsedKeys::parse(file.as_bytes(), crate::jose::KeyDialect::Standard).unwrap();
    setup.keys[0] = Some(KeySet::new(file.usable));
    assert_eq!(setup.verify(&token(Some("any"), &RSA)), Ok("a".into()));
    assert_eq!(setup.verify(&token(Some("any"), &OTHER_RSA)), Err(TokenFault::UnknownKey));
}

#[test]
fn one_kid_in_two_sources_tries_both_keys() {
    let mut setup = setup();
    for order in [[&*RSA, &OTHER_RSA], [&OTHER_RSA, &RSA]] {
        let keys = order.iter().flat_map(|key| crate::test_support::parsed(&[key.jwk_named("k")]).usable);
        setup.keys[0] = Some(KeySet::new(keys.collect()));
        assert_eq!(setup.verify(&rs256(&RSA, "https://a.example")), Ok("a".into()));
        assert_eq!(setup.verify(&rs256(&OTHER_RSA, "https://a.example")), Ok("a".into()));
    }
}

#[test]
fn shared_secret_is_only_for_its_entry() {
    let mut datahub = entry("datahub", &["datahub-metadata-service"]);
    datahub.algorithms = [Algorithm::HS256].into_iter().collect();
    let mut setup = setup();
    setup.issuers.insert(0, datahub);
    setup.keys.insert(0, Some(KeySet::new(vec![Arc::new(HMAC.verifier())])));
    let claims = json!({"actorType": "USER", "actorId": "ada", "type": "PERSONAL", "version": "2", "sub": "ada",
        "exp": NOW + 600, "iss": "datahub-metadata-service"});
    assert_eq!(setup.verify(&HMAC.token(Algorithm::HS256, None, &claims)), Ok("datahub".into()));
    let forged =
        SigningKey::secret(b"fedcba9876543210fedcba9876543210").token(Algorithm::HS256, None, &claims);
    assert_eq!(setup.verify(&forged), Err(TokenFault::InvalidSignature));
    for issuer in ["https://a.example", "https://c.example"] {
        let elsewhere = HMAC.token(Algorithm::HS256, None, &with(claims.clone(), json!({"iss": issuer})));
        assert_eq!(setup.verify(&elsewhere), Err(TokenFault::AlgorithmNotAllowed), "{issuer}");
    }
    let asymmetric = RSA.token(Algorithm::RS256, None, &claims);
    assert_eq!(setup.verify(&asymmetric), Err(TokenFault::AlgorithmNotAllowed));
}

#[test]
fn signature_is_verified_before_the_claims() {
    let setup = setup();
    let expired = |key: &SigningKey| {
        key.token(Algorithm::RS256, Some("k"), &with(claims_of("https://a.example"), json!({"exp": 1})))
    };
    assert_eq!(setup.verify(&expired(&RSA)), Err(TokenFault::Claims(ClaimsFault::Expired)));
    assert_eq!(
        setup.verify(&expired(&OTHER_RSA)),
        Err(TokenFault::InvalidSignature),
        "no oracle about claims"
    );
}

/// So a token of another signer causes no fetch of keys.
#[test]
fn required_header_members_are_checked_before_the_key() {
    let mut setup = setup();
    let required =
        |name: &str, values: &[&str]| (name.into(), values.iter().map(|value| (*value).into()).collect());
    setup.issuers[0].rules.kinds.header = vec![required("signer", &["a1", "a2"]), required("client", &["c"])];
    let keys = setup.keys[0].take();
    let token = |members: Value| {
        let header = with(json!({"alg": "RS256", "kid": "k"}), members).to_string();
        let payload = claims_of("https://a.example").to_string();
        RSA.compact(Algorithm::RS256, header.as_bytes(), payload.as_bytes())
    };
    let good = [json!({"signer": "a1", "client": "c"}), json!({"client": "c", "signer": "a2", "other": 1})];
    let bad = [
        (json!({"signer": "a3", "client": "c"}), "signer"),
        (json!({"signer": "A1", "client": "c"}), "signer"),
        (json!({"signer": ["a1"], "client": "c"}), "signer"),
        (json!({"client": "c"}), "signer"),
        (json!({}), "signer"),
        (json!({"signer": "a1"}), "client"),
        (json!({"signer": "a1", "client": "a1"}), "client"),
    ];
    for members in &good {
        assert_eq!(setup.verify(&token(members.clone())), Err(TokenFault::KeysUnavailable), "{members}");
    }
    for (members, name) in &bad {
        let text = token(members.clone());
        assert_eq!(setup.verify(&text), Err(TokenFault::WrongHeader), "{members}");
        let parsed = UnverifiedToken::parse(&text, MAX_BYTES).unwrap();
        let (wrong, accepted) = wrong_member(&parsed, &setup.issuers[0]).unwrap();
        assert_eq!((wrong, accepted.len()), (*name, if *name == "signer" { 2 } else { 1 }), "{members}");
    }
    setup.keys[0] = keys;
    for members in good {
        assert_eq!(setup.verify(&token(members)), Ok("a".into()));
    }
    for (members, _) in bad {
        assert_eq!(setup.verify(&token(members.clone())), Err(TokenFault::WrongHeader), "{members}");
    }
    assert_eq!(setup.verify(&rs256(&OTHER_RSA, "b")), Ok("b".into()), "other entries require nothing");
}

#[test]
fn newer_keys_can_only_help_if_the_fault_is_the_keys() {
    for (fault, may_be) in [
        (TokenFault::UnknownKey, true),
        (TokenFault::InvalidSignature, true),
        (TokenFault::WrongKeyAlgorithm, true),
        (TokenFault::Malformed(""), false),
        (TokenFault::AlgorithmNotAllowed, false),
        (TokenFault::UntrustedIssuer, false),
        (TokenFault::WrongHeader, false),
        (TokenFault::KeysUnavailable, false),
        (TokenFault::Claims(ClaimsFault::Expired), false),
        (TokenFault::Revoked(RevokedBy::Key), false),
    ] {
        assert_eq!(fault.may_be_outdated_keys(), may_be, "{fault:?}");
    }
}
