//! One place that keys come from, and the task that keeps them fresh.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::allowance::Allowance;
use super::fault::FetchError;
use super::fetch::{Fetched, Fetcher};
use super::freshness::Freshness;
use super::identity::Identity;
use super::persist::Store;
use super::report::{LoggedState, Report};
use super::schedule;
use super::status::{SourceStatus, display_url, unique};
use super::{Keys, KeysError};
use crate::backend::key_dialect_of;
use crate::config::{Config, Jwks, TrustEntry};
use crate::jose::{ParsedKeys, VerificationKey};
use crate::metrics::Metrics;

mod demand;
mod on_disk;
mod shared;

/// A source of keys.
#[derive(Debug)]
pub(super) struct Source {
    identity: Identity,
    report: Report,
    settings: ArcSwap<Jwks>,
    /// Whose rings are made of these keys: more than one while a configuration follows another.
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
    held: Option<CachedKeys>,
    failure: Option<String>,
    failures: u32,
    next: Instant,
    last_attempt: Option<Instant>,
    requested: bool,
    /// The fetches that tokens may cause.
    allowance: Allowance,
    told: LoggedState,
}

#[derive(Debug)]
struct CachedKeys {
    keys: ParsedKeys,
    freshness: Freshness,
    /// From then on they are no keys any more.
    stale: Instant,
    fetched_at: SystemTime,
    /// Kept only where it is written to disk again with every renewal.
    document: Option<Arc<str>>,
    /// From disk, and not confirmed by the source since.
    restored: bool,
}

/// Waits for the end of one attempt.
pub(super) struct AttemptWait {
    attempts: watch::Receiver<Attempts>,
    number: u64,
}

/// What a request has to wait for that needs an attempt.
pub(super) enum Demand {
    /// The attempt has ended.
    Ended,
    /// An attempt is under way or asked for: this one, or one before it that may make it needless.
    Running(AttemptWait),
    /// None may begin before that.
    NotBefore(Instant),
}

/// What a source is made from, besides its URL.
pub(super) struct SourceContext<'a> {
    pub(super) config: &'a Config,
    pub(super) metrics: &'a Arc<Metrics>,
    /// Sources that are there already.
    pub(super) known: &'a [Arc<Source>],
    /// The names that are given already: two sources may differ in their query alone.
    pub(super) names: &'a mut HashSet<String>,
}

impl SourceContext<'_> {
    fn known(&self, identity: &Identity) -> Option<Arc<Source>> {
        self.known.iter().find(|source| source.identity == *identity).cloned()
    }
}

