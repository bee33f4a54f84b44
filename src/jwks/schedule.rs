//! When to fetch a source next.

use std::time::Duration;

use crate::random::fraction;

/// The wait after the first failure; each further failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// While there are no keys at all, for example because the backend is still starting, retries are more frequent.
const LONGEST_FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// How often a file is read. Like `file_watch`, this polls.
const FILE_INTERVAL: Duration = Duration::from_secs(5);
/// The wait after an attempt that panicked.
pub(super) const AFTER_PANIC: Duration = LONGEST_BACKOFF;
/// The shortest time between attempts that waiting requests cause.
pub(super) const MIN_EARLY_INTERVAL: Duration = FIRST_BACKOFF;

/// The wait after a success: 80 to 90 % of `lifetime`, or of [`FILE_INTERVAL`] for a file. It is random, so that
/// instances do not fetch simultaneously.
pub(super) fn after_success(lifetime: Duration, is_file: bool) -> Duration {
    let lifetime = if is_file { FILE_INTERVAL } else { lifetime };
    lifetime.mul_f64(0.8 + 0.1 * fraction())
}

/// The wait after a failure that follows `failures` others.
pub(super) fn after_failure(failures: u32, has_keys: bool, is_file: bool) -> Duration {
    let longest = match (is_file, has_keys) {
        (true, _) => FILE_INTERVAL,
        (false, true) => LONGEST_BACKOFF,
        (false, false) => LONGEST_FIRST_BACKOFF,
    };
    let backoff = (FIRST_BACKOFF * 2_u32.saturating_pow(failures.min(6))).min(longest);
    backoff.mul_f64(0.8 + 0.2 * fraction())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(wait: impl Fn() -> Duration) -> (f64, f64) {
        let waits: Vec<_> = (0..2000).map(|_| wait().as_secs_f64()).collect();
        (waits.iter().copied().fold(f64::MAX, f64::min), waits.iter().copied().fold(0.0, f64::max))
    }

    #[test]
    fn a_refresh_precedes_the_end_of_the_lifetime_and_is_spread() {
        let (first, last) = span(|| after_success(Duration::from_secs(1000), false));
        assert!((800.0..805.0).contains(&first) && (895.0..900.0).contains(&last), "{first} {last}");
        let (first, last) = span(|| after_success(Duration::from_secs(1000), true));
        assert!(first >= 4.0 && last <= 4.5, "a file: {first} {last}");
    }

    #[test]
    fn failures_are_retried_after_1_to_60_seconds() {
        let seconds = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0];
        for (failures, longest) in (0..).zip(seconds) {
            for (has_keys, is_file, most) in [(true, false, 60.0), (false, false, 5.0), (true, true, 5.0)] {
                let (first, last) = span(|| after_failure(failures, has_keys, is_file));
                let longest = f64::min(longest, most);
                assert!(first >= 0.8 * longest && last <= longest, "{failures}: {first} {last}");
                assert!(last > 0.99 * longest && first < 0.81 * longest, "{failures}: {first} {last}");
            }
        }
        assert!(after_failure(u32::MAX, true, false) <= Duration::from_secs(60));
    }
}
