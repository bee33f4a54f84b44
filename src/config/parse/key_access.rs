//! Parses the credentials with which an entry's keys are fetched.

use http::{HeaderName, HeaderValue};
use url::Url;

use super::super::finding::FindingId;
use super::super::key_access::KeyAccess;
use super::super::proxies::basic;
use super::super::redaction::redacted;
use super::super::secret::Purpose;
use super::super::{KeySource, values};
use super::section::Section;
use crate::loopback::is_on_this_machine;

/// Fields that the request itself, its connection or the proxy needs.
const RESERVED: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-none-match",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The keys of credentials that one origin may see.
const CREDENTIALS: [&str; 4] = ["bearerTokenFile", "clientCertFile", "clientKeyFile", "headers"];

/// The credentials of an entry. `keys` are those that they are used for.
pub(super) fn key_access(entry: &Section<'_>, keys: Option<&KeySource>) -> KeyAccess {
    let bearer_token_file = entry.file("bearerTokenFile");
    if let Some(file) = &bearer_token_file {
        entry.warn_of_mode("bearerTokenFile", file);
    }
    let headers = headers(entry);
    if bearer_token_file.is_some() && headers.iter().any(|(name, _)| *name == http::header::AUTHORIZATION) {
        entry.error("headers", "has Authorization, which bearerTokenFile sets too; set only one of them");
    }
    let access = KeyAccess {
        bearer_token_file,
        identity: identity(entry),
        headers,
        proxy_authorization: proxy_authorization(entry),
        direct: false,
    };
    if let Some(keys) = keys.filter(|_| access.has_credentials()) {
        check_origin(entry, keys);
    }
    access
}

/// The `Proxy-Authorization` of a section with `proxy`.
pub(super) fn proxy_authorization(section: &Section<'_>) -> Option<HeaderValue> {
    let secret = section.secret("proxyCredentials", Purpose::Sent)?;
    let key = section.secret_key("proxyCredentials");
    let secret = secrecy::ExposeSecret::expose_secret(&secret);
    if !secret.contains(&b':') {
        section.error(&key, "is not a user name and a password with `:` between them");
        return None;
    }
    if !section.has("proxy") {
        section
            .error(&key, "requires proxy; HTTPS_PROXY may contain its own: http://user:password@proxy:3128");
    }
    basic(secret)
}

/// The client certificate and its key: both or neither.
fn identity(entry: &Section<'_>) -> Option<(std::path::PathBuf, std::path::PathBuf)> {
    match (entry.file("clientCertFile"), entry.file("clientKeyFile")) {
        (Some(chain), Some(key)) => {
            entry.warn_of_mode("clientKeyFile", &key);
            return Some((chain, key));
        }
        (Some(_), None) => entry.error("clientCertFile", "requires clientKeyFile"),
        (None, Some(_)) => entry.error("clientKeyFile", "requires clientCertFile"),
        (None, None) => {}
    }
    None
}

fn headers(entry: &Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut found: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for header in entry.entries("headers") {
        if !header.has("name") {
            header.missing("name", "a header needs a name", "write `name: X-Api-Key`");
        }
        let name = header.read("name", values::header_name);
        let Some(secret) = header.secret("value", Purpose::Sent) else {
            if !header.has_secret("value") {
                header.missing(
                    "value",
                    "a header needs a value",
                    "write `value`, or `valueFile` for a file with it",
                );
            }
            continue;
        };
        let value = HeaderValue::from_bytes(secrecy::ExposeSecret::expose_secret(&secret));
        let (Some(name), Ok(mut value)) = (name, value) else {
            header.error(&header.secret_key("value"), "cannot be the value of a header");
            continue;
        };
        value.set_sensitive(true);
        if RESERVED.contains(&name.as_str()) {
            header.error("name", format!("`{name}` is set by metagate itself"));
        } else if found.iter().any(|(known, _)| *known == name) {
            header.error("name", format!("`{name}` is written twice"));
        }
        found.push((name, value));
    }
    found
}

/// Checks that credentials go to one server, and not over a network without encryption.
fn check_origin(entry: &Section<'_>, keys: &KeySource) {
    let Some(name) = CREDENTIALS.into_iter().find(|name| entry.has(name)) else { return };
    let urls: Vec<&Url> = match keys {
        KeySource::Urls(urls) => urls.iter().filter(|url| url.scheme() != "file").collect(),
        KeySource::Discovery(url) | KeySource::ByKid(url) => vec![url],
        KeySource::Inline(_) | KeySource::SharedSecret(_) => Vec::new(),
    };
    let Some(first) = urls.first() else {
        let message = "has no effect: the keys of this entry are not fetched over a network";
        entry.report.warn(FindingId::NoEffect, &entry.path(name), message, "leave it out");
        return;
    };
    for url in &urls {
        if url.scheme() != "https" && !is_on_this_machine(url) {
            let url = redacted(url.as_str());
            entry.error_with_help(name, format!("would be sent to {url} without encryption"), "use https://");
        } else if url.origin() != first.origin() {
            let (one, other) = (redacted(first.as_str()), redacted(url.as_str()));
            let message = format!("would be sent to two servers: {one} and {other}");
            entry.error_with_help(
                name,
                message,
                "name the key URLs of one server in an entry with credentials",
            );
        }
    }
}
