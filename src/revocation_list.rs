//! The revocation lists: from a file, from URLs and from a store that replicas share, checked on every request.
//!
//! 1. [`RevocationList`] has the sources of one configuration. The lists of all of them are in force together. A task
//!    for each source looks for changes: of the file every two seconds ([`crate::file_watch`]), of a URL every few
//!    seconds, of the store whenever it announces one and every second.
//! 2. A list is accepted as a whole or not at all. Whatever cannot be read or reached leaves the current list in force.
//! 3. Without a list of every source the process is not ready, and a token that no other source revokes is refused: it
//!    may be revoked. A file has one from the start; the others may begin with the copy in `cacheDir`.
//! 4. With `maxStale`, a list that its source has not confirmed for so long is no list in this sense. What it revokes stays
//!    revoked.
//! 5. Each request looks its token up in the lists of its configuration, in memory.
//! 6. A streamed response or a tunnel may outlive the configuration. It holds a [`TokenWatch`], which looks the token
//!    up in the lists in force ([`RevocationsInForce`]) whenever they change.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::claims::{RevocableAs, VerifiedToken};
use crate::config::{Config, Position, WrittenEntry};
use crate::file_watch;
use crate::jwks::{KeysError, StoredCopy, display_url, unique_label};
use crate::metrics::Metrics;
use crate::revocation::{Revocation, RevocationLists, RevokedBy};
use crate::sync::{ArcSwap, Guard, Mutex};

pub mod edit;
mod file;
mod in_force;
#[cfg(all(test, shuttle))]
mod models;
mod source;
mod store;
mod url_list;
mod writer;

pub use edit::EditFault;
pub use in_force::{RevocationsInForce, TokenWatch};
pub use source::ListStatus;
pub use store::{StoreList, member_of, set_name};

use file::FileList;
use source::SourceState;
use url_list::UrlList;
use writer::RevocationWriter;

/// An entry about one token lasts this much longer than the token. Until then the token itself is refused as expired, whatever
/// the leeway, and so is every token that the token endpoint has issued for it.
pub const AFTER_EXPIRY_SECONDS: u64 = 24 * 60 * 60;
/// How long a request of the revocation endpoint waits until its entry counts.
const ENTRY_PATIENCE: Duration = Duration::from_secs(5);
/// How often the file is checked.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// The lists of one configuration; without a source, always empty.
#[derive(Debug)]
pub struct RevocationList {
    current: ArcSwap<RevocationLists>,
    file: Option<FileList>,
    urls: Vec<UrlList>,
    store: Option<StoreList>,
    /// Enters tokens for the revocation endpoint, if there is one.
    writer: Option<RevocationWriter>,
    /// Notified whenever other lists are in force.
    changed: watch::Sender<()>,
    /// Lists are put into force one after another.
    publishing: Mutex<()>,
    metrics: Arc<Metrics>,
    in_force: Arc<RevocationsInForce>,
    /// A number that identifies these lists among all of the process.
    number: u64,
}

/// Why the sources of a configuration cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("authentication.revocations.urls: {0}")]
pub struct ListsError(String);

impl RevocationList {
    /// The lists of a configuration. They continue with those of the previous one that have the same source. Reads the
    /// copies on disk, so it blocks.
    ///
    /// # Errors
    /// A file for the connections cannot be used.
    pub fn new(
        config: &Config,
        before: Option<&Self>,
        metrics: &Arc<Metrics>,
        in_force: &Arc<RevocationsInForce>,
    ) -> Result<Arc<Self>, ListsError> {
        let sources = &config.revocations;
        let mut labels = HashSet::from(["file", "store"].map(|label| format!("\n{label}")));
        let urls = sources.urls.iter().map(|url| {
            let label = unique_label("", url, &mut labels);
            let state = SourceState::new(
                "authentication.revocations.urls",
                label,
                display_url(url),
                sources.format.clone(),
            );
            let state = with_copy(state.trusted_for(sources.fetching.max_stale), url.as_str(), config);
            UrlList::new(state, url, config).map_err(|error| {
                ListsError(match error {
                    KeysError::Tls(_, error) => error.to_string(),
                    KeysError::Client(_, error) => error.to_string(),
                })
            })
        });
        let urls = urls.collect::<Result<Vec<_>, _>>()?;
        let store = sources.store.as_ref().map(|access| {
            let state = store::state_of(access, sources.format.clone());
            StoreList::new(with_copy(state, &access.display_name(), config), access)
        });
        let file = sources.file.clone().map(|(file, version)| FileList::new(file, version));
        let wake = store.as_ref().map(StoreList::wake).unwrap_or_default();
        let writer = sources.endpoint.as_ref().and_then(|_| RevocationWriter::new(sources, wake));
        let list = Self {
            current: ArcSwap::default(),
            file,
            urls,
            store,
            writer,
            changed: watch::Sender::default(),
            publishing: Mutex::default(),
            metrics: metrics.clone(),
            in_force: in_force.clone(),
            number: in_force.new_source(),
        };
        if let Some(before) = before {
            let fetched = |list: &Self| list.states().filter(|state| state.label() != "file").count() > 0;
            if fetched(before) && fetched(&list) {
                list.continue_from(before);
            }
        }
        list.publish();
        Ok(Arc::new(list))
    }

