//! Rate limits for any number of keys, in a table of fixed size.
//!
//! It is the generic cell rate algorithm (GCRA): a bucket for each key holds up to `burst` permits and gets one back
//! every `period / count`. A bucket is one number, the time at which it will be full again.
//!
//! - **Memory is fixed:** 512 KiB once the first permit is taken, and nothing before. A key has eight possible places.
//!   If all are taken, the bucket that will be full first is forgotten: it has the least to tell.
//! - **Clients cannot aim at a place.** It follows from a hash with a random key of this process. Two keys share a
//!   bucket with a probability of 2^-33, and a key meets one of 65,536 others with 2^-17.
//! - **No locks.** Workers share the table, so a limit is one of the process. Of two that take the last permit at the
//!   same time, one gets it.
//! - **Time is an argument.** It may go back by up to a second, because threads read the clock at different moments.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use metagate::rate_limiter::{RateLimit, RateLimiter};
//!
//! let start = Instant::now();
//! let limiter = RateLimiter::new(RateLimit::new(5, Duration::from_secs(1), 2).unwrap(), start);
//! assert!(limiter.try_take("key", start).is_ok() && limiter.try_take("key", start).is_ok());
//! let wait = limiter.try_take("key", start).unwrap_err();
//! assert_eq!(wait.duration(), Duration::from_millis(200));
//! assert!(limiter.try_take("key", start + wait.duration()).is_ok());
//! ```

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicU64, Ordering};

#[cfg(all(test, shuttle))]
mod models;
#[cfg(test)]
mod tests;

/// A power of two, with [`WAYS`] places each.
const SETS: usize = if cfg!(shuttle) { 1 } else { 8192 };
/// The possible places of a key. They fill one cache line.
const WAYS: usize = 8;
/// A place is a tag of 20 bits, which tells the keys of a set apart, and a time of 44 bits.
const TIME_BITS: u32 = 44;
/// Times are microseconds modulo 2^44, which is 203 days. A bucket that was not used for that long, to the second, may be
/// taken for one that was just used.
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// How far the time may go back, in microseconds.
const BACKWARDS: u64 = 1_000_000;
/// The longest time in which an empty bucket may fill.
const LONGEST_FILL: Duration = Duration::from_secs(24 * 60 * 60);

/// How many permits a key gets in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The time for one permit, in microseconds.
    interval: u64,
    /// The time in which an empty bucket fills, in microseconds.
    capacity: u64,
}

impl RateLimit {
    /// `count` permits per `period`, of which up to `burst` are saved. The time for one permit is rounded up to
    /// microseconds.
    ///
    /// None if a number is zero, if there is more than one permit each 100 microseconds, or if an empty bucket would take
    /// more than a day to fill.
    pub fn new(count: u32, period: Duration, burst: u32) -> Option<Self> {
        let nanos = period.as_nanos();
        let interval = nanos.div_ceil(1000 * u128::from(count).max(1));
        let capacity = interval.checked_mul(u128::from(burst))?;
        let is_valid = count > 0 && burst > 0 && nanos >= 100_000 * u128::from(count);
        if !is_valid || capacity > LONGEST_FILL.as_micros() {
            return None;
        }
        Some(Self { interval: u64::try_from(interval).ok()?, capacity: u64::try_from(capacity).ok()? })
    }
}

/// How long to wait for a permit. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(Duration);

impl Wait {
    /// Until one permit is there.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// For `Retry-After`: whole seconds, rounded up.
    pub fn seconds(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }
}

/// The buckets of all keys.
#[derive(Debug)]
pub struct RateLimiter {
    limit: RateLimit,
    start: Instant,
    hash: RandomState,
    sets: OnceLock<Box<[Set]>>,
}

/// Zero is a bucket that is full.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// The place of a bucket, as it was read.
struct Place<'a> {
    slot: &'a AtomicU64,
    value: u64,
    /// The microseconds until the bucket is full.
    missing: u64,
}

/// A key and a time, as the table has them.
#[derive(Clone, Copy)]
struct Query {
    set: usize,
    tag: u64,
    now: u64,
}

