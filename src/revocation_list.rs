//! The revocation list in force, and the task that keeps it as the file is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{RevocationFile, RevocationFileFault, Version};
use crate::metrics::Metrics;
use crate::revocation::{Revocations, RevokedBy};

/// How often the file is looked at. Its content is compared: that sees what watching misses, a
/// ConfigMap's symlink swap.
const INTERVAL: Duration = Duration::from_secs(2);

/// The list in force; without a file, one that is empty for ever.
#[derive(Debug)]
pub struct RevocationList {
    current: ArcSwap<Revocations>,
    file: Option<RevocationFile>,
    seen: Mutex<Seen>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Seen {
    version: Option<Version>,
    failure: Option<RevocationFileFault>,
}

impl RevocationList {
    /// The list as the configuration found it.
    pub fn new(found: Option<&(RevocationFile, Version)>, metrics: &Arc<Metrics>) -> Arc<Self> {
        let (file, version) = found.cloned().unzip();
        let list = version.as_ref().map(|version| version.list.clone()).unwrap_or_default();
        count(&list, metrics);
        metrics.revocations_in_force(true);
        Arc::new(Self {
            current: ArcSwap::new(list),
            file,
            seen: Mutex::new(Seen { version, failure: None }),
            metrics: metrics.clone(),
        })
    }

    /// The list at this moment.
    pub fn current(&self) -> arc_swap::Guard<Arc<Revocations>> {
        self.current.load()
    }

    /// Keeps the list until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        if self.file.is_none() {
            return;
        }
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let list = self.clone();
            // Reading blocks. If it panics, the list that there is goes on.
            if tokio::task::spawn_blocking(move || list.look()).await.is_err() {
                tracing::error!("looking at the revocation list panicked");
            }
        }
    }

    /// Looks at the file once.
    fn look(&self) {
        let Some(file) = &self.file else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match &seen.version {
            Some(version) => file.read_again(version),
            None => file.read().map(Some),
        };
        let shown = file.path().display();
        match read {
            Ok(None) => {
                if seen.failure.take().is_some() {
                    self.metrics.revocations_in_force(true);
                    tracing::info!(file = %shown, "the revocation list is what it was before");
                }
            }
            Ok(Some(version)) => {
                let before = self.current.load().len();
                count(&version.list, &self.metrics);
                self.metrics.revocations_in_force(true);
                self.current.store(version.list.clone());
                tracing::info!(file = %shown, entries = version.list.len(), before, "the revocation list has changed");
                *seen = Seen { version: Some(version), failure: None };
            }
            // One line for each change of state, not one for each look.
            Err(failure) if seen.failure.as_ref() != Some(&failure) => {
                self.metrics.revocations_in_force(false);
                let kept = self.current.load().len();
                tracing::error!(file = %shown, cause = %failure, kept_entries = kept, "the new revocation list is not used; the old one goes on");
                seen.failure = Some(failure);
            }
            Err(_) => {}
        }
    }
}

fn count(list: &Revocations, metrics: &Metrics) {
    for by in RevokedBy::ALL {
        metrics.revocations(by.as_str(), list.count(by));
    }
}

#[cfg(test)]
mod tests;
