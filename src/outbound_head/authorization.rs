//! The `Authorization` field on the way upstream, and the fields that carry a token in place of it.

use http::HeaderValue;

use super::{Identity, OutboundHead};
use crate::decision::{Caller, Permit};
use crate::message::Fields;
use crate::message::field_name::AUTHORIZATION;
use crate::request::{Credentials, RequestFacts, SHORTEST_SEARCHED, TokenFields};

/// What happens to the `Authorization` field.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// It is forwarded, in the form that all backends accept.
    Forward,
    /// It is removed.
    Strip,
}

impl OutboundHead {
    /// Reads the token from these fields. They are never forwarded, and neither are their look-alikes: a verified token
    /// is forwarded in `Authorization`. If `Authorization` is not one of them, a client's own is removed.
    #[must_use]
    pub fn with_token_fields(mut self, fields: TokenFields) -> Self {
        for name in fields.others() {
            self.reserve(name);
        }
        self.token_fields = fields;
        self.identity = Identity::default();
        self
    }

    /// Also removes the fields from which some listeners read the token, on every listener.
    #[must_use]
    pub fn without_token_fields<'f>(mut self, all: impl IntoIterator<Item = &'f TokenFields>) -> Self {
        for name in all.into_iter().flat_map(TokenFields::others) {
            self.reserve(name);
        }
        self.identity = Identity::default();
        self
    }

    /// The fields that the token is read from, on listeners that have none of their own.
    pub fn token_fields(&self) -> &TokenFields {
        &self.token_fields
    }

    /// Sets the credential of the user that a caller acts as, in place of the caller's own.
    pub fn set_credential(&self, headers: &mut Fields, credential: &HeaderValue) {
        headers.insert(AUTHORIZATION, credential);
    }

    pub(super) fn set_authorization(&self, headers: &mut Fields, facts: &RequestFacts, permit: &Permit) {
        match (&self.authorization, permit.caller()) {
            // DataHub's own services authenticate to the backend with this field.
            (_, Caller::DatahubSystem) => {}
            // A credential of the backend's own takes its place, if there is one: see [`OutboundHead::set_credential`].
            _ if permit.withholds_token() => headers.remove(AUTHORIZATION),
            (Authorization::Strip, _) => headers.remove(AUTHORIZATION),
            (Authorization::Forward, caller) => match &facts.credentials {
                Credentials::Bearer(token) if token.is_canonical() => {}
                // Only a verified token is put where the backend looks for one.
                Credentials::Bearer(token) if token.is_of_configured_field() => match caller {
                    Caller::Token(_) => headers.insert(AUTHORIZATION, token.canonical_field()),
                    Caller::Anonymous | Caller::SessionCookie | Caller::DatahubSystem => {
                        headers.remove(AUTHORIZATION);
                    }
                },
                Credentials::Bearer(token) => headers.insert(AUTHORIZATION, token.canonical_field()),
                // DataHub's frontend treats an empty field as a credential (CVE-2023-25557).
                Credentials::Missing => headers.remove(AUTHORIZATION),
                Credentials::Basic(_) | Credentials::OtherScheme(_) | Credentials::Malformed(_) => {
                    // What another field holds says nothing about this one.
                    if !facts.reads_authorization {
                        headers.remove(AUTHORIZATION);
                    }
                }
            },
        }
    }
}

/// Removes every field with the request's token in its value. It may have been copied into other fields on its way.
pub(super) fn remove_token(headers: &mut Fields, facts: &RequestFacts) {
    // Its usual place needs no search.
    headers.remove(AUTHORIZATION);
    if let Credentials::Bearer(token) = &facts.credentials {
        remove_fields_with(headers, token.as_bytes());
    }
}

/// Removes every field with this credential, which is ASCII, in its value, unless it is too short to be searched for.
pub fn remove_fields_with(headers: &mut Fields, text: &[u8]) {
    let is_long = |value: &[u8]| text.len() >= SHORTEST_SEARCHED && value.len() >= text.len();
    if headers.iter().any(|field| is_long(field.value().as_bytes())) {
        let text = String::from_utf8_lossy(text);
        headers.retain(|field| {
            let value = field.value().as_bytes();
            // A value that is not UTF-8 keeps its ASCII parts.
            !is_long(value) || !String::from_utf8_lossy(value).contains(&*text)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::fields;

    #[test]
    fn only_fields_with_the_credential_are_removed() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln";
        let (copy, cookie) = (format!("Bearer {token}"), format!("a=b; t={token}"));
        let lines =
            [("host", "a.example"), ("x-copy", &*copy), ("cookie", &cookie), ("x-other", &token[1..])];
        let mut headers = fields(&lines);
        remove_fields_with(&mut headers, token.as_bytes());
        assert_eq!(headers, fields(&[lines[0], lines[3]]));
    }

    /// A short one is a part of many values: of the length of a body, for example.
    #[test]
    fn short_texts_are_not_searched_for() {
        let lines = [("host", "a.example"), ("content-length", "5"), ("x-other", "a5")];
        let mut headers = fields(&lines);
        remove_fields_with(&mut headers, b"5");
        assert_eq!(headers, fields(&lines));
    }
}
