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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::budget::Connection as Account;
use crate::config::{self, UpstreamProtocol};
use crate::metrics::Metrics;
use crate::tls::{self, TlsError};

mod body;
mod dial;
mod forward;
mod http1;
mod http2;
mod interim;
mod open_error;
mod pool;
mod probe;
mod reachability;
mod response_body;
mod rest;
mod send_error;
mod stream;
mod tunnel;
mod websocket;

use http1::Http1Connection;
use http2::{Http2Pool, Http2Stream};
use open_error::{OpenError, Peer};
use pool::Http1Pool;
use stream::{BoundedStream, Stream};

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
pub use tunnel::{Ending, Tunnel};

/// Shorter than the time after which Jetty, in both backends, closes an idle connection (30 s, 60 s).
const IDLE_LIFETIME: Duration = Duration::from_secs(20);

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
    /// How many fields the head of a response may have.
    response_fields: usize,
}

/// TLS to the backend: with every permitted protocol, and with HTTP/1.1 only.
#[derive(Clone)]
struct Tls {
    any: TlsConnector,
    http1: TlsConnector,
    name: ServerName<'static>,
    /// Whether `upstream.tls.caFile` is set.
    has_ca_file: bool,
    /// Whether `upstream.tls.certFile` is set.
    has_identity: bool,
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
        let tls = if tls { Some(Tls::new(config, http1, http2)?) } else { None };
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
            response_fields: config.response_fields,
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

    /// Opens a TCP connection.
    async fn dial(&self, deadline: Instant) -> Result<BoundedStream, OpenError> {
        let dialed = dial::dial(&self.host, self.port);
        let stream = self.in_time(deadline, "connection", dialed).await?;
        BoundedStream::new(stream).map_err(|error| OpenError::new(error.to_string()))
    }

    /// Opens the connection to a Unix domain socket.
    async fn dial_socket(&self, path: &Path, deadline: Instant) -> Result<UnixStream, OpenError> {
        let dialed =
            async { UnixStream::connect(path).await.map_err(|error| OpenError::socket(path, &error)) };
        self.in_time(deadline, "connection", dialed).await
    }

    /// Does the TLS handshake on a connection.
    async fn handshake(
        &self,
        connector: &TlsConnector,
        tls: &Tls,
        stream: BoundedStream,
        deadline: Instant,
    ) -> Result<TlsStream<BoundedStream>, OpenError> {
        let handshake = async {
            let shaken = connector.connect(tls.name.clone(), stream).await;
            shaken.map_err(|error| OpenError::tls(&self.peer(), &error))
        };
        self.in_time(deadline, "TLS handshake", handshake).await.map_err(OpenError::without_handshake)
    }

    /// Limits a step of opening a connection.
    async fn in_time<T>(
        &self,
        deadline: Instant,
        what: &str,
        step: impl Future<Output = Result<T, OpenError>>,
    ) -> Result<T, OpenError> {
        let late = |_| Err(OpenError::timeout(what, &self.peer(), self.connect_timeout));
        timeout_at(deadline, step).await.unwrap_or_else(late)
    }

    /// Opens one connection that speaks HTTP/1.1.
    async fn connect_http1(&self) -> Result<Stream, OpenError> {
        let deadline = Instant::now() + self.connect_timeout;
        if let Some(path) = &self.socket {
            return self.dial_socket(path, deadline).await.map(Stream::Unix);
        }
        let stream = self.dial(deadline).await?;
        Ok(match &self.tls {
            None => Stream::Tcp(stream),
            Some(tls) => Stream::Tls(Box::new(self.handshake(&tls.http1, tls, stream, deadline).await?)),
        })
    }

    /// The backend, for the cause of an error.
    fn peer(&self) -> Peer<'_> {
        Peer {
            socket: self.socket.as_deref(),
            host: &self.host,
            port: self.port,
            has_ca_file: self.tls.as_ref().is_some_and(|tls| tls.has_ca_file),
            has_identity: self.tls.as_ref().is_some_and(|tls| tls.has_identity),
        }
    }
}

