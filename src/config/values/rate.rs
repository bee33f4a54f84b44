//! Rates.

use std::time::Duration;

use super::{leading_number, quote};

/// The highest rate of one key, in permits a second.
const MOST: u64 = 10_000;

/// `5/s`, `100/m` or `1000/h`: how many permits in which time. None if it is `off`.
pub(in super::super) fn rate(text: &str) -> Result<Option<(u32, Duration)>, String> {
    let error = || format!("{} is not a rate; write it like 5/s, 100/m or 1000/h, or off", quote(text));
    if matches!(text.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "null") {
        return Ok(None);
    }
    let (number, unit) = leading_number(text).ok_or_else(error)?;
    let seconds = match unit {
        "/s" => 1,
        "/m" => 60,
        "/h" => 3600,
        _ => return Err(error()),
    };
    let count = u32::try_from(number).ok().filter(|count| (1..=MOST * seconds).contains(&u64::from(*count)));
    let count =
        count.ok_or_else(|| format!("{} is out of range; accepted: 1/h to {MOST}/s, or off", quote(text)))?;
    Ok(Some((count, Duration::from_secs(seconds))))
}
