//! The limiter against an exact model, and the bounds that hold for every sequence of requests.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::thread;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MICRO: Duration = Duration::from_micros(1);

fn limiter(count: u32, period: Duration, burst: u32) -> (RateLimiter, Instant) {
    let start = Instant::now();
    (RateLimiter::new(RateLimit::new(count, period, burst).unwrap(), start), start)
}

/// How many permits a key gets at one moment.
fn taken(limiter: &RateLimiter, key: u32, now: Instant) -> usize {
    (0..10_000).take_while(|_| limiter.try_take(&key, now).is_ok()).count()
}

/// Buckets of exact fractions, for any number of keys.
struct Model {
    count: u128,
    period: u128,
    burst: u128,
    /// Permits times `period`, and when they were counted, in nanoseconds.
    buckets: HashMap<u8, (u128, u128)>,
}

impl Model {
    fn level(&mut self, key: u8, now: u128) -> &mut u128 {
        let full = self.burst * self.period;
        let (level, at) = self.buckets.entry(key).or_insert((full, now));
        *level = (*level + (now - *at) * self.count).min(full);
        *at = now;
        level
    }

    fn try_take(&mut self, key: u8, now: u128) -> bool {
        let period = self.period;
        let level = self.level(key, now);
        let is_allowed = *level >= period;
        *level -= if is_allowed { period } else { 0 };
        is_allowed
    }
}

proptest! {
    /// The periods are such that a permit takes whole microseconds, so that nothing is rounded.
    #[test]
    fn it_agrees_with_an_exact_model(
        count in 1_u32..50,
        micros in 100_u64..100_000,
        burst in 1_u32..40,
        requests in prop::collection::vec((0_u8..4, 0_u64..200_000), 1..300),
    ) {
        let period = Duration::from_micros(micros * u64::from(count));
        let (limiter, start) = limiter(count, period, burst);
        let mut model = Model {
            count: count.into(),
            period: period.as_nanos(),
            burst: burst.into(),
            buckets: HashMap::new(),
        };
        let mut now = start;
        for (key, later) in requests {
            now += Duration::from_micros(later);
            let check = limiter.check(&key, now);
            let permit = limiter.try_take(&key, now);
            prop_assert_eq!(check, permit, "a check says what taking would");
            prop_assert_eq!(permit.is_ok(), model.try_take(key, (now - start).as_nanos()));
        }
    }

    #[test]
    fn waiting_as_long_as_it_says_is_necessary_and_enough(
        count in 1_u32..1000, millis in 100_u64..100_000, burst in 1_u32..100, spent in 0_u64..1_000_000,
    ) {
        let (limiter, start) = limiter(count, Duration::from_millis(millis), burst);
        prop_assert_eq!(taken(&limiter, 7, start), burst as usize);
        // Part of the time for a permit has passed.
        let interval = limiter.limit.interval;
        let now = start + Duration::from_micros(spent % interval);
        let wait = limiter.try_take(&7, now).unwrap_err();
        prop_assert_eq!(wait.duration(), Duration::from_micros(interval - spent % interval));
        prop_assert_eq!(limiter.check(&7, now + wait.duration() - MICRO).unwrap_err().duration(), MICRO);
        prop_assert!(limiter.try_take(&7, now + wait.duration()).is_ok());
        prop_assert!(limiter.try_take(&7, now + wait.duration()).is_err());
    }

    /// Whatever else the table has to remember, no key is refused before it has had its burst.
    #[test]
    fn no_key_pays_for_another(others in prop::collection::vec(any::<u32>(), 0..2000)) {
        let (limiter, start) = limiter(1, SECOND, 3);
        for other in others.iter().filter(|other| **other != 1) {
            limiter.take(other, start);
        }
        prop_assert_eq!(taken(&limiter, 1, start), 3);
        prop_assert_eq!(taken(&limiter, 1, start + 10 * SECOND), 3);
    }
}

