//! OpenMetadata's `X-Impersonate-User`: a bot acts as another user.
//!
//! 1. Only a token that OpenMetadata made for a bot may ask for it.
//! 2. `openmetadata.impersonation` names the bot.
//! 3. No reading of the path is one of the identity endpoints: they hand out and change credentials, and
//!    believed the other identity unchecked before GHSA-gxpr-mwqj-gjmr was fixed.
//!
//! With the field OpenMetadata does not compare the bot's token with the one that it stores, so a token
//! that was replaced there is still good. The revocation list is what ends one.

use crate::backend::Backend;
use crate::claims::{TokenClass, VerifiedToken};
use crate::policy::Policy;
use crate::request::RequestFacts;

/// Whether this request may act as another user.
///
/// # Errors
/// Why not, for the audit record.
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

/// Whatever stands before the endpoint in the path, and however its letters are written.
fn is_identity_endpoint(backend: Backend, path: &[u8]) -> bool {
    let within = |part: &&str| path.windows(part.len()).any(|own| own.eq_ignore_ascii_case(part.as_bytes()));
    backend.preset().impersonation.is_some_and(|field| field.identity_endpoints.iter().any(within))
}
