//! The request that another proxy asks about: its method, target and host, as the fields of the
//! question name them.
//!
//! Which fields those are is configured and never guessed. A proxy that names the target by one
//! family of fields passes the other on as the client wrote it: whoever takes what is there lets the
//! client choose which path is judged.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri};

use super::RequestFault;

/// How a proxy names the request that it asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAuthDialect {
    /// `X-Forwarded-Method`, `X-Forwarded-Uri` and `X-Forwarded-Host`: Traefik, Caddy.
    Forwarded,
    /// `X-Original-Method` and either `X-Original-URI` or `X-Original-URL`, and `Host` where that is
    /// no absolute URL: nginx.
    Original,
    /// The question's own method, target and `Host`: Envoy.
    Request,
}

/// What is asked about.
#[derive(Clone, Debug)]
pub struct OriginalRequest {
    /// Its method.
    pub method: Method,
    /// Its target, in origin-form unless the question's own.
    pub target: Uri,
    /// Its host, where that is not the question's own.
    pub host: Option<HeaderValue>,
}

const TWICE: RequestFault = RequestFault::BadTarget("the request is named twice");
const DISAGREE: RequestFault = RequestFault::BadTarget("the fields that name the request disagree");
const NO_METHOD: RequestFault = RequestFault::BadTarget("no field names the method");
const NO_TARGET: RequestFault = RequestFault::BadTarget("no field names the target");
const NO_HOST: RequestFault = RequestFault::BadTarget("no field names the host");
const NO_PATH: RequestFault = RequestFault::BadTarget("the named target is neither a path nor a URL");

impl OriginalRequest {
    /// Reads what a question names.
    ///
    /// # Errors
    /// Where a field that it needs is missing, is there twice or cannot be read, and where fields of
    /// another form name something else.
    pub fn read(
        form: ForwardAuthDialect,
        method: &Method,
        target: &Uri,
        fields: &HeaderMap,
    ) -> Result<Self, RequestFault> {
        let named = Named::read(fields)?;
        let asked = match form {
            ForwardAuthDialect::Forwarded => Self {
                method: method_of(named.forwarded_method)?,
                target: path_of(named.forwarded_uri.ok_or(NO_TARGET)?)?.into(),
                host: Some(one(fields, "x-forwarded-host")?.ok_or(NO_HOST)?.clone()),
            },
            ForwardAuthDialect::Original => {
                // No proxy sets both: one of them is a client's, and with it perhaps the host.
                let place = match (named.original_uri, named.original_url) {
                    (Some(place), None) | (None, Some(place)) => place,
                    (None, None) => return Err(NO_TARGET),
                    (Some(_), Some(_)) => return Err(TWICE),
                };
                let host = match split(place)?.0 {
                    Some(authority) => Some(HeaderValue::from_str(authority).map_err(|_| NO_PATH)?),
                    None => None,
                };
                Self { method: method_of(named.original_method)?, target: path_of(place)?.into(), host }
            }
            ForwardAuthDialect::Request => {
                Self { method: method.clone(), target: target.clone(), host: None }
            }
        };
        named.agree_with(&asked)?;
        Ok(asked)
    }
}

/// Every field that some proxy names a request by, whether this one's or a client's.
struct Named<'f> {
    forwarded_method: Option<&'f HeaderValue>,
    forwarded_uri: Option<&'f HeaderValue>,
    original_method: Option<&'f HeaderValue>,
    original_uri: Option<&'f HeaderValue>,
    original_url: Option<&'f HeaderValue>,
}

impl<'f> Named<'f> {
    fn read(fields: &'f HeaderMap) -> Result<Self, RequestFault> {
        Ok(Self {
            forwarded_method: one(fields, "x-forwarded-method")?,
            forwarded_uri: one(fields, "x-forwarded-uri")?,
            original_method: one(fields, "x-original-method")?,
            original_uri: one(fields, "x-original-uri")?,
            original_url: one(fields, "x-original-url")?,
        })
    }

    /// A field that is not looked at for the decision and names another request is somebody's
    /// attempt, or a proxy that is set up for another form: neither may be answered.
    fn agree_with(&self, asked: &OriginalRequest) -> Result<(), RequestFault> {
        for method in [self.forwarded_method, self.original_method].into_iter().flatten() {
            if method.as_bytes() != asked.method.as_str().as_bytes() {
                return Err(DISAGREE);
            }
        }
        for target in [self.forwarded_uri, self.original_uri, self.original_url].into_iter().flatten() {
            if Some(&path_of(target)?) != asked.target.path_and_query() {
                return Err(DISAGREE);
            }
        }
        Ok(())
    }
}

fn one<'f>(fields: &'f HeaderMap, name: &'static str) -> Result<Option<&'f HeaderValue>, RequestFault> {
    let mut values = fields.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(TWICE) } else { Ok(first) }
}

fn method_of(field: Option<&HeaderValue>) -> Result<Method, RequestFault> {
    Method::from_bytes(field.ok_or(NO_METHOD)?.as_bytes()).map_err(|_| NO_METHOD)
}

/// The path and query, byte for byte.
fn path_of(field: &HeaderValue) -> Result<PathAndQuery, RequestFault> {
    let (_, text) = split(field)?;
    let path = PathAndQuery::try_from(text).map_err(|_| NO_PATH)?;
    // Parsing drops a fragment without a word, and what is judged would not be what is served.
    if path.as_str() == text { Ok(path) } else { Err(NO_PATH) }
}

/// The authority, if any, and the rest of an origin-form or absolute-form (RFC 9112 section 3.2).
///
/// An absolute URL is mostly put together by the proxy, as scheme, `Host` and target: whatever stands
/// before the first `/` is all authority, so that no `?` or `#` in a `Host` begins a query early.
fn split(field: &HeaderValue) -> Result<(Option<&str>, &str), RequestFault> {
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
