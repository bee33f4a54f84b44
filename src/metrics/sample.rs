//! The counters at one moment, for the history of the last hour.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::Metrics;
use super::histogram::Buckets;
use super::labels::{RequestLabelSet, ResultLabel};
use crate::claims::KeyUse;

/// The counters at one moment. Those of an earlier one are never larger.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Requests by decision and reason, as in [`super::RequestLabels`]; only those that occurred.
    pub requests: BTreeMap<(&'static str, &'static str), u64>,
    /// By rule.
    pub rules: BTreeMap<Box<str>, RuleCounts>,
    /// By the key that verified the token.
    pub keys: Vec<(Arc<KeyUse>, u64)>,
    /// Our own time.
    pub overhead: Buckets,
    /// The backend's time.
    pub upstream: Buckets,
    /// Requests that wait for the backend now.
    pub waiting: i64,
    /// Look-ups of a token that were in the cache.
    pub hits: u64,
    /// Look-ups of a token that were not.
    pub misses: u64,
    /// What went wrong in the process itself.
    pub faults: Faults,
}

/// What went wrong in the process itself, and is not part of any request's outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Panics.
    pub panics: u64,
    /// Audit records that were dropped.
    pub audit_dropped: u64,
    /// Lines of the log that were dropped.
    pub log_dropped: u64,
    /// Spans that no collector took.
    pub spans_lost: u64,
}

impl Faults {
    /// Those since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            panics: self.panics.saturating_sub(earlier.panics),
            audit_dropped: self.audit_dropped.saturating_sub(earlier.audit_dropped),
            log_dropped: self.log_dropped.saturating_sub(earlier.log_dropped),
            spans_lost: self.spans_lost.saturating_sub(earlier.spans_lost),
        }
    }
}

/// The requests that one rule decided about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// All of them.
    pub decided: u64,
    /// Those that it refused.
    pub refused: u64,
    /// Those that it would have refused in enforce mode.
    pub would_refuse: u64,
}

impl Metrics {
    /// The counters now, without those of the keys.
    pub fn sample(&self) -> Sample {
        let mut sample = Sample {
            overhead: self.overhead_duration.buckets(),
            upstream: self.upstream_duration.buckets(),
            waiting: self.upstream_requests_waiting.get(),
            hits: self.token_cache.get(0),
            misses: self.token_cache.get(1),
            faults: self.faults(),
            ..Sample::default()
        };
        self.requests.for_each(|RequestLabelSet { decision, reason, rule, .. }, count| {
            if count == 0 {
                return;
            }
            *sample.requests.entry((decision, reason)).or_default() += count;
            if !rule.is_empty() {
                let counts = sample.rules.entry(rule.as_str().into()).or_default();
                counts.decided += count;
                match *decision {
                    "deny" => counts.refused += count,
                    "would_deny" => counts.would_refuse += count,
                    _ => {}
                }
            }
        });
        sample
    }

    fn faults(&self) -> Faults {
        let lost = Self::SPAN_RESULTS.into_iter().filter(|result| *result != "exported");
        Faults {
            panics: self.panics.get(),
            audit_dropped: self.audit_dropped.get(),
            log_dropped: self.log_dropped.get(),
            spans_lost: lost.map(|result| self.spans.get_or_create(&ResultLabel { result }).get()).sum(),
        }
    }
}
