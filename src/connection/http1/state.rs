//! What the two ends of a client connection know of each other: the stream that judges heads, and
//! the service that answers them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

use crate::budget::{Backlog, Connection};
use crate::gateway::UnreadHead;
use crate::upstream::InterimResponses;

/// The state of one client connection, shared by [`super::strict::StrictHttp1`] and the service.
#[derive(Debug)]
pub(super) struct ConnectionState {
    account: Arc<Connection>,
    /// What is on its way to the client.
    backlog: Backlog,
    /// Whether that is a response of our own.
    is_own: AtomicBool,
    interim: Arc<InterimResponses>,
    is_tunnel: AtomicBool,
    refused: Mutex<Option<UnreadHead>>,
    waiting: Mutex<Option<Waker>>,
}

impl ConnectionState {
    /// A connection that was just accepted.
    pub(super) fn new(account: Arc<Connection>) -> Self {
        Self {
            backlog: Backlog::new(account.clone()),
            account,
            is_own: AtomicBool::new(false),
            interim: Arc::default(),
            is_tunnel: AtomicBool::new(false),
            refused: Mutex::new(None),
            waiting: Mutex::new(None),
        }
    }

    /// The connection's part of the budget.
    pub(super) fn account(&self) -> &Arc<Connection> {
        &self.account
    }

    /// What is on its way to the client.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// A whole head was handed on.
    pub(super) fn head_is_read(&self) {
        self.account.request_begins();
    }

    /// Interim responses that wait to be written.
    pub(super) fn interim(&self) -> &Arc<InterimResponses> {
        &self.interim
    }

    /// A final response begins, which may be one of our own.
    pub(super) fn answers(&self, is_own: bool) {
        self.interim.discard();
        self.is_own.store(is_own, Ordering::Relaxed);
    }

    /// Whether the last response that began is one of our own.
    pub(super) fn is_own(&self) -> bool {
        self.is_own.load(Ordering::Relaxed)
    }

    /// An answer has ended.
    pub(super) fn is_answered(&self) {
        self.account.request_ends();
        self.wake();
    }

    /// From here on both directions are another protocol's: nothing is judged or held back any
    /// more, and what was held back is given out first.
    pub(super) fn becomes_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// See [`Self::becomes_tunnel`].
    pub(super) fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    /// Since when the connection has had nothing to answer.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.account.waits_since()
    }

    /// Wakes a task when an answer ends or a tunnel begins.
    pub(super) fn wake_later(&self, waker: &Waker) {
        *lock(&self.waiting) = Some(waker.clone());
    }

    /// A head was refused; a placeholder is on its way to the service in its stead.
    pub(super) fn refuse(&self, head: UnreadHead) {
        *lock(&self.refused) = Some(head);
    }

    /// What the placeholder stands for.
    pub(super) fn take_refused(&self) -> Option<UnreadHead> {
        lock(&self.refused).take()
    }

    fn wake(&self) {
        if let Some(waker) = lock(&self.waiting).take() {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
