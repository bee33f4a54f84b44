//! Tokens of an issuer that is not trusted.

use super::text::{Claim, Detail, Quoted, near_miss};
use crate::jose::UnverifiedToken;
use crate::trust::TrustedIssuer;

/// The most issuers that are listed.
const MAX_ISSUERS: usize = 6;

/// The token's `iss`, and those of the entries. An issuer that differs so little that a person may not see it is listed
/// first, with the difference.
pub fn untrusted(token: &UnverifiedToken<'_>, entries: &[TrustedIssuer]) -> Detail {
    let claimed = match token.issuer_hint() {
        Ok(claimed) => claimed,
        Err(_) => {
            let found = Claim(token.claims_for_operators().get("iss"));
            return Detail::of(format_args!("iss: {found} is not a string"));
        }
    };
    let mut detail = match claimed {
        Some(claimed) => Detail::of(format_args!("iss: {}, entries:", Quoted(claimed))),
        None => Detail::of(format_args!("iss: token has none, entries:")),
    };
    let trusted = || {
        entries.iter().flat_map(|entry| entry.rules.issuers.iter().map(|issuer| (&*entry.name, &**issuer)))
    };
    let near = |issuer: &str| claimed.and_then(|claimed| near_miss(claimed, issuer));
    let nearest = trusted().find_map(|(name, issuer)| Some((name, issuer, near(issuer)?)));
    if let Some((name, issuer, difference)) = nearest {
        detail.add(format_args!(" {name} {} (differs only by {difference})", Quoted(issuer)));
    }
    let others = || trusted().filter(|(_, issuer)| nearest.is_none_or(|(_, near, _)| near != *issuer));
    for (at, (name, issuer)) in others().take(MAX_ISSUERS).enumerate() {
        let separator = if at > 0 || nearest.is_some() { "," } else { "" };
        detail.add(format_args!("{separator} {name} {}", Quoted(issuer)));
    }
    match others().count().saturating_sub(MAX_ISSUERS) {
        0 => {}
        more => detail.add(format_args!(" and {more} more")),
    }
    if trusted().next().is_none() {
        detail.add(format_args!(" none"));
    }
    detail
}
