//! Keys in certificates: PEM, DER, maps from `kid` to PEM, `x5c`, and tokens that name a certificate.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::digest::sha256;
use crate::jose::Header;
use crate::test_support::pem;

/// A key and a certificate for it.
struct Certified {
    key: SigningKey,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A certificate of this name, by another one or by itself.
fn certified(name: &str, by: Option<&Certified>) -> Certified {
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        None => params(name).self_signed(&key).unwrap(),
        Some(by) => params(name).signed_by(&key, &by.issuer).unwrap(),
    };
    let pkcs8 = key.serialize_der();
    let signing = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
    Certified {
        key: SigningKey::P256(signing),
        der: certificate.der().to_vec(),
        issuer: Issuer::new(params(name), key),
    }
}

impl Certified {
    fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    fn x5c(&self) -> Value {
        json!([STANDARD.encode(&self.der)])
    }
}

fn parse(document: &[u8]) -> ParsedKeys {
    ParsedKeys::parse(document, KeyDialect::Standard).unwrap()
}

#[track_caller]
fn assert_one_key(document: &[u8], signer: &SigningKey) -> Arc<VerificationKey> {
    let keys = parse(document);
    assert_eq!((keys.usable.len(), keys.skipped.len()), (1, 0), "{:?}", keys.skipped);
    assert!(verifies(&keys.usable[0], signer, signer.algorithm()));
    keys.usable[0].clone()
}

#[test]
fn a_certificate_is_read_as_its_key() {
    let certified = certified("signing", None);
    for label in ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"] {
        let key = assert_one_key(pem(label, &certified.der).as_bytes(), &certified.key);
        assert!(key.matches_any_kid(), "{label}");
    }
    // What OpenSSL adds to a TRUSTED CERTIFICATE.
    let trusted = [&certified.der[..], b"\x30\x00"].concat();
    assert_one_key(pem("TRUSTED CERTIFICATE", &trusted).as_bytes(), &certified.key);
    for broken in [&certified.der[..certified.der.len() - 1], b"", b"\x30\x00", &P256.spki()] {
        let keys = parse(pem("CERTIFICATE", broken).as_bytes());
        assert_eq!(keys.skipped, [SkippedKey { kid: None, fault: KeyFault::Damaged }]);
    }
}

#[test]
fn der_is_read_in_every_form() {
    let certified = certified("signing", None);
    assert_one_key(&certified.der, &certified.key);
    for (der, key) in [
        (RSA.spki(), &*RSA),
        (RSA.public_bytes(), &RSA),
        (P256.spki(), &P256),
        (P384.spki(), &P384),
        (P521.spki(), &P521),
        (ED25519.spki(), &ED25519),
    ] {
        assert!(assert_one_key(&der, key).matches_any_kid());
        for end in 0..der.len() {
            let cut = ParsedKeys::parse(&der[..end], KeyDialect::Standard);
            assert!(cut.is_err() || cut.is_ok_and(|keys| keys.usable.is_empty()), "{end}");
        }
    }
}

#[test]
fn private_keys_in_der_are_refused_as_such() {
    let pkcs8 = KeyPair::generate().unwrap().serialize_der();
    // The start of RSAPrivateKey, of ECPrivateKey and of EncryptedPrivateKeyInfo.
    let pkcs1 = b"\x30\x0b\x02\x01\x00\x02\x02\x7f\xff\x02\x02\x01\x01".to_vec();
    let sec1 = b"\x30\x07\x02\x01\x01\x04\x02\xab\xcd".to_vec();
    let encrypted = b"\x30\x09\x30\x03\x06\x01\x2a\x04\x02\xab\xcd".to_vec();
    for der in [pkcs8, pkcs1, sec1, encrypted] {
        assert_eq!(parse(&der).skipped, [SkippedKey { kid: None, fault: KeyFault::Private }], "{der:?}");
    }
}

