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
    /// While it is unreachable.
    down: Mutex<Option<Down>>,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    /// How the last attempt failed.
    cause: Box<str>,
}

impl Reachability {
    /// The state at the start.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        metrics.upstream_up.set(1);
        Arc::new(Self { metrics, down: Mutex::default() })
    }

    /// The backend could not be reached.
    pub(super) fn failed(&self, cause: &str) {
        if self.goes_down(Instant::now(), cause) {
            tracing::warn!(cause, "the backend is unreachable");
        }
    }

    /// How the last attempt to open a connection failed; `None` while the backend is reachable.
    pub fn cause(&self) -> Option<String> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.as_ref().map(|down| down.cause.to_string())
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
    fn goes_down(&self, now: Instant, cause: &str) -> bool {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *down {
            Some(down) if *down.cause == *cause => false,
            Some(down) => {
                down.cause = cause.into();
                false
            }
            None => {
                *down = Some(Down { since: now, cause: cause.into() });
                self.metrics.upstream_up.set(0);
                true
            }
        }
    }

    /// Returns how long the backend was unreachable, if this changes the state.
    fn comes_up(&self, now: Instant) -> Option<Duration> {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let time = now.saturating_duration_since(down.as_ref()?.since);
        if time < MIN_DOWN {
            return None;
        }
        *down = None;
        self.metrics.upstream_up.set(1);
        Some(time)
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
        assert!(reachability.goes_down(start, "refused"));
        assert_eq!(reachability.cause().as_deref(), Some("refused"));
        assert!(!reachability.is_up());
        assert!(!reachability.goes_down(start + second, "no route"), "a second failure changes nothing");
        assert_eq!(reachability.cause().as_deref(), Some("no route"), "but its cause");
        assert_eq!(reachability.comes_up(start + second / 2), None, "a connection that was open before");
        assert!(!reachability.is_up());
        assert_eq!(reachability.comes_up(start + 90 * second), Some(90 * second));
        assert_eq!(reachability.comes_up(start + 90 * second), None);
        assert!(reachability.is_up());
        assert_eq!(reachability.cause(), None);
        assert!(reachability.goes_down(start + 91 * second, "refused"), "and down again");
    }
}
