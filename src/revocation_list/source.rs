//! What is known of one source, whatever its kind: its list, how old that is, and why it cannot be renewed.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::{ListFormat, ReadList};
use crate::jwks::StoredCopy;
use crate::metrics::Metrics;
use crate::numeric_date::NumericDate;
use crate::revocation::{Revocations, RevokedBy};
use crate::sync::{Mutex, MutexGuard};

/// How many unknown issuers are named in the log.
const NAMED_ISSUERS: usize = 10;

/// One source.
#[derive(Debug)]
pub(super) struct SourceState {
    /// The configuration key that names it.
    key: &'static str,
    /// Its label in the metrics: `file`, `store`, or the host of a URL.
    label: String,
    /// Its name in logs and on the status page.
    name: String,
    format: ListFormat,
    /// The copy on disk, if there is one.
    copy: Option<StoredCopy>,
    /// For how long a list is trusted that the source does not confirm.
    max_stale: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    /// `None` until the source has had one.
    list: Option<Arc<Revocations>>,
    next_end: Option<NumericDate>,
    /// Since when the list is as it is.
    since: SystemTime,
    /// When the source last confirmed the list.
    confirmed: Option<SystemTime>,
    checked: SystemTime,
    failure: Option<String>,
    /// Whether the list is the copy on disk.
    restored: bool,
}

/// A source at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListStatus {
    /// `file`, `store`, or the host of a URL.
    pub source: String,
    /// The path, or the URL without anything secret.
    pub name: String,
    /// The number of entries of each kind.
    pub entries: [(RevokedBy, usize); RevokedBy::ALL.len()],
    /// Since when the list is as it is; `None` if there has been none.
    pub since: Option<SystemTime>,
    /// When the source last confirmed the list.
    pub confirmed: Option<SystemTime>,
    /// When the source was last asked.
    pub checked: SystemTime,
    /// Why the list cannot be renewed.
    pub failure: Option<String>,
    /// Whether the list is the copy that an earlier run left, which the source has not confirmed.
    pub restored: bool,
    /// Whether it is older than `maxStale`, so that only what it revokes is decided by it.
    pub stale: bool,
    /// Issuers whose entries revoke nothing, because no issuer entry has that name; the first ten.
    pub unknown_issuers: Vec<String>,
}

impl SourceState {
    pub(super) fn new(key: &'static str, label: String, name: String, format: ListFormat) -> Self {
        let now = SystemTime::now();
        let state = State {
            list: None,
            next_end: None,
            since: now,
            confirmed: None,
            checked: now,
            failure: None,
            restored: false,
        };
        Self { key, label, name, format, copy: None, max_stale: None, state: Mutex::new(state) }
    }

    /// Trusts a list only for this time while the source does not confirm it.
    pub(super) fn trusted_for(self, max_stale: Option<Duration>) -> Self {
        Self { max_stale, ..self }
    }

    /// Keeps a copy on disk, and begins with it if it is younger than `max_age`.
    pub(super) fn with_copy(mut self, copy: StoredCopy, max_age: Duration, now: SystemTime) -> Self {
        match copy.read(max_age, now) {
            Ok(Some(stored)) => match self.format.read(&self.name, stored.document.as_bytes(), now.into()) {
                Ok(read) => self.restore(read, stored.fetched_at),
                Err(error) => self.not_restored(&error),
            },
            Ok(None) => {}
            Err(error) => self.not_restored(&error),
        }
        self.copy = Some(copy);
        self
    }

    fn restore(&self, read: ReadList, fetched_at: SystemTime) {
        let mut state = self.lock();
        (state.list, state.next_end) = (Some(read.list), read.next_end);
        (state.since, state.confirmed, state.restored) = (fetched_at, Some(fetched_at), true);
    }

    fn not_restored(&self, error: &dyn std::fmt::Display) {
        tracing::warn!(source = self.name, %error, "the stored copy of the revocation list is not used");
    }

