//! Selection of the keys that may have signed a token.

use super::*;
use crate::test_support::{HMAC, pem as pem_block};

fn choice<'k>(
    keys: &'k KeySet,
    kid: Option<&str>,
    algorithm: Algorithm,
) -> (&'static str, Vec<&'k VerificationKey>) {
    match keys.choose(kid, algorithm) {
        KeyChoice::Named(keys) => ("named", keys),
        KeyChoice::Unnamed(keys) => ("unnamed", keys),
        KeyChoice::Only(key) => ("only", vec![key]),
        KeyChoice::WrongAlgorithm => ("wrong algorithm", vec![]),
        KeyChoice::UnknownKid => ("unknown kid", vec![]),
        KeyChoice::NoKid => ("no kid", vec![]),
    }
}

#[track_caller]
fn assert_choice(
    keys: &KeySet,
    kid: Option<&str>,
    algorithm: Algorithm,
    expected: &str,
    chosen: &[&SigningKey],
) {
    let (word, found) = choice(keys, kid, algorithm);
    assert_eq!(word, expected, "{kid:?} {algorithm}");
    let material: Vec<_> = found.iter().map(|key| *key.material()).collect();
    let wanted: Vec<_> = chosen.iter().map(|key| *key.verifier().material()).collect();
    assert_eq!(material, wanted, "{kid:?} {algorithm}");
}

#[test]
fn kid_is_compared_byte_for_byte() {
    let keys = key_set(&[RSA.jwk_named("a"), P256.jwk_named("b")]);
    assert_choice(&keys, Some("a"), Algorithm::RS256, "named", &[&RSA]);
    assert_choice(&keys, Some("b"), Algorithm::ES256, "named", &[&P256]);
    assert_choice(&keys, Some("a"), Algorithm::ES256, "wrong algorithm", &[]);
    assert_choice(&keys, Some("b"), Algorithm::RS256, "wrong algorithm", &[]);
    assert_choice(&keys, Some("a"), Algorithm::HS256, "wrong algorithm", &[]);
    for kid in ["c", "A", "a ", " a", "a\0", "", "../a", "a\u{301}"] {
        assert_choice(&keys, Some(kid), Algorithm::RS256, "unknown kid", &[]);
    }
}

#[test]
fn token_without_kid_requires_exactly_one_key() {
    let keys = key_set(&[RSA.jwk_named("a"), P256.jwk_named("b")]);
    assert_choice(&keys, None, Algorithm::RS512, "only", &[&RSA]);
    assert_choice(&keys, None, Algorithm::ES256, "only", &[&P256]);
    assert_choice(&keys, None, Algorithm::ES384, "no kid", &[]);
    let two = key_set(&[RSA.jwk_named("a"), OTHER_RSA.jwk_named("b")]);
    assert_choice(&two, None, Algorithm::RS256, "no kid", &[]);
    // Only one of them may verify this algorithm.
    let bound = key_set(&[
        with(RSA.jwk_named("a"), json!({"alg": "RS256"})),
        with(OTHER_RSA.jwk_named("b"), json!({"alg": "RS512"})),
    ]);
    assert_choice(&bound, None, Algorithm::RS256, "only", &[&RSA]);
    assert_choice(&bound, None, Algorithm::RS384, "no kid", &[]);
    // The same key with two kids is one key.
    let same = key_set(&[RSA.jwk_named("a"), RSA.jwk_named("b")]);
    assert_choice(&same, None, Algorithm::RS256, "only", &[&RSA]);
    assert_choice(&KeySet::default(), None, Algorithm::RS256, "no kid", &[]);
}

#[test]
fn algorithm_selects_between_keys_with_one_kid() {
    let keys =
        key_set(&[RSA.jwk_named("a"), P256.jwk_named("a"), P384.jwk_named("a"), ED25519.jwk_named("a")]);
    assert_choice(&keys, Some("a"), Algorithm::PS256, "named", &[&RSA]);
    assert_choice(&keys, Some("a"), Algorithm::ES256, "named", &[&P256]);
    assert_choice(&keys, Some("a"), Algorithm::ES384, "named", &[&P384]);
    assert_choice(&keys, Some("a"), Algorithm::EdDSA, "named", &[&ED25519]);
}

#[test]
fn one_kid_in_two_sources_gives_several_candidates() {
    let sources = [parsed(&[RSA.jwk_named("a")]), parsed(&[OTHER_RSA.jwk_named("a")])];
    let keys = KeySet::new(sources.into_iter().flat_map(|source| source.usable).collect());
    assert_choice(&keys, Some("a"), Algorithm::RS256, "named", &[&RSA, &OTHER_RSA]);
}

