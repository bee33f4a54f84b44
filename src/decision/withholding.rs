//! Tokens that must not reach the backend because of the exchange.

use super::{Authorizer, Caller, Permit};
use crate::jose::{Padding, UnverifiedToken};
use crate::request::{Credentials, RequestFacts};
use crate::trust::{self, TokenFault};

impl Permit {
    /// Whether the client's token must not be forwarded, in any field.
    pub fn withholds_token(&self) -> bool {
        self.withholds_token
    }
}

impl Authorizer {
    /// Whether the token of a request is withheld from the backend: its caller acts as another user, or the token was not
    /// verified (on a public route, or because report mode forwards the request) and may be one of an issuer that takes
    /// part in the exchange.
    pub(super) fn withholds_token(&self, facts: &RequestFacts, caller: &Caller) -> bool {
        match (caller, &facts.credentials) {
            (Caller::Token(token), _) => token.mapped_user().is_some(),
            (_, Credentials::Bearer(token)) => {
                let parsed = UnverifiedToken::parse_with(Padding::Accepted, token.as_str(), self.token_bytes);
                let found = parsed.map_err(TokenFault::from).and_then(|token| self.is_exchanged(&token));
                // Another reader may understand what is not understood here.
                found.unwrap_or(true)
            }
            (_, Credentials::Malformed(_)) => true,
            (_, Credentials::Missing | Credentials::Basic(_) | Credentials::OtherScheme(_)) => false,
        }
    }

    /// Whether a token says that it is of an issuer that takes part, or a minted one that has leaked.
    fn is_exchanged(&self, token: &UnverifiedToken<'_>) -> Result<bool, TokenFault> {
        let minted = self.policy.minted_issuer.as_deref();
        if minted.is_some() && token.issuer_hint()? == minted {
            return Ok(true);
        }
        match trust::entry_for(token, &self.trust, minted) {
            Ok(index) => Ok(self.trust.get(index).is_none_or(|entry| self.exchange.includes(&entry.name))),
            Err(TokenFault::UntrustedIssuer) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}
