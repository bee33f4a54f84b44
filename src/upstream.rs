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
//! The pool uses hyper's connections directly. hyper-util's legacy client bounds only idle connections, spawns a task
//! for each response with a body, and costs a quarter more per request.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::ready;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::budget::{Connection as Account, Turn};
use crate::config::{self, UpstreamProtocol};
use crate::metrics::Metrics;
use crate::tls::{self, TlsError};

mod body;
mod dial;
mod forward;
mod http2;
mod interim;
mod response_body;
mod rest;
mod served;
mod tunnel;
mod websocket;

use http2::{Http2Pool, Http2Stream};
use served::{BoundedStream, Served};

pub use body::{ReadAhead, RequestBody, RequestProgress};
pub(crate) use forward::stated_length;
pub use forward::{ForwardError, UpstreamRequest};
pub use interim::InterimResponses;
pub use response_body::ResponseBody;
pub use rest::Rest;
pub use tunnel::{Ending, Tunnel};

/// Shorter than the time after which Jetty, in both backends, closes an idle connection (30 s, 60 s).
const IDLE_LIFETIME: Duration = Duration::from_secs(20);
/// How much hyper buffers in each direction of a connection. The head of a response must fit.
const BUFFER_BYTES: usize = 64 * 1024;
/// The most idle connections of one worker.
const MAX_IDLE: usize = 256;

/// The backend's address, protocols and timeouts; the same for every worker.
#[derive(Clone)]
pub struct Target {
    /// The path of a Unix socket, instead of host and port.
    socket: Option<PathBuf>,
    host: Box<str>,
    port: u16,
    prefix: Box<str>,
    tls: Option<Tls>,
    /// Whether HTTP/2 may be used.
    http2: bool,
    http1: bool,
    connect_timeout: Duration,
    response_timeout: Duration,
    idle_timeout: Duration,
}

/// TLS to the backend: with every permitted protocol, and with HTTP/1.1 only.
#[derive(Clone)]
struct Tls {
    any: TlsConnector,
    http1: TlsConnector,
    name: ServerName<'static>,
}

impl Target {
    /// Reads the configuration and the TLS files that it names.
    pub fn new(config: &config::Upstream) -> Result<Self, TlsError> {
        let url = &config.url;
        let host = url.host_str().unwrap_or_default();
        let is_unix = url.scheme() == "unix";
        let tls = url.scheme() == "https";
        let (http1, http2) = match config.protocol {
            UpstreamProtocol::Http1 => (true, false),
            UpstreamProtocol::Http2 => (false, true),
            UpstreamProtocol::Auto => (true, tls),
        };
        let tls = if tls { Some(Tls::new(config, host, http1, http2)?) } else { None };
        Ok(Self {
            host: host.trim_matches(['[', ']']).into(),
            port: url.port_or_known_default().unwrap_or(80),
            prefix: if is_unix { "".into() } else { url.path().trim_end_matches('/').into() },
            socket: is_unix.then(|| url.path().into()),
            tls,
            http1,
            http2,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
            idle_timeout: config.idle_timeout,
        })
    }

    /// The target in origin-form: the configured prefix, then the bytes as received.
    fn origin_form(&self, path: &PathAndQuery) -> Result<Uri, http::uri::InvalidUri> {
        if self.prefix.is_empty() {
            return Ok(path.clone().into());
        }
        let prefixed = PathAndQuery::try_from(format!("{}{path}", self.prefix))?;
        Ok(prefixed.into())
    }

    fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Limits `opening` to the connect timeout.
    async fn in_time<T>(&self, opening: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        timeout(self.connect_timeout, opening).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn dial(&self, served: &Arc<Served>) -> io::Result<BoundedStream> {
        BoundedStream::new(dial::dial(&self.host, self.port).await?, served.clone())
    }

    /// Opens one connection that speaks HTTP/1.1, and starts the task that drives it.
    async fn connect_http1(&self, account: &Arc<Account>) -> io::Result<Http1Connection> {
        let served = Arc::new(Served::default());
        served.set(account);
        self.in_time(async {
            if let Some(path) = &self.socket {
                return start(UnixStream::connect(path).await?, served).await;
            }
            let stream = self.dial(&served).await?;
            match &self.tls {
                None => start(stream, served).await,
                Some(tls) => start(tls.http1.connect(tls.name.clone(), stream).await?, served).await,
            }
        })
        .await
    }
}

impl Tls {
    fn new(config: &config::Upstream, host: &str, http1: bool, http2: bool) -> Result<Self, TlsError> {
        let name = tls::server_name(host).map_err(|_| TlsError::NoCertificate(config.url.as_str().into()))?;
        let mut client = tls::client_config(&config.tls)?;
        client.alpn_protocols = vec![tls::HTTP1.to_vec()];
        let only_http1 = TlsConnector::from(Arc::new(client.clone()));
        client.alpn_protocols = [(http2, tls::HTTP2), (http1, tls::HTTP1)]
            .into_iter()
            .filter(|(enabled, _)| *enabled)
            .map(|(_, name)| name.to_vec())
            .collect();
        Ok(Self { any: TlsConnector::from(Arc::new(client)), http1: only_http1, name })
    }
}

async fn start<S>(stream: S, served: Arc<Served>) -> io::Result<Http1Connection>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let serves = served.clone();
    let task = tokio::spawn(async move {
        let (mut connection, mut turn) = (pin!(connection.with_upgrades()), Turn::default());
        let ended = poll_fn(|cx| {
            if let Some(account) = serves.takes_turns() {
                ready!(turn.poll(&account, cx));
            }
            connection.as_mut().poll(cx)
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    Ok(Http1Connection { sender, served, driver: Driver(Some(task.abort_handle())) })
}

/// An HTTP/1.1 connection, with the task that drives it.
struct Http1Connection {
    sender: SendRequest<RequestBody>,
    served: Arc<Served>,
    driver: Driver,
}

/// Aborts a connection's task when dropped. Otherwise hyper would keep trying to write a request's body to a backend
/// that does not read, and hold the client's connection open meanwhile.
struct Driver(Option<AbortHandle>);

impl Driver {
    /// Lets the task end by itself, as it does after its connection has switched protocols.
    fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// One worker's connections to the backend.
pub struct Upstream {
    target: Target,
    idle: Mutex<Vec<Idle>>,
    http2: Http2Pool,
    /// Locked while a shareable connection is opened; the requests that could share it wait.
    opening: tokio::sync::Mutex<()>,
    /// The last ALPN negotiation selected HTTP/1.1.
    settled_on_http1: AtomicBool,
    metrics: Arc<Metrics>,
}

struct Idle {
    connection: Http1Connection,
    until: Instant,
}

/// An HTTP/1.1 connection or one HTTP/2 stream, for one request.
enum Connection {
    Http1(Http1Connection),
    Http2(Http2Stream),
}

impl Upstream {
    /// An empty pool.
    pub fn new(target: Target, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            target,
            idle: Mutex::default(),
            http2: Http2Pool::default(),
            opening: tokio::sync::Mutex::default(),
            settled_on_http1: AtomicBool::new(false),
            metrics,
        })
    }

    /// Takes an open connection, if one is available.
    async fn check_out(&self, account: &Arc<Account>) -> Option<Connection> {
        if self.target.http2
            && let Some(stream) = self.http2.check_out()
        {
            return Some(Connection::Http2(stream));
        }
        if !self.target.http1 {
            return None;
        }
        let connection = self.check_out_http1().await?;
        connection.served.set(account);
        Some(Connection::Http1(connection))
    }

    /// Opens a connection. Over HTTP/2, concurrent requests wait for one connection and share it.
    async fn open(&self, account: &Arc<Account>) -> io::Result<Connection> {
        let shares = self.target.http2 && !self.settled_on_http1.load(Ordering::Relaxed);
        if !shares && self.target.tls.is_none() {
            return self.open_http1(account).await;
        }
        let _lock = if shares {
            Some(self.target.in_time(async { Ok(self.opening.lock().await) }).await?)
        } else {
            None
        };
        if self.target.http2
            && let Some(stream) = self.http2.check_out()
        {
            return Ok(Connection::Http2(stream));
        }
        // An HTTP/2 connection serves no particular client.
        let served = Arc::new(Served::default());
        let opening = async {
            if let Some(path) = &self.target.socket {
                return self.http2.start(UnixStream::connect(path).await?).await.map(Connection::Http2);
            }
            let stream = self.target.dial(&served).await?;
            let Some(tls) = &self.target.tls else {
                return self.http2.start(stream).await.map(Connection::Http2);
            };
            let stream = tls.any.connect(tls.name.clone(), stream).await?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
            if !http2 && !self.target.http1 {
                return Err(io::Error::other("the backend does not offer HTTP/2"));
            }
            self.settled_on_http1.store(!http2, Ordering::Relaxed);
            if http2 {
                self.http2.start(stream).await.map(Connection::Http2)
            } else {
                served.set(account);
                start(stream, served).await.map(Connection::Http1)
            }
        };
        self.counted(self.target.in_time(opening).await)
    }

    /// Opens an HTTP/1.1 connection, which is not shared.
    async fn open_http1(&self, account: &Arc<Account>) -> io::Result<Connection> {
        self.counted(self.target.connect_http1(account).await.map(Connection::Http1))
    }

    fn counted<T>(&self, opened: io::Result<T>) -> io::Result<T> {
        self.metrics.upstream_connection(match &opened {
            Ok(_) => "ok",
            Err(error) if error.kind() == io::ErrorKind::TimedOut => "timeout",
            Err(_) => "failed",
        });
        opened
    }

    /// How long a body may pause.
    pub fn idle_timeout(&self) -> Duration {
        self.target.idle_timeout
    }

    /// The most recently used idle connection that is still open.
    async fn check_out_http1(&self) -> Option<Http1Connection> {
        loop {
            let Idle { mut connection, until } = self.idle().pop()?;
            let sender = &mut connection.sender;
            if sender.is_closed() || until <= Instant::now() {
                continue;
            }
            // The task that drives it may not have seen the end of the last response yet.
            if sender.is_ready()
                || matches!(timeout(Duration::from_millis(100), sender.ready()).await, Ok(Ok(())))
            {
                return Some(connection);
            }
        }
    }

    fn check_in(&self, connection: Http1Connection, lifetime: Duration) {
        if connection.sender.is_closed() {
            return;
        }
        connection.served.clear();
        let now = Instant::now();
        let mut idle = self.idle();
        // The oldest are in front; close those that have expired.
        let expired = idle.iter().take_while(|idle| idle.until <= now).count();
        idle.drain(..expired);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { connection, until: now + lifetime });
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The authority of the backend, for logs.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = format!("{}:{}", self.host, self.port);
        f.write_str(Authority::try_from(authority.as_str()).as_ref().map_or("?", Authority::as_str))
    }
}
