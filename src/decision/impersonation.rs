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
use crate::diagnosis::{Claim, Detail, Quoted, Words};
use crate::jose::JsonValue;
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
) -> Result<(), Detail> {
    let Some(token) = token else { return Err(Detail::of(format_args!("it is not a bot's token"))) };
    let class = token.class();
    if class != TokenClass::Bot {
        let class = class.as_str();
        return Err(Detail::of(format_args!("it is not a bot's token: its class is {class}")));
    }
    let allowed = policy.impersonation.as_ref();
    let bots = || allowed.into_iter().flat_map(|allowed| allowed.bots.iter().map(AsRef::as_ref));
    let Some(allowed) = allowed.filter(|_| bots().any(|bot: &str| bot == token.principal())) else {
        let (bot, named) = (Quoted(token.principal()), Words(bots()));
        return Err(Detail::of(format_args!(
            "openmetadata.impersonation does not name this bot: it is {bot}, named are {named}"
        )));
    };
    if token.issuer() != Some(&*allowed.issuer) {
        let (found, wanted) = (Claim(token.issuer().map(JsonValue::String)), Quoted(&allowed.issuer));
        return Err(Detail::of(format_args!(
            "it is not a token of openmetadata.issuer: iss is {found}, wanted {wanted}"
        )));
    }
    if facts.path.all().any(|path| is_identity_endpoint(backend, path)) {
        return Err(Detail::of(format_args!("identity endpoints do not allow impersonation")));
    }
    Ok(())
}

/// Finds the endpoint anywhere in the path, without ASCII case.
fn is_identity_endpoint(backend: Backend, path: &[u8]) -> bool {
    let contains =
        |part: &&str| path.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    backend.preset().impersonation.is_some_and(|field| field.identity_endpoints.iter().any(contains))
}
