//! Points in time as RFC 7519 section 2 writes them.

use serde_json::Value;

/// Seconds since 1970-01-01T00:00:00Z, ignoring leap seconds (RFC 7519 section 2, "NumericDate").
///
/// The clock is always passed in as one of these: nothing in the core asks what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumericDate(i64);

impl NumericDate {
    /// A point in time from whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs)
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> i64 {
        self.0
    }

    /// Reads a claim. Only a JSON number is a NumericDate: a string that looks like one, `true`,
    /// an array or an object is a different type and never "absent" (CVE-2026-25537).
    ///
    /// A fraction is rounded up. The clock ticks in whole seconds, and for whole seconds `now`
    /// the comparisons `now < 1.5` and `now < 2` have the same answer.
    pub fn from_claim(value: &Value) -> Option<Self> {
        let Value::Number(number) = value else { return None };
        if let Some(secs) = number.as_i64() {
            return (secs >= 0).then_some(Self(secs));
        }
        // Not an i64: a fraction, an exponent, or beyond the range. 2^63 is exact in an f64.
        let secs = number.as_f64()?;
        let in_range = secs.is_sign_positive() && secs < 9_223_372_036_854_775_808.0;
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked just above")]
        in_range.then(|| Self(secs.ceil() as i64))
    }

    /// This time, `secs` later; stops at the end of the range instead of wrapping.
    pub const fn plus(self, secs: u64) -> Self {
        let secs = if secs > i64::MAX as u64 { i64::MAX } else { secs as i64 };
        Self(self.0.saturating_add(secs))
    }

    /// How many seconds `self` is after `earlier`; negative if it is before.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<i64> {
        NumericDate::from_claim(&serde_json::from_str(json).unwrap()).map(NumericDate::as_secs)
    }

    #[test]
    fn integers_and_floats_are_dates() {
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("1704067200"), Some(1_704_067_200));
        assert_eq!(read("1704067200.0"), Some(1_704_067_200));
        assert_eq!(read("1.5"), Some(2));
        assert_eq!(read("1e9"), Some(1_000_000_000));
        assert_eq!(read("9223372036854775807"), Some(i64::MAX));
    }

    #[test]
    fn everything_else_is_not() {
        for json in ["null", "\"1704067200\"", "true", "[]", "[1]", "{}", "-1", "-0.5", "-0.0"] {
            assert_eq!(read(json), None, "{json}");
        }
        for json in ["18446744073709551615", "18446744073709551616", "1e19", "9.3e18"] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let end = NumericDate::from_secs(i64::MAX);
        assert_eq!(end.plus(u64::MAX), end);
        assert_eq!(NumericDate::from_secs(i64::MIN).since(end), i64::MIN);
        assert_eq!(NumericDate::from_secs(5).plus(30).as_secs(), 35);
    }
}
