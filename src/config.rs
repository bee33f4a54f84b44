//! The configuration: where it comes from, how it is checked, and what it is once it is.
//!
//! [`load`] is the only reader of files and of the environment. Everything behind it is parsed:
//! no `Option` here means "default", no URL is a string, no duration is an integer.

mod changes;
mod document;
mod error;
mod file_mode;
mod files;
mod fragment;
mod identity;
mod settings;
mod layer;
mod load;
mod memory;
mod merged;
mod openmetadata;
mod parse;
mod print;
mod published;
mod redaction;
mod reference;
mod revocations;
mod rule_test;
mod schema;
mod secret;
mod substitution;
#[cfg(test)]
mod tests;
mod values;
mod variables;
mod words;

pub use document::{Document, parse as parse_document};
pub use error::{ConfigError, ConfigErrors, Finding, Level, Origin};
pub use identity::IdentityFields;
pub use load::{Flags, Loaded, Sources, load};
pub use openmetadata::ENVIRONMENT as FOREIGN_ENVIRONMENT;
pub use print::print;
pub use published::{PUBLISHED_KEY_ID, published_secrets};
pub use redaction::redacted;
pub(crate) use reference::help;
pub use reference::{example, reference};
pub use revocations::{RevocationFile, RevocationFileFault, Version};
pub use rule_test::RuleTest;
pub use schema::schema;
pub use settings::{KEYS, Key, Kind, environment_name, environment_names};
pub use words::Words;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretSlice;
use url::Url;

use crate::backend::Backend;
use crate::claims::ClaimRules;
use crate::jose::{AlgorithmSet, VerificationKey};
use crate::policy::Policy;
use crate::request::ForwardAuthDialect;

/// A whole, checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where requests come in.
    pub listen: Listen,
    /// How many worker runtimes; at least 1.
    pub workers: usize,
    /// What stands behind us.
    pub backend: Backend,
    /// TLS on `listen`, if any.
    pub tls: Option<ServerTls>,
    /// Where `/livez`, `/readyz` and `/metrics` are.
    pub health_listen: SocketAddr,
    /// Where the status page is.
    pub admin_listen: SocketAddr,
    /// Where other proxies ask for decisions, if they may.
    pub forward_auth: Option<ForwardAuth>,
    /// Where requests go.
    pub upstream: Upstream,
    /// Whose tokens are believed. An entry with issuers comes before the simple list.
    pub trust: Vec<TrustEntry>,
    /// How key sets are fetched and kept.
    pub jwks: Jwks,
    /// The cache of verified tokens.
    pub token_cache: TokenCache,
    /// Where the revoked tokens are listed, and the list as it was when this was loaded.
    pub revocations: Option<(RevocationFile, Version)>,
    /// Routes and rules.
    pub policy: Policy,
    /// What `metagate check` holds routes and rules against.
    pub rule_tests: Vec<RuleTest>,
    /// The fields that tell the backend who is asking.
    pub identity: IdentityFields,
    /// DataHub's own credential, where it is let through.
    pub datahub_system: Option<DatahubSystem>,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// Peers whose `X-Forwarded-*` and PROXY protocol headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether those of peers on a Unix socket are.
    pub trusts_unix_peers: bool,
    /// What one client may ask of us.
    pub limits: Limits,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// What is logged, and how.
    pub log: Log,
}

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A path of this machine.
    Unix(PathBuf),
}

impl Listen {
    /// Its address, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// TLS on the listener.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// PEM: the certificate chain, leaf first.
    pub cert_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
    /// PEM: the authorities of client certificates.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client must have a certificate, where there are authorities for them.
    pub client_auth: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

/// A version of TLS that may be the oldest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V12,
    /// RFC 8446.
    V13,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// No certificate, no connection.
    #[default]
    Required,
    /// One that is shown must be good.
    Optional,
}

impl ServerTls {
    /// Every file of it.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert_file, &self.key_file].into_iter().chain(&self.client_ca_file)
    }
}

/// The listener where other proxies ask for decisions.
#[derive(Clone, Copy, Debug)]
pub struct ForwardAuth {
    /// Its address.
    pub listen: SocketAddr,
    /// How they name the request that they ask about.
    pub target: ForwardAuthDialect,
}

/// The backend's address and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `http` or `https`; a path in it is put before every request's path. No query, no userinfo.
    pub url: Url,
    /// To an open connection, TLS included.
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the answer.
    pub response_timeout: Duration,
    /// The longest silence within a body.
    pub idle_timeout: Duration,
    /// TLS to an `https` upstream.
    pub tls: ClientTls,
    /// What is spoken to it.
    pub protocol: UpstreamProtocol,
    /// The protocols that a connection may be switched to, in lower case. Never HTTP/2.
    pub upgrades: Vec<Box<str>>,
    /// Whether tunnels and streamed answers end when the token of their request expires.
    pub close_on_token_expiry: bool,
    /// What becomes of the `Authorization` field.
    pub authorization: UpstreamAuthorization,
}

