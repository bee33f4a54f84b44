//! J13 to J15, J19, J21 to J27, J36: key sets with invalid or unusual keys.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use serde_json::{Value, json};

use super::environments::Environment;
use super::{Case, case, good};
use crate::support::keys::{self, Key, url64};
use crate::support::token::Token;

const UNKNOWN: &str = "unknown_key";
const NOT_ALLOWED: &str = "algorithm_not_allowed";
const INVALID: &str = "invalid_signature";

/// A secret that is published in a key set.
static PUBLISHED: std::sync::LazyLock<Key> =
    std::sync::LazyLock::new(|| Key::secret("a published secret of more than 32 bytes"));

/// A number of this many bytes that begins and ends with a one bit.
fn number(bytes: usize) -> String {
    url64([vec![0xc1; bytes - 1], vec![0x01]].concat())
}

/// 65537^128. Each of its remainders is a power of 65537, which is how keys affected by
/// CVE-2017-15361 (ROCA) are recognized.
fn marked_modulus() -> Vec<u8> {
    let mut number = vec![1_u8];
    for _ in 0..128 {
        // Multiplying by 65537 adds the number to itself shifted by two bytes; little-endian.
        let shifted = [&[0, 0][..], &number].concat();
        let mut carry = 0_u16;
        number = (0..shifted.len())
            .map(|at| {
                let sum = u16::from(shifted[at]) + u16::from(*number.get(at).unwrap_or(&0)) + carry;
                carry = sum >> 8;
                sum as u8
            })
            .collect();
        number.extend((carry > 0).then_some(carry as u8));
    }
    number.reverse();
    number
}

/// Entries that must not be used, each with the id of the attack and its kid. Their tokens are
/// signed with the second RSA key, whose numbers they carry unless the numbers are the fault.
fn dropped() -> Vec<(&'static str, &'static str, Value)> {
    let rsa = |changes: Value| keys::other_rsa().jwk_with(changes);
    let ec = |changes: Value| keys::p256().jwk_with(changes);
    let (n, _) = keys::other_rsa().rsa_numbers();
    let identity = [&[1][..], &[0; 31]].concat();
    let even = [&n[..n.len() - 1], &[n[n.len() - 1] & 0xfe]].concat();
    vec![
        ("J21", "use enc", rsa(json!({"use": "enc"}))),
        ("J21", "key_ops encrypt", rsa(json!({"use": null, "key_ops": ["encrypt"]}))),
        ("J21", "key_ops sign", rsa(json!({"use": null, "key_ops": ["sign"]}))),
        ("J21", "no operation", rsa(json!({"key_ops": []}))),
        ("J21", "an encryption algorithm", rsa(json!({"alg": "RSA-OAEP"}))),
        ("J22", "a secret", PUBLISHED.jwk()),
        ("J22", "an empty secret", json!({"kty": "oct", "k": ""})),
        ("J22", "a secret of one byte", json!({"kty": "oct", "k": "AA"})),
        ("J23", "d", rsa(json!({"d": number(256)}))),
        ("J23", "p and q", rsa(json!({"p": number(128), "q": number(128)}))),
        ("J23", "d of a curve", ec(json!({"d": url64([7; 32])}))),
        ("J24", "P-256 labelled P-384", ec(json!({"crv": "P-384"}))),
        ("J24", "off the curve", ec(json!({"x": url64([7; 32]), "y": url64([7; 32])}))),
        ("J24", "EC labelled RSA", ec(json!({"kty": "RSA"}))),
        ("J24", "alg ES521", ec(json!({"alg": "ES521"}))),
        ("J24", "alg ES224", ec(json!({"alg": "ES224"}))),
        ("J24", "alg ES384", ec(json!({"alg": "ES384"}))),
        ("J24", "alg of another family", ec(json!({"alg": "RS256"}))),
        ("J24", "a key for AES", json!({"kty": "oct", "alg": "A128GCM", "k": url64([7; 16])})),
        ("J25", "512 bits", rsa(json!({"n": number(64)}))),
        ("J25", "1024 bits", rsa(json!({"n": number(128)}))),
        ("J25", "1536 bits", rsa(json!({"n": number(192)}))),
        ("J25", "2040 bits", rsa(json!({"n": number(255)}))),
        ("J26", "e of 0", rsa(json!({"e": "AA"}))),
        ("J26", "e of 1", rsa(json!({"e": "AQ"}))),
        ("J26", "e of 2", rsa(json!({"e": "Ag"}))),
        ("J26", "an even e", rsa(json!({"e": url64([1, 0, 0])}))),
        ("J26", "e of 40 bits", rsa(json!({"e": url64([1, 0, 0, 0, 1])}))),
        ("J26", "an even n", rsa(json!({"n": url64(even)}))),
        ("J26", "n of 16384 bits", rsa(json!({"n": number(2048)}))),
        ("J34", "of small order", json!({"kty": "OKP", "crv": "Ed25519", "x": url64(identity)})),
        ("J36", "P-521 labelled P-384", keys::p521().jwk_with(json!({"crv": "P-384"}))),
        (
            "J36",
            "secp256k1",
            json!({"kty": "EC", "crv": "secp256k1", "x": url64([7; 32]), "y": url64([7; 32])}),
        ),
    ]
}

