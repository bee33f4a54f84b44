//! Whose keys judge a token.

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

/// Entries `a`, `b` and the simple list, with keys of one and the same kid.
struct House {
    issuers: Vec<TrustedIssuer>,
    keys: Vec<Option<KeySet>>,
}

fn house() -> House {
    House {
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

impl House {
    fn judge(&self, token: &str) -> Result<String, TokenFault> {
        let token = UnverifiedToken::parse(token, MAX_BYTES)?;
        let at = entry_for(&token, &self.issuers)?;
        let verified = verify(token, &self.issuers[at], self.keys[at].as_ref(), NOW_DATE)?;
        Ok(verified.entry().to_owned())
    }
}

fn rs256(key: &SigningKey, issuer: &str) -> String {
    key.token(Algorithm::RS256, Some("k"), &claims_of(issuer))
}

#[test]
fn the_issuer_picks_the_entry() {
    let house = house();
    assert_eq!(house.judge(&rs256(&RSA, "https://a.example")), Ok("a".into()));
    assert_eq!(house.judge(&rs256(&OTHER_RSA, "https://b.example")), Ok("b".into()));
    assert_eq!(house.judge(&rs256(&OTHER_RSA, "b")), Ok("b".into()));
    let other = P256.token(Algorithm::ES256, Some("k"), &claims_of("https://c.example"));
    assert_eq!(house.judge(&other), Ok("public-keys".into()));
    let none = P256.token(Algorithm::ES256, Some("k"), &without(good_claims(), "iss"));
    assert_eq!(house.judge(&none), Ok("public-keys".into()));
}

#[test]
fn keys_of_one_issuer_never_speak_for_another() {
    let house = house();
    assert_eq!(house.judge(&rs256(&OTHER_RSA, "https://a.example")), Err(TokenFault::InvalidSignature));
    assert_eq!(house.judge(&rs256(&RSA, "https://b.example")), Err(TokenFault::InvalidSignature));
    // The simple list's key, under the name of an entry's issuer, and the reverse.
    let list = P256.token(Algorithm::ES256, Some("k"), &claims_of("https://a.example"));
    assert_eq!(house.judge(&list), Err(TokenFault::WrongKeyAlgorithm), "a's key of this kid is RSA");
    assert_eq!(house.judge(&rs256(&RSA, "https://c.example")), Err(TokenFault::WrongKeyAlgorithm));
}

#[test]
fn the_simple_list_never_judges_a_token_of_an_entrys_issuer() {
    let mut house = house();
    // Now the list has the very key that signed.
    house.keys[0] = Some(key_set(&[OTHER_RSA.jwk_named("k")]));
    house.keys[2] = Some(key_set(&[RSA.jwk_named("k")]));
    assert_eq!(house.judge(&rs256(&RSA, "https://a.example")), Err(TokenFault::InvalidSignature));
    house.keys[0] = None;
    assert_eq!(house.judge(&rs256(&RSA, "https://a.example")), Err(TokenFault::KeysUnavailable));
    // And it does not depend on the order of the entries.
    house.issuers.rotate_right(1);
    house.keys.rotate_right(1);
    assert_eq!(house.judge(&rs256(&RSA, "https://a.example")), Err(TokenFault::KeysUnavailable));
    assert_eq!(house.judge(&rs256(&RSA, "https://c.example")), Ok("public-keys".into()));
}

#[test]
fn without_the_simple_list_other_issuers_are_not_trusted() {
    let mut house = house();
    house.issuers.pop();
    for issuer in ["https://c.example", "https://a.example/", "HTTPS://A.EXAMPLE", "a", ""] {
        assert_eq!(house.judge(&rs256(&RSA, issuer)), Err(TokenFault::UntrustedIssuer), "{issuer}");
    }
    let none = RSA.token(Algorithm::RS256, Some("k"), &without(good_claims(), "iss"));
    assert_eq!(house.judge(&none), Err(TokenFault::UntrustedIssuer));
    for issuer in [json!(["https://a.example"]), json!(5), json!({})] {
        let token = RSA.token(Algorithm::RS256, Some("k"), &with(good_claims(), json!({"iss": issuer})));
        assert!(matches!(house.judge(&token), Err(TokenFault::Malformed(_))), "{issuer}");
    }
    assert!(entry_for(&UnverifiedToken::parse(&none, MAX_BYTES).unwrap(), &[]).is_err());
}

#[test]
fn keys_are_missed_only_for_an_algorithm_that_is_allowed() {
    let mut house = house();
    house.keys[0] = None;
    let token = |algorithm| RSA.token(algorithm, Some("k"), &claims_of("https://a.example"));
    house.issuers[0].algorithms = [Algorithm::RS256].into_iter().collect();
    assert_eq!(house.judge(&token(Algorithm::RS256)), Err(TokenFault::KeysUnavailable));
    assert_eq!(house.judge(&token(Algorithm::PS512)), Err(TokenFault::AlgorithmNotAllowed));
    let hmac = HMAC.token(Algorithm::HS256, None, &claims_of("https://a.example"));
    assert_eq!(house.judge(&hmac), Err(TokenFault::AlgorithmNotAllowed));
    house.keys[0] = Some(key_set(&[RSA.jwk_named("k")]));
    assert_eq!(house.judge(&token(Algorithm::PS512)), Err(TokenFault::AlgorithmNotAllowed));
    assert_eq!(house.judge(&token(Algorithm::RS256)), Ok("a".into()));
}

#[test]
fn an_unknown_key_is_told_from_a_wrong_signature() {
    let mut house = house();
    let token = |kid: Option<&str>, key: &SigningKey| {
        key.token(Algorithm::RS256, kid, &claims_of("https://a.example"))
    };
    assert_eq!(house.judge(&token(Some("other"), &RSA)), Err(TokenFault::UnknownKey));
    assert_eq!(house.judge(&token(Some("K"), &RSA)), Err(TokenFault::UnknownKey));
    assert_eq!(house.judge(&token(Some("k"), &OTHER_RSA)), Err(TokenFault::InvalidSignature));
    assert_eq!(house.judge(&token(None, &RSA)), Ok("a".into()), "one key fits");
    assert_eq!(house.judge(&token(None, &OTHER_RSA)), Err(TokenFault::InvalidSignature));
    house.keys[0] = Some(key_set(&[RSA.jwk_named("k"), OTHER_RSA.jwk_named("l")]));
    assert_eq!(house.judge(&token(None, &RSA)), Err(TokenFault::UnknownKey), "two keys fit");
    // Keys without a name: if none of them signed it, its key is not known.
    let file = pem("PUBLIC KEY", &RSA.spki());
    let file = crate::jose::ParsedKeys::parse(file.as_bytes(), crate::jose::KeyDialect::Standard).unwrap();
    house.keys[0] = Some(KeySet::new(file.usable));
    assert_eq!(house.judge(&token(Some("any"), &RSA)), Ok("a".into()));
    assert_eq!(house.judge(&token(Some("any"), &OTHER_RSA)), Err(TokenFault::UnknownKey));
}

#[test]
fn one_kid_in_two_sources_is_tried_with_both() {
    let mut house = house();
    for order in [[&*RSA, &OTHER_RSA], [&OTHER_RSA, &RSA]] {
        let keys = order.iter().flat_map(|key| crate::test_support::parsed(&[key.jwk_named("k")]).usable);
        house.keys[0] = Some(KeySet::new(keys.collect()));
        assert_eq!(house.judge(&rs256(&RSA, "https://a.example")), Ok("a".into()));
        assert_eq!(house.judge(&rs256(&OTHER_RSA, "https://a.example")), Ok("a".into()));
    }
}

#[test]
fn a_shared_secret_is_for_its_own_entry() {
    let mut datahub = entry("datahub", &["datahub-metadata-service"]);
    datahub.algorithms = [Algorithm::HS256].into_iter().collect();
    let mut house = house();
    house.issuers.insert(0, datahub);
    house.keys.insert(0, Some(KeySet::new(vec![Arc::new(HMAC.verifier())])));
    let claims = json!({"actorType": "USER", "actorId": "ada", "type": "PERSONAL", "version": "2", "sub": "ada",
        "exp": NOW + 600, "iss": "datahub-metadata-service"});
    assert_eq!(house.judge(&HMAC.token(Algorithm::HS256, None, &claims)), Ok("datahub".into()));
    let forged =
        SigningKey::secret(b"fedcba9876543210fedcba9876543210").token(Algorithm::HS256, None, &claims);
    assert_eq!(house.judge(&forged), Err(TokenFault::InvalidSignature));
    for issuer in ["https://a.example", "https://c.example"] {
        let elsewhere = HMAC.token(Algorithm::HS256, None, &with(claims.clone(), json!({"iss": issuer})));
        assert_eq!(house.judge(&elsewhere), Err(TokenFault::AlgorithmNotAllowed), "{issuer}");
    }
    let asymmetric = RSA.token(Algorithm::RS256, None, &claims);
    assert_eq!(house.judge(&asymmetric), Err(TokenFault::AlgorithmNotAllowed));
}

#[test]
fn the_signature_comes_before_the_claims() {
    let house = house();
    let expired = |key: &SigningKey| {
        key.token(Algorithm::RS256, Some("k"), &with(claims_of("https://a.example"), json!({"exp": 1})))
    };
    assert_eq!(house.judge(&expired(&RSA)), Err(TokenFault::Claims(ClaimsFault::Expired)));
    assert_eq!(
        house.judge(&expired(&OTHER_RSA)),
        Err(TokenFault::InvalidSignature),
        "no oracle about claims"
    );
}
