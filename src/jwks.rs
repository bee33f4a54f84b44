//! Signing keys of all configured issuers: fetched in the background, read without locks.
//!
//! 1. Each source (a key set URL, a discovery document or a file) has one `RefreshTask` that fetches it on
//!    schedule. A failed fetch never removes keys; they expire after `maxStale`.
//! 2. [`Keys`] combines the sources of every issuer entry into a snapshot, the [`KeyRing`], and replaces it
//!    whenever the keys of a source change. Each new ring has the next generation number.
//! 3. Requests verify tokens with the current ring. They wait, for a bounded time, in two cases only: the
//!    entry has no keys yet ([`Keys::wait_for`]), or newer keys might verify the token
//!    ([`Keys::refresh_for_token`]). A caller that omits these calls refuses the token, so the code fails closed.
//! 4. On a reload, [`Keys::after`] takes over the sources that are equal in both configurations, with their keys
//!    and their schedule.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::{Config, Jwks, KeySource, TrustEntry};
use crate::diagnosis::SourceSummary;
use crate::jose::{KeySet, VerificationKey};
use crate::metrics::Metrics;
use crate::sync::{ArcSwap, Guard, Mutex};
use crate::tls::TlsError;
use crate::trust::KeyRing;

mod allowance;
mod authorization_server;
mod body;
mod by_kid;
mod client;
mod document;
mod fault;
mod fetch;
mod freshness;
mod fetch_policy;
mod identity;
mod network_scope;
mod refresh_task;
mod minted;
mod on_demand;
mod persist;
mod reporter;
mod schedule;
mod source;
mod status;
mod waiting;

pub use authorization_server::AuthorizationServer;
pub use body::read as read_body;
pub use client::{KeyClient, ServerAccess};
pub use fault::FetchError;
pub use on_demand::Unverified;
pub use persist::Store as StoredCopy;
pub use status::{SourceStatus, display_url, unique_label};

use identity::Identity;
use minted::MintKeys;
use on_demand::FetchedFor;
use refresh_task::RefreshTask;
use source::{Source, SourceContext};
use waiting::WaitingRoom;

/// The keys of every issuer entry of one configuration.
#[derive(Debug)]
pub struct Keys {
    ring: ArcSwap<KeyRing>,
    /// Announces each new generation of the ring.
    changed: watch::Sender<u64>,
    entries: Vec<IssuerEntry>,
    /// Shared with the `Keys` of the previous and the next configuration.
    refresh_tasks: Mutex<Vec<Arc<RefreshTask>>>,
    rebuilding: Mutex<()>,
    /// Requests that wait for first keys.
    waiting_for_keys: WaitingRoom,
    /// Requests that wait for newer keys. This is a separate room, so that clients that invent kids cannot take
    /// the places of requests that wait for first keys.
    waiting_for_refresh: WaitingRoom,
    /// Tokens that still could not be verified after a fetch.
    fetched_for: Mutex<FetchedFor>,
    mint_keys: MintKeys,
    settings: Arc<Jwks>,
    metrics: Arc<Metrics>,
}

/// The keys of one issuer entry.
#[derive(Debug)]
struct IssuerEntry {
    name: Box<str>,
    /// Keys that are part of the configuration itself.
    fixed: Vec<Arc<VerificationKey>>,
    sources: Vec<Arc<Source>>,
    /// Whether keys are fetched one by one, when a token names them. Then there may be none yet.
    by_kid: bool,
    optional: bool,
    had_keys: AtomicBool,
}

/// Why the key sources of a configuration cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("authentication.issuers `{0}`: {1}")]
    Tls(Box<str>, TlsError),
    #[error("authentication.issuers `{0}`: {1}")]
    Client(Box<str>, reqwest::Error),
}

impl Keys {
    /// Prepares the keys of a configuration. Nothing is fetched before [`Keys::start`].
    pub fn new(config: &Config, metrics: &Arc<Metrics>) -> Result<Arc<Self>, KeysError> {
        Self::make(config, metrics, None)
    }

    /// Prepares the keys of the configuration that follows `before`. Sources that are equal in both are reused,
    /// with their keys and their schedule.
    pub fn after(before: &Self, config: &Config) -> Result<Arc<Self>, KeysError> {
        let keys = Self::make(config, &before.metrics, Some(before))?;
        let known = before.refresh_tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = known.iter().filter(|refresh_task| keys.has(refresh_task.source())).cloned().collect();
        drop(known);
        *keys.refresh_tasks.lock().unwrap_or_else(PoisonError::into_inner) = shared;
        keys.listen();
        Ok(keys)
    }