/// What is spoken to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over `https`, by prior knowledge over `http` (RFC 9113 section 3).
    Http2,
    /// What ALPN settles on over `https`; HTTP/1.1 over `http`.
    Auto,
}

/// TLS of our own requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM: further authorities besides the platform's.
    pub ca_file: Option<PathBuf>,
    /// PEM: our certificate chain and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

impl ClientTls {
    /// Every file of it.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        self.ca_file.iter().chain(identity)
    }
}

/// What becomes of the `Authorization` field on its way upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UpstreamAuthorization {
    /// It goes on: both backends verify it again.
    #[default]
    Forward,
    /// It is removed.
    Strip,
}

/// Whose tokens are believed, and by which keys.
#[derive(Clone, Debug)]
pub struct TrustEntry {
    /// The name in logs, metrics and rules. `public-keys` for the simple list.
    pub name: Box<str>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// The algorithms its tokens may use.
    pub algorithms: AlgorithmSet,
    /// What its tokens must say.
    pub rules: ClaimRules,
    /// Whether readiness waits for its keys.
    pub optional: bool,
    /// Authorities for fetching its keys, besides the platform's.
    pub ca_file: Option<PathBuf>,
    /// The HTTP proxy for fetching its keys.
    pub proxy: Option<Url>,
}

/// Where an entry's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// Key sets, whose union counts: `http`, `https` or `file` URLs.
    Urls(Vec<Url>),
    /// OpenID Connect Discovery from the issuer (an `http` or `https` URL).
    Discovery(Url),
    /// The keys themselves.
    Inline(Vec<Arc<VerificationKey>>),
    /// HS256 with these bytes.
    SharedSecret(SecretSlice<u8>),
}

/// How key sets are fetched and kept.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "config.example.yaml documents each key")]
pub struct Jwks {
    pub refresh_interval: Duration,
    pub unknown_key_cooldown: Duration,
    pub timeout: Duration,
    pub max_stale: Duration,
    pub max_bytes: u64,
    pub max_wait: Duration,
    pub cache_dir: Option<PathBuf>,
}

/// The cache of verified tokens.
#[derive(Clone, Debug)]
pub struct TokenCache {
    /// The most memory it may hold.
    pub max_bytes: u64,
    /// The longest time a token is believed without verifying it again.
    pub max_ttl: Duration,
}

/// DataHub's system credential, `Basic <id>:<secret>` in the clear.
#[derive(Clone, Debug)]
pub struct DatahubSystem {
    /// The part before the colon.
    pub client_id: Box<str>,
    /// The part after it.
    pub client_secret: SecretSlice<u8>,
}

/// Whether a load balancer says whom a connection comes from (PROXY protocol, version 1 or 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// A connection comes from its peer.
    #[default]
    Off,
    /// A connection without a header is closed.
    Require,
}

/// What one client may ask of us.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The whole request head, in bytes.
    pub header_bytes: usize,
    /// The number of fields in it.
    pub header_count: usize,
    /// The time for the head to arrive.
    pub header_read_timeout: Duration,
    /// The whole request body, in bytes; 0 is no limit.
    pub body_bytes: u64,
    /// Connections open at once.
    pub connections: usize,
    /// Connections open at once from one client address.
    pub connections_per_client: usize,
    /// Requests in flight over all connections.
    pub requests: usize,
    /// Requests in flight of one client address.
    pub requests_per_client: usize,
    /// Memory of the process, in bytes.
    pub memory: u64,
    /// How long a connection without a verified token may keep us waiting.
    pub unverified_timeout: Duration,
    /// What is discarded of a refused request's body.
    pub discard: Discard,
    /// Requests at once on one HTTP/2 connection; 0 where HTTP/2 is off.
    pub concurrent_streams: u32,
    /// The token, in bytes.
    pub token_bytes: usize,
    /// The most of a request's body that is read for rules about GraphQL, in bytes.
    pub graphql_bytes: usize,
}

/// How much of the body of a refused request is read and thrown away.
#[derive(Clone, Copy, Debug)]
pub struct Discard {
    /// In bytes.
    pub bytes: u64,
    /// In time.
    pub timeout: Duration,
}

/// How the process ends.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// Time to go on accepting after readiness has gone.
    pub delay: Duration,
    /// Time for what runs to finish.
    pub drain_timeout: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or `target=level` directives.
    pub level: Box<str>,
    /// How it is written.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// For people.
    Text,
}
