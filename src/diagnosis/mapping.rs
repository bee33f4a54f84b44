//! Tokens that no entry of `exchange` takes.

use super::text::{Claim, Detail, Quoted, Words};
use crate::claims::{IssuedKind, VerifiedToken};
use crate::jose::JsonValue;
use crate::token_exchange::{ClaimValue, ExchangeEntry, Mismatch, Outdated, TokenExchange};

/// The most entries that are named.
const MAX_ENTRIES: usize = 3;

/// Why a token that metagate issued in exchange for another one has no user any more.
fn outdated(outdated: Outdated<'_>) -> Detail {
    let detail = |entry: &ExchangeEntry, why: std::fmt::Arguments<'_>| {
        Detail::of(format_args!("its exchange entry {} {why}", entry.user.entry))
    };
    match outdated {
        Outdated::Malformed => {
            Detail::of(format_args!("it does not say which exchange entry issued it, and for which token"))
        }
        Outdated::NoEntry => {
            Detail::of(format_args!("the exchange entry that issued it does not exist any more"))
        }
        Outdated::NotIssuing(entry) => detail(entry, format_args!("has no tokenLifetime any more")),
        Outdated::Issuer(entry) => {
            detail(entry, format_args!("takes tokens of {}, which has another iss now", entry.issuer))
        }
        Outdated::Subject(entry) => detail(entry, format_args!("does not take its subject any more")),
        Outdated::Claim(entry, claim) => detail(
            entry,
            format_args!(
                "wants another value of {claim} than the exchanged token had, or did not ask for it"
            ),
        ),
    }
}

/// The subject, and what each entry of its issuer wanted instead.
pub fn unmapped(token: &VerifiedToken, exchange: &TokenExchange) -> Detail {
    if token.issued() == Some(IssuedKind::Exchanged)
        && let Err(why) = exchange.user_of_issued(token)
    {
        return outdated(why);
    }
    let subject = Claim(token.claims().get("sub"));
    let mut detail =
        Detail::of(format_args!("no entry of exchange takes sub {subject} of issuer {}", token.entry()));
    let mut entries = exchange.entries_of(token.entry());
    for entry in entries.by_ref().take(MAX_ENTRIES) {
        let name = &entry.user.entry;
        match entry.mismatch(token) {
            Some(Mismatch::Subject(subjects)) => {
                let subjects = Words(subjects.iter().map(AsRef::as_ref));
                detail.add(format_args!("; {name}: sub is none of {subjects}"));
            }
            Some(Mismatch::Claim(path, values)) => {
                let found = Claim(path.find(token.claims()));
                detail.add(format_args!("; {name}: {} is {found}, wanted one of [", path.as_str()));
                for (at, value) in values.iter().enumerate() {
                    detail.add(format_args!("{}", if at > 0 { ", " } else { "" }));
                    wanted(&mut detail, value);
                }
                detail.add(format_args!("]"));
            }
            None => {}
        }
    }
    match entries.count() {
        0 => {}
        more => detail.add(format_args!("; and {more} more entries")),
    }
    detail
}

/// A wanted value, as JSON: the text `true` is not the boolean.
fn wanted(detail: &mut Detail, value: &ClaimValue) {
    match value {
        ClaimValue::String(text) => detail.add(format_args!("{}", Quoted(text))),
        ClaimValue::Bool(value) => detail.add(format_args!("{}", Claim(Some(JsonValue::Bool(*value))))),
        ClaimValue::Number(number) => detail.add(format_args!("{number}")),
    }
}
