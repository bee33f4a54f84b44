//! When two configurations mean the same key source.

use std::path::PathBuf;

use url::Url;

use super::network_scope::NetworkScope;
use crate::config::{Config, KeyAccess, KeySource, TrustEntry};
use crate::digest::{Sha256, sha256_of_parts};
use crate::file_watch::{self, Contents};

/// Everything that determines where a source's keys come from and whether they are trusted. Sources with equal
/// identities are the same source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// Entries do not share keys.
    entry: Box<str>,
    pub(super) url: Url,
    /// For discovery, the issuers that the document may name.
    discovery: Option<Vec<Box<str>>>,
    /// Includes the content of the file: a replaced CA certificate makes another source.
    authorities: Contents,
    access: Sha256,
    /// The content of the client certificate and its key.
    client_certificate: Contents,
    proxy: Option<Url>,
    scope: NetworkScope,
    cache_dir: Option<PathBuf>,
}

impl Identity {
    pub(super) fn new(entry: &TrustEntry, url: &Url, discovered: bool, config: &Config) -> Self {
        let scope = NetworkScope::of(url, config);
        let authorities = file_watch::read(&scope.authorities(entry.ca_file.as_ref(), config));
        Self {
            entry: entry.name.clone(),
            url: url.clone(),
            discovery: discovered.then(|| entry.rules.issuers.clone()),
            authorities,
            access: digest(&entry.access),
            client_certificate: file_watch::read(
                entry.access.identity.iter().flat_map(|(chain, key)| [chain, key]),
            ),
            proxy: entry.proxy.clone(),
            scope,
            cache_dir: config.jwks.cache_dir.clone(),
        }
    }

    /// The identities of all sources of an entry.
    pub(super) fn of_entry(entry: &TrustEntry, config: &Config) -> Vec<Self> {
        match &entry.keys {
            KeySource::Urls(urls) => urls.iter().map(|url| Self::new(entry, url, false, config)).collect(),
            KeySource::ByKid(template) => vec![Self::new(entry, template, false, config)],
            KeySource::Discovery(issuer) => vec![Self::new(entry, issuer, true, config)],
            KeySource::Inline(_) | KeySource::SharedSecret(_) => Vec::new(),
        }
    }
}

/// A digest of the credentials, so that the values of none of them are kept twice. The content of a token's file does not
/// count: it is read for each fetch.
fn digest(access: &KeyAccess) -> Sha256 {
    let path =
        |path: &Option<PathBuf>| path.as_ref().map(|path| path.as_os_str().as_encoded_bytes().to_vec());
    let proxy = access.proxy_authorization.as_ref().map(|value| value.as_bytes().to_vec());
    let headers =
        access.headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
    let headers = headers.map(|part| Some(part.to_vec()));
    let parts =
        [path(&access.bearer_token_file), proxy, access.direct.then(Vec::new)].into_iter().chain(headers);
    // Each part with its length: the same bytes split differently are other credentials.
    sha256_of_parts(parts.flat_map(|part| {
        let length = part.as_ref().map_or(u64::MAX, |part| part.len() as u64);
        [length.to_be_bytes().to_vec(), part.unwrap_or_default()]
    }))
}
