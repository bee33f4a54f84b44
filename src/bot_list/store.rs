//! The allow-list in the store that replicas share: a set with one member for each bot.
//!
//! A store that comes back with less than it had must not make a token valid that was revoked. Bots that such a store has in
//! another form than before are refused until they are changed, or the process ends. It is noticed by a revision that is lower
//! than the last one that was read, so not if the store has had as many new changes before it is read again, and not across a
//! restart of this process.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use super::{BotList, State};
use crate::bots::{Bot, Bots};
use crate::config::{Config, StoreAccess, bot_json, bots_of_members};
use crate::jwks::StoredCopy;
use crate::shared_set::{Consumer, Follower, LastWhole, MAX_BYTES, Member, SetName, StoreFault, Update};
use crate::sync::Mutex;

/// How often the copy on disk is renewed although nothing changes, so that it does not become too old to be used.
const COPY_INTERVAL: Duration = Duration::from_secs(600);

/// The name of the set of bots.
pub fn set_name(access: &StoreAccess) -> SetName {
    SetName::new(&access.namespace, "bots")
}

/// A bot as it is in the set. Only a command removes it.
pub fn member_of(bot: &Bot) -> Member {
    Member { text: bot_json(bot), until: None }
}

/// The list in the store.
#[derive(Debug)]
pub struct StoreBots {
    follower: Follower,
    copy: Option<StoredCopy>,
    max_stale: Option<Duration>,
    known: Mutex<Known>,
}

/// What was last read.
#[derive(Clone, Debug, Default)]
struct Known {
    /// `None` before the first read of this process.
    revision: Option<u64>,
    members: HashSet<Box<str>>,
    /// The members of a store that had lost changes which were not members before.
    distrusted: HashSet<Box<str>>,
}

impl StoreBots {
    /// Without a copy on disk, and before the first read.
    pub fn unread(access: &Arc<StoreAccess>) -> Self {
        let follower = Follower::new("allow-list of bots", access.display_name(), access, set_name(access));
        let (follower, max_stale) = (follower.without_log(), access.max_stale);
        Self { follower, copy: None, max_stale, known: Mutex::default() }
    }

    /// The list of a store. It continues with that of `before`, if that has the same store, or with the copy on disk.
    pub(super) fn new(
        access: &Arc<StoreAccess>,
        config: &Config,
        before: Option<(&Arc<Self>, &BotList)>,
        now: SystemTime,
    ) -> (Self, Arc<Bots>, State) {
        let name = access.display_name();
        let copy = config.jwks.cache_dir.as_deref();
        let copy =
            copy.map(|directory| StoredCopy::new(directory, &format!("bots {name}"), MAX_BYTES as u64));
        let (bots, state, known) = match before.filter(|(store, _)| store.name() == name) {
            Some((store, list)) => {
                let known = store.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                (list.current.load_full(), list.lock().clone(), known)
            }
            None => {
                let max_age = config.jwks.max_stale.min(access.max_stale.unwrap_or(Duration::MAX));
                let restored = copy.as_ref().and_then(|copy| restored(copy, max_age, &name, now));
                let (bots, state) = restored.unwrap_or_else(|| (Arc::new(Bots::awaited()), State::new(now)));
                (bots, state, Known::default())
            }
        };
        (Self { copy, known: Mutex::new(known), ..Self::unread(access) }, bots, state)
    }

    pub(super) fn name(&self) -> &str {
        self.follower.store()
    }

    /// Reads the list once.
    pub(super) async fn fetch(self: Arc<Self>, list: &Arc<BotList>) {
        let following = Following { store: self, list };
        following.store.follower.fetch(&following).await;
    }

    /// Follows the list until the future is dropped.
    pub(super) async fn run(self: Arc<Self>, list: &Arc<BotList>) {
        let following = Following { store: self, list };
        following.store.follower.run(&following, || following.look_at_clock(SystemTime::now())).await;
    }

    /// The list of the members that were read.
    ///
    /// # Errors
    /// One of those that are accepted is not a bot. Then the list is refused as a whole.
    pub fn read(&self, members: Vec<Member>, revision: u64, now: SystemTime) -> Result<Bots, String> {
        let mut accepted = self.accepted(members, revision);
        accepted.sort_unstable();
        let bots = bots_of_members(accepted.iter().map(|member| &**member))?;
        if let Some(copy) = &self.copy {
            copy.write_soon(accepted.join("\n").into(), now, self.name());
        }
        Ok(Bots::new(bots).at(now.into()))
    }

