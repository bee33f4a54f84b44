//! The configuration: its sources, its validation, and the typed result.
//!
//! [`load`] works in these steps:
//!
//! 1. Read each source into a layer: the defaults of the table in `settings`, each file (`file_layer`, `openmetadata`),
//!    the environment variables of OpenMetadata and DataHub, our own `METAGATE_...` variables (`environment_layers`),
//!    and the flags. Every value is checked against its [`Kind`] and keeps its position (`layer`).
//! 2. Merge the layers. A later one replaces a value or a whole list (`merged`).
//! 3. Parse the merged texts into a [`Config`] (`parse`), and collect warnings about weak settings.
//!
//! Invariants:
//!
//! - [`load`] is the only reader of configuration files and of the environment.
//! - Loading does not stop at the first error: [`ConfigErrors`] has all of them, each with its location.
//! - A [`Config`] is completely parsed: no `Option` in it means "default", no URL is a string, no duration is an
//!   integer.
//! - No error, warning, log line or output of [`print()`] contains the value of a secret (`tests/secrets.rs`).

mod bots;
mod changes;
mod counters;
mod document;
mod environment_layers;
mod error;
mod file_layer;
mod finding;
mod file_mode;
mod files;
mod fragment;
mod identity;
mod key_access;
mod settings;
mod layer;
mod listen;
mod load;
mod memory;
mod merged;
mod openmetadata;
mod output;
mod parse;
mod print;
mod proxies;
mod published;
mod redaction;
mod reference;
mod revocation_sources;
mod revocations;
mod rule_test;
mod schema;
mod secret;
mod sources;
mod spans;
mod substitution;
mod suggestion;
#[cfg(test)]
mod tests;
mod token_exchange;
mod upstream;
mod values;
mod variables;
mod words;
mod yaml_text;

pub use bots::{
    BotFile, BotFileFault, BotFileState, BotSource, BotVersion, bot_json, bots_of_members, bots_text,
};
pub use counters::{CounterNames, MAX_PREPARED_COUNTERS, REFUSED_IF_VERIFIED, reports};
pub use document::{Document, Node, Position, Value, parse as parse_document};
pub use error::{ConfigError, ConfigErrors, Origin};
pub use finding::{Finding, FindingId, Level};
pub use identity::IdentityFields;
pub use key_access::KeyAccess;
pub use listen::{Listen, ListenAddresses};
pub use load::{
    Loaded, Used, bots_are_in_store, bots_file, load, load_without_secrets, revocation_file, revocation_store,
};
pub use openmetadata::ENVIRONMENT as FOREIGN_ENVIRONMENT;
pub use output::{Audit, AuditedDecisions, Log, LogFormat};
pub use print::{print, print_set};
pub use proxies::{EnvironmentProxies, NoProxy, ProxyServer};
pub use published::{PUBLISHED_KEY_ID, published_secrets};
pub use redaction::redacted;
pub(crate) use reference::help;
pub use reference::{example, reference};
pub use revocation_sources::{ListFetching, RevocationEndpointConfig, RevocationSources, StoreAccess};
pub use revocations::{
    Checked, FileState, ListFormat, ReadList, RevocationFile, RevocationFileFault, Version, WrittenEntry,
};
pub use rule_test::RuleTest;
pub use schema::schema;
pub use settings::{KEYS, Key, Kind, environment_name, environment_names};
pub use sources::{Flags, Sources};
pub use spans::{
    OTLP_CERTIFICATE, OTLP_CLIENT_CERTIFICATE, OTLP_CLIENT_KEY, RootSampler, Sampler, SpanExport,
};
pub use token_exchange::{ExchangeConfig, ExchangeCredential, TokenEndpointConfig};
pub use upstream::{ClientTls, HostHeader, Upstream, UpstreamAuthorization, UpstreamProtocol};
pub(crate) use values::KID_IN_URL;
pub use values::log_level;
pub(crate) use values::{duration, network};
pub use words::Words;
pub(crate) use yaml_text::quoted as quoted_yaml;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretSlice;
use url::Url;

