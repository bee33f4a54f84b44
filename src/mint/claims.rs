//! The claims sets of minted tokens: exactly what the backends' filters want, and nothing that makes them treat the
//! token as one of their own.

use serde_json::{Map, Value, json};

use super::target::Form;
use super::{MintFault, MintTarget, PrincipalClaims, TargetUser};
use crate::numeric_date::NumericDate;

/// Claims that never name the principal of a minted token, in lower case: those of the token itself, and those by which
/// OpenMetadata's `JwtFilter` takes a token for one of its own, for a session, or for one with other roles.
const RESERVED: [&str; 15] = [
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "typ",
    "isbot",
    "tokentype",
    "sessionid",
    "impersonateduser",
    "roles",
    "scope",
    "email_verified",
    "teams",
];
/// Claims whose name does not say that they hold an email address.
const ADDRESSES: [&str; 3] = ["upn", "unique_name", "mail"];

/// When a token was issued, when it ends, and its id.
pub(super) struct Stamp {
    pub(super) issued: NumericDate,
    pub(super) expires: NumericDate,
    pub(super) id: String,
}

/// The claims set of a token for this target.
pub(super) fn claims(issuer: &str, target: &MintTarget, stamp: &Stamp) -> Value {
    let mut claims = Map::new();
    match &target.form {
        Form::OpenMetadata(principal) => {
            claims.insert("aud".to_owned(), json!("openmetadata"));
            for (name, value) in principal {
                claims.insert(name.to_string(), json!(value));
            }
        }
        // `StatelessTokenService` reads these four. With version 2 it would look for a stored token.
        Form::DataHub(kind) => {
            claims.insert("aud".to_owned(), json!("datahub"));
            claims.insert("type".to_owned(), json!(kind.as_str()));
            claims.insert("version".to_owned(), json!("1"));
            claims.insert("actorType".to_owned(), json!("USER"));
            claims.insert("actorId".to_owned(), json!(target.user));
            claims.insert("sub".to_owned(), json!(target.user));
        }
    }
    claims.insert("iss".to_owned(), json!(issuer));
    claims.insert("iat".to_owned(), json!(stamp.issued.as_secs()));
    claims.insert("exp".to_owned(), json!(stamp.expires.as_secs()));
    claims.insert("jti".to_owned(), json!(stamp.id));
    Value::Object(claims)
}

/// The claims by which OpenMetadata finds the user: `sub`, every claim that the configuration names, and the address.
/// A claim for an address is left out if no address is known: OpenMetadata then takes the name from another one.
///
/// # Errors
/// OpenMetadata would take another user's name from these claims.
pub(super) fn fill_principal(
    names: &PrincipalClaims,
    user: TargetUser<'_>,
) -> Result<Box<[(Box<str>, Box<str>)]>, MintFault> {
    let mut filled: Vec<(Box<str>, Box<str>)> = Vec::new();
    let mut add = |claim: &str, value: &str| {
        // OpenMetadata compares names without case.
        let taken = filled.iter().any(|(known, _)| known.eq_ignore_ascii_case(claim));
        if !taken && !claim.is_empty() && !RESERVED.contains(&&*claim.to_ascii_lowercase()) {
            filled.push((claim.into(), value.into()));
        }
    };
    add("sub", user.name);
    if let Some((username, email)) = &names.mapping {
        add(username, user.name);
        if let Some(address) = user.email {
            add(email, address);
        }
    }
    for claim in &names.ordered {
        match user.email {
            Some(address) if is_address(claim) => add(claim, address),
            None if is_address(claim) => {}
            _ => add(claim, user.name),
        }
    }
    if let Some(address) = user.email {
        add("email", address);
    }
    // What OpenMetadata reads: the mapped claim, or the first of the list that the token has.
    let is_listed = |claim: &&Box<str>| filled.iter().any(|(known, _)| known.eq_ignore_ascii_case(claim));
    let read = match &names.mapping {
        Some((username, _)) => Some(username),
        None => names.ordered.iter().find(is_listed),
    };
    let value = read.and_then(|read| filled.iter().find(|(known, _)| known.eq_ignore_ascii_case(read)));
    let name = value.map_or(user.name, |(_, value)| value.split('@').next().unwrap_or_default());
    if name.to_lowercase() == user.name { Ok(filled.into()) } else { Err(MintFault::EmailOfAnotherUser) }
}

/// Whether a claim is one that holds an email address.
fn is_address(claim: &str) -> bool {
    let claim = claim.to_ascii_lowercase();
    claim.contains("email") || ADDRESSES.contains(&&*claim)
}
