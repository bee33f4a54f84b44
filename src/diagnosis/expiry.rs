//! The times of a token.

use super::text::{Detail, Span};
use crate::claims::{ClaimRules, NonExpiring, TokenClass, claimed_class};
use crate::jose::{JsonObject, JsonValue, KeyChoice, KeySet, UnverifiedToken};
use crate::numeric_date::NumericDate;
use crate::trust::TrustedIssuer;

/// The leeway is named if a time is missed by less than this many seconds: then two clocks may differ.
const CLOCKS_DIFFER: u64 = 600;

pub(super) fn expired(claims: &JsonObject, rules: &ClaimRules, now: NumericDate) -> Detail {
    let Some(expires) = date(claims, "exp") else { return Detail::of(format_args!("exp: expired")) };
    let ago = now.since(expires).unsigned_abs();
    let mut detail = Detail::of(format_args!("exp: expired {} ago ({expires})", Span(ago)));
    name_leeway(&mut detail, rules, ago);
    detail
}

pub(super) fn not_yet_valid(claims: &JsonObject, rules: &ClaimRules, now: NumericDate) -> Detail {
    let latest = now.plus(rules.leeway.as_secs());
    let future = ["nbf", "iat"]
        .into_iter()
        .find_map(|name| Some((name, date(claims, name)?)).filter(|(_, at)| *at > latest));
    let Some((name, at)) = future else { return Detail::of(format_args!("nbf or iat is in the future")) };
    let ahead = at.since(now).unsigned_abs();
    let what = if name == "nbf" { "valid only in" } else { "issued in the future, in" };
    let mut detail = Detail::of(format_args!("{name}: {what} {} ({at})", Span(ahead)));
    name_leeway(&mut detail, rules, ahead);
    detail
}

fn name_leeway(detail: &mut Detail, rules: &ClaimRules, missed_by: u64) {
    if missed_by < CLOCKS_DIFFER {
        detail.add(format_args!(", leeway {}", Span(rules.leeway.as_secs())));
    }
}

/// There is no `exp`, and the entry requires it of tokens of this class.
pub(super) fn missing(token: &UnverifiedToken<'_>, entry: &TrustedIssuer, keys: Option<&KeySet>) -> Detail {
    let claims = token.claims_for_operators();
    let class = if is_backends_own(token, entry, keys) { claimed_class(claims) } else { TokenClass::User };
    let found = if claims.get("exp").is_some() { "it is null" } else { "token has none" };
    let (class, name) = (class.as_str(), &entry.name);
    let allowed = match entry.rules.non_expiring {
        NonExpiring::None => "none",
        NonExpiring::Bots => "bots",
        NonExpiring::AccessTokens => "accessTokens",
        NonExpiring::Any => "any",
    };
    Detail::of(format_args!(
        "exp: {found}, and its class is {class}; entry {name} has allowNonExpiring: {allowed}"
    ))
}

fn is_backends_own(token: &UnverifiedToken<'_>, entry: &TrustedIssuer, keys: Option<&KeySet>) -> bool {
    let header = token.header();
    let by_backends_key = match keys.map(|keys| keys.choose_for(header)) {
        Some(KeyChoice::Named(keys) | KeyChoice::Unnamed(keys)) => {
            keys.iter().any(|key| key.is_backends_own())
        }
        Some(KeyChoice::Only(key)) => key.is_backends_own(),
        Some(KeyChoice::WrongAlgorithm | KeyChoice::UnknownKid | KeyChoice::NoKid) | None => false,
    };
    entry.rules.own_tokens.include(by_backends_key, token.issuer_hint().ok().flatten())
}

pub(super) fn too_long(claims: &JsonObject, entry: &TrustedIssuer, now: NumericDate) -> Detail {
    let (issued, expires) = (date(claims, "iat"), date(claims, "exp"));
    let lifetime = expires.map_or(0, |expires| expires.since(issued.unwrap_or(now)).unsigned_abs());
    let start = if issued.is_some() { "iat" } else { "now (it has no iat)" };
    let longest = Span(entry.rules.max_lifetime.map_or(0, |max| max.as_secs()));
    let (lifetime, name) = (Span(lifetime), &entry.name);
    Detail::of(format_args!("exp: {lifetime} after {start}, entry {name} allows {longest} (maxLifetime)"))
}

fn date(claims: &JsonObject, name: &str) -> Option<NumericDate> {
    match claims.get(name)? {
        JsonValue::Number(number) => NumericDate::from_number(number),
        _ => None,
    }
}
