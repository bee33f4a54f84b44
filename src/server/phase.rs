//! What the two ends of a client connection know of each other: the stream that judges heads, and
//! the service that answers them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::gateway::UnreadHead;

/// The state of one client connection, shared by [`super::intake::Intake`] and the service.
#[derive(Debug)]
pub(super) struct Phase {
    opened: Instant,
    /// Heads handed on whose answers have not ended.
    unanswered: AtomicU64,
    /// When the last answer ended, in milliseconds since `opened`.
    answered: AtomicU64,
    is_tunnel: AtomicBool,
    refused: Mutex<Option<UnreadHead>>,
    waiting: Mutex<Option<Waker>>,
}

impl Phase {
    /// A connection that was just accepted.
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            unanswered: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            is_tunnel: AtomicBool::new(false),
            refused: Mutex::new(None),
            waiting: Mutex::new(None),
        }
    }

    /// A whole head was handed on.
    pub(super) fn head_is_read(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// An answer has ended.
    pub(super) fn is_answered(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.answered.store(now, Ordering::Relaxed);
        // One of the two ends calls this, and the other only reads it.
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
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
        let idle = self.unanswered.load(Ordering::Relaxed) == 0;
        idle.then(|| self.opened + Duration::from_millis(self.answered.load(Ordering::Relaxed)))
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
