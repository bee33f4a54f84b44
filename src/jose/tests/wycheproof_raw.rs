//! Project Wycheproof's vectors of raw signatures: `(key, message, signature, result)`.
//!
//! Every key is read twice: as a JWK built from its numbers, and as the PEM file in the vectors. Both must be the
//! same key. jsonwebtoken must agree about every signature.

use jsonwebtoken::DecodingKey;
use serde_json::json;
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use super::*;
use crate::jose::{Algorithm, AlgorithmSet, KeyDialect, KeyFamily, KeyFault, ParsedKeys};
use crate::test_support::{base64url, parsed};

/// The results of the vectors of one file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    read: u64,
    accepted: u64,
    refused: u64,
    /// The numbers of the vectors with a different expected result.
    exceptions: Vec<u64>,
    keys_refused: Vec<KeyFault>,
}

/// Runs one file. `algorithm` returns JOSE's name for a group's parameters. If it returns `None`, JOSE has no
/// name for them, so every algorithm of the key must refuse every signature.
fn run(file: &str, data: &str, algorithm: impl Fn(&Value) -> Option<Algorithm>) -> Tally {
    let set: Value = serde_json::from_str(data).unwrap();
    let mut tally = Tally::default();
    for group in set["testGroups"].as_array().unwrap() {
        let key = key(group);
        if let Err(fault) = &key {
            tally.keys_refused.push(*fault);
        }
        let algorithm = algorithm(group);
        for test in group["tests"].as_array().unwrap() {
            let number = test["tcId"].as_u64().unwrap();
            let (message, signature) = (hex(&test["msg"]), base64url(&hex(&test["sig"])));
            let by = |algorithm| {
                key.as_ref().is_ok_and(|key: &VerificationKey| {
                    key.algorithms().contains(algorithm)
                        && is_valid_signature(&message, &signature, algorithm, key)
                })
            };
            let accepted = match algorithm {
                Some(algorithm) => by(algorithm),
                None => AlgorithmSet::asymmetric().iter().any(by),
            };
            let valid = match test["result"].as_str().unwrap() {
                "valid" => algorithm.is_some(),
                "invalid" => false,
                // Both results are correct. The exceptions below fix ours.
                "acceptable" => false,
                other => panic!("{file} {number}: {other}"),
            };
            if let (Some(algorithm), Ok(_)) = (algorithm, &key) {
                let second = second_opinion(group, &message, &signature, algorithm);
                assert_eq!(accepted, second.unwrap_or(accepted), "{file} {number}");
            }
            if accepted != valid {
                tally.exceptions.push(number);
            }
            tally.read += 1;
            *if accepted { &mut tally.accepted } else { &mut tally.refused } += 1;
        }
    }
    assert_eq!(tally.read, set["numberOfTests"].as_u64().unwrap(), "{file}");
    println!("{file}: {tally:?}");
    tally
}

/// Whether jsonwebtoken, which parses the key for each signature, accepts it.
fn second_opinion(group: &Value, message: &[u8], signature: &str, algorithm: Algorithm) -> Option<bool> {
    let key = &group["publicKey"];
    let number = |name: &str| hex(&key[name]).into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    let padded = |name: &str, size: usize| {
        let number = number(name);
        [vec![0; size - number.len()], number].concat()
    };
    let key = match algorithm.family() {
        KeyFamily::Rsa => DecodingKey::from_rsa_raw_components(&number("modulus"), &number("publicExponent")),
        KeyFamily::P256 => DecodingKey::from_ec_der(&[vec![4], padded("wx", 32), padded("wy", 32)].concat()),
        KeyFamily::P384 => DecodingKey::from_ec_der(&[vec![4], padded("wx", 48), padded("wy", 48)].concat()),
        // jsonwebtoken has no ES512.
        KeyFamily::P521 => return None,
        KeyFamily::Ed25519 => DecodingKey::from_ed_der(&hex(&key["pk"])),
        KeyFamily::Hmac => panic!("no public key"),
    };
    let algorithm = algorithm.name().parse().unwrap();
    Some(jsonwebtoken::crypto::verify(signature, message, &key, algorithm).unwrap_or(false))
}

