//! The keys with which tokens are minted.

use std::fmt;

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::{Value, json};

use super::{MintFault, PrivateKey};
use crate::digest::{Sha256, sha256_of_parts};
use crate::jose::Algorithm;

/// All keys of one configuration.
pub struct SigningKeys {
    /// The first one signs, all are published.
    rsa: Vec<PrivateKey>,
    algorithm: Option<Algorithm>,
    datahub: Option<hmac::Key>,
    generation: Sha256,
}

impl SigningKeys {
    /// The keys of a configuration. `rsa` are the private keys, of which the first signs. `algorithm` is the one that
    /// OpenMetadata verifies; if it is not RS256, RS384 or RS512, no token can be minted for OpenMetadata. `datahub` is
    /// DataHub's signing key (HS256).
    pub fn new(rsa: Vec<PrivateKey>, algorithm: Algorithm, datahub: Option<&SecretSlice<u8>>) -> Self {
        let secret = datahub.map(|secret| secret.expose_secret());
        let digest =
            secret.map(|secret| sha256_of_parts([b"datahub".as_slice(), secret])).unwrap_or_default();
        let parts = rsa.iter().map(|key| key.material().as_slice()).chain([digest.as_slice()]);
        let generation = sha256_of_parts(parts.chain([algorithm.name().as_bytes()]));
        let is_usable = matches!(algorithm, Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512);
        Self {
            rsa,
            algorithm: is_usable.then_some(algorithm),
            datahub: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret)),
            generation,
        }
    }

    /// The RSA keys. The first one signs.
    pub fn rsa(&self) -> &[PrivateKey] {
        &self.rsa
    }

    /// Whether DataHub's key is known.
    pub fn has_datahub(&self) -> bool {
        self.datahub.is_some()
    }

    /// The JWK Set (RFC 7517 section 5) of all public keys.
    pub fn jwks(&self) -> Value {
        key_set(&self.rsa, self.algorithm.unwrap_or(Algorithm::RS256))
    }

    /// A digest of all keys: equal for equal keys, and different after each change. Not to be shown.
    pub(super) fn generation(&self) -> &Sha256 {
        &self.generation
    }

    /// The key that signs for OpenMetadata.
    pub(super) fn signing(&self) -> Result<(&PrivateKey, Algorithm), MintFault> {
        let key = self.rsa.first().ok_or(MintFault::NoRsaKey)?;
        Ok((key, self.algorithm.ok_or(MintFault::WrongAlgorithm)?))
    }

    /// DataHub's key.
    pub(super) fn datahub(&self) -> Result<&hmac::Key, MintFault> {
        self.datahub.as_ref().ok_or(MintFault::NoDatahubKey)
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys")
            .field("rsa", &self.rsa)
            .field("algorithm", &self.algorithm)
            .field("datahub", &self.datahub.is_some())
            .finish_non_exhaustive()
    }
}

/// The JWK Set of these keys.
pub fn key_set(keys: &[PrivateKey], algorithm: Algorithm) -> Value {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk(algorithm)).collect();
    json!({ "keys": keys })
}
