//! Tokens of an issuer that is not trusted.

use super::text::{Claim, Detail, Quoted, Words, near_miss};
use crate::jose::UnverifiedToken;
use crate::trust::{self, TrustedIssuer};

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

/// The member of the header that is not what the entry requires.
pub(super) fn wrong_member(token: &UnverifiedToken<'_>, entry: &TrustedIssuer) -> Detail {
    let members = token.header_members();
    let Some((name, accepted)) = trust::wrong_member(token, entry) else {
        return Detail::of(format_args!("its header is not what entry {} requires", entry.name));
    };
    let found = Claim(members.as_ref().and_then(|members| members.get(name)));
    let accepted = Words(accepted.iter().map(AsRef::as_ref));
    Detail::of(format_args!(
        "header {name}: token has {found}, entry {} accepts {accepted} (requireHeader)",
        entry.name
    ))
}
