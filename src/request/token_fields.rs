//! The request fields that may hold the token, for gateways that pass it on in a field of their own
//! (`authentication.tokenHeaders`).
//!
//! 1. A request has one credential: two of these fields, or one of them twice, is refused whatever is in them.
//! 2. A field without a scheme holds only the token. With a scheme it has the form of `Authorization` (RFC 9110 section
//!    11.4).
//! 3. If `Authorization` is not among them, it is no credential. It is ignored here and removed on the way upstream
//!    ([`crate::outbound_head`]), because a backend would read it.

use http::HeaderName;

use super::RequestFault;
use super::bearer::{BearerToken, Credentials, is_padded_token, is_token, why_no_token};
use crate::message::field_name::AUTHORIZATION;
use crate::message::{FieldValue, Fields, NewName};

const TWO_FIELDS: RequestFault =
    RequestFault::AmbiguousCredentials("there is more than one field of authentication.tokenHeaders");

/// The fields that may hold the token. The default is only `Authorization`.
#[derive(Clone, Debug, Default)]
pub struct TokenFields {
    /// Empty for the default.
    fields: Box<[TokenField]>,
    /// Whether `Authorization: Basic` is a credential even if `Authorization` is not one of the fields.
    accepts_system_credential: bool,
}

/// One field that may hold the token.
#[derive(Clone, Debug)]
pub struct TokenField {
    name: HeaderName,
    key: NewName,
    /// Without one, the token is the whole value.
    scheme: Option<Box<str>>,
    /// Whether the parts of the token may have base64 padding.
    padded: bool,
}

impl TokenField {
    /// A field with this name. A scheme is compared without case.
    pub fn new(name: HeaderName, scheme: Option<Box<str>>, padded: bool) -> Self {
        Self { key: NewName::from(&name), name, scheme, padded }
    }

    /// `Authorization: Bearer`, in which tokens have no padding.
    pub fn authorization() -> Self {
        Self::new(http::header::AUTHORIZATION, Some("Bearer".into()), false)
    }

    /// Its name, in lower case.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    fn is_authorization(&self) -> bool {
        self.name == http::header::AUTHORIZATION
    }

    fn is_usual_authorization(&self) -> bool {
        let is_bearer = self.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
        self.is_authorization() && is_bearer && !self.padded
    }

    fn accepts(&self, text: &[u8]) -> bool {
        if self.padded { is_padded_token(text) } else { is_token(text) }
    }

    /// Reads its only value.
    fn read(&self, headers: &Fields, value: FieldValue<'_>) -> Result<Credentials, RequestFault> {
        let Ok(text) = value.to_str() else {
            return Ok(Credentials::Malformed("the token's field has characters outside of ASCII"));
        };
        let trimmed = text.trim_matches([' ', '\t']);
        let token = match &self.scheme {
            None => trimmed,
            Some(scheme) => match trimmed.split_once(' ').unwrap_or((trimmed, "")) {
                (found, token) if found.eq_ignore_ascii_case(scheme) => token,
                ("", _) => return Ok(Credentials::Missing),
                _ => {
                    return Ok(Credentials::OtherScheme(
                        "the token's field has another scheme than authentication.tokenHeaders says",
                    ));
                }
            },
        };
        if token.is_empty() {
            return Ok(Credentials::Missing);
        }
        if token.contains(',') {
            return Err(RequestFault::AmbiguousCredentials("the token's field has a comma"));
        }
        if !self.accepts(token.as_bytes()) {
            return Ok(Credentials::Malformed(self.why_not(token)));
        }
        let value = headers.get_bytes(&self.key).unwrap_or_default();
        let before = text.len() - text.trim_start_matches([' ', '\t']).len();
        let at = before + trimmed.len() - token.len();
        Ok(Credentials::Bearer(BearerToken::in_field(value, at, token.len(), self.padded)))
    }

    fn why_not(&self, token: &str) -> &'static str {
        let has_scheme = token.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
        match (&self.scheme, self.padded) {
            (None, _) if has_scheme => "the token's field begins with Bearer, and its entry has no scheme",
            (_, false) if token.contains('=') => "the token has padding, and its entry has no `padded: true`",
            _ => why_no_token(token),
        }
    }
}

impl TokenFields {
    /// These fields, in the order of the configuration. `accepts_system_credential` is whether the backend's own
    /// services may authenticate with `Authorization: Basic`.
    pub fn new(fields: Vec<TokenField>, accepts_system_credential: bool) -> Self {
        match &*fields {
            [] => Self::default(),
            [only] if only.is_usual_authorization() => Self::default(),
            _ => Self { fields: fields.into(), accepts_system_credential },
        }
    }

    /// Whether `Authorization` is the only one.
    pub fn is_default(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether `Authorization` is one of them.
    pub fn has_authorization(&self) -> bool {
        self.is_default() || self.fields.iter().any(TokenField::is_authorization)
    }

    /// The names of the others, in lower case.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|field| !field.is_authorization()).map(TokenField::name)
    }

    /// The names of all fields that may hold credentials.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let looks_at_authorization = self.has_authorization() || self.accepts_system_credential;
        let authorization = looks_at_authorization.then_some(&http::header::AUTHORIZATION);
        let others = self.fields.iter().filter(|field| !field.is_authorization()).map(|field| &field.name);
        authorization.into_iter().chain(others)
    }

    /// What is missing from a request without credentials.
    pub fn missing(&self) -> &'static str {
        if self.is_default() {
            "there is no Authorization field, or nothing in it"
        } else {
            "there is no field of authentication.tokenHeaders, or nothing in it"
        }
    }

    /// The field in which a request would carry this token, and its value: the first one that accepts it.
    pub fn field_for(&self, token: &str) -> (HeaderName, String) {
        let accepting = self.fields.iter().find(|field| field.accepts(token.as_bytes()));
        match accepting.or_else(|| self.fields.first()) {
            None => (http::header::AUTHORIZATION, format!("Bearer {token}")),
            Some(TokenField { name, scheme: None, .. }) => (name.clone(), token.to_owned()),
            Some(TokenField { name, scheme: Some(scheme), .. }) => {
                (name.clone(), format!("{scheme} {token}"))
            }
        }
    }

    /// Reads the credentials of a request.
    ///
    /// # Errors
    /// There is more than one.
    pub(super) fn read(&self, headers: &Fields) -> Result<Credentials, RequestFault> {
        if self.is_default() {
            return Credentials::read(headers);
        }
        let mut found = None;
        for field in &self.fields {
            for value in headers.get_all(&field.key) {
                if found.replace((field, value)).is_some() {
                    return Err(TWO_FIELDS);
                }
            }
        }
        if self.accepts_system_credential
            && !self.has_authorization()
            && headers.get_all(AUTHORIZATION).any(|value| Credentials::are_basic(value.as_bytes()))
            && let basic @ Credentials::Basic(_) = Credentials::read(headers)?
        {
            return if found.is_none() { Ok(basic) } else { Err(TWO_FIELDS) };
        }
        match found {
            None => Ok(Credentials::Missing),
            Some((field, _)) if field.is_usual_authorization() => Credentials::read(headers),
            Some((field, value)) => field.read(headers, value),
        }
    }
}

#[cfg(test)]
mod tests;