    /// What is accepted of the members that were read.
    fn accepted(&self, members: Vec<Member>, revision: u64) -> Vec<Box<str>> {
        let members: HashSet<Box<str>> = members.into_iter().map(|member| member.text.into()).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = known.revision.filter(|before| revision < *before) {
            let new: HashSet<_> = members.difference(&known.members).cloned().collect();
            let (source, refused_bots) = (self.name(), new.len());
            tracing::error!(
                source,
                revision,
                before,
                refused_bots,
                "the store has lost changes of the allow-list of bots; bots that it had not like this before are refused \
                 until they are changed, for example by `metagate bot regenerate`"
            );
            known.distrusted.extend(new);
        }
        known.distrusted.retain(|member| members.contains(member));
        known.revision = Some(revision);
        let accepted = members.iter().filter(|member| !known.distrusted.contains(*member)).cloned().collect();
        known.members = members;
        accepted
    }
}

/// The copy that an earlier run left, if it is younger than `max_age`.
fn restored(copy: &StoredCopy, max_age: Duration, name: &str, now: SystemTime) -> Option<(Arc<Bots>, State)> {
    let not_used = |error: &dyn std::fmt::Display| {
        tracing::warn!(source = name, %error, "the stored copy of the allow-list of bots is not used");
    };
    let stored = copy.read(max_age, now).inspect_err(|error| not_used(error)).ok()??;
    let bots = bots_of_members(stored.document.lines()).inspect_err(|error| not_used(error)).ok()?;
    let at = stored.fetched_at;
    let state = State { confirmed: Some(at), restored: true, ..State::new(at) };
    Some((Arc::new(Bots::new(bots).at(now.into())), state))
}

struct Following<'l> {
    store: Arc<StoreBots>,
    list: &'l Arc<BotList>,
}

impl Following<'_> {
    /// Ends tokens whose time has come, and the trust in a list that is too old.
    fn look_at_clock(&self, now: SystemTime) {
        let current = self.list.current.load_full();
        let has_ended = |bot: &Arc<Bot>| bot.tokens.iter().any(|token| token.expires <= now.into());
        if current.bots().iter().any(has_ended) {
            self.list.put(Arc::new(current.at(now.into())));
        }
        self.list.check_age(self.store.max_stale, now);
    }
}

impl BotList {
    /// Stops trusting a list that the store has not confirmed for too long. Running responses go on.
    pub(super) fn check_age(&self, max_stale: Option<Duration>, now: SystemTime) {
        let current = self.current.load_full();
        let confirmed = self.lock().confirmed;
        if let (Some(max), Some(confirmed)) = (max_stale, confirmed)
            && current.is_known()
            && current.is_available()
            && now.duration_since(confirmed).is_ok_and(|age| age > max)
        {
            self.current.store(Arc::new(current.stale()));
            let max_stale = humantime::format_duration(max).to_string();
            tracing::error!(key = "authentication.revocations.store.maxStale", source = %self.source.name(), max_stale, "the allow-list of bots is too old: bots are refused until the store confirms it");
        }
    }
}

impl Consumer for Following<'_> {
    fn needs_whole(&self, last: &LastWhole) -> bool {
        let is_stale = !self.list.current.load().is_available();
        is_stale || self.store.copy.is_some() && last.at.elapsed() > COPY_INTERVAL
    }

    async fn apply(&self, update: Update) -> Result<(), StoreFault> {
        let now = SystemTime::now();
        let (members, revision) = match update {
            Update::Unchanged => {
                self.list.is_unchanged(now);
                return Ok(());
            }
            Update::Added { members, revision } | Update::Whole { members, revision } => (members, revision),
        };
        let store = self.store.clone();
        // A long list takes a while, and other tasks wait on this thread.
        let read = tokio::task::spawn_blocking(move || store.read(members, revision, now));
        let read = read.await.unwrap_or_else(|_| Err("reading the list panicked".to_owned()));
        let bots = read.map_err(StoreFault::Server)?;
        let current = self.list.current.load_full();
        if current.is_available() && current.bots() == bots.bots() && current.is_known() {
            self.list.is_unchanged(now);
        } else {
            self.list.has_list(Arc::new(bots), now);
        }
        Ok(())
    }

    fn failed(&self, fault: &StoreFault) {
        self.list.failed(fault.to_string());
    }
}

#[cfg(test)]
mod tests;
