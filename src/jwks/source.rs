//! One source of keys: its cached keys, its fetch attempts and their schedule.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, Weak};
use std::time::SystemTime;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::allowance::Allowance;
use super::fault::FetchError;
use super::fetch::{Fetched, Fetcher};
use super::freshness::Freshness;
use super::identity::Identity;
use super::persist::Store;
use super::reporter::{LoggedState, Reporter};
use super::schedule;
use super::status::{SourceStatus, display_url, unique, unique_label};
use super::{Keys, KeysError};
use crate::backend::key_dialect_of;
use crate::config::{Config, Jwks, TrustEntry};
use crate::diagnosis::SourceSummary;
use crate::jose::{ParsedKeys, VerificationKey};
use crate::metrics::Metrics;
use crate::sync::{ArcSwap, Mutex, MutexGuard};

mod by_kid;
mod demand;
mod on_disk;
mod shared;

/// A key set URL, a discovery document or a file.
#[derive(Debug)]
pub(super) struct Source {
    identity: Identity,
    reporter: Reporter,
    settings: ArcSwap<Jwks>,
    /// Whose rings contain these keys: two during a reload.
    listeners: Mutex<Vec<Weak<Keys>>>,
    fetcher: Fetcher,
    store: Option<Store>,
    state: Mutex<State>,
    wake: Notify,
    attempts: watch::Sender<Attempts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    started: u64,
    finished: u64,
}

#[derive(Debug)]
struct State {
    cached: Option<CachedKeys>,
    failure: Option<String>,
    failures: u32,
    next: Instant,
    last_attempt: Option<Instant>,
    requested: bool,
    /// The fetches that tokens may cause.
    allowance: Allowance,
    logged: LoggedState,
}

#[derive(Debug)]
struct CachedKeys {
    keys: ParsedKeys,
    freshness: Freshness,
    /// When the keys expire.
    stale: Instant,
    fetched_at: SystemTime,
    /// Only if it is stored on disk: each renewal writes it again.
    document: Option<Arc<str>>,
    /// Loaded from disk, and not confirmed by the source since.
    restored: bool,
}

/// Waits for the end of one attempt.
pub(super) struct AttemptWait {
    attempts: watch::Receiver<Attempts>,
    number: u64,
}

/// What a request that needs an attempt must wait for.
pub(super) enum Demand {
    /// The attempt has ended.
    Ended,
    /// An attempt is running or requested: this one, or an earlier one that may make it unnecessary.
    Running(AttemptWait),
    /// No attempt may start before this time.
    NotBefore(Instant),
}

/// What a source is created from, in addition to its URL.
pub(super) struct SourceContext<'a> {
    pub(super) config: &'a Config,
    pub(super) metrics: &'a Arc<Metrics>,
    /// Sources of the previous configuration that this one reuses.
    pub(super) known: &'a [Arc<Source>],
    /// Names that are taken: two URLs may differ only in their query, which names omit.
    pub(super) names: &'a mut HashSet<String>,
    /// Labels of the metrics that are taken, with their entries.
    pub(super) labels: &'a mut HashSet<String>,
}

impl SourceContext<'_> {
    fn known(&self, identity: &Identity) -> Option<Arc<Source>> {
        self.known.iter().find(|source| source.identity == *identity).cloned()
    }
}

impl AttemptWait {
    pub(super) async fn finished(mut self) {
        // The sender lives as long as the source. Without it there is nothing to wait for.
        let _ = self.attempts.wait_for(|attempts| attempts.finished >= self.number).await;
    }
}

impl Source {
    pub(super) fn key_set(
        entry: &TrustEntry,
        url: &Url,
        context: &mut SourceContext<'_>,
    ) -> Result<Arc<Self>, KeysError> {
        let identity = Identity::new(entry, url, false, context.config);
        if let Some(known) = context.known(&identity) {
            return Ok(known);
        }
        let fetcher = Fetcher::key_set(entry, url, key_dialect_of(url.path()), context.config)?;
        Ok(Self::new(entry, identity, fetcher, context))
    }

    pub(super) fn discovery(
        entry: &TrustEntry,
        issuer: &Url,
        context: &mut SourceContext<'_>,
    ) -> Result<Arc<Self>, KeysError> {
        let identity = Identity::new(entry, issuer, true, context.config);
        if let Some(known) = context.known(&identity) {
            return Ok(known);
        }
        let fetcher = Fetcher::discovery(entry, issuer, context.config)?;
        Ok(Self::new(entry, identity, fetcher, context))
    }

