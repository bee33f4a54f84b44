//! `X-Forwarded-*` and similar fields: finds the source address of a request and sets the fields for the backend.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::policy::contains_address;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Other fields in which proxies state the source of a request. Only those of a trusted proxy are forwarded.
pub(super) const ORIGIN_FIELDS: &[&str] =
    &["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"];

/// The fields that [`set`] writes.
pub(super) const WRITTEN_FIELDS: &[&str] = &["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

/// How many addresses of `X-Forwarded-For` are read and forwarded, counted from the nearest. Real chains have a
/// few. The limit bounds the cost of a chain that a client makes up.
const MAX_HOPS: usize = 32;

/// The last address in `X-Forwarded-For` that is not itself a trusted proxy.
pub(super) fn source(trusted: &[IpNet], headers: &HeaderMap) -> Option<IpAddr> {
    // Several fields are one list (RFC 9110 section 5.3); the last one is the nearest.
    let nearest_first = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let mut source = None;
    for hop in nearest_first.take(MAX_HOPS) {
        // An invalid address ends the chain, because the entries before it cannot be trusted.
        let Some(address) = address(hop) else { return source };
        source = Some(address);
        if !contains_address(trusted, address) {
            break;
        }
    }
    source
}

/// Sets `X-Forwarded-For`, `-Proto` and `-Host`. Existing values come from a trusted proxy.
pub(super) fn set(headers: &mut HeaderMap, peer: Option<IpAddr>, tls: bool) {
    // A peer without an address is "unknown" (RFC 7239 section 6).
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_canonical().to_string());
    let before: Result<Vec<&str>, _> =
        headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::to_str).collect();
    let chain = match before {
        Ok(before) if !before.is_empty() => format!("{}, {peer}", nearest_hops(&before.join(", "))),
        _ => peer,
    };
    if let Ok(value) = HeaderValue::try_from(chain) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if tls { "https" } else { "http" }));
    }
    if !headers.contains_key(X_FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

/// Parses one address of `X-Forwarded-For`, with or without a port. Load balancers of Azure and IIS add one.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop.trim_ascii()).ok()?;
    // A zone identifier is meaningful only on one machine.
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
