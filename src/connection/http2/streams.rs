//! Idle and stall timeouts of an HTTP/2 connection, from the state of its streams.
//!
//! 1. The first request has to arrive within the header timeout. Otherwise the connection is closed.
//! 2. A connection without requests, or with a response that the client does not read, gets GOAWAY after its timeout.
//! 3. After GOAWAY, an unverified client's connection is closed at the next check. Otherwise it is closed once no
//!    response makes progress.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::budget::Connection;
use crate::connection::settings::Times;

/// How long requests in progress may take to end after GOAWAY before the connection is checked again.
pub(super) const GOAWAY_TIME: Duration = Duration::from_secs(10);
/// The same, for a client that has shown no verified token.
const UNVERIFIED_GOAWAY_TIME: Duration = Duration::from_secs(2);

/// The open streams of one connection.
#[derive(Debug)]
pub(super) struct Streams {
    account: Arc<Connection>,
    started: Instant,
    /// Whether a request has arrived.
    has_request: AtomicBool,
    /// Wakes [`Self::first_request`].
    first_request: Notify,
    /// When the last request ended, in milliseconds since `started`.
    last_ended: AtomicU64,
    /// When the client last sent anything, in the same way.
    last_received: AtomicU64,
    open: Mutex<Vec<Arc<ClientWait>>>,
}

/// Whether a stream waits for its client to read.
#[derive(Debug)]
struct ClientWait {
    /// Since when, in milliseconds since the connection's start; or [`NOT_WAITING`].
    since: AtomicU64,
    /// Whether the proxy generated the response.
    is_own: AtomicBool,
}

const NOT_WAITING: u64 = u64::MAX;

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    Keep,
    GoAway,
    Close,
}

