//! The time claims of a token (RFC 7519 sections 4.1.4 to 4.1.6).

use super::{ClaimRules, ClaimsFault, TokenClass};
use crate::jose::{JsonObject, JsonValue};
use crate::numeric_date::NumericDate;

/// The time claims of one token, and the leeway for comparing them with the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) expires: Option<NumericDate>,
    not_before: Option<NumericDate>,
    pub(super) issued_at: Option<NumericDate>,
    leeway: u64,
}

impl Times {
    pub(super) fn read(
        claims: &JsonObject,
        class: TokenClass,
        rules: &ClaimRules,
    ) -> Result<Self, ClaimsFault> {
        let expires = match claims.get("exp") {
            // A bot token that never expires has `"exp": null` in OpenMetadata's documentation;
            // its code omits the member. Both mean the same.
            None | Some(JsonValue::Null) if rules.non_expiring.allows(class) => None,
            None | Some(JsonValue::Null) => return Err(ClaimsFault::MissingExpiry),
            Some(value) => Some(date(value).ok_or(ClaimsFault::Malformed("exp is not a NumericDate"))?),
        };
        let optional = |name, fault| match claims.get(name) {
            None => Ok(None),
            Some(value) => date(value).map(Some).ok_or(ClaimsFault::Malformed(fault)),
        };
        let not_before = optional("nbf", "nbf is not a NumericDate")?;
        let issued_at = optional("iat", "iat is not a NumericDate")?;
        Ok(Self { expires, not_before, issued_at, leeway: rules.leeway.as_secs() })
    }

    pub(super) fn valid_until(&self) -> Option<NumericDate> {
        self.expires.map(|expires| expires.plus(self.leeway))
    }

    /// RFC 7519 sections 4.1.4 to 4.1.6. `exp` is the first second at which the token has expired.
    pub(super) fn check(&self, now: NumericDate) -> Result<(), ClaimsFault> {
        if self.valid_until().is_some_and(|until| now >= until) {
            return Err(ClaimsFault::Expired);
        }
        let latest = now.plus(self.leeway);
        if self.not_before.is_some_and(|not_before| not_before > latest)
            || self.issued_at.is_some_and(|issued| issued > latest)
        {
            return Err(ClaimsFault::NotYetValid);
        }
        Ok(())
    }

    /// Checks `maxLifetime`. It does not apply to a token without `exp`.
    pub(super) fn check_lifetime(&self, now: NumericDate, rules: &ClaimRules) -> Result<(), ClaimsFault> {
        let (Some(expires), Some(max)) = (self.expires, rules.max_lifetime) else { return Ok(()) };
        let start = self.issued_at.unwrap_or(now);
        let limit = i64::try_from(max.as_secs()).unwrap_or(i64::MAX);
        if expires.since(start) > limit { Err(ClaimsFault::LifetimeTooLong) } else { Ok(()) }
    }
}

/// Only a JSON number is a NumericDate. A numeric string, `true`, an array or an object is an error and does not count
/// as absent (CVE-2026-25537).
fn date(value: JsonValue<'_>) -> Option<NumericDate> {
    match value {
        JsonValue::Number(number) => NumericDate::from_number(number),
        _ => None,
    }
}
