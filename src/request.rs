//! What a decision may see of a request: everything in [`RequestFacts`], nothing else.

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

mod asked;
mod bearer;
mod framing;
mod grammar;
mod graphql;
mod head;
mod parameters;
mod target;

pub use asked::{Asked, TargetForm};
pub use bearer::{BasicCredentials, BearerToken, Credentials};
pub use framing::{BodyFault, BodyTracker, Framing};
pub use graphql::{Graphql, GraphqlOperation, OperationKind};
pub use head::{Head, HeadLimits, HeadScanner};
pub use parameters::parameters;
pub use target::PathReadings;

/// One request, as far as it is judged.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    /// The method.
    pub method: Method,
    /// The path in all its readings.
    pub path: PathReadings,
    /// The host it is for, without port, in lower case.
    pub host: Box<str>,
    /// The `Host` to forward where the target itself names one: in absolute-form (RFC 9112 section
    /// 3.2.2) and by HTTP/2's `:authority` (RFC 9113 section 8.3.1).
    pub target_host: Option<HeaderValue>,
    /// What it brings to prove who is asking.
    pub credentials: Credentials,
    /// Whether it wants to act as another user (OpenMetadata's `X-Impersonate-User`).
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
pub struct Habits {
    /// Names of cookies that are a login.
    pub session_cookies: &'static [&'static str],
    /// Where the backend is a proxy itself: what a path begins with, behind any base path, and what
    /// is sent on in its place.
    pub rewrites: &'static [(&'static str, &'static str)],
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
        habits: Habits,
        source_ip: impl Into<Option<IpAddr>>,
    ) -> Result<Self, RequestFault> {
        judge_method(method)?;
        judge_length(target)?;
        judge_framing(version, fields)?;
        judge_field_names(fields)?;
        let (host, target_host) = judge_host(target, version, fields)?;
        let path = PathReadings::of(target)?.behind(habits.rewrites)?;
        let credentials = Credentials::read(fields)?;
        Ok(Self {
            method: method.clone(),
            path,
            host,
            target_host,
            credentials,
            impersonates: fields.contains_key("x-impersonate-user"),
            has_session_cookie: has_cookie(fields, habits.session_cookies),
            source_ip: source_ip.into(),
            graphql: None,
        })
    }
}

/// RFC 9110 section 9.1: names are case-sensitive, so `get` is no method. CONNECT would make a
/// tunnel and TRACE would send the credentials back (section 9.3.8).
fn judge_method(method: &Method) -> Result<(), RequestFault> {
    if METHODS.contains(method) { Ok(()) } else { Err(RequestFault::MethodNotAllowed) }
}

/// [`HeadScanner`] has counted the bytes of HTTP/1; other targets come by `:path` and by a field.
fn judge_length(target: &Uri) -> Result<(), RequestFault> {
    let len = target.path_and_query().map_or(0, |path| path.as_str().len());
    if len > head::MAX_TARGET { Err(RequestFault::TargetTooLong) } else { Ok(()) }
}

/// RFC 9112 section 6: at most one statement of where the body ends. [`HeadScanner`] has read the
/// same from the bytes of HTTP/1; this is for every version.
fn judge_framing(version: Version, fields: &HeaderMap) -> Result<(), RequestFault> {
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

/// Servers that hand fields on as environment variables read `_` as `-`: `Transfer_Encoding` and
/// `Content_Length` would be framing to them.
fn judge_field_names(fields: &HeaderMap) -> Result<(), RequestFault> {
    let framing = |name: &str| {
        matches!(name.len(), 4 | 14 | 17)
            && ["transfer-encoding", "content-length"].iter().any(|own| {
                own.len() == name.len()
                    && own
                        .bytes()
                        .zip(name.bytes())
                        .all(|(own, byte)| own == byte || (own == b'-' && matches!(byte, b'_' | b'.')))
            })
    };
    let spelled = |name: &str| name.contains(['_', '.']) && framing(name);
    match fields.keys().any(|name| spelled(name.as_str())) {
        true => Err(RequestFault::BadTarget("a framing field is spelled with an underscore or a dot")),
        false => Ok(()),
    }
}

/// RFC 9112 section 3.2: exactly one `Host`, and it is what the target says where the target says
/// anything. HTTP/2 has `:authority` instead (RFC 9113 section 8.3.1).
fn judge_host(
    target: &Uri,
    version: Version,
    fields: &HeaderMap,
) -> Result<(Box<str>, Option<HeaderValue>), RequestFault> {
    const BAD: RequestFault = RequestFault::BadTarget("Host is not a host and port");
    let mut hosts = fields.get_all(HOST).iter();
    let named = hosts.next();
    if hosts.next().is_some() {
        return Err(RequestFault::BadTarget("more than one Host"));
    }
    let named = match named {
        Some(value) => Some(authority(value.as_bytes())?),
        None if version == Version::HTTP_2 => None,
        None => return Err(RequestFault::BadTarget("no Host")),
    };
    let targeted = match target.authority() {
        Some(own) => Some(authority(own.as_str().as_bytes())?),
        None => None,
    };
    if let (Some(named), Some(targeted)) = (&named, &targeted)
        && !named.as_str().eq_ignore_ascii_case(targeted.as_str())
    {
        return Err(RequestFault::BadTarget("Host differs from the target"));
    }
    let target_host = match &targeted {
        Some(own) => Some(HeaderValue::from_str(own.as_str()).map_err(|_| BAD)?),
        None => None,
    };
    let authority = named.or(targeted).ok_or(RequestFault::BadTarget("no Host"))?;
    // `a.` is `a` to a resolver and another host to who compares names (RFC 3986 section 3.2.2).
    let host = authority.host();
    if host.ends_with('.') {
        return Err(BAD);
    }
    Ok((host.to_ascii_lowercase().into(), target_host))
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

fn authority(text: &[u8]) -> Result<Authority, RequestFault> {
    let bad = RequestFault::BadTarget("Host is not a host and port");
    let authority = Authority::try_from(text).map_err(|_| bad)?;
    let host = authority.host();
    let rest = authority.as_str().get(host.len()..).ok_or(bad)?;
    let port_is_plain = match rest.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit()),
        None => rest.is_empty(),
    };
    // Userinfo would stand before the host and leave a rest; so would anything after the port.
    if host.is_empty() || host.len() > 255 || !port_is_plain || host.contains([',', '@', '%']) {
        return Err(bad);
    }
    Ok(authority)
}

#[cfg(test)]
mod tests;