#[test]
fn a_map_from_kid_to_pem_is_read() {
    let (one, other) = (certified("one", None), certified("other", None));
    let map = json!({"k1": one.pem(), "k2": other.pem(), "k3": pem("PUBLIC KEY", &RSA.spki())});
    let keys = parse(map.to_string().as_bytes());
    let kids: Vec<_> = keys.usable.iter().map(|key| (key.kid().unwrap(), key.matches_any_kid())).collect();
    assert_eq!(kids, [("k1", false), ("k2", false), ("k3", false)]);
    assert!(verifies(&keys.usable[1], &other.key, Algorithm::ES256));
    assert!(!verifies(&keys.usable[1], &one.key, Algorithm::ES256));

    let private = json!({"k1": one.pem(), "k2": pem("PRIVATE KEY", b"\x30\x00")});
    let keys = parse(private.to_string().as_bytes());
    assert_eq!(keys.skipped, [SkippedKey { kid: Some("k2".into()), fault: KeyFault::Private }]);
    let two = json!({"k1": one.pem() + &other.pem()});
    assert!(parse(two.to_string().as_bytes()).usable.is_empty(), "which of them k1 is, is not clear");
    let long = json!({"k".repeat(257): one.pem()});
    assert!(parse(long.to_string().as_bytes()).usable.is_empty());
    // Not every object with a certificate in it is such a map.
    for other in
        [json!({"k1": one.pem(), "status": "ok"}), json!({"k1": {"pem": one.pem()}}), json!({"k1": 5})]
    {
        let read = ParsedKeys::parse(other.to_string().as_bytes(), KeyDialect::Standard);
        assert_eq!(read.err(), Some(KeySetFault::NotAKeySet), "{other}");
    }
}

#[test]
fn the_authorities_of_a_chain_are_not_keys() {
    let root = certified("root", None);
    let middle = certified("middle", Some(&root));
    let leaf = certified("leaf", Some(&middle));
    for text in [leaf.pem() + &middle.pem() + &root.pem(), root.pem() + &leaf.pem() + &middle.pem()] {
        let keys = parse(text.as_bytes());
        assert_eq!(keys.usable.len(), 1);
        assert!(verifies(&keys.usable[0], &leaf.key, Algorithm::ES256));
        assert!(keys.skipped.iter().all(|key| key.fault == KeyFault::Authority) && keys.skipped.len() == 2);
    }
    // Two certificates of one name, as before and after a rotation.
    let (old, new) = (certified("signing", None), certified("signing", None));
    assert_eq!(parse((old.pem() + &new.pem()).as_bytes()).usable.len(), 2);
}

#[test]
fn x5c_alone_is_the_key_and_otherwise_has_to_agree() {
    let certified = certified("signing", None);
    let root = certified_x5c_of_other();
    let alone = json!({"kty": "EC", "kid": "a", "use": "sig", "x5c": certified.x5c()});
    for jwk in [alone.clone(), with(alone.clone(), json!({"crv": "P-256", "n": null, "x": null}))] {
        let keys = parsed(std::slice::from_ref(&jwk));
        assert!(verifies(&keys.usable[0], &certified.key, Algorithm::ES256), "{jwk}");
        assert_eq!(keys.usable[0].kid(), Some("a"));
    }
    assert_one_key(
        with(certified.key.jwk(), json!({"x5c": certified.x5c()})).to_string().as_bytes(),
        &certified.key,
    );
    // Only the first certificate is the key's.
    let chain = json!([STANDARD.encode(&certified.der), root[0]]);
    assert_eq!(parsed(&[with(certified.key.jwk(), json!({"x5c": chain}))]).usable.len(), 1);
    for (jwk, fault) in [
        (with(P256.jwk(), json!({"x5c": certified.x5c()})), KeyFault::CertificateMismatch),
        (with(certified.key.jwk(), json!({"x5c": root})), KeyFault::CertificateMismatch),
        (with(RSA.jwk(), json!({"x5c": certified.x5c()})), KeyFault::CertificateMismatch),
        (with(alone.clone(), json!({"kty": "RSA"})), KeyFault::CertificateMismatch),
        (with(alone.clone(), json!({"crv": "P-384"})), KeyFault::CertificateMismatch),
        (with(alone.clone(), json!({"alg": "RS256"})), KeyFault::UnsupportedAlgorithm),
        (with(alone.clone(), json!({"d": "AQAB"})), KeyFault::Private),
        (with(alone.clone(), json!({"use": "enc"})), KeyFault::NotForSignatures),
        (with(alone.clone(), json!({"x5c": []})), KeyFault::UnknownCurve),
        (with(alone, json!({"x5c": ["MII"]})), KeyFault::UnknownCurve),
    ] {
        let keys = parsed(std::slice::from_ref(&jwk));
        assert!(keys.usable.is_empty(), "{jwk}");
        assert_eq!(keys.skipped[0].fault, fault, "{jwk}");
    }
}

