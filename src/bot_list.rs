//! The allow-list of bots: loaded from a file, watched for changes, checked on every request of a bot.
//!
//! 1. [`BotList`] is the list of one configuration. A task checks its file every two seconds.
//! 2. A file that cannot be used leaves the current list in force. At the start there is none, and no bot is accepted.
//! 3. Streamed responses and tunnels of bots end once the list does not accept their token any more: it is part of what
//!    [`crate::revocation_list`] has in force.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use crate::bots::{Bot, BotFault, Bots};
use crate::claims::VerifiedToken;
use crate::config::{BotFile, BotFileFault, BotFileState, BotVersion, Config};
use crate::file_watch;
use crate::metrics::Metrics;
use crate::numeric_date::NumericDate;
use crate::revocation_list::RevocationsInForce;

/// How often the file is checked.
pub const INTERVAL: Duration = Duration::from_secs(2);

const KEY: &str = "issuer.bots.file";

/// The list of one configuration; without a file, one that accepts no bot.
#[derive(Debug)]
pub struct BotList {
    current: ArcSwap<Bots>,
    file: Option<BotFile>,
    seen: Mutex<Seen>,
    metrics: Arc<Metrics>,
    in_force: Arc<RevocationsInForce>,
    /// A number that identifies this list among all lists of the process.
    source: u64,
}

/// What was found in the file of a configuration.
#[derive(Debug)]
pub struct FoundBots {
    file: Option<BotFile>,
    read: Result<Option<BotVersion>, BotFileFault>,
    before: Option<Arc<BotList>>,
}

impl FoundBots {
    /// Reads the file of a configuration. `before` is the list in force. Blocks.
    pub fn read(config: &Config, before: Option<Arc<BotList>>) -> Self {
        let file = config.bots.clone();
        let read = file.as_ref().map(|file| file.read(SystemTime::now().into())).transpose();
        Self { file, read, before }
    }
}

#[derive(Debug)]
struct Seen {
    version: Option<BotVersion>,
    failure: Option<BotFileFault>,
    file: BotFileState,
    /// Since when the current list has been in force.
    since: SystemTime,
}

/// The list and its file at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotListStatus {
    /// The file that is watched.
    pub file: PathBuf,
    /// The number of bots.
    pub bots: usize,
    /// The number of tokens that are accepted.
    pub tokens: usize,
    /// Whether there is a list at all.
    pub is_known: bool,
    /// Since when the list has been in force.
    pub since: SystemTime,
    /// Why the file is not the list in force.
    pub failure: Option<String>,
}

impl BotList {
    /// A list that was read. If the file cannot be used, the list before stays in force, if that has the same file.
    pub fn new(
        found: FoundBots,
        metrics: &Arc<Metrics>,
        in_force: &Arc<RevocationsInForce>,
        now: SystemTime,
    ) -> Arc<Self> {
        let FoundBots { file, read, before } = found;
        let (version, failure) = match read {
            Ok(version) => (version, None),
            Err(fault) => {
                let kept = before.filter(|before| before.file == file).and_then(|before| before.version());
                let path = file.iter().map(|file| file.path().display().to_string()).collect::<String>();
                if kept.is_some() {
                    tracing::error!(key = KEY, file = path, cause = %fault, "the allow-list of bots cannot be used; keeping the current one");
                } else {
                    tracing::error!(key = KEY, file = path, cause = %fault, "the allow-list of bots cannot be used; no bot is accepted");
                }
                (kept, Some(fault))
            }
        };
        let bots = version.as_ref().map(|version| version.bots.clone()).unwrap_or_default();
        metrics.bots(bots.bots().len(), failure.is_none());
        Arc::new(Self {
            current: ArcSwap::new(bots),
            file,
            seen: Mutex::new(Seen { version, failure, file: BotFileState::default(), since: now }),
            metrics: metrics.clone(),
            in_force: in_force.clone(),
            source: in_force.new_source(),
        })
    }

    fn version(&self) -> Option<BotVersion> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).version.clone()
    }

    /// Makes this the list in force, also for responses that began under an earlier configuration.
    pub fn enter(&self) {
        self.in_force.enter_bots(self.source, self.current.load_full());
    }

    /// The current list.
    pub fn current(&self) -> arc_swap::Guard<Arc<Bots>> {
        self.current.load()
    }

    /// The bot of a verified bot token.
    ///
    /// # Errors
    /// See [`Bots::find`].
    pub fn find(&self, token: &VerifiedToken, now: NumericDate) -> Result<Arc<Bot>, BotFault> {
        self.current.load().find(token, now).cloned()
    }

    /// Watches the file until the future is dropped.
    pub async fn run(self: Arc<Self>) {
        if self.file.is_none() {
            return;
        }
        file_watch::look_every(INTERVAL, "allow-list of bots", move || {
            self.look(Instant::now, SystemTime::now());
        })
        .await;
    }

    /// The state of the list and its file; `None` without a file.
    pub fn status(&self) -> Option<BotListStatus> {
        let file = self.file.as_ref()?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let list = self.current.load();
        Some(BotListStatus {
            file: file.path().to_owned(),
            bots: list.bots().len(),
            tokens: list.bots().iter().map(|bot| bot.tokens.len()).sum(),
            is_known: list.is_known(),
            since: seen.since,
            failure: seen.failure.as_ref().map(ToString::to_string),
        })
    }

    /// Checks the file once.
    fn look(&self, clock: impl Fn() -> Instant, now: SystemTime) {
        let Some(file) = &self.file else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { version, failure, file: state, since } = &mut *seen;
        let path = file.path().display();
        // A file that was refused has no known version: it is read until it is good.
        match file.check(version.as_ref(), state, clock, now.into()) {
            Ok(None) => {
                if failure.take().is_some() {
                    self.metrics.bots(self.current.load().bots().len(), true);
                    tracing::info!(file = %path, "the allow-list of bots is readable again and unchanged");
                }
            }
            Ok(Some(new)) => {
                let bots = new.bots.bots().len();
                self.metrics.bots(bots, true);
                self.current.store(new.bots.clone());
                self.in_force.change_bots(self.source, new.bots.clone());
                tracing::info!(file = %path, bots, "the allow-list of bots has changed");
                (*version, *failure, *since) = (Some(new), None, now);
            }
            // One line for each change of state, not for each check.
            Err(fault) if failure.as_ref() != Some(&fault) => {
                let kept = self.current.load().bots().len();
                self.metrics.bots(kept, false);
                tracing::error!(key = KEY, file = %path, cause = %fault, kept_bots = kept, "the new allow-list of bots is not used; keeping the current one");
                *failure = Some(fault);
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
