//! The log lines and metrics of a source: one line for each change of its state.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::fault::{FetchError, RESULTS};
use crate::jose::{KeyFamily, ParsedKeys, SkippedKey, VerificationKey};
use crate::metrics::{KeySourceLabels, Metrics};
use crate::printable;

/// How many causes are remembered as logged while a source fails.
const MAX_CAUSES: usize = 16;
/// How many kids are remembered with their key material: several full sets, and a bound on what an issuer can make
/// us keep.
const MAX_KIDS: usize = 512;

/// Logs and counts what happens to one source.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) name: String,
    pub(super) entry: Box<str>,
    /// Its name in the metrics.
    label: String,
    metrics: Arc<Metrics>,
    /// Whether its state is in the metrics, as it is only while its configuration is in force.
    announced: AtomicBool,
}

/// What was logged already. Part of the source's state.
#[derive(Debug, Default)]
pub(super) struct LoggedState {
    causes: BTreeSet<String>,
    kids: Kids,
}

impl Reporter {
    pub(super) fn new(name: String, entry: Box<str>, label: String, metrics: Arc<Metrics>) -> Self {
        Self { name, entry, label, metrics, announced: AtomicBool::new(false) }
    }

    /// Its name in the metrics, which is unique within its entry.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    fn labels(&self) -> KeySourceLabels<'_> {
        KeySourceLabels { issuer: &self.entry, source: &self.label }
    }

    /// Adds the source to the metrics; `true` if it was not there before.
    pub(super) fn announce(&self) -> bool {
        self.metrics.expect_source(self.labels(), &RESULTS);
        !self.announced.swap(true, Ordering::Relaxed)
    }

    pub(super) fn retire(&self, skipped: &[SkippedKey]) {
        if self.announced.swap(false, Ordering::Relaxed) {
            let reasons: BTreeSet<_> = skipped.iter().map(|key| key.fault.as_str()).collect();
            self.metrics.forget_source(self.labels(), &reasons);
        }
    }

    fn gauges(&self) -> Option<&Metrics> {
        self.announced.load(Ordering::Relaxed).then_some(&*self.metrics)
    }

    /// Counts one fetch.
    pub(super) fn fetched(&self, result: &'static str) {
        debug_assert!(RESULTS.contains(&result), "{result} is not in the list");
        self.metrics.jwks_fetch(self.labels(), result);
    }

    /// Sets the number of usable keys and the time of their fetch.
    pub(super) fn set_keys(&self, keys: usize, fetched_at: Option<SystemTime>) {
        if let Some(metrics) = self.gauges() {
            metrics.jwks_state(self.labels(), keys, fetched_at);
        }
    }

    pub(super) fn next_refresh(&self, at: SystemTime) {
        if let Some(metrics) = self.gauges() {
            metrics.jwks_next_refresh(self.labels(), at);
        }
    }

    /// Logs that the source has keys, or can be fetched again.
    pub(super) fn available(&self, logged: &mut LoggedState, keys: usize) {
        logged.causes.clear();
        tracing::info!(source = self.name, issuer = &*self.entry, keys, "keys are available");
    }

    pub(super) fn restored(&self, keys: usize, age_secs: u64) {
        let message = "using stored keys until they are fetched";
        tracing::info!(source = self.name, issuer = &*self.entry, keys, age_secs, "{message}");
    }

    pub(super) fn not_restored(&self, error: &dyn std::fmt::Display) {
        tracing::warn!(source = self.name, issuer = &*self.entry, %error, "stored keys are not used");
    }

    /// Logs each cause once until a fetch succeeds, even if causes alternate.
    pub(super) fn failed(&self, logged: &mut LoggedState, error: &FetchError, kept_keys: usize) {
        self.fetched(error.as_str());
        let cause = error.to_string();
        if logged.causes.contains(&cause) || logged.causes.len() >= MAX_CAUSES {
            return;
        }
        tracing::warn!(source = self.name, issuer = &*self.entry, cause, kept_keys, "keys cannot be fetched");
        logged.causes.insert(cause);
    }

    pub(super) fn stale(&self, skipped: &[SkippedKey]) {
        self.set_keys(0, None);
        self.count_skipped(skipped, &[]);
        let message = "keys are older than maxStale and are no longer used";
        tracing::error!(source = self.name, issuer = &*self.entry, "{message}");
    }

    /// Logs the differences between the previous set and the current one.
    pub(super) fn change(&self, logged: &mut LoggedState, before: Option<&ParsedKeys>, now: &ParsedKeys) {
        let skipped = before.map(|before| before.skipped.as_slice()).unwrap_or_default();
        for key in now.skipped.iter().filter(|key| !skipped.contains(key)) {
            let kid = &*printable::line(key.kid.as_deref().unwrap_or_default());
            tracing::warn!(source = self.name, issuer = &*self.entry, kid, cause = %key.fault, "a key of the set is not used");
        }
        self.count_skipped(skipped, &now.skipped);
        if let Some(before) = before {
            let lacks = |set: &ParsedKeys, key: &VerificationKey| {
                set.usable.iter().all(|known| known.kid() != key.kid() || known.material() != key.material())
            };
            let added = now.usable.iter().filter(|key| lacks(before, key)).count();
            let removed = before.usable.iter().filter(|key| lacks(now, key)).count();
            if added + removed > 0 {
                tracing::info!(
                    source = self.name,
                    issuer = &*self.entry,
                    added,
                    removed,
                    "the key set has changed"
                );
            }
        }
        for kid in now.usable.iter().filter(|key| logged.kids.is_reused(key)).filter_map(|key| key.kid()) {
            let (message, kid) = ("a kid came back with other key material", &*printable::line(kid));
            tracing::warn!(source = self.name, issuer = &*self.entry, kid, "{message}");
            self.metrics.jwks_kid_reused(self.labels());
        }
    }

    pub(super) fn count_skipped(&self, before: &[SkippedKey], skipped: &[SkippedKey]) {
        let Some(metrics) = self.gauges() else { return };
        let reasons: BTreeSet<_> = before.iter().chain(skipped).map(|key| key.fault.as_str()).collect();
        for reason in reasons {
            let count = skipped.iter().filter(|key| key.fault.as_str() == reason).count();
            metrics.jwks_skipped(self.labels(), reason, count);
        }
    }
}

