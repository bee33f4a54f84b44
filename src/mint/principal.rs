//! The names of users, and the claims by which OpenMetadata finds one.

use super::MintFault;
use crate::printable::is_printable;

const MAX_USER_BYTES: usize = 256;
const MAX_EMAIL_BYTES: usize = 320;
/// The name and the urn of the user that every part of DataHub trusts.
pub(super) const SYSTEM_USER: &str = "__datahub_system";

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

/// A user of the backend, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetUser<'a> {
    /// The name: of OpenMetadata's user or bot, or the id of DataHub's `urn:li:corpuser`.
    pub name: &'a str,
    /// The email address that OpenMetadata has stored. DataHub does not read one.
    pub email: Option<&'a str>,
}

/// The claims in which OpenMetadata looks for the user's name and address.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PrincipalClaims {
    /// `jwtPrincipalClaims`: the first one that a token has.
    pub ordered: Vec<Box<str>>,
    /// `jwtPrincipalClaimsMapping`: the claim with the name and the claim with the address. It takes precedence.
    pub mapping: Option<(Box<str>, Box<str>)>,
}

/// The claims of a token that name its user, each with its value.
pub(super) type NamingClaims = Box<[(Box<str>, Box<str>)]>;

pub(super) fn check_name(name: &str) -> Result<(), MintFault> {
    let is_plain =
        |c: char| is_printable(c) && !c.is_whitespace() && !matches!(c, '%' | '(' | ')' | ',' | ':');
    let fine = !name.is_empty() && name.len() <= MAX_USER_BYTES && name.chars().all(is_plain);
    if fine { Ok(()) } else { Err(MintFault::InvalidUser) }
}

pub(super) fn openmetadata_claims(
    claims: &PrincipalClaims,
    user: TargetUser<'_>,
) -> Result<NamingClaims, MintFault> {
    if user.name.contains('@') {
        return Err(MintFault::NameIsAddress);
    }
    check_name(user.name)?;
    if user.name.chars().any(char::is_uppercase) {
        return Err(MintFault::NotLowerCase);
    }
    if let Some(email) = user.email {
        let parts = email.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let plain = email.len() <= MAX_EMAIL_BYTES && email.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || parts.is_none_or(|(_, domain)| domain.contains('@')) {
            return Err(MintFault::InvalidEmail);
        }
    }
    fill_principal(claims, user)
}

/// The claims by which OpenMetadata finds the user: `sub`, every claim that the configuration names, and the address.
/// A claim for an address is left out if no address is known: OpenMetadata then takes the name from another one.
///
/// # Errors
/// OpenMetadata would take another user's name from these claims.
fn fill_principal(names: &PrincipalClaims, user: TargetUser<'_>) -> Result<NamingClaims, MintFault> {
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
    let value_of = |claim: &str| {
        let (_, value) = filled.iter().find(|(known, _)| known.eq_ignore_ascii_case(claim))?;
        Some(&**value)
    };
    let value = match &names.mapping {
        Some((username, _)) => value_of(username),
        None => names.ordered.iter().find_map(|claim| value_of(claim)),
    };
    let name = value.map_or(user.name, |value| value.split('@').next().unwrap_or_default());
    if name.to_lowercase() == user.name { Ok(filled.into()) } else { Err(MintFault::EmailOfAnotherUser) }
}

/// Whether a claim is one that holds an email address.
fn is_address(claim: &str) -> bool {
    let claim = claim.to_ascii_lowercase();
    claim.contains("email") || ADDRESSES.contains(&&*claim)
}