use crate::backend::Backend;
use crate::claims::ClaimRules;
use crate::cors::Cors;
use crate::jose::{AlgorithmSet, VerificationKey};
use crate::mint::Minter;
use crate::own_issuer::TokenIssuer;
use crate::policy::Policy;
use crate::rate_limiter::RateLimit;
use crate::request::{ForwardAuthDialect, PathPrefix, TokenFields};
use crate::resource_metadata::ProtectedResource;

/// A complete, validated configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: ListenAddresses,
    /// The number of worker runtimes; at least 1.
    pub workers: usize,
    /// The kind of backend behind the proxy.
    pub backend: Backend,
    /// TLS on `listen`, if any.
    pub tls: Option<ServerTls>,
    /// The listener of `/livez`, `/readyz` and `/metrics`.
    pub health_listen: SocketAddr,
    /// The listener of the status page.
    pub admin_listen: SocketAddr,
    /// Whether `POST /quit` on it shuts the process down.
    pub admin_quit: bool,
    /// Further host names under which that listener is reached, in lower case.
    pub admin_hosts: Vec<Box<str>>,
    /// The listener where other proxies ask for decisions, if configured.
    pub forward_auth: Option<ForwardAuth>,
    /// The path below which the installation is reached, if it is removed.
    pub strip_prefix: Option<PathPrefix>,
    /// Where requests are forwarded to.
    pub upstream: Upstream,
    /// The trusted issuers. Entries of the configuration with issuers come before the simple list.
    pub trust: Vec<TrustEntry>,
    /// The request fields that may hold the token.
    pub token_fields: TokenFields,
    /// Those of each element of `listen`, if it has its own. Empty if none has.
    pub listener_token_fields: Vec<Option<TokenFields>>,
    /// How key sets are fetched and cached.
    pub jwks: Jwks,
    /// The proxies of the environment.
    pub proxies: EnvironmentProxies,
    /// The cache of verified tokens.
    pub token_cache: TokenCache,
    /// Where revocations come from.
    pub revocations: RevocationSources,
    /// Routes and rules.
    pub policy: Policy,
    /// Tests of routes and rules, run by `metagate check`.
    pub rule_tests: Vec<RuleTest>,
    /// The fields that tell the backend who the caller is.
    pub identity: IdentityFields,
    /// DataHub's own credential, if it is accepted.
    pub datahub_system: Option<DatahubSystem>,
    /// Which workloads act as which user of the backend.
    pub exchange: ExchangeConfig,
    /// Mints tokens for the backend, if `mint` is configured.
    pub mint: Option<Arc<Minter>>,
    /// Issues tokens to clients, if `issuer` is configured. Its entry is one of [`Self::trust`].
    pub issuer: Option<Arc<TokenIssuer>>,
    /// The allow-list of bots, if there is one.
    pub bots: Option<BotSource>,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// Peers whose `X-Forwarded-*` and PROXY protocol headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether those headers are trusted from peers on a Unix socket.
    pub trusts_unix_peers: bool,
    /// Which web applications of other origins may send requests, if any.
    pub cors: Option<Cors>,
    /// Resources whose clients find out by themselves where to get a token.
    pub resource_metadata: Vec<ProtectedResource>,
    /// Limits on what clients may use.
    pub limits: Limits,
    /// Graceful shutdown.
    pub shutdown: Shutdown,
    /// The audit trail.
    pub audit: Audit,
    /// The level and the format of the log.
    pub log: Log,
    /// The warnings that are accepted (`check.accept`).
    pub accepted: Vec<FindingId>,
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
    /// Whether a client must present a certificate if `client_ca_file` is set.
    pub client_auth: ClientAuth,
    /// The oldest accepted version.
    pub min_version: TlsVersion,
}

/// A minimum TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V12,
    /// RFC 8446.
    V13,
}

/// Whether clients must present a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// A client without a certificate is refused.
    #[default]
    Required,
    /// A client may connect without a certificate, but an invalid one is refused.
    Optional,
}

impl ServerTls {
    /// All files of this section.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.cert_file, &self.key_file].into_iter().chain(&self.client_ca_file)
    }
}

/// The listener where other proxies ask for decisions.
#[derive(Clone, Copy, Debug)]
pub struct ForwardAuth {
    /// Its address.
    pub listen: SocketAddr,
    /// How those proxies name the request that they ask about.
    pub target: ForwardAuthDialect,
}