    fn continue_from(&self, before: &Self) {
        for state in self.states().filter(|state| state.label() != "file") {
            before.states().for_each(|known| state.continue_from(known));
        }
    }

    /// Makes these the lists in force, also for streams that began under an earlier configuration.
    pub fn enter(&self) {
        self.in_force.enter(self.number, &self.current);
        self.metrics.forget_revocation_sources();
        self.publish();
    }

    /// The version of the lists in force. Read it before checking a token with [`Self::current`].
    pub fn version(&self) -> u64 {
        self.in_force.version()
    }

    /// Watches for the revocation of a token that was admitted under version `seen` of the lists in force. `text` is the
    /// token as received.
    pub fn watch(&self, token: Arc<VerifiedToken>, text: &str, seen: u64) -> TokenWatch {
        // Those of an earlier configuration may lack what the lists of version `seen` revoke.
        let seen = Some(seen).filter(|_| !self.in_force.has_replaced(self.number));
        TokenWatch::new(self.in_force.clone(), token, text, seen)
    }

    /// The current lists.
    pub fn current(&self) -> Guard<Arc<RevocationLists>> {
        self.current.load()
    }

    /// Whether every source has a current list.
    pub fn are_ready(&self) -> bool {
        self.current.load().are_complete()
    }

    /// The sources without a current list, each with the reason.
    pub fn missing(&self) -> Vec<String> {
        let now = SystemTime::now();
        let missing = self.states().filter(|state| state.lacks_current_list(now));
        let text = |state: &SourceState| {
            let why = state.failure().unwrap_or_else(|| "it has not been read yet".to_owned());
            let what = if state.list().is_some() { "no current" } else { "no" };
            format!("{what} revocation list from {}: {why}", state.name())
        };
        missing.map(text).collect()
    }

