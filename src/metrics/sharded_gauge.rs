//! A gauge that workers change in parallel without a lock, unlike prometheus-client's without contending for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::labels::Labelled;
use crate::sharded::Sharded;

/// How many of something there are now. A clone is another handle to the same gauge.
#[derive(Clone, Debug, Default)]
pub struct ShardedGauge(Arc<Sharded<AtomicI64>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Counted<'g>(&'g AtomicI64);

impl ShardedGauge {
    /// Counts one more.
    pub fn count(&self) -> Counted<'_> {
        let shard = self.0.own();
        shard.fetch_add(1, Ordering::Relaxed);
        Counted(shard)
    }

    /// How many there are.
    pub fn get(&self) -> i64 {
        self.0.all().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TypedMetric for ShardedGauge {
    const TYPE: MetricType = MetricType::Gauge;
}

impl Labelled for ShardedGauge {}

impl EncodeMetric for ShardedGauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_on_another_thread_is_no_longer_counted() {
        let gauge = ShardedGauge::default();
        let (one, other) = (gauge.count(), gauge.count());
        assert_eq!(gauge.get(), 2);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(one));
            let _third = gauge.count();
        });
        assert_eq!(gauge.get(), 1);
        drop(other);
        assert_eq!(gauge.get(), 0);
    }
}
