//! JWS compact serialization (RFC 7515), JWK sets (RFC 7517) and signature verification.
//!
//! 1. [`UnverifiedToken::parse`] splits the token and strictly parses its header and claims set.
//! 2. [`KeySet::choose`] selects the keys that may have signed it, by `kid` and `alg`.
//! 3. [`UnverifiedToken::verify`] verifies the signature. Only it creates [`SignedClaims`].
//!
//! Parsing, key selection and the checks of keys are implemented here. Of the signature step, aws-lc does the public-key
//! algorithms, with keys that are parsed once, and jsonwebtoken does HMAC.
//! What the claims must contain is not checked here but in [`crate::claims`].

mod algorithm;
mod certificate;
mod der;
mod dialect;
mod fault;
mod header;
mod jwk;
mod jwk_set;
mod jws;
mod key_document;
mod key_fault;
mod padding;
mod pem;
mod public_key;
mod roca;
mod strict_json;
mod verifier;

pub use algorithm::{Algorithm, AlgorithmSet, KeyFamily};
pub use certificate::Thumbprints;
pub use dialect::KeyDialect;
pub use fault::JoseFault;
pub use header::{Header, claimed_key_id};
pub use jwk::VerificationKey;
pub use jwk_set::{KeyChoice, KeySet, MAX_KEYS, ParsedKeys, SkippedKey};
pub use jws::{Fingerprint, SignedClaims, SignedParts, TokenSummary, UnverifiedToken};
pub use key_document::KeySetFault;
pub use key_fault::KeyFault;
pub use padding::Padding;
pub use strict_json::{JsonArray, JsonMembers, JsonObject, JsonValue};

#[cfg(test)]
mod tests;
