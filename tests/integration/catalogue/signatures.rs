//! J28 to J34: invalid signatures, some of which only the holder of the key can make.

use super::algorithms::input;
use super::environments::Environment;
use super::{Case, case, good};
use crate::support::keys::{self, Key, url64};
use crate::support::raw_rsa;
use crate::support::token::Token;

const INVALID: &str = "invalid_signature";
/// The order of P-256 (SEC 2 section 2.4.2).
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/// The order of Ed25519's base point (RFC 8032 section 5.1), little-endian.
const ED25519_ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

pub fn cases() -> Vec<Case> {
    [ecdsa(), lengths(), pkcs1(), pss(), ed25519()].into_iter().flatten().collect()
}

/// This token's header and claims with another signature.
fn resigned(token: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}", input(token), url64(signature))
}

/// J28, J29, J30
fn ecdsa() -> Vec<Case> {
    let token = Token::user().signed("ES256", keys::p256()).encode();
    let whole = keys::p256().sign("ES256", input(&token).as_bytes());
    let (r, s) = whole.split_at(32);
    let order = hex(P256_ORDER);
    let zero = [0; 32];
    let mut cases = Vec::new();
    // CVE-2022-21449 and similar ones.
    for (name, r, s) in [
        ("0, 0", &zero[..], &zero[..]),
        ("n, n", &order, &order),
        ("0, n", &zero, &order),
        ("n, 0", &order, &zero),
        ("0, s", &zero, s),
        ("r, 0", r, &zero),
        ("n, s", &order, s),
        ("r, n", r, &order),
        ("max, max", &[0xff; 32], &[0xff; 32]),
        ("s, r", s, r),
    ] {
        cases.push(case("J28", format!("r, s = {name}"), resigned(&token, [r, s].concat()), INVALID));
    }
    let integer = |half: &[u8]| keys::tlv(2, &[&[0], half].concat());
    let der = keys::tlv(0x30, &[integer(r), integer(s)].concat());
    cases.push(case("J29", "ES256 in DER", resigned(&token, der), INVALID));
    let long = keys::p384().sign("ES384", b"x");
    let token_384 = Token::user().signed("ES384", keys::p384()).encode();
    let der = keys::tlv(0x30, &[integer(&long[..48]), integer(&long[48..])].concat());
    cases.push(case("J29", "ES384 in DER", resigned(&token_384, der), INVALID));

    let mut twin = order;
    subtract(&mut twin, s);
    let twin = resigned(&token, [r, &twin].concat());
    // RFC 7518 section 3.4 allows both, so a signature's bytes do not identify a token.
    cases.push(case("J30", "r, s", token, "").passes());
    cases.push(case("J30", "r, n - s", twin, "").passes());
    cases
}

/// J31
fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for (alg, key) in [
        ("RS256", keys::rsa()),
        ("PS256", keys::rsa()),
        ("ES256", keys::p256()),
        ("ES384", keys::p384()),
        ("EdDSA", keys::ed25519()),
    ] {
        let token = Token::user().signed(alg, key).encode();
        let whole = key.sign(alg, input(&token).as_bytes());
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for (name, signature) in [
            ("one bit flipped", flipped),
            ("one extra byte", [whole.as_slice(), &[0]].concat()),
            ("a zero before", [&[0], whole.as_slice()].concat()),
            ("one byte too short", whole[..whole.len() - 1].to_vec()),
            ("its first byte cut", whole[1..].to_vec()),
            ("twice", [whole.as_slice(), &whole].concat()),
            ("all zeros", vec![0; whole.len()]),
            ("all ones", vec![0xff; whole.len()]),
            ("one byte", vec![1]),
        ] {
            cases.push(case("J31", format!("{alg}: {name}"), resigned(&token, signature), INVALID));
        }
    }
    cases
}

