//! The backend as it is configured: its URLs, protocols and timeouts, and how connections to it are opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme, Uri};
use http::{HeaderValue, uri::Authority};
use rustls_pki_types::ServerName;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

use super::addresses::{Address, Addresses};
use super::dial::{self, Destination, Dialed};
use super::limit::ConnectionLimit;
use super::open_error::{OpenError, Peer};
use super::stream::{BoundedStream, Stream};
use crate::config::{self, HostHeader, UpstreamProtocol};
use crate::metrics::Metrics;
use crate::tls::{self, TlsError};

/// The backend's addresses, protocols and timeouts; the same for every worker.
#[derive(Clone)]
pub struct Target {
    /// In the order in which they are tried; at least one.
    endpoints: Arc<[Endpoint]>,
    pub(super) prefix: Box<str>,
    pub(super) tls: Option<Tls>,
    /// Whether HTTP/2 may be used.
    pub(super) http2: bool,
    pub(super) http1: bool,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) idle_timeout: Duration,
    /// How many fields the head of a response may have.
    pub(super) response_fields: usize,
    /// How long an idle connection is kept at most.
    pub(super) keep_alive: Duration,
    pub(super) limit: Option<Arc<ConnectionLimit>>,
    addresses: Arc<Addresses>,
}

/// One URL of the backend.
struct Endpoint {
    /// The path of a Unix socket, instead of host and port.
    socket: Option<PathBuf>,
    host: Box<str>,
    port: u16,
    /// The `Host` of requests, unless it is the client's.
    host_header: Option<HeaderValue>,
    /// The name for TLS, and as text.
    server_name: Option<ServerName<'static>>,
    server_name_text: Box<str>,
}

/// TLS to the backend: with every permitted protocol, and with HTTP/1.1 only.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) any: TlsConnector,
    pub(super) http1: TlsConnector,
    /// Whether `upstream.tls.caFile` is set.
    has_ca_file: bool,
    /// Whether `upstream.tls.certFile` is set.
    has_identity: bool,
}

/// A connection that was just opened, and where it leads.
pub(super) struct Opened<S> {
    pub(super) stream: S,
    pub(super) address: Arc<Address>,
}

impl Target {
    /// Reads the configuration and the TLS files that it names.
    pub fn new(config: &config::Upstream) -> Result<Self, TlsError> {
        let url = &config.url;
        let is_unix = url.scheme() == "unix";
        let tls = url.scheme() == "https";
        let (http1, http2) = match config.protocol {
            UpstreamProtocol::Http1 => (true, false),
            UpstreamProtocol::Http2 => (false, true),
            UpstreamProtocol::Auto => (true, tls),
        };
        let tls = if tls { Some(Tls::new(config, http1, http2)?) } else { None };
        let endpoints = config.urls().map(|url| Endpoint::new(url, config, tls.is_some()));
        let endpoints = endpoints.collect::<Result<Arc<[_]>, _>>()?;
        let addresses = Addresses::new(endpoints.iter().map(Endpoint::authority), config.keep_alive);
        Ok(Self {
            endpoints,
            prefix: if is_unix { "".into() } else { url.path().trim_end_matches('/').into() },
            tls,
            http1,
            http2,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
            idle_timeout: config.idle_timeout,
            response_fields: config.response_fields,
            keep_alive: config.keep_alive,
            limit: ConnectionLimit::new(config.max_connections),
            addresses: Arc::new(addresses),
        })
    }

    /// The target in origin-form: the configured prefix, then the bytes as received.
    pub(super) fn origin_form(&self, path: &PathAndQuery) -> Result<Uri, http::uri::InvalidUri> {
        if self.prefix.is_empty() {
            return Ok(path.clone().into());
        }
        let prefixed = PathAndQuery::try_from(format!("{}{path}", self.prefix))?;
        Ok(prefixed.into())
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The `Host` of requests to a URL, unless it is the client's.
    pub(super) fn host_header(&self, endpoint: usize) -> Option<&HeaderValue> {
        self.endpoints.get(endpoint)?.host_header.as_ref()
    }

    /// Whether the backend is on a Unix socket.
    pub(super) fn is_socket(&self) -> bool {
        self.socket().is_some()
    }

    /// The path of the backend's Unix socket.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.endpoints.first()?.socket.as_deref()
    }

