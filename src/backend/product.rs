//! What all servers of a product share: how the product issues its own tokens, and the secrets it ships.

use super::{NonExpiring, TokenClass};
use crate::jose::KeyDialect;

/// A product with one or more servers among the backends.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Its name in messages.
    pub name: &'static str,
    /// Its section of the configuration.
    pub section: &'static str,
    /// The key in this section that has the `iss` of the product's own tokens.
    pub issuer_key: &'static str,
    /// How the class of these tokens is found.
    pub classes: TokenClasses,
    /// The key set that verifies these tokens.
    pub key_set: Option<OwnKeySet>,
    /// The secret that verifies these tokens.
    pub signing_key: Option<SigningKey>,
    /// Secrets that the product ships or shipped. They are public and protect nothing.
    pub published_secrets: &'static [Published],
}

/// How the class of a product's own tokens is found.
#[derive(Clone, Copy, Debug)]
pub struct TokenClasses {
    /// A claim that all tokens of this product have and no others. With `None`, tokens without such a claim of
    /// another product are read as this product's own.
    pub marker_claim: Option<&'static str>,
    /// Whether the product compares claim names without ASCII case.
    pub in_any_case: bool,
    /// The claim that is `true` in tokens of bots. It takes precedence over `claim`.
    pub bot_claim: Option<&'static str>,
    /// The claim that names the class.
    pub claim: &'static str,
    /// The values of `claim`. Any other value means a user's token.
    pub values: &'static [(&'static str, TokenClass)],
}

/// A key set that a product serves for its own tokens.
#[derive(Clone, Copy, Debug)]
pub struct OwnKeySet {
    /// The end of the URL's path.
    pub path: &'static str,
    /// How it is parsed.
    pub dialect: KeyDialect,
    /// The URL in help texts.
    pub url: &'static str,
}

/// A secret with which a product signs tokens (HS256). Configuring it creates an issuer entry.
#[derive(Clone, Copy, Debug)]
pub struct SigningKey {
    /// The name of the entry.
    pub entry: &'static str,
    /// The key in [`Product::section`] that has the secret.
    pub key: &'static str,
    /// Which of its tokens may lack `exp`.
    pub non_expiring: NonExpiring,
    /// The first of these claims that is a non-empty string names the principal.
    pub principal_claims: &'static [&'static str],
}

/// A published value that must not be used as a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The value.
    pub value: &'static str,
    /// What it is.
    pub what: &'static str,
}