/// J32: encodings that only the holder of the key can make and that lenient verifiers accept.
fn pkcs1() -> Vec<Case> {
    let token = Token::user().encode();
    let variants = raw_rsa::pkcs1_variants(input(&token).as_bytes());
    let mut cases = Vec::new();
    for (name, encoded) in variants {
        let token = resigned(&token, raw_rsa::apply(keys::rsa(), &encoded));
        cases.push(match name {
            "as it should be" => case("J32", name, token, "").passes(),
            _ => case("J32", name, token, INVALID),
        });
    }
    for (signed, says) in [("RS384", "RS256"), ("RS512", "RS256"), ("RS256", "RS384"), ("RS256", "RS512")] {
        cases.push(case("J32", format!("{signed} as {says}"), says_other(signed, says), INVALID));
    }
    cases
}

/// J33
fn pss() -> Vec<Case> {
    let token = Token::user().signed("PS256", keys::rsa()).encode();
    let mut cases = Vec::new();
    for (name, encoded) in raw_rsa::pss_variants(input(&token).as_bytes()) {
        let token = resigned(&token, raw_rsa::apply(keys::rsa(), &encoded));
        cases.push(match name {
            "as it should be" => case("J33", name, token, "").passes(),
            _ => case("J33", name, token, INVALID),
        });
    }
    for (signed, says) in [("PS384", "PS256"), ("PS256", "PS512"), ("RS256", "PS256"), ("PS256", "RS256")] {
        cases.push(case("J33", format!("{signed} as {says}"), says_other(signed, says), INVALID));
    }
    cases
}

fn says_other(signed: &str, says: &str) -> String {
    let token = Token::user().signed(says, keys::rsa());
    let header = token.header_text();
    crate::support::token::compact(header, token.payload_text(), signed, keys::rsa())
}

/// J34
fn ed25519() -> Vec<Case> {
    let key: &Key = keys::ed25519();
    let token = Token::user().signed("EdDSA", key).encode();
    let whole = key.sign("EdDSA", input(&token).as_bytes());
    let order = hex(ED25519_ORDER);
    let mut beyond = whole.clone();
    add_little_endian(&mut beyond[32..], &order);
    let identity = [&[1][..], &[0; 31]].concat();
    let mut cases = vec![case("J34", "S + L", resigned(&token, beyond), INVALID)];
    for (name, r, s) in [
        ("R of small order, S of 0", identity.as_slice(), &[0; 32][..]),
        ("R of small order", &identity, &whole[32..]),
        ("S of 0", &whole[..32], &[0; 32]),
        ("S of L", &whole[..32], &order),
        ("S with its highest bits set", &whole[..32], &[0xff; 32]),
    ] {
        cases.push(case("J34", name, resigned(&token, [r, s].concat()), INVALID));
    }
    for length in [0, 32, 63, 65] {
        let mut signature = whole.clone();
        signature.resize(length, 0);
        let reason = if length == 0 { "malformed_token" } else { INVALID };
        cases.push(case("J34", format!("{length} bytes"), resigned(&token, signature), reason));
    }
    // A published key of small order: anybody can sign about every eighth message for it, with R as
    // the same point and S as 0.
    let by_nobody = Token::user().signed("EdDSA", key).header("kid", "of small order".into()).encode();
    let forged = resigned(&by_nobody, [identity.as_slice(), &[0; 32]].concat());
    cases.push(case("J34", "a key of small order", forged, "unknown_key").at(Environment::Odd));
    cases.push(good("J34", "the key itself", &Token::user().signed("EdDSA", key)));
    cases
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).expect("a hex digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn add_little_endian(number: &mut [u8], other: &[u8]) {
    let mut carry = 0;
    for (digit, more) in number.iter_mut().zip(other) {
        let sum = u16::from(*digit) + u16::from(*more) + carry;
        *digit = sum as u8;
        carry = sum >> 8;
    }
}

/// Big-endian numbers of one length, the first the larger.
fn subtract(number: &mut [u8], other: &[u8]) {
    let mut borrow = 0;
    for (digit, less) in number.iter_mut().zip(other).rev() {
        let difference = i16::from(*digit) - i16::from(*less) - borrow;
        borrow = i16::from(difference < 0);
        *digit = difference.rem_euclid(256) as u8;
    }
}
