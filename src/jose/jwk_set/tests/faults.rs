//! A test of each reason to refuse a key.

use super::*;
use crate::test_support::without;

#[track_caller]
fn assert_fault(jwk: Value, fault: KeyFault) {
    let keys = parsed(std::slice::from_ref(&jwk));
    assert!(keys.usable.is_empty(), "used: {jwk}");
    assert_eq!(keys.skipped[0].fault, fault, "{jwk}");
}

fn rsa_of(n: &[u8], e: &[u8]) -> Value {
    json!({"kty": "RSA", "kid": "a", "n": base64url(n), "e": base64url(e)})
}

/// An odd number of this many bits.
fn odd(bits: usize) -> Vec<u8> {
    let mut number = vec![0xff; bits.div_ceil(8)];
    number[0] = 0xff >> (8 * number.len() - bits);
    number
}

#[test]
fn missing_members_and_wrong_types_are_refused() {
    for (base, name) in
        [(RSA.jwk(), "n"), (RSA.jwk(), "e"), (P256.jwk(), "x"), (P256.jwk(), "y"), (ED25519.jwk(), "x")]
    {
        assert_fault(without(base.clone(), name), KeyFault::Malformed);
        assert_fault(with(base.clone(), json!({name: 5})), KeyFault::Malformed);
        assert_fault(with(base, json!({name: "%"})), KeyFault::Malformed);
    }
    assert_fault(without(RSA.jwk(), "kty"), KeyFault::Malformed);
    assert_fault(with(RSA.jwk(), json!({"n": ""})), KeyFault::Malformed);
    assert_fault(with(RSA.jwk(), json!({"e": "AAAA"})), KeyFault::Malformed);
    assert_fault(with(RSA.jwk(), json!({"kid": 5})), KeyFault::Malformed);
}

#[test]
fn unknown_types_and_curves_are_refused() {
    for kty in ["AKP", "rsa", "Ed25519", ""] {
        assert_fault(with(RSA.jwk(), json!({"kty": kty})), KeyFault::UnknownType);
    }
    for crv in ["P-512", "secp256k1", "p-256", "Ed25519", ""] {
        assert_fault(with(P256.jwk(), json!({"crv": crv})), KeyFault::UnknownCurve);
    }
    for crv in ["X25519", "Ed448", "P-256", ""] {
        assert_fault(with(ED25519.jwk(), json!({"crv": crv})), KeyFault::UnknownCurve);
    }
    assert_fault(without(P256.jwk(), "crv"), KeyFault::UnknownCurve);
}

#[test]
fn alg_must_match_the_key_type() {
    for (jwk, alg) in [
        (RSA.jwk(), "ES256"),
        (RSA.jwk(), "HS256"),
        (RSA.jwk(), "RSA-OAEP"),
        (RSA.jwk(), "none"),
        (RSA.jwk(), ""),
        (P256.jwk(), "ES384"),
        (P256.jwk(), "ES521"),
        (P256.jwk(), "ES224"),
        (P256.jwk(), "A128GCM"),
        (P384.jwk(), "ES256"),
        (ED25519.jwk(), "ES256"),
        (ED25519.jwk(), "RS256"),
    ] {
        assert_fault(with(jwk, json!({"alg": alg})), KeyFault::UnsupportedAlgorithm);
    }
}

#[test]
fn keys_for_other_purposes_are_refused() {
    assert_fault(with(RSA.jwk(), json!({"use": "enc"})), KeyFault::NotForSignatures);
    assert_fault(with(RSA.jwk(), json!({"use": "SIG"})), KeyFault::NotForSignatures);
    assert_fault(with(RSA.jwk(), json!({"key_ops": ["encrypt"]})), KeyFault::NotForVerification);
    assert_fault(with(RSA.jwk(), json!({"key_ops": ["sign"]})), KeyFault::NotForVerification);
    assert_fault(with(RSA.jwk(), json!({"key_ops": []})), KeyFault::NotForVerification);
    assert_fault(with(RSA.jwk(), json!({"key_ops": "verify"})), KeyFault::Malformed);
}

#[test]
fn secrets_and_private_keys_are_refused() {
    for k in ["", "AA", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"] {
        assert_fault(json!({"kty": "oct", "k": k, "alg": "HS256", "kid": "a"}), KeyFault::Symmetric);
    }
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        assert_fault(with(RSA.jwk(), json!({name: "AQAB"})), KeyFault::Private);
        assert_fault(with(P256.jwk(), json!({name: 5})), KeyFault::Private);
    }
}

#[test]
fn unsound_rsa_numbers_are_refused() {
    let e = [1, 0, 1];
    for bits in [512, 1024, 1536, 2040, 2047] {
        assert_fault(rsa_of(&odd(bits), &e), KeyFault::RsaTooShort);
    }
    // Leading zeros do not count.
    assert_fault(rsa_of(&[&[0; 128][..], &odd(1024)].concat(), &e), KeyFault::RsaTooShort);
    for bits in [8193, 16384] {
        assert_fault(rsa_of(&odd(bits), &e), KeyFault::RsaTooLong);
    }
    let (n, _) = RSA.rsa_numbers();
    let even = [&n[..n.len() - 1], &[n[n.len() - 1] & 0xfe]].concat();
    assert_fault(rsa_of(&even, &e), KeyFault::RsaUnsound);
    for (exponent, why) in [
        (&[1][..], "one"),
        (&[2], "two"),
        (&[1, 0, 0], "even"),
        (&[1, 0, 0, 0, 1], "longer than 32 bits"),
        (&[0xff; 256], "as long as the modulus"),
    ] {
        let keys = parsed(&[rsa_of(&n, exponent)]);
        assert_eq!(keys.skipped.first().map(|key| key.fault), Some(KeyFault::RsaUnsound), "e is {why}");
    }
    for (exponent, why) in
        [(&[3][..], "three is unusual and sound"), (&[0xff; 4], "32 bits are not too long")]
    {
        assert!(parsed(&[rsa_of(&n, exponent)]).skipped.is_empty(), "{why}");
    }
}

