//! Reloads the configuration while the process runs.
//!
//! 1. A reload is triggered by SIGHUP, by `POST /reload`, and by a change in the content of a configuration or
//!    certificate file. A refused reload is tried again every 10 seconds.
//! 2. Everything is loaded and checked again from the same sources.
//! 3. If the process has keys and revocation lists, the new configuration must have them too: a process that serves must not begin to
//!    respond with 503.
//! 4. A new configuration replaces the current one as a whole. If any step fails, the reload is refused, and the
//!    current configuration stays in force unchanged.
//!
//! A changed certificate is reloaded with the configuration in force, so that an error elsewhere in the configuration
//! does not keep an expired certificate in use.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::generation::{Generation, PreparedConfig, SharedState};
use super::{Notifier, Process, RunError, tls_files};
use crate::admin::{Outcome, ReloadRequest};
use crate::audit::Reopen;
use crate::config::{self, Config, ConfigErrors, FindingId, Listen, Loaded, Sources};
use crate::file_watch::{self, Contents, FileReader, Watched};

/// How often the files are checked for changes.
const INTERVAL: Duration = Duration::from_secs(1);
/// After how many checks a refused reload is tried again: a key server may be back, or a file may exist now that only
/// the refused configuration names.
const CHECKS_UNTIL_RETRY: u32 = 10;
/// Keys whose changes take effect only after a restart.
const NEEDS_RESTART: &[&str] = &[
    "listen",
    "workers",
    "health.listen",
    "admin.listen",
    "forwardAuth.listen",
    "audit.output",
    "log.format",
];

/// How a configuration is reloaded.
pub struct Reload {
    /// The same sources as at the start.
    pub sources: Sources,
    /// Called with each configuration that enters into force.
    pub on_applied: Box<dyn Fn(&Config) + Send + Sync>,
    /// The audit file, which SIGHUP opens again.
    pub audit_file: Reopen,
}

/// Reloads the configuration when its sources change.
pub(super) struct Reloader {
    pub(super) process: Arc<Process>,
    pub(super) shared: Arc<SharedState>,
    pub(super) reload: Reload,
    /// The configuration that the process was started with.
    pub(super) started: Arc<Loaded>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) files: Arc<Mutex<FileReaders>>,
}

/// Reads the files of the configuration in force at each check.
#[derive(Debug, Default)]
pub(super) struct FileReaders {
    settings: FileReader,
    certificates: FileReader,
}

/// What triggered a reload.
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

/// Why a reload is refused.
enum Refusal {
    Broken(ConfigErrors),
    Unusable(RunError),
    /// An error for each key source that returned no keys.
    Missing(Vec<String>),
    Panicked,
}

/// The last reload, if it was refused.
struct Refused {
    /// How often the files were checked since it was last tried.
    checks: u32,
    /// Whether the configuration was refused, and not only its certificates.
    settings: bool,
    errors: Vec<String>,
}

/// The contents of a configuration's files.
#[derive(Default)]
struct FileContents {
    /// The configuration files and the files of its secrets.
    settings: Contents,
    /// The configuration files among them.
    sources: Vec<PathBuf>,
    certificates: Contents,
}

impl FileContents {
    fn watched(&self) -> (Watched, Watched) {
        (Watched::new(self.settings.clone()), Watched::new(self.certificates.clone()))
    }

    fn changes(&self, next: &Self) -> Vec<PathBuf> {
        [self.settings.changes(&next.settings), self.certificates.changes(&next.certificates)].concat()
    }

    /// The files of a new configuration, with the contents that `known` has from before it was loaded. A configuration
    /// file that appeared in a directory since then was not loaded, so it stays unknown and causes the next reload, as
    /// does one that vanished.
    fn with_known(self, known: &Self) -> Self {
        let sources = self.sources.iter().chain(&known.sources);
        let settings = self.settings.with_known(&known.settings).with_paths_as_in(&known.settings, sources);
        Self {
            settings,
            sources: self.sources,
            certificates: self.certificates.with_known(&known.certificates),
        }
    }
}

