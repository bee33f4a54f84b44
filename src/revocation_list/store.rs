//! The list in the store that replicas share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::source::SourceState;
use crate::config::{ListFormat, ReadList, StoreAccess, WrittenEntry};
use crate::numeric_date::NumericDate;
use crate::revocation::{Remark, Revocations};
use crate::shared_set::{Consumer, Follower, LastWhole, Member, SetName, StoreFault, Update};

/// The minimum time between two reads of the whole set that nothing but ended entries and the copy on disk ask for.
const WHOLE_INTERVAL: Duration = Duration::from_secs(60);
/// How often the copy on disk is renewed although nothing changes.
const COPY_INTERVAL: Duration = Duration::from_secs(600);

/// The name of the set of revocations.
pub fn set_name(access: &StoreAccess) -> SetName {
    SetName::new(&access.namespace, "revocations")
}

/// An entry as it is in the set.
pub fn member_of(entry: &WrittenEntry) -> Member {
    let until =
        entry.until.map(|until| SystemTime::from(until).duration_since(UNIX_EPOCH).unwrap_or_default());
    Member { text: entry.to_json(), until: until.map(|until| until.as_secs_f64().floor()) }
}

/// What is known of the list of a store that has not been read.
pub(super) fn state_of(access: &StoreAccess, format: ListFormat) -> SourceState {
    let (key, name) = ("authentication.revocations.store", access.display_name());
    SourceState::new(key, "store".to_owned(), name, format).trusted_for(access.max_stale)
}

/// The list in the store.
#[derive(Debug)]
pub struct StoreList {
    pub(super) state: Arc<SourceState>,
    follower: Follower,
    history: Mutex<History>,
}

/// What a store must not forget. A server that lost its data must not make revoked tokens valid. Noticed only if its revision
/// is lower than the highest that was read.
#[derive(Debug, Default)]
struct History {
    /// The highest revision that was read.
    revision: u64,
    /// The list before the store lost changes. It stays in force until this process ends.
    kept: Option<Arc<Revocations>>,
}

impl StoreList {
    /// Without a copy on disk, and before the first read.
    pub fn unread(access: &Arc<StoreAccess>, format: ListFormat) -> Self {
        Self::new(state_of(access, format), access)
    }

    pub(super) fn new(state: SourceState, access: &Arc<StoreAccess>) -> Self {
        let store = state.name().to_owned();
        let follower = Follower::new("revocation list", store, access, set_name(access));
        Self { state: Arc::new(state), follower, history: Mutex::default() }
    }

    /// Notify it to have the list read soon.
    pub(super) fn wake(&self) -> Arc<Notify> {
        self.follower.wake()
    }

    /// The list in force, if there has been one.
    pub fn list(&self) -> Option<Arc<Revocations>> {
        self.state.list()
    }

    /// Uses what was read. After an error the list in force is the one before.
    ///
    /// # Errors
    /// A member is not an entry.
    pub fn take(&self, update: &Update, now: SystemTime) -> Result<(), String> {
        put(&self.state, self.kept(update).as_deref(), update, now)
    }

    /// Reads the list once.
    pub(super) async fn fetch(&self) {
        self.follower.fetch(self).await;
    }

    /// Follows the list. `publish` is called after each read and each failure.
    pub(super) async fn run(&self, publish: impl Fn()) {
        self.follower.run(self, publish).await;
    }

    /// The list that is in force in addition, because the store has lost it.
    fn kept(&self, update: &Update) -> Option<Arc<Revocations>> {
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let (revision, members) = match update {
            Update::Unchanged => return None,
            Update::Added { revision, .. } => {
                history.revision = *revision;
                return None;
            }
            Update::Whole { revision, members } => (revision, members),
        };
        if *revision < history.revision {
            history.kept = self.state.list();
            tracing::error!(
                source = self.state.name(),
                revision,
                before = history.revision,
                entries = members.len(),
                kept_entries = history.kept.as_ref().map_or(0, |list| list.len()),
                "the revocation store has lost changes; keeping the previous list too until a restart"
            );
        }
        history.revision = *revision;
        history.kept.clone()
    }
}

