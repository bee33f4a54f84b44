//! Forward-auth: the original request that another proxy asks about. Its method, target and host are in fields of
//! the forward-auth request.
//!
//! The dialect, and with it the fields that are read, is configured and never guessed. A proxy that sets the fields
//! of one dialect forwards those of the others as the client wrote them. If the dialect were guessed, the client
//! could choose which path is authorized.

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri};

use super::RequestFault;
use super::uri::{uri_of, written};
use crate::message::field_name::X_FORWARDED_HOST;
use crate::message::{FieldValue, Fields, LookUp};

/// How a proxy describes the original request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAuthDialect {
    /// `X-Forwarded-Method`, `X-Forwarded-Uri` and `X-Forwarded-Host`: Traefik, Caddy.
    Forwarded,
    /// `X-Original-Method` and either `X-Original-URI` or `X-Original-URL`, and `Host` unless that is
    /// an absolute URL: nginx.
    Original,
    /// The method, target and `Host` of the forward-auth request itself: Envoy.
    Request,
}

impl ForwardAuthDialect {
    /// The fields that describe the original request, for operators.
    pub const fn fields(self) -> &'static str {
        match self {
            Self::Forwarded => "X-Forwarded-Method, X-Forwarded-Uri and X-Forwarded-Host",
            Self::Original => "X-Original-Method and one of X-Original-URI and X-Original-URL",
            Self::Request => "the request itself",
        }
    }
}

/// The original request.
#[derive(Clone, Debug)]
pub struct OriginalRequest {
    /// Its method.
    pub method: Method,
    /// Its target; in origin-form, unless it is that of the forward-auth request.
    pub target: Uri,
    /// Its host, unless it is that of the forward-auth request.
    pub host: Option<HeaderValue>,
}

const TWICE: RequestFault = RequestFault::BadTarget("the request is named twice");
const DISAGREE: RequestFault = RequestFault::BadTarget("the fields that name the request disagree");
const NO_METHOD: RequestFault = RequestFault::BadTarget("no field names the method");
const NO_TARGET: RequestFault = RequestFault::BadTarget("no field names the target");
const NO_HOST: RequestFault = RequestFault::BadTarget("no field names the host");
const NO_PATH: RequestFault = RequestFault::BadTarget("the named target is neither a path nor a URL");

impl OriginalRequest {
    /// Reads the original request from a forward-auth request.
    ///
    /// # Errors
    /// If a required field is missing, repeated or malformed, or if fields of another dialect name a different
    /// request.
    pub fn read(
        dialect: ForwardAuthDialect,
        method: &Method,
        target: &Uri,
        headers: &Fields,
    ) -> Result<Self, RequestFault> {
        let named = Named::read(headers)?;
        let original = match dialect {
            ForwardAuthDialect::Forwarded => Self {
                method: method_of(named.forwarded_method)?,
                target: path_of(named.forwarded_uri.ok_or(NO_TARGET)?)?.into(),
                host: Some(
                    one(headers, X_FORWARDED_HOST)?
                        .and_then(|_| headers.get_owned(X_FORWARDED_HOST))
                        .ok_or(NO_HOST)?,
                ),
            },
            ForwardAuthDialect::Original => {
                // No proxy sets both. One of them is the client's, and it may also contain the host.
                let field = match (named.original_uri, named.original_url) {
                    (Some(field), None) | (None, Some(field)) => field,
                    (None, None) => return Err(NO_TARGET),
                    (Some(_), Some(_)) => return Err(TWICE),
                };
                let host = match split(field)?.0 {
                    Some(authority) => Some(HeaderValue::from_str(authority).map_err(|_| NO_PATH)?),
                    None => None,
                };
                Self { method: method_of(named.original_method)?, target: path_of(field)?.into(), host }
            }
            ForwardAuthDialect::Request => {
                Self { method: method.clone(), target: target.clone(), host: None }
            }
        };
        named.agree_with(&original)?;
        Ok(original)
    }

    /// The names of the fields with which any proxy describes a request, as often as the request has them.
    pub fn names(headers: &Fields) -> impl Iterator<Item = &str> + Clone {
        const NAMES: [&str; 6] = [
            "x-forwarded-method",
            "x-forwarded-uri",
            "x-forwarded-host",
            "x-original-method",
            "x-original-uri",
            "x-original-url",
        ];
        let names: Vec<_> =
            headers.iter().map(|field| field.name()).filter(|name| NAMES.contains(name)).collect();
        names.into_iter()
    }
}

/// The fields of every dialect. Those of other dialects may come from the client.
struct Named<'f> {
    forwarded_method: Option<FieldValue<'f>>,
    forwarded_uri: Option<FieldValue<'f>>,
    original_method: Option<FieldValue<'f>>,
    original_uri: Option<FieldValue<'f>>,
    original_url: Option<FieldValue<'f>>,
}

impl<'f> Named<'f> {
    fn read(headers: &'f Fields) -> Result<Self, RequestFault> {
        Ok(Self {
            forwarded_method: one(headers, "x-forwarded-method")?,
            forwarded_uri: one(headers, "x-forwarded-uri")?,
            original_method: one(headers, "x-original-method")?,
            original_uri: one(headers, "x-original-uri")?,
            original_url: one(headers, "x-original-url")?,
        })
    }

    /// Refuses fields of another dialect that name a different request. Either a client tries to deceive a proxy, or
    /// the proxy is configured for another dialect.
    fn agree_with(&self, original: &OriginalRequest) -> Result<(), RequestFault> {
        for method in [self.forwarded_method, self.original_method].into_iter().flatten() {
            if method.as_bytes() != original.method.as_str().as_bytes() {
                return Err(DISAGREE);
            }
        }
        for target in [self.forwarded_uri, self.original_uri, self.original_url].into_iter().flatten() {
            if Some(&path_of(target)?) != original.target.path_and_query() {
                return Err(DISAGREE);
            }
        }
        Ok(())
    }
}

fn one(headers: &Fields, name: impl LookUp) -> Result<Option<FieldValue<'_>>, RequestFault> {
    let mut values = headers.get_all(name);
    let first = values.next();
    if values.next().is_some() { Err(TWICE) } else { Ok(first) }
}

fn method_of(field: Option<FieldValue<'_>>) -> Result<Method, RequestFault> {
    Method::from_bytes(field.ok_or(NO_METHOD)?.as_bytes()).map_err(|_| NO_METHOD)
}

/// The path and query, byte for byte.
fn path_of(field: FieldValue<'_>) -> Result<PathAndQuery, RequestFault> {
    let (_, text) = split(field)?;
    let path = uri_of(text.as_bytes()).map_err(|_| NO_PATH)?.into_parts().path_and_query.ok_or(NO_PATH)?;
    // Parsing silently drops a fragment. The authorized path would then differ from the served one.
    if written(&path) == text { Ok(path) } else { Err(NO_PATH) }
}

/// The authority, if any, and the rest of an origin-form or absolute-form (RFC 9112 section 3.2).
///
/// The proxy usually builds an absolute URL from scheme, `Host` and target. Everything before the first `/` is
/// therefore the authority, so a `?` or `#` in `Host` cannot start a query early.
fn split(field: FieldValue<'_>) -> Result<(Option<&str>, &str), RequestFault> {
    let text = field.to_str().map_err(|_| NO_PATH)?;
    if text.starts_with('/') {
        return Ok((None, text));
    }
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or(NO_PATH)?;
    let (authority, path) = rest.split_at(rest.find('/').ok_or(NO_PATH)?);
    Ok((Some(authority), path))
}

#[cfg(test)]
mod tests;