/// The key of a group, read as JWK and as PEM.
fn key(group: &Value) -> Result<VerificationKey, KeyFault> {
    let jwk = match group.get("publicKey").unwrap() {
        key if key.get("modulus").is_some() => {
            let number = |name: &str| base64url(&hex(&key[name]));
            json!({"kty": "RSA", "n": number("modulus"), "e": number("publicExponent")})
        }
        key if key.get("pk").is_some() => {
            json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&hex(&key["pk"]))})
        }
        key => {
            let crv = match key["curve"].as_str().unwrap() {
                "secp256r1" => "P-256",
                "secp384r1" => "P-384",
                "secp521r1" => "P-521",
                other => panic!("{other}"),
            };
            let number = |name: &str| base64url(&hex(&key[name]));
            json!({"kty": "EC", "crv": crv, "x": number("wx"), "y": number("wy")})
        }
    };
    let by_jwk = only(parsed(&[jwk]));
    let pem = group["publicKeyPem"].as_str().unwrap();
    let by_pem = only(ParsedKeys::parse(pem.as_bytes(), KeyDialect::Standard).unwrap());
    let summary = |key: &Result<VerificationKey, KeyFault>| match key {
        Ok(key) => Ok((key.family(), key.bits(), *key.material())),
        Err(fault) => Err(*fault),
    };
    assert_eq!(summary(&by_jwk), summary(&by_pem));
    by_jwk
}

fn only(keys: ParsedKeys) -> Result<VerificationKey, KeyFault> {
    assert_eq!(keys.usable.len() + keys.skipped.len(), 1);
    match keys.usable.into_iter().next() {
        Some(key) => Ok(std::sync::Arc::into_inner(key).unwrap()),
        None => Err(keys.skipped[0].fault),
    }
}

#[track_caller]
fn assert_no_exceptions(tally: &Tally) {
    assert!(tally.exceptions.is_empty() && tally.keys_refused.is_empty(), "{tally:?}");
}

#[test]
fn ecdsa_with_joses_pairs_of_curve_and_hash() {
    for (name, algorithm) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384),
        (ecdsa::TestName::EcdsaSecp521r1Sha512P1363, Algorithm::ES512),
    ] {
        let tally = run(&format!("{name:?}"), name.json_data(), |_| Some(algorithm));
        assert_no_exceptions(&tally);
        assert!(tally.accepted > 100 && tally.refused > 50, "{tally:?}");
    }
}

/// RFC 7518 section 3.4: one hash per curve; R and S are concatenated, never DER-encoded.
#[test]
fn ecdsa_in_other_forms_is_always_refused() {
    for name in [
        ecdsa::TestName::EcdsaSecp256r1Sha512P1363,
        ecdsa::TestName::EcdsaSecp384r1Sha512P1363,
        ecdsa::TestName::EcdsaSecp256r1Sha256,
        ecdsa::TestName::EcdsaSecp384r1Sha384,
        ecdsa::TestName::EcdsaSecp521r1Sha512,
    ] {
        let tally = run(&format!("{name:?}"), name.json_data(), |_| None);
        assert_no_exceptions(&tally);
        assert_eq!(tally.accepted, 0);
    }
}

