//! One place that keys come from, and the task that keeps them fresh.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::KeysError;
use super::fetch::{self, FetchError, Fetched, Fetcher, Freshness};
use super::persist::Store;
use crate::config::{Config, Jwks, TrustEntry};
use crate::jose::{KeyDialect, ParsedKeys, SkippedKey, VerificationKey};
use crate::metrics::Metrics;

/// The first wait after a failure; doubled with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// Before there have been any keys, a backend that is just starting is asked more often.
const LONGEST_FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// How often a file is looked at. Polling sees what watching misses: a ConfigMap's symlink swap.
const FILE_INTERVAL: Duration = Duration::from_secs(5);
/// Requests that wait for first keys may not make attempts come closer together than this.
const HURRY_INTERVAL: Duration = Duration::from_millis(500);

/// A source of keys.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    entry: Box<str>,
    fetcher: Fetcher,
    store: Option<Store>,
    metrics: Arc<Metrics>,
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
    held: Option<Held>,
    failure: Option<String>,
    failures: u32,
    next: Instant,
    last_attempt: Option<Instant>,
    requested: bool,
}

#[derive(Debug)]
struct Held {
    keys: ParsedKeys,
    freshness: Freshness,
    fetched: Instant,
    fetched_at: SystemTime,
    /// Kept only where it is written to disk again with every renewal.
    document: Option<Arc<str>>,
    /// From disk, and not confirmed by the source since.
    restored: bool,
}

/// What a source holds and how it fares, for people.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// The issuer entry that it belongs to.
    pub entry: Box<str>,
    /// Its URL, without anything secret.
    pub name: String,
    /// The keys that can be used.
    pub usable: Vec<Arc<VerificationKey>>,
    /// Those that cannot, and why.
    pub skipped: Vec<SkippedKey>,
    /// When it was last fetched.
    pub fetched_at: Option<SystemTime>,
    /// When it is fetched next.
    pub next: SystemTime,
    /// Whether the keys are from disk and the source has not confirmed them since.
    pub restored: bool,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
}

/// Waits for the end of one attempt.
pub(super) struct AttemptWait {
    attempts: watch::Receiver<Attempts>,
    number: u64,
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
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>, KeysError> {
        // OpenMetadata's own set labels its key RS256 whatever it signs with.
        let dialect = match url.path().ends_with("/api/v1/system/config/jwks") {
            true => KeyDialect::OpenMetadata,
            false => KeyDialect::Standard,
        };
        let fetcher = Fetcher::key_set(entry, url, dialect, config)?;
        Ok(Self::new(entry, url, fetcher, config, metrics))
    }

    pub(super) fn discovery(
        entry: &TrustEntry,
        issuer: &Url,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>, KeysError> {
        let fetcher = Fetcher::discovery(entry, issuer, config)?;
        Ok(Self::new(entry, issuer, fetcher, config, metrics))
    }

    fn new(
        entry: &TrustEntry,
        url: &Url,
        fetcher: Fetcher,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let name = display_url(url);
        metrics.jwks_state(&name, 0, None);
        let directory = config.jwks.cache_dir.as_ref().filter(|_| !fetcher.is_file());
        // The whole URL and the entry: what one entry trusts is not what another does.
        let id = format!("{} {url}", entry.name);
        let store = directory.map(|directory| Store::new(directory, &id, config.jwks.max_bytes));
        let state = State {
            held: None,
            failure: None,
            failures: 0,
            next: Instant::now(),
            last_attempt: None,
            requested: false,
        };
        let source = Self {
            name,
            entry: entry.name.clone(),
            fetcher,
            store,
            metrics: metrics.clone(),
            state: Mutex::new(state),
            wake: Notify::new(),
            attempts: watch::Sender::default(),
        };
        source.restore(&config.jwks);
        Arc::new(source)
    }

    /// Takes up what an earlier process left on disk. It is refreshed at once, and serves until
    /// then and for as long as `maxStale` allows.
    fn restore(&self, settings: &Jwks) {
        let Some(store) = &self.store else { return };
        let restored = match store.read(settings.max_stale, SystemTime::now()) {
            Ok(Some(stored)) => stored,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(source = self.name, issuer = &*self.entry, %error, "stored keys are not used");
                return;
            }
        };
        let age = restored.fetched_at.elapsed().unwrap_or_default();
        let keys = fetch::usable(&restored.document, self.fetcher.dialect());
        let (Ok(keys), Some(fetched)) = (keys, Instant::now().checked_sub(age)) else { return };
        let count = keys.usable.len();
        tracing::info!(
            source = self.name,
            issuer = &*self.entry,
            keys = count,
            age_secs = age.as_secs(),
            "using stored keys until they are fetched"
        );
        let fetched_at = restored.fetched_at;
        self.metrics.jwks_state(&self.name, count, Some(fetched_at));
        let document = Some(restored.document.into());
        self.state().held = Some(Held {
            keys,
            freshness: Freshness::default(),
            fetched,
            fetched_at,
            document,
            restored: true,
        });
    }

