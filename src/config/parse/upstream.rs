//! Parses `upstream`.

use std::net::SocketAddr;

use http::HeaderValue;
use rustls_pki_types::ServerName;
use url::Url;

use super::super::finding::FindingId;
use super::super::values;
use super::super::{ClientTls, HostHeader, Upstream};
use super::section::Section;
use super::{identity_files, key_source, upgrade};
use crate::request::is_authority;

/// More than anyone needs: each is tried for a request if none accepts connections.
const MAX_URLS: usize = 16;

pub(super) fn upstream(root: &Section<'_>, listen: &[SocketAddr]) -> Option<Upstream> {
    let section = root.section("upstream");
    let urls = urls(&section, listen);
    let is_unix = urls.first().is_some_and(|url| url.scheme() == "unix");
    let is_https = urls.first().is_some_and(|url| url.scheme() == "https");
    let mut urls = urls.into_iter();
    let url = urls.next();
    Some(Upstream {
        connect_timeout: section.duration("connectTimeout"),
        response_timeout: section.duration("responseTimeout"),
        idle_timeout: section.duration("idleTimeout"),
        keep_alive: section.duration("keepAlive"),
        max_connections: section.count("maxConnections"),
        host_header: host_header(&section, is_unix),
        tls: client_tls(&section.section("tls"), is_https || url.is_none()),
        protocol: section.word("protocol"),
        upgrades: section.need_list("upgrades", upgrade::upgrade),
        close_on_token_expiry: section.boolean("closeOnTokenExpiry"),
        authorization: section.word("authorization"),
        response_fields: root.section("limits").count("responseFields"),
        url: url?,
        other_urls: urls.collect(),
    })
}

/// The URLs of the backend; none if there is an error.
fn urls(section: &Section<'_>, listen: &[SocketAddr]) -> Vec<Url> {
    let read = |text: &str| values::url(text, &["http", "https", "unix"]);
    let urls = section.list("url", read).or_else(|| section.read("url", read).map(|url| vec![url]));
    let urls = urls.unwrap_or_default();
    let Some(first) = urls.first() else {
        section.missing(
            "url",
            "is missing: requests have nowhere to go",
            "set upstream.url, METAGATE_UPSTREAM__URL or --upstream, to a URL like http://127.0.0.1:8585",
        );
        return urls;
    };
    if urls.iter().any(|url| url.query().is_some()) {
        section.error("url", "must not have a query");
    } else if let Some(listen) =
        listen.iter().find(|listen| urls.iter().any(|url| key_source::is_own(url, **listen)))
    {
        let message = format!("is our own listener ({listen}): requests would loop");
        section.error_with_help(
            "url",
            message,
            "write the backend's own address, like http://127.0.0.1:8585",
        );
    }
    let is_like_first = |url: &Url| {
        url.scheme() == first.scheme()
            && url.path().trim_end_matches('/') == first.path().trim_end_matches('/')
    };
    if urls.len() > 1 && first.scheme() == "unix" {
        section.error("url", "is a list with a socket; a socket must be the only URL");
    } else if !urls.iter().all(is_like_first) {
        section.error(
            "url",
            "is a list of URLs that differ in scheme or path: each must serve the same requests",
        );
    }
    if urls.len() > MAX_URLS {
        section.error("url", format!("has {} URLs; accepted: at most {MAX_URLS}", urls.len()));
    }
    let is_repeated = |(at, url): (usize, &Url)| urls.iter().take(at).any(|other| other == url);
    if urls.iter().enumerate().any(is_repeated) {
        section.error("url", "names the same URL twice");
    }
    urls
}

fn host_header(section: &Section<'_>, is_unix: bool) -> HostHeader {
    let host = section.need_value("hostHeader", |text| match text {
        "forward" => Ok(HostHeader::Forward),
        "upstream" => Ok(HostHeader::Upstream),
        text if is_authority(text) && !text.contains('*') => {
            HeaderValue::try_from(text).map(HostHeader::Name).map_err(|error| error.to_string())
        }
        text => Err(format!(
            "{} is neither forward nor upstream, nor a host with or without a port",
            values::quote(text)
        )),
    });
    if host == HostHeader::Upstream && is_unix {
        section.error("hostHeader", "is upstream, but the URL of a socket has no host; write the host");
    }
    host
}

fn client_tls(section: &Section<'_>, is_https: bool) -> ClientTls {
    let server_name = section.read("serverName", |text| {
        ServerName::try_from(text.to_owned())
            .map_err(|_| format!("{} is neither a DNS name nor an IP address", values::quote(text)))
    });
    if server_name.is_some() && !is_https {
        let message = "has no effect without an https:// URL in upstream.url";
        section.report.warn(FindingId::NoEffect, &section.path("serverName"), message, "leave it out");
    }
    ClientTls {
        ca_file: section.file("caFile"),
        identity: identity_files(section),
        min_version: section.word("minVersion"),
        server_name,
    }
}
