//! The keys of all issuer entries: fetched in the background, read without locks.
//!
//! One task per source keeps that source's keys. Requests read a snapshot, the [`KeyRing`], and
//! wait only where there is no key to judge with: [`Keys::refresh_for_token`] and
//! [`Keys::wait_for`]. Forgetting to call them is still a refusal.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::{Config, Jwks, KeySource, TrustEntry};
use crate::jose::{KeySet, VerificationKey};
use crate::metrics::Metrics;
use crate::tls::TlsError;
use crate::trust::KeyRing;

mod allowance;
mod fault;
mod fetch;
mod freshness;
mod fetch_policy;
mod identity;
mod refresh_task;
mod on_demand;
mod persist;
mod report;
mod schedule;
mod source;
mod status;
mod waiting;

pub use fault::FetchError;
pub use on_demand::Unverified;
pub use status::SourceStatus;

use identity::Identity;
use on_demand::FetchedFor;
use refresh_task::RefreshTask;
use source::{Source, SourceContext};
use waiting::WaitingRoom;

/// The keys of every entry.
#[derive(Debug)]
pub struct Keys {
    ring: ArcSwap<KeyRing>,
    /// Announces each new generation of the ring.
    changed: watch::Sender<u64>,
    entries: Vec<Entry>,
    /// Whoever keeps the sources; shared with the keys of the configurations before and after.
    keepers: Mutex<Vec<Arc<RefreshTask>>>,
    rebuilding: Mutex<()>,
    /// Requests that wait for first keys.
    holders: WaitingRoom,
    /// Requests that wait for newer keys. A room of its own: those who make up kids must not take the
    /// places of those who wait for first keys.
    askers: WaitingRoom,
    /// Tokens that a fetch has not helped.
    fetched_for: Mutex<FetchedFor>,
    settings: Arc<Jwks>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    /// What the configuration itself holds, which is always there.
    fixed: Vec<Arc<VerificationKey>>,
    sources: Vec<Arc<Source>>,
    optional: bool,
    had_keys: AtomicBool,
}