/// The last key material of each kid, even after the kid has left the set. A kid that returns with other material
/// is a mistake or an attack.
#[derive(Debug, Default)]
struct Kids {
    material: HashMap<(Box<str>, KeyFamily), [u8; 32]>,
    order: VecDeque<(Box<str>, KeyFamily)>,
}

impl Kids {
    /// Records a key; `true` if its kid belonged to another key before.
    fn is_reused(&mut self, key: &VerificationKey) -> bool {
        let Some(kid) = key.kid() else { return false };
        let name = (Box::from(kid), key.family());
        if let Some(known) = self.material.get_mut(&name) {
            let reused = known != key.material();
            *known = *key.material();
            return reused;
        }
        if self.order.len() >= MAX_KIDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.material.remove(&oldest);
        }
        self.order.push_back(name.clone());
        self.material.insert(name, *key.material());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::KeyDialect;
    use crate::test_support::{OTHER_RSA, RSA, document};

    #[test]
    fn a_bounded_number_of_kids_is_remembered() {
        let key = |jwk| {
            let set = ParsedKeys::parse(document(&[jwk]).as_bytes(), KeyDialect::Standard).unwrap();
            set.usable[0].clone()
        };
        let mut kids = Kids::default();
        assert!(!kids.is_reused(&key(RSA.jwk_named("a"))) && !kids.is_reused(&key(RSA.jwk_named("a"))));
        assert!(kids.is_reused(&key(OTHER_RSA.jwk_named("a"))), "even if it was absent meanwhile");
        for number in 0..2 * MAX_KIDS {
            assert!(!kids.is_reused(&key(RSA.jwk_named(&number.to_string()))));
        }
        assert_eq!((kids.order.len(), kids.material.len()), (MAX_KIDS, MAX_KIDS));
    }
}
