//! JWS compact serialization (RFC 7515), JWK sets (RFC 7517) and the signature step.
//!
//! Parsing, key choice and every check here are our own; jsonwebtoken computes the signature.

mod algorithm;
mod dialect;
mod fault;
mod header;
mod jwk;
mod jwk_set;
mod jws;
mod pem;
mod roca;
mod strict_json;

pub use algorithm::{Algorithm, AlgorithmSet, KeyFamily};
pub use dialect::KeyDialect;
pub use fault::JoseFault;
pub use header::Header;
pub use jwk::{KeyFault, VerificationKey};
pub use jwk_set::{KeyChoice, KeySet, KeySetFault, ParsedKeys, SkippedKey};
pub use jws::{Fingerprint, SignedClaims, SignedParts, UnverifiedToken};

#[cfg(test)]
mod tests;
