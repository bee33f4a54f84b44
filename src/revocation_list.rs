//! The revocation list: loaded from a file, watched for changes, checked on every request.
//!
//! 1. [`RevocationList`] is the list of one configuration. A task checks its file every two seconds, and reads it only
//!    if it may have changed ([`crate::file_watch`]); a file that cannot be used leaves the current list in force.
//! 2. Each request looks its token up in the list of its configuration.
//! 3. A streamed response or a tunnel may outlive the configuration. It holds a [`TokenWatch`], which looks the token
//!    up in the list in force ([`RevocationsInForce`]) whenever that changes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use crate::claims::VerifiedToken;
use crate::config::{Checked, FileState, RevocationFile, RevocationFileFault, Version};
use crate::file_watch;
use crate::metrics::Metrics;
use crate::revocation::{Revocations, RevokedBy};

mod in_force;

pub use in_force::{RevocationsInForce, TokenWatch};

/// How often the file is checked.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// How many unknown issuers are named in the log.
const NAMED_ISSUERS: usize = 10;

/// The list of one configuration; without a file, always empty.
#[derive(Debug)]
pub struct RevocationList {
    current: ArcSwap<Revocations>,
    file: Option<RevocationFile>,
    seen: Mutex<Seen>,
    metrics: Arc<Metrics>,
    in_force: Arc<RevocationsInForce>,
    /// A number that identifies this list among all lists of the process.
    source: u64,
}

#[derive(Debug)]
struct Seen {
    version: Option<Version>,
    failure: Option<RevocationFileFault>,
    file: FileState,
    /// Since when the current list has been in force.
    since: SystemTime,
    checked: SystemTime,
}

/// The list and its file at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationStatus {
    /// The file that is watched.
    pub file: PathBuf,
    /// The number of entries of each kind.
    pub entries: [(RevokedBy, usize); RevokedBy::ALL.len()],
    /// Since when the list has been in force.
    pub since: SystemTime,
    /// When the file was last checked.
    pub checked: SystemTime,
    /// Why the file is not the list in force.
    pub failure: Option<String>,
    /// Issuers whose entries revoke nothing, because no issuer entry has that name; the first ten.
    pub unknown_issuers: Vec<String>,
}

/// The key that names the file.
const KEY: &str = "authentication.revocations.file";

impl RevocationList {
    /// The list as loaded with the configuration.
    pub fn new(
        found: Option<&(RevocationFile, Version)>,
        metrics: &Arc<Metrics>,
        in_force: &Arc<RevocationsInForce>,
    ) -> Arc<Self> {
        let (file, version) = found.cloned().unzip();
        let now = SystemTime::now();
        let list = version.as_ref().map(|version| version.list.clone()).unwrap_or_default();
        count(&list, metrics);
        metrics.revocations_in_force(true);
        Arc::new(Self {
            current: ArcSwap::new(list),
            file,
            seen: Mutex::new(Seen {
                version,
                failure: None,
                file: FileState::default(),
                since: now,
                checked: now,
            }),
            metrics: metrics.clone(),
            in_force: in_force.clone(),
            source: in_force.new_source(),
        })
    }

    /// Makes this the list in force, also for streams that began under an earlier configuration.
    pub fn enter(&self) {
        self.in_force.enter(self.source, self.current.load_full());
    }

    /// The version of the list in force. Read it before checking a token with [`Self::current`].
    pub fn version(&self) -> u64 {
        self.in_force.version()
    }

    /// Watches for the revocation of a token that was admitted under version `seen` of the list in force. `text` is the
    /// token as received.
    pub fn watch(&self, token: Arc<VerifiedToken>, text: &str, seen: u64) -> TokenWatch {
        TokenWatch::new(self.in_force.clone(), token, text, seen)
    }

    /// The current list.
    pub fn current(&self) -> arc_swap::Guard<Arc<Revocations>> {
        self.current.load()
    }

    /// Watches the file until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        if self.file.is_none() {
            return;
        }
        file_watch::look_every(INTERVAL, "revocation list", move || {
            self.look(Instant::now, SystemTime::now());
        })
        .await;
    }

    /// The state of the list and its file; `None` without a file.
    pub fn status(&self) -> Option<RevocationStatus> {
        let file = self.file.as_ref()?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let list = self.current.load();
        let unknown = seen.version.iter().flat_map(|version| file.unknown_issuers(version));
        Some(RevocationStatus {
            file: file.path().to_owned(),
            entries: RevokedBy::ALL.map(|by| (by, list.count(by))),
            since: seen.since,
            checked: seen.checked,
            failure: seen.failure.as_ref().map(ToString::to_string),
            unknown_issuers: unknown.take(NAMED_ISSUERS).map(ToOwned::to_owned).collect(),
        })
    }

    /// Checks the file once.
    fn look(&self, clock: impl Fn() -> Instant, now: SystemTime) {
        let Some(file) = &self.file else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { version, failure, file: state, since, checked: last_check } = &mut *seen;
        let checked = file.check(version.as_ref(), state, clock, now.into());
        *last_check = now;
        let path = file.path().display();
        match checked {
            Ok(Checked::NotRead) => {}
            Ok(Checked::Unchanged) => {
                if failure.take().is_some() {
                    self.metrics.revocations_in_force(true);
                    tracing::info!(file = %path, "the revocation list is readable again and unchanged");
                }
            }
            Ok(Checked::Changed(new)) => {
                let before = self.current.load().len();
                count(&new.list, &self.metrics);
                self.metrics.revocations_in_force(true);
                self.current.store(new.list.clone());
                self.in_force.change(self.source, new.list.clone());
                tracing::info!(file = %path, entries = new.list.len(), before, "the revocation list has changed");
                let unknown = file.unknown_issuers(&new);
                if !unknown.is_empty() {
                    let named: BTreeSet<_> = unknown.iter().take(NAMED_ISSUERS).collect();
                    tracing::warn!(key = KEY, file = %path, count = unknown.len(), issuers = ?named, "entries of the revocation list name unknown issuers and revoke nothing");
                }
                (*version, *failure, *since) = (Some(new), None, now);
            }
            // One line for each change of state, not for each check.
            Err(fault) if failure.as_ref() != Some(&fault) => {
                self.metrics.revocations_in_force(false);
                let kept = self.current.load().len();
                tracing::error!(key = KEY, file = %path, cause = %fault, kept_entries = kept, "the new revocation list is not used; keeping the current one");
                *failure = Some(fault);
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
