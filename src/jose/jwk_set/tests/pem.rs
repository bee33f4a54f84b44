//! Keys in PEM files.

use super::*;
use crate::test_support::pem;

fn parse(text: &str) -> Result<ParsedKeys, KeySetFault> {
    ParsedKeys::parse(text.as_bytes(), KeyDialect::Standard)
}

#[test]
fn public_keys_of_every_kind_are_parsed() {
    for (key, label, der) in [
        (&*RSA, "PUBLIC KEY", RSA.spki()),
        (&RSA, "RSA PUBLIC KEY", RSA.public_bytes()),
        (&P256, "PUBLIC KEY", P256.spki()),
        (&P384, "PUBLIC KEY", P384.spki()),
        (&P521, "PUBLIC KEY", P521.spki()),
        (&ED25519, "PUBLIC KEY", ED25519.spki()),
    ] {
        let text = pem(label, &der);
        for text in [
            text.clone(),
            text.replace('\n', "\r\n"),
            format!("# a comment\n\n{text}\n"),
            text.replace('\n', ""),
            text.replace('\n', " "),
            text.replace('\n', "\\n"),
            text.replace('\n', "\\r\\n"),
        ] {
            let keys = parse(&text).unwrap();
            assert!(keys.skipped.is_empty(), "{text}: {:?}", keys.skipped);
            let found = &keys.usable[0];
            assert!(verifies(found, key, key.algorithm()), "{text}");
            assert!(found.matches_any_kid() && found.kid().is_none(), "{text}");
            assert_eq!(found.material(), key.verifier().material(), "the same key as its JWK");
        }
    }
}

#[test]
fn each_block_is_one_key() {
    let text = format!(
        "{}{}{}",
        pem("PUBLIC KEY", &RSA.spki()),
        pem("CERTIFICATE", &RSA.spki()),
        pem("PUBLIC KEY", &P256.spki())
    );
    let keys = parse(&text).unwrap();
    assert_eq!(keys.usable.len(), 2);
    assert_eq!(keys.skipped, [SkippedKey { kid: None, fault: KeyFault::Damaged }]);
}

#[test]
fn blocks_that_are_not_public_keys_are_skipped() {
    let spki = P256.spki();
    let compressed = [&spki[..26], &[2], &spki[27..59]].concat();
    // An empty bit string in place of the point.
    let no_point = [b"\x30\x18", &spki[2..23], b"\x03\x01\x00"].concat();
    let mut off_curve = spki.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    for (label, der, fault) in [
        ("PRIVATE KEY", spki.clone(), KeyFault::Private),
        ("EC PRIVATE KEY", spki.clone(), KeyFault::Private),
        ("ENCRYPTED PRIVATE KEY", spki.clone(), KeyFault::Private),
        ("CERTIFICATE", spki.clone(), KeyFault::Damaged),
        ("", spki.clone(), KeyFault::UnknownType),
        ("PUBLIC KEY", Vec::new(), KeyFault::Damaged),
        ("PUBLIC KEY", spki[..spki.len() - 1].to_vec(), KeyFault::Damaged),
        ("PUBLIC KEY", [&spki[..], &[0]].concat(), KeyFault::Damaged),
        ("PUBLIC KEY", compressed, KeyFault::Damaged),
        ("PUBLIC KEY", no_point, KeyFault::PointNotOnCurve),
        ("PUBLIC KEY", off_curve, KeyFault::PointNotOnCurve),
        ("PUBLIC KEY", RSA.public_bytes(), KeyFault::Damaged),
        ("RSA PUBLIC KEY", RSA.spki(), KeyFault::Damaged),
        ("RSA PUBLIC KEY", vec![0x30, 0], KeyFault::Damaged),
        ("RSA PUBLIC KEY", [&RSA.public_bytes()[..], &[0]].concat(), KeyFault::Damaged),
    ] {
        let keys = parse(&pem(label, &der)).unwrap();
        assert!(keys.usable.is_empty(), "{label}");
        assert_eq!(keys.skipped[0].fault, fault, "{label}, {} bytes", der.len());
    }
    for text in [
        "-----BEGIN -",
        "-----BEGIN PUBLIC KEY",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\n\u{e9}\n-----END PUBLIC KEY-----",
    ] {
        assert!(parse(text).unwrap().usable.is_empty(), "{text}");
    }
    // What is wrong with a private key is that it is one, in whatever state it is.
    for text in [
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nAAAA",
    ] {
        assert_eq!(parse(text).unwrap().skipped[0].fault, KeyFault::Private, "{text}");
    }
}

#[test]
fn hostile_bytes_never_panic() {
    // Change each byte of each encoding, truncate it there, and duplicate its start.
    for (label, der) in [
        ("PUBLIC KEY", P256.spki()),
        ("PUBLIC KEY", ED25519.spki()),
        ("PUBLIC KEY", RSA.spki()[..64].to_vec()),
        ("RSA PUBLIC KEY", RSA.public_bytes()[..64].to_vec()),
    ] {
        for at in 0..der.len() {
            for byte in [0, 0x7f, 0x80, 0xff, der[at] ^ 1] {
                let mut changed = der.clone();
                changed[at] = byte;
                let _ = parse(&pem(label, &changed));
            }
            let _ = parse(&pem(label, &der[..at]));
            let _ = parse(&pem(label, &[&der[..at], &der[..]].concat()));
        }
    }
    // Lengths that exceed the data.
    for der in
        [&b"\x30\x84\xff\xff\xff\xff"[..], b"\x30\x80\0\0", b"\x30\x82\xff\xff\x02\x01\x01", &[0x30; 200]]
    {
        for label in ["PUBLIC KEY", "RSA PUBLIC KEY"] {
            assert!(parse(&pem(label, der)).unwrap().usable.is_empty());
        }
    }
}
