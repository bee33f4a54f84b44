//! Reading the configuration again while the process runs.
//!
//! On SIGHUP, on `POST /reload`, and when the content of one of its files changes, everything is
//! loaded and checked anew, from the same places. Only a configuration that could be in force, with
//! keys for what it waits for, replaces the one that is; any other is refused, and nothing of it counts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::generation::{Generation, PreparedConfig, SharedState};
use super::{Notifier, Process, RunError};
use crate::admin::{Outcome, ReloadRequest};
use crate::config::{self, Config, ConfigErrors, Loaded, Sources};
use crate::file_watch::{self, Contents, Watched};

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// After a refusal, how many looks until it is tried again: a key server may be back, or a file be
/// there that only the refused configuration names.
const LOOKS_UNTIL_RETRY: u32 = 10;
/// What is decided once, at the start.
const NEEDS_RESTART: &[&str] =
    &["listen", "workers", "health.listen", "admin.listen", "forwardAuth.listen", "log.format"];

/// Where a configuration is read again, and who else wants to know of a new one.
pub struct Reload {
    /// The same layers as at the start.
    pub sources: Sources,
    /// Called with each configuration that comes into force.
    pub on_applied: Box<dyn Fn(&Config) + Send + Sync>,
}

/// Keeps the configuration in force as its sources are.
pub(super) struct Reloader {
    pub(super) process: Arc<Process>,
    pub(super) shared: Arc<SharedState>,
    pub(super) reload: Reload,
    /// The configuration that the process was started with.
    pub(super) started: Arc<Loaded>,
    pub(super) notifier: Arc<Notifier>,
}

/// What made us look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Signal,
    Request,
    File,
    Certificate,
    Retry,
}

impl Trigger {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Request => "request",
            Self::File => "file",
            Self::Certificate => "certificate",
            Self::Retry => "retry",
        }
    }
}

/// Why a configuration is not in force.
enum Refusal {
    Broken(ConfigErrors),
    Unusable(RunError),
    /// These sources have brought no keys, for these reasons.
    NoKeys(Vec<String>),
    Panicked,
}

/// A refusal that stands.
struct Refused {
    /// Looks at the files since it was last tried.
    looks: u32,
    /// Whether it is about more than certificates.
    settings: bool,
    errors: Vec<String>,
}

impl Reloader {
    /// Reloads until it is dropped.
    pub(super) async fn run(self, mut hangup: Signal, mut requests: mpsc::Receiver<ReloadRequest>) {
        let mut ticks = file_watch::ticks(INTERVAL);
        let mut seen = self.first_look().await;
        let (mut settings, mut certificates) = (Watched::new(seen.0.clone()), Watched::new(seen.1.clone()));
        let mut refused: Option<Refused> = None;
        loop {
            let (trigger, asked) = tokio::select! {
                Some(()) = hangup.recv() => (Trigger::Signal, None),
                Some(asked) = requests.recv() => (Trigger::Request, Some(asked)),
                _ = ticks.tick() => {
                    let now = self.look().await;
                    let settings_are_new = settings.has_news(&now.0);
                    let certificates_are_new = certificates.has_news(&now.1);
                    match &mut refused {
                        _ if settings_are_new => (Trigger::File, None),
                        _ if certificates_are_new => (Trigger::Certificate, None),
                        Some(refused) if refused.looks >= LOOKS_UNTIL_RETRY => (Trigger::Retry, None),
                        Some(refused) => {
                            refused.looks += 1;
                            continue;
                        }
                        None => continue,
                    }
                }
            };
            // Before anything is read: what changes meanwhile is news for the next look.
            let before = std::mem::replace(&mut seen, self.look().await);
            let changed = [before.0.changes(&seen.0), before.1.changes(&seen.1)].concat();
            self.notifier.tell("RELOADING=1");
            let keys = self.process.current().keys.clone();
            // New keys are what an operator often reloads for: they come at once, also if the
            // configuration is refused. What only the new one names is fetched by the reload itself.
            let refresh = async {
                if matches!(trigger, Trigger::Signal | Trigger::Request) {
                    keys.refresh_now().await;
                }
            };
            let (outcome, ()) = tokio::join!(self.again(trigger, &changed, &mut refused), refresh);
            self.notifier.tell("READY=1");
            // A configuration may name other files than the one before.
            let now = self.look().await;
            seen = (now.0.with_known(&seen.0), now.1.with_known(&seen.1));
            (settings, certificates) = (Watched::new(seen.0.clone()), Watched::new(seen.1.clone()));
            if let Some(asked) = asked {
                // Whoever asked may have gone.
                let _ = asked.send(outcome);
            }
        }
    }

    /// What the configuration in force was made of. Files that have changed since they were read for it are news.
    async fn first_look(&self) -> (Contents, Contents) {
        let (settings, _) = self.look().await;
        let (sources, started) = (self.reload.sources.clone(), self.started.clone());
        let same = move || config::load(&sources).is_ok_and(|now| started.changes(&now).is_empty());
        let is_in_force = tokio::task::spawn_blocking(same).await.unwrap_or(false);
        let settings = if is_in_force { settings } else { Contents::default() };
        (settings, self.process.current().certificate_files.clone())
    }

