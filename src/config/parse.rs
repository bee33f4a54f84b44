//! Parses the merged texts into a [`Config`]. All sections are parsed even if one has an error.

mod backend;
mod cors;
mod datahub_actor;
mod identity;
mod impersonation;
mod issuer;
mod issuer_names;
mod key_access;
mod key_files;
mod key_source;
mod kubernetes;
mod limits;
mod listeners;
mod mint;
mod own_tokens;
mod path_prefix;
mod policy;
mod providers;
mod resource_metadata;
mod revocation_endpoint;
mod revocations;
mod roles;
mod rule_tests;
mod rule_warnings;
mod section;
mod token_endpoint;
mod token_exchange;
mod token_headers;
mod token_kinds;
mod trust;
mod unbound;
mod upgrade;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::error::ConfigError;
use super::finding::{Finding, FindingId};
use super::merged::Merged;
use super::output::{Audit, AuditedDecision, AuditedDecisions};
use super::secret::AbsentSecrets;
use super::secret::Purpose;
use super::values;
use super::words::Word as _;
use super::{
    BotSource, ClientAuth, Config, DatahubSystem, EnvironmentProxies, ExchangeConfig, Jwks, Log,
    ProxyProtocol, RevocationSources, ServerTls, Shutdown, StoreAccess, TlsVersion, TokenCache, TrustEntry,
};
use crate::backend::Backend;
use crate::mint::Minter;
use crate::own_issuer::TokenIssuer;
use crate::policy::Policy;
pub(super) use kubernetes::api_server;
use section::{Report, Section};

/// The result of parsing.
pub(super) struct Parsed {
    pub(super) config: Option<Config>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<Finding>,
    pub(super) infos: Vec<String>,
    pub(super) secret_files: Vec<PathBuf>,
}

