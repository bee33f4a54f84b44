//! The backend, as configured.

use std::path::PathBuf;
use std::time::Duration;

use rustls_pki_types::ServerName;
use url::Url;

use super::TlsVersion;

/// The backend's URL, its timeouts, and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `http` or `https`; a path in it is put before every request's path. No query, no userinfo.
    pub url: Url,
    /// Further URLs of the same backend, with the same scheme and path.
    pub other_urls: Vec<Url>,
    /// The `Host` of requests.
    pub host_header: HostHeader,
    /// How long an idle connection is kept at most.
    pub keep_alive: Duration,
    /// The most connections of the process; 0 is no bound.
    pub max_connections: usize,
    /// The maximum time to open a connection, including TLS.
    pub connect_timeout: Duration,
    /// The maximum time from the end of the request to the head of the response.
    pub response_timeout: Duration,
    /// The maximum time without data within a body.
    pub idle_timeout: Duration,
    /// TLS to an `https` upstream.
    pub tls: ClientTls,
    /// The HTTP version.
    pub protocol: UpstreamProtocol,
    /// The protocols that a connection may be upgraded to, in lower case. Never HTTP/2.
    pub upgrades: Vec<Box<str>>,
    /// Whether tunnels and streamed responses end when the token of their request expires.
    pub close_on_token_expiry: bool,
    /// Whether the `Authorization` field is forwarded.
    pub authorization: UpstreamAuthorization,
    /// The most fields in the head of a response (`limits.responseFields`).
    pub response_fields: usize,
}

impl Upstream {
    /// Every URL, in the order in which they are tried.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        std::iter::once(&self.url).chain(&self.other_urls)
    }
}

/// Its URLs.
impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)?;
        self.other_urls.iter().try_for_each(|url| write!(f, ", {url}"))
    }
}

/// The `Host` of requests to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's.
    #[default]
    Forward,
    /// That of the URL.
    Upstream,
    /// This one.
    Name(http::HeaderValue),
}

/// The HTTP version of upstream connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over `https`, by prior knowledge over `http` (RFC 9113 section 3).
    Http2,
    /// What ALPN selects over `https`; HTTP/1.1 over `http`.
    Auto,
}

/// TLS of upstream connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Authorities in addition to the platform's, or the certificate of the server itself. PEM or DER.
    pub ca_file: Option<PathBuf>,
    /// PEM: our certificate chain and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The oldest accepted version.
    pub min_version: TlsVersion,
    /// The name that is sent (SNI) and that the certificate must have; without it, the host of the URL.
    pub server_name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// All files of this section.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        self.ca_file.iter().chain(identity)
    }
}

/// Whether the `Authorization` field is forwarded to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UpstreamAuthorization {
    /// It is forwarded: OpenMetadata and DataHub verify the token again.
    #[default]
    Forward,
    /// It is removed.
    Strip,
}
