//! Tokens that metagate mints for the backend: a verified workload acts as one named user of the backend.
//!
//! 1. [`SigningKeys`] are the keys that the backend trusts: RSA for OpenMetadata, which reads the public keys from
//!    [`SigningKeys::jwks`], and DataHub's own signing key for DataHub.
//! 2. [`Minter::prepare`] checks who a token may name, when a configuration is loaded.
//! 3. [`Minter::mint`] makes a token for a prepared [`MintTarget`]. It ends within minutes, and not after the token that
//!    it replaces.
//!
//! Invariants:
//!
//! - Every minted token has the issuer [`Minter::issuer`], which no configuration trusts. So metagate itself refuses a
//!   minted token ([`crate::trust::entry_for`]).
//! - A target comes from the configuration. Nothing of the incoming token except its end gets into a minted one: no
//!   role, no claim, no name.
//! - DataHub's system user is never a target.
//! - No private key appears in an error or in `Debug` output. A minted token is a sensitive header value.
//!
//! Tokens are kept by `mint_cache`. Which identity acts as which target is not decided here.

/// Where the health listener serves the public keys.
pub const JWKS_PATH: &str = "/mint/jwks.json";

mod claims;
mod fault;
mod freshness;
mod keys;
pub(crate) mod pem;
mod principal;
mod private_key;
mod target;
mod token;

pub use fault::{MintFault, PrivateKeyFault};
pub use freshness::Freshness;
pub use keys::{SigningKeys, key_set};
pub use principal::{PrincipalClaims, TargetUser};
pub use private_key::PrivateKey;
pub use target::{DEFAULT_LIFETIME, DatahubTokenType, MAX_LIFETIME, MIN_LIFETIME, MintTarget};
pub use token::{MintedToken, Minter};

#[cfg(test)]
mod tests;