fn certified_x5c_of_other() -> Value {
    certified("other", None).x5c()
}

fn header(members: Value) -> Header {
    let token = RSA.compact(Algorithm::RS256, members.to_string().as_bytes(), b"{}");
    UnverifiedToken::parse(&token, MAX_BYTES).unwrap().header().clone()
}

#[test]
fn a_token_without_kid_may_name_the_certificate() {
    let (one, other) = (certified("one", None), certified("other", None));
    let keys = key_set(&[
        json!({"kty": "EC", "kid": "1", "x5c": one.x5c()}),
        with(other.key.jwk(), json!({"x5t#S256": base64url(&sha256(&other.der))})),
        P256.jwk_named("3"),
    ]);
    let sha1 = |der: &[u8]| base64url(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
    let chosen = |members: Value| match keys.choose_for(&header(with(json!({"alg": "ES256"}), members))) {
        KeyChoice::Named(keys) => keys.iter().map(|key| *key.material()).collect(),
        _ => Vec::new(),
    };
    let (first, second) = (vec![*one.key.verifier().material()], vec![*other.key.verifier().material()]);
    assert_eq!(chosen(json!({"x5t": sha1(&one.der)})), first);
    assert_eq!(chosen(json!({"x5t#S256": base64url(&sha256(&one.der))})), first);
    assert_eq!(chosen(json!({"x5t": sha1(&one.der), "x5t#S256": base64url(&sha256(&one.der))})), first);
    assert_eq!(chosen(json!({"x5t#S256": base64url(&sha256(&other.der))})), second);
    for members in [
        json!({"x5t": sha1(&one.der), "x5t#S256": base64url(&sha256(b"another certificate"))}),
        json!({"x5t": sha1(b"another certificate")}),
        json!({"x5t": base64url(&sha256(&one.der))}),
        json!({"x5t": 5, "x5t#S256": "%"}),
        json!({"x5c": one.x5c(), "jwk": one.key.jwk()}),
        // A kid is preferred, also if no key has it.
        json!({"kid": "9", "x5t": sha1(&one.der)}),
    ] {
        assert!(chosen(members.clone()).is_empty(), "{members}");
    }
    let named = keys.choose_for(&header(json!({"alg": "RS256", "x5t": sha1(&one.der)})));
    assert!(matches!(named, KeyChoice::NoKid), "the key of that certificate is not for RS256");
}

#[test]
fn a_token_may_name_a_certificate_of_a_file() {
    let (one, other) = (certified("one", None), certified("other", None));
    let pem_file = parse((one.pem() + &other.pem()).as_bytes());
    let der_files = [parse(&one.der), parse(&other.der)];
    for files in [vec![pem_file], der_files.into()] {
        let keys = KeySet::new(files.into_iter().flat_map(|file| file.usable).collect());
        for (certified, other) in [(&one, &other), (&other, &one)] {
            let thumbprint = base64url(&sha256(&certified.der));
            let KeyChoice::Named(found) =
                keys.choose_for(&header(json!({"alg": "ES256", "x5t#S256": thumbprint})))
            else {
                panic!("no key has the thumbprint")
            };
            assert_eq!(found.len(), 1);
            assert!(verifies(found[0], &certified.key, Algorithm::ES256));
            assert!(!verifies(found[0], &other.key, Algorithm::ES256));
        }
        assert!(matches!(keys.choose_for(&header(json!({"alg": "ES256"}))), KeyChoice::NoKid));
    }
}

#[test]
fn a_thumbprint_of_no_key_changes_nothing() {
    let keys = key_set(&[RSA.jwk_named("a")]);
    let chosen = keys.choose_for(&header(json!({"alg": "RS256", "x5t": base64url(&[7; 20])})));
    assert!(matches!(chosen, KeyChoice::Only(_)));
}
