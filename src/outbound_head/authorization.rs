//! The `Authorization` field on the way upstream, and the fields that carry a token in place of it.

use super::{Identity, OutboundHead};
use crate::decision::{Caller, Permit};
use crate::message::Fields;
use crate::message::field_name::AUTHORIZATION;
use crate::request::{Credentials, RequestFacts, TokenFields};

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
    /// goes on in `Authorization`. If `Authorization` is not one of them, a client's own is removed.
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
        self
    }

    /// The fields that the token is read from, on listeners that have none of their own.
    pub fn token_fields(&self) -> &TokenFields {
        &self.token_fields
    }

    pub(super) fn set_authorization(&self, headers: &mut Fields, facts: &RequestFacts, permit: &Permit) {
        match (&self.authorization, permit.caller()) {
            // DataHub's own services authenticate to the backend with this field.
            (_, Caller::DatahubSystem) => {}
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