impl Streams {
    pub(super) fn new(account: Arc<Connection>) -> Self {
        Self {
            account,
            started: Instant::now(),
            has_request: AtomicBool::new(false),
            first_request: Notify::new(),
            last_ended: AtomicU64::new(0),
            last_received: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    pub(super) fn begin(self: &Arc<Self>) -> Stream {
        if !self.has_request.swap(true, Ordering::Relaxed) {
            self.first_request.notify_one();
        }
        self.account.request_begins();
        let waiting =
            Arc::new(ClientWait { since: AtomicU64::new(NOT_WAITING), is_own: AtomicBool::new(false) });
        self.open().push(waiting.clone());
        Stream { waiting, streams: self.clone() }
    }

    /// The connection's part of the budget.
    pub(super) fn account(&self) -> &Arc<Connection> {
        &self.account
    }

    /// Records that the client has sent something.
    pub(super) fn received(&self) {
        self.last_received.store(self.now(), Ordering::Relaxed);
    }

    /// When the client last sent anything.
    pub(super) fn last_received(&self) -> Instant {
        self.started + Duration::from_millis(self.last_received.load(Ordering::Relaxed))
    }

    /// Resolves when a request has arrived.
    pub(super) async fn first_request(&self) {
        self.first_request.notified().await;
    }

    /// When to call [`Self::check`] next.
    pub(super) fn next_check(&self, times: &Times) -> Instant {
        if !self.has_request.load(Ordering::Relaxed) {
            return self.started + times.head;
        }
        let shortest = times.response(&self.account, true).min(times.idle(&self.account));
        Instant::now() + (shortest / 4).max(Duration::from_millis(10))
    }

    /// How long requests in progress may take to end after GOAWAY.
    pub(super) fn goaway_time(&self) -> Duration {
        if self.account.is_trusted() { GOAWAY_TIME } else { UNVERIFIED_GOAWAY_TIME }
    }

    /// Applies the timeouts, as the module describes. `going_away` says whether GOAWAY was sent.
    pub(super) fn check(&self, times: &Times, going_away: bool) -> Liveness {
        let now = self.now();
        if !self.has_request.load(Ordering::Relaxed) {
            let late = now >= millis(times.head);
            return if late { Liveness::Close } else { Liveness::Keep };
        }
        let open = self.open();
        let stalled = |waiting: &Arc<ClientWait>| {
            let since = waiting.since.load(Ordering::Relaxed);
            let limit = times.response(&self.account, waiting.is_own.load(Ordering::Relaxed));
            since != NOT_WAITING && now.saturating_sub(since) >= millis(limit)
        };
        let idle_for = now.saturating_sub(self.last_ended.load(Ordering::Relaxed));
        let idle = open.is_empty() && idle_for >= millis(times.idle(&self.account));
        if going_away {
            // Responses that make progress may end, if the client has shown a verified token.
            let close = !self.account.is_trusted() || open.iter().all(stalled);
            return if close { Liveness::Close } else { Liveness::Keep };
        }
        if idle || open.iter().any(stalled) { Liveness::GoAway } else { Liveness::Keep }
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<ClientWait>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One request, until its response has ended.
pub(super) struct Stream {
    waiting: Arc<ClientWait>,
    streams: Arc<Streams>,
}

impl Stream {
    /// Records that its response begins. `is_own` means that the proxy generated it.
    pub(super) fn responds(&self, is_own: bool) {
        self.waiting.is_own.store(is_own, Ordering::Relaxed);
    }

    /// Records that its response waits until the client's window has room.
    pub(super) fn waits_for_client(&self) {
        if self.waiting.since.load(Ordering::Relaxed) == NOT_WAITING {
            self.waiting.since.store(self.streams.now(), Ordering::Relaxed);
        }
    }

    /// Records that the client's window has taken a part of its response.
    pub(super) fn progresses(&self) {
        self.waiting.since.store(NOT_WAITING, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A panic here is one of this stream's task. tokio catches it, and the other streams continue.
        if thread::panicking() {
            self.streams.account.metrics().panics.inc();
        }
        self.streams.open().retain(|waiting| !Arc::ptr_eq(waiting, &self.waiting));
        self.streams.last_ended.store(self.streams.now(), Ordering::Relaxed);
        self.streams.account.request_ends();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::unlimited_account;
    use crate::connection::settings::IDLE_TIMEOUT;
    use tokio::time::advance;

    const HEAD: Duration = Duration::from_secs(10);
    const STALL: Duration = Duration::from_secs(60);
    const UNVERIFIED: Duration = Duration::from_secs(15);

    fn settings() -> Times {
        Times { head: HEAD, stall: STALL, unverified: UNVERIFIED }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_has_the_header_timeout_and_later_ones_the_idle_timeout() {
        let (streams, settings) = (Arc::new(Streams::new(unlimited_account(None))), settings());
        assert_eq!(streams.next_check(&settings), Instant::now() + HEAD);
        advance(HEAD - Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Liveness::Keep);
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Liveness::Close);
        let stream = streams.begin();
        assert_eq!(streams.check(&settings, false), Liveness::Keep);
        drop(stream);
        advance(IDLE_TIMEOUT - Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Liveness::Keep, "between requests, the idle timeout");
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Liveness::GoAway);
        assert_eq!(streams.check(&settings, true), Liveness::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_response_causes_goaway_and_a_moving_one_delays_the_close() {
        let (streams, settings) = (Arc::new(Streams::new(unlimited_account(None))), settings());
        let (unread, moving) = (streams.begin(), streams.begin());
        unread.waiting.since.store(streams.now(), Ordering::Relaxed);
        advance(STALL - Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Liveness::Keep);
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Liveness::GoAway);
        assert_eq!(streams.check(&settings, true), Liveness::Keep, "the other one still moves");
        drop(moving);
        assert_eq!(streams.check(&settings, true), Liveness::Close);
        unread.waiting.since.store(NOT_WAITING, Ordering::Relaxed);
        assert_eq!(streams.check(&settings, true), Liveness::Keep, "it waits for the backend");
        drop(unread);
        assert!(streams.open().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn unverified_clients_and_generated_responses_have_shorter_timeouts() {
        let account = unlimited_account(Some([192, 0, 2, 1].into()));
        let (streams, settings) = (Arc::new(Streams::new(account)), settings());
        let (unread, moving) = (streams.begin(), streams.begin());
        unread.waiting.since.store(streams.now(), Ordering::Relaxed);
        assert!(streams.next_check(&settings) <= Instant::now() + Duration::from_secs(2));
        advance(UNVERIFIED - Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Liveness::Keep);
        unread.waiting.is_own.store(true, Ordering::Relaxed);
        assert_eq!(streams.check(&settings, false), Liveness::GoAway);
        assert_eq!(
            streams.check(&settings, true),
            Liveness::Close,
            "even if another response makes progress"
        );
        drop(unread);
        drop(moving);
        advance(UNVERIFIED).await;
        assert_eq!(streams.check(&settings, false), Liveness::GoAway, "idle");
    }
}
