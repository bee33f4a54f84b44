//! How long a backend keeps an idle connection open, learned from when it closes them.

use std::time::Duration;

/// How many connections in a row must outlive the learned limit before it is raised.
const SURVIVORS: u8 = 3;

/// For how long an idle connection of one address may still be used.
///
/// A backend that closes an idle connection while a request is on its way loses that request, and only an idempotent one
/// may be sent again. So a connection is used only until a margin before the time at which others were closed. It stays
/// open for up to the configured time all the same: if it is not closed, the limit was too low (a backend that restarts
/// closes connections that were idle for any time), and is raised again.
///
/// All times are lengths; the caller has the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    max: Duration,
    limit: Duration,
    survivors: u8,
}

impl KeepAlive {
    /// Nothing is known yet. `max` is the configured time (`upstream.keepAlive`).
    pub const fn new(max: Duration) -> Self {
        Self { max, limit: max, survivors: 0 }
    }

    /// A connection may be used if it was idle for less than this.
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// The backend closed a connection that was idle for this time, or a request on it got no response.
    pub fn closed(&mut self, idle: Duration) {
        self.limit = self.limit.min(before(idle));
        self.survivors = 0;
    }

    /// A connection was still open after it was idle for this time.
    pub fn survived(&mut self, idle: Duration) {
        let proven = if idle >= self.max { self.max } else { before(idle) };
        if proven <= self.limit {
            return;
        }
        self.survivors += 1;
        if self.survivors == SURVIVORS {
            (self.limit, self.survivors) = (proven, 0);
        }
    }
}

/// A second or a tenth before this time, whichever is earlier.
fn before(idle: Duration) -> Duration {
    idle.saturating_sub((idle / 10).max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_connection_is_used_only_until_before_others_were_closed() {
        for (closed, limit) in [(60, 20), (30, 20), (20, 18), (10, 9), (5, 4), (2, 1), (1, 0), (0, 0)] {
            let mut learned = KeepAlive::new(secs(20));
            assert_eq!(learned.limit(), secs(20));
            learned.closed(secs(closed));
            assert_eq!(learned.limit(), secs(limit), "{closed}");
            learned.closed(secs(closed + 7));
            assert_eq!(learned.limit(), secs(limit), "a later end changes nothing");
        }
    }

    #[test]
    fn the_limit_is_raised_only_once_several_connections_in_a_row_outlived_it() {
        let mut learned = KeepAlive::new(secs(20));
        learned.closed(secs(5));
        for _ in 0..10 {
            learned.survived(secs(20));
            learned.survived(secs(20));
            assert_eq!(learned.limit(), secs(4));
            learned.closed(secs(5));
        }
        for _ in 0..20 {
            learned.survived(secs(4));
            assert_eq!(learned.limit(), secs(4), "that proves nothing");
        }
        for _ in 0..3 {
            learned.survived(secs(12));
        }
        assert_eq!(learned.limit(), Duration::from_millis(10_800));
        for _ in 0..3 {
            learned.survived(secs(20));
        }
        assert_eq!(learned.limit(), secs(20));
    }
}