    /// Opens a TCP connection to the first URL that accepts one, except to these addresses.
    async fn dial(
        &self,
        deadline: Instant,
        except: &[Arc<Address>],
        metrics: &Metrics,
    ) -> Result<Dialed, OpenError> {
        let dial = |endpoint: usize| async move {
            let Some(to) = self.destination(endpoint) else { return Err(OpenError::new("no URL")) };
            dial::dial(&to, except, &self.addresses, metrics).await
        };
        if self.endpoints.len() == 1 {
            return self.in_time(deadline, "connection", dial(0)).await;
        }
        let now = Instant::now();
        let is_resting = |endpoint: &usize| {
            self.addresses.endpoint(*endpoint).is_some_and(|address| address.is_resting(now))
        };
        let endpoints = dial::rested_first((0..self.endpoints.len()).collect(), is_resting);
        let failed = |endpoint: &usize, error: Option<&OpenError>| {
            let cause: &dyn std::fmt::Display = match error {
                Some(error) => error,
                None => &"it does not answer while another address does",
            };
            self.endpoint_failed(*endpoint, cause, metrics);
        };
        let race = async {
            let dialed = dial::race(endpoints, dial, failed).await;
            dialed.map_err(|error| error.unwrap_or_else(|| OpenError::new("no URL")))
        };
        self.in_time(deadline, "connection", race).await
    }

    /// An address accepted a connection, and the handshake is done.
    fn accepted(&self, address: &Address, has_siblings: bool, metrics: &Metrics) {
        address.accepted(has_siblings, metrics);
        if self.endpoints.len() > 1
            && let Some(endpoint) = self.addresses.endpoint(address.endpoint)
        {
            endpoint.accepted(true, metrics);
        }
    }

    /// Removes the addresses from the metrics.
    pub(super) fn forget_addresses(&self, metrics: &Metrics) {
        self.addresses.forget(metrics);
    }

    fn endpoint_failed(&self, endpoint: usize, cause: &dyn std::fmt::Display, metrics: &Metrics) {
        if self.endpoints.len() > 1
            && let Some(address) = self.addresses.endpoint(endpoint)
        {
            address.failed(cause, true, metrics);
        }
    }

