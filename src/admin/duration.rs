//! Durations for people.

/// Days, hours, minutes and seconds.
const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
/// From so many days on, hours say nothing.
const MANY_DAYS: u64 = 30;

/// A duration in its two largest units: `2 d 3 h`.
pub fn duration(seconds: u64) -> String {
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let mut units = UNITS.iter().skip(largest);
    let Some((unit, name)) = units.next() else { return String::new() };
    let (count, rest) = (seconds / unit, seconds % unit);
    let first = format!("{count} {name}");
    match units.next().map(|(unit, name)| (rest / unit, name)) {
        Some((count, name)) if count > 0 && seconds < MANY_DAYS * 86_400 => format!("{first} {count} {name}"),
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3_600, "1 h"),
            (3_725, "1 h 2 min"),
            (86_400 + 59, "1 d"),
            (2 * 86_400 + 3 * 3_600, "2 d 3 h"),
            (29 * 86_400 + 23 * 3_600, "29 d 23 h"),
            (61 * 86_400 + 3_600, "61 d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
