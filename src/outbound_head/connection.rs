//! Connection-specific fields (RFC 9110 section 7.6.1).

use super::{CONNECTION, HeaderMap, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};

/// Fields that are about one connection, whether `Connection` names them or not.
const SPECIFIC: &[&str] =
    &["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings"];

/// Fields with an end-to-end meaning that `Connection` cannot take from them.
const NEVER_NOMINATED: &[&str] = &[
    "authorization",
    "host",
    "cookie",
    "content-length",
    "content-type",
    "content-encoding",
    "content-range",
];

/// Whether a field of this name is always about one connection alone.
pub(super) fn is_specific(name: &HeaderName) -> bool {
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name) || SPECIFIC.contains(&name.as_str())
}

/// The further fields that `Connection` names.
pub(super) fn nominated(fields: &HeaderMap) -> Vec<HeaderName> {
    fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(|name| !NEVER_NOMINATED.contains(&name.as_str()))
        .collect()
}

/// Removes every field of an answer that is about the backend's connection alone.
pub fn remove_connection_fields(fields: &mut HeaderMap) {
    for name in nominated(fields) {
        fields.remove(name);
    }
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
    for name in SPECIFIC {
        fields.remove(*name);
    }
}
