//! Parses the source of an entry's keys.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use super::super::finding::FindingId;
use super::super::redaction::redacted;
use super::super::secret::Purpose;
use super::super::values;
use super::super::{KID_IN_URL, KeySource};
use super::section::Section;
use crate::backend::Backend;
use crate::jose::{KeyDialect, ParsedKeys, SkippedKey};
use crate::loopback::{is_localhost, is_on_this_machine, means_this_machine};
use crate::request::PathPrefix;

/// Our own addresses, and the backend behind them.
pub(super) struct Place<'a> {
    pub(super) listen: &'a [SocketAddr],
    pub(super) prefix: Option<&'a PathPrefix>,
    pub(super) backend: Backend,
    pub(super) upstream: Option<&'a Url>,
    /// The most keys of one source.
    pub(super) max_keys: usize,
}

/// The key source of an issuer entry; `None` if there is an error.
pub(super) fn key_source(entry: &Section<'_>, issuers: &[Box<str>], place: &Place<'_>) -> Option<KeySource> {
    let shared = entry.has_secret("sharedSecret");
    let urls = key_urls(entry, place);
    if let Some(document) = entry.text("publicKeys") {
        if shared || urls.is_some() {
            entry.error(
                "publicKeys",
                "is set together with publicKeyUrls or a secret; an entry has one source of keys",
            );
            return None;
        }
        return inline(entry, document, place.max_keys);
    }
    match urls {
        Some(_) if shared => {
            let key = entry.secret_key("sharedSecret");
            let message = "is set together with publicKeyUrls; an entry has either public keys or a secret";
            entry.error(&key, message);
            None
        }
        Some(urls) if urls.is_empty() => {
            let help = "leave the key out to have the keys discovered from the issuer";
            entry.missing("publicKeyUrls", "is an empty list", help);
            None
        }
        Some(urls) if urls.iter().any(is_template) => by_kid(entry, urls),
        Some(urls) => Some(KeySource::Urls(urls)),
        None if shared => entry.secret("sharedSecret", Purpose::SigningKey).map(KeySource::SharedSecret),
        None if ["publicKeyUrls", "publicKeys", "sharedSecret", "sharedSecretFile"]
            .iter()
            .any(|key| entry.in_error(key)) =>
        {
            None
        }
        None => discovery(entry, issuers),
    }
}

/// Keys written into the configuration.
fn inline(entry: &Section<'_>, document: &str, max: usize) -> Option<KeySource> {
    let keys = match ParsedKeys::parse_at_most(max, document.as_bytes(), KeyDialect::Standard) {
        Ok(keys) => keys,
        Err(fault) => {
            entry.error_with_help(
                "publicKeys",
                fault.to_string(),
                "write PEM public keys or certificates, or a JWK Set, as a text block (`|`)",
            );
            return None;
        }
    };
    for SkippedKey { kid, fault } in &keys.skipped {
        let kid = kid.as_deref().unwrap_or("without a kid");
        entry.error("publicKeys", format!("the key {} cannot be used: {fault}", values::quote(kid)));
    }
    if keys.usable.is_empty() && keys.skipped.is_empty() {
        entry.error("publicKeys", "contains no key");
    }
    Some(KeySource::Inline(keys.usable))
}

/// Keys with one URL each.
fn by_kid(entry: &Section<'_>, urls: Vec<Url>) -> Option<KeySource> {
    match <[Url; 1]>::try_from(urls) {
        Ok([template]) => Some(KeySource::ByKid(template)),
        Err(_) => {
            let help = "write one entry for it, without other key URLs";
            entry.error_with_help(
                "publicKeyUrls",
                "a URL with {kid} must be the only one of its entry",
                help,
            );
            None
        }
    }
}

/// Whether the URL has a place for a kid.
pub(super) fn is_template(url: &Url) -> bool {
    url.path().contains(KID_IN_URL)
}

