//! From a request head to [`RequestFacts`], the only view of a request that a decision has.
//!
//! A head that is malformed, or that a backend could read in two ways, is refused here, before any credential is
//! verified:
//!
//! 1. [`HeadScanner`] (HTTP/1) and [`Http2Head`] (HTTP/2, after [`HpackDecoder`]) check the bytes of the head;
//!    [`BodyTracker`] finds where the body ends.
//! 2. [`RequestFacts::read`] checks method, target, framing, fields and `Host`. It computes every reading of the
//!    path ([`PathReadings`]) and reads the [`Credentials`].
//! 3. If a rule needs it, [`Graphql::read`] adds the operations that the body asks for.
//!
//! The module is pure: it has no clock and does no input or output. It does not decide whether a request is allowed.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, Uri, Version};

mod original_request;
mod bearer;
mod fault_place;
mod field_lines;
mod field_name;
mod framing;
mod grammar;
mod graphql;
mod head;
mod host;
mod hpack;
mod http2_head;
mod parameters;
mod path_prefix;
mod repeated;
mod revocation_request;
mod target;
mod token_fields;
mod token_request;
mod uri;

pub use bearer::{BasicCredentials, BearerToken, Credentials};
pub use fault_place::FaultPlace;
pub(crate) use field_lines::{FieldFault, FieldLine, FieldLines, LINE_END};
pub use field_name::{are_look_alikes, folded};
pub use framing::{BodyFault, BodyTracker, Framing};
pub(crate) use framing::{FramingFields, Run};
pub(crate) use grammar::value_len;
pub use graphql::{Graphql, GraphqlOperation, OperationKind};
pub use head::{Head, HeadLimits, HeadScanner};
pub use host::{canonical_host, is_authority};
pub use hpack::{FieldList, HpackDecoder, HpackError};
pub use http2_head::{Http2Head, check_http2_trailers};
pub use original_request::{ForwardAuthDialect, OriginalRequest};
pub use parameters::parameters;
pub use path_prefix::{PathPrefix, PrefixedRedirect};
pub use repeated::RepeatedSections;
pub use revocation_request::RevocationRequest;
pub use target::PathReadings;
pub use token_fields::{TokenField, TokenFields};
pub use token_request::{TokenError, TokenRequest, TokenRequestFault, TokenType};
pub use uri::{has_stand_ins, percent_encoded, uri_of, with_stand_ins, written};

use field_name::check_fields;
use host::Hosts;

use crate::message::Fields;
use crate::message::field_name::{CONTENT_LENGTH, COOKIE, TRANSFER_ENCODING};

/// What a decision knows about one request.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    /// The method.
    pub method: Method,
    /// The path in all its readings.
    pub path: PathReadings,
    /// The requested host, without port and in lower case; an IPv6 address in canonical form.
    pub host: Arc<str>,
    /// The `Host` to forward if the target itself names one: in absolute-form (RFC 9112 section
    /// 3.2.2) or in HTTP/2's `:authority` (RFC 9113 section 8.3.1); or if the host that was sent ends with a dot.
    pub target_host: Option<HeaderValue>,
    /// The content of the `Authorization` field, or of another one that may hold the token.
    pub credentials: Credentials,
    /// Whether `Authorization` is one of the fields that may hold the token.
    pub reads_authorization: bool,
    /// Whether the request asks to act as another user ([`BackendQuirks::impersonation`]).
    pub impersonates: bool,
    /// Whether it carries one of the backend's own login cookies.
    pub has_session_cookie: bool,
    /// The client's address: the peer's, or the one that a trusted proxy reports.
    pub source_ip: Option<IpAddr>,
    /// The GraphQL operations of the request; `None` if its body was not read.
    pub graphql: Option<Graphql>,
}

/// Properties of the backend that change how a request is read. The default has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackendQuirks {
    /// Names of the cookies that carry a login.
    pub session_cookies: &'static [&'static str],
    /// Path rewrites of a backend that is itself a proxy: the prefix that it replaces (after any base path),
    /// and the replacement.
    pub rewrites: &'static [(&'static str, &'static str)],
    /// The field with which a request asks to act as another user.
    pub impersonation: Option<&'static str>,
}

