//! The keys: which are accepted, how they are published, and rotation.

use super::*;
use crate::jose::{KeyDialect, KeySet, ParsedKeys, UnverifiedToken};
use crate::test_support::{MAX_BYTES, P256, pem};
use crate::trust::{TokenFault, TrustedIssuer, entry_for, verify};

/// The published keys, as the backend reads them.
fn published(minter: &Minter) -> KeySet {
    let document = minter.keys().jwks().to_string();
    let parsed = ParsedKeys::parse(document.as_bytes(), KeyDialect::Standard).unwrap();
    assert!(parsed.skipped.is_empty(), "{:?}", parsed.skipped);
    KeySet::new(parsed.usable)
}

/// A minted token, verified like a backend's.
fn verified(token: &str, keys: &KeySet) -> Result<(), TokenFault> {
    let token = UnverifiedToken::parse(token, MAX_BYTES)?;
    let entry: TrustedIssuer = crate::test_support::entry("backend", &[]);
    verify(&token, &entry, Some(keys), NOW_DATE).map(drop)
}

#[test]
fn published_keys_verify_what_is_minted() {
    let minter = minter();
    let target = prepare(&minter, TokenFormat::OpenMetadata, bot()).unwrap();
    let token = text(&minter.mint(&target, NOW_DATE, None).unwrap());
    assert_eq!(verified(&token, &published(&minter)), Ok(()));
    assert!(verified(&token, &published(&minter_with(&[&OTHER_RSA], usual_claims()))).is_err());
}

#[test]
fn a_rotation_loses_no_token() {
    let old = minter_with(&[&RSA], usual_claims());
    let target = prepare(&old, TokenFormat::OpenMetadata, bot()).unwrap();
    let before = text(&old.mint(&target, NOW_DATE, None).unwrap());
    // 1. Another key is published, and does not sign yet.
    let both = minter_with(&[&RSA, &OTHER_RSA], usual_claims());
    let kid = |token: &str| parts(token).0["kid"].as_str().unwrap().to_owned();
    let target = prepare(&both, TokenFormat::OpenMetadata, bot()).unwrap();
    assert_eq!(kid(&text(&both.mint(&target, NOW_DATE, None).unwrap())), kid(&before));
    // 2. It signs, and the old one stays published.
    let new = minter_with(&[&OTHER_RSA, &RSA], usual_claims());
    let target = prepare(&new, TokenFormat::OpenMetadata, bot()).unwrap();
    let after = text(&new.mint(&target, NOW_DATE, None).unwrap());
    assert_ne!(kid(&after), kid(&before));
    for minter in [&both, &new] {
        assert_eq!(verified(&before, &published(minter)), Ok(()));
        assert_eq!(verified(&after, &published(minter)), Ok(()));
    }
    // 3. The old one is removed.
    let last = published(&minter_with(&[&OTHER_RSA], usual_claims()));
    assert_eq!(verified(&after, &last), Ok(()));
    assert!(verified(&before, &last).is_err());
}

/// The simple list takes tokens of any issuer, and here it has the very key.
#[test]
fn a_minted_token_presented_to_metagate_is_of_an_untrusted_issuer() {
    let minter = minter();
    for (format, user) in [(TokenFormat::OpenMetadata, bot()), (TokenFormat::DataHub, user("ada"))] {
        let target = prepare(&minter, format, user).unwrap();
        let token = text(&minter.mint(&target, NOW_DATE, None).unwrap());
        let token = UnverifiedToken::parse(&token, MAX_BYTES).unwrap();
        let list = [crate::test_support::entry("public-keys", &[])];
        assert_eq!(entry_for(&token, &list, Some(minter.issuer())), Err(TokenFault::UntrustedIssuer));
        let bound = [crate::test_support::entry("datahub", &["datahub-metadata-service"])];
        assert_eq!(entry_for(&token, &bound, Some(minter.issuer())), Err(TokenFault::UntrustedIssuer));
    }
}

