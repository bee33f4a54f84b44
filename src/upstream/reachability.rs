//! Whether the backend can be reached, as the requests find out: one warning for each change, and a metric.
//!
//! The process has one state, whichever worker and whatever configuration a request used. It changes when no connection
//! can be opened, and when the backend responds again. While the backend is reachable, a response costs one read of an
//! atomic number. The lock is taken only while it is not.
//!
//! With a backend of which only some connections fail, every request could change the state. So a failure counts for
//! [`MIN_DOWN`], whatever other requests find.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::Metrics;

/// How long the backend counts as unreachable at least. This bounds how often a change is logged.
const MIN_DOWN: Duration = Duration::from_secs(1);

/// Whether the backend can be reached. It is assumed to be at the start.
#[derive(Debug)]
pub struct Reachability {
    metrics: Arc<Metrics>,
    /// When it became unreachable, if it is.
    since: Mutex<Option<Instant>>,
}

impl Reachability {
    /// The state at the start.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        metrics.upstream_up.set(1);
        Arc::new(Self { metrics, since: Mutex::default() })
    }

    /// The backend could not be reached.
    pub(super) fn failed(&self, cause: &str) {
        if self.goes_down(Instant::now()) {
            tracing::warn!(cause, "the backend is unreachable");
        }
    }

    /// The backend has responded.
    pub(super) fn responded(&self) {
        if !self.is_up() {
            self.recovered();
        }
    }

    #[cold]
    fn recovered(&self) {
        if let Some(down) = self.comes_up(Instant::now()) {
            tracing::warn!(down_secs = down.as_secs(), "the backend is reachable again");
        }
    }

    fn is_up(&self) -> bool {
        self.metrics.upstream_up.get() == 1
    }

    /// Returns whether this changes the state.
    fn goes_down(&self, now: Instant) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = since.is_none();
        if changes {
            *since = Some(now);
            self.metrics.upstream_up.set(0);
        }
        changes
    }

    /// Returns how long the backend was unreachable, if this changes the state.
    fn comes_up(&self, now: Instant) -> Option<Duration> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let down =
            since.map(|since| now.saturating_duration_since(since)).filter(|down| *down >= MIN_DOWN)?;
        *since = None;
        self.metrics.upstream_up.set(1);
        Some(down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_reported_once_and_a_failure_counts_for_a_second() {
        let reachability = Reachability::new(Arc::default());
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        assert!(reachability.is_up());
        assert_eq!(reachability.comes_up(start), None, "it never was down");
        assert!(reachability.goes_down(start));
        assert!(!reachability.is_up());
        assert!(!reachability.goes_down(start + second), "a second failure changes nothing");
        assert_eq!(reachability.comes_up(start + second / 2), None, "a connection that was open before");
        assert!(!reachability.is_up());
        assert_eq!(reachability.comes_up(start + 90 * second), Some(90 * second));
        assert_eq!(reachability.comes_up(start + 90 * second), None);
        assert!(reachability.is_up());
        assert!(reachability.goes_down(start + 91 * second), "and down again");
    }
}
