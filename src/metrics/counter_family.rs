//! Families of counters whose usual counters are found without a lock, unlike prometheus-client's `Family`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use foldhash::fast::FixedState;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::RequestLabels;
use super::labels::{LabelSet, Labelled, RequestLabelSet};

type Counters = RwLock<HashMap<RequestLabelSet, Counter>>;

/// A counter of requests for each set of labels. A clone is another handle to the same counters.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestCounters(Arc<Counters>);

/// How many counters each thread remembers. Requests with other labels than its last ones need the lock.
const REMEMBERED: usize = 64;

/// A counter that this thread has used before.
struct Remembered {
    /// The family that it belongs to. While this exists, no other family has its address.
    counters: Weak<Counters>,
    labels: RequestLabelSet,
    counter: Counter,
}

thread_local! {
    /// By the hash of their labels.
    static REMEMBERED_COUNTERS: RefCell<[Option<Remembered>; REMEMBERED]> =
        const { RefCell::new([const { None }; REMEMBERED]) };
}

impl RequestCounters {
    /// Increments the counter of these labels.
    pub(super) fn inc(&self, labels: &RequestLabels<'_>) {
        let counted = REMEMBERED_COUNTERS.try_with(|remembered| {
            let place = FixedState::default().hash_one(labels) as usize % REMEMBERED;
            let mut remembered = remembered.borrow_mut();
            match remembered.get_mut(place) {
                Some(Some(known)) if known.is(self, labels) => {
                    known.counter.inc();
                }
                place => {
                    let counter = self.find(labels);
                    counter.inc();
                    let (counters, labels) = (Arc::downgrade(&self.0), labels.into());
                    if let Some(place) = place {
                        *place = Some(Remembered { counters, labels, counter });
                    }
                }
            }
        });
        // The thread is ending, and its thread-local counters are gone.
        if counted.is_err() {
            self.find(labels).inc();
        }
    }

    /// Creates the counter of these labels, at zero.
    pub(super) fn create(&self, labels: &RequestLabels<'_>) {
        self.find(labels);
    }

    fn find(&self, labels: &RequestLabels<'_>) -> Counter {
        let labels = labels.into();
        if let Some(counter) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return counter.clone();
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(labels).or_default().clone()
    }

    /// Calls `each` with every set of labels and its count.
    pub(super) fn for_each(&self, mut each: impl FnMut(&RequestLabelSet, u64)) {
        let counters = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counters.iter().for_each(|(labels, counter)| each(labels, counter.get()));
    }
}

impl Remembered {
    fn is(&self, family: &RequestCounters, labels: &RequestLabels<'_>) -> bool {
        std::ptr::eq(self.counters.as_ptr(), Arc::as_ptr(&family.0)) && self.labels == *labels
    }
}

impl TypedMetric for RequestCounters {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for RequestCounters {
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

/// A family with one label, of which the first `N` values have a number. Their counters are found by it.
#[derive(Clone, Debug)]
pub(super) struct NumberedFamily<L, const N: usize> {
    family: Family<L, Counter>,
    numbered: Arc<[OnceLock<Counter>; N]>,
}

impl<L: Clone + Eq + Hash, const N: usize> NumberedFamily<L, N> {
    /// Creates the counter of the value with this number, at zero.
    pub(super) fn create(&self, number: usize, labels: impl FnOnce() -> L) {
        if let Some(counter) = self.numbered.get(number) {
            counter.get_or_init(|| self.family.get_or_create(&labels()).clone());
        }
    }

    /// The count of the value with this number.
    pub(super) fn get(&self, number: usize) -> u64 {
        self.numbered.get(number).and_then(OnceLock::get).map_or(0, Counter::get)
    }

    /// Increments the counter of the value with this number. `labels` returns its labels.
    pub(super) fn inc(&self, number: usize, labels: impl FnOnce() -> L) {
        match self.numbered.get(number) {
            Some(known) => known.get_or_init(|| self.family.get_or_create(&labels()).clone()).inc(),
            None => self.family.get_or_create(&labels()).inc(),
        };
    }
}

impl<L: Clone + Eq + Hash, const N: usize> Default for NumberedFamily<L, N> {
    fn default() -> Self {
        Self { family: Family::default(), numbered: Arc::new([const { OnceLock::new() }; N]) }
    }
}

impl<L, const N: usize> TypedMetric for NumberedFamily<L, N> {
    const TYPE: MetricType = MetricType::Counter;
}

impl<L: EncodeLabelSet + Clone + Eq + Hash, const N: usize> EncodeMetric for NumberedFamily<L, N> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.family.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }

    fn is_empty(&self) -> bool {
        self.family.is_empty()
    }
}

impl Labelled for RequestCounters {
    const LABELS: &'static [&'static str] = RequestLabelSet::NAMES;
}

impl<L: LabelSet, const N: usize> Labelled for NumberedFamily<L, N> {
    const LABELS: &'static [&'static str] = L::NAMES;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::{ExpositionFormat, Metrics};
    use super::*;
    use std::time::Duration;

    const fn labels<'r>(issuer: &'r str, rule: &'r str) -> RequestLabels<'r> {
        RequestLabels { decision: "allow", reason: "", issuer, rule }
    }

    fn counts(family: &RequestCounters) -> HashMap<String, u64> {
        let mut counts = HashMap::new();
        family.for_each(|labels, count| {
            counts.insert(format!("{}/{}", labels.issuer, labels.rule), count);
        });
        counts
    }

    #[test]
    fn each_label_set_has_its_counter_however_many_there_are() {
        let family = RequestCounters::default();
        for _ in 0..3 {
            for number in 0..4 * REMEMBERED {
                family.inc(&labels("corp", &number.to_string()));
                family.inc(&labels(&number.to_string(), "corp"));
            }
        }
        let counts = counts(&family);
        assert_eq!(counts.len(), 8 * REMEMBERED);
        assert!(counts.values().all(|count| *count == 3));
    }

    #[test]
    fn families_with_equal_labels_do_not_share_counters() {
        // Each takes the place of the one before, perhaps at its address too.
        for _ in 0..3 {
            let (first, second) = (RequestCounters::default(), RequestCounters::default());
            for _ in 0..2 {
                first.inc(&labels("corp", "r"));
                second.inc(&labels("corp", "r"));
                second.inc(&labels("corp", "r"));
            }
            assert_eq!((counts(&first)["corp/r"], counts(&second)["corp/r"]), (2, 4));
        }
    }

    #[test]
    fn threads_share_the_counters() {
        let family = RequestCounters::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..100).for_each(|_| family.inc(&labels("corp", "r"))));
            }
        });
        assert_eq!(counts(&family)["corp/r"], 800);
    }

    #[test]
    fn counters_are_exposed_with_their_labels() {
        let metrics = Metrics::new();
        metrics.token_cache("hit");
        metrics.token_cache("hit");
        metrics.upstream_response(http::StatusCode::from_u16(999).unwrap());
        metrics.upstream_response(http::StatusCode::from_u16(599).unwrap());
        metrics.request(&labels("corp", "r"), Duration::ZERO);
        let text = metrics.encode(ExpositionFormat::OpenMetrics);
        for sample in [
            "token_cache_total{result=\"hit\"} 2\n",
            "upstream_responses_total{code=\"999\"} 1\n",
            "upstream_responses_total{code=\"599\"} 1\n",
        ] {
            assert!(text.contains(sample), "{sample}");
        }
        assert!(text.contains("result=\"miss\"} 0\n") && !text.contains("code=\"200\""));
    }
}