    /// Looks for changes of all sources until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        if self.file.is_some() {
            let list = self.clone();
            let look = move || list.look(Instant::now, SystemTime::now());
            tasks.spawn(file_watch::look_every(INTERVAL, "revocation list", look));
        }
        for index in 0..self.urls.len() {
            let list = self.clone();
            tasks.spawn(async move { list.follow_url(index).await });
        }
        if self.store.is_some() {
            let list = self.clone();
            tasks.spawn(async move {
                if let Some(store) = &list.store {
                    store.run(|| list.publish()).await;
                }
            });
        }
        if self.writer.is_some() {
            let list = self.clone();
            tasks.spawn(async move { list.write_entries().await });
        }
        // Only a panic ends one of them.
        while let Some(ended) = tasks.join_next().await {
            if ended.is_err() {
                self.metrics.panics.inc();
                tracing::error!("a task that follows a revocation list panicked; its list stays as it is");
            }
        }
    }

    /// Writes what [`Self::enter_token`] asks for.
    async fn write_entries(self: &Arc<Self>) {
        let Some(writer) = &self.writer else { return };
        writer
            .run(|| {
                let list = self.clone();
                // Of a store, the task that follows it reads what is new. A panic leaves the list as it is.
                let look = move || list.look(Instant::now, SystemTime::now());
                async move { drop(tokio::task::spawn_blocking(look).await) }
            })
            .await;
    }

    /// Enters a verified token into the store, or into the file if there is no store, and waits until it is revoked in this
    /// process. `text` is the token as received, `note` what the entry says about it.
    ///
    /// # Errors
    /// Too many entries wait, the list cannot be written, or the entry does not count after five seconds. It may have been
    /// written nevertheless.
    pub async fn enter_token(&self, token: &VerifiedToken, text: &str, note: &str) -> Result<(), NotEntered> {
        let Some(writer) = &self.writer else { return Err(NotEntered::NoList) };
        let entry = entry_of(token, note).ok_or(NotEntered::NotWritten)?;
        let mut changed = self.changed.subscribe();
        let counts = async {
            if !writer.enter(entry).await {
                return Err(NotEntered::NotWritten);
            }
            while self.current.load().find(token, text).is_none() {
                changed.changed().await.map_err(|_| NotEntered::TooLate)?;
            }
            Ok(())
        };
        timeout(ENTRY_PATIENCE, counts).await.unwrap_or(Err(NotEntered::TooLate))
    }

    async fn follow_url(&self, index: usize) {
        let Some(url) = self.urls.get(index) else { return };
        let mut ticks = interval(url.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            url.fetch().await;
            self.publish();
        }
    }

    /// Reads every source without a current list once.
    pub async fn fetch_missing(self: &Arc<Self>) {
        let (mut tasks, now) = (JoinSet::new(), SystemTime::now());
        for index in 0..self.urls.len() {
            let list = self.clone();
            tasks.spawn(async move {
                if let Some(url) = list.urls.get(index).filter(|url| url.state.lacks_current_list(now)) {
                    url.fetch().await;
                }
            });
        }
        let list = self.clone();
        tasks.spawn(async move {
            if let Some(store) = list.store.as_ref().filter(|store| store.state.lacks_current_list(now)) {
                store.fetch().await;
            }
        });
        while tasks.join_next().await.is_some() {}
        self.publish();
    }

    /// The state of each source.
    pub fn status(&self) -> Vec<ListStatus> {
        self.states().map(SourceState::status).collect()
    }

    fn states(&self) -> impl Iterator<Item = &SourceState> {
        let file = self.file.iter().map(|file| &file.state);
        let urls = self.urls.iter().map(|url| &*url.state);
        file.chain(urls).chain(self.store.iter().map(|store| &*store.state))
    }

    /// Checks the file once.
    fn look(&self, clock: impl Fn() -> Instant, now: SystemTime) {
        if let Some(file) = &self.file {
            file.look(clock, now);
            self.publish();
        }
    }

    /// Puts the lists of the sources into force if one of them has changed, and shows their state in the metrics.
    fn publish(&self) {
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        let missing = self.states().find(|state| state.lacks_current_list(now));
        let missing = missing.map(|state| state.name().into());
        let lists = RevocationLists::new(self.states().filter_map(SourceState::list), missing);
        if !lists.are_same(&self.current.load()) {
            let lists = Arc::new(lists);
            self.current.store(lists.clone());
            self.in_force.change(self.number, lists);
            self.changed.send_replace(());
        }
        if self.in_force.is_current(self.number) {
            let lists = self.current.load();
            for by in RevokedBy::ALL {
                self.metrics.revocations(by.as_str(), lists.count(by));
            }
            self.states().for_each(|state| state.show(&self.metrics));
        }
    }
}

/// Why a token could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotEntered {
    /// There is no list that could be written.
    NoList,
    /// Too many entries wait already, or the list cannot be written.
    NotWritten,
    /// The entry did not count in time. It may have been written.
    TooLate,
}

impl NotEntered {
    /// The text in the audit record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoList => "there is no revocation list that could be written",
            Self::NotWritten => "the revocation list cannot be written, or too many entries wait for it",
            Self::TooLate => "the entry did not come into force within 5s",
        }
    }
}

/// The entry that revokes only this token, and what was issued for it.
fn entry_of(token: &VerifiedToken, note: &str) -> Option<WrittenEntry> {
    let [_, issuer] = RevocableAs::Itself(token).issuers();
    // By fingerprint: a `jti` is only as unique as its issuer makes it. The holder of a token cannot change what is signed.
    let revocation = Revocation::new(RevokedBy::Fingerprint, token.fingerprint().full()).ok()?;
    Some(WrittenEntry {
        revocation: revocation.of_issuer(issuer.map(Into::into)),
        until: token.expires().map(|expiry| expiry.plus(AFTER_EXPIRY_SECONDS)),
        note: Some(note.into()),
        at: Position::START,
    })
}

/// Keeps a copy in `cacheDir`, if that is configured.
fn with_copy(state: SourceState, id: &str, config: &Config) -> SourceState {
    let Some(directory) = config.jwks.cache_dir.as_deref() else { return state };
    let copy = StoredCopy::new(directory, &format!("revocations {id}"), url_list::MAX_BYTES);
    state.with_copy(copy, config.jwks.max_stale, SystemTime::now())
}

#[cfg(test)]
mod tests;
