//! A histogram that workers observe in parallel without a lock, unlike prometheus-client's.

use std::array;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::sharded::Sharded;

/// The largest number of upper bounds of a histogram.
const MAX_BOUNDS: usize = 15;

/// Counts durations by their upper bounds, in seconds. A clone is another handle to the same histogram.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Ascending. The last bucket has none.
    bounds: &'static [f64],
    shards: Sharded<Shard>,
}

/// What the threads of one shard have observed.
#[derive(Debug)]
struct Shard {
    buckets: [AtomicU64; MAX_BOUNDS + 1],
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { buckets: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0.0_f64.to_bits()) }
    }
}

impl Histogram {
    /// An empty histogram with these upper bounds, in ascending order. It uses at most [`MAX_BOUNDS`] of them.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let bounds = bounds.get(..MAX_BOUNDS).unwrap_or(bounds);
        Self(Arc::new(Inner { bounds, shards: Sharded::default() }))
    }

    /// Observes one duration.
    pub(super) fn observe(&self, duration: Duration) {
        let Inner { bounds, shards } = &*self.0;
        let (seconds, shard) = (duration.as_secs_f64(), shards.own());
        let bucket = bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = shard.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |sum| Some((f64::from_bits(sum) + seconds).to_bits());
        // `add` never returns `None`.
        let _ = shard.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// The counts of a histogram's buckets, without their sum.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    bounds: &'static [f64],
    counts: [u64; MAX_BOUNDS + 1],
}

impl Buckets {
    /// Those that were counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = array::from_fn(|at| self.counts[at].saturating_sub(earlier.counts[at]));
        Self { bounds: self.bounds, counts }
    }

    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration that this part of the observations did not exceed, in seconds: `0.5` is the median. It is interpolated
    /// within a bucket, as Prometheus does it. `None` without observations.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        let rank = part * all as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in self.bounds.iter().zip(self.counts) {
            let count = count as f64;
            if below + count >= rank && count > 0.0 {
                return Some(lower + (bound - lower) * (rank - below) / count);
            }
            (below, lower) = (below + count, *bound);
        }
        // Those above the last bound.
        Some(lower)
    }
}

impl Histogram {
    /// The counts now.
    pub(super) fn buckets(&self) -> Buckets {
        let Inner { bounds, shards } = &*self.0;
        let mut counts = [0; MAX_BOUNDS + 1];
        for shard in shards.all() {
            for (total, count) in counts.iter_mut().zip(&shard.buckets) {
                *total += count.load(Ordering::Relaxed);
            }
        }
        Buckets { bounds, counts }
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Buckets { bounds, counts } = self.buckets();
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let sums = self.0.shards.all().map(|shard| f64::from_bits(shard.sum.load(Ordering::Relaxed)));
        let sum = sums.sum();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::thread;

    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::histogram::Histogram as Reference;
    use prometheus_client::registry::{Metric, Registry};

    use super::*;
    use crate::metrics::{OVERHEAD_BUCKETS, REQUEST_BUCKETS};

    #[test]
    fn quantiles_are_interpolated_within_a_bucket() {
        let histogram = Histogram::new(&[0.1, 0.2, 0.4]);
        assert_eq!(histogram.buckets().quantile(0.5), None);
        let before = histogram.buckets();
        for milliseconds in [150; 4].into_iter().chain([300; 4]) {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let observed = histogram.buckets().since(&before);
        let about = |part, expected: f64| {
            let found = observed.quantile(part).unwrap();
            assert!((found - expected).abs() < 1e-9, "{part}: {found}, not {expected}");
        };
        about(0.25, 0.15);
        about(0.5, 0.2);
        about(0.75, 0.3);
        about(1.0, 0.4);
        histogram.observe(Duration::from_secs(9));
        let above = histogram.buckets().since(&before);
        assert_eq!(above.quantile(1.0), Some(0.4), "the last bound");
        let none = above.since(&above);
        assert_eq!(none.quantile(0.5), None);
    }

    fn encoded(metric: impl Metric) -> String {
        let mut registry = Registry::default();
        registry.register("test", "Test", metric);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string");
        text
    }

    #[test]
    fn durations_are_counted_as_by_prometheus_client() {
        for bounds in [&REQUEST_BUCKETS[..], &OVERHEAD_BUCKETS[..]] {
            let (histogram, reference) = (Histogram::new(bounds), Reference::new(bounds.iter().copied()));
            assert_eq!(encoded(histogram.clone()), encoded(reference.clone()), "empty");
            let limits = bounds.iter().map(|bound| Duration::from_secs_f64(*bound));
            let nanosecond = Duration::from_nanos(1);
            let around = limits.flat_map(|limit| [limit - nanosecond, limit, limit + nanosecond]);
            for duration in around.chain([Duration::ZERO, Duration::from_secs(1 << 20)]) {
                histogram.observe(duration);
                reference.observe(duration.as_secs_f64());
            }
            assert_eq!(encoded(histogram), encoded(reference));
        }
    }

    #[test]
    fn observations_of_many_threads_are_added_up() {
        let histogram = Histogram::new(&REQUEST_BUCKETS);
        thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| (0..100).for_each(|_| histogram.observe(Duration::from_millis(1500))));
            }
        });
        let text = encoded(histogram);
        for sample in [
            "test_sum 6000.0",
            "test_count 4000",
            "{le=\"1.0\"} 0",
            "{le=\"2.5\"} 4000",
            "{le=\"+Inf\"} 4000",
        ] {
            assert!(text.contains(sample), "{sample}: {text}");
        }
    }
}
