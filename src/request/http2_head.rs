//! Strict checks of an HTTP/2 request head (RFC 9113 section 8), on the octets that HPACK decodes.
//!
//! Exactly the same methods, targets, names and values pass here as in [`super::HeadScanner`] over HTTP/1. The
//! checks must run before a URI is built: the `http` crate drops a fragment, so `:path: #` would be checked
//! as `/`.
//!
//! Which methods, hosts and paths are served is deliberately not checked here. [`super::RequestFacts`] does that for
//! every version of HTTP.

use bytes::Bytes;
use http::Uri;
use http::uri::{self, Authority, PathAndQuery, Scheme};

use super::field_lines::MAX_NAME;
use super::framing::{NOT_A_LENGTH, plain_length};
use super::grammar::{bad_target_octet, is_path_octet, is_query_octet, token_len, value_len};
use super::head::MAX_METHOD;
use super::host::check_authority;
use super::hpack::FieldList;
use super::uri::{NO_FORM, with_stand_ins};
use super::{HeadLimits, RequestFault};

const fn bad<T>(why: &'static str) -> Result<T, RequestFault> {
    Err(RequestFault::BadTarget(why))
}

/// The pseudo-fields of a request head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2Head<'l> {
    method: Option<&'l [u8]>,
    scheme: Option<&'l [u8]>,
    authority: Option<&'l [u8]>,
    path: Option<&'l [u8]>,
    content_length: Option<&'l [u8]>,
    fields: usize,
}

impl<'l> Http2Head<'l> {
    /// Checks a head. `ends` says whether END_STREAM was set; if so, there is no body.
    ///
    /// # Errors
    /// Why the head is refused.
    pub fn read(list: &'l FieldList, limits: HeadLimits, ends: bool) -> Result<Self, RequestFault> {
        let mut head = Self::default();
        for (name, value) in list.iter() {
            match name.first() {
                Some(b':') if head.fields > 0 => return bad("a pseudo-field comes after a field"),
                Some(b':') => head.pseudo_field(name, value)?,
                _ => head.field(name, value, limits, ends)?,
            }
        }
        // If the target is too long, report that and not the whole head.
        if list.is_too_large() && head.path().len() <= limits.target {
            return Err(RequestFault::HeadTooLarge);
        }
        head.complete(limits)
    }

    /// Method and path of a refused head for the logs, cut to the longest valid length.
    pub fn of_refused(list: &'l FieldList, limits: HeadLimits) -> Self {
        let value = |wanted: &[u8], most: usize| {
            let (_, value) = list.iter().find(|(name, _)| *name == wanted)?;
            Some(value.get(..most).unwrap_or(value))
        };
        let (method, path) = (value(b":method", MAX_METHOD), value(b":path", limits.target));
        Self { method, path, ..Self::default() }
    }

    /// `:method`; empty if there is none.
    pub fn method(&self) -> &'l [u8] {
        self.method.unwrap_or_default()
    }

    /// `:path`; empty if there is none.
    pub fn path(&self) -> &'l [u8] {
        self.path.unwrap_or_default()
    }

    /// The target: `:path`, and with `:authority` also that and `:scheme`, as the h2 crate would make it. `:path` has
    /// stand-ins in its query if it needs them ([`super::uri_of`]).
    ///
    /// # Errors
    /// It is too long for an [`Uri`], or not of a form that a checked head has.
    pub fn uri(&self) -> Result<Uri, RequestFault> {
        let path = match with_stand_ins(self.path())? {
            None => PathAndQuery::try_from(self.path()),
            Some(path) => PathAndQuery::from_maybe_shared(Bytes::from(path)),
        };
        let mut parts = uri::Parts::default();
        parts.path_and_query = Some(path.map_err(|_| NO_FORM)?);
        if let Some(authority) = self.authority {
            parts.authority = Some(Authority::try_from(authority).map_err(|_| NO_FORM)?);
            parts.scheme = Some(if self.scheme == Some(b"https") { Scheme::HTTPS } else { Scheme::HTTP });
        }
        Uri::from_parts(parts).map_err(|_| NO_FORM)
    }

    /// The value of `Content-Length`.
    pub fn content_length(&self) -> Option<&'l [u8]> {
        self.content_length
    }

    /// Section 8.3: each of these at most once, and no others. `:protocol` is not supported (RFC 8441).
    fn pseudo_field(&mut self, name: &[u8], value: &'l [u8]) -> Result<(), RequestFault> {
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            _ => return bad("an unknown pseudo-field"),
        };
        if slot.replace(value).is_some() { bad("a pseudo-field comes twice") } else { Ok(()) }
    }

    fn field(
        &mut self,
        name: &[u8],
        value: &'l [u8],
        limits: HeadLimits,
        ends: bool,
    ) -> Result<(), RequestFault> {
        if self.fields == limits.fields {
            return Err(RequestFault::HeadTooLarge);
        }
        self.fields += 1;
        check_field(name, value)?;
        match name {
            b"content-length" => match plain_length(value) {
                Some(1..) if ends => bad("Content-Length without a body"),
                Some(_) if self.content_length.replace(value).is_none() => Ok(()),
                _ => bad(NOT_A_LENGTH),
            },
            _ => Ok(()),
        }
    }

    /// Section 8.3.1, and CONNECT (section 8.5), which has neither `:scheme` nor `:path`.
    fn complete(self, limits: HeadLimits) -> Result<Self, RequestFault> {
        check_method(self.method())?;
        if let Some(authority) = self.authority {
            check_authority(authority)?;
        }
        if self.method() == b"CONNECT" {
            let is_valid = self.authority.is_some() && self.scheme.is_none() && self.path.is_none();
            return if is_valid { Err(RequestFault::MethodNotAllowed) } else { bad("CONNECT is malformed") };
        }
        match self.scheme {
            Some(b"http" | b"https") => {}
            _ => return bad("scheme is neither http nor https"),
        }
        // Only OPTIONS may have the asterisk-form.
        if self.method() != b"OPTIONS" || self.path() != b"*" {
            check_origin_form(self.path(), limits)?;
        }
        Ok(self)
    }
}