impl Consumer for StoreList {
    fn needs_whole(&self, last: &LastWhole) -> bool {
        let age = last.at.elapsed();
        let has_copy = self.state.has_copy();
        let is_due = self.state.has_ended_entries(SystemTime::now()) || has_copy && last.changed_since;
        is_due && age > WHOLE_INTERVAL || has_copy && age > COPY_INTERVAL
    }

    async fn apply(&self, update: Update) -> Result<(), StoreFault> {
        let now = SystemTime::now();
        let (state, kept) = (self.state.clone(), self.kept(&update));
        // A long list takes a while, and other tasks wait on this thread.
        let applied = tokio::task::spawn_blocking(move || put(&state, kept.as_deref(), &update, now));
        let applied = applied.await.unwrap_or_else(|_| Err("reading the list panicked".to_owned()));
        applied.map_err(StoreFault::Server)
    }

    fn failed(&self, fault: &StoreFault) {
        self.state.failed(fault.to_string(), SystemTime::now());
    }
}

/// Puts what was read into force.
fn put(
    state: &SourceState,
    kept: Option<&Revocations>,
    update: &Update,
    now: SystemTime,
) -> Result<(), String> {
    match update {
        Update::Unchanged => state.is_unchanged(now),
        Update::Added { members, .. } => {
            let list = state.list().map(|list| (*list).clone());
            let list = list.unwrap_or_else(|| state.format().empty());
            let (read, _) = add(list, state.next_end(), members, now.into(), |_| ())?;
            state.has_grown(read, now);
        }
        Update::Whole { members, .. } => whole(state, kept, members, now)?,
    }
    Ok(())
}

fn whole(
    state: &SourceState,
    kept: Option<&Revocations>,
    members: &[Member],
    now: SystemTime,
) -> Result<(), String> {
    let mut lines = state.has_copy().then(String::new);
    let keep = |entry: &WrittenEntry| {
        if let Some(lines) = &mut lines {
            lines.push_str(&entry.to_json());
            lines.push('\n');
        }
    };
    let format: &ListFormat = state.format();
    let list = kept.cloned().unwrap_or_else(|| format.empty());
    let (read, entries) = add(list, None, members, now.into(), keep)?;
    if let Some(lines) = lines {
        // A document without a line would be an empty file, which is no list.
        state.keep_copy(|| if entries == 0 { "[]".into() } else { lines.into() }, now);
    }
    state.has_document(read, now);
    Ok(())
}

/// Adds the members that have not ended to a list. Returns it, and how many there were. A member that is no entry makes
/// the whole list invalid.
fn add(
    mut list: Revocations,
    mut next_end: Option<NumericDate>,
    members: &[Member],
    now: NumericDate,
    mut each: impl FnMut(&WrittenEntry),
) -> Result<(ReadList, usize), String> {
    let mut count = 0;
    for member in members {
        let entry = WrittenEntry::from_json(&member.text)
            .map_err(|problem| format!("an entry of the store is invalid: {problem}"))?;
        let until = entry.until.into_iter().chain(member.until.and_then(date)).min();
        let entry = WrittenEntry { until, ..entry };
        if entry.until.is_some_and(|until| until <= now) {
            continue;
        }
        count += 1;
        next_end = entry.until.into_iter().chain(next_end).min();
        let remark = Remark { until: entry.until, note: entry.note.as_deref() };
        list.add(&entry.revocation, remark).map_err(|error| error.to_string())?;
        each(&entry);
    }
    Ok((ReadList { list: Arc::new(list.complete()), next_end }, count))
}

/// The time of a score.
#[expect(clippy::cast_possible_truncation, reason = "out of range means the end of time")]
fn date(score: f64) -> Option<NumericDate> {
    (score.is_finite() && score.abs() < 1e15).then(|| NumericDate::from_secs(score as i64))
}

#[cfg(test)]
mod tests;
