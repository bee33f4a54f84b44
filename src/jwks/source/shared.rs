//! Sharing a source between successive configurations, two of which use it during a reload.

use std::sync::{Arc, PoisonError, Weak};

use super::super::Keys;
use super::super::identity::Identity;
use super::super::status::label_key;
use super::{Source, at};
use crate::config::Jwks;

impl Source {
    /// What makes it the same source in two configurations.
    pub(in crate::jwks) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its label in the metrics, together with its entry.
    pub(in crate::jwks) fn label_key(&self) -> String {
        label_key(&self.reporter.entry, self.reporter.label())
    }

    pub(in crate::jwks) fn name(&self) -> &str {
        &self.reporter.name
    }

    /// Uses the settings of the configuration in force from the next attempt on.
    pub(in crate::jwks) fn adopt(&self, settings: &Arc<Jwks>) {
        self.settings.store(settings.clone());
    }

    /// Rebuilds the ring of `keys` after every change from now on.
    pub(in crate::jwks) fn add_listener(&self, keys: &Arc<Keys>) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        let listener = Arc::downgrade(keys);
        if !listeners.iter().any(|known| known.ptr_eq(&listener)) {
            listeners.push(listener);
        }
    }

    pub(super) fn notify_listeners(&self) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().filter_map(Weak::upgrade).for_each(|keys| keys.rebuild());
    }

    /// Shows the source in the metrics from now on.
    pub(in crate::jwks) fn announce(&self) {
        let state = self.state();
        if !self.reporter.announce() {
            return;
        }
        let cached = state.cached.as_ref();
        self.reporter.set_keys(
            cached.map_or(0, |cached| cached.keys.usable.len()),
            cached.map(|cached| cached.fetched_at),
        );
        if state.last_attempt.is_some() {
            self.reporter.next_refresh(at(state.next));
        }
        if let Some(cached) = cached {
            self.reporter.count_skipped(&[], &cached.keys.skipped);
        }
    }

    /// Removes the source from the metrics.
    pub(in crate::jwks) fn retire(&self) {
        let state = self.state();
        let skipped = state.cached.as_ref().map(|cached| cached.keys.skipped.as_slice()).unwrap_or_default();
        self.reporter.retire(skipped);
    }
}
