//! `X-Forwarded-*` and similar fields: finds the source address of a request and sets the fields for the backend.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderValue;
use ipnet::IpNet;

use crate::message::field_name::{HOST, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::message::{FieldValue, Fields, NotAscii};
use crate::policy::contains_address;

/// Other fields in which proxies state the source of a request. Only those of a trusted proxy are forwarded.
pub(super) const ORIGIN_FIELDS: &[&str] =
    &["forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip"];

/// The fields that [`set`] writes.
pub(super) const WRITTEN_FIELDS: &[&str] = &["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

/// How many addresses of `X-Forwarded-For` are read and forwarded, counted from the nearest. Real chains have a
/// few. The limit bounds the cost of a chain that a client makes up.
const MAX_HOPS: usize = 32;

/// The last address in `X-Forwarded-For` that is not itself a trusted proxy.
pub(super) fn source(trusted: &[IpNet], headers: &Fields) -> Option<IpAddr> {
    // Several fields are one list (RFC 9110 section 5.3); the last one is the nearest.
    let nearest_first = headers
        .get_all(X_FORWARDED_FOR)
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let mut source = None;
    for hop in nearest_first.take(MAX_HOPS) {
        // An invalid address ends the chain, because the entries before it cannot be trusted.
        let Some(address) = address(hop) else { return source };
        // One client is one address, however a proxy writes it.
        let address = address.to_canonical();
        source = Some(address);
        if !contains_address(trusted, address) {
            break;
        }
    }
    source
}

/// Sets `X-Forwarded-For`, `-Proto` and `-Host`. Existing values come from a trusted proxy.
pub(super) fn set(headers: &mut Fields, peer: Option<IpAddr>, tls: bool) {
    let peer = text_of(peer);
    if headers.contains_key(X_FORWARDED_FOR) {
        let chain = longer_chain(headers.get_all(X_FORWARDED_FOR), &peer);
        headers.insert(X_FORWARDED_FOR, chain.unwrap_or(peer));
    } else {
        headers.append(X_FORWARDED_FOR, peer);
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.append(X_FORWARDED_PROTO, HeaderValue::from_static(if tls { "https" } else { "http" }));
    }
    if !headers.contains_key(X_FORWARDED_HOST) {
        headers.append_copy(X_FORWARDED_HOST, HOST);
    }
}

/// A peer in `X-Forwarded-For`. One without an address is "unknown" (RFC 7239 section 6).
fn text_of(peer: Option<IpAddr>) -> HeaderValue {
    const UNKNOWN: HeaderValue = HeaderValue::from_static("unknown");
    match peer.map(|peer| peer.to_canonical()) {
        Some(IpAddr::V4(address)) => dotted(address).unwrap_or(UNKNOWN),
        Some(IpAddr::V6(address)) => with_colons(address).unwrap_or(UNKNOWN),
        None => UNKNOWN,
    }
}

/// Written by hand, because this runs for almost every request and formatting takes ten times as long.
fn dotted(address: Ipv4Addr) -> Option<HeaderValue> {
    let (mut text, mut len) = (*b"255.255.255.255", 0);
    let mut places = text.iter_mut();
    let mut push = |byte| {
        if let Some(place) = places.next() {
            *place = byte;
            len += 1;
        }
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            push(b'.');
        }
        if octet >= 100 {
            push(b'0' + octet / 100);
        }
        if octet >= 10 {
            push(b'0' + octet / 10 % 10);
        }
        push(b'0' + octet % 10);
    }
    HeaderValue::from_bytes(text.get(..len)?).ok()
}

fn with_colons(address: Ipv6Addr) -> Option<HeaderValue> {
    let mut text = *b"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
    let mut unused = &mut text[..];
    write!(unused, "{address}").ok()?;
    let unused = unused.len();
    HeaderValue::from_bytes(text.get(..text.len() - unused)?).ok()
}

/// The nearest addresses of a chain, and the peer. `None` if the chain is not ASCII.
fn longer_chain<'v>(chain: impl Iterator<Item = FieldValue<'v>>, peer: &HeaderValue) -> Option<HeaderValue> {
    let before = chain.map(FieldValue::to_str).collect::<Result<Vec<&str>, NotAscii>>().ok()?;
    let chain = format!("{}, {}", nearest_hops(&before.join(", ")), peer.to_str().ok()?);
    HeaderValue::try_from(chain).ok()
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