    fn destination(&self, endpoint: usize) -> Option<Destination<'_>> {
        let Endpoint { host, port, .. } = self.endpoints.get(endpoint)?;
        Some(Destination { endpoint, host, port: *port })
    }

    /// Opens the connection to a Unix domain socket.
    pub(super) async fn dial_socket(
        &self,
        path: &Path,
        deadline: Instant,
    ) -> Result<Opened<UnixStream>, OpenError> {
        let dialed =
            async { UnixStream::connect(path).await.map_err(|error| OpenError::socket(path, &error)) };
        let stream = self.in_time(deadline, "connection", dialed).await?;
        Ok(Opened { stream, address: self.addresses.get(0, path.display()) })
    }

    /// Opens a connection without TLS.
    pub(super) async fn connect_plain(
        &self,
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Opened<BoundedStream>, OpenError> {
        let Dialed { stream, address, has_siblings } = self.dial(deadline, &[], metrics).await?;
        let stream = BoundedStream::new(stream).map_err(|error| OpenError::new(error.to_string()))?;
        self.accepted(&address, has_siblings, metrics);
        Ok(Opened { stream, address })
    }

    /// Opens a connection with TLS. If the handshake fails, the next address is tried: nothing of a request was written.
    pub(super) async fn connect_tls(
        &self,
        connector: &TlsConnector,
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Opened<TlsStream<BoundedStream>>, OpenError> {
        let mut failure: Option<OpenError> = None;
        let mut tried = Vec::new();
        loop {
            let Dialed { stream, address, has_siblings } = match self.dial(deadline, &tried, metrics).await {
                Ok(dialed) => dialed,
                Err(error) => return Err(failure.unwrap_or(error)),
            };
            let stream = BoundedStream::new(stream).map_err(|error| OpenError::new(error.to_string()))?;
            let error = match self.handshake(connector, address.endpoint, stream, deadline).await {
                Ok(stream) => {
                    self.accepted(&address, has_siblings, metrics);
                    return Ok(Opened { stream, address });
                }
                Err(error) => error,
            };
            address.failed(&error, has_siblings, metrics);
            self.endpoint_failed(address.endpoint, &error, metrics);
            if !has_siblings && self.endpoints.len() == 1 {
                return Err(error);
            }
            tried.push(address);
            failure = Some(error);
        }
    }

    /// Does the TLS handshake on a connection.
    async fn handshake(
        &self,
        connector: &TlsConnector,
        endpoint: usize,
        stream: BoundedStream,
        deadline: Instant,
    ) -> Result<TlsStream<BoundedStream>, OpenError> {
        let name = self.endpoints.get(endpoint).and_then(|endpoint| endpoint.server_name.clone());
        let Some(name) = name else { return Err(OpenError::permanent("the URL has no name for TLS")) };
        let handshake = async {
            let shaken = connector.connect(name, stream).await;
            shaken.map_err(|error| OpenError::tls(&self.peer(endpoint), &error))
        };
        self.in_time(deadline, "TLS handshake", handshake).await.map_err(OpenError::without_handshake)
    }

    /// Limits a step of opening a connection.
    pub(super) async fn in_time<T>(
        &self,
        deadline: Instant,
        what: &str,
        step: impl Future<Output = Result<T, OpenError>>,
    ) -> Result<T, OpenError> {
        let peer = || Peer { others: self.endpoints.len().saturating_sub(1), ..self.peer(0) };
        let late = |_| Err(OpenError::timeout(what, &peer(), self.connect_timeout));
        timeout_at(deadline, step).await.unwrap_or_else(late)
    }

    /// Opens one connection that speaks HTTP/1.1.
    pub(super) async fn connect_http1(&self, metrics: &Metrics) -> Result<Opened<Stream>, OpenError> {
        let deadline = Instant::now() + self.connect_timeout;
        if let Some(path) = self.socket() {
            return Ok(self.dial_socket(path, deadline).await?.map(Stream::Unix));
        }
        Ok(match &self.tls {
            None => self.connect_plain(deadline, metrics).await?.map(Stream::Tcp),
            Some(tls) => {
                let opened = self.connect_tls(&tls.http1, deadline, metrics).await?;
                opened.map(|stream| Stream::Tls(Box::new(stream)))
            }
        })
    }

    /// The backend at one of its URLs, for the cause of an error.
    pub(super) fn peer(&self, endpoint: usize) -> Peer<'_> {
        let at = self.endpoints.get(endpoint);
        Peer {
            socket: at.and_then(|at| at.socket.as_deref()),
            host: at.map_or("", |at| &at.host),
            port: at.map_or(0, |at| at.port),
            others: 0,
            server_name: at.map_or("", |at| &at.server_name_text),
            has_ca_file: self.tls.as_ref().is_some_and(|tls| tls.has_ca_file),
            has_identity: self.tls.as_ref().is_some_and(|tls| tls.has_identity),
        }
    }
}

impl<S> Opened<S> {
    pub(super) fn map<T>(self, map: impl FnOnce(S) -> T) -> Opened<T> {
        Opened { stream: map(self.stream), address: self.address }
    }
}

impl Endpoint {
    fn new(url: &Url, config: &config::Upstream, tls: bool) -> Result<Self, TlsError> {
        let host = url.host_str().unwrap_or_default();
        let is_unix = url.scheme() == "unix";
        let host_header = match &config.host_header {
            HostHeader::Forward => None,
            // The port is left out if it is the default of the scheme, as clients do.
            HostHeader::Upstream => HeaderValue::try_from(match url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            })
            .ok(),
            HostHeader::Name(name) => Some(name.clone()),
        };
        let server_name = match &config.tls.server_name {
            Some(name) => Some(name.clone()),
            None if tls => Some(tls::server_name(url)?),
            None => None,
        };
        let text = server_name.as_ref().map(|name| name.to_str().into_owned());
        let host: Box<str> = host.trim_matches(['[', ']']).into();
        Ok(Self {
            socket: is_unix.then(|| url.path().into()),
            port: url.port_or_known_default().unwrap_or(80),
            server_name_text: text.map_or_else(|| host.clone(), Into::into),
            host,
            host_header,
            server_name,
        })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Tls {
    fn new(config: &config::Upstream, http1: bool, http2: bool) -> Result<Self, TlsError> {
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
            has_ca_file: config.tls.ca_file.is_some(),
            has_identity: config.tls.identity.is_some(),
        })
    }
}

/// The authority of the backend, for logs.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let authority = Authority::try_from(endpoint.authority());
            let separator = if number > 0 { ", " } else { "" };
            write!(f, "{separator}{}", authority.as_ref().map_or("?", Authority::as_str))?;
        }
        Ok(())
    }
}