impl Reloader {
    /// Reloads until the future is dropped.
    pub(super) async fn run(self, mut hangup: Signal, mut requests: mpsc::Receiver<ReloadRequest>) {
        let mut ticks = file_watch::ticks(INTERVAL);
        let mut seen = self.initial_files().await;
        let (mut settings, mut certificates) = seen.watched();
        let mut refused: Option<Refused> = None;
        loop {
            let (trigger, request) = tokio::select! {
                Some(()) = hangup.recv() => {
                    self.reload.audit_file.request();
                    self.shared.audit.flush();
                    (Trigger::Signal, None)
                }
                Some(request) = requests.recv() => (Trigger::Request, Some(request)),
                _ = ticks.tick() => {
                    let now = self.read_files().await;
                    let settings_are_new = settings.has_news(&now.settings);
                    let certificates_are_new = certificates.has_news(&now.certificates);
                    match &mut refused {
                        _ if settings_are_new => (Trigger::File, None),
                        _ if certificates_are_new => (Trigger::Certificate, None),
                        Some(refused) if refused.checks >= CHECKS_UNTIL_RETRY => (Trigger::Retry, None),
                        Some(refused) => {
                            refused.checks += 1;
                            continue;
                        }
                        None => continue,
                    }
                }
            };
            // Taken before anything is loaded, so that a change in between triggers the next reload.
            let before = std::mem::replace(&mut seen, self.read_files().await);
            let changed = before.changes(&seen);
            self.notifier.notify("RELOADING=1");
            let keys = self.process.current().keys.clone();
            // Operators often reload to get new keys, so the current sources are refreshed even if the configuration
            // is refused. The reload itself fetches the keys of new sources.
            let refresh = async {
                if matches!(trigger, Trigger::Signal | Trigger::Request) {
                    keys.refresh_now().await;
                }
            };
            let (outcome, ()) = tokio::join!(self.reload(trigger, &changed, &mut refused), refresh);
            self.notifier.notify("READY=1");
            // The new configuration may name other files.
            seen = self.read_files().await.with_known(&seen);
            (settings, certificates) = seen.watched();
            if let Some(request) = request {
                // The client of the admin listener may have disconnected.
                let _ = request.send(outcome);
            }
        }
    }

    /// The file contents from which the configuration in force was made. If the sources have changed
    /// since the start, the settings are empty, so that the next check finds them changed.
    async fn initial_files(&self) -> FileContents {
        let settings = self.read_files().await.settings;
        let (sources, started) = (self.reload.sources.clone(), self.started.clone());
        let same = move || config::load(&sources).is_ok_and(|now| started.changes(&now).is_empty());
        let is_in_force = tokio::task::spawn_blocking(same).await.unwrap_or(false);
        let settings = if is_in_force { settings } else { Contents::default() };
        let certificates = self.process.current().certificate_files.clone();
        FileContents { settings, certificates, ..FileContents::default() }
    }

    /// The current contents of the files of the configuration in force.
    async fn read_files(&self) -> FileContents {
        let loaded = self.process.current().loaded.clone();
        let mut settings = loaded.secret_files.clone();
        let sources = self.reload.sources.clone();
        let certificates = loaded.config.certificate_files();
        let files = self.files.clone();
        let reading = move || {
            let sources = sources.paths();
            settings.extend_from_slice(&sources);
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            FileContents {
                settings: files.settings.read(&settings, Instant::now),
                certificates: files.certificates.read(&certificates, Instant::now),
                sources,
            }
        };
        tokio::task::spawn_blocking(reading).await.unwrap_or_default()
    }

