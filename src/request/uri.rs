//! Targets as an [`Uri`], including those with octets in the query that [`Uri`] does not accept.
//!
//! RFC 3986 does not allow `"`, `<` and `>` in a query, but clients send them, and servers read them as they are. In the
//! query of an [`Uri`] each of them is written as a stand-in: the character whose code is higher by 128 (`¢`, `¼`, `¾`),
//! which has two octets. The target of a request is ASCII, so a stand-in has only one meaning, and [`written`] finds the
//! octets again that were received.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::Uri;
use http::uri::PathAndQuery;

use super::RequestFault;

pub(super) const NO_FORM: RequestFault =
    RequestFault::BadTarget("target is not of a form that requests have");
const NOT_ASCII: RequestFault = RequestFault::BadTarget("target is not ASCII");

/// The longest [`Uri`].
const MAX_URI: usize = u16::MAX as usize - 1;

/// The first octet of every stand-in in UTF-8.
const LEAD: u8 = 0xc2;
/// The difference between an octet and the last octet of its stand-in.
const HIGH: u8 = 0x80;

const fn needs_stand_in(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>')
}

/// A target in any form, with stand-ins in its query if it needs them.
///
/// # Errors
/// It is not ASCII, not of a form that requests have, or too long.
pub fn uri_of(target: &[u8]) -> Result<Uri, RequestFault> {
    if !target.is_ascii() {
        return Err(NOT_ASCII);
    }
    match with_stand_ins(target)? {
        None => Uri::try_from(target),
        Some(target) => Uri::from_maybe_shared(bytes::Bytes::from(target)),
    }
    .map_err(|_| NO_FORM)
}

/// An ASCII target with stand-ins in its query; `None` if it needs none.
///
/// # Errors
/// It is too long for an [`Uri`].
pub fn with_stand_ins(target: &[u8]) -> Result<Option<Vec<u8>>, RequestFault> {
    let query = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(query).unwrap_or_default();
    let count = query.iter().filter(|byte| needs_stand_in(**byte)).count();
    if count == 0 {
        return Ok(None);
    }
    if target.len() + count > MAX_URI {
        return Err(RequestFault::TargetTooLong);
    }
    let mut uri = Vec::with_capacity(target.len() + count);
    uri.extend_from_slice(path);
    for byte in query {
        if needs_stand_in(*byte) {
            uri.extend([LEAD, *byte | HIGH]);
        } else {
            uri.push(*byte);
        }
    }
    Ok(Some(uri))
}

/// Whether a target has stand-ins, so that it cannot be written as it is.
pub fn has_stand_ins(target: &PathAndQuery) -> bool {
    !target.as_str().is_ascii()
}

/// The target with its stand-ins percent-encoded; `None` if it is then too long. Only the query has stand-ins, so its
/// path is the same, and a query means the same once it is decoded.
pub fn percent_encoded(target: &PathAndQuery) -> Option<PathAndQuery> {
    let received = written(target);
    let (path, query) = received.split_once('?')?;
    let mut encoded = format!("{path}?");
    for octet in query.chars() {
        match u8::try_from(octet).ok().filter(|byte| needs_stand_in(*byte)) {
            // Writing to a string does not fail.
            Some(byte) => drop(write!(encoded, "%{byte:02X}")),
            None => encoded.push(octet),
        }
    }
    PathAndQuery::try_from(encoded).ok()
}

/// The target as it was received.
pub fn written(target: &PathAndQuery) -> Cow<'_, str> {
    let text = target.as_str();
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let octet =
        |one: char| u8::try_from(one).ok().map(|byte| byte ^ HIGH).filter(|byte| needs_stand_in(*byte));
    Cow::Owned(text.chars().map(|one| octet(one).map_or(one, char::from)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ascii_octet_of_a_query_is_kept() {
        for byte in (0x21..=0x7e_u8).filter(|byte| *byte != b'#') {
            for start in ["/a", "http://a.example/b"] {
                let target = format!("{start}?{0}x={0}{0}&?{0}", char::from(byte));
                let uri = uri_of(target.as_bytes()).unwrap();
                let target = target.strip_prefix("http://a.example").unwrap_or(&target);
                assert_eq!(written(uri.path_and_query().unwrap()), target, "{byte:#x}");
            }
        }
    }

    #[test]
    fn only_stand_ins_are_percent_encoded() {
        let uri = uri_of(br#"/a"{b%22?q="<%3C>{|}\"#).unwrap();
        let encoded = percent_encoded(uri.path_and_query().unwrap()).unwrap();
        assert_eq!(encoded.as_str(), r#"/a"{b%22?q=%22%3C%3C%3E{|}\"#);
        assert!(has_stand_ins(uri.path_and_query().unwrap()) && !has_stand_ins(&encoded));
        let long = uri_of(format!("/?{}", "<".repeat(30_000)).as_bytes()).unwrap();
        assert_eq!(percent_encoded(long.path_and_query().unwrap()), None);
    }

    #[test]
    fn only_a_query_gets_stand_ins() {
        for target in ["/a<b", "/a>", "http://a\"/", "/<?a", "*\"", "<a"] {
            assert!(uri_of(target.as_bytes()).is_err(), "{target}");
        }
        assert_eq!(with_stand_ins(b"/a\"b<c").unwrap(), None);
        assert_eq!(uri_of(b"/a\"b?c").unwrap().path(), "/a\"b");
    }

    /// Otherwise a client could send a stand-in itself, and two targets would look the same.
    #[test]
    fn a_stand_in_that_was_sent_is_refused() {
        for target in ["/?\u{a2}", "/\u{bc}", "/?\u{e9}", "/?a=\u{be}"] {
            assert_eq!(uri_of(target.as_bytes()), Err(NOT_ASCII), "{target}");
        }
    }

    #[test]
    fn a_target_that_becomes_too_long_is_refused() {
        let target = |quotes: usize, rest: usize| format!("/?{}{}", "\"".repeat(quotes), "a".repeat(rest));
        assert!(uri_of(target(100, MAX_URI - 202).as_bytes()).is_ok());
        assert_eq!(uri_of(target(100, MAX_URI - 201).as_bytes()), Err(RequestFault::TargetTooLong));
    }
}
