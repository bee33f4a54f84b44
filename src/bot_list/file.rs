//! The allow-list in a file, which is checked for changes.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime};

use super::{BotList, INTERVAL, State};
use crate::bots::Bots;
use crate::config::{BotFile, BotFileState, BotVersion};
use crate::file_watch;
use crate::sync::Mutex;

const KEY: &str = "issuer.bots.file";

/// The file, and what was found in it.
#[derive(Debug)]
pub(super) struct FileBots {
    file: BotFile,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The list in force. A file that was refused has none: it is read until it is good.
    version: Option<BotVersion>,
    file: BotFileState,
}

impl FileBots {
    /// Reads the file. If it cannot be used, the list of `before` stays in force.
    pub(super) fn new(file: &BotFile, before: Option<&Self>, now: SystemTime) -> (Self, Arc<Bots>, State) {
        let (version, failure) = match file.read(now.into()) {
            Ok(version) => (Some(version), None),
            Err(fault) => {
                let kept = before.and_then(Self::version);
                let path = file.path().display();
                if kept.is_some() {
                    tracing::error!(key = KEY, file = %path, cause = %fault, "the allow-list of bots cannot be used; keeping the current one");
                } else {
                    tracing::error!(key = KEY, file = %path, cause = %fault, "the allow-list of bots cannot be used; no bot is accepted");
                }
                (kept, Some(fault.to_string()))
            }
        };
        let bots = version.as_ref().map(|version| version.bots.clone()).unwrap_or_default();
        let confirmed = failure.is_none().then_some(now);
        let seen = Mutex::new(Seen { version, file: BotFileState::default() });
        (Self { file: file.clone(), seen }, bots, State { failure, confirmed, ..State::new(now) })
    }

    pub(super) fn is_at(&self, file: &BotFile) -> bool {
        self.file == *file
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    fn version(&self) -> Option<BotVersion> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).version.clone()
    }
}

/// Watches the file until the future is dropped.
pub(super) async fn watch(list: Arc<BotList>) {
    file_watch::look_every(INTERVAL, "allow-list of bots", move || {
        list.look(Instant::now, SystemTime::now());
    })
    .await;
}

impl BotList {
    /// Checks the file once.
    pub(super) fn look(&self, clock: impl Fn() -> Instant, now: SystemTime) {
        let Some(FileBots { file, seen }) = self.file() else { return };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { version, file: state } = &mut *seen;
        match file.check(version.as_ref(), state, clock, now.into()) {
            Ok(None) => self.is_unchanged(now),
            Ok(Some(new)) => {
                self.has_list(new.bots.clone(), now);
                *version = Some(new);
            }
            Err(fault) => self.failed(fault.to_string()),
        }
    }
}
