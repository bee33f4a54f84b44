//! The bars of the last hour: one for each minute, by decision.

use std::time::{Duration, SystemTime};

use super::super::view;
use crate::history::Minute;

/// The height of the tallest bar, and where its foot is.
const HEIGHT: u64 = 100;
const FOOT: u64 = 104;
/// The width of a minute.
const WIDTH: usize = 12;
const MINUTES: usize = 60;
/// How long before the last minute the times below the chart are, in minutes.
const LABELS: [u64; 3] = [59, 30, 0];

/// What the template draws.
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    /// The most requests of a minute.
    pub(super) highest: u64,
    /// The times below the chart: at its left edge, in the middle, and at its right edge.
    pub(super) labels: Vec<String>,
}

/// One minute.
pub(super) struct Bar {
    pub(super) title: String,
    pub(super) x: usize,
    pub(super) parts: Vec<Part>,
}

/// The requests of one minute that ended alike.
pub(super) struct Part {
    pub(super) class: &'static str,
    pub(super) y: u64,
    pub(super) height: u64,
}

impl Chart {
    /// The newest minutes, the last one at the right edge.
    pub(super) fn of(minutes: &[Minute]) -> Self {
        let shown = minutes.get(minutes.len().saturating_sub(MINUTES)..).unwrap_or_default();
        let highest = shown.iter().map(Minute::requests).max().unwrap_or_default();
        let left = (MINUTES - shown.len()) * WIDTH;
        let bars = shown.iter().enumerate().map(|(at, minute)| Bar::of(minute, left + at * WIDTH, highest));
        let last = shown.last().and_then(|minute| minute.begins);
        let before = |last: SystemTime, minutes: u64| last.checked_sub(Duration::from_secs(minutes * 60));
        // No time before 1970 can be shown. A clock that was never set is close to it.
        let label = |minutes: &u64| Some(time(before(last?, *minutes)?.max(SystemTime::UNIX_EPOCH)));
        Self { bars: bars.collect(), highest, labels: LABELS.iter().filter_map(label).collect() }
    }
}

impl Bar {
    fn of(minute: &Minute, x: usize, highest: u64) -> Self {
        let (mut top, mut parts) = (FOOT, Vec::new());
        for (class, count) in
            [("allowed", minute.allowed), ("refused", minute.refused), ("failed", minute.failed)]
        {
            if count == 0 || highest == 0 {
                continue;
            }
            // Always visible: one refusal among thousands of requests is what the reader looks for.
            let height = (u128::from(count) * u128::from(HEIGHT) / u128::from(highest)).max(2);
            let height = u64::try_from(height).unwrap_or(HEIGHT).min(top);
            top -= height;
            parts.push(Part { class, y: top, height });
        }
        let Minute { allowed, refused, failed, .. } = minute;
        let title = format!(
            "{}: {allowed} allowed, {refused} refused, {failed} failed",
            minute.begins.map(time).unwrap_or_default()
        );
        Self { title, x, parts }
    }
}

/// Hours and minutes, in UTC.
fn time(time: SystemTime) -> String {
    view::time(time).get(11..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn minute(number: u64, allowed: u64, refused: u64) -> Minute {
        let begins = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(number * 60));
        Minute { begins, allowed, refused, failed: 0 }
    }

    #[test]
    fn the_newest_minute_is_at_the_right_edge() {
        let minutes: Vec<_> = (0..61).map(|number| minute(number, number, 0)).collect();
        let chart = Chart::of(&minutes);
        assert_eq!((chart.bars.len(), chart.highest), (60, 60));
        let (first, last) = (chart.bars.first().unwrap(), chart.bars.last().unwrap());
        assert_eq!((first.x, last.x), (0, 708));
        assert_eq!((last.parts[0].y, last.parts[0].height), (4, 100));
        assert_eq!(last.title, "01:00: 60 allowed, 0 refused, 0 failed");
        assert_eq!(chart.labels, ["00:01", "00:30", "01:00"]);
        assert_eq!(Chart::of(&minutes[59..]).labels, ["00:01", "00:30", "01:00"], "the hour is always whole");
        assert_eq!(Chart::of(&minutes[..1]).bars[0].x, 708);
    }

    #[test]
    fn few_refusals_among_many_requests_are_visible() {
        let chart = Chart::of(&[minute(0, 1_000_000, 1)]);
        let parts: Vec<_> =
            chart.bars[0].parts.iter().map(|part| (part.class, part.y, part.height)).collect();
        assert_eq!(parts, [("allowed", 5, 99), ("refused", 3, 2)]);
        assert!(Chart::of(&[]).bars.is_empty());
        assert!(Chart::of(&[minute(0, 0, 0)]).bars[0].parts.is_empty());
        let largest = Chart::of(&[minute(0, u64::MAX / 2, 0)]);
        assert_eq!(largest.bars[0].parts[0].height, 100);
    }
}
