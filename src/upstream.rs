//! Forwarding to the backend: one connection pool for each worker.
//!
//! [`Upstream::forward`] takes a [`Permit`](crate::decision::Permit) by value, so no request is forwarded without a
//! decision. It takes a pooled connection or opens one, sends the request, and returns the response with a body that
//! streams ([`ResponseBody`]). When the body ends, its connection returns to the pool; when the body is dropped
//! earlier, the connection closes.
//!
//! There is one attempt for each request. A further attempt is made only if the backend cannot have processed the
//! first, or if an idempotent request without a body was sent on a kept-alive connection that turned out to be closed.
//!
//! HTTP/1.1 is spoken here ([`http1`], with the types of [`crate::http1`]), in the task of the request; HTTP/2 is hyper's.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use crate::budget::Connection as Account;
use crate::metrics::Metrics;
use crate::tls;

mod addresses;
mod body;
mod dial;
mod forward;
mod http1;
mod http2;
mod interim;
mod lease;
mod limit;
#[cfg(all(test, shuttle))]
mod models;
mod open_error;
mod pool;
mod probe;
mod reachability;
mod response_body;
mod rest;
mod send_error;
mod stream;
mod target;
mod tunnel;
mod websocket;

use http1::Http1Connection;
use http2::{Http2Pool, Http2Stream};
use lease::Lease;
use limit::{MAX_WAIT, MakesRoom as _, Place, Waiters};
use open_error::OpenError;
use pool::Http1Pool;
use stream::Stream;
use target::Opened;

pub use body::{ReadAhead, RequestBody, RequestProgress};
pub use forward::UpstreamRequest;
pub(crate) use forward::stated_length;
pub use interim::InterimResponses;
pub use probe::{ProbeError, ProbeResponse};
pub use reachability::Reachability;
pub use response_body::ResponseBody;
pub use rest::Rest;
pub use send_error::ForwardError;
pub use stream::SwitchedStream;
pub use target::Target;
pub use tunnel::{Ending, Tunnel};

/// One worker's connections to the backend.
pub struct Upstream {
    target: Target,
    http1: Arc<Http1Pool>,
    http2: Arc<Http2Pool>,
    /// The requests of this worker that wait for a connection.
    waiters: Arc<Waiters>,
    /// Locked while a shareable connection is opened; the requests that could share it wait.
    opening: tokio::sync::Mutex<()>,
    /// The last ALPN negotiation selected HTTP/1.1.
    settled_on_http1: AtomicBool,
    reachability: Arc<Reachability>,
    metrics: Arc<Metrics>,
}

/// An HTTP/1.1 connection or one HTTP/2 stream, for one request.
enum Connection {
    Http1(Box<Http1Connection>),
    Http2(Http2Stream),
}

impl Connection {
    /// Whether it is an HTTP/1.1 connection that has served a request before.
    fn is_reused(&mut self) -> bool {
        match self {
            Self::Http1(connection) => connection.lease().is_reused(),
            Self::Http2(_) => false,
        }
    }
}

/// What a request may use that needs a connection.
enum Granted {
    /// A place for a new one.
    Place(Option<Place>),
    /// One that has become free.
    Free(Connection),
}

impl Upstream {
    /// An empty pool. All pools of the process share `reachability`.
    pub fn new(target: Target, reachability: Arc<Reachability>, metrics: Arc<Metrics>) -> Arc<Self> {
        let waiters = Arc::<Waiters>::default();
        Arc::new(Self {
            http1: Http1Pool::new(target.limit.clone(), waiters.clone()),
            http2: Http2Pool::new(target.keep_alive, target.limit.clone(), waiters.clone()),
            target,
            waiters,
            opening: tokio::sync::Mutex::default(),
            settled_on_http1: AtomicBool::new(false),
            reachability,
            metrics,
        })
    }

    /// Closes the connections that were idle for longer than `upstream.keepAlive`. To be called from time to time: without
    /// requests nothing else does.
    pub fn close_expired(&self) {
        let now = Instant::now();
        self.http1.close_expired(now);
        self.http2.close_expired(now);
    }

    /// Takes an open connection, if one is available.
    fn check_out(&self, account: &Account, now: Instant) -> Option<Connection> {
        if self.target.http2
            && let Some(stream) = self.http2.check_out()
        {
            return Some(Connection::Http2(stream));
        }
        if !self.target.http1 {
            return None;
        }
        let mut connection = self.http1.check_out(now)?;
        connection.serve(account.is_trusted());
        Some(Connection::Http1(connection))
    }

    /// Opens a connection. Over HTTP/2, concurrent requests wait for one connection and share it.
    async fn open(&self, account: &Arc<Account>) -> Result<Connection, OpenError> {
        let place = match self.grant(account, true).await? {
            Granted::Free(connection) => return Ok(connection),
            Granted::Place(place) => place,
        };
        let shares = self.target.http2 && !self.settled_on_http1.load(Ordering::Relaxed);
        if !shares && self.target.tls.is_none() {
            return self.connect_http1(account, place).await;
        }
        self.open_shared(shares, |deadline| self.connect(deadline, account, place)).await
    }