/// A trusted issuer, or the simple list: its keys and what its tokens must look like.
#[derive(Clone, Debug)]
pub struct TrustEntry {
    /// The name in logs, metrics and rules. `public-keys` for the simple list.
    pub name: Box<str>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// The algorithms its tokens may use.
    pub algorithms: AlgorithmSet,
    /// How the claims of its tokens are validated.
    pub rules: ClaimRules,
    /// Whether readiness waits for its keys.
    pub optional: bool,
    /// PEM: authorities for fetching its keys, in addition to the platform's.
    pub ca_file: Option<PathBuf>,
    /// The HTTP proxy for fetching its keys.
    pub proxy: Option<Url>,
    /// The credentials for fetching its keys.
    pub access: KeyAccess,
}

/// Where an entry's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// `http`, `https` or `file` URLs of key sets, which are combined.
    Urls(Vec<Url>),
    /// One `http` or `https` URL for each key, with `{kid}` as its last segment.
    ByKid(Url),
    /// OpenID Connect Discovery from the issuer (an `http` or `https` URL).
    Discovery(Url),
    /// The keys themselves.
    Inline(Vec<Arc<VerificationKey>>),
    /// HS256 with these bytes.
    SharedSecret(SecretSlice<u8>),
}

/// How key sets are fetched and cached.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "config.example.yaml documents each key")]
pub struct Jwks {
    pub refresh_interval: Duration,
    pub unknown_key_cooldown: Duration,
    pub timeout: Duration,
    pub max_stale: Duration,
    pub max_bytes: u64,
    pub max_keys: usize,
    pub max_wait: Duration,
    pub cache_dir: Option<PathBuf>,
}

/// The cache of verified tokens.
#[derive(Clone, Debug)]
pub struct TokenCache {
    /// Its maximum memory.
    pub max_bytes: u64,
    /// The maximum time a token is accepted without verifying it again.
    pub max_ttl: Duration,
}

/// DataHub's system credential, which is sent as `Basic <id>:<secret>` without base64.
#[derive(Clone, Debug)]
pub struct DatahubSystem {
    /// The part before the colon.
    pub client_id: Box<str>,
    /// The part after it.
    pub client_secret: SecretSlice<u8>,
}

/// Whether a load balancer names the source of each connection (PROXY protocol, version 1 or 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// The source of a connection is its peer.
    #[default]
    Off,
    /// A connection without a header is closed.
    Require,
}

/// Limits on what clients may use. Sizes are in bytes. A share per client is never 0: the default replaces it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "config.example.yaml documents each key")]
pub struct Limits {
    pub header_bytes: usize,
    pub target_bytes: usize,
    pub header_count: usize,
    pub header_read_timeout: Duration,
    pub body_bytes: u64,
    pub connections: usize,
    pub connections_per_client: usize,
    pub requests: usize,
    pub requests_per_client: usize,
    pub memory: u64,
    pub unverified_timeout: Duration,
    pub discard: Discard,
    pub concurrent_streams: u32,
    pub token_bytes: usize,
    pub graphql_bytes: usize,
    pub failures: Option<FailureLimit>,
    pub principal: Option<RateLimit>,
}

/// How many tokens that are not genuine a client network may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimit {
    /// The limit of each network.
    pub rate: RateLimit,
    /// How many bits of an IPv4 address make its network.
    pub ipv4_prefix: u8,
    /// The same for IPv6.
    pub ipv6_prefix: u8,
}

impl FailureLimit {
    /// The network of an address. An IPv4 address in IPv6 form is an IPv4 address.
    pub fn network(&self, address: IpAddr) -> IpNet {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { self.ipv4_prefix } else { self.ipv6_prefix };
        IpNet::new(address, prefix).unwrap_or(IpNet::from(address)).trunc()
    }
}

/// How much of the body of a refused request is read and discarded.
#[derive(Clone, Copy, Debug)]
pub struct Discard {
    /// The maximum number of bytes.
    pub bytes: u64,
    /// The maximum time.
    pub timeout: Duration,
}

/// Graceful shutdown.
#[derive(Clone, Debug)]
pub struct Shutdown {
    /// How long to keep accepting connections after readiness has failed.
    pub delay: Duration,
    /// The maximum time for running requests to finish.
    pub drain_timeout: Duration,
}
