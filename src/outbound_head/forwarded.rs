//! `X-Forwarded-*` and their kin: where a request comes from, and what the backend is told of it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::policy::contains_address;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What else proxies say about where a request comes from, besides `X-Forwarded-*`; only a trusted
/// one is believed.
pub(super) const ORIGIN_FIELDS: &[&str] =
    &["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"];

/// What [`set`] writes.
pub(super) const WRITTEN_FIELDS: &[&str] = &["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

/// How many addresses of an `X-Forwarded-For` are read and passed on, the nearest ones. Real chains
/// have a few; what a client puts in front of them costs nobody more than this.
const MAX_HOPS: usize = 32;

/// The last one in `X-Forwarded-For` that is not itself a trusted proxy.
pub(super) fn source(trusted: &[IpNet], fields: &HeaderMap) -> Option<IpAddr> {
    // Several fields are one list (RFC 9110 section 5.3); the last one is the nearest.
    let nearest_first = fields
        .get_all(X_FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let mut source = None;
    for hop in nearest_first.take(MAX_HOPS) {
        // What cannot be read ends the chain: further left, anything may have been written.
        let Some(address) = address(hop) else { return source };
        source = Some(address);
        if !contains_address(trusted, address) {
            break;
        }
    }
    source
}

/// `X-Forwarded-For`, `-Proto` and `-Host`. What is there now is a trusted proxy's.
pub(super) fn set(fields: &mut HeaderMap, peer: Option<IpAddr>, tls: bool) {
    // Without an address of its own, what RFC 7239 section 6 has for that.
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_canonical().to_string());
    let before: Result<Vec<&str>, _> =
        fields.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::to_str).collect();
    let chain = match before {
        Ok(before) if !before.is_empty() => format!("{}, {peer}", nearest_hops(&before.join(", "))),
        _ => peer,
    };
    if let Ok(value) = HeaderValue::try_from(chain) {
        fields.insert(X_FORWARDED_FOR, value);
    }
    if !fields.contains_key(X_FORWARDED_PROTO) {
        fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if tls { "https" } else { "http" }));
    }
    if !fields.contains_key(X_FORWARDED_HOST)
        && let Some(host) = fields.get(HOST).cloned()
    {
        fields.insert(X_FORWARDED_HOST, host);
    }
}

/// One address of an `X-Forwarded-For`, with or without a port: load balancers of Azure and IIS
/// write one.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop.trim_ascii()).ok()?;
    // A zone is of this machine's making, and so of no other's.
    if hop.contains('%') {
        return None;
    }
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    match bare {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|with_port| with_port.ip())),
    }
}

fn nearest_hops(chain: &str) -> &str {
    match chain.rmatch_indices(',').nth(MAX_HOPS - 1) {
        Some((at, _)) => chain.get(at + 1..).unwrap_or_default().trim_start(),
        None => chain,
    }
}
