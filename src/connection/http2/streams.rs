//! The streams of one connection: how long it may go on as its client behaves.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::settings::PIECE_BYTES;
use crate::budget::Connection;
use crate::connection::settings::Times;
use crate::respond::ObservedBody;

/// For what runs to end once the client was told to go.
pub(super) const GOING_TIME: Duration = Duration::from_secs(10);
/// The same, for one that has shown no verified token.
const UNVERIFIED_GOING_TIME: Duration = Duration::from_secs(2);

/// The requests on one connection, as far as their client is waited for.
pub(super) struct Streams {
    account: Arc<Connection>,
    started: Instant,
    served: AtomicBool,
    /// Milliseconds from the start to the end of the last request.
    ended: AtomicU64,
    open: Mutex<Vec<Arc<Waiting>>>,
}

/// What the client was given and has not taken.
#[derive(Debug)]
struct Waiting {
    /// Milliseconds from the connection's start to when it was given.
    since: AtomicU64,
    /// Whether it is a response of our own.
    is_own: AtomicBool,
}

/// It waits for nothing.
const NOT: u64 = u64::MAX;

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    GoAway,
    Close,
}

impl Streams {
    pub(super) fn new(account: Arc<Connection>) -> Self {
        Self {
            account,
            started: Instant::now(),
            served: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    pub(super) fn begin(self: &Arc<Self>) -> Stream {
        self.served.store(true, Ordering::Relaxed);
        self.account.request_begins();
        let waiting = Arc::new(Waiting { since: AtomicU64::new(NOT), is_own: AtomicBool::new(false) });
        self.open().push(waiting.clone());
        Stream { waiting, streams: self.clone() }
    }

    pub(super) fn next_look(&self, times: &Times) -> Instant {
        if !self.served.load(Ordering::Relaxed) {
            return self.started + times.head;
        }
        let shortest = times.response(&self.account, true).min(times.idle(&self.account));
        Instant::now() + (shortest / 4).max(Duration::from_millis(10))
    }

    /// How long what runs may take once the client was told to go.
    pub(super) fn going_time(&self) -> Duration {
        if self.account.is_trusted() { GOING_TIME } else { UNVERIFIED_GOING_TIME }
    }

    /// A client has the time of a head to send its first request. Later it may be idle for long,
    /// or leave an answer unread for a while; then it is told to go, and cut off when nothing moves.
    pub(super) fn check(&self, times: &Times, going: bool) -> Verdict {
        let now = self.now();
        if !self.served.load(Ordering::Relaxed) {
            let late = now >= millis(times.head);
            return if late { Verdict::Close } else { Verdict::GoOn };
        }
        let open = self.open();
        let stalled = |waiting: &Arc<Waiting>| {
            let since = waiting.since.load(Ordering::Relaxed);
            let limit = times.response(&self.account, waiting.is_own.load(Ordering::Relaxed));
            since != NOT && now.saturating_sub(since) >= millis(limit)
        };
        let idle_for = now.saturating_sub(self.ended.load(Ordering::Relaxed));
        let idle = open.is_empty() && idle_for >= millis(times.idle(&self.account));
        match going {
            // Those that move may end in their own time, if it is known whose they are.
            true if !self.account.is_trusted() || open.iter().all(stalled) => Verdict::Close,
            true => Verdict::GoOn,
            false if idle || open.iter().any(stalled) => Verdict::GoAway,
            false => Verdict::GoOn,
        }
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<Waiting>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One request, until its answer has ended.
pub(super) struct Stream {
    waiting: Arc<Waiting>,
    streams: Arc<Streams>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.open().retain(|waiting| !Arc::ptr_eq(waiting, &self.waiting));
        self.streams.ended.store(self.streams.now(), Ordering::Relaxed);
        self.streams.account.request_ends();
    }
}

/// An answer's body, with the time since its client has taken something.
pub(super) struct StreamBody {
    body: ObservedBody,
    /// What is left of the last piece.
    rest: Bytes,
    stream: Stream,
}

impl StreamBody {
    pub(super) fn new(body: ObservedBody, stream: Stream) -> Self {
        // hyper asks for the first frame only when there is a window for it: until then the client
        // keeps the head waiting.
        stream.waiting.is_own.store(body.is_own(), Ordering::Relaxed);
        stream.waiting.since.store(stream.streams.now(), Ordering::Relaxed);
        Self { body, rest: Bytes::new(), stream }
    }

    /// Goes on with the last piece, or cuts the next one: h2 buffers all of what it is given.
    fn next_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let frame = this.next_piece(cx);
        // hyper asks for the next frame when the client's window has taken this one.
        let since = if frame.is_ready() { this.stream.streams.now() } else { NOT };
        this.stream.waiting.since.store(since, Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut whole = SizeHint::new();
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(rest));
        }
        whole.set_lower(hint.lower().saturating_add(rest));
        whole
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
    async fn the_first_request_has_the_time_of_a_head() {
        let (streams, settings) = (Arc::new(Streams::new(unlimited_account(None))), settings());
        assert_eq!(streams.next_look(&settings), Instant::now() + HEAD);
        advance(HEAD - Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Verdict::GoOn);
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Verdict::Close);
        let stream = streams.begin();
        assert_eq!(streams.check(&settings, false), Verdict::GoOn);
        drop(stream);
        advance(IDLE_TIMEOUT - Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Verdict::GoOn, "between requests there is more");
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Verdict::GoAway);
        assert_eq!(streams.check(&settings, true), Verdict::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_told_to_go_and_holds_up_nobody() {
        let (streams, settings) = (Arc::new(Streams::new(unlimited_account(None))), settings());
        let (unread, moving) = (streams.begin(), streams.begin());
        unread.waiting.since.store(streams.now(), Ordering::Relaxed);
        advance(STALL - Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Verdict::GoOn);
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Verdict::GoAway);
        assert_eq!(streams.check(&settings, true), Verdict::GoOn, "the other one still moves");
        drop(moving);
        assert_eq!(streams.check(&settings, true), Verdict::Close);
        unread.waiting.since.store(NOT, Ordering::Relaxed);
        assert_eq!(streams.check(&settings, true), Verdict::GoOn, "it waits for the backend");
        drop(unread);
        assert!(streams.open().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unverified_client_has_little_time_and_a_response_of_our_own_less() {
        let account = unlimited_account(Some([192, 0, 2, 1].into()));
        let (streams, settings) = (Arc::new(Streams::new(account)), settings());
        let (unread, moving) = (streams.begin(), streams.begin());
        unread.waiting.since.store(streams.now(), Ordering::Relaxed);
        assert!(streams.next_look(&settings) <= Instant::now() + Duration::from_secs(2));
        advance(UNVERIFIED - Duration::from_millis(1)).await;
        assert_eq!(streams.check(&settings, false), Verdict::GoOn);
        unread.waiting.is_own.store(true, Ordering::Relaxed);
        assert_eq!(streams.check(&settings, false), Verdict::GoAway);
        assert_eq!(streams.check(&settings, true), Verdict::Close, "whatever else moves");
        drop(unread);
        drop(moving);
        advance(UNVERIFIED).await;
        assert_eq!(streams.check(&settings, false), Verdict::GoAway, "idle");
    }
}
