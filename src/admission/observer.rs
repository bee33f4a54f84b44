//! Those who want to see the steps.

use std::sync::Arc;

use crate::claims::VerifiedToken;
use crate::decision::{Caller, Denial, Permit};
use crate::jose::{KeySet, UnverifiedToken};
use crate::policy::Routed;
use crate::request::{Graphql, RequestFacts};
use crate::trust::TrustedIssuer;

/// The step that refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Request facts and header fields.
    Request,
    /// Credentials.
    Credentials,
    /// The token's form.
    Token,
    /// Its issuer entry.
    Issuer,
    /// The key that it names.
    Key,
    /// Its type.
    Type,
    /// Its signature.
    Signature,
    /// Its claims.
    Claims,
    /// The revocation list.
    Revocation,
    /// The rules.
    Rules,
    /// The body.
    Body,
}

impl Step {
    /// Its name, as commands print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Credentials => "credentials",
            Self::Token => "token",
            Self::Issuer => "issuer",
            Self::Key => "key",
            Self::Type => "type",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::Revocation => "revocation",
            Self::Rules => "rules",
            Self::Body => "body",
        }
    }

    /// Whether it is about the bearer token.
    pub fn is_about_token(self) -> bool {
        match self {
            Self::Request | Self::Credentials | Self::Rules | Self::Body => false,
            Self::Token
            | Self::Issuer
            | Self::Key
            | Self::Type
            | Self::Signature
            | Self::Claims
            | Self::Revocation => true,
        }
    }
}

/// Sees each step of a request as it is done. Every method does nothing unless it is implemented, so `()` costs
/// nothing.
pub trait Observer {
    /// The head was read.
    fn facts(&mut self, _facts: &RequestFacts) {}

    /// The route was found.
    fn route(&mut self, _facts: &RequestFacts, _routed: Routed) {}

    /// A bearer token has the form of a JWT.
    fn parsed(&mut self, _token: &UnverifiedToken<'_>) {}

    /// An issuer entry is meant for the token; these are its keys.
    fn issuer(&mut self, _token: &UnverifiedToken<'_>, _entry: &TrustedIssuer, _keys: Option<&KeySet>) {}

    /// The token is verified. It may still be revoked.
    fn verified(&mut self, _token: &Arc<VerifiedToken>) {}

    /// The token with this text is refused.
    fn token_refused(&mut self, _text: &str) {}

    /// Who is asking is known.
    fn caller(&mut self, _caller: &Caller) {}

    /// The body was read for rules about GraphQL.
    fn graphql(&mut self, _graphql: &Graphql) {}

    /// The rules are about to be asked.
    fn rules(&mut self, _facts: &RequestFacts, _caller: &Result<Caller, Denial>) {}

    /// The rules let the request through.
    fn permitted(&mut self, _permit: &Permit) {}

    /// A step refuses the request. In report mode it may go on all the same.
    fn refused(&mut self, _step: Step, _denial: &Denial) {}
}

impl Observer for () {}
