//! How late a worker comes back to its events, and how busy it is: what shows that a worker is behind, or stuck.
//!
//! A timer of each worker is due every second. From when it is due until it runs, everything else on the worker waits,
//! too: new connections, requests, responses of the backend. This is the delay. Requests take no part in measuring it.
//!
//! A timer that is overdue counts with the time so far. So a worker that never comes back is seen as well, although it can
//! say nothing any more.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the timer is due.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// The longest delay is that of this time.
const KEPT: Duration = Duration::from_secs(60);
/// The busy part is that of so many intervals.
const BUSY_INTERVALS: usize = 10;

/// When the timer of a worker ran.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When the timer is due next.
    due: Instant,
    /// Those of [`KEPT`], the oldest first.
    beats: VecDeque<Beat>,
}

/// The timer ran once.
#[derive(Clone, Copy, Debug)]
struct Beat {
    at: Instant,
    delay: Duration,
    /// How long the worker had been busy since its start.
    busy: Duration,
}

/// What the last beats say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// The last delay, or the one that is going on.
    pub(super) delay: Duration,
    /// For how long the timer is overdue now.
    pub(super) overdue: Duration,
    /// The longest of the last minute.
    pub(super) longest: Duration,
    /// Which part of the last few seconds the worker was busy, from 0 to 1.
    pub(super) busy: f64,
}

impl Pulse {
    /// The timer of a worker that is started now.
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { due: now, beats: VecDeque::new() }))
    }

    /// The timer that was due at `due` runs. The worker has been busy for `busy` since its start.
    pub(super) fn beat(&self, due: Instant, now: Instant, busy: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.beats.retain(|beat| is_kept(beat, now));
        state.beats.push_back(Beat { at: now, delay: now.saturating_duration_since(due), busy });
        state.due = now + INTERVAL;
    }

    /// What is known at `now`.
    pub(super) fn read(&self, now: Instant) -> Reading {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = now.saturating_duration_since(state.due);
        let kept = state.beats.iter().filter(|beat| is_kept(beat, now)).map(|beat| beat.delay);
        let last = state.beats.back().map(|beat| beat.delay).unwrap_or_default();
        Reading {
            delay: last.max(overdue),
            overdue,
            longest: kept.max().unwrap_or_default().max(overdue),
            busy: state.busy(overdue),
        }
    }
}

impl State {
    fn busy(&self, overdue: Duration) -> f64 {
        if overdue >= INTERVAL {
            // What it does is counted only when it comes back.
            return 1.0;
        }
        let first = self.beats.len().saturating_sub(BUSY_INTERVALS + 1);
        let Some((first, last)) = self.beats.get(first).zip(self.beats.back()) else { return 0.0 };
        let (busy, time) =
            (last.busy.saturating_sub(first.busy), last.at.saturating_duration_since(first.at));
        if time.is_zero() { 0.0 } else { busy.div_duration_f64(time).min(1.0) }
    }
}

fn is_kept(beat: &Beat, now: Instant) -> bool {
    now.saturating_duration_since(beat.at) < KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn the_longest_delay_is_that_of_the_last_minute() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        pulse.beat(start, start + 250 * MILLISECOND, Duration::ZERO);
        for second in 1..=59 {
            let due = start + second * INTERVAL;
            pulse.beat(due, due + 2 * MILLISECOND, Duration::ZERO);
            let Reading { delay, longest, .. } = pulse.read(due + 3 * MILLISECOND);
            assert_eq!((delay, longest), (2 * MILLISECOND, 250 * MILLISECOND), "after {second} s");
        }
        let due = start + 60 * INTERVAL;
        pulse.beat(due, due + MILLISECOND, Duration::ZERO);
        let Reading { delay, longest, .. } = pulse.read(due + 250 * MILLISECOND);
        assert_eq!((delay, longest), (MILLISECOND, 2 * MILLISECOND), "the first one was a minute ago");
    }

    #[test]
    fn a_worker_that_does_not_come_back_is_late_and_busy() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        pulse.beat(start, start, Duration::ZERO);
        let reading = pulse.read(start + INTERVAL / 2);
        assert_eq!(reading, Reading::default(), "not due yet");
        let reading = pulse.read(start + 31 * INTERVAL);
        assert_eq!((reading.delay, reading.longest, reading.busy), (30 * INTERVAL, 30 * INTERVAL, 1.0));
        assert_eq!(reading.overdue, 30 * INTERVAL);
        // It comes back.
        pulse.beat(start + INTERVAL, start + 31 * INTERVAL, Duration::ZERO);
        assert_eq!(pulse.read(start + 31 * INTERVAL).overdue, Duration::ZERO);
        pulse.beat(start + 32 * INTERVAL, start + 32 * INTERVAL, Duration::ZERO);
        let reading = pulse.read(start + 32 * INTERVAL);
        assert_eq!((reading.delay, reading.longest), (Duration::ZERO, 30 * INTERVAL));
        // One that has never begun.
        assert_eq!(Pulse::new(start).read(start + 5 * INTERVAL).delay, 5 * INTERVAL);
    }

    #[test]
    fn the_busy_part_is_that_of_the_last_ten_seconds() {
        let start = Instant::now();
        let pulse = Pulse::new(start);
        let mut busy = Duration::ZERO;
        for second in 0..=20 {
            // First always, then a quarter of the time.
            busy += if second <= 10 { INTERVAL } else { INTERVAL / 4 };
            pulse.beat(start + second * INTERVAL, start + second * INTERVAL, busy);
            let expected = match second {
                0 => 0.0,
                1..=10 => 1.0,
                second => (f64::from(20 - second) + f64::from(second - 10) / 4.0) / 10.0,
            };
            let found = pulse.read(start + second * INTERVAL).busy;
            assert!((found - expected).abs() < 1e-9, "after {second} s: {found}, not {expected}");
        }
    }
}
