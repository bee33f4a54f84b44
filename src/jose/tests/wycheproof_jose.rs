//! Project Wycheproof's vectors of JWS and JWK, if they are present.
//!
//! They are not part of this repository: `METAGATE_WYCHEPROOF` names a directory that has
//! `json_web_signature_test.json`, `json_web_key_test.json` and `json_web_crypto_test.json` of
//! <https://github.com/C2SP/wycheproof>.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::jose::{KeyDialect, ParsedKeys, UnverifiedToken};
use crate::test_support::unbase64url;

/// The number of a vector with a different expected result, and the reason.
type Exception = (u64, &'static str);

/// Reads one file. `None`, and a line is printed, if no directory is named.
fn read(name: &str) -> Option<Value> {
    let Some(directory) = std::env::var_os("METAGATE_WYCHEPROOF") else {
        println!("{name}: not read, METAGATE_WYCHEPROOF is not set");
        return None;
    };
    let path = PathBuf::from(directory).join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_slice(&text).unwrap())
}

/// The keys of a group: a published key set or one configured secret.
fn keys(group: &Value) -> KeySet {
    let key = group.get("public").unwrap_or(&group["private"]);
    if key["kty"] == "oct" {
        let secret = VerificationKey::from_shared_secret(&unbase64url(key["k"].as_str().unwrap()));
        return KeySet::new(vec![secret.into()]);
    }
    let document = if key.get("keys").is_some() { key.clone() } else { json!({"keys": [key]}) };
    let parsed = ParsedKeys::parse(document.to_string().as_bytes(), KeyDialect::Standard).unwrap();
    KeySet::new(parsed.usable)
}

/// Compares every expected result of a file with ours.
fn run(name: &str, exceptions: &[Exception]) {
    let Some(file) = read(name) else { return };
    let (mut accepted, mut refused, mut different) = (0, 0, Vec::new());
    for group in file["testGroups"].as_array().unwrap() {
        let keys = keys(group);
        for test in group["tests"].as_array().unwrap() {
            let number = test["tcId"].as_u64().unwrap();
            // A JSON serialization is an object in the file.
            let token = match test.get("jws").or(test.get("jwe")).unwrap() {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let passes = accept(&token, &keys).is_ok();
            // None of the payloads is a claims set, so none of these is accepted as a token.
            assert!(UnverifiedToken::parse(&token, MAX_BYTES).is_err(), "{name} {number}");
            if passes != (test["result"] == "valid") {
                different.push(number);
            }
            *if passes { &mut accepted } else { &mut refused } += 1;
        }
    }
    println!("{name}: {} read, {accepted} accepted, {refused} refused", accepted + refused);
    for (number, reason) in exceptions {
        println!("{name}: exception {number}: {reason}");
    }
    let expected: Vec<u64> = exceptions.iter().map(|(number, _)| *number).collect();
    assert_eq!(different, expected, "{name}");
    assert_eq!(Some(accepted + refused), file["numberOfTests"].as_u64(), "{name}");
}

#[test]
fn wycheproof_jws() {
    const ES512: &str = "the key says ES521, which is the name of no algorithm";
    const BOUND: &str = "the key says PS256, the token PS384: a key verifies what it says";
    run(
        "json_web_signature_test.json",
        &[
            (346, BOUND),
            (347, ES512),
            (350, BOUND),
            (351, ES512),
            (367, "the very bytes of 357, which is valid"),
            (370, "the very bytes of 357, which is valid"),
            (372, "`?` is not in the alphabet (RFC 4648 section 3.3)"),
            (373, "`?` is not in the alphabet (RFC 4648 section 3.3)"),
        ],
    );
}

#[test]
fn wycheproof_jwk() {
    const SECRET: &str = "a secret is never taken from a key set";
    run(
        "json_web_key_test.json",
        &[(2, SECRET), (13, SECRET), (14, "HS384 is not supported"), (15, "HS512 is not supported")],
    );
}

#[test]
fn wycheproof_jwt_crypto() {
    run(
        "json_web_crypto_test.json",
        &[
            (48, "a secret is never taken from a key set"),
            (50, "encrypted tokens are not supported"),
            (67, "encrypted tokens are not supported"),
        ],
    );
}