    /// Loads everything again and puts it into force, or refuses it. Logs the outcome, except that a retry that fails
    /// for the same reasons is not logged again.
    async fn reload(&self, trigger: Trigger, changed: &[PathBuf], refused: &mut Option<Refused>) -> Outcome {
        let before = self.process.current();
        match self.prepare(trigger, &before).await {
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
                let (broken, errors) = refusal.errors();
                let again = trigger == Trigger::Retry
                    && refused.as_ref().is_some_and(|refused| refused.errors == errors);
                let outcome = Outcome::Refused { broken, errors: errors.clone() };
                if !again {
                    for error in &errors {
                        tracing::error!(
                            trigger = trigger.as_str(),
                            error,
                            "configuration refused: keeping the current configuration"
                        );
                    }
                    self.shared.metrics.config_reload("refused");
                    self.shared.metrics.config_is_good(false);
                    self.process.reloaded(trigger.as_str(), &outcome);
                }
                let settings = trigger != Trigger::Certificate
                    || refused.as_ref().is_some_and(|refused| refused.settings);
                *refused = Some(Refused { checks: 0, settings, errors });
                outcome
            }
        }
    }

    /// Loads and prepares the configuration, and fetches the keys of its new sources.
    async fn prepare(&self, trigger: Trigger, before: &Arc<Generation>) -> Result<PreparedConfig, Refusal> {
        let (sources, shared, old) = (self.reload.sources.clone(), self.shared.clone(), before.clone());
        let preparing = tokio::task::spawn_blocking(move || {
            let loaded = match trigger {
                // New certificates take effect even if the configuration file has errors.
                Trigger::Certificate => old.loaded.clone(),
                _ => Arc::new(config::load(&sources).map_err(Refusal::Broken)?),
            };
            PreparedConfig::new(loaded.clone(), Some(&old), &shared, shared.slots.len())
                .map_err(|error| Refusal::unusable(&loaded, error))
        });
        let prepared = preparing.await.unwrap_or(Err(Refusal::Panicked))?;
        // A process that serves must not begin to respond with 503. One that still waits for its first keys may wait
        // for those of the new configuration instead.
        if before.keys.are_ready() {
            prepared.keys.fetch_new().await;
            if !prepared.keys.are_ready() {
                let missing = prepared.keys.missing();
                let errors = missing.iter().map(|source| {
                    let why = source.failure.as_deref().unwrap_or("it has none");
                    format!("issuer `{}`: no keys from {}: {why}", source.entry, source.name)
                });
                return Err(Refusal::Missing(errors.collect()));
            }
        }
        let missing = prepared.fetch_lists(before).await;
        if missing.is_empty() { Ok(prepared) } else { Err(Refusal::Missing(missing)) }
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
        if is_open_as_listed(&loaded.config, &self.shared.proxies) {
            waiting.retain(|key| *key != "listen");
        }
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
            tracing::warn!(keys, "changes of these keys take effect after a restart");
        }
        log_findings(&loaded);
        Outcome::Applied {
            changed: owned(&changed),
            changed_files: files,
            needs_restart: owned(&waiting),
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Whether the open sockets are those of `listen`, so that only the token headers of its elements can have changed.
fn is_open_as_listed(config: &Config, open: &[Listen]) -> bool {
    config.listen.iter().eq(open)
}

impl Refusal {
    /// If a file is the cause, its key and where that is written are named, as `check` and `run` do.
    fn unusable(loaded: &Loaded, error: RunError) -> Self {
        let mut errors = tls_files::errors(loaded);
        if errors.is_empty()
            && let RunError::Tls(error) = &error
            && loaded.config.tls.as_ref().is_some_and(|tls| tls.cert_file == error.path())
        {
            errors.push(tls_files::of_listener(loaded, error));
        }
        match ConfigErrors::from_list(errors, &loaded.used.files) {
            Some(errors) => Self::Broken(errors),
            None => Self::Unusable(error),
        }
    }

    /// Whether the configuration itself is at fault, and all errors.
    fn errors(&self) -> (bool, Vec<String>) {
        match self {
            Self::Broken(errors) => (true, errors.iter().map(ToString::to_string).collect()),
            Self::Unusable(error) => (true, vec![error.to_string()]),
            Self::Missing(missing) => (false, missing.clone()),
            Self::Panicked => (false, vec!["reading it panicked".to_owned()]),
        }
    }
}

/// Logs the notes and warnings about a configuration that is in force.
pub fn log_findings(loaded: &Loaded) {
    for info in &loaded.infos {
        tracing::info!("{info}");
    }
    for finding in &loaded.warnings {
        let id = finding.id.map(FindingId::as_str);
        tracing::warn!(id, key = %finding.path, help = finding.help, "{}", finding.message);
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// The stream of SIGHUP signals. From now on SIGHUP does not end the process.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
