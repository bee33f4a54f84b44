//! A source among the configurations that use it: one after another, and two for a moment.

use std::sync::{Arc, PoisonError, Weak};

use super::super::Keys;
use super::super::identity::Identity;
use super::{Source, at};
use crate::config::Jwks;

impl Source {
    /// What it is in the configuration.
    pub(in crate::jwks) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(in crate::jwks) fn name(&self) -> &str {
        &self.report.name
    }

    /// Takes the settings of the configuration in force, for the next attempt on.
    pub(in crate::jwks) fn adopt(&self, settings: &Arc<Jwks>) {
        self.settings.store(settings.clone());
    }

    /// Tells these keys of every change from now on.
    pub(in crate::jwks) fn tell(&self, keys: &Arc<Keys>) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        let listener = Arc::downgrade(keys);
        if !listeners.iter().any(|known| known.ptr_eq(&listener)) {
            listeners.push(listener);
        }
    }

    pub(super) fn say_changed(&self) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().filter_map(Weak::upgrade).for_each(|keys| keys.rebuild());
    }

    /// Shows itself in the metrics from now on.
    pub(in crate::jwks) fn announce(&self) {
        let state = self.state();
        if !self.report.announce() {
            return;
        }
        let held = state.held.as_ref();
        self.report.holds(held.map_or(0, |held| held.keys.usable.len()), held.map(|held| held.fetched_at));
        if state.last_attempt.is_some() {
            self.report.next_refresh(at(state.next));
        }
        if let Some(held) = held {
            self.report.count_skipped(&[], &held.keys.skipped);
        }
    }

    /// Shows itself in the metrics no more.
    pub(in crate::jwks) fn retire(&self) {
        let state = self.state();
        let skipped = state.held.as_ref().map(|held| held.keys.skipped.as_slice()).unwrap_or_default();
        self.report.retire(skipped);
    }
}
