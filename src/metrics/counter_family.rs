//! A family of counters that can be iterated, unlike prometheus-client's `Family`.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A counter for each set of labels. A clone is another handle to the same counters.
#[derive(Clone, Debug)]
pub(super) struct CounterFamily<L>(Arc<RwLock<HashMap<L, Counter>>>);

impl<L: Clone + Eq + Hash> CounterFamily<L> {
    /// Increments the counter of these labels.
    pub(super) fn inc(&self, labels: &L) {
        if let Some(counter) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(labels) {
            counter.inc();
            return;
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(labels.clone()).or_default().inc();
    }

    /// Calls `each` with every set of labels and its count.
    pub(super) fn for_each(&self, mut each: impl FnMut(&L, u64)) {
        let counters = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counters.iter().for_each(|(labels, counter)| each(labels, counter.get()));
    }
}

impl<L> Default for CounterFamily<L> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<L> TypedMetric for CounterFamily<L> {
    const TYPE: MetricType = MetricType::Counter;
}

impl<L: EncodeLabelSet> EncodeMetric for CounterFamily<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counters = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counters.iter().try_for_each(|(labels, counter)| counter.encode(encoder.encode_family(labels)?))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }

    fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
