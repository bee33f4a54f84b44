//! Connection-specific fields (RFC 9110 section 7.6.1).

use std::collections::HashSet;

use super::{CONNECTION, HeaderMap, HeaderName, OutboundHead, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use crate::request::{RequestFault, are_look_alikes};

/// Fields that are about one connection, whether `Connection` names them or not, besides those that
/// have constants.
pub(super) const SPECIFIC: &[&str] =
    &["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings"];

/// Fields with an end-to-end meaning that `Connection` cannot take from them; all that begin with
/// `content-` are meant too.
const NEVER_NOMINATED: &[&str] = &["authorization", "host", "cookie", "transfer-encoding", "content-length"];

impl OutboundHead {
    /// Refuses a request whose `Connection` names a field that is not the client's to take away:
    /// whoever stands before or behind us would judge another request than we do.
    pub fn check_connection(&self, fields: &HeaderMap) -> Result<(), RequestFault> {
        let stolen = |name: &str| is_end_to_end(name) || self.known.is_ours_or_a_proxys(name);
        match nominated(fields).any(|name| stolen(name.as_str())) {
            true => Err(RequestFault::BadTarget("Connection names a field that is not about the connection")),
            false => Ok(()),
        }
    }
}

/// The further fields that `Connection` names and that may be taken away. A set: there may be thousands,
/// and every field is looked up in it.
pub(super) fn removable(fields: &HeaderMap) -> HashSet<HeaderName> {
    nominated(fields).filter(|name| !is_end_to_end(name.as_str())).collect()
}

/// The fields that `Connection` names, besides those that are specific anyway.
fn nominated(fields: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let plain = |option: &&[u8]| {
        !["close", "keep-alive", "te", "upgrade"]
            .iter()
            .any(|own| option.eq_ignore_ascii_case(own.as_bytes()))
    };
    fields
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(plain)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
}

fn is_end_to_end(name: &str) -> bool {
    let of_content = |rest: &str| rest.starts_with(|next: char| !next.is_ascii_alphanumeric());
    NEVER_NOMINATED.iter().any(|own| are_look_alikes(own, name))
        || name.strip_prefix("content").is_some_and(of_content)
}

/// Removes every field of an answer that is about the backend's connection alone.
pub fn remove_connection_fields(fields: &mut HeaderMap) {
    for name in removable(fields) {
        fields.remove(name);
    }
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
    for name in SPECIFIC {
        fields.remove(*name);
    }
}
