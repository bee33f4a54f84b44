//! HTTP/2 connections to the backend: a few for each worker, shared by its requests.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use http::header::{HOST, HeaderValue, TE};
use http::uri::{Authority, Parts, Scheme};
use http::{Request, Uri, Version};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::lease::Lease;
use super::limit::{ConnectionLimit, MakesRoom, Waiters};
use super::{RequestBody, open_error};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, MutexGuard, task};

/// The most streams on one connection, even if the backend allows more. Few in a model, so that they are soon used up.
pub(super) const MAX_STREAMS: usize = if cfg!(shuttle) { 3 } else { 100 };
const STREAM_WINDOW: u32 = 64 * 1024;
/// Room for the window of every stream, so that a client that does not read does not block others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;
/// The largest head of a response.
const MAX_HEAD_BYTES: u32 = 64 * 1024;
/// How much of a request's body is buffered.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How often a connection with open streams is checked with a PING.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// One worker's HTTP/2 connections.
pub(super) struct Http2Pool {
    connections: Mutex<Vec<Shared>>,
    /// How long a connection without requests is used at most.
    keep_alive: Duration,
    limit: Option<Arc<ConnectionLimit>>,
    waiters: Arc<Waiters>,
    /// For the streams.
    own: Weak<Self>,
}

struct Shared {
    /// The index of the URL that it leads to.
    endpoint: usize,
    sender: SendRequest<RequestBody>,
    open: Arc<AtomicUsize>,
    /// How many streams the backend allows.
    allowed: Arc<AtomicUsize>,
    used: Instant,
}

/// The right to one request on a connection.
pub(super) struct Http2Stream {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) slot: Slot,
    /// The index of the URL that it leads to.
    pub(super) endpoint: usize,
}

/// Counts one stream of a connection until it is dropped.
pub(super) struct Slot {
    open: Arc<AtomicUsize>,
    pool: Weak<Http2Pool>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let is_idle = self.open.fetch_sub(1, Ordering::SeqCst) == 1;
        if let Some(pool) = self.pool.upgrade() {
            pool.freed(is_idle);
        }
    }
}

impl Http2Pool {
    /// Empty. Its connections count against `limit`.
    pub(super) fn new(
        keep_alive: Duration,
        limit: Option<Arc<ConnectionLimit>>,
        waiters: Arc<Waiters>,
    ) -> Arc<Self> {
        let connections = Mutex::default();
        let pool = Arc::new_cyclic(|own| Self { connections, keep_alive, limit, waiters, own: own.clone() });
        if let Some(limit) = &pool.limit {
            limit.add(pool.own.clone());
        }
        pool
    }

    /// A stream on a connection that has room for it.
    pub(super) fn check_out(&self) -> Option<Http2Stream> {
        let now = Instant::now();
        let mut connections = self.without_expired(now);
        let free = connections.iter_mut().find(|connection| {
            let allowed = connection.allowed.load(Ordering::Relaxed).min(MAX_STREAMS);
            connection.open.load(Ordering::Relaxed) < allowed
        })?;
        free.used = now;
        Some(free.stream(&self.own))
    }

    /// A stream has ended, and perhaps the last one of its connection.
    fn freed(&self, is_idle: bool) {
        self.waiters.freed.notify_one();
        // Asked only now, so that a request that begins to wait sees the idle connection, or is seen here.
        if is_idle && self.limit.as_ref().is_some_and(|limit| !limit.keeps(&self.waiters)) {
            self.close_oldest();
        }
    }

    /// Closes the connections that were idle for too long: the backend is about to close them.
    pub(super) fn close_expired(&self, now: Instant) {
        drop(self.without_expired(now));
    }

    fn without_expired(&self, now: Instant) -> MutexGuard<'_, Vec<Shared>> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| {
            let idle =
                connection.open.load(Ordering::Relaxed) == 0 && connection.used + self.keep_alive <= now;
            !connection.sender.is_closed() && !idle
        });
        connections
    }

    /// Adds a new connection, and returns its first stream.
    pub(super) async fn start<S>(&self, stream: S, lease: Lease) -> io::Result<Http2Stream>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut builder = Builder::new(Tasks);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .initial_max_send_streams(MAX_STREAMS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let allowed = Arc::new(AtomicUsize::new(MAX_STREAMS));
        let (counted, endpoint) = (allowed.clone(), lease.endpoint());
        drop(task::spawn(async move {
            // Its place among the connections of the process, until it closes.
            let _lease = lease;
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                counted.store(connection.current_max_send_streams(), Ordering::Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        }));
        let shared = Shared { endpoint, sender, open: Arc::default(), allowed, used: Instant::now() };
        let first = shared.stream(&self.own);
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(shared);
        Ok(first)
    }
}

