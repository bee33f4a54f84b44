//! The revocation list of a configuration, and the task that keeps it as the file is.
//!
//! Requests are judged by the list of their configuration when they come. What they start, a streamed
//! answer or a tunnel, may outlive the configuration: a [`TokenWatch`] looks at the list in force.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::claims::VerifiedToken;
use crate::config::{RevocationFile, RevocationFileFault, Version};
use crate::file_watch;
use crate::metrics::Metrics;
use crate::revocation::{Revocations, RevokedBy};

mod in_force;

pub use in_force::{RevocationsInForce, TokenWatch};

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// The list of one configuration; without a file, one that is empty for ever.
#[derive(Debug)]
pub struct RevocationList {
    current: ArcSwap<Revocations>,
    file: Option<RevocationFile>,
    seen: Mutex<Seen>,
    metrics: Arc<Metrics>,
    in_force: Arc<RevocationsInForce>,
    /// Its number among all that were ever made.
    source: u64,
}

#[derive(Debug)]
struct Seen {
    version: Option<Version>,
    failure: Option<RevocationFileFault>,
}

impl RevocationList {
    /// The list as the configuration found it.
    pub fn new(
        found: Option<&(RevocationFile, Version)>,
        metrics: &Arc<Metrics>,
        in_force: &Arc<RevocationsInForce>,
    ) -> Arc<Self> {
        let (file, version) = found.cloned().unzip();
        let list = version.as_ref().map(|version| version.list.clone()).unwrap_or_default();
        count(&list, metrics);
        metrics.revocations_in_force(true);
        Arc::new(Self {
            current: ArcSwap::new(list),
            file,
            seen: Mutex::new(Seen { version, failure: None }),
            metrics: metrics.clone(),
            in_force: in_force.clone(),
            source: in_force.new_source(),
        })
    }

    /// From here on it is the list in force, also for what began before.
    pub fn enter(&self) {
        self.in_force.enter(self.source, self.current.load_full());
    }

    /// The version of the list in force, to be read before a token is judged by [`Self::current`].
    pub fn version(&self) -> u64 {
        self.in_force.version()
    }

    /// Looks out for the revocation of a token that was let in when the list in force was of the version
    /// `seen`. `text` is the token as it came.
    pub fn watch(&self, token: Arc<VerifiedToken>, text: &str, seen: u64) -> TokenWatch {
        TokenWatch::new(self.in_force.clone(), token, text, seen)
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
        file_watch::look_every(INTERVAL, "revocation list", move || self.look()).await;
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
                self.in_force.change(self.source, version.list.clone());
                tracing::info!(file = %shown, entries = version.list.len(), before, "the revocation list has changed");
                let unknown = file.unknown_issuers(&version);
                if !unknown.is_empty() {
                    tracing::warn!(file = %shown, issuers = ?unknown, "entries of the revocation list name unknown issuers and revoke nothing");
                }
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
