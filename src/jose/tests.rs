//! Test vectors from RFCs and Project Wycheproof.
//!
//! Their payloads are not claims sets, so they only test up to the signature. `tests/vectors.rs` tests whole tokens
//! with claims.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod rfc;
mod wycheproof_jose;
mod wycheproof_raw;

use serde_json::Value;

use super::jws::Compact;
use super::verifier::SignedMessage;
use super::{Algorithm, JoseFault, KeyChoice, KeySet, VerificationKey};
use crate::test_support::{MAX_BYTES, unbase64url};

/// Why a token is refused.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Form(JoseFault),
    NoKey,
    Signature,
}

/// Verifies the signature of a token with a set of keys. Returns the payload.
fn accept(token: &str, keys: &KeySet) -> Result<Vec<u8>, Refusal> {
    let compact = Compact::parse(token, MAX_BYTES).map_err(Refusal::Form)?;
    let candidates = match keys.choose_for(&compact.header) {
        KeyChoice::Only(key) => vec![key],
        KeyChoice::Named(keys) | KeyChoice::Unnamed(keys) => keys,
        KeyChoice::WrongAlgorithm | KeyChoice::UnknownKid | KeyChoice::NoKid => return Err(Refusal::NoKey),
    };
    if candidates.iter().any(|key| verifies(&compact, key)) {
        Ok(compact.payload)
    } else {
        Err(Refusal::Signature)
    }
}

fn verifies(compact: &Compact<'_>, key: &VerificationKey) -> bool {
    let algorithm = compact.header.algorithm;
    key.algorithms().contains(algorithm)
        && is_valid_signature(compact.signing_input.as_bytes(), compact.signature, algorithm, key)
}

fn is_valid_signature(message: &[u8], signature: &str, algorithm: Algorithm, key: &VerificationKey) -> bool {
    key.verifies(algorithm, &SignedMessage::new(message, signature, unbase64url(signature)))
}

/// Decodes a hexadecimal member.
fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