    fn make(config: &Config, metrics: &Arc<Metrics>, before: Option<&Self>) -> Result<Arc<Self>, KeysError> {
        let wanted: HashSet<_> =
            config.trust.iter().flat_map(|entry| Identity::of_entry(entry, config)).collect();
        let is_wanted = |source: &&Arc<Source>| wanted.contains(source.identity());
        let known: Vec<_> = before.into_iter().flat_map(Self::sources).filter(is_wanted).cloned().collect();
        let mut names = known.iter().map(|source| source.name().to_owned()).collect();
        let mut labels = known.iter().map(|source| source.label_key()).collect();
        let mut context =
            SourceContext { config, metrics, known: &known, names: &mut names, labels: &mut labels };
        let mut entries = Vec::with_capacity(config.trust.len());
        for entry in &config.trust {
            let old = before.and_then(|keys| keys.entries.iter().find(|old| old.name == entry.name));
            entries.push(IssuerEntry::new(entry, old, &mut context)?);
        }
        let keys = Self {
            ring: ArcSwap::default(),
            changed: watch::Sender::new(0),
            entries,
            refresh_tasks: Mutex::default(),
            rebuilding: Mutex::default(),
            waiting_for_keys: WaitingRoom::new(config.limits.requests),
            waiting_for_refresh: WaitingRoom::new(config.limits.requests),
            fetched_for: Mutex::default(),
            mint_keys: MintKeys::of(config),
            settings: Arc::new(config.jwks.clone()),
            metrics: metrics.clone(),
        };
        keys.rebuild();
        Ok(Arc::new(keys))
    }

    /// The current keys.
    pub fn ring(&self) -> Guard<Arc<KeyRing>> {
        self.ring.load()
    }

    /// Makes these the keys in force: starts a refresh task for every source that has none, and shows the sources
    /// in the metrics. A task runs until the last `Keys` that uses its source is dropped.
    pub fn start(self: &Arc<Self>) {
        self.listen();
        let mut refresh_tasks = self.refresh_tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for source in self.sources() {
            source.adopt(&self.settings);
            if !refresh_tasks.iter().any(|refresh_task| Arc::ptr_eq(refresh_task.source(), source)) {
                refresh_tasks.push(RefreshTask::start(source.clone(), self.metrics.clone()));
            }
        }
        self.sources().for_each(|source| source.announce());
    }

    /// Removes the sources that `next` does not have from the metrics. Requests in flight may still use them; the
    /// sources are dropped with the last of these requests.
    pub fn retire(&self, next: &Self) {
        for source in self.sources().filter(|source| !next.has(source)) {
            source.retire();
        }
    }

    /// Fetches every source that has no refresh task yet once.
    pub async fn fetch_new(self: &Arc<Self>) {
        let has_task = |source: &Arc<Source>| {
            let refresh_tasks = self.refresh_tasks.lock().unwrap_or_else(PoisonError::into_inner);
            refresh_tasks.iter().any(|refresh_task| Arc::ptr_eq(refresh_task.source(), source))
        };
        let mut tasks = JoinSet::new();
        for source in self.sources().filter(|source| !has_task(source)) {
            let source = source.clone();
            tasks.spawn(async move { source.attempt_and_store().await });
        }
        while tasks.join_next().await.is_some() {}
        self.rebuild();
    }

    /// The sources of those required entries that have had no keys yet. Their status says why.
    pub fn missing(&self) -> Vec<SourceStatus> {
        let lacks = |entry: &&IssuerEntry| !entry.optional && !entry.had_keys.load(Ordering::Relaxed);
        let sources = self.entries.iter().filter(lacks).flat_map(|entry| &entry.sources);
        sources.map(|source| source.status()).collect()
    }

    /// Subscribes to the sources: the ring is rebuilt whenever one of them changes.
    fn listen(self: &Arc<Self>) {
        self.sources().for_each(|source| source.add_listener(self));
        // For changes before the subscription.
        self.rebuild();
    }

    fn has(&self, source: &Arc<Source>) -> bool {
        self.sources().any(|known| Arc::ptr_eq(known, source))
    }

    /// Fetches every source once, for `check`, `keys` and `explain`. Does not write to the cache on disk, which
    /// belongs to the running service.
    pub async fn fetch_all(self: &Arc<Self>) {
        let mut tasks = JoinSet::new();
        for source in self.sources() {
            let source = source.clone();
            tasks.spawn(async move { source.attempt().await });
        }
        while tasks.join_next().await.is_some() {}
        self.rebuild();
    }

    /// Whether every required entry has had keys at some time. Never returns to false.
    pub fn are_ready(&self) -> bool {
        self.entries.iter().all(|entry| entry.optional || entry.had_keys.load(Ordering::Relaxed))
    }

    /// The entries that [`Self::are_ready`] waits for.
    pub fn waiting_for(&self) -> Vec<&str> {
        let waits = |entry: &&IssuerEntry| !entry.optional && !entry.had_keys.load(Ordering::Relaxed);
        self.entries.iter().filter(waits).map(|entry| &*entry.name).collect()
    }

    /// Waits up to `maxWait` until an entry has keys. Returns at once if too many requests of this client address,
    /// or in total, already wait.
    pub async fn wait_for(&self, entry: usize, client: Option<IpAddr>) -> bool {
        let has_keys = || self.ring.load().sets.get(entry).is_some_and(Option::is_some);
        // The keys may have arrived since the caller looked.
        if has_keys() {
            return true;
        }
        let Some(_place) = self.waiting_for_keys.enter(client) else { return false };
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + self.settings.max_wait;
        for source in self.entries.get(entry).map(|entry| entry.sources.as_slice()).unwrap_or_default() {
            source.request_early_fetch();
        }
        while !has_keys() {
            if timeout_at(deadline, changed.changed()).await.is_err() {
                return has_keys();
            }
        }
        true
    }

