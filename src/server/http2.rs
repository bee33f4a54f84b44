//! One client connection that speaks HTTP/2.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::frame_budget::Budgeted;
use super::worker::{ConnectionSettings, IDLE_TIMEOUT, Times, WorkerContext};
use crate::gateway::{Peer, UnreadHead};
use crate::request::RequestFault;
use crate::respond::ObservedBody;

/// For what runs to end once the client was told to go.
const GOING_TIME: Duration = Duration::from_secs(10);

/// Serves it until it ends or is drained.
pub(super) async fn serve<S>(stream: S, peer: Peer, settings: &ConnectionSettings, context: &WorkerContext)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Streams::new());
    let cell = context.serving.clone();
    let (watched, header_count) = (streams.clone(), settings.header_count);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        // As it is now: the next request of a connection is judged by the configuration of its time.
        let serving = cell.load_full();
        let stream = watched.begin();
        async move {
            // hyper counts them over HTTP/1 alone.
            let answer = match request.headers().len() > header_count {
                true => Ok(serving.gateway.refuse_head(peer, &too_large(&request), true)),
                false => serving.gateway.serve(&serving.upstream, peer, request).await,
            };
            answer.map(|answer| answer.map(|body| StreamBody { body, stream }))
        }
    });
    let io = TokioIo::new(Budgeted::new(stream));
    let mut connection = pin!(settings.http2.serve_connection(io, service));
    let mut draining = false;
    // From when on it is closed if nothing moves: it was told to go.
    let mut going: Option<Instant> = None;
    loop {
        let look = going.unwrap_or_else(|| streams.next_look(&settings.times));
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a client connection ended");
                }
                return;
            }
            () = context.is_draining(), if !draining => {
                draining = true;
                // The end waits for no client that does not say that it has heard of it.
                going = going.or(Some(Instant::now() + GOING_TIME));
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(look) => match streams.judge(&settings.times, going.is_some()) {
                Verdict::GoOn => going = going.map(|_| Instant::now() + GOING_TIME),
                Verdict::GoAway => {
                    connection.as_mut().graceful_shutdown();
                    going = Some(Instant::now() + GOING_TIME);
                }
                Verdict::Close => {
                    tracing::debug!("a client connection is closed: nothing moves on it");
                    return;
                }
            }
        }
    }
}

fn too_large(request: &hyper::Request<Incoming>) -> UnreadHead {
    let (method, path) = (request.method().as_str(), request.uri().path());
    UnreadHead::new(RequestFault::HeadTooLarge, method.as_bytes(), path.as_bytes())
}

/// The requests on one connection, as far as their client is waited for.
struct Streams {
    started: Instant,
    served: AtomicBool,
    /// Milliseconds from the start to the end of the last request.
    ended: AtomicU64,
    open: Mutex<Vec<Arc<Waiting>>>,
}

/// Milliseconds from the connection's start to when the client was given what it has not taken.
#[derive(Debug)]
struct Waiting(AtomicU64);

/// It waits for nothing.
const NOT: u64 = u64::MAX;

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    GoOn,
    GoAway,
    Close,
}

impl Streams {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            served: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            open: Mutex::default(),
        }
    }

    fn begin(self: &Arc<Self>) -> Stream {
        self.served.store(true, Ordering::Relaxed);
        let waiting = Arc::new(Waiting(AtomicU64::new(NOT)));
        self.open().push(waiting.clone());
        Stream { waiting, streams: self.clone() }
    }

    fn next_look(&self, times: &Times) -> Instant {
        if !self.served.load(Ordering::Relaxed) {
            return self.started + times.head;
        }
        Instant::now() + (times.stall.min(IDLE_TIMEOUT) / 4).max(Duration::from_millis(10))
    }

    /// A client has the time of a head to send its first request. Later it may be idle for long,
    /// or leave an answer unread for a while; then it is told to go, and cut off when nothing moves.
    fn judge(&self, times: &Times, going: bool) -> Verdict {
        let now = self.now();
        if !self.served.load(Ordering::Relaxed) {
            let late = now >= millis(times.head);
            return if late { Verdict::Close } else { Verdict::GoOn };
        }
        let open = self.open();
        let stalled = |waiting: &Arc<Waiting>| {
            let since = waiting.0.load(Ordering::Relaxed);
            since != NOT && now.saturating_sub(since) >= millis(times.stall)
        };
        let idle_for = now.saturating_sub(self.ended.load(Ordering::Relaxed));
        let idle = open.is_empty() && idle_for >= millis(IDLE_TIMEOUT);
        match going {
            // Those that move may end in their own time.
            true if open.iter().all(stalled) => Verdict::Close,
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
struct Stream {
    waiting: Arc<Waiting>,
    streams: Arc<Streams>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.open().retain(|waiting| !Arc::ptr_eq(waiting, &self.waiting));
        self.streams.ended.store(self.streams.now(), Ordering::Relaxed);
    }
}

/// An answer's body, with the time since its client has taken something.
struct StreamBody {
    body: ObservedBody,
    stream: Stream,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        // hyper asks for the next frame when the client's window has taken this one.
        let since = if frame.is_ready() { this.stream.streams.now() } else { NOT };
        this.stream.waiting.0.store(since, Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const HEAD: Duration = Duration::from_secs(10);
    const STALL: Duration = Duration::from_secs(60);

    fn settings() -> Times {
        Times { head: HEAD, stall: STALL }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_has_the_time_of_a_head() {
        let (streams, settings) = (Arc::new(Streams::new()), settings());
        assert_eq!(streams.next_look(&settings), Instant::now() + HEAD);
        advance(HEAD - Duration::from_millis(1)).await;
        assert_eq!(streams.judge(&settings, false), Verdict::GoOn);
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.judge(&settings, false), Verdict::Close);
        let stream = streams.begin();
        assert_eq!(streams.judge(&settings, false), Verdict::GoOn);
        drop(stream);
        advance(IDLE_TIMEOUT - Duration::from_millis(1)).await;
        assert_eq!(streams.judge(&settings, false), Verdict::GoOn, "between requests there is more");
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.judge(&settings, false), Verdict::GoAway);
        assert_eq!(streams.judge(&settings, true), Verdict::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_told_to_go_and_holds_up_nobody() {
        let (streams, settings) = (Arc::new(Streams::new()), settings());
        let (unread, moving) = (streams.begin(), streams.begin());
        unread.waiting.0.store(streams.now(), Ordering::Relaxed);
        advance(STALL - Duration::from_millis(1)).await;
        assert_eq!(streams.judge(&settings, false), Verdict::GoOn);
        advance(Duration::from_millis(1)).await;
        assert_eq!(streams.judge(&settings, false), Verdict::GoAway);
        assert_eq!(streams.judge(&settings, true), Verdict::GoOn, "the other one still moves");
        drop(moving);
        assert_eq!(streams.judge(&settings, true), Verdict::Close);
        unread.waiting.0.store(NOT, Ordering::Relaxed);
        assert_eq!(streams.judge(&settings, true), Verdict::GoOn, "it waits for the backend");
        drop(unread);
        assert!(streams.open().is_empty());
    }
}
