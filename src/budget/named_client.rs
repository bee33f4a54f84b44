//! The client that a trusted proxy names in a request.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;

use super::client::Client;
use super::connection::{Connection, Scheduling};

/// The client whose request a task serves, on a connection of a trusted proxy, which has no client of its own. In the
/// meantime, until a verified token was shown, the task takes the turns of that client.
///
/// A task that serves a connection with a client of its own never has a named one.
#[derive(Debug, Default)]
pub struct NamedClient {
    /// The number of the client, or 0.
    number: AtomicU64,
    /// Whether the request waits for its first turn.
    is_new: AtomicBool,
}

impl NamedClient {
    pub(super) fn set(&self, client: &Client) {
        self.number.store(client.number(), Ordering::Relaxed);
        self.is_new.store(true, Ordering::Relaxed);
    }

    /// Ends the turns: the request has shown a verified token, or its response has ended.
    pub fn clear(&self) {
        self.number.store(0, Ordering::Relaxed);
    }

    /// Waits until the client has a turn, because the task read the head of this request in no turn of the client. Only
    /// the first call for each request waits.
    pub async fn first_turn(&self, account: &Connection) {
        let Scheduling::TakesTurns(turns, _) = self.scheduling(account) else { return };
        if self.is_new.load(Ordering::Relaxed) {
            self.is_new.store(false, Ordering::Relaxed);
            if !turns.try_take() {
                // When the task is polled again, it waits for its turn.
                yield_once().await;
            }
        }
    }

    pub(super) fn scheduling<'a>(&self, account: &'a Connection) -> Scheduling<'a> {
        match self.number.load(Ordering::Relaxed) {
            0 => Scheduling::Free,
            number => account.scheduling_of(number),
        }
    }
}

/// For another task that serves the same request. It needs no first turn.
impl Clone for NamedClient {
    fn clone(&self) -> Self {
        Self { number: AtomicU64::new(self.number.load(Ordering::Relaxed)), is_new: AtomicBool::new(false) }
    }
}

/// Yields once. The task is polled again after all tasks that are ready now.
pub(super) async fn yield_once() {
    let mut was_polled = false;
    poll_fn(|cx| {
        if was_polled {
            return Poll::Ready(());
        }
        was_polled = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
