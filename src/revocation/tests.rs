use serde_json::json;

use super::*;
use crate::claims::{self, ClaimRules, VerifiedToken};
use crate::jose::{KeySet, UnverifiedToken};
use crate::test_support::{
    HMAC, MAX_BYTES, NOW, OTHER_P256, P256, entry, good_claims, key_set, open_rules, verified, verified_by,
    with, without,
};
use crate::trust;

const FULL: usize = 64;

fn list(by: RevokedBy, text: &str) -> Revocations {
    Revocations::new([Revocation::new(by, text).unwrap()], None).unwrap()
}

fn limited(by: RevokedBy, text: &str, issuer: Option<&str>, before: Option<i64>) -> Revocations {
    let entry = Revocation::new(by, text).unwrap().of_issuer(issuer.map(Into::into));
    Revocations::new([entry.issued_before(before.map(NumericDate::from_secs))], None).unwrap()
}

#[test]
fn an_empty_list_revokes_nothing() {
    let list = Revocations::default();
    assert!(list.is_empty());
    assert_eq!(list.find(&verified(json!({"jti": "a"})), "").map(|found| found.by), None);
}

#[test]
fn a_complete_list_has_every_entry() {
    let list = limited(RevokedBy::Id, "a-1", Some("idp"), None).complete();
    assert_eq!(list.find(&verified(json!({"jti": "a-1"})), "").map(|found| found.by), Some(RevokedBy::Id));
}

#[test]
fn jti_must_match_exactly() {
    let list = list(RevokedBy::Id, "a-1");
    assert_eq!(list.find(&verified(json!({"jti": "a-1"})), "").map(|found| found.by), Some(RevokedBy::Id));
    for claims in
        [json!({}), json!({"jti": "A-1"}), json!({"jti": "a-1 "}), json!({"jti": null}), json!({"jti": 1})]
    {
        assert_eq!(list.find(&verified(claims.clone()), "").map(|found| found.by), None, "{claims}");
    }
}

#[test]
fn subject_entries_may_be_limited_by_issue_time() {
    let token = verified(json!({}));
    assert_eq!(
        list(RevokedBy::Subject, "ada").find(&token, "").map(|found| found.by),
        Some(RevokedBy::Subject)
    );
    assert_eq!(list(RevokedBy::Subject, "bob").find(&token, "").map(|found| found.by), None);
    let issued = NOW - 60;
    let before = |time| limited(RevokedBy::Subject, "ada", None, Some(time));
    assert_eq!(before(issued + 1).find(&token, "").map(|found| found.by), Some(RevokedBy::Subject));
    assert_eq!(before(issued).find(&token, "").map(|found| found.by), None, "issued at that very second");
    let claims = without(good_claims(), "iat");
    let no_iat = crate::test_support::verified_by(&open_rules(), &claims);
    assert_eq!(
        before(1).find(&no_iat, "").map(|found| found.by),
        Some(RevokedBy::Subject),
        "without iat it counts as early"
    );
}

#[test]
fn the_subject_is_not_the_principal() {
    let token = verified(json!({"sub": "00u1", "email": "ada@a.example"}));
    assert_eq!(token.principal(), "ada@a.example");
    assert_eq!(list(RevokedBy::Subject, "ada@a.example").find(&token, "").map(|found| found.by), None);
    assert_eq!(
        list(RevokedBy::Subject, "00u1").find(&token, "").map(|found| found.by),
        Some(RevokedBy::Subject)
    );
}

#[test]
fn an_issuer_limit_matches_the_entry_name_or_a_bound_iss() {
    let bound = ClaimRules { issuers: vec!["https://idp.example".into()], ..open_rules() };
    let claims = with(good_claims(), json!({"jti": "a"}));
    for (rules, issuer, expected) in [
        (&bound, "idp", true),
        (&bound, "https://idp.example", true),
        (&bound, "other", false),
        (&bound, "", false),
        (&open_rules(), "idp", true),
        (&open_rules(), "https://idp.example", false),
    ] {
        let found = limited(RevokedBy::Id, "a", Some(issuer), None).find(&verified_by(rules, &claims), "");
        assert_eq!(found.is_some(), expected, "{issuer}");
    }
}

#[test]
fn any_of_several_entries_with_the_same_value_revokes() {
    let entry = |issuer: &str| Revocation::new(RevokedBy::Id, "a").unwrap().of_issuer(Some(issuer.into()));
    let list = Revocations::new([entry("other"), entry("idp"), entry("third")], None).unwrap();
    assert_eq!(list.count(RevokedBy::Id), 3);
    assert!(list.find(&verified(json!({"jti": "a"})), "").is_some());
}

