//! The allow-list of bots: from a file, or from the store that replicas share; checked on every request of a bot.
//!
//! 1. [`BotList`] is the list of one configuration. A task checks its file every two seconds ([`file`]), or follows the set in
//!    the store ([`store`]).
//! 2. A list that cannot be used leaves the current one in force. At the start there is none, and no bot is accepted.
//! 3. While a list in the store has not been read at all, or not for longer than `maxStale`, it is unknown which tokens it
//!    accepts: the process is not ready, and bots get 503. It may begin with the copy in `cacheDir`.
//! 4. Streamed responses and tunnels of bots end once the list does not accept their token any more: it is part of what
//!    [`crate::revocation_list`] has in force.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use crate::bots::{Bot, BotFault, Bots};
use crate::claims::VerifiedToken;
use crate::config::{BotSource, Config};
use crate::metrics::Metrics;
use crate::numeric_date::NumericDate;
use crate::revocation_list::RevocationsInForce;
use crate::sync::{ArcSwap, Guard, Mutex, MutexGuard};

mod file;
#[cfg(all(test, shuttle))]
mod models;
mod store;

pub use store::{StoreBots, member_of, set_name};

use file::FileBots;

/// How often the file is checked.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// The list of one configuration; without a source, one that accepts no bot.
#[derive(Debug)]
pub struct BotList {
    current: ArcSwap<Bots>,
    source: Source,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
    in_force: Arc<RevocationsInForce>,
    /// A number that identifies this list among all lists of the process.
    number: u64,
}

#[derive(Debug)]
enum Source {
    Nowhere,
    File(FileBots),
    Store(Arc<StoreBots>),
}

/// What is known of the list, whatever its source.
#[derive(Clone, Debug)]
struct State {
    /// Since when the current list has been in force.
    since: SystemTime,
    /// When the source last confirmed it.
    confirmed: Option<SystemTime>,
    /// Why it cannot be renewed.
    failure: Option<String>,
    /// Whether it is the copy on disk.
    restored: bool,
}

/// The list and its source at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotListStatus {
    /// `file` or `store`.
    pub source: &'static str,
    /// The path of the file, or the store's URL without anything secret.
    pub name: String,
    /// The number of bots.
    pub bots: usize,
    /// The number of tokens that are accepted.
    pub tokens: usize,
    /// Whether there is a list at all.
    pub is_known: bool,
    /// Since when the list has been in force.
    pub since: SystemTime,
    /// When the source last confirmed it.
    pub confirmed: Option<SystemTime>,
    /// Whether it is the copy that an earlier run left, which the store has not confirmed.
    pub restored: bool,
    /// Why the source's list is not the list in force.
    pub failure: Option<String>,
}

impl BotList {
    /// The list of a configuration. If it cannot be read, it continues with that of `before`, if that has the same source.
    /// Reads the file, or the copy on disk, so it blocks.
    pub fn new(
        config: &Config,
        before: Option<&Self>,
        metrics: &Arc<Metrics>,
        in_force: &Arc<RevocationsInForce>,
        now: SystemTime,
    ) -> Arc<Self> {
        let (source, bots, state) = match &config.bots {
            None => (Source::Nowhere, Arc::default(), State::new(now)),
            Some(BotSource::File(file)) => {
                let known = before.and_then(|before| before.file()).filter(|before| before.is_at(file));
                let (file, bots, state) = FileBots::new(file, known, now);
                (Source::File(file), bots, state)
            }
            Some(BotSource::Store(access)) => {
                let known = before.and_then(|before| Some((before.store()?, before)));
                let (store, bots, state) = StoreBots::new(access, config, known, now);
                (Source::Store(Arc::new(store)), bots, state)
            }
        };
        Arc::new(Self {
            current: ArcSwap::new(bots),
            source,
            state: Mutex::new(state),
            metrics: metrics.clone(),
            in_force: in_force.clone(),
            number: in_force.new_source(),
        })
    }

    fn file(&self) -> Option<&FileBots> {
        match &self.source {
            Source::File(file) => Some(file),
            Source::Nowhere | Source::Store(_) => None,
        }
    }

