//! Observing the steps of admission.

use std::sync::Arc;

use crate::claims::VerifiedToken;
use crate::decision::{Caller, Denial, Permit};
use crate::jose::{KeySet, TokenSummary, UnverifiedToken};
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
    /// The user that the caller acts as.
    Mapping,
    /// The rate limits.
    Rate,
    /// The rules.
    Rules,
    /// The body.
    Body,
}

impl Step {
    /// The name in the output of commands.
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
            Self::Mapping => "exchange",
            Self::Rate => "rate",
            Self::Rules => "rules",
            Self::Body => "body",
        }
    }

    /// Whether the step checks the bearer token.
    pub fn is_about_token(self) -> bool {
        match self {
            Self::Request | Self::Credentials | Self::Rate | Self::Rules | Self::Body => false,
            Self::Token
            | Self::Issuer
            | Self::Key
            | Self::Type
            | Self::Signature
            | Self::Claims
            | Self::Revocation
            | Self::Mapping => true,
        }
    }
}

/// Sees each step of a request. Every method does nothing by default, so `()` costs nothing.
pub trait Observer {
    /// The head was read.
    fn facts(&mut self, _facts: &RequestFacts) {}

    /// The route was found.
    fn route(&mut self, _facts: &RequestFacts, _routed: Routed) {}

    /// The bearer token was parsed as a JWT.
    fn parsed(&mut self, _token: &UnverifiedToken<'_>) {}

    /// An issuer entry was selected for the token; these are its keys.
    fn issuer(&mut self, _token: &UnverifiedToken<'_>, _entry: &TrustedIssuer, _keys: Option<&KeySet>) {}

    /// The token was verified. It may still be revoked.
    fn verified(&mut self, _token: &Arc<VerifiedToken>) {}

    /// The token was refused. `None` if it could not be parsed.
    fn token_refused(&mut self, _token: Option<TokenSummary>) {}

    /// The caller was determined.
    fn caller(&mut self, _caller: &Caller) {}

    /// The body was read for rules about GraphQL.
    fn graphql(&mut self, _graphql: &Graphql) {}

    /// The rules are about to be evaluated.
    fn rules(&mut self, _facts: &RequestFacts, _caller: &Result<Caller, Denial>) {}

    /// The rules allowed the request.
    fn permitted(&mut self, _permit: &Permit) {}

    /// A step refused the request. In report mode the request may still be forwarded.
    fn refused(&mut self, _step: Step, _denial: &Denial) {}
}

impl Observer for () {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are in the output of commands; what is not about the token is explained by the request.
    #[test]
    fn each_step_has_a_word_and_is_about_the_token_or_the_request() {
        for (step, word, is_about_token) in [
            (Step::Request, "request", false),
            (Step::Credentials, "credentials", false),
            (Step::Token, "token", true),
            (Step::Issuer, "issuer", true),
            (Step::Key, "key", true),
            (Step::Type, "type", true),
            (Step::Signature, "signature", true),
            (Step::Claims, "claims", true),
            (Step::Revocation, "revocation", true),
            (Step::Mapping, "exchange", true),
            (Step::Rate, "rate", false),
            (Step::Rules, "rules", false),
            (Step::Body, "body", false),
        ] {
            assert_eq!((step.as_str(), step.is_about_token()), (word, is_about_token), "{step:?}");
        }
    }
}