#[test]
fn pem_keys_match_any_kid() {
    let text = pem_block("PUBLIC KEY", &RSA.spki()) + &pem_block("PUBLIC KEY", &P256.spki());
    let file = ParsedKeys::parse(text.as_bytes(), KeyDialect::Standard).unwrap();
    let mut all = file.usable.clone();
    let keys = KeySet::new(file.usable);
    assert_choice(&keys, Some("anything"), Algorithm::RS256, "unnamed", &[&RSA]);
    assert_choice(&keys, Some("anything"), Algorithm::ES384, "unknown kid", &[]);
    assert_choice(&keys, None, Algorithm::RS256, "only", &[&RSA]);
    // A key with the kid takes precedence over keys without one.
    all.extend(parsed(&[OTHER_RSA.jwk_named("a")]).usable);
    let mixed = KeySet::new(all);
    assert_choice(&mixed, Some("a"), Algorithm::RS256, "named", &[&OTHER_RSA]);
    assert_choice(&mixed, Some("b"), Algorithm::RS256, "unnamed", &[&RSA]);
}

#[test]
fn a_single_jwk_without_kid_matches_any_kid() {
    let keys = key_set(&[RSA.jwk(), P256.jwk_named("b")]);
    assert_choice(&keys, Some("a"), Algorithm::RS256, "unnamed", &[&RSA]);
    assert_choice(&keys, None, Algorithm::RS256, "only", &[&RSA]);
    assert_choice(&keys, Some("a"), Algorithm::ES256, "unknown kid", &[]);
    assert_choice(&keys, Some("b"), Algorithm::RS256, "wrong algorithm", &[]);
    // The same key twice is one key.
    assert_choice(&key_set(&[RSA.jwk(), RSA.jwk()]), Some("a"), Algorithm::RS256, "unnamed", &[&RSA]);
    let bound = key_set(&[with(RSA.jwk(), json!({"alg": "RS512"}))]);
    assert_choice(&bound, Some("a"), Algorithm::RS256, "unknown kid", &[]);
}

#[test]
fn one_of_several_jwks_does_not_match_any_kid() {
    for other in [OTHER_RSA.jwk(), OTHER_RSA.jwk_named("b"), RSA.jwk_named("b")] {
        let keys = key_set(&[RSA.jwk(), other.clone()]);
        assert_choice(&keys, Some("a"), Algorithm::RS256, "unknown kid", &[]);
    }
}

/// They may differ in more than the `kid`: in whether the backend's own key set has them.
#[test]
fn a_jwk_without_kid_is_not_tried_next_to_the_same_key_in_pem() {
    let jwk = read(&[RSA.jwk()], KeyDialect::OpenMetadata);
    let file = ParsedKeys::parse(pem_block("PUBLIC KEY", &RSA.spki()).as_bytes(), KeyDialect::Standard);
    let keys = KeySet::new([jwk.usable, file.unwrap().usable].concat());
    let (word, tried) = choice(&keys, Some("a"), Algorithm::RS256);
    let own: Vec<_> = tried.iter().map(|key| key.is_backends_own()).collect();
    assert_eq!((word, own), ("unnamed", vec![false]));
}

#[test]
fn a_named_key_is_only_for_tokens_with_its_kid() {
    let only_key = |text: &[u8]| {
        let key = ParsedKeys::parse(text, KeyDialect::Standard).unwrap().usable.pop().unwrap();
        Arc::into_inner(key).unwrap()
    };
    let pem = pem_block("PUBLIC KEY", &RSA.spki());
    for (source, key) in [
        ("JWK without a kid", only_key(document(&[RSA.jwk()]).as_bytes())),
        ("JWK with this kid", only_key(document(&[RSA.jwk_named("a")]).as_bytes())),
        ("PEM", only_key(pem.as_bytes())),
    ] {
        let keys = KeySet::new(vec![Arc::new(key.named("a").expect(source))]);
        assert_choice(&keys, Some("a"), Algorithm::RS256, "named", &[&RSA]);
        assert_choice(&keys, Some("b"), Algorithm::RS256, "unknown kid", &[]);
        assert_choice(&keys, Some("a"), Algorithm::ES256, "wrong algorithm", &[]);
    }
    let other = only_key(document(&[RSA.jwk_named("b")]).as_bytes()).named("a");
    assert_eq!(other.map(drop), Err(KeyFault::DuplicateKeyId));
}

#[test]
fn shared_secret_matches_with_and_without_kid() {
    let keys = KeySet::new(vec![Arc::new(HMAC.verifier())]);
    assert_choice(&keys, None, Algorithm::HS256, "only", &[&HMAC]);
    assert_choice(&keys, Some("any"), Algorithm::HS256, "unnamed", &[&HMAC]);
    assert_choice(&keys, None, Algorithm::RS256, "no kid", &[]);
}
