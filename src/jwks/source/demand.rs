//! Fetch attempts on behalf of requests.

use std::sync::Arc;

use tokio::time::Instant;

use super::{AttemptWait, Demand, Source};

impl Source {
    /// The number of the first attempt that begins after this call.
    pub(in crate::jwks) fn next_attempt(&self) -> u64 {
        let _state = self.state();
        self.attempts.borrow().started + 1
    }

    /// Requests the attempt `number` as soon as the rate limit permits one. The caller waits for what is returned,
    /// then calls again.
    pub(in crate::jwks) fn demand(self: &Arc<Self>, number: u64) -> Demand {
        let (mut state, now) = (self.state(), Instant::now());
        let attempts = *self.attempts.borrow();
        if attempts.finished >= number {
            return Demand::Ended;
        }
        if attempts.started > attempts.finished {
            return Demand::Running(self.end_of(attempts.started));
        }
        if !state.requested && state.next > now {
            let cooldown = self.settings.load().unknown_key_cooldown;
            if let Err(at) = state.allowance.take(now, cooldown) {
                return Demand::NotBefore(at.min(state.next));
            }
            state.requested = true;
            drop(state);
            self.wake.notify_one();
        }
        Demand::Running(self.end_of(attempts.started + 1))
    }

    /// Whether the last attempt failed.
    pub(in crate::jwks) fn is_failing(&self) -> bool {
        self.state().failure.is_some()
    }

    pub(super) fn end_of(&self, number: u64) -> AttemptWait {
        AttemptWait { attempts: self.attempts.subscribe(), number }
    }
}
