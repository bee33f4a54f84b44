//! Connection-specific fields (RFC 9110 section 7.6.1).

use std::collections::HashSet;

use super::{CONNECTION, HeaderMap, HeaderName, OutboundHead, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use crate::request::{RequestFault, are_look_alikes};

/// Fields that are always connection-specific, whether `Connection` names them or not. Those with a constant in
/// `http::header` are not listed here.
pub(super) const SPECIFIC: &[&str] =
    &["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings"];

/// All of them.
static ALL_SPECIFIC: [HeaderName; 10] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static(SPECIFIC[0]),
    HeaderName::from_static(SPECIFIC[1]),
    HeaderName::from_static(SPECIFIC[2]),
    HeaderName::from_static(SPECIFIC[3]),
    HeaderName::from_static(SPECIFIC[4]),
];

/// End-to-end fields, which `Connection` must not name. Names that begin with `content-` count too.
const NEVER_NOMINATED: &[&str] = &["authorization", "host", "cookie", "transfer-encoding", "content-length"];

impl OutboundHead {
    /// Refuses a request whose `Connection` names a field that the client must not have removed. Otherwise a
    /// proxy in front of us, or the backend, could read another request than the one that was authorized.
    pub fn check_connection(&self, headers: &HeaderMap) -> Result<(), RequestFault> {
        let forbidden = |name: &str| is_end_to_end(name) || self.known.is_ours_or_a_proxys(name);
        if nominated(headers).any(|name| forbidden(name.as_str())) {
            return Err(RequestFault::BadTarget("Connection names a field that is not about the connection"));
        }
        Ok(())
    }
}

/// The further fields that `Connection` names and that may be removed. A set, because there may be thousands and
/// every field is looked up in it.
pub(super) fn removable(headers: &HeaderMap) -> HashSet<HeaderName> {
    nominated(headers).filter(|name| !is_end_to_end(name.as_str())).collect()
}

/// The fields that `Connection` names, without those that are connection-specific anyway.
fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let is_other = |option: &&[u8]| {
        !["close", "keep-alive", "te", "upgrade"]
            .iter()
            .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
    };
    list_members(headers, &CONNECTION)
        .filter(is_other)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
}

/// The members of a list field, like the options of `Connection` (RFC 9110 section 5.6.1).
pub fn list_members<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let lists = headers.get_all(name).iter();
    lists.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn is_end_to_end(name: &str) -> bool {
    let of_content = |rest: &str| rest.starts_with(|next: char| !next.is_ascii_alphanumeric());
    NEVER_NOMINATED.iter().any(|known| are_look_alikes(known, name))
        || name.strip_prefix("content").is_some_and(of_content)
}

/// Removes the connection-specific fields of a response. Most responses have none or one of them, so they are looked
/// for in one pass.
pub fn remove_connection_fields(headers: &mut HeaderMap) {
    let mut present = [false; ALL_SPECIFIC.len()];
    for name in headers.keys() {
        for (specific, present) in ALL_SPECIFIC.iter().zip(&mut present) {
            *present |= name == specific;
        }
    }
    let [has_connection, ..] = present;
    if has_connection {
        for name in removable(headers) {
            headers.remove(name);
        }
    }
    for (name, _) in ALL_SPECIFIC.iter().zip(present).filter(|(_, present)| *present) {
        headers.remove(name);
    }
}
