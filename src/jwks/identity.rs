//! When two configurations mean the same key source.

use std::path::PathBuf;

use url::Url;

use super::fetch::NetworkScope;
use crate::config::{Config, KeySource, TrustEntry};
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
    proxy: Option<Url>,
    scope: NetworkScope,
    cache_dir: Option<PathBuf>,
}

impl Identity {
    pub(super) fn new(entry: &TrustEntry, url: &Url, discovered: bool, config: &Config) -> Self {
        let scope = NetworkScope::of(url, config);
        let authorities = file_watch::read(&scope.authorities(entry, config));
        Self {
            entry: entry.name.clone(),
            url: url.clone(),
            discovery: discovered.then(|| entry.rules.issuers.clone()),
            authorities,
            proxy: entry.proxy.clone(),
            scope,
            cache_dir: config.jwks.cache_dir.clone(),
        }
    }

    /// The identities of all sources of an entry.
    pub(super) fn of_entry(entry: &TrustEntry, config: &Config) -> Vec<Self> {
        match &entry.keys {
            KeySource::Urls(urls) => urls.iter().map(|url| Self::new(entry, url, false, config)).collect(),
            KeySource::Discovery(issuer) => vec![Self::new(entry, issuer, true, config)],
            KeySource::Inline(_) | KeySource::SharedSecret(_) => Vec::new(),
        }
    }
}
