//! The merged configuration, from texts to what they mean. Nothing stops at the first error.

mod datahub_actor;
mod forward_auth;
mod impersonation;
mod issuer_names;
mod key_source;
mod limits;
mod own_tokens;
mod policy;
mod protocol;
mod revocations;
mod rule_tests;
mod rule_warnings;
mod section;
mod token_kinds;
mod trust;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::error::{ConfigError, Finding};
use super::layer::Merged;
use super::secret::Purpose;
use super::values;
use super::{
    ClientAuth, ClientTls, Config, DatahubSystem, IdentityFields, Jwks, Listen, Log, LogFormat,
    ProxyProtocol, ServerTls, Shutdown, TlsVersion, TokenCache, Upstream, UpstreamAuthorization,
    UpstreamProtocol,
};
use crate::backend::Backend;
use crate::request::are_look_alikes;
use section::{Report, Section};

/// What came out.
pub(super) struct Parsed {
    pub(super) config: Option<Config>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Finding>,
    pub(super) infos: Vec<String>,
    pub(super) secret_files: Vec<PathBuf>,
}

/// Reads the merged configuration. `errors` are those that the sources had already.
pub(super) fn parse(merged: &Merged, errors: Vec<ConfigError>) -> Parsed {
    let report = Report {
        errors: errors.into(),
        warnings: Vec::new().into(),
        infos: Vec::new().into(),
        secret_files: Vec::new().into(),
    };
    let config = config(&Section::root(merged, &report));
    Parsed {
        config,
        errors: report.errors.into_inner(),
        warnings: report.warnings.into_inner(),
        infos: report.infos.into_inner(),
        secret_files: report.secret_files.into_inner(),
    }
}

fn config(root: &Section<'_>) -> Option<Config> {
    let authentication = root.section("authentication");
    let backend = backend(root);
    let listen = root.need("listen", values::listen, Listen::Tcp(([0, 0, 0, 0], 0).into()));
    let address = listen.address();
    let upstream = upstream(root, address);
    let place =
        trust::Place { listen: address, backend, upstream: upstream.as_ref().map(|upstream| &upstream.url) };
    let trust = trust::trust(root, &place);
    let upstream_path = upstream.as_ref().map_or("/", |upstream| upstream.url.path());
    let mut policy = policy::policy(root, backend, upstream_path);
    policy.reserved_actors = datahub_actor::reserved(root, backend);
    policy.impersonation = impersonation::impersonation(root, backend, &trust);
    issuer_names::refuse_unknown_issuers(root, &policy, &trust);
    rule_warnings::warn(root, backend, &policy);
    let rule_tests = rule_tests::rule_tests(root, &policy, &trust);
    let datahub_system = datahub_system(root, backend);
    let proxies = root.list("trustedProxies", values::proxy).unwrap_or_default();
    let revocations = revocations::revocations(root, &trust);
    Some(Config {
        workers: workers(root),
        backend,
        tls: server_tls(&root.section("tls")),
        health_listen: health_listen(root, address),
        admin_listen: admin_listen(root, address),
        forward_auth: forward_auth::forward_auth(root, address),
        listen,
        trust,
        jwks: jwks(&authentication.section("jwks")),
        token_cache: token_cache(&authentication.section("tokenCache")),
        revocations,
        policy,
        rule_tests,
        identity: identity(root, backend),
        datahub_system,
        proxy_protocol: proxy_protocol(root),
        trusts_unix_peers: proxies.contains(&None),
        trusted_proxies: proxies.into_iter().flatten().collect(),
        limits: limits::limits(&root.section("limits")),
        shutdown: shutdown(&root.section("shutdown")),
        log: log(&root.section("log")),
        // Last: everything else is looked at even where this is missing.
        upstream: upstream?,
    })
}

fn backend(root: &Section<'_>) -> Backend {
    let read =
        |text: &str| Backend::from_name(text).ok_or_else(|| format!("{} is no backend", values::quote(text)));
    root.need("backend", read, Backend::Generic)
}

fn workers(root: &Section<'_>) -> usize {
    match root.need("workers", values::integer, 1) {
        0 => std::thread::available_parallelism().map_or(1, Into::into),
        count => usize::try_from(count).unwrap_or(1),
    }
}

fn health_listen(root: &Section<'_>, listen: Option<SocketAddr>) -> SocketAddr {
    let health = root.section("health");
    let address = health.need("listen", values::address, ([127, 0, 0, 1], 0).into());
    if let Some(listen) = listen.filter(|listen| collide(address, *listen)) {
        health.error("listen", format!("{address} is the data listener's own address ({listen})"));
    }
    address
}

