//! The status of a source, as `metagate keys` and the status page show it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};
use url::Url;

use crate::audit::rfc3339;
use crate::config::KID_IN_URL;
use crate::jose::{SkippedKey, VerificationKey};

/// The name of keys in the configuration itself.
pub(super) const CONFIGURATION: &str = "the configuration";

/// The keys of a source and the state of its fetches.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// The issuer entry that it belongs to.
    pub entry: Box<str>,
    /// Its URL, without anything secret.
    pub name: String,
    /// The keys that can be used.
    pub usable: Vec<Arc<VerificationKey>>,
    /// The keys that cannot be used, and why.
    pub skipped: Vec<SkippedKey>,
    /// When it was last fetched.
    pub fetched_at: Option<SystemTime>,
    /// When it is fetched next; `None` for keys in the configuration itself.
    pub next: Option<SystemTime>,
    /// Whether the keys were loaded from disk and the source has not confirmed them since.
    pub restored: bool,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
}

impl SourceStatus {
    /// The status of keys in the configuration itself.
    pub(super) fn fixed(entry: &str, keys: &[Arc<VerificationKey>]) -> Self {
        Self {
            entry: entry.into(),
            name: CONFIGURATION.to_owned(),
            usable: keys.to_vec(),
            skipped: Vec::new(),
            fetched_at: None,
            next: None,
            restored: false,
            failure: None,
        }
    }
}

impl SourceStatus {
    /// How many seconds ago it was last fetched.
    pub fn age_secs(&self, now: SystemTime) -> Option<u64> {
        self.fetched_at.map(|time| now.duration_since(time).unwrap_or_default().as_secs())
    }

    /// The JSON form, for `metagate keys --json` and the status page.
    pub fn to_json(&self, now: SystemTime) -> Value {
        let usable = self.usable.iter().map(|key| key_json(key));
        let skipped = self.skipped.iter().map(skipped_json);
        json!({
            "issuer": self.entry,
            "source": self.name,
            "failure": self.failure,
            "fetched_at": self.fetched_at.map(rfc3339),
            "age_seconds": self.age_secs(now),
            "next_refresh_at": self.next.map(rfc3339),
            "restored": self.restored,
            "keys": usable.chain(skipped).collect::<Vec<_>>(),
        })
    }
}

fn key_json(key: &VerificationKey) -> Value {
    let algorithms: Vec<_> = key.algorithms().iter().map(|algorithm| algorithm.name()).collect();
    json!({"kid": key.kid(), "kty": key.kty(), "bits": key.bits(), "algorithms": algorithms, "usable": true})
}

fn skipped_json(SkippedKey { kid, fault }: &SkippedKey) -> Value {
    json!({"kid": kid, "usable": false, "reason": fault.as_str(), "message": fault.to_string()})
}

/// A URL for logs and metrics: no userinfo, no query.
pub fn display_url(url: &Url) -> String {
    let mut text = format!("{}://", url.scheme());
    if let Some(host) = url.host_str() {
        text.push_str(host);
    }
    if let Some(port) = url.port() {
        let _ = write!(text, ":{port}");
    }
    text.push_str(&url.path().replace(KID_IN_URL, "{kid}"));
    text
}

/// A short name of a source that is unique within its entry: the host of its URL, or the name of its file.
pub fn unique_label(entry: &str, url: &Url, labels: &mut HashSet<String>) -> String {
    let file = || url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let host = match (url.host_str().filter(|host| !host.is_empty()), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => file().to_owned(),
    };
    let label = unique(label_key(entry, &host), labels);
    label.strip_prefix(&label_key(entry, "")).unwrap_or(&label).to_owned()
}

/// A label together with its entry. No name of an entry has a line break.
pub(super) fn label_key(entry: &str, label: &str) -> String {
    format!("{entry}\n{label}")
}

/// The name, with a number appended if another source already has it.
pub(super) fn unique(name: String, names: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name} #{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name));
    let name = free.unwrap_or(name);
    names.insert(name.clone());
    name
}
