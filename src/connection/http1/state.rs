//! State shared by the stream that validates heads and the service that responds to them.

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
    /// Response bytes that are not written yet.
    backlog: Backlog,
    /// Whether the proxy generated the current response.
    is_own: AtomicBool,
    interim: Arc<InterimResponses>,
    is_tunnel: AtomicBool,
    refused: Mutex<Option<UnreadHead>>,
    waker: Mutex<Option<Waker>>,
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
            waker: Mutex::new(None),
        }
    }

    /// The connection's account in the budget.
    pub(super) fn account(&self) -> &Arc<Connection> {
        &self.account
    }

    /// Response bytes that are not written yet.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// A complete head, or a placeholder, was passed to hyper.
    pub(super) fn request_begins(&self) {
        self.account.request_begins();
    }

    /// Interim responses that wait to be written.
    pub(super) fn interim(&self) -> &Arc<InterimResponses> {
        &self.interim
    }

    /// A final response begins. `is_own` means that the proxy generated it.
    pub(super) fn response_begins(&self, is_own: bool) {
        self.interim.discard();
        self.is_own.store(is_own, Ordering::Relaxed);
    }

    /// Whether the proxy generated the last response that began.
    pub(super) fn is_own(&self) -> bool {
        self.is_own.load(Ordering::Relaxed)
    }

    /// The response has ended.
    pub(super) fn response_ends(&self) {
        self.account.request_ends();
        self.wake();
    }

    /// Both directions now carry another protocol. Nothing is validated or held back any more; bytes that were held
    /// back are passed on first.
    pub(super) fn start_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// See [`Self::start_tunnel`].
    pub(super) fn is_tunnel(&self) -> bool {
        self.is_tunnel.load(Ordering::Relaxed)
    }

    /// Since when no request has been in progress; `None` if one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.account.idle_since()
    }

    /// Sets the task to wake when a response ends or a tunnel starts.
    pub(super) fn set_waker(&self, waker: &Waker) {
        *lock(&self.waker) = Some(waker.clone());
    }

    /// Keeps a refused head until the service gets its placeholder.
    pub(super) fn refuse(&self, head: UnreadHead) {
        *lock(&self.refused) = Some(head);
    }

    /// The refused head that the placeholder stands for.
    pub(super) fn take_refused(&self) -> Option<UnreadHead> {
        lock(&self.refused).take()
    }

    fn wake(&self) {
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
