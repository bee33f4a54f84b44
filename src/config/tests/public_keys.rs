//! Keys written into the configuration, in every form that they are published in.

use serde_json::json;

use super::*;
use crate::jose::Algorithm;
use crate::test_support::{P256, RSA, pem};

const ENTRY: &str = "upstream: {url: http://127.0.0.1:1}\nauthentication:\n  issuers:\n    - name: a\n      \
                     issuer: https://a.example\n      audiences: [b]\n      publicKeys: ";

/// The value on lines of its own, indented below the key.
fn block(style: &str, text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("        {line}\n")).collect();
    format!("{ENTRY}{style}\n{lines}")
}

/// The kids of the keys, `-` without one.
#[track_caller]
fn kids(case: &Case) -> Vec<String> {
    let config = case.config();
    let KeySource::Inline(keys) = &config.trust[0].keys else { panic!("not inline") };
    keys.iter().map(|key| key.kid().unwrap_or("-").to_owned()).collect()
}

fn texts() -> Vec<(String, Vec<&'static str>)> {
    let (rsa, ec) = (pem("PUBLIC KEY", &RSA.spki()), pem("PUBLIC KEY", &P256.spki()));
    let set = json!({"keys": [RSA.jwk_named("1"), P256.jwk_named("2")]});
    vec![
        (rsa.clone(), vec!["-"]),
        (pem("RSA PUBLIC KEY", &RSA.public_bytes()), vec!["-"]),
        (format!("{rsa}{ec}"), vec!["-", "-"]),
        (set.to_string(), vec!["1", "2"]),
        (format!("{set:#}"), vec!["1", "2"]),
        (RSA.jwk_named("1").to_string(), vec!["1"]),
        (json!({"k1": rsa, "k2": ec}).to_string(), vec!["k1", "k2"]),
    ]
}

#[test]
fn keys_may_be_a_block_or_a_quoted_text() {
    for (text, expected) in texts() {
        for style in ["|", "|-", ">", ">-"] {
            assert_eq!(kids(&file(&block(style, &text))), expected, "{style} {text}");
        }
        let double_quoted = serde_json::Value::from(text.as_str()).to_string();
        assert_eq!(kids(&file(&format!("{ENTRY}{double_quoted}\n"))), expected, "{text}");
        let variable = file(&format!("{ENTRY}${{KEYS}}\n")).with(&[("KEYS", &text)]);
        assert_eq!(kids(&variable), expected, "{text}");
        if text.starts_with("---") {
            let escaped = text.replace('\n', "\\n");
            assert_eq!(kids(&file(&format!("{ENTRY}'{escaped}'\n"))), expected, "{text}");
        }
    }
}

#[test]
fn keys_may_be_yaml() {
    let indented = |indent: usize, text: &str| -> String {
        text.lines().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect()
    };
    let (rsa, ec) = (pem("PUBLIC KEY", &RSA.spki()), pem("PUBLIC KEY", &P256.spki()));
    let (rsa, ec) = (indented(12, &rsa), indented(12, &ec));
    assert_eq!(kids(&file(&format!("{ENTRY}\n        - |\n{rsa}        - |\n{ec}"))), ["-", "-"]);
    assert_eq!(kids(&file(&format!("{ENTRY}\n        k1: |\n{rsa}        2: |\n{ec}"))), ["2", "k1"]);
    let jwk = RSA.jwk_named("1").to_string().replace("\"1\"", "1");
    for yaml in [format!("{{keys: [{jwk}]}}"), jwk.clone(), format!("[{jwk}]")] {
        assert_eq!(kids(&file(&format!("{ENTRY}{yaml}\n"))), ["1"], "{yaml}");
    }
}

#[test]
fn printed_keys_are_the_same_keys() {
    for (text, expected) in texts() {
        let printed = print(&file(&block("|", &text)).loaded());
        assert_eq!(kids(&file(&printed)), expected, "{text}");
    }
}

#[test]
fn what_is_no_public_key_is_refused_and_not_shown() {
    let secret = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
    let private = json!({"kty": "EC", "kid": "1", "crv": "P-256", "d": secret});
    for (value, message) in [
        (
            block("|", &format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----")),
            "private key",
        ),
        (block("|", &format!("-----BEGIN EC PRIVATE KEY-----\n{secret}")), "private key"),
        (format!("{ENTRY}{private}\n"), "private key"),
        (format!("{ENTRY}'{}'\n", json!({"keys": [private]})), "private key"),
        (format!("{ENTRY}{secret}\n"), "neither"),
        (format!("{ENTRY}[{secret}]\n"), "a list of something else"),
        (format!("{ENTRY}{{a: {secret}}}\n"), "neither"),
        (format!("{ENTRY}[]\n"), "contains no key"),
    ] {
        let errors = file(&value).result().err().unwrap_or_else(|| panic!("it loads: {value}")).to_string();
        assert!(errors.contains("authentication.issuers[0].publicKeys: "), "{errors}");
        assert!(errors.contains(message) && !errors.contains(secret), "{errors}");
    }
}

#[test]
fn more_keys_than_the_limit_are_an_error() {
    let text = pem("PUBLIC KEY", &P256.spki()).repeat(3);
    assert_eq!(kids(&file(&block("|", &text))).len(), 3);
    let errors = file(&format!("{}  jwks: {{maxKeys: 2}}\n", block("|", &text))).errors();
    assert!(errors[0].contains("more keys than jwks.maxKeys"), "{errors:?}");
}

#[test]
fn eddsa_has_two_names() {
    let config = file(&format!("{ENTRY}'{}'\n      algorithms: [Ed25519]\n", P256.jwk_named("1"))).config();
    assert_eq!(config.trust[0].algorithms, [Algorithm::EdDSA].into_iter().collect());
}