/// The key set of [`Environment::Odd`].
pub fn odd() -> Vec<Value> {
    let rsa = |changes: Value| keys::rsa().jwk_with(changes);
    let padded = BASE64_URL_SAFE.encode([vec![0], keys::rsa().rsa_numbers().0].concat());
    let mut set = vec![
        keys::rsa().jwk(),
        keys::ed25519().jwk(),
        keys::p521().jwk(),
        rsa(json!({"kid": "clé"})),
        // J14: two keys of the same type; J15: one of each type.
        rsa(json!({"kid": "twice"})),
        keys::other_rsa().jwk_with(json!({"kid": "twice"})),
        rsa(json!({"kid": "same"})),
        keys::p256().jwk_with(json!({"kid": "same"})),
        // J19
        rsa(json!({"kid": "for RS256", "alg": "RS256"})),
        keys::p256().jwk_with(json!({"kid": "for ES256", "alg": "ES256"})),
        // J26, J27: unusual, but valid.
        rsa(json!({"kid": "zero before n", "n": padded})),
        rsa(json!({"kid": "e of 3", "e": "Aw"})),
        rsa(json!({"kid": "marked", "n": url64(marked_modulus())})),
    ];
    set.extend(dropped().into_iter().map(|(_, name, mut jwk)| {
        jwk["kid"] = json!(name);
        jwk
    }));
    set
}

pub fn cases() -> Vec<Case> {
    let user = Token::user;
    let by = |alg: &str, key, kid: &str| user().signed(alg, key).header("kid", json!(kid));
    let mut cases = vec![
        // The two Unicode forms of one letter are different names.
        good("J36", "ES512", &user().signed("ES512", keys::p521())),
        good("J13", "a non-ASCII kid", &by("RS256", keys::rsa(), "clé")),
        case("J13", "its decomposed form", by("RS256", keys::rsa(), "cle\u{301}").encode(), UNKNOWN),
        case("J14", "the first of two", by("RS256", keys::rsa(), "twice").encode(), UNKNOWN),
        case("J14", "the second of two", by("RS256", keys::other_rsa(), "twice").encode(), UNKNOWN),
        good("J15", "the RSA key", &by("RS256", keys::rsa(), "same")),
        good("J15", "the EC key", &by("ES256", keys::p256(), "same")),
        case("J15", "another RSA key", by("RS256", keys::other_rsa(), "same").encode(), INVALID),
        case(
            "J15",
            "a key type without that kid",
            by("EdDSA", keys::ed25519(), "same").encode(),
            NOT_ALLOWED,
        ),
        good("J19", "RS256", &by("RS256", keys::rsa(), "for RS256")),
        good("J19", "ES256", &by("ES256", keys::p256(), "for ES256")),
        good("J26", "a zero byte before n", &by("RS256", keys::rsa(), "zero before n")),
        // RFC 8017 allows it, and with a strict verifier it is not a weakness.
        case(
            "J26",
            "another key than the one with e of 3",
            by("RS256", keys::rsa(), "e of 3").encode(),
            INVALID,
        ),
        // Such a modulus can be factored, and then anybody can sign with it.
        case("J27", "a key with the ROCA fingerprint", by("RS256", keys::rsa(), "marked").encode(), UNKNOWN),
        good("J36", "a key before the unsupported ones", &user()),
        good("J36", "a key between them", &user().signed("EdDSA", keys::ed25519())),
    ];
    for alg in ["RS384", "RS512", "PS256", "PS384"] {
        cases.push(case("J19", alg, by(alg, keys::rsa(), "for RS256").encode(), NOT_ALLOWED));
    }
    let by_published = by("HS256", &PUBLISHED, "a secret").encode();
    cases.push(case("J22", "HS256 with the published secret", by_published, NOT_ALLOWED));
    for (id, name, jwk) in dropped().into_iter().filter(|(id, ..)| *id != "J34") {
        let token = match jwk["crv"].as_str() {
            Some(_) => by("ES256", keys::p256(), name),
            None => by("RS256", keys::other_rsa(), name),
        };
        cases.push(case(id, format!("a token of the key with {name}"), token.encode(), UNKNOWN));
    }
    cases.into_iter().map(|case| case.at(Environment::Odd)).collect()
}