impl AttemptWait {
    pub(super) async fn finished(mut self) {
        // The sender lives as long as the source; if it is gone there is nothing to wait for.
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
        let directory = settings.cache_dir.as_ref().filter(|_| !fetcher.is_file());
        // The whole URL and the entry: what one entry trusts is not what another does.
        let id = format!("{} {url}", entry.name);
        let store = directory.map(|directory| Store::new(directory, &id, settings.max_bytes));
        let name = unique(display_url(url), context.names);
        let state = State {
            held: None,
            failure: None,
            failures: 0,
            next: Instant::now(),
            last_attempt: None,
            requested: false,
            allowance: Allowance::default(),
            told: LoggedState::default(),
        };
        let source = Self {
            report: Report::new(name, entry.name.clone(), context.metrics.clone()),
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

    /// Fetches when it is time, for ever, and says so to the listeners.
    pub(super) async fn keep(&self) {
        // After a panic the attempt that it ended is still open, and nobody should wait for it.
        self.attempts.send_modify(|attempts| attempts.finished = attempts.started);
        loop {
            let next = {
                let state = self.state();
                let stale = state.held.as_ref().map(|held| held.stale);
                if state.requested {
                    Instant::now()
                } else {
                    stale.map_or(state.next, |stale| stale.min(state.next))
                }
            };
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.wake.notified() => {
                    // Woken to look again at what is due.
                    continue;
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
            // Before anybody who waits for the attempt goes on.
            self.say_changed();
            self.attempts.send_modify(|attempts| attempts.finished = attempts.started);
        }
    }

    /// One attempt, whose keys are also written to disk if they are to be.
    pub(super) async fn attempt_and_store(&self) {
        if self.attempt().await {
            self.store();
        }
    }

    /// One attempt, with everything that follows from how it ends; `true` if it went well.
    pub(super) async fn attempt(&self) -> bool {
        let settings = &*self.settings.load_full();
        let known = {
            let mut state = self.state();
            // Both under the lock, so that an attempt is always either asked for or under way.
            self.attempts.send_modify(|attempts| attempts.started += 1);
            state.requested = false;
            state.last_attempt = Some(Instant::now());
            // How it ends says better; a panic says nothing.
            state.next = Instant::now() + schedule::AFTER_PANIC;
            state.held.as_ref().and_then(|held| held.freshness.validator.clone())
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
        self.report.fetched("ok");
        let mut guard = self.state();
        let state = &mut *guard;
        self.report.change(&mut state.told, state.held.as_ref().map(|held| &held.keys), &keys);
        if state.failures > 0 || state.held.as_ref().is_none_or(|held| held.restored) {
            self.report.available(&mut state.told, keys.usable.len());
        }
        let document = self.store.is_some().then(|| document.into());
        let (stale, fetched_at) = (Instant::now() + settings.max_stale, SystemTime::now());
        state.held = Some(CachedKeys { keys, freshness, stale, fetched_at, document, restored: false });
        self.settle(state, settings);
    }

    fn renew(&self, freshness: Freshness, settings: &Jwks) {
        self.report.fetched("not_modified");
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(held) = &mut state.held {
            held.stale = Instant::now() + settings.max_stale;
            held.fetched_at = SystemTime::now();
            held.freshness.renew(freshness);
            if state.failures > 0 {
                self.report.available(&mut state.told, held.keys.usable.len());
            }
        }
        self.settle(state, settings);
    }

    fn settle(&self, state: &mut State, settings: &Jwks) {
        state.failure = None;
        state.failures = 0;
        let Some(held) = &state.held else { return };
        let lifetime = held.freshness.lifetime.unwrap_or(settings.refresh_interval);
        state.next = Instant::now() + schedule::after_success(lifetime, self.fetcher.is_file());
        self.report.holds(held.keys.usable.len(), Some(held.fetched_at));
        self.report.next_refresh(at(state.next));
    }

    fn fail(&self, error: &FetchError) {
        let mut guard = self.state();
        let state = &mut *guard;
        let wait = schedule::after_failure(state.failures, state.held.is_some(), self.fetcher.is_file());
        state.next = Instant::now() + wait;
        state.failures = state.failures.saturating_add(1);
        state.failure = Some(error.to_string());
        let kept = state.held.as_ref().map_or(0, |held| held.keys.usable.len());
        self.report.failed(&mut state.told, error, kept);
        self.report.next_refresh(at(state.next));
    }

    /// Keys that are older than `maxStale` are no keys any more.
    fn drop_stale(&self) {
        let mut state = self.state();
        if let Some(held) = state.held.take_if(|held| held.stale <= Instant::now()) {
            self.report.stale(&held.keys.skipped);
        }
    }

    /// The keys it holds, if any.
    pub(super) fn keys(&self) -> Option<Vec<Arc<VerificationKey>>> {
        self.state().held.as_ref().map(|held| held.keys.usable.clone())
    }

    /// Asks the task for an attempt now.
    pub(super) fn request_attempt(self: &Arc<Self>) -> AttemptWait {
        let mut state = self.state();
        let number = self.attempts.borrow().started + 1;
        state.requested = true;
        drop(state);
        self.wake.notify_one();
        AttemptWait { attempts: self.attempts.subscribe(), number }
    }

    /// Asks for an attempt before the next one is due, while there are no keys at all.
    pub(super) fn request_early_fetch(&self) {
        let mut state = self.state();
        let recent = state.last_attempt.is_some_and(|last| last.elapsed() < schedule::HURRY_INTERVAL);
        if state.held.is_none() && !recent && !state.requested {
            state.requested = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(super) fn status(&self) -> SourceStatus {
        let state = self.state();
        let (usable, skipped) = state
            .held
            .as_ref()
            .map(|held| (held.keys.usable.clone(), held.keys.skipped.clone()))
            .unwrap_or_default();
        let fetched_at = state.held.as_ref().map(|held| held.fetched_at);
        SourceStatus {
            entry: self.report.entry.clone(),
            name: self.report.name.clone(),
            usable,
            skipped,
            fetched_at,
            next: Some(at(state.next)),
            restored: state.held.as_ref().is_some_and(|held| held.restored),
            failure: state.failure.clone(),
        }
    }

    /// Puts a script in the place of what fetches.
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

/// A coming moment of the monotonic clock on the wall clock.
fn at(next: Instant) -> SystemTime {
    SystemTime::now() + next.saturating_duration_since(Instant::now())
}
