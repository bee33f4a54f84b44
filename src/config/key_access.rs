//! How the servers of keys are reached: with which credentials, and through which proxy.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

/// What requests for an entry's keys carry, and which way they go.
///
/// The credentials are for the origin of the entry's key URLs only. Their values are marked as sensitive, so that `Debug`
/// does not show them.
#[derive(Clone, Debug, Default)]
pub struct KeyAccess {
    /// A file with a bearer token, read for each fetch.
    pub bearer_token_file: Option<PathBuf>,
    /// PEM: the client certificate chain and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Further fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The `Proxy-Authorization` for the entry's proxy.
    pub proxy_authorization: Option<HeaderValue>,
    /// Whether no proxy is used at all.
    pub direct: bool,
}

impl KeyAccess {
    /// Whether there is anything that only one origin may see.
    pub fn has_credentials(&self) -> bool {
        self.bearer_token_file.is_some() || self.identity.is_some() || !self.headers.is_empty()
    }
}
