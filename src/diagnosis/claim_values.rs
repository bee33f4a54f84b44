//! Claims of a type or content that is not accepted.

use super::text::{Claim, Detail, Typed};
use crate::claims::{ClaimPath, ClaimRules, MAX_NAME_BYTES};
use crate::jose::{JsonObject, JsonValue};

/// `why`, with the claim that it is about and its value. The texts of [`crate::claims`] begin with the name of the
/// claim, or say what kind of token it is.
pub(super) fn malformed(claims: &JsonObject, rules: &ClaimRules, why: &'static str) -> Detail {
    let mut detail = Detail::of(format_args!("{why}"));
    let present = |names: &[&'static str]| {
        names
            .iter()
            .copied()
            .find(|name| claims.get_ignoring_case(name).is_some_and(|value| !value.is_null()))
    };
    let name = match why.split(' ').next() {
        Some(name @ ("exp" | "nbf" | "iat" | "aud" | "iss" | "sub")) => Some(name),
        _ if why.starts_with("a refresh") => Some("typ"),
        _ if why.starts_with("an ID token") => present(&["nonce", "at_hash", "c_hash"]),
        _ if why.starts_with("a logout token") => Some("events"),
        _ => odd_name(claims, rules),
    };
    let is_about_type = why.contains(" is not a ") || why.contains(" is neither a ");
    match name {
        Some(name) if is_about_type => {
            detail.add(format_args!(": {name} is {}", Typed(claims.get_ignoring_case(name))));
        }
        Some(name) => {
            let value = ClaimPath::new(name).find_ignoring_case(claims);
            detail.add(format_args!(": {name} is {}", Claim(value)));
        }
        None => {}
    }
    detail
}

/// The principal claim that is not a valid name: it has control characters or is too long.
fn odd_name<'r>(claims: &JsonObject, rules: &'r ClaimRules) -> Option<&'r str> {
    let principal = &rules.principal;
    let mapped = principal.mapping.iter().flat_map(|mapping| [&mapping.username, &mapping.email]);
    let is_odd = |value: Option<JsonValue<'_>>| {
        let text = value.and_then(JsonValue::as_str);
        text.is_some_and(|text| text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control))
    };
    let mut paths = mapped.chain(&principal.claims);
    let odd = paths.find(|path| is_odd(path.find_ignoring_case(claims))).map(ClaimPath::as_str);
    odd.or_else(|| is_odd(claims.get_ignoring_case("email")).then_some("email"))
}
