//! Parsing of the compact serialization.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod signature;

use serde_json::json;

use super::*;
use crate::test_support::{HMAC, MAX_BYTES, NOW, RSA, base64url, good_claims, with};

const HEADER: &str = r#"{"alg":"RS256"}"#;

fn parse(token: &str) -> Result<UnverifiedToken<'_>, JoseFault> {
    UnverifiedToken::parse(token, MAX_BYTES)
}

/// A token with this header and payload and an arbitrary signature.
fn compact(header: &[u8], payload: &[u8]) -> String {
    format!("{}.{}.c2ln", base64url(header), base64url(payload))
}

#[track_caller]
fn assert_malformed(token: &str, why: &str) {
    match parse(token) {
        Err(JoseFault::Malformed(_)) => {}
        other => panic!("{why}: {other:?} for {token}"),
    }
}

#[test]
fn compact_serialization_is_parsed() {
    let token = compact(br#"{"alg":"ES256","kid":"a"}"#, br#"{"iss":"https://idp.example","sub":"ada"}"#);
    let read = parse(&token).unwrap();
    assert_eq!(read.header().kid.as_deref(), Some("a"));
    assert_eq!(read.issuer_hint(), Ok(Some("https://idp.example")));
    assert_eq!(read.fingerprint().short().len(), 16);
    assert_eq!(read.fingerprint().full().len(), 64);
    assert_eq!(parse(&compact(HEADER.as_bytes(), b"{}")).unwrap().issuer_hint(), Ok(None));
    // White space around the JSON is allowed (RFC 8259 section 2).
    assert!(parse(&compact(b" {\"alg\":\"RS256\"}\r\n", b"\t{} ")).is_ok());
}

#[test]
fn token_must_have_three_nonempty_parts() {
    let (h, p) = (base64url(HEADER.as_bytes()), base64url(b"{}"));
    for (token, why) in [
        (String::new(), "nothing"),
        (".".to_owned(), "one dot"),
        ("..".to_owned(), "two dots"),
        ("...".to_owned(), "three dots"),
        (h.clone(), "one part"),
        (format!("{h}.{p}"), "two parts"),
        (format!("{h}.{p}.c2ln.c2ln"), "four parts"),
        (format!("{h}.{p}.c2ln.c2ln.c2ln"), "five parts, as a JWE"),
        (format!("{h}.{p}.c2ln."), "a dot at the end"),
        (format!(".{h}.{p}.c2ln"), "a dot at the start"),
        (format!("{h}.{p}."), "an empty signature"),
        (format!("{h}..c2ln"), "an empty payload (RFC 7797, detached)"),
        (format!(".{p}.c2ln"), "an empty header"),
        (format!("{h}..{p}.c2ln"), "an empty part in the middle"),
        (format!(r#"{{"protected":"{h}","payload":"{p}","signature":"c2ln"}}"#), "JSON serialization"),
    ] {
        assert_malformed(&token, why);
    }
}

#[test]
fn only_canonical_base64url_is_accepted() {
    let (h, p) = (base64url(HEADER.as_bytes()), base64url(b"{}"));
    // `{}` is `e30`, with two unused bits. `sig` is `c2ln`, with none. `si` is `c2k`, with two.
    assert!(parse(&format!("{h}.e30.c2k")).is_ok());
    for (token, why) in [
        (format!("{h}=.{p}.c2ln"), "padding on the header"),
        (format!("{h}.e30=.c2ln"), "padding on the payload"),
        (format!("{h}.{p}.c2k="), "padding on the signature"),
        (format!("{h}.{p}.c2ln="), "padding that is not even due"),
        (format!("{h}.{p}.c2ln=="), "padding twice"),
        (format!("{h}.e31.c2ln"), "unused bits set in the payload"),
        (format!("{h}.{p}.c2l"), "unused bits set in the signature"),
        (format!("{h}.{p}.c2m"), "unused bits set in the signature"),
        (format!("{h}.{p}.c"), "a lone last character"),
        (format!("{h}.{p}.-_+_"), "the standard alphabet"),
        (format!("{h}.{p}.-_/_"), "the standard alphabet"),
    ] {
        assert_malformed(&token, why);
    }
    assert!(parse(&format!("{h}.{p}.-___")).is_ok(), "the URL-safe alphabet");
    for stray in [" ", "\t", "\r\n", "\0", "\u{200b}", "?", "#", "%2E", "\"", ",", "\u{e9}"] {
        for token in [
            format!("{stray}{h}.{p}.c2ln"),
            format!("{h}.{stray}{p}.c2ln"),
            format!("{h}.{p}.c2{stray}ln"),
            format!("{h}.{p}.c2ln{stray}"),
        ] {
            assert_malformed(&token, "a stray character");
        }
    }
}

#[test]
fn sizes_are_checked_before_decoding() {
    let token = compact(HEADER.as_bytes(), b"{}");
    assert!(UnverifiedToken::parse(&token, token.len()).is_ok());
    assert_eq!(
        UnverifiedToken::parse(&token, token.len() - 1).err(),
        Some(JoseFault::Malformed("token is longer than tokenBytes"))
    );
    let header = |len: usize| format!("{HEADER}{}", " ".repeat(len - HEADER.len()));
    // 3072 bytes are 4096 characters of base64url.
    assert!(parse(&compact(header(3072).as_bytes(), b"{}")).is_ok());
    assert_malformed(&compact(header(3073).as_bytes(), b"{}"), "a header over 4096 characters");
    let long = "x".repeat(1024 * 1024);
    assert_malformed(&long, "a megabyte of nothing");
}

#[test]
fn payload_must_be_one_json_object_in_utf8() {
    let utf16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (payload, why) in [
        (&b"[]"[..], "an array"),
        (b"[1800000000,1800000000]", "an array that a struct could be read from"),
        (b"\"ada\"", "a string"),
        (b"null", "null"),
        (b"1", "a number"),
        (b"true", "a boolean"),
        (b" ", "nothing"),
        (b"\xef\xbb\xbf{}", "a byte order mark"),
        (&utf16, "UTF-16"),
        (b"{\"a\":\"\xff\"}", "no UTF-8"),
        (b"{\"a\":\"\xc0\xae\"}", "overlong UTF-8"),
        (b"{\"a\":\"\xed\xa0\x80\"}", "a surrogate in UTF-8"),
        (br#"{"a":"\ud800"}"#, "a lone surrogate, escaped"),
        (b"{}{}", "two objects"),
        (b"{}\0", "a NUL after it"),
        (b"{\"a\":1,}", "a trailing comma"),
        (b"{'a':1}", "single quotes"),
        (b"{\"a\":NaN}", "NaN"),
        (b"{\"a\":Infinity}", "Infinity"),
        (b"{\"a\":0x10}", "hexadecimal"),
        (b"{\"a\":01}", "a leading zero"),
        (b"{\"a\":+1}", "a plus sign"),
        (b"{\"exp\":1e400}", "a number that is none"),
        (b"{/**/}", "a comment"),
        (b"eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "a token in a token"),
    ] {
        assert_malformed(&compact(HEADER.as_bytes(), payload), why);
        assert_malformed(&compact(payload, b"{}"), why);
    }
}

#[test]
fn duplicate_members_are_refused() {
    for (payload, why) in [
        (r#"{"exp":1,"exp":2}"#, "exp twice"),
        (r#"{"sub":"a","sub":"a"}"#, "twice the same"),
        (r#"{"sub":"a","su\u0062":"b"}"#, "an escaped spelling"),
        (r#"{"isBot":false,"isBot":true}"#, "a claim that RFC 7519 does not know"),
        (r#"{"realm_access":{"roles":[],"roles":["Admin"]}}"#, "in a nested object"),
        (r#"{"a":[{"b":[{"c":1,"c":2}]}]}"#, "in a list"),
        (r#"{"isBot":false,"ISBOT":true}"#, "names that differ in case"),
        (r#"{"sub":"a","Sub":"b"}"#, "names that differ in case"),
        (r#"{"sub":"a","\u0053ub":"b"}"#, "names that differ in case, escaped"),
    ] {
        assert_malformed(&compact(HEADER.as_bytes(), payload.as_bytes()), why);
    }
    // In nested objects, names may differ only in case: nothing reads them ignoring case.
    assert!(parse(&compact(HEADER.as_bytes(), br#"{"a":{"b":1,"B":2}}"#)).is_ok());
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(parse(&compact(HEADER.as_bytes(), nested(32).as_bytes())).is_ok());
    assert_malformed(&compact(HEADER.as_bytes(), nested(33).as_bytes()), "33 objects");
    let lists = format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32));
    assert_malformed(&compact(HEADER.as_bytes(), lists.as_bytes()), "32 lists in an object");
    let deep = compact(HEADER.as_bytes(), nested(100_000).as_bytes());
    assert!(UnverifiedToken::parse(&deep, usize::MAX).is_err(), "100000 objects");
    let open = compact(HEADER.as_bytes(), "[".repeat(100_000).as_bytes());
    assert!(UnverifiedToken::parse(&open, usize::MAX).is_err(), "100000 open brackets");
}

#[test]
fn alg_none_in_every_spelling_is_refused() {
    for name in ["none", "None", "NONE", "nOnE", "none ", "no\\u006ee", ""] {
        let header = format!(r#"{{"alg":"{name}"}}"#);
        for signature in ["", "c2ln"] {
            let token = format!("{}.e30.{signature}", base64url(header.as_bytes()));
            assert_eq!(parse(&token).err(), Some(JoseFault::AlgorithmUnknown), "{header} {signature:?}");
        }
    }
    for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["RS256"]}"#, r#"{"alg":{"":""}}"#] {
        assert_malformed(&compact(header.as_bytes(), b"{}"), header);
    }
}

#[test]
fn issuer_hint_must_be_a_string() {
    for issuer in ["5", "[\"https://idp.example\"]", "{}", "true"] {
        let token = compact(HEADER.as_bytes(), format!(r#"{{"iss":{issuer}}}"#).as_bytes());
        assert!(matches!(parse(&token).unwrap().issuer_hint(), Err(JoseFault::Malformed(_))), "{issuer}");
    }
    let null = compact(HEADER.as_bytes(), br#"{"iss":null}"#);
    assert_eq!(parse(&null).unwrap().issuer_hint(), Ok(None));
}

#[test]
fn debug_output_does_not_contain_the_token() {
    let token = HMAC.token(Algorithm::HS256, Some("k"), &serde_json::json!({"sub": "ada"}));
    let read = parse(&token).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let unverified = format!("{read:?} {read:#?}");
    let fingerprint = read.fingerprint();
    let claims = read.verify(&HMAC.verifier()).unwrap();
    let verified = format!("{claims:?} {claims:#?}");
    for text in [unverified, verified] {
        for secret in [&*token, input, signature, input.split('.').next_back().unwrap()] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(!token.contains(fingerprint.short()));
}

#[test]
fn unverified_parts_are_what_the_token_says() {
    let claims = |more| with(good_claims(), more);
    let text = RSA.token(Algorithm::RS256, Some("k"), &claims(json!({"email": "a@b.example", "n": 1})));
    let token = UnverifiedToken::parse(&text, MAX_BYTES).unwrap();
    assert_eq!(
        (token.claimed("email"), token.claimed("n"), token.claimed("none")),
        (Some("a@b.example"), None, None)
    );
    assert_eq!(token.claimed_expiry(), Some(NumericDate::from_secs(NOW + 600)));
    assert!(token.claims_for_operators().get("n").is_some());
    let header = token.header_members().unwrap();
    assert_eq!(header.get("kid").and_then(JsonValue::as_str), Some("k"));
    assert_eq!(header.get("alg").and_then(JsonValue::as_str), Some("RS256"));
    for exp in [json!("5"), json!(null), json!([NOW])] {
        let text = RSA.token(Algorithm::RS256, None, &claims(json!({"exp": exp})));
        assert_eq!(UnverifiedToken::parse(&text, MAX_BYTES).unwrap().claimed_expiry(), None, "{exp}");
    }
}

/// To know which key to fetch.
#[test]
fn the_claimed_key_id_needs_only_the_header() {
    let text = RSA.token(Algorithm::RS256, Some("k"), &good_claims());
    let header = text.split('.').next().unwrap();
    for token in [&*text, header, &format!("{header}.x.y.z")] {
        assert_eq!(crate::jose::claimed_key_id(token).as_deref(), Some("k"), "{token}");
    }
    // With padding too.
    assert_eq!(crate::jose::claimed_key_id("eyJhbGciOiJSUzI1NiIsImtpZCI6InAifQ==.").as_deref(), Some("p"));
    let unnamed = RSA.token(Algorithm::RS256, None, &good_claims());
    for token in [&*unnamed, "", "a.b.c", "!"] {
        assert_eq!(crate::jose::claimed_key_id(token), None, "{token}");
    }
}

#[test]
fn a_fingerprint_is_the_hash_of_the_signing_input() {
    let text = RSA.token(Algorithm::RS256, Some("k"), &good_claims());
    let (input, _) = text.rsplit_once('.').unwrap();
    let expected: String = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, input.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let token = UnverifiedToken::parse(&text, MAX_BYTES).unwrap();
    let fingerprint = token.fingerprint();
    assert_eq!((fingerprint.full(), fingerprint.short()), (&*expected, &expected[..16]));
    let summary = token.into_summary();
    assert_eq!((&*summary.fingerprint, summary.kid.as_deref()), (&expected[..16], Some("k")));
}
