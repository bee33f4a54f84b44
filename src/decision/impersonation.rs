//! OpenMetadata's `X-Impersonate-User`: a bot acts as another user.
//!
//! A request may impersonate only if all of this holds:
//!
//! 1. The token is one that OpenMetadata issued to a bot.
//! 2. `openmetadata.impersonation` names the bot.
//! 3. No reading of the path is an identity endpoint. These endpoints issue and change credentials, and before
//!    GHSA-gxpr-mwqj-gjmr was fixed they used the impersonated identity without a check.
//!
//! If the field is present, OpenMetadata does not compare the bot's token with the stored one, so a token
//! that was replaced there is still accepted. Put such a token on the revocation list.

use crate::backend::Backend;
use crate::claims::{TokenClass, VerifiedToken};
use crate::policy::Policy;
use crate::request::RequestFacts;

/// Checks that this request may act as another user.
///
/// # Errors
/// The reason why it may not, for the audit record.
pub(super) fn check(
    policy: &Policy,
    backend: Backend,
    facts: &RequestFacts,
    token: Option<&VerifiedToken>,
) -> Result<(), &'static str> {
    let Some(token) = token.filter(|token| token.class() == TokenClass::Bot) else {
        return Err("it is not a bot's token");
    };
    let allowed = policy.impersonation.as_ref();
    let Some(allowed) = allowed.filter(|allowed| allowed.bots.iter().any(|bot| **bot == *token.principal()))
    else {
        return Err("openmetadata.impersonation does not name this bot");
    };
    if token.issuer() != Some(&*allowed.issuer) {
        return Err("it is not a token of openmetadata.issuer");
    }
    if facts.path.all().any(|path| is_identity_endpoint(backend, path)) {
        return Err("nobody is impersonated on an identity endpoint");
    }
    Ok(())
}

/// Finds the endpoint anywhere in the path, without ASCII case.
fn is_identity_endpoint(backend: Backend, path: &[u8]) -> bool {
    let contains =
        |part: &&str| path.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    backend.preset().impersonation.is_some_and(|field| field.identity_endpoints.iter().any(contains))
}