    /// The state of every source, in the order of the configuration.
    pub fn status(&self) -> Vec<SourceStatus> {
        let of_entry = |entry: &IssuerEntry| {
            let fixed = (!entry.fixed.is_empty()).then(|| SourceStatus::fixed(&entry.name, &entry.fixed));
            fixed.into_iter().chain(entry.sources.iter().map(|source| source.status())).collect::<Vec<_>>()
        };
        self.entries.iter().flat_map(of_entry).collect()
    }

    /// The sources of one issuer entry, in few words.
    pub fn sources_of(&self, entry: usize) -> Vec<SourceSummary> {
        let Some(entry) = self.entries.get(entry) else { return Vec::new() };
        let fixed = (!entry.fixed.is_empty()).then(|| SourceSummary {
            name: status::CONFIGURATION.to_owned(),
            keys: entry.fixed.len(),
            age: None,
            failure: None,
        });
        fixed.into_iter().chain(entry.sources.iter().map(|source| source.summary())).collect()
    }

    fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.entries.iter().flat_map(|entry| &entry.sources)
    }

    /// Replaces the ring if the keys of the sources differ from it.
    fn rebuild(&self) {
        let _one_at_a_time = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        let sets: Vec<_> = self.entries.iter().map(IssuerEntry::keys).collect();
        let old = self.ring.load();
        if !old.sets.is_empty() && same(&old.sets, &sets) {
            return;
        }
        for (entry, set) in self.entries.iter().zip(&sets) {
            if let Some(keys) = set {
                self.mint_keys.warn(&entry.name, keys);
                entry.had_keys.store(true, Ordering::Relaxed);
            }
        }
        let sets = sets.into_iter().map(|set| set.map(|keys| Arc::new(KeySet::new(keys)))).collect();
        let generation = old.generation + 1;
        self.ring.store(Arc::new(KeyRing { generation, sets }));
        self.changed.send_replace(generation);
    }
}

impl IssuerEntry {
    /// `before` is the entry of this name in the previous configuration, if it had one.
    fn new(
        entry: &TrustEntry,
        before: Option<&Self>,
        context: &mut SourceContext<'_>,
    ) -> Result<Self, KeysError> {
        let (fixed, sources) = match &entry.keys {
            KeySource::SharedSecret(secret) => {
                let key = VerificationKey::from_shared_secret(secret.expose_secret());
                (vec![Arc::new(key)], Vec::new())
            }
            KeySource::Inline(keys) => (keys.clone(), Vec::new()),
            KeySource::Urls(urls) => {
                let sources: Result<_, _> =
                    urls.iter().map(|url| Source::key_set(entry, url, context)).collect();
                (Vec::new(), sources?)
            }
            KeySource::ByKid(template) => (Vec::new(), vec![Source::by_kid(entry, template, context)?]),
            KeySource::Discovery(issuer) => (Vec::new(), vec![Source::discovery(entry, issuer, context)?]),
        };
        let shares = |before: &Self| sources.iter().any(|source| before.has(source));
        let had_keys = before.is_some_and(|before| {
            before.had_keys.load(Ordering::Relaxed) && (shares(before) || !fixed.is_empty())
        });
        Ok(Self {
            name: entry.name.clone(),
            fixed,
            sources,
            by_kid: matches!(entry.keys, KeySource::ByKid(_)),
            optional: entry.optional,
            had_keys: AtomicBool::new(had_keys),
        })
    }

    fn has(&self, source: &Arc<Source>) -> bool {
        self.sources.iter().any(|known| Arc::ptr_eq(known, source))
    }

    /// The keys of all sources together; `None` if there are none.
    fn keys(&self) -> Option<Vec<Arc<VerificationKey>>> {
        let fetched = self.sources.iter().filter_map(|source| source.keys()).flatten();
        let mut keys: Vec<_> = self.fixed.iter().cloned().chain(fetched).collect();
        // First, so that a copy of the backend's own key in another source does not hide it.
        keys.sort_by_key(|key| !key.is_backends_own());
        (self.by_kid || !keys.is_empty()).then_some(keys)
    }
}

fn same(old: &[Option<Arc<KeySet>>], new: &[Option<Vec<Arc<VerificationKey>>>]) -> bool {
    let equal = |old: &VerificationKey, new: &VerificationKey| {
        old.material() == new.material()
            && old.kid() == new.kid()
            && old.thumbprints() == new.thumbprints()
            && old.algorithms() == new.algorithms()
            && old.is_backends_own() == new.is_backends_own()
    };
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| match (old, new) {
            (None, None) => true,
            (Some(old), Some(new)) => {
                old.keys().len() == new.len() && old.keys().iter().zip(new).all(|(old, new)| equal(old, new))
            }
            _ => false,
        })
}

#[cfg(test)]
mod tests;