#[test]
fn the_key_set_has_the_public_members_of_every_key() {
    let minter = minter_with(&[&RSA, &OTHER_RSA], usual_claims());
    let set = minter.keys().jwks();
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for (key, signing) in keys.iter().zip([&*RSA, &*OTHER_RSA]) {
        let mut names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"], "nothing private");
        assert_eq!((&key["n"], &key["e"]), (&signing.jwk()["n"], &signing.jwk()["e"]));
    }
}

#[test]
fn the_first_key_signs_and_datahub_has_its_own() {
    let (rsa, secret) = (|| vec![private(&RSA), private(&OTHER_RSA)], SecretSlice::from(SECRET.to_vec()));
    let keys = SigningKeys::new(rsa(), Algorithm::RS256, Some(&secret));
    let materials = |keys: &SigningKeys| keys.rsa().iter().map(|key| *key.material()).collect::<Vec<_>>();
    assert_eq!(materials(&keys), rsa().iter().map(|key| *key.material()).collect::<Vec<_>>());
    assert!(keys.has_datahub());
    let without = SigningKeys::new(Vec::new(), Algorithm::RS256, None);
    assert!(materials(&without).is_empty() && !without.has_datahub());
}

#[test]
fn a_key_file_may_be_of_pkcs1() {
    let der = RSA.private_der();
    // RFC 5208: a version and the algorithm come before the octets of the key itself.
    let pkcs1 = pem("RSA PRIVATE KEY", &der[26..]);
    assert_eq!(PrivateKey::from_pem(&pkcs1).unwrap().material(), private(&RSA).material());
}

#[test]
fn a_key_file_holds_one_rsa_key() {
    let good = RSA.private_pem();
    let label = |label: &str| good.replace("PRIVATE KEY", label);
    let public = pem("PUBLIC KEY", &RSA.spki());
    assert!(PrivateKey::from_pem(&format!("{public}{good}")).is_ok(), "a public key beside it is skipped");
    assert!(PrivateKey::from_pem(&good.replace('\n', "\r\n")).is_ok());
    for (text, fault) in [
        (String::new(), PrivateKeyFault::NotPem),
        (public.clone(), PrivateKeyFault::NotPem),
        ("-----BEGIN PRIVATE KEY".to_owned(), PrivateKeyFault::NotPem),
        (good.replace("-----END", "----END"), PrivateKeyFault::NotPem),
        (format!("{good}{}", OTHER_RSA.private_pem()), PrivateKeyFault::Several),
        (label("ENCRYPTED PRIVATE KEY"), PrivateKeyFault::Encrypted),
        (
            good.replace(
                "-----BEGIN PRIVATE KEY-----\n",
                "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n",
            ),
            PrivateKeyFault::Encrypted,
        ),
        (label("EC PRIVATE KEY"), PrivateKeyFault::NotRsa),
        (pem("PRIVATE KEY", &p256_pkcs8()), PrivateKeyFault::NotRsa),
        (good.replacen("MII", "!!!", 1), PrivateKeyFault::Damaged),
        (pem("PRIVATE KEY", &RSA.spki()), PrivateKeyFault::Damaged),
        (pem("PRIVATE KEY", b"\x30\x82"), PrivateKeyFault::NotRsa),
    ] {
        assert_eq!(PrivateKey::from_pem(&text).err(), Some(fault), "{}", text.get(..40).unwrap_or(&text));
    }
}

fn p256_pkcs8() -> Vec<u8> {
    let SigningKey::P256(key) = &*P256 else { panic!("a P-256 key") };
    key.to_pkcs8v1().unwrap().as_ref().to_vec()
}

/// A key of 1024 bits, made for this test and used nowhere.
const SHORT: &str = include_str!("short-test-key.pem");

#[test]
fn a_short_key_is_refused() {
    assert_eq!(PrivateKey::from_pem(SHORT).err(), Some(PrivateKeyFault::TooShort));
}

#[test]
fn a_generated_key_is_read_again() {
    let key = PrivateKey::generate().unwrap();
    let read = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
    assert_eq!((key.bits(), read.kid()), (3072, key.kid()));
    assert!(key.to_pem().unwrap().lines().all(|line| line.len() <= 64));
}
