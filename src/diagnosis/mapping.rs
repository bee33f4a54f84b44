//! Tokens that no entry of `exchange` takes.

use super::text::{Claim, Detail, Quoted, Words};
use crate::claims::VerifiedToken;
use crate::jose::JsonValue;
use crate::token_exchange::{ClaimValue, Mismatch, TokenExchange};

/// The most entries that are named.
const MAX_ENTRIES: usize = 3;

/// The subject, and what each entry of its issuer wanted instead.
pub fn unmapped(token: &VerifiedToken, exchange: &TokenExchange) -> Detail {
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
