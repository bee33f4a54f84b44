//! Recognizes the keys with which metagate mints tokens for the backend among those that it trusts.

use std::sync::Arc;

use crate::config::{Config, FindingId};
use crate::digest::Sha256;
use crate::jose::VerificationKey;

/// The public keys of `mint.keyFiles`.
#[derive(Debug, Default)]
pub(super) struct MintKeys(Vec<Sha256>);

impl MintKeys {
    pub(super) fn of(config: &Config) -> Self {
        let minter = config.mint.iter();
        Self(minter.flat_map(|minter| minter.keys().rsa()).map(|key| *key.material()).collect())
    }

    /// Warns if one of an entry's keys is one of these. No minted token is accepted even then, because its issuer is
    /// refused. But whoever has the private key could sign other tokens.
    pub(super) fn warn(&self, entry: &str, keys: &[Arc<VerificationKey>]) {
        if keys.iter().any(|key| self.0.contains(key.material())) {
            tracing::warn!(
                id = FindingId::MintKeyTrusted.as_str(),
                issuer = entry,
                "a key set of this issuer has a key of mint.keyFiles"
            );
        }
    }
}
