//! What happened in the last hour, minute by minute, for the status page.
//!
//! A task takes a [`Sample`] of the metrics every few seconds ([`INTERVAL`]). The request path knows nothing of it. The
//! first sample of each minute is kept for an hour, so the memory is bounded by that of 61 samples.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::claims::KeyUse;
use crate::metrics::{Buckets, Faults, RuleCounts, Sample};

/// How often a sample is taken.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How many minutes are kept.
const MINUTES: usize = 60;
/// Of more rules, the counts are not kept minute by minute, and [`LastHour::rules`] has those since the start.
const MAX_RULES: usize = 500;

/// The samples of the last hour.
#[derive(Debug, Default)]
pub struct History(Mutex<Samples>);

#[derive(Debug, Default)]
struct Samples {
    /// The first of each minute, the oldest first.
    minutes: VecDeque<(SystemTime, Sample)>,
    /// The last two.
    last: VecDeque<(SystemTime, Sample)>,
}

/// The last hour.
#[derive(Clone, Debug, Default)]
pub struct LastHour {
    /// Since when; later than an hour ago if the process is younger.
    pub since: Option<SystemTime>,
    /// Each minute, the oldest first. The last one is not over.
    pub minutes: Vec<Minute>,
    /// Requests per second, in the last few seconds.
    pub rate: f64,
    /// Requests by decision and reason.
    pub requests: BTreeMap<(&'static str, &'static str), u64>,
    /// By rule, those that decided.
    pub rules: BTreeMap<Box<str>, RuleCounts>,
    /// By the key that verified the token, those that did.
    pub keys: Vec<(Arc<KeyUse>, u64)>,
    /// Our own time.
    pub overhead: Buckets,
    /// The backend's time.
    pub upstream: Buckets,
    /// Which part of the look-ups of a token was in the cache, from 0 to 1.
    pub hit_rate: Option<f64>,
    /// What went wrong in the process itself.
    pub faults: Faults,
    /// The last few seconds.
    pub recent: Recent,
    /// From one to two minutes, unless the process is younger.
    pub last_minutes: Recent,
}

/// A short time until now. The last few seconds are from 5 to 10, unless the process is younger.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// How many.
    pub seconds: f64,
    /// Requests by decision and reason.
    pub requests: BTreeMap<(&'static str, &'static str), u64>,
    /// Our own time.
    pub overhead: Buckets,
    /// The backend's time.
    pub upstream: Buckets,
    /// Which part of the look-ups of a token was in the cache, from 0 to 1.
    pub hit_rate: Option<f64>,
    /// Requests that waited for the backend at the start. Those that got no response since still wait, unless they failed.
    pub waiting: i64,
}

/// How the requests of one minute ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// When it begins.
    pub begins: Option<SystemTime>,
    /// Forwarded, with or without a token, and preflights.
    pub allowed: u64,
    /// Refused, or forwarded only because of report mode.
    pub refused: u64,
    /// Failed: no keys, no backend, the client has gone.
    pub failed: u64,
}

impl History {
    /// Adds a sample.
    pub fn add(&self, now: SystemTime, mut sample: Sample) {
        if sample.rules.len() > MAX_RULES {
            sample.rules.clear();
        }
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new_minute = samples.minutes.back().is_none_or(|(last, _)| minute(*last) != minute(now));
        if is_new_minute {
            // The clock was set back: what is kept would not be in order.
            samples.minutes.retain(|(kept, _)| minute(*kept) < minute(now));
            samples.minutes.push_back((now, sample.clone()));
        }
        while samples.minutes.front().is_some_and(|(kept, _)| minute(*kept) + (MINUTES as u64) < minute(now))
        {
            samples.minutes.pop_front();
        }
        samples.last.push_back((now, sample));
        while samples.last.len() > 2 {
            samples.last.pop_front();
        }
    }