    fn new(
        entry: &TrustEntry,
        identity: Identity,
        fetcher: Fetcher,
        context: &mut SourceContext<'_>,
    ) -> Arc<Self> {
        let (settings, url) = (&context.config.jwks, &identity.url);
        let is_stored = !fetcher.is_file() && fetcher.by_kid_keys().is_none();
        let directory = settings.cache_dir.as_ref().filter(|_| is_stored);
        // The whole URL and the entry: entries do not share keys.
        let id = format!("{} {url}", entry.name);
        let store = directory.map(|directory| Store::new(directory, &id, settings.max_bytes));
        let name = unique(display_url(url), context.names);
        let label = unique_label(&entry.name, url, context.labels);
        let state = State {
            cached: None,
            failure: None,
            failures: 0,
            next: Instant::now(),
            last_attempt: None,
            requested: false,
            allowance: Allowance::default(),
            logged: LoggedState::default(),
        };
        let source = Self {
            reporter: Reporter::new(name, entry.name.clone(), label, context.metrics.clone()),
            identity,
            settings: ArcSwap::from_pointee(settings.clone()),
            listeners: Mutex::default(),
            fetcher,
            store,
            state: Mutex::new(state),
            wake: Notify::new(),
            attempts: watch::Sender::default(),
        };
        source.restore(settings);
        Arc::new(source)
    }

