//! Who a token is for, and whose it is.

use super::text::{Claim, Detail, Quoted, QuotedNames, Words, near_miss};
use crate::claims::{ClaimPath, ClaimRules, is_foreign_audience};
use crate::jose::{JsonObject, JsonValue};
use crate::trust::TrustedIssuer;

/// The most values of `aud` that are compared with the accepted ones to find near misses.
const MAX_COMPARED: usize = 8;

pub(super) fn audience(claims: &JsonObject, entry: &TrustedIssuer) -> Detail {
    let found = claims.get("aud");
    let accepted = || entry.rules.audiences.iter().map(AsRef::as_ref);
    let mut detail = Detail::of(format_args!(
        "aud: token has {}, entry {} accepts {}",
        Claim(found),
        entry.name,
        Words(accepted())
    ));
    let near = |value: JsonValue<'_>| {
        let value = value.as_str()?;
        accepted().take(MAX_COMPARED).find_map(|accepted| near_miss(value, accepted))
    };
    let difference = match found {
        Some(JsonValue::Array(items)) => items.iter().take(MAX_COMPARED).find_map(near),
        other => other.and_then(near),
    };
    if let Some(difference) = difference {
        detail.add(format_args!(" (differs only by {difference})"));
    }
    let is_foreign = |value: &str| is_foreign_audience(value, &entry.rules.issuers);
    let foreign = match found {
        Some(JsonValue::Array(items)) => {
            items.iter().filter_map(JsonValue::as_str).find(|value| is_foreign(value))
        }
        other => other.and_then(JsonValue::as_str).filter(|value| is_foreign(value)),
    };
    if let Some(foreign) = foreign.filter(|_| entry.rules.refuses_foreign_audiences) {
        detail.add(format_args!("; {} is the audience of another service", Quoted(foreign)));
    }
    detail
}

/// The claims that were looked for, what they are if they are there, and which claims the token has.
pub(super) fn principal(claims: &JsonObject, entry: &TrustedIssuer) -> Detail {
    let principal = &entry.rules.principal;
    let mapped = principal.mapping.as_ref().map(|mapping| [&mapping.username, &mapping.email]);
    let wanted = match &mapped {
        Some(mapped) => mapped.to_vec(),
        None => principal.claims.iter().collect(),
    };
    let names = Words(wanted.iter().map(|path| path.as_str()));
    let mut detail = match mapped {
        // An email without `@` is not one.
        Some(_) => Detail::of(format_args!("principal: token needs both of {names}, the second with an @")),
        None => Detail::of(format_args!("principal: none of {names} names a user")),
    };
    for name in wanted.into_iter().take(MAX_COMPARED) {
        if let Some(found) = name.find_ignoring_case(claims) {
            let name = name.as_str();
            detail.add(format_args!("; {name} is {}", Claim(Some(found))));
        }
    }
    detail.add(format_args!("; token has {}", QuotedNames(claims.members().iter().map(|(name, _)| name))));
    detail
}

/// Only the domain of the address, and the allowed ones.
pub(super) fn domain(claims: &JsonObject, rules: &ClaimRules) -> Detail {
    let principal = &rules.principal;
    let text = |path: &ClaimPath| {
        path.find_ignoring_case(claims).and_then(JsonValue::as_str).filter(|text| !text.is_empty())
    };
    let first = || principal.claims.iter().find_map(|path| Some((path.as_str(), text(path)?)));
    let source = match &principal.mapping {
        Some(mapping) => text(&mapping.email).map(|address| (mapping.email.as_str(), address)).or_else(first),
        None => first(),
    };
    let (name, address) = source.unwrap_or(("principal", ""));
    let mut detail = match address.split_once('@') {
        Some((_, domain)) => Detail::of(format_args!("domain: {} in {name}", Quoted(domain))),
        None => Detail::of(format_args!("domain: {name} has none")),
    };
    if let Some(rule) = &rules.domain {
        match &*rule.allowed {
            [] => detail.add(format_args!(", wanted {} (principalDomain)", rule.principal_domain)),
            allowed => {
                let allowed = Words(allowed.iter().map(AsRef::as_ref));
                detail.add(format_args!(", allowed {allowed} (allowedDomains)"));
            }
        }
    }
    detail
}