    /// The last hour, until `now`, when the counters are those of `sample`.
    pub fn last_hour(&self, now: SystemTime, sample: &Sample) -> LastHour {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, first)) = samples.minutes.front() else { return LastHour::default() };
        let ends = samples.minutes.iter().skip(1).map(|(_, sample)| sample).chain([sample]);
        let minutes = samples
            .minutes
            .iter()
            .zip(ends)
            .map(|((begins, sample), end)| Minute::of(*begins, &requests_since(end, sample)))
            .collect();
        let earlier = samples.last.front();
        let a_minute_ago = samples.minutes.iter().rev().nth(1).or(samples.minutes.front());
        let recent =
            earlier.map(|(then, earlier)| Recent::of(now, sample, *then, earlier)).unwrap_or_default();
        LastHour {
            since: Some(*since),
            minutes,
            rate: recent.rate(),
            requests: requests_since(sample, first),
            rules: rules_since(sample, first),
            keys: keys_since(sample, first),
            overhead: sample.overhead.since(&first.overhead),
            upstream: sample.upstream.since(&first.upstream),
            hit_rate: hit_rate(sample, first),
            faults: sample.faults.since(&first.faults),
            recent,
            last_minutes: a_minute_ago
                .map(|(then, earlier)| Recent::of(now, sample, *then, earlier))
                .unwrap_or_default(),
        }
    }
}

impl Recent {
    fn of(now: SystemTime, sample: &Sample, then: SystemTime, earlier: &Sample) -> Self {
        Self {
            seconds: now.duration_since(then).unwrap_or_default().as_secs_f64(),
            requests: requests_since(sample, earlier),
            overhead: sample.overhead.since(&earlier.overhead),
            upstream: sample.upstream.since(&earlier.upstream),
            hit_rate: hit_rate(sample, earlier),
            waiting: earlier.waiting,
        }
    }

    /// Requests per second.
    fn rate(&self) -> f64 {
        let requests: u64 = self.requests.values().sum();
        if self.seconds > 0.0 { requests as f64 / self.seconds } else { 0.0 }
    }
}

impl Minute {
    fn of(begins: SystemTime, requests: &BTreeMap<(&'static str, &'static str), u64>) -> Self {
        let mut minute = Self { begins: Some(begins), ..Self::default() };
        for ((decision, _), count) in requests {
            match *decision {
                "deny" | "would_deny" => minute.refused += count,
                "error" => minute.failed += count,
                _ => minute.allowed += count,
            }
        }
        minute
    }

    /// All of them.
    pub fn requests(&self) -> u64 {
        self.allowed + self.refused + self.failed
    }
}

/// The number of the minute since the epoch.
fn minute(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / 60
}