    /// The files of the configuration in force: those with settings and secrets, and certificates.
    async fn look(&self) -> (Contents, Contents) {
        let loaded = self.process.current().loaded.clone();
        let mut settings = loaded.secret_files.clone();
        settings.push(self.reload.sources.path());
        let certificates = loaded.config.certificate_files();
        let reading = move || (file_watch::read(&settings), file_watch::read(&certificates));
        tokio::task::spawn_blocking(reading).await.unwrap_or_default()
    }

    /// Reads everything again and says what came of it, in the log too; not if it is refused again
    /// for the same reasons.
    async fn again(&self, trigger: Trigger, changed: &[PathBuf], refused: &mut Option<Refused>) -> Outcome {
        let before = self.process.current();
        match self.prepared(trigger, &before).await {
            Ok(prepared) => {
                let outcome = self.enter(prepared, &before, trigger, changed);
                if trigger != Trigger::Certificate || refused.as_ref().is_none_or(|refused| !refused.settings)
                {
                    *refused = None;
                    self.shared.metrics.config_is_good(true);
                }
                self.process.reloaded(trigger.as_str(), &outcome);
                outcome
            }
            Err(refusal) => {
                let (broken, errors) = refusal.said();
                let again = trigger == Trigger::Retry
                    && refused.as_ref().is_some_and(|refused| refused.errors == errors);
                let outcome = Outcome::Refused { broken, errors: errors.clone() };
                if !again {
                    for error in &errors {
                        tracing::error!(
                            trigger = trigger.as_str(),
                            error,
                            "the new configuration is refused; the old one goes on"
                        );
                    }
                    self.shared.metrics.config_reload("refused");
                    self.shared.metrics.config_is_good(false);
                    self.process.reloaded(trigger.as_str(), &outcome);
                }
                let settings = trigger != Trigger::Certificate
                    || refused.as_ref().is_some_and(|refused| refused.settings);
                *refused = Some(Refused { looks: 0, settings, errors });
                outcome
            }
        }
    }

    /// What the sources say now, as far as it can be in force at once.
    async fn prepared(&self, trigger: Trigger, before: &Arc<Generation>) -> Result<PreparedConfig, Refusal> {
        let (sources, shared, old) = (self.reload.sources.clone(), self.shared.clone(), before.clone());
        let preparing = tokio::task::spawn_blocking(move || {
            let loaded = match trigger {
                // Whatever else is written there now: certificates do not wait for it.
                Trigger::Certificate => old.loaded.clone(),
                _ => Arc::new(config::load(&sources).map_err(Refusal::Broken)?),
            };
            PreparedConfig::new(loaded, Some(&old), &shared.metrics, shared.slots.len())
                .map_err(Refusal::Unusable)
        });
        let prepared = preparing.await.unwrap_or(Err(Refusal::Panicked))?;
        // A process that serves must not begin to answer 503; one that waits for its first keys may
        // as well wait for others.
        if before.keys.are_ready() {
            prepared.keys.fetch_new().await;
            if !prepared.keys.are_ready() {
                let missing = prepared.keys.missing();
                let said = missing.iter().map(|source| {
                    let why = source.failure.as_deref().unwrap_or("it has none");
                    format!("issuer `{}`: no keys from {}: {why}", source.entry, source.name)
                });
                return Err(Refusal::NoKeys(said.collect()));
            }
        }
        Ok(prepared)
    }

    fn enter(
        &self,
        prepared: PreparedConfig,
        before: &Arc<Generation>,
        trigger: Trigger,
        files: &[PathBuf],
    ) -> Outcome {
        let loaded = prepared.loaded.clone();
        let generation = Arc::new(prepared.generation(&self.shared));
        self.process.enter(generation, &self.shared);
        (self.reload.on_applied)(&loaded.config);
        self.shared.metrics.config_reload("applied");
        let changed = before.loaded.changes(&loaded);
        let mut waiting = self.started.changes(&loaded);
        waiting.retain(|key| NEEDS_RESTART.contains(key));
        let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        tracing::info!(
            trigger = trigger.as_str(),
            hash = loaded.hash(),
            changed = changed.join(" "),
            files = files.join(" "),
            "the configuration was reloaded"
        );
        if !waiting.is_empty() {
            let keys = waiting.join(" ");
            tracing::warn!(keys, "these keys have other values now, which only a restart brings into force");
        }
        tell(&loaded);
        Outcome::Applied {
            changed: owned(&changed),
            changed_files: files,
            needs_restart: owned(&waiting),
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Refusal {
    /// Whether the configuration is at fault, and everything that is wrong.
    fn said(&self) -> (bool, Vec<String>) {
        match self {
            Self::Broken(errors) => (true, errors.iter().map(ToString::to_string).collect()),
            Self::Unusable(error) => (true, vec![error.to_string()]),
            Self::NoKeys(missing) => (false, missing.clone()),
            Self::Panicked => (false, vec!["reading it panicked".to_owned()]),
        }
    }
}

/// Logs what there is to say about a configuration that is in force.
pub fn tell(loaded: &Loaded) {
    for info in &loaded.infos {
        tracing::info!("{info}");
    }
    for finding in &loaded.warnings {
        tracing::warn!(key = %finding.path, help = finding.help, "{}", finding.message);
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// What SIGHUP sends; from here on it does not end the process.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
