//! Tokens that metagate issues to clients (`issuer`): those of bots, and those that its token endpoint gives.
//!
//! 1. [`IssuerKey`] is one EC P-256 private key. The first key of a [`TokenIssuer`] signs, all of them verify.
//! 2. [`TokenIssuer::issue`] signs a token (RFC 9068: `typ` is `at+jwt`) of one [`IssuedKind`], with ES256.
//! 3. [`TokenIssuer::rules`] are how such a token is verified: only with these keys, by the implicit issuer entry
//!    [`ENTRY`]. Every such token must be exchanged ([`crate::token_exchange`]), and is never forwarded.
//!
//! Invariants:
//!
//! - The backend never sees these keys, nor a token that they signed. The keys that sign for the backend are others
//!   ([`crate::mint`]): OpenMetadata does not read `aud`, so with one key for both, a client's token would be a login at
//!   the backend itself. Loading a configuration refuses an equal key.
//! - Every token has an end, at most [`MAX_LIFETIME`] after its beginning, and an id that cannot be guessed.
//! - No private key and no token appears in an error or in `Debug` output.
//!
//! Not decided here: who gets a token, and which user it stands for.
//!
//! [`IssuedKind`]: crate::claims::IssuedKind

mod issue;
mod key;

pub use issue::{IssueFault, IssuedToken, TokenIssuer};
pub use key::IssuerKey;

use std::time::Duration;

/// The name of the implicit issuer entry.
pub const ENTRY: &str = "metagate";

/// The longest life of a token.
pub const MAX_LIFETIME: Duration = Duration::from_secs(365 * 86_400);

/// The `typ` of every token (RFC 9068 section 2.1).
pub const TOKEN_TYPE: &str = "at+jwt";

#[cfg(test)]
mod tests;
