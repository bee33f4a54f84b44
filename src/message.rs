//! HTTP messages in memory: fields, heads and responses, whatever version they came over.

use bytes::Bytes;
use http::{Method, StatusCode, Uri, Version};

mod conversions;
mod decimal;
mod field;
pub mod field_name;
mod fields;
mod section;
mod spans;

pub use decimal::Decimal;
pub use field::{FieldRef, FieldValue, Key, LookUp, NewName, NotAscii, ValidValue};
pub use field_name::{FieldName, FieldNames};
pub use fields::{Fields, Values};
pub use section::{Derived, Section};
pub use spans::FieldSpans;

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The fields.
    pub headers: Fields,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request<B> {
    /// Its head. Boxed, because a request is passed on many times and a head is large.
    pub head: Box<Head>,
    /// Its body.
    pub body: B,
}

impl<B> From<http::Request<B>> for Request<B> {
    fn from(request: http::Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let http::request::Parts { method, uri, version, headers, .. } = parts;
        Self { head: Box::new(Head { method, uri, version, headers: headers.into() }), body }
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response<B> {
    /// Boxed, as the head of a request is.
    head: Box<ResponseHead>,
    body: B,
}

#[derive(Clone, Debug)]
struct ResponseHead {
    status: StatusCode,
    reason: Option<Bytes>,
    headers: Fields,
}

impl<B> Response<B> {
    /// A response without a reason phrase of its own.
    pub fn new(status: StatusCode, headers: Fields, body: B) -> Self {
        Self { head: Box::new(ResponseHead { status, reason: None, headers }), body }
    }

    /// With this reason phrase, in place of the usual one of its status (RFC 9112 section 4).
    #[must_use]
    pub fn with_reason(mut self, reason: Bytes) -> Self {
        self.head.reason = Some(reason);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The reason phrase.
    pub fn reason(&self) -> &[u8] {
        let usual = || self.status().canonical_reason().unwrap_or_default().as_bytes();
        self.head.reason.as_deref().unwrap_or_else(usual)
    }

    /// The fields.
    pub fn headers(&self) -> &Fields {
        &self.head.headers
    }

    /// The fields, to change them.
    pub fn headers_mut(&mut self) -> &mut Fields {
        &mut self.head.headers
    }

    /// The body.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The body, to change it.
    pub fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    /// Only the body.
    pub fn into_body(self) -> B {
        self.body
    }

    /// With another body.
    pub fn map<T>(self, map: impl FnOnce(B) -> T) -> Response<T> {
        Response { head: self.head, body: map(self.body) }
    }
}

impl<B> From<http::Response<B>> for Response<B> {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        Self::new(parts.status, parts.headers.into(), body)
    }
}

#[cfg(test)]
mod tests;