impl RateLimiter {
    /// All buckets are full. No time that is passed later may be before `start`; if one is, it counts as `start`.
    pub fn new(limit: RateLimit, start: Instant) -> Self {
        Self { limit, start, hash: RandomState::new(), sets: OnceLock::new() }
    }

    /// The limit of each key.
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Takes a permit of this key.
    ///
    /// # Errors
    /// There is none; nothing was taken.
    pub fn try_take<K: Hash + ?Sized>(&self, key: &K, now: Instant) -> Result<(), Wait> {
        let query = self.query(key, now);
        self.replace(query, |missing| self.after_one(missing))
    }

    /// Whether there is a permit of this key. Takes none.
    ///
    /// # Errors
    /// There is none.
    pub fn check<K: Hash + ?Sized>(&self, key: &K, now: Instant) -> Result<(), Wait> {
        let Some(sets) = self.sets.get() else { return Ok(()) };
        let query = self.query(key, now);
        let missing = self.place(sets, query).map_or(self.limit.capacity, |place| {
            // The place of another key says nothing about this one.
            if place.value >> TIME_BITS == query.tag { place.missing } else { 0 }
        });
        self.after_one(missing).map(|_| ())
    }

    /// Takes a permit of this key, if there is one. For events that happen whether they are permitted or not.
    pub fn take<K: Hash + ?Sized>(&self, key: &K, now: Instant) {
        let query = self.query(key, now);
        // It is never an error.
        let _ = self.replace(query, |missing| Ok(self.after_one(missing).unwrap_or(self.limit.capacity)));
    }

    /// What is missing from a bucket after one more permit is taken.
    fn after_one(&self, missing: u64) -> Result<u64, Wait> {
        let after = missing + self.limit.interval;
        match after.checked_sub(self.limit.capacity) {
            None | Some(0) => Ok(after),
            Some(over) => Err(Wait(Duration::from_micros(over))),
        }
    }

    /// Replaces what is missing from the bucket of a key.
    fn replace(&self, query: Query, change: impl Fn(u64) -> Result<u64, Wait>) -> Result<(), Wait> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        // Another thread is done each time that this one has to try again.
        while let Some(place) = self.place(sets, query) {
            let is_own = place.value >> TIME_BITS == query.tag;
            let missing = change(if is_own { place.missing } else { 0 })?;
            let full_at = query.now.wrapping_add(missing) & TIME_MASK;
            let value = query.tag << TIME_BITS | full_at;
            let order = Ordering::Relaxed;
            if place.slot.compare_exchange_weak(place.value, value, order, order).is_ok() {
                break;
            }
        }
        Ok(())
    }

    /// The bucket of a key or, if it has none, the one to replace. Every set has one.
    fn place<'a>(&self, sets: &'a [Set], query: Query) -> Option<Place<'a>> {
        let places = sets.get(query.set)?.0.iter().map(|slot| {
            let value = slot.load(Ordering::Relaxed);
            Place { slot, value, missing: self.missing(value, query.now) }
        });
        // Two threads may have added the same key in two places. The emptier one counts.
        places.reduce(|best, place| {
            match (best.value >> TIME_BITS == query.tag, place.value >> TIME_BITS == query.tag) {
                (true, true) if place.missing > best.missing => place,
                (false, true) => place,
                (false, false) if place.missing < best.missing => place,
                _ => best,
            }
        })
    }

    /// The microseconds until a bucket is full.
    fn missing(&self, value: u64, now: u64) -> u64 {
        let ahead = value.wrapping_sub(now) & TIME_MASK;
        // More than it could ever be: it was full in the past.
        if ahead > self.limit.capacity + BACKWARDS { 0 } else { ahead.min(self.limit.capacity) }
    }

    fn query<K: Hash + ?Sized>(&self, key: &K, now: Instant) -> Query {
        let hash = self.hash.hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "the remainder fits")]
        let set = (hash % SETS as u64) as usize;
        let micros = now.saturating_duration_since(self.start).as_micros();
        #[expect(clippy::cast_possible_truncation, reason = "times are compared modulo 2^44")]
        let now = micros as u64 & TIME_MASK;
        Query { set, tag: hash >> TIME_BITS, now }
    }
}