/// Parses the merged configuration. `errors` are those found while reading the sources, and `api_server` is the URL of
/// the Kubernetes cluster that this is a pod of.
pub(super) fn parse_with(
    merged: &Merged,
    errors: Vec<ConfigError>,
    absent_secrets: AbsentSecrets,
    api_server: Option<String>,
) -> Parsed {
    let report = Report {
        errors: errors.into(),
        warnings: Vec::new().into(),
        infos: Vec::new().into(),
        secret_files: Vec::new().into(),
        absent_secrets,
        api_server,
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

/// Parses only the store of revocations.
pub(super) fn revocation_store(
    merged: &Merged,
    errors: Vec<ConfigError>,
) -> Result<Option<StoreAccess>, Vec<ConfigError>> {
    let report = Report {
        errors: errors.into(),
        warnings: Vec::new().into(),
        infos: Vec::new().into(),
        secret_files: Vec::new().into(),
        absent_secrets: AbsentSecrets::Refused,
        api_server: None,
    };
    let root = Section::root(merged, &report);
    let section = root.section("authentication").section("revocations").section("store");
    let store = revocations::store(&section);
    let errors = report.errors.into_inner();
    if errors.is_empty() { Ok(store) } else { Err(errors) }
}

fn config(root: &Section<'_>) -> Option<Config> {
    let (backend, listeners) = (root.word("backend"), listeners::listeners(root));
    let addresses = listeners.data_addresses();
    let upstream = upstream::upstream(root, &addresses);
    let jwks = jwks(&root.section("authentication").section("jwks"));
    let url = upstream.as_ref().map(|upstream| &upstream.url);
    let strip_prefix = path_prefix::path_prefix(root, backend, url);
    let place = key_source::Place {
        prefix: strip_prefix.as_ref(),
        listen: &addresses,
        backend,
        upstream: url,
        max_keys: jwks.max_keys,
    };
    let Trust { trust, mint, issuer, exchange, revocations, bots } = trust(root, &place);
    let policy = policy(root, backend, url.map_or("/", |url| url.path()), &trust, mint.as_deref());
    let datahub_system = datahub_system(root, backend);
    let (token_fields, listener_token_fields) = token_headers::all(root, backend, datahub_system.is_some());
    let proxies = root.need_list("trustedProxies", values::proxy);
    let identity = identity::identity(root, backend, &token_fields, &listener_token_fields);
    Some(Config {
        workers: workers(root),
        backend,
        tls: server_tls(&root.section("tls")),
        strip_prefix: strip_prefix.clone(),
        forward_auth: listeners.forward_auth,
        revocations,
        resource_metadata: resource_metadata::resource_metadata(root, backend, &trust),
        rule_tests: rule_tests::rule_tests(root, &policy, &trust),
        trust,
        token_fields,
        listener_token_fields,
        jwks,
        proxies: EnvironmentProxies::default(),
        token_cache: token_cache(&root.section("authentication").section("tokenCache")),
        policy,
        datahub_system,
        mint,
        issuer,
        bots,
        exchange,
        proxy_protocol: proxy_protocol(root, &proxies),
        trusts_unix_peers: proxies.contains(&None),
        trusted_proxies: proxies.into_iter().flatten().collect(),
        cors: cors::cors(root),
        limits: limits::limits(&root.section("limits"), backend),
        shutdown: shutdown(&root.section("shutdown")),
        audit: audit(&root.section("audit")),
        log: log(&root.section("log")),
        accepted: root.section("check").need_list("accept", FindingId::parse),
        // Last, so that everything else is checked even if one of these is missing.
        listen: listeners.data?,
        health_listen: listeners.health?,
        admin_listen: listeners.admin?,
        admin_quit: root.section("admin").boolean("quit"),
        admin_hosts: listeners.admin_hosts,
        identity: identity?,
        upstream: upstream?,
    })
}

/// The trusted issuers, and what depends on them.
struct Trust {
    trust: Vec<TrustEntry>,
    mint: Option<Arc<Minter>>,
    issuer: Option<Arc<TokenIssuer>>,
    exchange: ExchangeConfig,
    revocations: RevocationSources,
    bots: Option<BotSource>,
}

/// The keys to mint with, and those that sign for clients, must not be those of a trusted issuer, and some issuers take
/// part in the exchange.
fn trust(root: &Section<'_>, place: &key_source::Place<'_>) -> Trust {
    let mut trust = trust::trust(root, place);
    let mint = mint::mint(root, &trust);
    let issuer = issuer::issuer(root, &mut trust, mint.as_ref());
    let mut exchange = token_exchange::token_exchange(root, place.backend, &mut trust, mint.as_ref());
    exchange.endpoint = token_endpoint::token_endpoint(root, &exchange, issuer.as_ref());
    let revocations = revocations::revocations(root, &trust, exchange.endpoint.as_ref());
    let bots = issuer::bots(root, revocations.store.as_ref());
    Trust { trust, mint, issuer, exchange, revocations, bots }
}

fn policy(
    root: &Section<'_>,
    backend: Backend,
    upstream_path: &str,
    trust: &[TrustEntry],
    mint: Option<&Minter>,
) -> Policy {
    let mut policy = policy::policy(root, backend, upstream_path);
    policy.minted_issuer = mint.map(|minter| minter.issuer().into());
    policy.reserved_actors = datahub_actor::reserved(root, backend);
    policy.impersonation = impersonation::impersonation(root, backend, trust);
    issuer_names::refuse_unknown_issuers(root, &policy, trust);
    rule_warnings::warn(root, backend, &policy);
    rule_warnings::warn_of_counters(root, trust.len(), &policy);
    policy
}

fn workers(root: &Section<'_>) -> usize {
    match root.need_value("workers", values::integer) {
        0 => std::thread::available_parallelism().map_or(1, Into::into),
        count => usize::try_from(count).unwrap_or(1),
    }
}

fn server_tls(section: &Section<'_>) -> Option<ServerTls> {
    let identity = identity_files(section);
    let client_ca_file = section.file("clientCaFile");
    if client_ca_file.is_some() && section.file("certFile").is_none() && section.file("keyFile").is_none() {
        section.error("clientCaFile", "requires certFile and keyFile: without them TLS is off");
    }
    let client_auth = section.word("clientAuth");
    if client_auth == ClientAuth::Optional && client_ca_file.is_none() {
        section
            .error("clientAuth", "requires clientCaFile: without it no client certificate can be verified");
    }
    let min_version = section.word("minVersion");
    if min_version != TlsVersion::V12 && identity.is_none() {
        section.error("minVersion", "requires certFile and keyFile: without them TLS is off");
    }
    identity.map(|(cert_file, key_file)| ServerTls {
        cert_file,
        key_file,
        client_ca_file,
        client_auth,
        min_version,
    })
}

/// A certificate and its key: both or neither.
fn identity_files(section: &Section<'_>) -> Option<(PathBuf, PathBuf)> {
    match (section.file("certFile"), section.file("keyFile")) {
        (Some(cert), Some(key)) => {
            section.warn_of_mode("keyFile", &key);
            return Some((cert, key));
        }
        (Some(_), None) => section.error("certFile", "requires keyFile"),
        (None, Some(_)) => section.error("keyFile", "requires certFile"),
        (None, None) => {}
    }
    None
}

fn jwks(section: &Section<'_>) -> Jwks {
    Jwks {
        refresh_interval: section.duration("refreshInterval"),
        unknown_key_cooldown: section.duration("unknownKeyCooldown"),
        timeout: section.duration("timeout"),
        max_stale: section.duration("maxStale"),
        max_bytes: section.size("maxBytes"),
        max_keys: section.count("maxKeys"),
        max_wait: section.duration("maxWait"),
        cache_dir: section.file("cacheDir"),
    }
}

fn token_cache(section: &Section<'_>) -> TokenCache {
    TokenCache { max_bytes: section.size("maxBytes"), max_ttl: section.duration("maxTtl") }
}

fn frontend_peers(section: &Section<'_>, backend: Backend) -> Vec<IpNet> {
    let peers = section.need_list("frontendPeers", values::network);
    if !peers.is_empty() {
        backend::has_effect(section, "frontendPeers", backend, |preset| {
            preset.request_source.is_some_and(|field| field.has_frontend)
        });
    }
    peers
}

fn datahub_system(root: &Section<'_>, backend: Backend) -> Option<DatahubSystem> {
    let section = root.section("datahub");
    if !section.has_secret("systemClientSecret") {
        return None;
    }
    let client_secret = section.secret("systemClientSecret", Purpose::Credential);
    let client_id: Box<str> = section.need_text("systemClientId").into();
    if client_id.is_empty() || client_id.contains(':') {
        section.error("systemClientId", "must be a name without `:`");
    }
    let effect =
        backend::has_effect(&section, "systemClientSecret", backend, |preset| preset.has_system_credential);
    effect.then_some(())?;
    Some(DatahubSystem { client_id, client_secret: client_secret? })
}

fn proxy_protocol(root: &Section<'_>, proxies: &[Option<IpNet>]) -> ProxyProtocol {
    let proxy_protocol = root.word("proxyProtocol");
    if proxy_protocol == ProxyProtocol::Require && proxies.iter().flatten().next().is_none() {
        let message = "trusts every peer: any client can claim any address";
        root.report.warn(
            FindingId::ProxyProtocolAnyPeer,
            "proxyProtocol",
            message,
            "name the load balancers in trustedProxies",
        );
    }
    proxy_protocol
}

fn shutdown(section: &Section<'_>) -> Shutdown {
    Shutdown { delay: section.duration("delay"), drain_timeout: section.duration("drainTimeout") }
}

fn audit(section: &Section<'_>) -> Audit {
    let output = section.need_value("output", |text| match text {
        "" => Err("is empty; write stdout or the path of a file".to_owned()),
        text => Ok(text.to_owned()),
    });
    Audit {
        file: (output != "stdout").then(|| output.into()),
        include: AuditedDecisions::of(section.need_list("include", AuditedDecision::from_word)),
        signals: section.boolean("signals"),
    }
}

fn log(section: &Section<'_>) -> Log {
    Log { level: section.need_value("level", values::log_level), format: section.word("format") }
}