    /// Opens a connection with `connect`, unless there is an HTTP/2 connection by then. With `shares`, one request does so at
    /// a time.
    async fn open_shared<F: Future<Output = Result<Connection, OpenError>>>(
        &self,
        shares: bool,
        connect: impl FnOnce(Instant) -> F,
    ) -> Result<Connection, OpenError> {
        let deadline = Instant::now() + self.target.connect_timeout;
        let _lock = if shares {
            let lock = async { Ok(self.opening.lock().await) };
            Some(self.target.in_time(deadline, "connection", lock).await?)
        } else {
            None
        };
        if self.target.http2
            && let Some(stream) = self.http2.check_out()
        {
            return Ok(Connection::Http2(stream));
        }
        // A request that waited for the lock gets the whole timeout for its own attempt.
        let deadline = Instant::now() + self.target.connect_timeout;
        self.counted(connect(deadline).await)
    }

    /// A place for a new connection, or, if `takes_free`, one that becomes free while the request waits for a place.
    async fn grant(&self, account: &Arc<Account>, takes_free: bool) -> Result<Granted, OpenError> {
        let Some(limit) = &self.target.limit else { return Ok(Granted::Place(None)) };
        if let Some(place) = limit.try_take() {
            return Ok(Granted::Place(Some(place)));
        }
        let _waiting = limit.wait(&self.waiters);
        // A connection that became idle just before is seen now, and a later one is told.
        if let Some(place) = limit.try_take() {
            return Ok(Granted::Place(Some(place)));
        }
        let mut place = pin!(limit.take());
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            if takes_free && let Some(connection) = self.check_out(account, Instant::now()) {
                // An HTTP/2 connection may have room for further requests.
                self.waiters.freed.notify_one();
                return Ok(Granted::Free(connection));
            }
            tokio::select! {
                place = &mut place => return Ok(Granted::Place(place)),
                () = self.waiters.freed.notified() => {
                    if !takes_free {
                        self.http1.close_oldest();
                    }
                }
                () = sleep_until(deadline) => {
                    self.metrics.upstream_connection("limited");
                    return Err(OpenError::limited(MAX_WAIT));
                }
            }
        }
    }

    /// Opens a connection with the protocol that ALPN selects.
    async fn connect(
        &self,
        deadline: Instant,
        account: &Arc<Account>,
        place: Option<Place>,
    ) -> Result<Connection, OpenError> {
        let (target, metrics) = (&self.target, &self.metrics);
        if let Some(path) = target.socket() {
            return self.start_http2(target.dial_socket(path, deadline).await?, place, deadline).await;
        }
        let Some(tls) = &target.tls else {
            return self.start_http2(target.connect_plain(deadline, metrics).await?, place, deadline).await;
        };
        let opened = target.connect_tls(&tls.any, deadline, metrics).await?;
        let http2 = opened.stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
        if !http2 && !target.http1 {
            let peer = target.peer(opened.address.endpoint);
            let cause = format!("{peer} does not offer HTTP/2; set upstream.protocol to http1 or auto");
            return Err(OpenError::permanent(cause));
        }
        self.settled_on_http1.store(!http2, Ordering::Relaxed);
        if http2 {
            self.start_http2(opened, place, deadline).await
        } else {
            Ok(self.exclusive(opened.map(|stream| Stream::Tls(Box::new(stream))), account, place))
        }
    }

    /// Begins HTTP/2 on a connection that was just opened.
    async fn start_http2<S>(
        &self,
        Opened { stream, address }: Opened<S>,
        place: Option<Place>,
        deadline: Instant,
    ) -> Result<Connection, OpenError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let lease = Lease::new(address, place);
        let started = async {
            let stream = self.http2.start(stream, lease).await;
            stream.map(Connection::Http2).map_err(|error| OpenError::new(error.to_string()))
        };
        let started = self.target.in_time(deadline, "HTTP/2 connection", started).await;
        self.waiters.freed.notify_one();
        started
    }

    /// Opens an HTTP/1.1 connection, which is not shared.
    async fn open_http1(&self, account: &Arc<Account>) -> Result<Connection, OpenError> {
        match self.grant(account, false).await? {
            Granted::Free(connection) => Ok(connection),
            Granted::Place(place) => self.connect_http1(account, place).await,
        }
    }

    async fn connect_http1(
        &self,
        account: &Arc<Account>,
        place: Option<Place>,
    ) -> Result<Connection, OpenError> {
        let opened = self.target.connect_http1(&self.metrics).await;
        self.counted(opened.map(|opened| self.exclusive(opened, account, place)))
    }

    /// An HTTP/1.1 connection that was just opened, for a request of this client.
    fn exclusive(&self, opened: Opened<Stream>, account: &Account, place: Option<Place>) -> Connection {
        let mut connection = Http1Connection::new(opened.stream);
        *connection.lease() = Lease::new(opened.address, place);
        connection.limit_fields(self.target.response_fields);
        connection.serve(account.is_trusted());
        Connection::Http1(connection)
    }

    fn counted<T>(&self, opened: Result<T, OpenError>) -> Result<T, OpenError> {
        self.metrics.upstream_connection(match &opened {
            Ok(_) => "ok",
            Err(error) if error.is_timeout => "timeout",
            Err(_) => "failed",
        });
        opened
    }

    /// What the process knows about whether the backend can be reached.
    pub fn reachability(&self) -> &Arc<Reachability> {
        &self.reachability
    }

    /// How long a body may pause.
    pub fn idle_timeout(&self) -> Duration {
        self.target.idle_timeout
    }
}

/// The addresses of this configuration may not be those of the next.
impl Drop for Upstream {
    fn drop(&mut self) {
        self.target.forget_addresses(&self.metrics);
    }
}