impl Tls {
    fn new(config: &config::Upstream, http1: bool, http2: bool) -> Result<Self, TlsError> {
        let name = tls::server_name(&config.url)?;
        let mut client = tls::client_config(&config.tls)?;
        client.alpn_protocols = vec![tls::HTTP1.to_vec()];
        let only_http1 = TlsConnector::from(Arc::new(client.clone()));
        client.alpn_protocols = [(http2, tls::HTTP2), (http1, tls::HTTP1)]
            .into_iter()
            .filter(|(enabled, _)| *enabled)
            .map(|(_, name)| name.to_vec())
            .collect();
        Ok(Self {
            any: TlsConnector::from(Arc::new(client)),
            http1: only_http1,
            name,
            has_ca_file: config.tls.ca_file.is_some(),
            has_identity: config.tls.identity.is_some(),
        })
    }
}

/// One worker's connections to the backend.
pub struct Upstream {
    target: Target,
    http1: Arc<Http1Pool>,
    http2: Http2Pool,
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

impl Upstream {
    /// An empty pool. All pools of the process share `reachability`.
    pub fn new(target: Target, reachability: Arc<Reachability>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            target,
            http1: Arc::default(),
            http2: Http2Pool::default(),
            opening: tokio::sync::Mutex::default(),
            settled_on_http1: AtomicBool::new(false),
            reachability,
            metrics,
        })
    }

    /// Takes an open connection, if one is available.
    fn check_out(&self, request: &UpstreamRequest) -> Option<Connection> {
        if self.target.http2
            && let Some(stream) = self.http2.check_out()
        {
            return Some(Connection::Http2(stream));
        }
        if !self.target.http1 {
            return None;
        }
        let mut connection = self.http1.check_out(request.permitted_at)?;
        connection.serve(request.account.is_trusted());
        Some(Connection::Http1(connection))
    }

    /// Opens a connection. Over HTTP/2, concurrent requests wait for one connection and share it.
    async fn open(&self, account: &Arc<Account>) -> Result<Connection, OpenError> {
        let shares = self.target.http2 && !self.settled_on_http1.load(Ordering::Relaxed);
        if !shares && self.target.tls.is_none() {
            return self.open_http1(account).await;
        }
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
        self.counted(self.connect(Instant::now() + self.target.connect_timeout, account).await)
    }

    /// Opens a connection with the protocol that ALPN selects.
    async fn connect(&self, deadline: Instant, account: &Arc<Account>) -> Result<Connection, OpenError> {
        let target = &self.target;
        if let Some(path) = &target.socket {
            return self.start_http2(target.dial_socket(path, deadline).await?, deadline).await;
        }
        let stream = target.dial(deadline).await?;
        let Some(tls) = &target.tls else {
            return self.start_http2(stream, deadline).await;
        };
        let stream = target.handshake(&tls.any, tls, stream, deadline).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
        if !http2 && !target.http1 {
            let cause =
                format!("{} does not offer HTTP/2; set upstream.protocol to http1 or auto", target.peer());
            return Err(OpenError::permanent(cause));
        }
        self.settled_on_http1.store(!http2, Ordering::Relaxed);
        if http2 {
            self.start_http2(stream, deadline).await
        } else {
            Ok(self.exclusive(Stream::Tls(Box::new(stream)), account))
        }
    }

    /// Begins HTTP/2 on a connection that was just opened.
    async fn start_http2<S>(&self, stream: S, deadline: Instant) -> Result<Connection, OpenError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let started = async {
            let stream = self.http2.start(stream).await;
            stream.map(Connection::Http2).map_err(|error| OpenError::new(error.to_string()))
        };
        self.target.in_time(deadline, "HTTP/2 connection", started).await
    }

    /// Opens an HTTP/1.1 connection, which is not shared.
    async fn open_http1(&self, account: &Arc<Account>) -> Result<Connection, OpenError> {
        self.counted(self.target.connect_http1().await.map(|stream| self.exclusive(stream, account)))
    }

    /// An HTTP/1.1 connection that was just opened, for a request of this client.
    fn exclusive(&self, stream: Stream, account: &Account) -> Connection {
        let mut connection = Http1Connection::new(stream);
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

/// The authority of the backend, for logs.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = format!("{}:{}", self.host, self.port);
        f.write_str(Authority::try_from(authority.as_str()).as_ref().map_or("?", Authority::as_str))
    }
}
