//! Connection-specific fields (RFC 9110 section 7.6.1).

use super::{CONNECTION, HeaderMap, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};

/// Fields that end-to-end meaning must not be taken from, even if `Connection` names them.
const NEVER_NOMINATED: &[&str] = &[
    "authorization",
    "host",
    "cookie",
    "content-length",
    "content-type",
    "content-encoding",
    "content-range",
];

/// Removes every field that is about this connection alone, in a request or in an answer: the
/// known ones and those that `Connection` names.
pub fn remove_connection_fields(fields: &mut HeaderMap) {
    if fields.contains_key(CONNECTION) {
        let nominated: Vec<HeaderName> = fields
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .filter(|name| !NEVER_NOMINATED.contains(&name.as_str()))
            .collect();
        for name in nominated {
            fields.remove(name);
        }
    }
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        fields.remove(name);
    }
    for name in
        ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings"]
    {
        fields.remove(name);
    }
}