fn admin_listen(root: &Section<'_>, listen: Option<SocketAddr>) -> SocketAddr {
    let admin = root.section("admin");
    let address = admin.need("listen", values::address, ([127, 0, 0, 1], 0).into());
    let health = root.section("health").need("listen", values::address, ([127, 0, 0, 1], 0).into());
    if !address.ip().to_canonical().is_loopback() {
        let message = format!("{address} can be reached from other machines, and asks nobody who they are");
        root.report.warn(&admin.path("listen"), message, "use a loopback address, like 127.0.0.1:8687");
    }
    if let Some(listen) = listen.filter(|listen| collide(address, *listen)) {
        admin.error("listen", format!("{address} is the data listener's own address ({listen})"));
    } else if collide(address, health) {
        admin.error("listen", format!("{address} is the health listener's own address ({health})"));
    }
    address
}

/// Whether two listeners would want the same port of the same address.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

fn upstream(root: &Section<'_>, listen: Option<SocketAddr>) -> Option<Upstream> {
    let section = root.section("upstream");
    let url = section.read("url", |text| values::url(text, &["http", "https", "unix"]));
    match &url {
        None => section.missing(
            "url",
            "is missing: requests have nowhere to go",
            "set upstream.url, METAGATE_UPSTREAM__URL or --upstream, to a URL like http://127.0.0.1:8585",
        ),
        Some(url) if url.query().is_some() => {
            section.error("url", "has a query, which no request could keep")
        }
        Some(url) => {
            if let Some(listen) = listen.filter(|listen| key_source::is_own(url, *listen)) {
                let message = format!("is our own listener ({listen}): requests would go round in circles");
                section.error("url", message);
            }
        }
    }
    Some(Upstream {
        connect_timeout: time(&section, "connectTimeout"),
        response_timeout: time(&section, "responseTimeout"),
        idle_timeout: time(&section, "idleTimeout"),
        tls: client_tls(&section.section("tls")),
        protocol: section.need("protocol", protocol::upstream_protocol, UpstreamProtocol::Http1),
        upgrades: section.list("upgrades", protocol::upgrade).unwrap_or_default(),
        close_on_token_expiry: section.need("closeOnTokenExpiry", values::boolean, false),
        authorization: section.need(
            "authorization",
            values::upstream_authorization,
            UpstreamAuthorization::Forward,
        ),
        url: url?,
    })
}

fn time(section: &Section<'_>, name: &str) -> Duration {
    section.need(name, values::duration, Duration::ZERO)
}

fn size(section: &Section<'_>, name: &str) -> u64 {
    section.need(name, values::size, 0)
}

fn count(section: &Section<'_>, name: &str) -> usize {
    section.need(name, |text| values::integer(text).and_then(fits), 0)
}

fn fits<T: TryFrom<u64>>(number: u64) -> Result<T, String> {
    T::try_from(number).map_err(|_| "is too large".to_owned())
}

fn server_tls(section: &Section<'_>) -> Option<ServerTls> {
    let identity = identity_files(section);
    let client_ca_file = section.file("clientCaFile");
    if client_ca_file.is_some() && section.file("certFile").is_none() && section.file("keyFile").is_none() {
        section.error("clientCaFile", "needs certFile and keyFile: without them there is no TLS");
    }
    let read = |text: &str| match text {
        "required" => Ok(ClientAuth::Required),
        "optional" => Ok(ClientAuth::Optional),
        _ => Err(format!("{} is not accepted", values::quote(text))),
    };
    let client_auth = section.need("clientAuth", read, ClientAuth::Required);
    if client_auth == ClientAuth::Optional && client_ca_file.is_none() {
        section.error("clientAuth", "needs clientCaFile: no client certificate could be verified");
    }
    let min_version = section.need("minVersion", protocol::tls_version, TlsVersion::V12);
    if min_version != TlsVersion::V12 && identity.is_none() {
        section.error("minVersion", "needs certFile and keyFile: without them there is no TLS");
    }
    identity.map(|(cert_file, key_file)| ServerTls {
        cert_file,
        key_file,
        client_ca_file,
        client_auth,
        min_version,
    })
}

fn client_tls(section: &Section<'_>) -> ClientTls {
    ClientTls {
        ca_file: section.file("caFile"),
        identity: identity_files(section),
        min_version: section.need("minVersion", protocol::tls_version, TlsVersion::V12),
    }
}

