//! Parses `resourceMetadata`: resources whose clients find out by themselves where to get a token.

use url::Url;

use super::super::{TrustEntry, values};
use super::section::Section;
use crate::backend::Backend;
use crate::loopback::is_on_this_machine;
use crate::resource_metadata::ProtectedResource;

const SERVERS: &str = "authorizationServers";

pub(super) fn resource_metadata(
    root: &Section<'_>,
    backend: Backend,
    trust: &[TrustEntry],
) -> Vec<ProtectedResource> {
    let mut resources: Vec<ProtectedResource> = Vec::new();
    for section in root.entries("resourceMetadata") {
        let Some(resource) = resource(&section, backend, trust) else { continue };
        let is_other = |other: &ProtectedResource| {
            (&other.origin, &other.resource_path) == (&resource.origin, &resource.resource_path)
                || other.path == resource.path
        };
        if resources.iter().any(is_other) {
            section.error("resource", "another entry has the same resource or path");
        }
        resources.push(resource);
    }
    resources
}

fn resource(section: &Section<'_>, backend: Backend, trust: &[TrustEntry]) -> Option<ProtectedResource> {
    if !section.has("resource") {
        let help = "write the URL that users give to their client, like https://catalog.example.com/mcp";
        section.missing("resource", "is missing", help);
    }
    let scopes = section.list("scopes", scope).unwrap_or_default();
    let written = section.text("resource");
    let url = section.read("resource", resource_url);
    let url = url?;
    let authorization_servers = authorization_servers(section, backend, trust, written.unwrap_or_default());
    let path = section.read("path", values::base_path).unwrap_or_else(|| url.path().to_owned());
    let path = if path == "/" { path } else { path.trim_end_matches('/').to_owned() };
    Some(ProtectedResource {
        path: path.into(),
        resource: written?.into(),
        origin: url.origin().ascii_serialization().into(),
        resource_path: url.path().into(),
        authorization_servers,
        scopes,
        name: section.text("name").map(Into::into),
    })
}

/// RFC 9728 section 1.2: `https`, without a fragment. A query would be a part of the document's URL.
fn resource_url(text: &str) -> Result<Url, String> {
    let url = values::url(text, &["https", "http"])?;
    if url.scheme() == "http" && !is_on_this_machine(&url) {
        return Err(format!(
            "{} begins with http://; accepted: https://, or http:// on loopback",
            values::quote(text)
        ));
    }
    if url.query().is_some() {
        return Err(format!("{} has a query; write the URL without it", values::quote(text)));
    }
    Ok(url)
}

/// RFC 6749 section 3.3.
fn scope(text: &str) -> Result<Box<str>, String> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    match !text.is_empty() && text.bytes().all(is_allowed) {
        true => Ok(text.into()),
        false => Err(format!("{} is not a scope; write one without blanks and quotes", values::quote(text))),
    }
}

/// The issuers, of which every token must have this audience.
fn authorization_servers(
    section: &Section<'_>,
    backend: Backend,
    trust: &[TrustEntry],
    resource: &str,
) -> Vec<Box<str>> {
    let named = section.texts(SERVERS);
    if named.is_empty() && !backend.preset().has_resource_metadata && !section.in_error(SERVERS) {
        let message = "is missing: clients would not learn where to get a token";
        section.error_with_help(SERVERS, message, "name the entries of authentication.issuers");
    }
    let servers = named.iter().filter_map(|name| match server(name, trust) {
        Ok((issuer, entries)) => {
            for entry in
                entries.iter().filter(|entry| !entry.rules.audiences.iter().any(|it| **it == *resource))
            {
                let message = format!(
                    "tokens of `{}` for this resource must have it as their audience: its audiences are [{}]",
                    entry.name,
                    entry.rules.audiences.join(", ")
                );
                section.error_with_help(
                    SERVERS,
                    message,
                    format!("add {resource} to the audiences of `{}`", entry.name),
                );
            }
            Some(issuer)
        }
        Err(message) => {
            section.error(SERVERS, message);
            None
        }
    });
    servers.collect()
}

/// The issuer that is named by its entry or by its URL, and the entries that verify its tokens.
fn server<'t>(name: &str, trust: &'t [TrustEntry]) -> Result<(Box<str>, Vec<&'t TrustEntry>), String> {
    let is_url = |text: &str| text.starts_with("https://") || text.starts_with("http://");
    if let Some(entry) = trust.iter().find(|entry| *entry.name == *name) {
        return match &*entry.rules.issuers {
            [issuer] if is_url(issuer) => Ok((issuer.clone(), vec![entry])),
            issuers => Err(format!(
                "the issuers of `{name}` are [{}]; write the URL of the one that gives tokens to clients",
                issuers.join(", ")
            )),
        };
    }
    let entries: Vec<_> =
        trust.iter().filter(|entry| entry.rules.issuers.iter().any(|issuer| **issuer == *name)).collect();
    match is_url(name) && !entries.is_empty() {
        true => Ok((name.into(), entries)),
        false => Err(format!(
            "{} is neither the name of an entry of authentication.issuers nor the URL of one's issuer",
            values::quote(name)
        )),
    }
}
