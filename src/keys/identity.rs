//! What makes a source the same one in two configurations.

use std::path::PathBuf;

use url::Url;

use super::fetch::Reach;
use crate::config::{Config, KeySource, TrustEntry};
use crate::digest::{Sha256, sha256};

/// Everything that decides where a source's keys come from and whether they are believed. Two
/// sources that are equal in it are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// What one entry trusts is not what another does.
    entry: Box<str>,
    pub(super) url: Url,
    /// For discovery, the issuers that the document may name.
    discovery: Option<Vec<Box<str>>>,
    /// With the digest of what it held: an authority that is replaced is another one.
    authorities: Option<(PathBuf, Option<Sha256>)>,
    proxy: Option<Url>,
    reach: Reach,
    cache_dir: Option<PathBuf>,
}

impl Identity {
    pub(super) fn new(entry: &TrustEntry, url: &Url, discovered: bool, config: &Config) -> Self {
        let reach = Reach::of(url, config);
        let authorities = reach.authorities(entry, config).map(|path| {
            let content = std::fs::read(&path).ok();
            (path, content.map(|content| sha256(&content)))
        });
        Self {
            entry: entry.name.clone(),
            url: url.clone(),
            discovery: discovered.then(|| entry.rules.issuers.clone()),
            authorities,
            proxy: entry.proxy.clone(),
            reach,
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
