//! From the bytes of a head to a request.

use bytes::Bytes;
use http::{Method, Uri, Version};

use crate::message::field_name::{CONNECTION, EXPECT};
use crate::message::{Fields, Head};
use crate::outbound_head::list_members;
use crate::request::{HeadScanner, RequestFault, uri_of};

/// The request of a complete head, of which nothing is copied.
///
/// # Errors
/// The target, which `scanner` accepted, is not accepted by [`Uri`].
pub(super) fn read(scanner: &HeadScanner, head: &Bytes, headers: Fields) -> Result<Box<Head>, RequestFault> {
    let target = scanner.target_of(head);
    // Few queries have an octet that needs a copy of the target.
    let uri = Uri::from_maybe_shared(head.slice_ref(target)).or_else(|_| uri_of(target))?;
    let method = Method::from_bytes(scanner.method_of(head));
    let method = method.map_err(|_| RequestFault::BadTarget("method is not a token"))?;
    let version = if scanner.is_http_11() { Version::HTTP_11 } else { Version::HTTP_10 };
    Ok(Box::new(Head { method, uri, version, headers }))
}

/// Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 section 10.1.1).
pub(super) fn expects_continue(head: &Head) -> bool {
    head.version == Version::HTTP_11
        && head
            .headers
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether the client can send another request afterwards (RFC 9112 section 9.3).
pub(super) fn keeps_alive(head: &Head) -> bool {
    let has = |wanted: &str| {
        list_members(&head.headers, CONNECTION).any(|option| option.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    !has("close") && (head.version == Version::HTTP_11 || has("keep-alive"))
}