    /// Continues with what the same source had in the previous configuration.
    pub(super) fn continue_from(&self, before: &Self) {
        if self.label == before.label
            && self.name == before.name
            && self.format.makes_same_lists(&before.format)
        {
            let known = before.lock().clone();
            *self.lock() = known;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn format(&self) -> &ListFormat {
        &self.format
    }

    /// The list, if the source has had one.
    pub(super) fn list(&self) -> Option<Arc<Revocations>> {
        self.lock().list.clone()
    }

    /// Whether there is no list, or one that the source has not confirmed for too long.
    pub(super) fn lacks_current_list(&self, now: SystemTime) -> bool {
        let state = self.lock();
        state.list.is_none() || self.is_stale(&state, now)
    }

    fn is_stale(&self, state: &State, now: SystemTime) -> bool {
        let age = state.confirmed.and_then(|confirmed| now.duration_since(confirmed).ok());
        self.max_stale.is_some_and(|max| age.is_some_and(|age| age > max))
    }

    /// Why it has no list, or cannot renew it.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// When the next entry of the list ends.
    pub(super) fn next_end(&self) -> Option<NumericDate> {
        self.lock().next_end
    }

    /// Whether an entry of the list has ended.
    pub(super) fn has_ended_entries(&self, now: SystemTime) -> bool {
        self.lock().next_end.is_some_and(|end| end <= now.into())
    }

    pub(super) fn has_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// Keeps the document of the current list on disk.
    pub(super) fn keep_copy(&self, document: impl FnOnce() -> Arc<str>, now: SystemTime) {
        if let Some(copy) = &self.copy {
            copy.write_soon(document(), now, &self.name);
        }
    }

    /// The source has this list.
    pub(super) fn has_list(&self, read: ReadList, now: SystemTime) {
        let mut state = self.lock();
        let before = state.list.replace(read.list.clone());
        (state.next_end, state.confirmed, state.checked) = (read.next_end, Some(now), now);
        (state.failure, state.restored, state.since) = (None, false, now);
        drop(state);
        let (entries, before) = (read.list.len(), before.map(|list| list.len()));
        match before {
            Some(before) => {
                tracing::info!(source = self.name, entries, before, "the revocation list has changed");
            }
            None => tracing::info!(source = self.name, entries, "the revocation list was read"),
        }
        self.warn_of_unknown_issuers(&read.list);
    }

    /// As [`Self::has_list`] for a document that may be the same as before, which is not logged.
    pub(super) fn has_document(&self, read: ReadList, now: SystemTime) {
        let is_same = self.list().is_some_and(|list| list.len() == read.list.len());
        if is_same { self.has_grown(read, now) } else { self.has_list(read, now) }
    }

    /// As [`Self::has_list`] for a list that has only grown, which is logged only in detail.
    pub(super) fn has_grown(&self, read: ReadList, now: SystemTime) {
        tracing::debug!(source = self.name, entries = read.list.len(), "the revocation list has grown");
        let mut state = self.lock();
        state.list = Some(read.list);
        (state.next_end, state.confirmed, state.checked) = (read.next_end, Some(now), now);
        (state.failure, state.restored, state.since) = (None, false, now);
    }

    /// The source still has the list that it had.
    pub(super) fn is_unchanged(&self, now: SystemTime) {
        let mut state = self.lock();
        (state.confirmed, state.checked, state.restored) = (Some(now), now, false);
        if state.failure.take().is_some() {
            tracing::info!(source = self.name, "the revocation list is readable again and unchanged");
        }
    }

    /// The source was asked, and it is known from its metadata that nothing changed. A failure stays.
    pub(super) fn was_checked(&self, now: SystemTime) {
        let mut state = self.lock();
        state.checked = now;
        if state.failure.is_none() {
            state.confirmed = Some(now);
        }
    }

    /// The list cannot be renewed. Logs each change of the cause.
    pub(super) fn failed(&self, cause: String, now: SystemTime) {
        let mut state = self.lock();
        state.checked = now;
        if state.failure.as_ref() == Some(&cause) {
            return;
        }
        let kept = state.list.as_ref().map(|list| list.len());
        state.failure = Some(cause.clone());
        drop(state);
        match kept {
            Some(kept_entries) => tracing::error!(
                key = self.key,
                source = self.name,
                cause,
                kept_entries,
                "the new revocation list is not used; keeping the current one"
            ),
            None => tracing::error!(
                key = self.key,
                source = self.name,
                cause,
                "there is no revocation list yet: tokens are refused until there is"
            ),
        }
    }

    /// Warns about entries that revoke nothing.
    fn warn_of_unknown_issuers(&self, list: &Revocations) {
        let unknown = self.format.unknown_issuers(list);
        if !unknown.is_empty() {
            let named: BTreeSet<_> = unknown.iter().take(NAMED_ISSUERS).collect();
            tracing::warn!(key = self.key, source = self.name, count = unknown.len(), issuers = ?named, "entries of the revocation list name unknown issuers and revoke nothing");
        }
    }

    /// Sets the gauges.
    pub(super) fn show(&self, metrics: &Metrics) {
        let state = self.lock();
        let is_current = state.failure.is_none() && state.list.is_some() && !state.restored;
        metrics.revocation_source(&self.label, is_current, state.confirmed);
    }

    pub(super) fn status(&self) -> ListStatus {
        let state = self.lock().clone();
        let stale = self.is_stale(&state, SystemTime::now());
        let list = state.list.unwrap_or_default();
        let unknown = self.format.unknown_issuers(&list).into_iter().take(NAMED_ISSUERS);
        ListStatus {
            source: self.label.clone(),
            name: self.name.clone(),
            entries: RevokedBy::ALL.map(|by| (by, list.count(by))),
            since: state.confirmed.map(|_| state.since),
            confirmed: state.confirmed,
            checked: state.checked,
            unknown_issuers: unknown.map(ToOwned::to_owned).collect(),
            failure: state.failure,
            restored: state.restored,
            stale,
        }
    }
}
