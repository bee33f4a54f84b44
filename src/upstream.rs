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

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use rustls_pki_types::ServerName;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

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
mod pool;
mod response_body;
mod rest;
mod stream;
mod tunnel;
mod websocket;

use http1::Http1Connection;
use http2::{Http2Pool, Http2Stream};
use pool::Http1Pool;
use stream::{BoundedStream, Stream};

pub use body::{ReadAhead, RequestBody, RequestProgress};
pub(crate) use forward::stated_length;
pub use forward::{ForwardError, UpstreamRequest};
pub use interim::InterimResponses;
pub use response_body::ResponseBody;
pub use rest::Rest;
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

    async fn dial(&self) -> io::Result<BoundedStream> {
        BoundedStream::new(dial::dial(&self.host, self.port).await?)
    }

    /// Opens one connection that speaks HTTP/1.1.
    async fn connect_http1(&self) -> io::Result<Stream> {
        self.in_time(async {
            if let Some(path) = &self.socket {
                return UnixStream::connect(path).await.map(Stream::Unix);
            }
            let stream = self.dial().await?;
            Ok(match &self.tls {
                None => Stream::Tcp(stream),
                Some(tls) => Stream::Tls(Box::new(tls.http1.connect(tls.name.clone(), stream).await?)),
            })
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

/// One worker's connections to the backend.
pub struct Upstream {
    target: Target,
    http1: Arc<Http1Pool>,
    http2: Http2Pool,
    /// Locked while a shareable connection is opened; the requests that could share it wait.
    opening: tokio::sync::Mutex<()>,
    /// The last ALPN negotiation selected HTTP/1.1.
    settled_on_http1: AtomicBool,
    metrics: Arc<Metrics>,
}

/// An HTTP/1.1 connection or one HTTP/2 stream, for one request.
enum Connection {
    Http1(Box<Http1Connection>),
    Http2(Http2Stream),
}

impl Upstream {
    /// An empty pool.
    pub fn new(target: Target, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            target,
            http1: Arc::default(),
            http2: Http2Pool::default(),
            opening: tokio::sync::Mutex::default(),
            settled_on_http1: AtomicBool::new(false),
            metrics,
        })
    }

    /// Takes an open connection, if one is available.
    fn check_out(&self, account: &Arc<Account>) -> Option<Connection> {
        if self.target.http2
            && let Some(stream) = self.http2.check_out()
        {
            return Some(Connection::Http2(stream));
        }
        if !self.target.http1 {
            return None;
        }
        let mut connection = self.http1.check_out()?;
        connection.serve(account.is_trusted());
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
        let opening = async {
            if let Some(path) = &self.target.socket {
                return self.http2.start(UnixStream::connect(path).await?).await.map(Connection::Http2);
            }
            let stream = self.target.dial().await?;
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
                Ok(exclusive(Stream::Tls(Box::new(stream)), account))
            }
        };
        self.counted(self.target.in_time(opening).await)
    }

    /// Opens an HTTP/1.1 connection, which is not shared.
    async fn open_http1(&self, account: &Arc<Account>) -> io::Result<Connection> {
        self.counted(self.target.connect_http1().await.map(|stream| exclusive(stream, account)))
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
}

/// An HTTP/1.1 connection that was just opened, for a request of this client.
fn exclusive(stream: Stream, account: &Account) -> Connection {
    let mut connection = Http1Connection::new(stream);
    connection.serve(account.is_trusted());
    Connection::Http1(connection)
}

/// The authority of the backend, for logs.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = format!("{}:{}", self.host, self.port);
        f.write_str(Authority::try_from(authority.as_str()).as_ref().map_or("?", Authority::as_str))
    }
}
