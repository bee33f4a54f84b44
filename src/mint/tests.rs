//! Tests of minted tokens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod claims;
mod keys;
mod times;

use std::time::Duration;

use secrecy::SecretSlice;
use serde_json::{Value, json};

use super::*;
use crate::backend::TokenFormat;
use crate::jose::Algorithm;
use crate::numeric_date::NumericDate;
use crate::test_support::{NOW, OTHER_RSA, RSA, SECRET, SigningKey, unbase64url};

const NOW_DATE: NumericDate = NumericDate::from_secs(NOW);
const ISSUER: &str = "https://metagate.example/backend";

fn private(key: &SigningKey) -> PrivateKey {
    PrivateKey::from_pem(&key.private_pem()).unwrap()
}

fn usual_claims() -> PrincipalClaims {
    PrincipalClaims { ordered: ["email", "preferred_username", "sub"].map(Into::into).into(), mapping: None }
}

fn minter_with(rsa: &[&SigningKey], claims: PrincipalClaims) -> Minter {
    let secret = SecretSlice::from(SECRET.to_vec());
    let rsa = rsa.iter().map(|key| private(key)).collect();
    let keys = SigningKeys::new(rsa, Algorithm::RS256, Some(&secret));
    Minter::new(ISSUER, keys, claims, DatahubTokenType::default())
}

fn minter() -> Minter {
    minter_with(&[&RSA], usual_claims())
}

fn user(name: &str) -> TargetUser<'_> {
    TargetUser { name, email: None }
}

fn bot() -> TargetUser<'static> {
    TargetUser { name: "ingestion-bot", email: Some("ingestion-bot@open-metadata.org") }
}

fn prepare(minter: &Minter, format: TokenFormat, user: TargetUser<'_>) -> Result<MintTarget, MintFault> {
    minter.prepare("nightly", format, user, DEFAULT_LIFETIME)
}

/// The text of a token.
fn text(token: &MintedToken) -> String {
    token.authorization.to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned()
}

/// The header and the claims of a token.
fn parts(token: &str) -> (Value, Value) {
    let parts: Vec<&str> = token.split('.').collect();
    let read = |at: usize| serde_json::from_slice(&unbase64url(parts[at])).unwrap();
    assert_eq!(parts.len(), 3);
    (read(0), read(1))
}

fn minted(minter: &Minter, format: TokenFormat, user: TargetUser<'_>) -> (Value, Value) {
    let target = prepare(minter, format, user).unwrap();
    parts(&text(&minter.mint(&target, NOW_DATE, None).unwrap()))
}