/// The methods that are authorized and forwarded. The response to any other lists them in `Allow`.
pub const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Why a request is refused before its credentials are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// The framing, the target, `Host` or a field is malformed or ambiguous; the text says how.
    BadTarget(&'static str),
    /// A method that is not one of [`METHODS`].
    MethodNotAllowed,
    /// The target is longer than the limit.
    TargetTooLong,
    /// The head is larger than the limits allow.
    HeadTooLarge,
    /// The head was not complete in time.
    TimedOut,
    /// The path is not below [`PathPrefix`].
    OutsidePrefix,
    /// More than one credential; the text says where.
    AmbiguousCredentials(&'static str),
}

impl RequestFacts {
    /// Reads a request head. Refuses it if it is malformed or if a backend could read it in two ways.
    ///
    /// # Errors
    /// Why the head is refused.
    pub fn read(
        method: &Method,
        target: &Uri,
        version: Version,
        headers: &Fields,
        quirks: BackendQuirks,
        source_ip: impl Into<Option<IpAddr>>,
    ) -> Result<Self, RequestFault> {
        let fields = TokenFields::default();
        Self::read_with(&fields, method, target, version, headers, quirks, source_ip).map(|facts| *facts)
    }

    /// The same, with the token in one of these fields. Boxed, because facts are passed on many times and are large.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn read_with(
        token_fields: &TokenFields,
        method: &Method,
        target: &Uri,
        version: Version,
        headers: &Fields,
        quirks: BackendQuirks,
        source_ip: impl Into<Option<IpAddr>>,
    ) -> Result<Box<Self>, RequestFault> {
        check_method(method)?;
        check_framing(version, headers)?;
        check_fields(headers)?;
        let Hosts { host, target_host } = Hosts::read(target, version, headers)?;
        let path = PathReadings::of(target)?.with_rewrites(quirks.rewrites)?;
        let fields = FieldFacts {
            host: host.into(),
            target_host,
            credentials: token_fields.read(headers)?,
            reads_authorization: token_fields.has_authorization(),
            impersonates: quirks.impersonation.is_some_and(|field| headers.contains_key(field)),
            has_session_cookie: has_cookie(headers, quirks.session_cookies),
        };
        Ok(Self::of(fields, method, path, source_ip.into()))
    }

    /// The facts of a request whose fields were read before. `target` has no authority.
    ///
    /// # Errors
    /// The method or the target is refused.
    pub fn with_known(
        fields: &FieldFacts,
        method: &Method,
        target: &Uri,
        quirks: BackendQuirks,
        source_ip: Option<IpAddr>,
    ) -> Result<Box<Self>, RequestFault> {
        check_method(method)?;
        let path = PathReadings::of(target)?.with_rewrites(quirks.rewrites)?;
        Ok(Self::of(fields.clone(), method, path, source_ip))
    }

    fn of(fields: FieldFacts, method: &Method, path: PathReadings, source_ip: Option<IpAddr>) -> Box<Self> {
        Box::new(Self {
            method: method.clone(),
            path,
            host: fields.host,
            target_host: fields.target_host,
            credentials: fields.credentials,
            reads_authorization: fields.reads_authorization,
            impersonates: fields.impersonates,
            has_session_cookie: fields.has_session_cookie,
            source_ip,
            graphql: None,
        })
    }

    /// The facts that depend only on the fields, if the target has no authority.
    pub fn of_fields(&self) -> FieldFacts {
        FieldFacts {
            host: self.host.clone(),
            target_host: self.target_host.clone(),
            credentials: self.credentials.clone(),
            reads_authorization: self.reads_authorization,
            impersonates: self.impersonates,
            has_session_cookie: self.has_session_cookie,
        }
    }
}

/// The facts about the fields of a request.
#[derive(Clone, Debug)]
pub struct FieldFacts {
    host: Arc<str>,
    target_host: Option<HeaderValue>,
    credentials: Credentials,
    reads_authorization: bool,
    impersonates: bool,
    has_session_cookie: bool,
}

/// Credentials are searched for in other parts of a message only if they have this many bytes. No signed token is shorter,
/// and a short text may be anywhere, as in `Content-Length`.
pub const SHORTEST_SEARCHED: usize = 32;

impl RequestFacts {
    /// Whether the target has the request's bearer token in it.
    pub fn has_token_in_target(&self) -> bool {
        let Credentials::Bearer(token) = &self.credentials else { return false };
        let (target, token) = (self.path.path_and_query().as_str(), token.as_str());
        token.len() >= SHORTEST_SEARCHED && target.contains(token)
    }
}

/// RFC 9110 section 9.1: names are case-sensitive, so `get` is refused. CONNECT would open a
/// tunnel and TRACE would send the credentials back (section 9.3.8).
fn check_method(method: &Method) -> Result<(), RequestFault> {
    if METHODS.contains(method) { Ok(()) } else { Err(RequestFault::MethodNotAllowed) }
}

/// RFC 9112 section 6: at most one field says where the body ends. [`HeadScanner`] has already checked this in the
/// bytes of HTTP/1; this check is for every version.
fn check_framing(version: Version, headers: &Fields) -> Result<(), RequestFault> {
    let mut codings = headers.get_all(TRANSFER_ENCODING);
    if let Some(coding) = codings.next() {
        let exact = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !exact || codings.next().is_some() || version != Version::HTTP_11 {
            return Err(RequestFault::BadTarget(framing::NOT_CHUNKED));
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(RequestFault::BadTarget(framing::BOTH_FRAMINGS));
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH);
    if let Some(length) = lengths.next()
        && (framing::plain_length(length.as_bytes()).is_none() || lengths.next().is_some())
    {
        return Err(RequestFault::BadTarget(framing::NOT_A_LENGTH));
    }
    Ok(())
}

/// Whether a `Cookie` field has one of these names (RFC 6265 section 4.2.1).
pub(crate) fn has_cookie(headers: &Fields, names: &[&str]) -> bool {
    !names.is_empty()
        && headers
            .get_all(COOKIE)
            .any(|value| value.as_bytes().split(|byte| *byte == b';').any(|cookie| is_cookie(cookie, names)))
}

/// Whether one `name=value` of a `Cookie` field has one of these names.
///
/// Compares bytes, because the backend accepts the login cookie even if the rest of the field is not valid text.
/// Skips commas before a name, because the frontend's own parser skips them like white space.
pub(crate) fn is_cookie(cookie: &[u8], names: &[&str]) -> bool {
    let name = cookie.split(|byte| *byte == b'=').next().unwrap_or_default();
    let is_skipped = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
    let start = name.iter().position(|byte| !is_skipped(byte)).unwrap_or(name.len());
    let name = name[start..].trim_ascii_end();
    names.iter().any(|expected| expected.as_bytes() == name)
}

#[cfg(test)]
mod tests;
