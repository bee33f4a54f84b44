//! The revocation list and the allow-list of bots in force, for streams and tunnels that outlive their configuration.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, atomic};
use std::task::{Context, Poll};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use crate::bots::Bots;
use crate::claims::{IssuedKind, VerifiedToken};
use crate::jose::Algorithm;
use crate::revocation::{RevocationLists, Revoked};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{ArcSwap, Mutex, step};

/// The revocation list in force; one for the whole process.
#[derive(Debug)]
pub struct RevocationsInForce {
    current: ArcSwap<RevocationLists>,
    /// A copy of the value in `changed`. Every request reads it, without a lock. Not one of a model, which would run other
    /// threads while the lock of `changed` is held.
    version: atomic::AtomicU64,
    changed: watch::Sender<u64>,
    /// The number of the [`RevocationList`](super::RevocationList) in force. The task of the previous configuration may
    /// still be reading its file; its changes are ignored.
    source: Mutex<u64>,
    /// A copy of the number in `source`. Every request reads it, without a lock.
    entered: AtomicU64,
    /// The allow-list of bots in force, and the number of its [`BotList`](crate::bot_list::BotList).
    bots: ArcSwap<Bots>,
    source_of_bots: Mutex<u64>,
    sources: AtomicU64,
}

impl Default for RevocationsInForce {
    fn default() -> Self {
        Self {
            current: ArcSwap::default(),
            version: atomic::AtomicU64::new(0),
            changed: watch::Sender::new(0),
            source: Mutex::new(0),
            entered: AtomicU64::new(0),
            bots: ArcSwap::default(),
            source_of_bots: Mutex::new(0),
            sources: AtomicU64::new(0),
        }
    }
}

impl RevocationsInForce {
    /// A number for a new [`RevocationList`](super::RevocationList), or a new list of bots.
    pub fn new_source(&self) -> u64 {
        self.sources.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Accepts lists only from this source from now on, and begins with its current one.
    pub(super) fn enter(&self, source: u64, lists: &ArcSwap<RevocationLists>) {
        let mut current = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        *current = source;
        // Before the version changes, so that a request that has seen the new one knows that its lists are replaced.
        self.entered.store(source, Ordering::Release);
        // Loaded under the lock: the source may be replacing it, and announces it afterwards.
        self.set(lists.load_full());
    }

    /// Replaces the list, if `source` is in force.
    pub(super) fn change(&self, source: u64, list: Arc<RevocationLists>) {
        let current = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == source {
            self.set(list);
        }
    }

    /// Whether the lists of a later configuration than that of this source are in force.
    pub(super) fn has_replaced(&self, source: u64) -> bool {
        self.entered.load(Ordering::Acquire) > source
    }

    /// Whether lists are accepted from this source.
    pub(super) fn is_current(&self, source: u64) -> bool {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) == source
    }

    /// The caller holds the lock of `source`.
    fn set(&self, list: Arc<RevocationLists>) {
        self.current.store(list);
        self.announce();
    }

    /// Accepts lists of bots only from this source from now on, and begins with its current one.
    pub fn enter_bots(&self, source: u64, lists: &ArcSwap<Bots>) {
        let mut current = self.source_of_bots.lock().unwrap_or_else(PoisonError::into_inner);
        *current = source;
        // As above.
        self.bots.store(lists.load_full());
        self.announce();
    }

    /// Replaces the list of bots, if `source` is in force.
    pub fn change_bots(&self, source: u64, list: Arc<Bots>) {
        let current = self.source_of_bots.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == source {
            self.bots.store(list);
            self.announce();
        }
    }

    /// Whether lists of bots are accepted from this source.
    pub fn is_current_bots(&self, source: u64) -> bool {
        *self.source_of_bots.lock().unwrap_or_else(PoisonError::into_inner) == source
    }

    /// Makes running responses look their tokens up again.
    fn announce(&self) {
        self.changed.send_modify(|version| {
            *version += 1;
            self.version.store(*version, Ordering::Release);
        });
    }

    /// The entry that revokes a token, or what says that a bot's token is not accepted any more.
    fn find(&self, token: &VerifiedToken, text: &str) -> Option<Box<Revoked>> {
        let listed = self.current.load().find(token, text);
        let is_bot = token.issued() == Some(IssuedKind::Bot);
        listed.or_else(|| is_bot.then(|| self.bots.load().revoked(token)).flatten())
    }

    /// Increases with each list that comes into force.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// Watches for the revocation of the token of one admitted request.
pub struct TokenWatch {
    in_force: Arc<RevocationsInForce>,
    token: Arc<VerifiedToken>,
    /// Empty unless DataHub may list the token by the hash of its text.
    text: SecretString,
    /// The version of the lists in force that the token was last looked up in; `None` if it was in none of them.
    seen: Option<u64>,
    /// Created on the first wait.
    change: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl TokenWatch {
    /// Watches a token that was admitted under version `seen`, or with lists that are not in force any more. `text` is the
    /// token as received.
    pub(super) fn new(
        in_force: Arc<RevocationsInForce>,
        token: Arc<VerifiedToken>,
        text: &str,
        seen: Option<u64>,
    ) -> Self {
        let text = if token.algorithm() == Algorithm::HS256 { text } else { "" };
        Self { in_force, token, text: text.into(), seen, change: None }
    }

    /// The entry that revokes the token, if one does. Cheap while the list is unchanged.
    pub fn revoked_by(&mut self) -> Option<Box<Revoked>> {
        let version = Some(self.in_force.version());
        if version == self.seen {
            return None;
        }
        let found = self.in_force.find(&self.token, self.text.expose_secret());
        // Only if nothing was found, so that a revoked token is found again.
        if found.is_none() {
            self.seen = version;
        }
        found
    }

    /// Resolves once the token is revoked.
    pub fn poll_revoked(&mut self, cx: &mut Context<'_>) -> Poll<Box<Revoked>> {
        loop {
            if let Some(revoked) = self.revoked_by() {
                return Poll::Ready(revoked);
            }
            let change = self.change.get_or_insert_with(|| {
                step();
                let (mut changed, seen) = (self.in_force.changed.subscribe(), self.seen);
                Box::pin(async move {
                    // The sender lives as long as the process.
                    let _ = changed.wait_for(|version| Some(*version) != seen).await;
                })
            });
            match change.as_mut().poll(cx) {
                Poll::Ready(()) => self.change = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// See [`Self::poll_revoked`].
    pub async fn revoked(&mut self) -> Box<Revoked> {
        poll_fn(|cx| self.poll_revoked(cx)).await
    }
}

impl fmt::Debug for TokenWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenWatch").field("seen", &self.seen).finish_non_exhaustive()
    }
}
