//! What one configuration has become: everything that a reload replaces, and nothing else.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::RunError;
use super::admission::Admission;
use super::descriptors;
use crate::audit::AuditTrail;
use crate::budget;
use crate::config::Loaded;
use crate::connection::{ConnectionSettings, WorkerState};
use crate::exchange::Recorder;
use crate::file_watch::{self, Contents};
use crate::gateway::{Clock, Gateway};
use crate::jwks::Keys;
use crate::metrics::Metrics;
use crate::refusals::Refusals;
use crate::revocation_list::{RevocationList, RevocationsInForce};
use crate::tls::{self, ListenerTls, TlsError};
use crate::upstream::{Target, Upstream};

/// What is the same for every configuration of the process.
pub(super) struct SharedState {
    pub(super) metrics: Arc<Metrics>,
    pub(super) audit: AuditTrail,
    pub(super) refusals: Arc<Refusals>,
    pub(super) revocations: Arc<RevocationsInForce>,
    pub(super) clock: Clock,
    /// The number of the admission policy in force; connections of an older one end.
    pub(super) admission: Sender<u64>,
    /// One for each worker: what it serves its next request with.
    pub(super) slots: Vec<Arc<ArcSwap<WorkerState>>>,
}

/// A configuration in force.
pub(super) struct Generation {
    pub(super) loaded: Arc<Loaded>,
    pub(super) since: SystemTime,
    pub(super) keys: Arc<Keys>,
    revocations: Arc<RevocationList>,
    worker_states: Vec<Arc<WorkerState>>,
    /// One pool for each worker, and the certificates that its connections were made with.
    upstreams: Vec<Arc<Upstream>>,
    upstream_files: Contents,
    /// As they were before they were read for it.
    pub(super) certificate_files: Contents,
    admission: Admission,
    /// When the listener's certificate ends.
    certificate_end: Option<SystemTime>,
    /// Ended when it is in force no more.
    _tasks: JoinSet<()>,
}

/// A configuration that could be in force: all that may fail has been done.
pub(super) struct PreparedConfig {
    pub(super) loaded: Arc<Loaded>,
    pub(super) keys: Arc<Keys>,
    upstreams: Vec<Arc<Upstream>>,
    upstream_files: Contents,
    certificate_files: Contents,
    admission: Admission,
    tls: Option<ListenerTls>,
}

impl PreparedConfig {
    /// Reads what the configuration names, for so many workers. Blocks.
    pub(super) fn new(
        loaded: Arc<Loaded>,
        before: Option<&Generation>,
        metrics: &Arc<Metrics>,
        workers: usize,
    ) -> Result<Self, RunError> {
        let config = &loaded.config;
        let certificate_files = file_watch::read(&config.certificate_files());
        let keys = match before {
            Some(before) => Keys::after(&before.keys, config)?,
            None => Keys::new(config, metrics)?,
        };
        let http2 = config.limits.concurrent_streams > 0;
        let tls = config.tls.as_ref().map(|files| tls::server_config(files, http2)).transpose()?;
        if let (Some(files), Some(end)) = (&config.tls, tls.as_ref().and_then(|tls| tls.not_after))
            && end < SystemTime::now()
        {
            let error = TlsError::Ended(files.cert_file.clone(), end);
            // Nobody is helped by a process that does not start, or keeps one that has ended too.
            if before.is_some_and(|before| before.certificate_end.is_none_or(|end| end > SystemTime::now())) {
                return Err(error.into());
            }
            tracing::error!(%error, "clients will refuse this certificate");
        }
        let admission = Admission::new(config, before.map(|before| &before.admission));
        let upstream_files = file_watch::read(config.upstream.tls.files());
        let unchanged = before.filter(|before| {
            before.loaded.config.upstream == config.upstream && before.upstream_files == upstream_files
        });
        let upstreams = match unchanged {
            // Their open connections go on.
            Some(before) => before.upstreams.clone(),
            None => {
                let target = Target::new(&config.upstream)?;
                (0..workers).map(|_| Upstream::new(target.clone(), metrics.clone())).collect()
            }
        };
        Ok(Self { loaded, keys, upstreams, upstream_files, certificate_files, admission, tls })
    }

    /// The generation of this configuration. Nothing of it serves before [`Generation::enter`].
    pub(super) fn generation(self, shared: &SharedState) -> Generation {
        let config = &self.loaded.config;
        let recorder = Arc::new(Recorder {
            audit: shared.audit.clone(),
            metrics: shared.metrics.clone(),
            refusals: shared.refusals.clone(),
            rules: config.policy.rules.iter().map(|rule| rule.name.clone()).collect(),
            entries: config.trust.iter().map(|entry| entry.name.clone()).collect(),
        });
        let revocations =
            RevocationList::new(config.revocations.as_ref(), &shared.metrics, &shared.revocations);
        // With a token cache of its own: what another configuration let in says nothing here.
        let gateway =
            Arc::new(Gateway::new(config, self.keys.clone(), revocations.clone(), recorder, shared.clock));
        let settings = ConnectionSettings::new(config, self.admission.number);
        let certificate_end = self.tls.as_ref().and_then(|tls| tls.not_after);
        shared.metrics.certificate_ends(certificate_end);
        let tls = self.tls.map(|tls| TlsAcceptor::from(tls.config));
        let worker_state = |upstream: &Arc<Upstream>| {
            Arc::new(WorkerState {
                gateway: gateway.clone(),
                upstream: upstream.clone(),
                settings: settings.clone(),
                tls: tls.clone(),
            })
        };
        let worker_states = self.upstreams.iter().map(worker_state).collect();
        let mut tasks = JoinSet::new();
        tasks.spawn(revocations.clone().run());
        Generation {
            loaded: self.loaded,
            since: SystemTime::now(),
            keys: self.keys,
            revocations,
            worker_states,
            upstreams: self.upstreams,
            upstream_files: self.upstream_files,
            certificate_files: self.certificate_files,
            admission: self.admission,
            certificate_end,
            _tasks: tasks,
        }
    }
}

impl Generation {
    /// What clients may hold.
    pub(super) fn budget_limits(&self) -> budget::Limits {
        let config = &self.loaded.config;
        let connections = descriptors::connections(config.limits.connections);
        budget::Limits::new(&config.limits, &config.token_cache).with_connections(connections)
    }

    /// What each worker serves with.
    pub(super) fn worker_states(&self) -> &[Arc<WorkerState>] {
        &self.worker_states
    }

    /// From here on every request is judged by this generation; those that have begun end with
    /// the one that they began with.
    pub(super) fn enter(&self, before: Option<&Self>, shared: &SharedState) {
        if let Some(before) = before {
            before.keys.retire(&self.keys);
        }
        self.keys.start();
        self.revocations.enter();
        for (slot, worker_state) in shared.slots.iter().zip(&self.worker_states) {
            slot.store(worker_state.clone());
        }
        // After the slots: whoever ends and comes back meets this generation.
        shared.admission.send_replace(self.admission.number);
        shared.metrics.config_in_force(self.since);
    }
}