/// Runs the tasks of hyper. `TokioExecutor` would hide them from the model checker.
#[derive(Clone, Copy)]
struct Tasks;

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        drop(task::spawn(future));
    }
}

impl MakesRoom for Http2Pool {
    /// The connection gives up its place once its task has ended.
    fn close_oldest(&self) -> bool {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = connections.iter().enumerate();
        let idle = idle.filter(|(_, connection)| connection.open.load(Ordering::SeqCst) == 0);
        let oldest = idle.min_by_key(|(_, connection)| connection.used).map(|(at, _)| at);
        oldest.map(|at| connections.swap_remove(at)).is_some()
    }
}

impl Shared {
    fn stream(&self, pool: &Weak<Http2Pool>) -> Http2Stream {
        self.open.fetch_add(1, Ordering::Relaxed);
        let slot = Slot { open: self.open.clone(), pool: pool.clone() };
        Http2Stream { sender: self.sender.clone(), slot, endpoint: self.endpoint }
    }
}

/// Turns `Host` into `:authority` and adds the scheme (RFC 9113 section 8.3.1). gRPC servers require
/// `TE: trailers`.
pub(super) fn to_http2(request: &mut Request<RequestBody>, scheme: Scheme, trailers: bool) -> Option<()> {
    let authority = Authority::try_from(request.headers_mut().remove(HOST)?.as_bytes()).ok()?;
    let mut parts = Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = Version::HTTP_2;
    if trailers {
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(())
}

/// What an error of a request over HTTP/2 says, for the log.
pub(super) fn cause(error: &hyper::Error) -> String {
    let error: &dyn std::error::Error = std::error::Error::source(error).unwrap_or(error);
    format!("the stream failed: {}", open_error::foreign(error))
}

/// What an error says about the fate of a request.
pub(super) enum StreamErrorKind {
    /// The backend has not processed it (RFC 9113 section 8.7).
    Unprocessed,
    /// The connection ended; the request may have been processed.
    Unknown,
    /// The backend rejected it with an error.
    Failed,
}

/// Classifies an error of a request over HTTP/2; `None` if it is not an HTTP/2 error.
pub(super) fn error_kind(error: &hyper::Error) -> Option<StreamErrorKind> {
    let source = std::error::Error::source(error)?;
    let Some(error) = source.downcast_ref::<h2::Error>() else {
        // hyper's error for a PING without a reply.
        return error.is_timeout().then_some(StreamErrorKind::Unknown);
    };
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    // With GOAWAY, h2 fails only the streams above the last one that the backend has processed.
    let went_away = error.is_go_away();
    Some(if error.is_remote() && (refused || went_away) {
        StreamErrorKind::Unprocessed
    } else if error.is_io() {
        StreamErrorKind::Unknown
    } else {
        StreamErrorKind::Failed
    })
}

#[cfg(test)]
mod tests {
    use super::super::addresses::Addresses;
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_connection_without_streams_makes_room_for_one_of_another_worker() {
        let limit = ConnectionLimit::new(1).expect("a bound");
        let (own, other) = (Arc::<Waiters>::default(), Arc::<Waiters>::default());
        let pool = Http2Pool::new(LIFETIME, Some(limit.clone()), own);
        let (stream, _backend) = tokio::io::duplex(1024);
        let lease = Lease::new(Addresses::new([], LIFETIME).get(0, "a"), limit.try_take());
        let first = pool.start(stream, lease).await.expect("a stream");
        let second = pool.check_out().expect("room for another stream");
        drop(first);
        let waiting = limit.wait(&other);
        assert!(limit.try_take().is_none(), "it is in use");
        drop(pool.check_out().expect("still open"));
        drop(second);
        assert!(pool.check_out().is_none(), "it was closed for the request that waits");
        assert!(limit.take().await.is_some());
        drop(waiting);
    }
}