/// Checks trailers (section 8.1): only fields, no pseudo-fields.
///
/// # Errors
/// Why the trailers are refused.
pub fn check_http2_trailers(list: &FieldList, limits: HeadLimits) -> Result<(), RequestFault> {
    if list.is_too_large() || list.iter().count() > limits.fields {
        return Err(RequestFault::HeadTooLarge);
    }
    list.iter().try_for_each(|(name, value)| check_field(name, value))
}

fn check_method(method: &[u8]) -> Result<(), RequestFault> {
    match method.len() {
        0 => bad("there is no method"),
        len if len > MAX_METHOD => bad("method is too long"),
        len if token_len(method) < len => bad("method is not a token"),
        _ => Ok(()),
    }
}

/// The same target as in the request line of HTTP/1 (RFC 9112 section 3.2.1).
fn check_origin_form(target: &[u8], limits: HeadLimits) -> Result<(), RequestFault> {
    if target.len() > limits.target {
        return Err(RequestFault::TargetTooLong);
    }
    if target.first() != Some(&b'/') {
        return bad("there is no path that begins with a slash");
    }
    let path_end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(path_end).unwrap_or_default();
    let query = query.get(1..).unwrap_or_default();
    let wrong = path
        .iter()
        .find(|byte| !is_path_octet(**byte))
        .or_else(|| query.iter().find(|byte| !is_query_octet(**byte)));
    wrong.map_or(Ok(()), |byte| bad(bad_target_octet(*byte)))
}

/// Why a target is refused because of one of its octets.
pub(super) fn fault_in_target(target: &[u8]) -> Option<&'static str> {
    let any_length = HeadLimits { bytes: usize::MAX, fields: usize::MAX, target: usize::MAX };
    text_of(check_origin_form(target, any_length))
}

/// Why a field is refused by itself.
pub(super) fn fault_in_field(name: &[u8], value: &[u8]) -> Option<&'static str> {
    let is_length = name == b"content-length" && plain_length(value).is_none();
    text_of(check_field(name, value)).or(is_length.then_some(NOT_A_LENGTH))
}

fn text_of(checked: Result<(), RequestFault>) -> Option<&'static str> {
    match checked {
        Err(RequestFault::BadTarget(why)) => Some(why),
        _ => None,
    }
}

/// Sections 8.2.1 and 8.2.2.
fn check_field(name: &[u8], value: &[u8]) -> Result<(), RequestFault> {
    if name.len() > MAX_NAME {
        return Err(RequestFault::HeadTooLarge);
    }
    if name.is_empty() || token_len(name) < name.len() {
        return bad("a field name is not a token");
    }
    if name.iter().any(u8::is_ascii_uppercase) {
        return bad("a field name is not in lower case");
    }
    if value_len(value) < value.len() {
        return bad("a field value has a control character");
    }
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_blank(value.first()) || is_blank(value.last()) {
        return bad("a field value begins or ends with white space");
    }
    match name {
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            bad("a field that HTTP/2 does not have")
        }
        b"te" if value != b"trailers" => bad("TE is not trailers"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
