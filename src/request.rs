//! What a decision may see of a request: everything in [`RequestFacts`], nothing else.

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

mod original_request;
mod bearer;
mod field_name;
mod framing;
mod grammar;
mod graphql;
mod head;
mod host;
mod hpack;
mod http2_head;
mod parameters;
mod target;

pub use bearer::{BasicCredentials, BearerToken, Credentials};
pub use field_name::{are_look_alikes, folded};
pub use framing::{BodyFault, BodyTracker, Framing};
pub use graphql::{Graphql, GraphqlOperation, OperationKind};
pub use head::{Head, HeadLimits, HeadScanner};
pub use host::host_in_one_form;
pub use hpack::{FieldList, HpackDecoder, HpackError};
pub use http2_head::{Http2Head, check_http2_trailers};
pub use original_request::{ForwardAuthDialect, OriginalRequest};
pub use parameters::parameters;
pub use target::PathReadings;

use field_name::check_fields;
use host::Hosts;

/// One request, as far as it is judged.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    /// The method.
    pub method: Method,
    /// The path in all its readings.
    pub path: PathReadings,
    /// The host it is for, without port, in lower case; an IPv6 address in its one form.
    pub host: Box<str>,
    /// The `Host` to forward where the target itself names one: in absolute-form (RFC 9112 section
    /// 3.2.2) and by HTTP/2's `:authority` (RFC 9113 section 8.3.1).
    pub target_host: Option<HeaderValue>,
    /// What it brings to prove who is asking.
    pub credentials: Credentials,
    /// Whether it wants to act as another user of a backend that has a field for it.
    pub impersonates: bool,
    /// Whether it carries one of the backend's own login cookies.
    pub has_session_cookie: bool,
    /// Where it comes from: the peer, or what a trusted proxy says.
    pub source_ip: Option<IpAddr>,
    /// What it asks of a GraphQL endpoint; `None` where its body was not read.
    pub graphql: Option<Graphql>,
}

/// What reading a request depends on about the backend. By default, nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackendQuirks {
    /// Names of cookies that are a login.
    pub session_cookies: &'static [&'static str],
    /// Where the backend is a proxy itself: what a path begins with, behind any base path, and what
    /// is sent on in its place.
    pub rewrites: &'static [(&'static str, &'static str)],
    /// The field by which a request asks to act as another user.
    pub impersonation: Option<&'static str>,
}

/// The methods that are judged and forwarded; what `Allow` says to every other one.
pub const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Why a request is refused before anybody asks who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// The framing, the target, `Host` or `Connection`, with what is wrong about it.
    BadTarget(&'static str),
    /// A method that is not one of [`METHODS`].
    MethodNotAllowed,
    /// The target is longer than 8 KiB.
    TargetTooLong,
    /// The head is larger than the limits allow.
    HeadTooLarge,
    /// The head was begun and did not arrive in time.
    TimedOut,
    /// More than one credential.
    AmbiguousCredentials,
}

impl RequestFacts {
    /// Reads a request head. What is well-formed and a backend could read in two ways is refused
    /// here.
    pub fn read(
        method: &Method,
        target: &Uri,
        version: Version,
        fields: &HeaderMap,
        quirks: BackendQuirks,
        source_ip: impl Into<Option<IpAddr>>,
    ) -> Result<Self, RequestFault> {
        check_method(method)?;
        check_length(target)?;
        check_framing(version, fields)?;
        check_fields(fields)?;
        let Hosts { host, of_target: target_host } = Hosts::read(target, version, fields)?;
        let path = PathReadings::of(target)?.behind(quirks.rewrites)?;
        let credentials = Credentials::read(fields)?;
        Ok(Self {
            method: method.clone(),
            path,
            host,
            target_host,
            credentials,
            impersonates: quirks.impersonation.is_some_and(|field| fields.contains_key(field)),
            has_session_cookie: has_cookie(fields, quirks.session_cookies),
            source_ip: source_ip.into(),
            graphql: None,
        })
    }
}

/// RFC 9110 section 9.1: names are case-sensitive, so `get` is no method. CONNECT would make a
/// tunnel and TRACE would send the credentials back (section 9.3.8).
fn check_method(method: &Method) -> Result<(), RequestFault> {
    if METHODS.contains(method) { Ok(()) } else { Err(RequestFault::MethodNotAllowed) }
}

/// [`HeadScanner`] has counted the bytes of HTTP/1; other targets come by `:path` and by a field.
fn check_length(target: &Uri) -> Result<(), RequestFault> {
    let len = target.path_and_query().map_or(0, |path| path.as_str().len());
    if len > head::MAX_TARGET { Err(RequestFault::TargetTooLong) } else { Ok(()) }
}

/// RFC 9112 section 6: at most one statement of where the body ends. [`HeadScanner`] has read the
/// same from the bytes of HTTP/1; this is for every version.
fn check_framing(version: Version, fields: &HeaderMap) -> Result<(), RequestFault> {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let exact = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !exact || codings.next().is_some() || version != Version::HTTP_11 {
            return Err(RequestFault::BadTarget("Transfer-Encoding is not exactly chunked"));
        }
        if fields.contains_key(CONTENT_LENGTH) {
            return Err(RequestFault::BadTarget("both Transfer-Encoding and Content-Length"));
        }
    }
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (head::plain_length(length.as_bytes()).is_none() || lengths.next().is_some())
    {
        return Err(RequestFault::BadTarget("Content-Length is not one plain number"));
    }
    Ok(())
}

/// Whether a `Cookie` field has one of these names (RFC 6265 section 4.2.1).
fn has_cookie(fields: &HeaderMap, names: &[&str]) -> bool {
    !names.is_empty()
        && fields
            .get_all(COOKIE)
            .iter()
            .any(|value| value.as_bytes().split(|byte| *byte == b';').any(|cookie| is_cookie(cookie, names)))
}

/// Whether one `name=value` of a `Cookie` field has one of these names.
///
/// In bytes, because a field is a login to the backend whatever else is in it; and without the
/// commas before a name, which the frontend's own parser skips like white space.
pub(crate) fn is_cookie(cookie: &[u8], names: &[&str]) -> bool {
    let name = cookie.split(|byte| *byte == b'=').next().unwrap_or_default();
    let skipped = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
    let start = name.iter().position(|byte| !skipped(byte)).unwrap_or(name.len());
    let name = name[start..].trim_ascii_end();
    names.iter().any(|own| own.as_bytes() == name)
}

#[cfg(test)]
mod tests;