#[test]
fn a_burst_is_followed_by_the_rate() {
    let (limiter, start) = limiter(5, SECOND, 100);
    assert_eq!(taken(&limiter, 1, start), 100);
    assert_eq!(limiter.try_take(&1, start).unwrap_err().duration(), Duration::from_millis(200));
    assert_eq!(taken(&limiter, 1, start + SECOND), 5);
    assert_eq!(taken(&limiter, 1, start + 21 * SECOND), 100, "no more than the burst is saved");
    assert_eq!(taken(&limiter, 2, start), 100, "another key");
}

#[test]
fn what_happens_anyway_never_leaves_a_bucket_emptier_than_empty() {
    let (limiter, start) = limiter(5, SECOND, 10);
    (0..1000).for_each(|_| limiter.take(&1, start));
    assert_eq!(limiter.check(&1, start).unwrap_err().duration(), Duration::from_millis(200));
    assert_eq!(taken(&limiter, 1, start + SECOND), 5);
}

#[test]
fn a_check_takes_nothing_and_needs_no_memory() {
    let (limiter, start) = limiter(1, SECOND, 1);
    assert!((0..10).all(|_| limiter.check(&1, start).is_ok()));
    assert!(limiter.sets.get().is_none());
    assert!(limiter.try_take(&1, start).is_ok());
    assert_eq!(size_of_val(&**limiter.sets.get().unwrap()), 512 << 10);
}

#[test]
fn retry_after_is_rounded_up() {
    for (millis, seconds) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (60_000, 60)] {
        assert_eq!(Wait(Duration::from_millis(millis)).seconds(), seconds, "{millis}");
    }
}

/// A flood from many networks: most are remembered, and those that are forgotten are those that asked for least.
#[test]
fn a_full_table_forgets_the_fullest_buckets() {
    let (limiter, start) = limiter(1, SECOND, 100);
    for key in 0..1000_u32 {
        (0..100).for_each(|_| limiter.take(&key, start));
    }
    (1000..1_000_000_u32).for_each(|key| limiter.take(&key, start));
    let forgotten = (0..1000_u32).filter(|key| limiter.check(key, start).is_ok()).count();
    assert!(forgotten < 5, "{forgotten} empty buckets were replaced by nearly full ones");
}

#[test]
fn threads_share_a_limit() {
    let (limiter, start) = limiter(1, SECOND, 1000);
    let all: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(&limiter, 1, start))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(all, 1000);
}

#[test]
fn time_may_go_back_a_little() {
    let (limiter, start) = limiter(1, SECOND, 2);
    let now = start + 60 * SECOND;
    assert_eq!(taken(&limiter, 1, now), 2);
    for back in [Duration::from_micros(1), Duration::from_millis(10), SECOND] {
        assert!(limiter.check(&1, now - back).is_err(), "{back:?}");
    }
    assert!(limiter.check(&1, start - SECOND).is_ok(), "before the start is at the start");
}

#[test]
fn times_wrap_around() {
    let (limiter, start) = limiter(5, SECOND, 10);
    let wrap = Duration::from_micros(TIME_MASK + 1);
    let now = start + wrap - SECOND;
    assert_eq!(taken(&limiter, 1, now), 10, "its times are on both sides");
    assert!(limiter.check(&1, now + SECOND).is_ok());
    assert_eq!(taken(&limiter, 1, now + SECOND), 5);
    assert_eq!(taken(&limiter, 1, start + 3 * wrap / 2), 10, "long after");
}

#[test]
fn limits_that_cannot_be_kept_are_refused() {
    let limit = RateLimit::new;
    assert_eq!(limit(5, SECOND, 100), Some(RateLimit { interval: 200_000, capacity: 20_000_000 }));
    assert_eq!(limit(3, SECOND, 1).unwrap().interval, 333_334, "rounded up");
    assert!(limit(10_000, SECOND, 1).is_some() && limit(10_001, SECOND, 1).is_none());
    assert!(limit(1, 86_400 * SECOND, 1).is_some() && limit(1, 86_400 * SECOND, 2).is_none());
    for (count, period, burst) in [(0, SECOND, 1), (1, Duration::ZERO, 1), (1, SECOND, 0)] {
        assert_eq!(limit(count, period, burst), None, "{count} {period:?} {burst}");
    }
    assert_eq!(limit(1, Duration::MAX, u32::MAX), None);
}
