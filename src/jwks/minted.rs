//! Recognizes metagate's own private keys among the keys that it fetches.

use std::sync::Arc;

use crate::config::{Config, FindingId};
use crate::digest::Sha256;
use crate::jose::VerificationKey;
use crate::own_issuer::ENTRY;

/// The public keys of `mint.keyFiles` and `issuer.keyFiles`.
#[derive(Debug, Default)]
pub(super) struct MintKeys {
    minting: Vec<Sha256>,
    issuing: Vec<Sha256>,
}

impl MintKeys {
    pub(super) fn of(config: &Config) -> Self {
        let minting = config.mint.iter().flat_map(|minter| minter.keys().rsa()).map(|key| *key.material());
        let issuing = config.issuer.iter().flat_map(|issuer| issuer.keys()).map(|key| *key.material());
        Self { minting: minting.collect(), issuing: issuing.collect() }
    }

    /// Warns if one of an entry's keys is one of these. No minted token is accepted even then, because its issuer is
    /// refused, and no token of a client is verified by another entry. But whoever has the private key could sign other
    /// tokens.
    pub(super) fn warn(&self, entry: &str, keys: &[Arc<VerificationKey>]) {
        let has_any = |own: &[Sha256]| keys.iter().any(|key| own.contains(key.material()));
        if has_any(&self.minting) {
            tracing::warn!(
                id = FindingId::MintKeyTrusted.as_str(),
                issuer = entry,
                "a key set of this issuer has a key of mint.keyFiles"
            );
        }
        if entry != ENTRY && has_any(&self.issuing) {
            tracing::warn!(
                id = FindingId::IssuerKeyTrusted.as_str(),
                issuer = entry,
                "a key set of this issuer has a key of issuer.keyFiles"
            );
        }
    }
}