    fn store(&self) -> Option<&Arc<StoreBots>> {
        match &self.source {
            Source::Store(store) => Some(store),
            Source::Nowhere | Source::File(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes this the list in force, also for responses that began under an earlier configuration.
    pub fn enter(&self) {
        self.in_force.enter_bots(self.number, &self.current);
        self.metrics.forget_bots();
        self.show();
    }

    /// The current list.
    pub fn current(&self) -> Guard<Arc<Bots>> {
        self.current.load()
    }

    /// The bot of a verified bot token.
    ///
    /// # Errors
    /// See [`Bots::find`].
    pub fn find(&self, token: &VerifiedToken, now: NumericDate) -> Result<Arc<Bot>, BotFault> {
        self.current.load().find(token, now).cloned()
    }

    /// Whether it is known which tokens are accepted. A file that cannot be read is no reason not to serve others.
    pub fn is_ready(&self) -> bool {
        self.store().is_none() || self.current.load().is_available()
    }

    /// Why it is not ready.
    pub fn missing(&self) -> Option<String> {
        let store = self.store().filter(|_| !self.is_ready())?;
        let why = self.lock().failure.clone().unwrap_or_else(|| "it has not been read yet".to_owned());
        let what = if self.current.load().is_known() { "no current" } else { "no" };
        Some(format!("{what} allow-list of bots from {}: {why}", store.name()))
    }

    /// Reads the list in the store once, if it is not ready.
    pub async fn fetch_missing(self: &Arc<Self>) {
        if let Some(store) = self.store().filter(|_| !self.is_ready()) {
            store.clone().fetch(self).await;
        }
    }

    /// Follows the source until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        match &self.source {
            Source::Nowhere => {}
            Source::File(_) => file::watch(self.clone()).await,
            Source::Store(store) => store.clone().run(&self).await,
        }
    }

    /// The state of the list and its source; `None` without a source.
    pub fn status(&self) -> Option<BotListStatus> {
        let (source, name) = match &self.source {
            Source::Nowhere => return None,
            Source::File(file) => ("file", file.path().display().to_string()),
            Source::Store(store) => ("store", store.name().to_owned()),
        };
        let (list, State { since, confirmed, failure, restored }) =
            (self.current.load(), self.lock().clone());
        Some(BotListStatus {
            source,
            name,
            bots: list.bots().len(),
            tokens: list.bots().iter().map(|bot| bot.tokens.len()).sum(),
            is_known: list.is_known(),
            since,
            confirmed,
            restored,
            failure,
        })
    }

    /// The source has another list.
    fn has_list(&self, bots: Arc<Bots>, now: SystemTime) {
        let count = bots.bots().len();
        self.put(bots);
        *self.lock() = State { confirmed: Some(now), ..State::new(now) };
        self.show();
        let (source, bots) = (self.source.name(), count);
        tracing::info!(source = %source, bots, "the allow-list of bots has changed");
    }

    /// Makes a list the current one.
    fn put(&self, bots: Arc<Bots>) {
        self.current.store(bots.clone());
        self.in_force.change_bots(self.number, bots);
    }

    /// The source still has the current list.
    fn is_unchanged(&self, now: SystemTime) {
        let mut state = self.lock();
        (state.confirmed, state.restored) = (Some(now), false);
        let had_failed = state.failure.take().is_some();
        drop(state);
        self.show();
        if had_failed {
            tracing::info!(source = %self.source.name(), "the allow-list of bots is readable again and unchanged");
        }
    }

    /// The list cannot be renewed. Logs each change of the cause.
    fn failed(&self, cause: String) {
        let mut state = self.lock();
        if state.failure.as_ref() == Some(&cause) {
            return;
        }
        state.failure = Some(cause.clone());
        drop(state);
        self.show();
        let (key, source, kept) = (self.source.key(), self.source.name(), self.current.load());
        if kept.is_known() {
            let kept_bots = kept.bots().len();
            tracing::error!(key, source = %source, cause, kept_bots, "the new allow-list of bots is not used; keeping the current one");
        } else {
            tracing::error!(key, source = %source, cause, "there is no allow-list of bots yet: no bot is accepted until there is");
        }
    }

    /// Sets the gauges, if this list is in force.
    fn show(&self) {
        if !self.in_force.is_current_bots(self.number) {
            return;
        }
        let (list, state) = (self.current.load(), self.lock());
        let is_current = state.failure.is_none()
            && !state.restored
            && (list.is_known() || matches!(self.source, Source::Nowhere));
        let confirmed = state.confirmed.filter(|_| !matches!(self.source, Source::Nowhere));
        self.metrics.bots(list.bots().len(), is_current, confirmed);
    }
}

impl Source {
    fn key(&self) -> &'static str {
        match self {
            Self::Nowhere => "issuer.bots",
            Self::File(_) => "issuer.bots.file",
            Self::Store(_) => "issuer.bots.store",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Nowhere => String::new(),
            Self::File(file) => file.path().display().to_string(),
            Self::Store(store) => store.name().to_owned(),
        }
    }
}

impl State {
    /// Without a failure.
    fn new(now: SystemTime) -> Self {
        Self { since: now, confirmed: None, failure: None, restored: false }
    }
}

#[cfg(test)]
mod tests;
