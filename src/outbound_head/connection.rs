//! Connection-specific fields (RFC 9110 section 7.6.1).

use std::collections::HashSet;

use http::HeaderName;

use super::OutboundHead;
use crate::message::field_name::{
    CONNECTION, HTTP2_SETTINGS, KEEP_ALIVE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, PROXY_CONNECTION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use crate::message::{FieldNames, Fields, LookUp};
use crate::request::{RequestFault, are_look_alikes};

/// Fields that are always connection-specific, whether `Connection` names them or not.
pub(super) const SPECIFIC: FieldNames = FieldNames::of(&[
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
    HTTP2_SETTINGS,
]);

/// End-to-end fields, which `Connection` must not name. Names that begin with `content-` count too.
const NEVER_NOMINATED: &[&str] = &["authorization", "host", "cookie", "transfer-encoding", "content-length"];

/// See [`OutboundHead::check_connection`].
pub const NOT_ABOUT_CONNECTION: RequestFault =
    RequestFault::BadTarget("Connection names a field that is not about the connection");

impl OutboundHead {
    /// Refuses a request whose `Connection` names a field that the client must not have removed. Otherwise a
    /// proxy in front of us, or the backend, could read another request than the one that was authorized.
    pub fn check_connection(&self, headers: &Fields) -> Result<(), RequestFault> {
        self.end_to_end_option(headers).map_or(Ok(()), |_| Err(NOT_ABOUT_CONNECTION))
    }

    /// The first such field that `Connection` names.
    pub fn end_to_end_option(&self, headers: &Fields) -> Option<String> {
        nominated(headers).find(|name| is_end_to_end(name) || self.known.is_ours_or_a_proxys(name))
    }
}

/// The further fields that `Connection` names and that may be removed, in lower case. A set, because there may be
/// thousands and every field is looked up in it; `None` in place of an empty one, because making it takes a while.
pub(super) fn removable(headers: &Fields) -> Option<HashSet<String>> {
    if is_plain(headers) {
        return None;
    }
    let mut names = nominated(headers).filter(|name| !is_end_to_end(name)).peekable();
    names.peek().is_some().then(|| names.collect())
}

/// Whether `Connection` names no field, as in most messages.
fn is_plain(headers: &Fields) -> bool {
    let is_option =
        |value: &[u8]| value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close");
    !headers.contains_key(CONNECTION)
        || headers.only(CONNECTION).is_some_and(|value| is_option(value.as_bytes()))
}

/// The fields that `Connection` names, without those that are connection-specific anyway.
fn nominated(headers: &Fields) -> impl Iterator<Item = String> {
    let is_other = |option: &&[u8]| {
        !["close", "keep-alive", "te", "upgrade"]
            .iter()
            .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
    };
    list_members(headers, CONNECTION)
        .filter(is_other)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .map(|name| name.as_str().to_owned())
}

/// The members of a list field, like the options of `Connection` (RFC 9110 section 5.6.1).
pub fn list_members(headers: &Fields, name: impl LookUp) -> impl Iterator<Item = &[u8]> {
    let lists = headers.get_all(name);
    lists.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn is_end_to_end(name: &str) -> bool {
    let of_content = |rest: &str| rest.starts_with(|next: char| !next.is_ascii_alphanumeric());
    NEVER_NOMINATED.iter().any(|known| are_look_alikes(known, name))
        || name.strip_prefix("content").is_some_and(of_content)
}

/// Removes the connection-specific fields of a response.
pub fn remove_connection_fields(headers: &mut Fields) {
    if headers.contains_any(SPECIFIC) {
        if let Some(nominated) = removable(headers) {
            headers.retain(|field| !nominated.contains(field.name()));
        }
        headers.remove_all(SPECIFIC);
    }
}
