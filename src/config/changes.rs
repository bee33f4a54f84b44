//! Compares a configuration with its successor, and lists the files that it refers to.

use std::path::PathBuf;

use figment::value::{Dict, Value};

use super::load::Loaded;
use super::print::print;
use super::settings::{KEYS, Kind};
use super::{Config, ServerTls};
use crate::digest::{hex, sha256};

impl Loaded {
    /// The keys whose values differ in `next`, in the order of the table. A change within a list of maps counts as a
    /// change of the whole list.
    pub fn changes(&self, next: &Self) -> Vec<&'static str> {
        let top = KEYS.iter().filter(|key| !key.path.contains("[]") && !matches!(key.kind, Kind::Free));
        top.filter(|key| at(&self.merged.root, key.path) != at(&next.merged.root, key.path))
            .map(|key| key.path)
            .collect()
    }

    /// A hash that identifies this configuration: equal for equal settings from the same sources. Secrets are not
    /// included, so that it can be shown.
    pub fn hash(&self) -> String {
        hex(&sha256(print(self).as_bytes())[..8])
    }
}

fn at<'v>(root: &'v Dict, path: &str) -> Option<&'v Value> {
    match path.split_once('.') {
        None => root.get(path),
        Some((first, rest)) => at(root.get(first)?.as_dict()?, rest),
    }
}

impl Config {
    /// The certificate, key and authority files. Their content can change without a change of the configuration.
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let listener = self.tls.iter().flat_map(ServerTls::files);
        let authorities = self.trust.iter().filter_map(|entry| entry.ca_file.as_ref());
        let identities = self.trust.iter().filter_map(|entry| entry.access.identity.as_ref());
        let identities = identities.flat_map(|(chain, key)| [chain, key]);
        let store = self.revocations.store.iter().flat_map(|store| store.tls.files());
        let authorities = authorities.chain(&self.revocations.fetching.ca_file).chain(store);
        listener.chain(self.upstream.tls.files()).chain(authorities).chain(identities).cloned().collect()
    }
}
