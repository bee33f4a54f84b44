//! Points in time as RFC 7519 section 2 defines them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Number;

/// Seconds since 1970-01-01T00:00:00Z, ignoring leap seconds (RFC 7519 section 2, "NumericDate").
///
/// The core has no clock: the current time is always an argument of this type.
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

    /// Reads a JSON number. No other value is a NumericDate.
    ///
    /// A fraction is rounded up. That is exact, because `now` is in whole seconds:
    /// `now < 1.5` and `now < 2` are then equivalent.
    pub fn from_number(number: &Number) -> Option<Self> {
        if let Some(secs) = number.as_i64() {
            return (secs >= 0).then_some(Self(secs));
        }
        // Not an i64: a fraction, an exponent, or out of range. 2^63 is exact in an f64.
        let secs = number.as_f64()?;
        let in_range = secs.is_sign_positive() && secs < 9_223_372_036_854_775_808.0;
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked just above")]
        in_range.then(|| Self(secs.ceil() as i64))
    }

    /// Reads a date-time of RFC 3339 section 5.6, like `2026-11-22T06:30:00Z`, or a number of seconds
    /// since the epoch. A fraction of a second is rounded up. A time before 1970 is refused, also one by its offset: it could
    /// not be written again.
    pub fn from_text(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Self);
        }
        let (date, rest) = text.split_at_checked(10)?;
        let rest = rest.strip_prefix(['T', 't', ' '])?;
        let (time, rest) = rest.split_at_checked(8)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let (fraction, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
        let rounded_up = match fraction.strip_prefix('.') {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                i64::from(digits.bytes().any(|byte| byte != b'0'))
            }
            Some(_) => return None,
            None if fraction.is_empty() => 0,
            None => return None,
        };
        // Second 60 is a leap second, which NumericDate does not count.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days_since_epoch(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second;
        let since_epoch = seconds + rounded_up - offset_seconds(offset)?;
        (since_epoch >= 0).then_some(Self(since_epoch))
    }

    /// The time `secs` later. Saturates at the end of the range.
    pub const fn plus(self, secs: u64) -> Self {
        let secs = if secs > i64::MAX as u64 { i64::MAX } else { secs as i64 };
        Self(self.0.saturating_add(secs))
    }

    /// How many seconds `self` is after `earlier`; negative if it is before.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<SystemTime> for NumericDate {
    /// The whole seconds; zero before 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}

impl From<NumericDate> for SystemTime {
    /// 1970 for earlier times, and for those that the system cannot represent.
    fn from(time: NumericDate) -> Self {
        let since = Duration::from_secs(u64::try_from(time.0).unwrap_or_default());
        UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
    }
}

/// A date-time of RFC 3339 in UTC, or the number of seconds if the year has more than four digits.
impl fmt::Display for NumericDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const END_OF_9999: i64 = 253_402_300_800;
        if !(0..END_OF_9999).contains(&self.0) {
            return write!(f, "{}", self.0);
        }
        let (days, second) = (self.0 / 86_400, self.0 % 86_400);
        // Years begin in March here, so that a leap day is the last day of its year.
        let since_0000_03_01 = days + 719_468;
        let (era, day_of_era) = (since_0000_03_01 / 146_097, since_0000_03_01 % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Three numbers of exactly these lengths.
fn numbers(text: &str, separator: char, lengths: [usize; 3]) -> Option<[i64; 3]> {
    let mut found = [0; 3];
    let mut parts = text.split(separator);
    for (slot, length) in found.iter_mut().zip(lengths) {
        let digits = parts.next().filter(|part| part.len() == length)?;
        *slot = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

/// `Z`, or the offset of local time from UTC: `+02:00`.
fn offset_seconds(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let [hour, minute, _] = numbers(&format!("{rest}:00"), ':', [2, 2, 2])?;
    let seconds = (hour <= 23 && minute <= 59).then_some(hour * 3600 + minute * 60)?;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if the date does not exist.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month).ok()?.checked_sub(1)?;
    if year < 1970 || !(1..=*lengths.get(before)?).contains(&day) {
        return None;
    }
    let earlier = year - 1;
    // Leap years up to the previous year, minus those up to 1969 (492 - 19 + 4).
    let leap_days = earlier / 4 - earlier / 100 + earlier / 400 - 477;
    Some((year - 1970) * 365 + leap_days + lengths.iter().take(before).sum::<i64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<i64> {
        NumericDate::from_number(&serde_json::from_str(json).ok()?).map(NumericDate::as_secs)
    }

    #[test]
    fn json_numbers_are_dates() {
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("1704067200"), Some(1_704_067_200));
        assert_eq!(read("1704067200.0"), Some(1_704_067_200));
        assert_eq!(read("1.5"), Some(2));
        assert_eq!(read("1e9"), Some(1_000_000_000));
        assert_eq!(read("9223372036854775807"), Some(i64::MAX));
    }

    #[test]
    fn other_types_and_out_of_range_numbers_are_refused() {
        for json in ["null", "\"1704067200\"", "true", "[]", "[1]", "{}", "-1", "-0.5", "-0.0"] {
            assert_eq!(read(json), None, "{json}");
        }
        for json in ["18446744073709551615", "18446744073709551616", "1e19", "9.3e18"] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let end = NumericDate::from_secs(i64::MAX);
        assert_eq!(end.plus(u64::MAX), end);
        assert_eq!(NumericDate::from_secs(i64::MIN).since(end), i64::MIN);
        assert_eq!(NumericDate::from_secs(5).plus(30).as_secs(), 35);
    }

    #[test]
    fn dates_are_written_as_they_are_read() {
        for text in
            ["1970-01-01T00:00:00Z", "2000-02-29T12:34:56Z", "2100-02-28T23:59:59Z", "9999-12-31T23:59:59Z"]
        {
            assert_eq!(NumericDate::from_text(text).map(|date| date.to_string()).as_deref(), Some(text));
        }
        for day in (0..400 * 366).map(|day| NumericDate::from_secs(day * 86_400 + 1)) {
            assert_eq!(NumericDate::from_text(&day.to_string()), Some(day));
        }
        assert_eq!(NumericDate::from_secs(253_402_300_800).to_string(), "253402300800");
        assert_eq!(NumericDate::from_secs(-1).to_string(), "-1");
    }

    #[test]
    fn text_is_a_date_time_or_seconds() {
        let read = |text: &str| NumericDate::from_text(text).map(NumericDate::as_secs);
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2026-11-22T06:30:00Z", 1_795_329_000),
            ("2026-11-22t06:30:00z", 1_795_329_000),
            ("2026-11-22 08:30:00+02:00", 1_795_329_000),
            ("2026-11-22T01:00:00-05:30", 1_795_329_000),
            ("2026-11-22T06:29:59.001Z", 1_795_329_000),
            ("2026-11-22T06:30:00.000Z", 1_795_329_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("1970-01-01T00:00:00-00:01", 60),
            ("1795329000", 1_795_329_000),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "now",
            "-1",
            "1970-01-01T00:00:00+00:01",
            "1.5",
            "2026-11-22",
            "2026-11-22T06:30Z",
            "2026-11-22T06:30:00",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T06:60:00Z",
            "2026-11-22T06:30:00.Z",
            "2026-11-22T06:30:00+2:00",
            "2026-11-22T06:30:00+24:00",
            "2026-11-22T06:30:00Zx",
            "1969-12-31T23:59:59Z",
            "+026-11-22T06:30:00Z",
            "99999999999999999999",
            "2026-11-22T06:30:0\u{660}Z",
            "\u{e9}026-11-22T06:30:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
