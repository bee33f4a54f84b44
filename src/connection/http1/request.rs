//! From the spans of a head to a request.

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};

use crate::outbound_head::list_members;
use crate::request::{HeadScanner, RequestFault};

/// How many fields are usually added to a head before it is forwarded.
const ADDED_FIELDS: usize = 8;

/// The request of a complete head, without copying anything but the names of unusual fields.
pub(super) fn read(scanner: &mut HeadScanner, head: &Bytes) -> Result<Request<()>, RequestFault> {
    const FAULT: RequestFault = RequestFault::BadTarget("target is not of a form that requests have");
    let target = head.slice_ref(scanner.target_of(head));
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(scanner.method_of(head)).map_err(|_| FAULT)?;
    *request.uri_mut() = Uri::from_maybe_shared(target).map_err(|_| FAULT)?;
    *request.version_mut() = if scanner.is_http_11() { Version::HTTP_11 } else { Version::HTTP_10 };
    let spans = scanner.take_fields();
    let mut headers = HeaderMap::with_capacity(spans.len() + ADDED_FIELDS);
    for span in spans {
        let name = HeaderName::from_bytes(head.get(span.name).unwrap_or_default());
        let value = HeaderValue::from_maybe_shared(head.slice(span.value));
        // The scanner has checked every byte of both.
        let (Ok(name), Ok(value)) = (name, value) else { return Err(FAULT) };
        headers.append(name, value);
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// Whether the client waits for 100 (Continue) before it sends the body (RFC 9110 section 10.1.1).
pub(super) fn expects_continue<B>(request: &Request<B>) -> bool {
    let expects = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    request.version() == Version::HTTP_11 && request.headers().get(EXPECT).is_some_and(expects)
}

/// Whether the client can send another request afterwards (RFC 9112 section 9.3).
pub(super) fn keeps_alive<B>(request: &Request<B>) -> bool {
    let has = |wanted: &str| {
        list_members(request.headers(), &CONNECTION)
            .any(|option| option.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    !has("close") && (request.version() == Version::HTTP_11 || has("keep-alive"))
}