/// A certificate and its key: both or neither.
fn identity_files(section: &Section<'_>) -> Option<(PathBuf, PathBuf)> {
    match (section.file("certFile"), section.file("keyFile")) {
        (Some(cert), Some(key)) => {
            section.warn_of_mode("keyFile", &key);
            return Some((cert, key));
        }
        (Some(_), None) => {
            section.error("certFile", "needs keyFile: a certificate is nothing without its key")
        }
        (None, Some(_)) => {
            section.error("keyFile", "needs certFile: a key is nothing without its certificate")
        }
        (None, None) => {}
    }
    None
}

fn jwks(section: &Section<'_>) -> Jwks {
    Jwks {
        refresh_interval: time(section, "refreshInterval"),
        unknown_key_cooldown: time(section, "unknownKeyCooldown"),
        timeout: time(section, "timeout"),
        max_stale: time(section, "maxStale"),
        max_bytes: size(section, "maxBytes"),
        max_wait: time(section, "maxWait"),
        cache_dir: section.file("cacheDir"),
    }
}

fn token_cache(section: &Section<'_>) -> TokenCache {
    TokenCache { max_bytes: size(section, "maxBytes"), max_ttl: time(section, "maxTtl") }
}

/// Fields that mean something else in every request.
const NOT_FOR_IDENTITY: [&str; 18] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "traceparent",
];

fn identity(root: &Section<'_>, backend: Backend) -> IdentityFields {
    let section = root.section("identity");
    let fallback = HeaderName::from_static("x-forwarded-user");
    let read = |name: &str| section.need(name, values::header_name, fallback.clone());
    let fields = ["user", "email", "groups"].map(|name| (name, read(name)));
    for (index, (name, field)) in fields.iter().enumerate() {
        if NOT_FOR_IDENTITY.iter().any(|own| are_look_alikes(own, field.as_str())) {
            section.error(name, format!("`{field}` has a meaning of its own"));
        }
        let mut before = fields.iter().take(index);
        if let Some((other, _)) = before.find(|(_, other)| are_look_alikes(other.as_str(), field.as_str())) {
            section.error(name, format!("`{field}` is also identity.{other}"));
        }
    }
    let datahub_actor = datahub_actor::is_set(&section, backend);
    let [(_, user), (_, email), (_, groups)] = fields;
    let datahub_frontend_peers = frontend_peers(&root.section("datahub"), backend);
    IdentityFields { user, email, groups, datahub_actor, datahub_frontend_peers }
}

fn frontend_peers(section: &Section<'_>, backend: Backend) -> Vec<IpNet> {
    let peers = section.list("frontendPeers", values::network).unwrap_or_default();
    if !peers.is_empty() && backend != Backend::DataHubGms {
        let message = format!("has no effect with backend {}", backend.as_str());
        section.report.warn("datahub.frontendPeers", message, "it is for backend: datahub-gms");
    }
    peers
}

fn datahub_system(root: &Section<'_>, backend: Backend) -> Option<DatahubSystem> {
    let section = root.section("datahub");
    let gms = backend == Backend::DataHubGms;
    if !section.has_secret("systemClientSecret") {
        return None;
    }
    let client_secret = section.secret("systemClientSecret", Purpose::Credential);
    let client_id: Box<str> = section.text("systemClientId").unwrap_or_default().into();
    if client_id.is_empty() || client_id.contains(':') {
        section.error("systemClientId", "must be a name without `:`");
    }
    if !gms {
        let message = format!("has no effect with backend {}", backend.as_str());
        section.report.warn("datahub.systemClientSecret", message, "it is for backend: datahub-gms");
        return None;
    }
    Some(DatahubSystem { client_id, client_secret: client_secret? })
}

fn proxy_protocol(root: &Section<'_>) -> ProxyProtocol {
    if root.text("proxyProtocol") != Some("require") {
        return ProxyProtocol::Off;
    }
    if root.list("trustedProxies", values::network).unwrap_or_default().is_empty() {
        let message = "believes whoever connects: any peer can name any address";
        root.report.warn("proxyProtocol", message, "name the load balancers in trustedProxies");
    }
    ProxyProtocol::Require
}

fn shutdown(section: &Section<'_>) -> Shutdown {
    Shutdown { delay: time(section, "delay"), drain_timeout: time(section, "drainTimeout") }
}

fn log(section: &Section<'_>) -> Log {
    let level = section.need("level", values::log_level, "info".into());
    let format = |text: &str| Ok(if text == "text" { LogFormat::Text } else { LogFormat::Json });
    Log { level, format: section.need("format", format, LogFormat::Json) }
}