#[test]
fn ed25519() {
    let tally = run("Ed25519", eddsa::TestName::Ed25519.json_data(), |_| Some(Algorithm::EdDSA));
    assert_no_exceptions(&tally);
    assert!(tally.accepted > 50 && tally.refused > 50, "{tally:?}");
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName::*;
    for (name, algorithm) in [
        (Rsa2048Sha256, Algorithm::RS256),
        (Rsa2048Sha384, Algorithm::RS384),
        (Rsa2048Sha512, Algorithm::RS512),
        (Rsa3072Sha256, Algorithm::RS256),
        (Rsa3072Sha384, Algorithm::RS384),
        (Rsa3072Sha512, Algorithm::RS512),
        (Rsa4096Sha256, Algorithm::RS256),
        (Rsa4096Sha384, Algorithm::RS384),
        (Rsa4096Sha512, Algorithm::RS512),
        (Rsa8192Sha256, Algorithm::RS256),
        (Rsa8192Sha384, Algorithm::RS384),
        (Rsa8192Sha512, Algorithm::RS512),
    ] {
        let tally = run(&format!("{name:?}"), name.json_data(), |_| Some(algorithm));
        assert!(tally.keys_refused.is_empty(), "{tally:?}");
        assert!(tally.exceptions.is_empty(), "{tally:?}");
        assert!(tally.accepted > 5 && tally.refused > 50, "{tally:?}");
    }
}

/// Hashes that JOSE does not use. The exceptions are signatures with SHA-256, SHA-384 and SHA-512: these files list
/// them as having the wrong hash, but in JOSE they are valid RS256, RS384 and RS512.
#[test]
fn rsa_pkcs1_with_other_hashes_is_always_refused() {
    use rsa_pkcs1_verify::TestName::*;
    for (name, exceptions) in [
        (Rsa2048Sha224, [219, 221, 223]),
        (Rsa2048Sha512_256, [221, 223, 225]),
        (Rsa2048Sha3_256, [221, 223, 225]),
        (Rsa3072Sha3_512, [222, 224, 226]),
    ] {
        let tally = run(&format!("{name:?}"), name.json_data(), |_| None);
        assert!(tally.exceptions == exceptions && tally.keys_refused.is_empty(), "{tally:?}");
    }
}

/// RFC 7518 section 3.5: MGF1 with the same hash and a salt as long as the hash.
#[test]
fn rsa_pss() {
    let named = |group: &Value| {
        let text = |name: &str| group[name].as_str().unwrap_or_default();
        let salt = group["sLen"].as_u64();
        if text("mgf") != "MGF1" || text("mgfSha") != text("sha") {
            return None;
        }
        match (text("sha"), salt) {
            ("SHA-256", Some(32)) => Some(Algorithm::PS256),
            ("SHA-384", Some(48)) => Some(Algorithm::PS384),
            ("SHA-512", Some(64)) => Some(Algorithm::PS512),
            _ => None,
        }
    };
    use rsa_pss_verify::TestName::*;
    for name in [
        RsaPss2048Sha256Mgf1SaltLen32,
        RsaPss3072Sha256Mgf1SaltLen32,
        RsaPss4096Sha256Mgf1SaltLen32,
        RsaPss2048Sha384Mgf1SaltLen48,
        RsaPss4096Sha384Mgf1SaltLen48,
        RsaPss4096Sha512Mgf1SaltLen64,
    ] {
        let tally = run(&format!("{name:?}"), name.json_data(), named);
        assert_no_exceptions(&tally);
        assert!(tally.accepted > 20 && tally.refused > 20, "{tally:?}");
    }
    // These files list the exceptions as invalid, but they are valid in JOSE: all are RS256 or RS512 ("wrong
    // primitive"), except 69, whose salt has 32 bytes.
    for (name, exceptions) in [
        (RsaPss2048Sha1Mgf1SaltLen20, &[88][..]),
        (RsaPss2048Sha256Mgf1SaltLen0, &[69, 103]),
        (RsaPss2048Sha256Mgf1Sha1_20, &[108]),
        (RsaPss2048Sha512_256Mgf1SaltLen32, &[114]),
        (RsaPss4096Sha512Mgf1SaltLen32, &[176, 177]),
        (RsaPssmisc, &[]),
    ] {
        let tally = run(&format!("{name:?}"), name.json_data(), named);
        assert!(tally.exceptions == exceptions && tally.keys_refused.is_empty(), "{tally:?}");
    }
}