fn discovery(entry: &Section<'_>, issuers: &[Box<str>]) -> Option<KeySource> {
    let help =
        "add publicKeyUrls: keys can be discovered only from one issuer that is an https:// or http:// URL";
    match issuers {
        [issuer] => match values::url(issuer, &["http", "https"]) {
            Ok(url) => {
                warn_of_http(entry, "issuer", &url);
                Some(KeySource::Discovery(url))
            }
            Err(message) => {
                entry.error_with_help("issuer", message, help);
                None
            }
        },
        [] => None,
        _ => {
            entry.error_with_help("issuer", "has several values and publicKeyUrls is not set", help);
            None
        }
    }
}

/// The key URLs of a section. URLs of our own listener are replaced by the upstream's.
pub(super) fn key_urls(section: &Section<'_>, place: &Place<'_>) -> Option<Vec<Url>> {
    let urls = section.list("publicKeyUrls", values::key_url)?;
    let urls = urls.into_iter().map(|url| via_upstream(section, url, place));
    let urls: Vec<Url> = urls.collect();
    for url in &urls {
        warn_of_http(section, "publicKeyUrls", url);
    }
    Some(urls)
}

fn via_upstream(section: &Section<'_>, url: Url, place: &Place<'_>) -> Url {
    let is_own_listener = place.listen.iter().any(|listen| is_own(&url, *listen));
    // A socket file has no URL that keys could be read from.
    let Some(upstream) = place.upstream.filter(|upstream| is_own_listener && upstream.scheme() != "unix")
    else {
        return url;
    };
    let mut rewritten = upstream.clone();
    let stripped = place.prefix.and_then(|prefix| prefix.rest(url.path()));
    let below = stripped.unwrap_or(url.path());
    rewritten.set_path(&format!("{}{below}", upstream.path().trim_end_matches('/')));
    rewritten.set_query(url.query());
    let path = section.path("publicKeyUrls");
    let (original, replacement) = (redacted(url.as_str()), redacted(rewritten.as_str()));
    section
        .report
        .info(format!("{path}: {original} is our own listener; its keys are read from {replacement}"));
    rewritten
}

/// Whether a URL names our own listener.
pub(super) fn is_own(url: &Url, listen: SocketAddr) -> bool {
    let ours = match url.host() {
        // A listener on another address cannot be reached on loopback.
        Some(Host::Domain(name)) => is_localhost(name) && means_this_machine(listen.ip()),
        Some(Host::Ipv4(ip)) => is_here(ip.into(), listen),
        Some(Host::Ipv6(ip)) => is_here(ip.into(), listen),
        None => false,
    };
    url.scheme() != "file" && ours && url.port_or_known_default() == Some(listen.port())
}

fn is_here(ip: IpAddr, listen: SocketAddr) -> bool {
    let listen_ip = listen.ip();
    ip.to_canonical() == listen_ip.to_canonical() || means_this_machine(ip) && means_this_machine(listen_ip)
}

/// Whether the upstream itself serves all of these keys. Then they cannot be fetched until the upstream is ready, which
/// may depend on us.
pub(super) fn is_upstreams_own(keys: &KeySource, place: &Place<'_>) -> bool {
    let (KeySource::Urls(urls), Some(upstream)) = (keys, place.upstream) else { return false };
    let same = |url: &Url| {
        let host = url.host() == upstream.host() || is_on_this_machine(url) && is_on_this_machine(upstream);
        url.scheme() != "file" && host && url.port_or_known_default() == upstream.port_or_known_default()
    };
    urls.iter().all(same)
}

/// Warns about unencrypted key URLs.
fn warn_of_http(section: &Section<'_>, name: &str, url: &Url) {
    if is_far_http(url) {
        let url = redacted(url.as_str());
        let message = format!("{url} is not encrypted: an attacker on the network can replace the keys");
        section.report.warn(FindingId::HttpKeyUrl, &section.path(name), message, "use https://");
    }
}

/// Whether a URL is fetched over a network without encryption. Names that resolve only within a cluster or a compose
/// network are accepted like loopback.
pub(super) fn is_far_http(url: &Url) -> bool {
    let near = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            !name.contains('.')
                || name.ends_with(".svc")
                || name.ends_with(".svc.cluster.local")
                || is_localhost(name)
        }
        _ => is_on_this_machine(url),
    };
    url.scheme() == "http" && !near
}
