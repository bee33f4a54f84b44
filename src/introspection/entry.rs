//! What is known of one token, and the question about it. There is one question at a time.

use std::pin::pin;
use std::sync::{Arc, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{INTERVAL, RETRY};
use crate::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
mod models;

/// What is known of one token.
#[derive(Default)]
pub(super) struct Entry {
    state: Mutex<State>,
    /// Notified after each question.
    done: Notify,
}

#[derive(Default)]
struct State {
    /// Whether OpenMetadata accepts it; `None` before its first answer.
    active: Option<bool>,
    /// When to ask again; `None` before the first question.
    due: Option<Instant>,
    is_asked: bool,
}

/// A question that is under way. It ends when it is dropped, so also if its task panics.
pub(super) struct Question(Arc<Entry>);

impl Entry {
    /// What OpenMetadata has said of it.
    pub(super) fn active(&self) -> Option<bool> {
        self.lock().active
    }

    /// Begins a question, if it is time for one and none is under way.
    pub(super) fn begin(self: &Arc<Self>, now: Instant) -> Option<Question> {
        let mut state = self.lock();
        if state.is_asked || state.due.is_some_and(|due| due > now) {
            return None;
        }
        state.is_asked = true;
        Some(Question(self.clone()))
    }

    /// Calls `ask`, which may begin a question. Then waits for the end of the question that is under way, if the token has
    /// no answer yet and `waits` says so.
    pub(super) async fn first_answer(&self, ask: impl FnOnce(), waits: impl FnOnce() -> bool) {
        let mut done = pin!(self.done.notified());
        // From now on, so that an answer in between is not missed.
        done.as_mut().enable();
        ask();
        let is_unknown = {
            let state = self.lock();
            state.is_asked && state.active.is_none()
        };
        if is_unknown && waits() {
            done.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    /// `active` is `None` if OpenMetadata did not say whether it accepts the token.
    pub(super) fn answer(&self, active: Option<bool>, now: Instant) {
        let mut state = self.0.lock();
        state.active = active.or(state.active);
        state.due = Some(now + if active.is_some() { INTERVAL } else { RETRY });
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.lock().is_asked = false;
        self.0.done.notify_waiters();
    }
}

#[cfg(test)]
impl Entry {
    /// Makes it time for the next question.
    pub(super) fn make_due(&self, now: Instant) {
        self.lock().due = Some(now);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.lock().is_asked
    }

    /// Waits until no question is under way.
    pub(super) async fn settle(&self) {
        loop {
            let mut done = pin!(self.done.notified());
            done.as_mut().enable();
            if !self.lock().is_asked {
                return;
            }
            done.await;
        }
    }
}
