//! When a source is fetched next.

use std::time::Duration;

use crate::random::fraction;

/// The first wait after a failure; doubled with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// While there are no keys at all, a backend that is just starting is asked more often.
const LONGEST_FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// How often a file is read, as `file_watch` does it: by polling.
const FILE_INTERVAL: Duration = Duration::from_secs(5);
/// An attempt that ends in a panic of ours is not repeated sooner than this.
pub(super) const AFTER_PANIC: Duration = LONGEST_BACKOFF;
/// Requests that wait for first keys may not make attempts come closer together than this.
pub(super) const HURRY_INTERVAL: Duration = FIRST_BACKOFF;

/// The wait after a success: ahead of the end of `lifetime`, and not everybody at one moment.
pub(super) fn after_success(lifetime: Duration, is_file: bool) -> Duration {
    let lifetime = if is_file { FILE_INTERVAL } else { lifetime };
    lifetime.mul_f64(0.8 + 0.1 * fraction())
}

/// The wait after a failure that followed on `failures` others.
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
    fn a_refresh_comes_ahead_of_the_end_and_is_spread() {
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
