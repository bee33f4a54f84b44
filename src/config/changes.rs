//! What is different in a configuration that follows another, and which files make one up.

use std::path::PathBuf;

use figment::value::{Dict, Value};

use super::load::Loaded;
use super::print::print;
use super::settings::{KEYS, Kind};
use super::{Config, ServerTls};
use crate::digest::{hex, sha256};

impl Loaded {
    /// The keys whose values are others in `next`, in the order of the table. An entry of a list
    /// counts for the whole list.
    pub fn changes(&self, next: &Self) -> Vec<&'static str> {
        let top = KEYS.iter().filter(|key| !key.path.contains("[]") && !matches!(key.kind, Kind::Free));
        top.filter(|key| at(&self.merged.root, key.path) != at(&next.merged.root, key.path))
            .map(|key| key.path)
            .collect()
    }

    /// A name for this configuration: the same for the same settings from the same places. Secrets
    /// are not in it, so that it can be shown.
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
    /// The certificates, keys and authorities that it names: files whose content matters, and whose
    /// names do not change when it does.
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let listener = self.tls.iter().flat_map(ServerTls::files);
        let entries = self.trust.iter().filter_map(|entry| entry.ca_file.as_ref());
        listener.chain(self.upstream.tls.files()).chain(entries).cloned().collect()
    }
}