/// CVE-2017-15361: the modulus is a power of 65537 modulo many small primes. This one is also a power itself.
#[test]
fn rsa_keys_of_the_broken_generator_are_refused() {
    let mut power = vec![1];
    for _ in 0..128 {
        power.extend([0, 0]);
        let mut carry = 0;
        for byte in &mut power {
            let product = 65_537 * u32::from(*byte) + carry;
            (*byte, carry) = (product.to_le_bytes()[0], product >> 8);
        }
    }
    power.reverse();
    assert_fault(rsa_of(&power, &[1, 0, 1]), KeyFault::RsaUnsound);
    *power.last_mut().unwrap() += 2;
    assert!(parsed(&[rsa_of(&power, &[1, 0, 1])]).skipped.is_empty(), "no power");
}

#[test]
fn points_not_on_the_curve_are_refused() {
    let point = P256.public_bytes();
    let mut off = point[1..33].to_vec();
    off[31] ^= 1;
    assert_fault(with(P256.jwk(), json!({"x": base64url(&off)})), KeyFault::PointNotOnCurve);
    assert_fault(
        with(P256.jwk(), json!({"x": base64url(&[0; 32]), "y": base64url(&[0; 32])})),
        KeyFault::PointNotOnCurve,
    );
    assert_fault(with(P256.jwk(), json!({"x": base64url(&[1; 33])})), KeyFault::PointNotOnCurve);
    assert_fault(with(P256.jwk(), json!({"x": ""})), KeyFault::PointNotOnCurve);
    assert_fault(with(P256.jwk(), json!({"crv": "P-384"})), KeyFault::PointNotOnCurve);
    assert_fault(with(P384.jwk(), json!({"crv": "P-256"})), KeyFault::PointNotOnCurve);
    // x and y of different keys.
    assert_fault(with(P256.jwk(), json!({"y": OTHER_P256.jwk()["y"]})), KeyFault::PointNotOnCurve);
    let x = ED25519.public_bytes();
    for bytes in [&x[..31], &[&x[..], &[0]].concat(), &[]] {
        assert_fault(with(ED25519.jwk(), json!({"x": base64url(bytes)})), KeyFault::PointNotOnCurve);
    }
}

#[test]
fn every_fault_has_a_unique_word() {
    let faults = [
        KeyFault::Malformed,
        KeyFault::UnknownType,
        KeyFault::UnknownCurve,
        KeyFault::UnsupportedAlgorithm,
        KeyFault::NotForSignatures,
        KeyFault::NotForVerification,
        KeyFault::Symmetric,
        KeyFault::Private,
        KeyFault::RsaTooShort,
        KeyFault::RsaTooLong,
        KeyFault::RsaUnsound,
        KeyFault::PointNotOnCurve,
        KeyFault::SmallOrder,
        KeyFault::DuplicateKeyId,
    ];
    let words: std::collections::BTreeSet<_> = faults.iter().map(|fault| fault.as_str()).collect();
    assert_eq!(words.len(), faults.len());
}

#[test]
fn kid_of_a_skipped_key_is_truncated() {
    let kid = "\u{e9}".repeat(100);
    let keys = parsed(&[with(RSA.jwk_named(&kid), json!({"use": "enc"}))]);
    assert_eq!(keys.skipped[0].kid.as_deref().map(|kid| kid.chars().count()), Some(64));
}

#[test]
fn debug_output_does_not_contain_key_material() {
    let keys = parsed(&[RSA.jwk_named("a")]);
    let n = RSA.jwk()["n"].as_str().unwrap().to_owned();
    let text = format!("{:?}", keys.usable[0]);
    assert!(text.contains("\"a\"") && !text.contains(&n[..16]), "{text}");
    let secret = VerificationKey::from_shared_secret(b"a secret of thirty-two bytes, so");
    assert!(!format!("{secret:?}").contains("secret of"), "{secret:?}");
}

#[test]
fn ed25519_points_of_small_order_are_refused() {
    let low = |first: u8, middle: u8, last: u8| {
        let mut point = [middle; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let of_order_eight = [
        b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
        b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    ];
    let mut points = vec![low(0, 0, 0), low(1, 0, 0)];
    points.extend([0xec, 0xed, 0xee].map(|first| low(first, 0xff, 0x7f)));
    points.extend(of_order_eight.map(|point| *point));
    for mut point in points {
        for sign in [0, 0x80] {
            point[31] |= sign;
            assert_fault(with(ED25519.jwk(), json!({"x": base64url(&point)})), KeyFault::SmallOrder);
        }
    }
    assert!(parsed(&[ED25519.jwk()]).skipped.is_empty());
    // Keys that differ from such a point in one byte are accepted. About half of these are points on the curve.
    for (near, at) in [(0, 0), (0, 15), (0, 31), (1, 31), (0xee, 0), (0xee, 15)] {
        let keys = (2..0x20).map(|byte| {
            let mut point = if near == 0xee { low(near, 0xff, 0x7f) } else { low(near, 0, 0) };
            point[at] = byte;
            with(ED25519.jwk(), json!({"x": base64url(&point)}))
        });
        let keys = parsed(&keys.collect::<Vec<_>>());
        assert!(keys.skipped.iter().all(|key| key.fault == KeyFault::PointNotOnCurve), "{near} {at}");
        assert!(keys.usable.len() > 5, "{near} {at}");
    }
}