#[test]
fn fingerprint_prefixes_of_16_digits_or_more_match() {
    let token = verified(json!({}));
    let full = token.fingerprint().full();
    for length in [16, 17, 40, FULL] {
        assert_eq!(
            list(RevokedBy::Fingerprint, &full[..length]).find(&token, "").map(|found| found.by),
            Some(RevokedBy::Fingerprint)
        );
    }
    assert!(list(RevokedBy::Fingerprint, &full.to_uppercase()).find(&token, "").is_some());
    // The same first 16 digits but a different end is a different token.
    let last = if full.ends_with('0') { '1' } else { '0' };
    assert_eq!(
        list(RevokedBy::Fingerprint, &format!("{}{last}", &full[..FULL - 1]))
            .find(&token, "")
            .map(|found| found.by),
        None
    );
    for text in [&full[..15], &format!("{full}0"), "sha256:0123456789abcdef", "g123456789abcdef", ""] {
        assert!(Revocation::new(RevokedBy::Fingerprint, text).is_err(), "{text}");
    }
}

fn by_p256(token: &str, keys: &KeySet) -> VerifiedToken {
    let token = UnverifiedToken::parse(token, MAX_BYTES).unwrap();
    trust::verify(&token, &entry("idp", &[]), Some(keys), NumericDate::from_secs(NOW)).unwrap()
}

#[test]
fn a_fingerprint_is_independent_of_the_signature() {
    let keys = key_set(&[P256.jwk_named("a")]);
    let sign = || P256.token(Algorithm::ES256, Some("a"), &good_claims());
    let (one, two) = (sign(), sign());
    assert_ne!(one, two, "ECDSA signatures are random");
    let list = list(RevokedBy::Fingerprint, by_p256(&one, &keys).fingerprint().short());
    assert!(list.find(&by_p256(&two, &keys), &two).is_some());
}

#[test]
fn kid_matches_the_header_and_the_key_that_verified() {
    let named = key_set(&[P256.jwk_named("leaked")]);
    let list = list(RevokedBy::Key, "leaked");
    for kid in [Some("leaked"), None] {
        let token = P256.token(Algorithm::ES256, kid, &good_claims());
        assert_eq!(
            list.find(&by_p256(&token, &named), "").map(|found| found.by),
            Some(RevokedBy::Key),
            "{kid:?}"
        );
    }
    let others = key_set(&[OTHER_P256.jwk_named("good")]);
    let token = OTHER_P256.token(Algorithm::ES256, Some("good"), &good_claims());
    assert_eq!(list.find(&by_p256(&token, &others), "").map(|found| found.by), None);
}

/// What DataHub lists for a token: the SHA-256 over its text and the salt.
fn datahub_hash(text: &str, salt: &str) -> String {
    let salted = format!("{text}{salt}");
    STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, salted.as_bytes()))
}

#[test]
fn datahub_token_hashes_match_with_the_same_salt() {
    let text = HMAC.token(Algorithm::HS256, None, &good_claims());
    let hash = |salt: &str| datahub_hash(&text, salt);
    let token = verified(json!({}));
    assert_eq!(token.algorithm(), Algorithm::HS256);
    let salted = |salt: Option<&str>, written: &str| {
        let salt = salt.map(|salt| salt.as_bytes().to_vec().into());
        Revocations::new([Revocation::new(RevokedBy::DatahubTokenHash, written).unwrap()], salt).unwrap()
    };
    assert!(salted(None, &hash("")).find(&token, &text).is_some());
    assert!(salted(Some("pepper"), &hash("pepper")).find(&token, &text).is_some());
    assert!(salted(None, &format!("urn:li:dataHubAccessToken:{}", hash(""))).find(&token, &text).is_some());
    assert!(salted(None, &hash("pepper")).find(&token, &text).is_none());
    assert!(salted(Some("pepper"), &hash("")).find(&token, &text).is_none());
    assert!(salted(None, &hash("")).find(&token, "another").is_none());
    let unpadded = hash("").trim_end_matches('=').to_owned();
    for wrong in ["", "abc", &unpadded, &STANDARD.encode([0; 31])] {
        assert!(Revocation::new(RevokedBy::DatahubTokenHash, wrong).is_err(), "{wrong}");
    }
}