/// Which part of the look-ups was in the cache; `None` if there was none.
fn hit_rate(sample: &Sample, earlier: &Sample) -> Option<f64> {
    let (hits, misses) =
        (sample.hits.saturating_sub(earlier.hits), sample.misses.saturating_sub(earlier.misses));
    (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
}

fn requests_since(sample: &Sample, earlier: &Sample) -> BTreeMap<(&'static str, &'static str), u64> {
    let since = |(how, count): (&(_, _), &u64)| {
        let count = count.saturating_sub(earlier.requests.get(how).copied().unwrap_or_default());
        (count > 0).then_some((*how, count))
    };
    sample.requests.iter().filter_map(since).collect()
}

fn rules_since(sample: &Sample, earlier: &Sample) -> BTreeMap<Box<str>, RuleCounts> {
    let mut rules = sample.rules.clone();
    rules.retain(|rule, counts| {
        let before = earlier.rules.get(rule).copied().unwrap_or_default();
        counts.decided = counts.decided.saturating_sub(before.decided);
        counts.refused = counts.refused.saturating_sub(before.refused);
        counts.would_refuse = counts.would_refuse.saturating_sub(before.would_refuse);
        counts.decided > 0
    });
    rules
}

fn keys_since(sample: &Sample, earlier: &Sample) -> Vec<(Arc<KeyUse>, u64)> {
    let since = |(key, requests): &(Arc<KeyUse>, u64)| {
        let before = earlier.keys.iter().find(|(known, _)| Arc::ptr_eq(known, key));
        let requests = requests.saturating_sub(before.map_or(0, |(_, before)| *before));
        (requests > 0).then(|| (key.clone(), requests))
    };
    sample.keys.iter().filter_map(since).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::test_support::verified;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 * 60 + seconds)
    }

    fn sample(allowed: u64, refused: u64, decided: u64) -> Sample {
        let counts = RuleCounts { decided, refused, would_refuse: 0 };
        Sample {
            requests: BTreeMap::from([(("allow", ""), allowed), (("deny", "expired"), refused)]),
            rules: BTreeMap::from([("only-admins".into(), counts)]),
            hits: allowed,
            misses: 1,
            ..Sample::default()
        }
    }

    #[test]
    fn the_last_hour_is_counted_by_minute() {
        let history = History::default();
        history.add(at(1), sample(100, 10, 5));
        history.add(at(31), sample(110, 10, 5));
        history.add(at(61), sample(130, 11, 6));
        let hour = history.last_hour(at(66), &sample(140, 13, 6));
        let minute =
            |begins, allowed, refused| Minute { begins: Some(at(begins)), allowed, refused, failed: 0 };
        assert_eq!(hour.minutes, [minute(1, 30, 1), minute(61, 10, 2)]);
        assert_eq!(hour.requests, BTreeMap::from([(("allow", ""), 40), (("deny", "expired"), 3)]));
        assert_eq!(hour.rules["only-admins"], RuleCounts { decided: 1, refused: 3, would_refuse: 0 });
        assert_eq!(hour.since, Some(at(1)));
        assert_eq!(hour.hit_rate, Some(1.0));
        assert_eq!(
            (hour.last_minutes.seconds, hour.last_minutes.requests.len()),
            (65.0, 2),
            "since the minute before"
        );
        // 33 requests since the sample before the last one, 35 seconds ago.
        assert!((hour.rate - 33.0 / 35.0).abs() < 1e-9, "{}", hour.rate);
    }

    #[test]
    fn requests_of_the_last_hour_are_counted_by_key() {
        let key = || Arc::new(KeyUse::of(&verified(json!({}))));
        let (old, idle, new) = (key(), key(), key());
        let sample = |keys: &[(&Arc<KeyUse>, u64)]| Sample {
            keys: keys.iter().map(|(key, requests)| (Arc::clone(key), *requests)).collect(),
            ..Sample::default()
        };
        let history = History::default();
        history.add(at(1), sample(&[(&old, 100), (&idle, 7)]));
        let hour = history.last_hour(at(66), &sample(&[(&idle, 7), (&old, 130), (&new, 2)]));
        let counts: Vec<_> = hour.keys.iter().map(|(key, requests)| (Arc::as_ptr(key), *requests)).collect();
        assert_eq!(counts, [(Arc::as_ptr(&old), 30), (Arc::as_ptr(&new), 2)]);
    }

    #[test]
    fn minutes_that_are_too_old_are_dropped() {
        let history = History::default();
        for minutes in 0..200 {
            history.add(at(minutes * 60), sample(minutes, 0, 0));
        }
        let hour = history.last_hour(at(199 * 60 + 1), &sample(199, 0, 0));
        assert_eq!((hour.minutes.len(), hour.since), (61, Some(at(139 * 60))));
        assert_eq!(hour.requests[&("allow", "")], 60);
        history.add(at(150 * 60), sample(300, 0, 0));
        let hour = history.last_hour(at(150 * 60), &sample(300, 0, 0));
        assert_eq!(hour.minutes.len(), 12, "the clock was set back");
    }

    #[test]
    fn nothing_is_known_at_the_start() {
        let hour = History::default().last_hour(at(0), &sample(1, 1, 1));
        assert!(hour.minutes.is_empty() && hour.requests.is_empty() && hour.hit_rate.is_none());
    }
}
