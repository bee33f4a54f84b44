//! What is the same for every server of a product: how it makes tokens of its own, and what it ships.

use super::{NonExpiring, TokenClass};
use crate::jose::KeyDialect;

/// A product that one or more of the backends are servers of.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Its name in messages.
    pub name: &'static str,
    /// The section of the configuration that is about it.
    pub section: &'static str,
    /// The key in this section that says the `iss` of tokens that it makes.
    pub issuer_key: &'static str,
    /// How these say what class they are of.
    pub classes: TokenClasses,
    /// Where the keys are that verify them.
    pub key_set: Option<OwnKeySet>,
    /// The secret that verifies them.
    pub signing_key: Option<SigningKey>,
    /// Secrets that it ships, or shipped: they keep nobody out.
    pub published_secrets: &'static [Published],
}

/// How a product's own tokens say what class they are of.
#[derive(Clone, Copy, Debug)]
pub struct TokenClasses {
    /// The claim that all of its tokens have and others have not. `None`: tokens that have no other
    /// product's are read as its own.
    pub told_by: Option<&'static str>,
    /// Whether it finds claims without ASCII case.
    pub in_any_case: bool,
    /// The claim that is `true` in tokens of bots. What it says goes before `claim`.
    pub bot_claim: Option<&'static str>,
    /// The claim that says the class.
    pub claim: &'static str,
    /// Its values; every other one is a user's.
    pub values: &'static [(&'static str, TokenClass)],
}

/// A key set that a product serves for its own tokens.
#[derive(Clone, Copy, Debug)]
pub struct OwnKeySet {
    /// What the path of its URL ends with.
    pub path: &'static str,
    /// How it is read.
    pub dialect: KeyDialect,
    /// Its URL, as help shows it.
    pub url: &'static str,
}

/// A secret by which a product signs tokens (HS256): it makes an issuer entry.
#[derive(Clone, Copy, Debug)]
pub struct SigningKey {
    /// The name of the entry.
    pub entry: &'static str,
    /// The key in [`Product::section`] that has the secret.
    pub key: &'static str,
    /// Which of its tokens may come without `exp`.
    pub non_expiring: NonExpiring,
    /// The first of these claims that is a non-empty string names the principal.
    pub principal_claims: &'static [&'static str],
}

/// A value that keeps no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The value.
    pub value: &'static str,
    /// What it is.
    pub what: &'static str,
}