    /// Writes the document that is held to disk, off this thread.
    fn store(&self, held: &Held) {
        let (Some(store), Some(document)) = (self.store.clone(), held.document.clone()) else { return };
        let (fetched_at, name) = (held.fetched_at, self.name.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.write(&document, fetched_at) {
                tracing::warn!(source = name, %error, "keys cannot be stored");
            }
        });
    }

    /// Fetches when it is time, for ever; `changed` is called after each attempt.
    pub(super) async fn keep(&self, settings: &Jwks, changed: impl Fn()) {
        loop {
            let next = {
                let state = self.state();
                let stale = state.held.as_ref().map(|held| held.fetched + settings.max_stale);
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
            self.drop_stale(settings);
            let due = {
                let state = self.state();
                state.requested || state.next <= Instant::now()
            };
            if due {
                self.attempt(settings).await;
            }
            changed();
            self.attempts.send_modify(|attempts| attempts.finished = attempts.started);
        }
    }

    /// One attempt, with everything that follows from how it ends.
    pub(super) async fn attempt(&self, settings: &Jwks) {
        let known = {
            let mut state = self.state();
            // Both under the lock, so that an attempt is always either asked for or under way.
            self.attempts.send_modify(|attempts| attempts.started += 1);
            state.requested = false;
            state.last_attempt = Some(Instant::now());
            state.held.as_ref().and_then(|held| held.freshness.etag.clone())
        };
        let outcome = self.fetcher.fetch(settings, known.as_ref()).await;
        match outcome {
            Ok(Fetched::Keys { keys, freshness, document }) => {
                self.succeed(keys, freshness, document, settings)
            }
            Ok(Fetched::Unchanged(freshness)) => self.renew(freshness, settings),
            Err(error) => self.fail(&error),
        }
    }

    fn succeed(&self, keys: ParsedKeys, freshness: Freshness, document: String, settings: &Jwks) {
        self.metrics.jwks_fetch(&self.name, "ok");
        let mut state = self.state();
        let news = state.held.as_ref().is_none_or(|held| held.keys.skipped != keys.skipped);
        if news {
            let before = state.held.as_ref().map(|held| held.keys.skipped.as_slice()).unwrap_or_default();
            self.report_skipped(before, &keys.skipped);
        }
        if let Some(held) = &state.held {
            self.report_reused(&held.keys, &keys);
        }
        if state.failures > 0 || state.held.as_ref().is_none_or(|held| held.restored) {
            tracing::info!(
                source = self.name,
                issuer = &*self.entry,
                keys = keys.usable.len(),
                "keys are available"
            );
        }
        let document = self.store.is_some().then(|| document.into());
        let (fetched, fetched_at) = (Instant::now(), SystemTime::now());
        let held = Held { keys, freshness, fetched, fetched_at, document, restored: false };
        self.store(&held);
        state.held = Some(held);
        self.settle(&mut state, settings);
    }

    fn renew(&self, freshness: Freshness, settings: &Jwks) {
        self.metrics.jwks_fetch(&self.name, "not_modified");
        let mut state = self.state();
        if let Some(held) = &mut state.held {
            held.fetched = Instant::now();
            held.fetched_at = SystemTime::now();
            held.freshness.lifetime = freshness.lifetime;
            self.store(held);
        }
        if state.failures > 0 {
            tracing::info!(source = self.name, issuer = &*self.entry, "keys are available");
        }
        self.settle(&mut state, settings);
    }

    fn settle(&self, state: &mut State, settings: &Jwks) {
        state.failure = None;
        state.failures = 0;
        let (lifetime, keys, fetched_at) = match &state.held {
            Some(held) => (held.freshness.lifetime, held.keys.usable.len(), Some(held.fetched_at)),
            None => (None, 0, None),
        };
        let interval = if self.fetcher.is_file() {
            FILE_INTERVAL
        } else {
            lifetime.unwrap_or(settings.refresh_interval)
        };
        // Ahead of the end, and not everybody at the same moment.
        state.next = Instant::now() + interval.mul_f64(0.8 + 0.1 * jitter());
        self.metrics.jwks_state(&self.name, keys, fetched_at);
        self.metrics.jwks_next_refresh(&self.name, at(state.next));
    }

    fn fail(&self, error: &FetchError) {
        self.metrics.jwks_fetch(&self.name, error.as_str());
        let mut state = self.state();
        let longest = if state.held.is_some() { LONGEST_BACKOFF } else { LONGEST_FIRST_BACKOFF };
        let backoff = (FIRST_BACKOFF * 2_u32.saturating_pow(state.failures.min(6))).min(longest);
        let backoff = if self.fetcher.is_file() { backoff.min(FILE_INTERVAL) } else { backoff };
        state.next = Instant::now() + backoff.mul_f64(0.8 + 0.2 * jitter());
        state.failures = state.failures.saturating_add(1);
        self.metrics.jwks_next_refresh(&self.name, at(state.next));
        let cause = error.to_string();
        // One line for each change of state, not one for each attempt.
        if state.failure.as_ref() != Some(&cause) {
            let kept = state.held.as_ref().map_or(0, |held| held.keys.usable.len());
            tracing::warn!(
                source = self.name,
                issuer = &*self.entry,
                cause,
                kept_keys = kept,
                "keys cannot be fetched"
            );
            state.failure = Some(cause);
        }
    }

    /// Keys that are older than `maxStale` are no keys any more.
    fn drop_stale(&self, settings: &Jwks) {
        let mut state = self.state();
        if state.held.as_ref().is_some_and(|held| held.fetched.elapsed() >= settings.max_stale) {
            state.held = None;
            self.metrics.jwks_state(&self.name, 0, None);
            tracing::error!(
                source = self.name,
                issuer = &*self.entry,
                "keys are older than maxStale and are not used any more"
            );
        }
    }

    fn report_skipped(&self, before: &[SkippedKey], skipped: &[SkippedKey]) {
        for key in skipped {
            let kid = key.kid.as_deref().unwrap_or_default();
            tracing::warn!(source = self.name, issuer = &*self.entry, kid, cause = %key.fault, "a key of the set is not used");
        }
        let reasons: BTreeSet<_> = before.iter().chain(skipped).map(|key| key.fault.as_str()).collect();
        for reason in reasons {
            let count = skipped.iter().filter(|key| key.fault.as_str() == reason).count();
            self.metrics.jwks_skipped(&self.name, reason, count);
        }
    }

    /// A kid that comes back with other key material is a mistake or an attack.
    fn report_reused(&self, old: &ParsedKeys, new: &ParsedKeys) {
        for key in &new.usable {
            let reused = |old: &&Arc<VerificationKey>| {
                old.kid().is_some()
                    && old.kid() == key.kid()
                    && old.family() == key.family()
                    && old.material() != key.material()
            };
            if old.usable.iter().any(|old| reused(&old)) {
                tracing::warn!(
                    source = self.name,
                    issuer = &*self.entry,
                    kid = key.kid(),
                    "a kid came back with other key material"
                );
                self.metrics.jwks_kid_reused(&self.name);
            }
        }
    }

    /// The keys it holds, if any.
    pub(super) fn keys(&self) -> Option<Vec<Arc<VerificationKey>>> {
        self.state().held.as_ref().map(|held| held.keys.usable.clone())
    }

    /// The attempt that is under way or asked for, if one is.
    pub(super) fn running_attempt(self: &Arc<Self>) -> Option<AttemptWait> {
        let state = self.state();
        let attempts = *self.attempts.borrow();
        if state.requested {
            return Some(AttemptWait { attempts: self.attempts.subscribe(), number: attempts.started + 1 });
        }
        (attempts.started > attempts.finished)
            .then(|| AttemptWait { attempts: self.attempts.subscribe(), number: attempts.started })
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
    pub(super) fn hurry(&self) {
        let mut state = self.state();
        let recent = state.last_attempt.is_some_and(|last| last.elapsed() < HURRY_INTERVAL);
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
            entry: self.entry.clone(),
            name: self.name.clone(),
            usable,
            skipped,
            fetched_at,
            next: at(state.next),
            restored: state.held.as_ref().is_some_and(|held| held.restored),
            failure: state.failure.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A URL for logs and metrics: no userinfo, no query.
fn display_url(url: &Url) -> String {
    let mut text = format!("{}://", url.scheme());
    if let Some(host) = url.host_str() {
        text.push_str(host);
    }
    if let Some(port) = url.port() {
        let _ = write!(text, ":{port}");
    }
    text.push_str(url.path());
    text
}

/// A coming moment of the monotonic clock on the wall clock.
fn at(next: Instant) -> SystemTime {
    SystemTime::now() + next.saturating_duration_since(Instant::now())
}

/// A number in [0, 1) that is another one in every process and at every call.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    let bits = RandomState::new().hash_one(());
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    fraction
}
