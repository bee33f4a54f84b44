//! `exchange`: which workloads act as which user of the backend, and with which credential.

use std::path::PathBuf;
use std::sync::Arc;

use crate::mint::MintTarget;
use crate::rate_limiter::RateLimit;
use crate::token_exchange::TokenExchange;

/// The section `exchange`.
#[derive(Clone, Debug, Default)]
pub struct ExchangeConfig {
    /// Which tokens act as which user.
    pub table: TokenExchange,
    /// The credential of each entry, in the order of the entries
    /// ([`MappedUser::index`](crate::claims::MappedUser::index)).
    pub credentials: Vec<ExchangeCredential>,
    /// Where workloads exchange their tokens for longer ones, if an entry allows it.
    pub endpoint: Option<TokenEndpointConfig>,
}

impl ExchangeConfig {
    /// The users that tokens are minted for, each once, with the key that names it.
    pub fn minted(&self) -> Vec<(String, &MintTarget)> {
        let mut found: Vec<(String, &MintTarget)> = Vec::new();
        for (index, credential) in self.credentials.iter().enumerate() {
            if let ExchangeCredential::Minted(target) = credential
                && !found
                    .iter()
                    .any(|(_, known)| known.user() == target.user() && known.format() == target.format())
            {
                found.push((format!("exchange[{index}].as.user"), target));
            }
        }
        found
    }
}

/// The credential with which the requests of one entry are forwarded.
#[derive(Clone, Debug)]
pub enum ExchangeCredential {
    /// With a token that is minted for this user.
    Minted(Arc<MintTarget>),
    /// With the token in this file, which is read again when it changes.
    File(PathBuf),
}

/// The section `issuer.tokenEndpoint`.
#[derive(Clone, Debug)]
pub struct TokenEndpointConfig {
    /// The path, below `stripPrefix`.
    pub path: Box<str>,
    /// How many requests of one client network are answered.
    pub rate: RateLimit,
}

/// The words of `exchange[].credential`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum CredentialKind {
    /// A minted token, in the form that the backend accepts.
    #[default]
    Mint,
    /// A minted token for OpenMetadata.
    MintOpenmetadata,
    /// A minted token for DataHub.
    MintDatahub,
    /// A stored token.
    TokenFile,
}

/// The words of `authentication.issuers[].exchange`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangeMode {
    /// A token that no entry takes is refused.
    Required,
    /// A token that no entry takes is forwarded.
    Optional,
}
