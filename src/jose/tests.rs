//! Vectors that nobody here wrote.
//!
//! Their payloads are texts, so they end at the signature; whole tokens with claims are in
//! `tests/vectors.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod rfc;
mod wycheproof_jose;
mod wycheproof_raw;

use serde_json::Value;

use super::jws::{Compact, is_valid_signature};
use super::{JoseFault, KeyChoice, KeySet, VerificationKey};
use crate::test_support::MAX_BYTES;

/// Why a token did not pass.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Form(JoseFault),
    NoKey,
    Signature,
}

/// The way of a token to the end of the signature step, by a set of public keys.
fn accept(token: &str, keys: &KeySet) -> Result<Vec<u8>, Refusal> {
    let compact = Compact::parse(token, MAX_BYTES).map_err(Refusal::Form)?;
    let candidates = match keys.choose(compact.header.kid.as_deref(), compact.header.algorithm) {
        KeyChoice::Only(key) => vec![key],
        KeyChoice::Named(keys) | KeyChoice::Unnamed(keys) => keys,
        KeyChoice::WrongAlgorithm | KeyChoice::UnknownKid | KeyChoice::NoKid => return Err(Refusal::NoKey),
    };
    if candidates.iter().any(|key| holds(&compact, key)) {
        Ok(compact.payload)
    } else {
        Err(Refusal::Signature)
    }
}

fn holds(compact: &Compact<'_>, key: &VerificationKey) -> bool {
    let algorithm = compact.header.algorithm;
    key.algorithms().contains(algorithm)
        && is_valid_signature(compact.signing_input.as_bytes(), compact.signature, algorithm, key)
}

/// The bytes of a member that is hexadecimal.
fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
