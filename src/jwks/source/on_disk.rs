//! What a source keeps on disk over a restart.

use std::time::SystemTime;

use tokio::time::Instant;

use super::super::fetch;
use super::super::freshness::Freshness;
use super::{CachedKeys, Source};
use crate::config::Jwks;

impl Source {
    /// Takes up what an earlier process left on disk. It is refreshed at once, and serves until
    /// then and for as long as `maxStale` allows.
    pub(super) fn restore(&self, settings: &Jwks) {
        let Some(store) = &self.store else { return };
        let now = SystemTime::now();
        let stored = match store.read(settings.max_stale, now) {
            Ok(Some(stored)) => stored,
            Ok(None) => return,
            Err(error) => return self.report.not_restored(&error),
        };
        let keys = match fetch::usable(&stored.document, self.fetcher.dialect()) {
            Ok(keys) => keys,
            Err(error) => return self.report.not_restored(&error),
        };
        let fetched_at = stored.fetched_at;
        let age = now.duration_since(fetched_at).unwrap_or_default();
        let mut state = self.state();
        self.report.restored(keys.usable.len(), age.as_secs());
        self.report.holds(keys.usable.len(), Some(fetched_at));
        self.report.change(&mut state.told, None, &keys);
        state.held = Some(CachedKeys {
            keys,
            freshness: Freshness::default(),
            stale: Instant::now() + settings.max_stale.saturating_sub(age),
            fetched_at,
            document: Some(stored.document.into()),
            restored: true,
        });
    }

    /// Writes the document that is held to disk, off this thread.
    pub(super) fn store(&self) {
        let state = self.state();
        let Some(held) = state.held.as_ref().filter(|held| !held.restored) else { return };
        if let (Some(store), Some(document)) = (&self.store, &held.document) {
            store.write_soon(document.clone(), held.fetched_at, &self.report.name);
        }
    }
}