/// DataHub signs with no other algorithm. Anyone can turn a signature of ES256 into another valid one, and the text of a
/// token with it, so a hash of the text would not revoke the token.
#[test]
fn datahub_token_hashes_revoke_only_tokens_signed_with_hs256() {
    let keys = key_set(&[P256.jwk_named("a")]);
    let text = P256.token(Algorithm::ES256, Some("a"), &good_claims());
    let listed = list(RevokedBy::DatahubTokenHash, &datahub_hash(&text, ""));
    assert_eq!(listed.find(&by_p256(&text, &keys), &text), None);
}

#[test]
fn each_kind_has_its_place() {
    for (index, by) in RevokedBy::ALL.into_iter().enumerate() {
        assert_eq!(by.index(), index, "{by:?}");
    }
}

#[test]
fn fingerprints_of_several_lengths_are_found() {
    let token = verified(json!({}));
    let full = token.fingerprint().full();
    let entry = |text: &str| Revocation::new(RevokedBy::Fingerprint, text).unwrap();
    let other = "0".repeat(20);
    for length in [16, 20, 33, FULL] {
        let list = Revocations::new([entry(&other), entry(&"1".repeat(FULL)), entry(&full[..length])], None);
        let list = list.unwrap();
        assert_eq!(list.find(&token, "").map(|found| found.by), Some(RevokedBy::Fingerprint), "{length}");
        assert_eq!(list.count(RevokedBy::Fingerprint), 3);
    }
    let others = Revocations::new([entry(&other), entry(&"1".repeat(FULL))], None).unwrap();
    assert_eq!(others.find(&token, "").map(|found| found.by), None);
}

#[test]
fn debug_output_contains_no_entries_or_salt() {
    let entry = Revocation::new(RevokedBy::Subject, "ada").unwrap();
    let list = Revocations::new([entry], Some(b"pepper".to_vec().into())).unwrap();
    let shown = format!("{list:?}");
    assert!(!shown.contains("ada") && !shown.contains("pepper"), "{shown}");
}

#[test]
fn a_verified_token_has_the_claims_that_a_list_needs() {
    let claims = with(good_claims(), json!({"jti": "a"}));
    let token = claims::validate(
        crate::test_support::signed(&claims),
        "idp",
        &open_rules(),
        NumericDate::from_secs(NOW),
    );
    let token = token.unwrap();
    assert_eq!((token.id(), token.subject()), (Some("a"), Some("ada")));
    assert_eq!(token.issued_at(), Some(NumericDate::from_secs(NOW - 60)));
    assert!(token.key_ids().eq(["own-key"]));
}

/// The words are keys of the list and labels of a metric.
#[test]
fn each_kind_has_its_words() {
    let words = ["jti", "fingerprint", "sub", "kid", "datahubTokenHash"];
    assert_eq!(RevokedBy::ALL.map(RevokedBy::as_str), words);
    for (by, word) in RevokedBy::ALL.into_iter().zip(["jti", "fingerprint", "subject", "key", "DataHub"]) {
        assert!(by.detail().contains(word) && by.detail().ends_with("is revoked"), "{by:?}");
    }
}

#[test]
fn an_entry_says_what_it_was_made_of() {
    let text = "ABCDEF0123456789";
    let time = Some(NumericDate::from_secs(NOW));
    let entry = Revocation::new(RevokedBy::Fingerprint, text).unwrap();
    assert_eq!((entry.by(), entry.value()), (RevokedBy::Fingerprint, "abcdef0123456789"));
    assert_eq!((entry.issuer(), entry.before()), (None, None));
    let limited = entry.of_issuer(Some("idp".into())).issued_before(time);
    assert_eq!((limited.issuer(), limited.before()), (Some("idp"), time));
    assert_eq!((limited.by(), limited.value()), (RevokedBy::Fingerprint, "abcdef0123456789"));
    let list = Revocations::new([limited], None).unwrap();
    assert!(list.issuers().eq(["idp"]) && !list.is_empty());
    assert_eq!((list.len(), list.count(RevokedBy::Fingerprint), list.count(RevokedBy::Id)), (1, 1, 0));
    for by in [RevokedBy::Id, RevokedBy::Subject, RevokedBy::Key] {
        assert_eq!(Revocation::new(by, ""), Err("is empty"));
        assert_eq!(Revocation::new(by, " ").unwrap().value(), " ");
    }
}