    /// Fetches on schedule, forever, and notifies the listeners.
    pub(super) async fn run(&self) {
        // After a panic, the interrupted attempt still counts as running: end it for those who wait for it.
        self.attempts.send_modify(|attempts| attempts.finished = attempts.started);
        loop {
            let next = {
                let state = self.state();
                let stale = state.cached.as_ref().map(|cached| cached.stale);
                if state.requested {
                    Instant::now()
                } else {
                    stale.map_or(state.next, |stale| stale.min(state.next))
                }
            };
            if next > Instant::now() {
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.wake.notified() => {
                        // Compute the next time again.
                        continue;
                    }
                }
            }
            self.drop_stale();
            let due = {
                let state = self.state();
                state.requested || state.next <= Instant::now()
            };
            if due {
                self.attempt_and_store().await;
            }
            // First, so that a request that waits for the attempt finds the new keys.
            self.notify_listeners();
            self.attempts.send_modify(|attempts| attempts.finished = attempts.started);
        }
    }

    /// Makes one attempt, and writes the keys to disk if that is configured.
    pub(super) async fn attempt_and_store(&self) {
        if self.attempt().await {
            self.store();
        }
    }

    /// Makes one attempt, updates the state and the schedule, and returns whether it succeeded.
    pub(super) async fn attempt(&self) -> bool {
        let settings = &*self.settings.load_full();
        let known = {
            let mut state = self.state();
            // Both under the lock, so that an attempt is always either requested or running.
            self.attempts.send_modify(|attempts| attempts.started += 1);
            state.requested = false;
            state.last_attempt = Some(Instant::now());
            // The end of the attempt replaces this time, except after a panic.
            state.next = Instant::now() + schedule::AFTER_PANIC;
            state.cached.as_ref().and_then(|cached| cached.freshness.validator.clone())
        };
        let outcome = self.fetcher.fetch(settings, known.as_ref()).await;
        let good = outcome.is_ok();
        match outcome {
            Ok(Fetched::Keys { keys, freshness, document }) => {
                self.succeed(keys, freshness, document, settings);
            }
            Ok(Fetched::Unchanged(freshness)) => self.renew(freshness, settings),
            Err(error) => self.fail(&error),
        }
        good
    }

    fn succeed(&self, keys: ParsedKeys, freshness: Freshness, document: String, settings: &Jwks) {
        self.reporter.fetched("ok");
        let mut guard = self.state();
        let state = &mut *guard;
        self.reporter.change(&mut state.logged, state.cached.as_ref().map(|cached| &cached.keys), &keys);
        if state.failures > 0 || state.cached.as_ref().is_none_or(|cached| cached.restored) {
            self.reporter.available(&mut state.logged, keys.usable.len());
        }
        let document = self.store.is_some().then(|| document.into());
        let (stale, fetched_at) = (Instant::now() + settings.max_stale, SystemTime::now());
        state.cached = Some(CachedKeys { keys, freshness, stale, fetched_at, document, restored: false });
        self.settle(state, settings);
    }

    fn renew(&self, freshness: Freshness, settings: &Jwks) {
        self.reporter.fetched("not_modified");
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(cached) = &mut state.cached {
            cached.stale = Instant::now() + settings.max_stale;
            cached.fetched_at = SystemTime::now();
            cached.freshness.renew(freshness);
            if state.failures > 0 {
                self.reporter.available(&mut state.logged, cached.keys.usable.len());
            }
        }
        self.settle(state, settings);
    }

    fn settle(&self, state: &mut State, settings: &Jwks) {
        state.failure = None;
        state.failures = 0;
        let Some(cached) = &state.cached else { return };
        let lifetime = cached.freshness.lifetime.unwrap_or(settings.refresh_interval);
        state.next = Instant::now() + schedule::after_success(lifetime, self.fetcher.is_file());
        self.reporter.set_keys(cached.keys.usable.len(), Some(cached.fetched_at));
        self.reporter.next_refresh(at(state.next));
    }

    fn fail(&self, error: &FetchError) {
        let mut guard = self.state();
        let state = &mut *guard;
        let wait = schedule::after_failure(state.failures, state.cached.is_some(), self.fetcher.is_file());
        state.next = Instant::now() + wait;
        state.failures = state.failures.saturating_add(1);
        state.failure = Some(error.to_string());
        self.keep_partial(state);
        let kept = state.cached.as_ref().map_or(0, |cached| cached.keys.usable.len());
        self.reporter.failed(&mut state.logged, error, kept);
        self.reporter.next_refresh(at(state.next));
    }

    /// Drops keys that are older than `maxStale`.
    fn drop_stale(&self) {
        let mut state = self.state();
        if let Some(cached) = state.cached.take_if(|cached| cached.stale <= Instant::now()) {
            self.reporter.stale(&cached.keys.skipped);
        }
    }

    /// The cached keys, if any.
    pub(super) fn keys(&self) -> Option<Vec<Arc<VerificationKey>>> {
        self.state().cached.as_ref().map(|cached| cached.keys.usable.clone())
    }

    /// Requests an attempt now.
    pub(super) fn request_attempt(self: &Arc<Self>) -> AttemptWait {
        let mut state = self.state();
        let number = self.attempts.borrow().started + 1;
        state.requested = true;
        drop(state);
        self.wake.notify_one();
        AttemptWait { attempts: self.attempts.subscribe(), number }
    }

    /// Requests an attempt ahead of the schedule if there are no keys at all.
    pub(super) fn request_early_fetch(&self) {
        let mut state = self.state();
        let recent = state.last_attempt.is_some_and(|last| last.elapsed() < schedule::MIN_EARLY_INTERVAL);
        if state.cached.is_none() && !recent && !state.requested {
            state.requested = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(super) fn summary(&self) -> SourceSummary {
        let state = self.state();
        let cached = state.cached.as_ref();
        SourceSummary {
            name: self.reporter.name.clone(),
            keys: cached.map_or(0, |cached| cached.keys.usable.len()),
            age: cached.map(|cached| cached.fetched_at.elapsed().unwrap_or_default().as_secs()),
            failure: state.failure.clone(),
        }
    }

    pub(super) fn status(&self) -> SourceStatus {
        let state = self.state();
        let (usable, skipped) = state
            .cached
            .as_ref()
            .map(|cached| (cached.keys.usable.clone(), cached.keys.skipped.clone()))
            .unwrap_or_default();
        let fetched_at = state.cached.as_ref().map(|cached| cached.fetched_at);
        SourceStatus {
            entry: self.reporter.entry.clone(),
            name: self.reporter.name.clone(),
            usable,
            skipped,
            fetched_at,
            next: Some(at(state.next)),
            restored: state.cached.as_ref().is_some_and(|cached| cached.restored),
            failure: state.failure.clone(),
        }
    }

    /// Replaces the fetcher with a script.
    #[cfg(test)]
    pub(super) fn script(self: &mut Arc<Self>, script: super::tests::Script) {
        if let Some(source) = Arc::get_mut(self) {
            source.fetcher = Fetcher::Scripted(script);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Converts a future time of the monotonic clock to the wall clock.
fn at(next: Instant) -> SystemTime {
    SystemTime::now() + next.saturating_duration_since(Instant::now())
}