/// Why the keys of a configuration cannot be kept at all.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
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

    /// Prepares the keys of the configuration that comes after another one: a source that is the
    /// same in both goes on as it is, with its keys and its schedule.
    pub fn after(before: &Self, config: &Config) -> Result<Arc<Self>, KeysError> {
        let keys = Self::make(config, &before.metrics, Some(before))?;
        let known = before.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = known.iter().filter(|refresh_task| keys.has(refresh_task.source())).cloned().collect();
        drop(known);
        *keys.keepers.lock().unwrap_or_else(PoisonError::into_inner) = shared;
        keys.listen();
        Ok(keys)
    }

    fn make(config: &Config, metrics: &Arc<Metrics>, before: Option<&Self>) -> Result<Arc<Self>, KeysError> {
        let wanted: HashSet<_> =
            config.trust.iter().flat_map(|entry| Identity::of_entry(entry, config)).collect();
        let goes_on = |source: &&Arc<Source>| wanted.contains(source.identity());
        let known: Vec<_> = before.into_iter().flat_map(Self::sources).filter(goes_on).cloned().collect();
        let mut names = known.iter().map(|source| source.name().to_owned()).collect();
        let mut context = SourceContext { config, metrics, known: &known, names: &mut names };
        let mut entries = Vec::with_capacity(config.trust.len());
        for entry in &config.trust {
            let old = before.and_then(|keys| keys.entries.iter().find(|old| old.name == entry.name));
            entries.push(Entry::new(entry, old, &mut context)?);
        }
        let keys = Self {
            ring: ArcSwap::default(),
            changed: watch::Sender::new(0),
            entries,
            keepers: Mutex::default(),
            rebuilding: Mutex::default(),
            holders: WaitingRoom::new(config.limits.requests),
            askers: WaitingRoom::new(config.limits.requests),
            fetched_for: Mutex::default(),
            settings: Arc::new(config.jwks.clone()),
            metrics: metrics.clone(),
        };
        keys.rebuild();
        Ok(Arc::new(keys))
    }

    /// The keys at this moment.
    pub fn ring(&self) -> arc_swap::Guard<Arc<KeyRing>> {
        self.ring.load()
    }

    /// Keeps every source from now on, and for as long as any keys are there that use it. These are
    /// the keys in force: their sources are the ones that metrics speak of.
    pub fn start(self: &Arc<Self>) {
        self.listen();
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        for source in self.sources() {
            source.adopt(&self.settings);
            if !keepers.iter().any(|refresh_task| Arc::ptr_eq(refresh_task.source(), source)) {
                keepers.push(RefreshTask::start(source.clone(), self.metrics.clone()));
            }
        }
        self.sources().for_each(|source| source.announce());
    }

    /// Takes the sources that `next` does not have out of the metrics. Requests that were being
    /// judged may still use them; when the last one has ended, so do they.
    pub fn retire(&self, next: &Self) {
        for source in self.sources().filter(|source| !next.has(source)) {
            source.retire();
        }
    }

    /// Fetches those sources once that nobody keeps yet.
    pub async fn fetch_new(self: &Arc<Self>) {
        let is_kept = |source: &Arc<Source>| {
            let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
            keepers.iter().any(|refresh_task| Arc::ptr_eq(refresh_task.source(), source))
        };
        let mut tasks = JoinSet::new();
        for source in self.sources().filter(|source| !is_kept(source)) {
            let source = source.clone();
            tasks.spawn(async move { source.attempt_and_store().await });
        }
        while tasks.join_next().await.is_some() {}
        self.rebuild();
    }

    /// The sources of the entries that are waited for and have had no keys yet, and why not.
    pub fn missing(&self) -> Vec<SourceStatus> {
        let lacks = |entry: &&Entry| !entry.optional && !entry.had_keys.load(Ordering::Relaxed);
        let sources = self.entries.iter().filter(lacks).flat_map(|entry| &entry.sources);
        sources.map(|source| source.status()).collect()
    }

    /// Has the ring rebuilt whenever a source has news.
    fn listen(self: &Arc<Self>) {
        self.sources().for_each(|source| source.tell(self));
        // What they had to say before.
        self.rebuild();
    }

    fn has(&self, source: &Arc<Source>) -> bool {
        self.sources().any(|own| Arc::ptr_eq(own, source))
    }

    /// Fetches every source once and returns: for `check`, `keys` and `explain`, which leave what is
    /// stored on disk to the service whose it is.
    pub async fn fetch_all(self: &Arc<Self>) {
        let mut tasks = JoinSet::new();
        for source in self.sources() {
            let source = source.clone();
            tasks.spawn(async move { source.attempt().await });
        }
        while tasks.join_next().await.is_some() {}
        self.rebuild();
    }

    /// Whether every entry that is not optional has had keys. Never goes back to false.
    pub fn are_ready(&self) -> bool {
        self.entries.iter().all(|entry| entry.optional || entry.had_keys.load(Ordering::Relaxed))
    }

    /// Waits until an entry has keys, at most for `maxWait`. Not at all if too many wait, of this client
    /// address or of all.
    pub async fn wait_for(&self, entry: usize, client: Option<IpAddr>) -> bool {
        let has_keys = || self.ring.load().sets.get(entry).is_some_and(Option::is_some);
        // They may have come since the caller looked.
        if has_keys() {
            return true;
        }
        let Some(_place) = self.holders.enter(client) else { return false };
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

    /// What every source holds, in the order of the configuration.
    pub fn status(&self) -> Vec<SourceStatus> {
        let of_entry = |entry: &Entry| {
            let fixed = (!entry.fixed.is_empty()).then(|| SourceStatus::fixed(&entry.name, &entry.fixed));
            fixed.into_iter().chain(entry.sources.iter().map(|source| source.status())).collect::<Vec<_>>()
        };
        self.entries.iter().flat_map(of_entry).collect()
    }

    fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.entries.iter().flat_map(|entry| &entry.sources)
    }

    /// Makes a new ring of what the sources hold, if it is any different.
    fn rebuild(&self) {
        let _one_at_a_time = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        let sets: Vec<_> = self.entries.iter().map(Entry::keys).collect();
        let old = self.ring.load();
        if !old.sets.is_empty() && same(&old.sets, &sets) {
            return;
        }
        for (entry, set) in self.entries.iter().zip(&sets) {
            if set.is_some() {
                entry.had_keys.store(true, Ordering::Relaxed);
            }
        }
        let sets = sets.into_iter().map(|set| set.map(|keys| Arc::new(KeySet::new(keys)))).collect();
        let generation = old.generation + 1;
        self.ring.store(Arc::new(KeyRing { generation, sets }));
        self.changed.send_replace(generation);
    }
}

impl Entry {
    /// `before` is the entry of this name in the configuration before, if there was one.
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
            optional: entry.optional,
            had_keys: AtomicBool::new(had_keys),
        })
    }

    fn has(&self, source: &Arc<Source>) -> bool {
        self.sources.iter().any(|own| Arc::ptr_eq(own, source))
    }

    /// The union of its sources; `None` if no source has any.
    fn keys(&self) -> Option<Vec<Arc<VerificationKey>>> {
        let fetched = self.sources.iter().filter_map(|source| source.keys()).flatten();
        let mut keys: Vec<_> = self.fixed.iter().cloned().chain(fetched).collect();
        // If another source has a copy of the backend's own key, that takes nothing away from it.
        keys.sort_by_key(|key| !key.is_backends_own());
        (!keys.is_empty()).then_some(keys)
    }
}

fn same(old: &[Option<Arc<KeySet>>], new: &[Option<Vec<Arc<VerificationKey>>>]) -> bool {
    let equal = |old: &VerificationKey, new: &VerificationKey| {
        old.material() == new.material()
            && old.kid() == new.kid()
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
