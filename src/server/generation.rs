//! Everything that is made from one configuration, and that a reload therefore replaces.
//!
//! A reload makes a [`PreparedConfig`] first. Everything that can fail happens there, so entering the
//! [`Generation`] made from it cannot fail halfway.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::RunError;
use super::connection_policy::ConnectionPolicy;
use super::{descriptors, tls_files};
use crate::admin::CertificateView;
use crate::audit::AuditTrail;
use crate::backend_credentials::BackendCredentials;
use crate::bot_list::BotList;
use crate::budget;
use crate::config::{self, Config, Listen, Loaded};
use crate::connection::{ConnectionSettings, Slots, WorkerState};
use crate::exchange::Recorder;
use crate::file_watch::{self, Contents};
use crate::gateway::{Clock, Gateway};
use crate::introspection::Introspector;
use crate::jwks::Keys;
use crate::metrics::{Expected, Metrics};
use crate::mint_cache;
use crate::refusals::Refusals;
use crate::request::TokenFields;
use crate::revocation_list::{RevocationList, RevocationsInForce};
use crate::signals::Signals;
use crate::spans::{self, SpanExporter, SpanQueue, Tracer};
use crate::tls::{self, ListenerTls, TlsError};
use crate::tokens_in_use::TokensInUse;
use crate::upstream::{Reachability, Target, Upstream};

/// State that outlives every configuration of the process.
pub(super) struct SharedState {
    pub(super) metrics: Arc<Metrics>,
    pub(super) audit: AuditTrail,
    pub(super) refusals: Arc<Refusals>,
    pub(super) tokens: Arc<TokensInUse>,
    pub(super) signals: Arc<Signals>,
    pub(super) revocations: Arc<RevocationsInForce>,
    pub(super) clock: Clock,
    /// Takes the spans of requests, if they are sent anywhere.
    pub(super) spans: Option<SpanQueue>,
    pub(super) slots: Slots<WorkerState>,
    /// The addresses of the open proxy sockets.
    pub(super) proxies: Vec<Listen>,
}

impl SharedState {
    /// Without slots, which are made for the first generation. `proxies` are the addresses of the open proxy sockets.
    pub(super) fn new(metrics: Arc<Metrics>, audit: AuditTrail, clock: Clock, proxies: Vec<Listen>) -> Self {
        Self {
            metrics,
            audit,
            refusals: Arc::default(),
            tokens: Arc::default(),
            signals: Arc::default(),
            revocations: Arc::default(),
            clock,
            spans: None,
            slots: Slots::new(&[]),
            proxies,
        }
    }

    /// Starts to send spans, if they are sent anywhere. The environment says so, which a reload does not change.
    pub(super) fn start_exporter(&mut self, loaded: &Loaded) -> Result<SpanExporter, RunError> {
        let Some(export) = &loaded.spans else { return Ok(SpanExporter::default()) };
        let started = spans::start(export, &loaded.config.proxies, &self.metrics);
        let (queue, exporter) = started.map_err(|error| RunError::Start(io::Error::other(error)))?;
        self.spans = Some(queue);
        Ok(exporter)
    }

    /// Records the spans of requests under this configuration.
    fn tracer(&self, loaded: &Loaded) -> Option<Tracer> {
        let (queue, export) = self.spans.clone().zip(loaded.spans.as_ref())?;
        Some(Tracer::new(export.sampler, queue, &loaded.config.upstream.url))
    }

    /// The token fields of each open socket under this configuration. Addresses change after a restart, so a socket that
    /// is no longer in `listen` keeps its fields.
    fn token_fields(&self, config: &Config) -> Vec<Option<TokenFields>> {
        let before = self.slots.first();
        let fields = self.proxies.iter().enumerate().map(|(number, proxy)| {
            let listen: Vec<_> = config.listen.iter().collect();
            let index = match listen.get(number) {
                Some(same) if *same == proxy => Some(number),
                _ => listen.iter().position(|listen| *listen == proxy),
            };
            match index {
                Some(index) => config.listener_token_fields.get(index).cloned().flatten(),
                None => before.as_ref()?.gateway.listener_token_fields(number).cloned(),
            }
        });
        fields.collect()
    }
}

/// A configuration in force, with everything that was made from it.
pub(super) struct Generation {
    pub(super) loaded: Arc<Loaded>,
    /// What is not a default, as YAML, for the status page.
    pub(super) settings: Arc<str>,
    pub(super) since: SystemTime,
    pub(super) keys: Arc<Keys>,
    credentials: Arc<BackendCredentials>,
    pub(super) revocations: Arc<RevocationList>,
    pub(super) bots: Arc<BotList>,
    pub(super) introspector: Option<Arc<Introspector>>,
    worker_states: Vec<Arc<WorkerState>>,
    /// One connection pool per worker.
    upstreams: Vec<Arc<Upstream>>,
    /// The contents of the certificate files with which the pools were made.
    upstream_files: Contents,
    /// Contents of all certificate files, taken before they were read for this generation.
    pub(super) certificate_files: Contents,
    connection_policy: ConnectionPolicy,
    /// Set once: computing it may log.
    budget_limits: OnceLock<budget::Limits>,
    /// When the listener's certificate expires.
    certificate_end: Option<SystemTime>,
    /// The files of certificates, with their ends.
    certificates: Vec<CertificateView>,
    /// Aborted when the generation is dropped.
    _tasks: JoinSet<()>,
}

/// A checked configuration that is ready to enter into force: every step that can fail is done.
pub(super) struct PreparedConfig {
    pub(super) loaded: Arc<Loaded>,
    pub(super) keys: Arc<Keys>,
    credentials: Arc<BackendCredentials>,
    pub(super) revocations: Arc<RevocationList>,
    introspector: Option<Arc<Introspector>>,
    upstreams: Vec<Arc<Upstream>>,
    upstream_files: Contents,
    certificate_files: Contents,
    connection_policy: ConnectionPolicy,
    tls: Option<ListenerTls>,
    certificates: Vec<CertificateView>,
    pub(super) bots: Arc<BotList>,
}

impl PreparedConfig {
    /// Reads the files that the configuration names, and prepares the pools of `workers` workers. Blocks.
    pub(super) fn new(
        loaded: Arc<Loaded>,
        before: Option<&Generation>,
        shared: &SharedState,
        workers: usize,
    ) -> Result<Self, RunError> {
        let (config, metrics) = (&loaded.config, &shared.metrics);
        let certificate_files = file_watch::read(&config.certificate_files());
        let keys = match before {
            Some(before) => Keys::after(&before.keys, config)?,
            None => Keys::new(config, metrics)?,
        };
        let minted = before.map(|before| before.credentials.minted().clone()).unwrap_or_default();
        let credentials = BackendCredentials::new(config, minted);
        let lists_before = before.map(|before| &*before.revocations);
        let revocations = RevocationList::new(config, lists_before, metrics, &shared.revocations)?;
        let tls = listener_tls(config, before)?;
        let connection_policy = ConnectionPolicy::new(config, before.map(|before| &before.connection_policy));
        let upstream_files = file_watch::read(config.upstream.tls.files());
        let unchanged = before.filter(|before| {
            before.loaded.config.upstream == config.upstream && before.upstream_files == upstream_files
        });
        let introspector = introspector(config, unchanged, metrics)?;
        let upstreams = match unchanged {
            // Keeps their open connections.
            Some(before) => before.upstreams.clone(),
            None => {
                let target = Target::new(&config.upstream)?;
                let reachability = before
                    .and_then(|before| before.upstreams.first())
                    .map_or_else(|| Reachability::new(metrics.clone()), |pool| pool.reachability().clone());
                let pool = |_| Upstream::new(target.clone(), reachability.clone(), metrics.clone());
                (0..workers).map(pool).collect()
            }
        };
        let bots_before = before.map(|before| &*before.bots);
        let bots = BotList::new(config, bots_before, metrics, &shared.revocations, SystemTime::now());
        let certificates = tls_files::ends(&loaded);
        Ok(Self {
            loaded,
            keys,
            bots,
            credentials,
            revocations,
            introspector,
            upstreams,
            upstream_files,
            certificate_files,
            connection_policy,
            tls,
            certificates,
        })
    }

    /// Fetches the lists that it lacks and the generation in force has. Returns why one cannot be had.
    pub(super) async fn fetch_lists(&self, before: &Generation) -> Vec<String> {
        let revocations = async {
            if !before.revocations.are_ready() || self.revocations.are_ready() {
                return Vec::new();
            }
            self.revocations.fetch_missing().await;
            self.revocations.missing()
        };
        let bots = async {
            if !before.bots.is_ready() || self.bots.is_ready() {
                return None;
            }
            self.bots.fetch_missing().await;
            self.bots.missing()
        };
        let (mut missing, bots) = tokio::join!(revocations, bots);
        missing.extend(bots);
        missing
    }

    /// Makes the generation of this configuration. It serves nothing before [`Generation::enter`].
    pub(super) fn generation(self, shared: &SharedState) -> Generation {
        let config = &self.loaded.config;
        let recorder = Arc::new(recorder(&self.loaded, shared));
        let (revocations, bots) = (self.revocations.clone(), self.bots);
        // It gets a new token cache: a token that another configuration accepted must be verified again.
        let (keys, credentials) = (self.keys.clone(), self.credentials.clone());
        let gateway = Gateway::new(
            config,
            keys,
            credentials,
            (revocations.clone(), bots.clone()),
            recorder,
            shared.clock,
        );
        let before = shared.slots.first();
        let gateway = gateway.with_counts_of(before.as_ref().map(|before| &*before.gateway));
        let gateway = gateway.with_token_fields(shared.token_fields(config));
        let gateway = Arc::new(gateway.with_introspector(self.introspector.clone()));
        let settings = ConnectionSettings::new(config, self.connection_policy.number);
        let certificate_end = self.tls.as_ref().and_then(|tls| tls.not_after);
        let ends = self.certificates.iter().map(|certificate| (&*certificate.setting, certificate.ends_at));
        shared.metrics.certificates(ends);
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
        tasks.spawn(bots.clone().run());
        tasks.spawn(self.credentials.clone().run());
        Generation {
            settings: config::print_set(&self.loaded).into(),
            loaded: self.loaded,
            since: SystemTime::now(),
            keys: self.keys,
            credentials: self.credentials,
            revocations,
            bots,
            introspector: self.introspector,
            worker_states,
            upstreams: self.upstreams,
            upstream_files: self.upstream_files,
            certificate_files: self.certificate_files,
            connection_policy: self.connection_policy,
            budget_limits: OnceLock::new(),
            certificate_end,
            certificates: self.certificates,
            _tasks: tasks,
        }
    }
}

/// Where the requests under this configuration are recorded.
fn recorder(loaded: &Loaded, shared: &SharedState) -> Recorder {
    let config = &loaded.config;
    Recorder {
        audit: shared.audit.clone(),
        audited: config.audit.include,
        metrics: shared.metrics.clone(),
        refusals: shared.refusals.clone(),
        tokens: shared.tokens.clone(),
        tracer: shared.tracer(loaded),
        signals: config.audit.signals.then(|| shared.signals.clone()),
        rules: config.policy.rules.iter().map(|rule| rule.name.clone()).collect(),
        entries: config.trust.iter().map(|entry| entry.name.clone()).collect(),
    }
}

impl Generation {
    /// The limits on what clients may hold.
    pub(super) fn budget_limits(&self) -> budget::Limits {
        *self.budget_limits.get_or_init(|| self.compute_budget_limits())
    }

    fn compute_budget_limits(&self) -> budget::Limits {
        let config = &self.loaded.config;
        let connections = descriptors::connections(config.limits.connections);
        let mut caches = config.token_cache.clone();
        if config.mint.is_some() {
            caches.max_bytes += mint_cache::MAX_BYTES;
        }
        if let Some(export) = &self.loaded.spans {
            caches.max_bytes += spans::max_bytes(export);
        }
        budget::Limits::new(&config.limits, &caches).with_connections(connections)
    }

    /// The files of certificates, with their ends.
    pub(super) fn certificates(&self) -> &[CertificateView] {
        &self.certificates
    }

    /// The gateway, which all workers share.
    pub(super) fn gateway(&self) -> Option<&Gateway> {
        self.worker_states.first().map(|state| &*state.gateway)
    }

    /// The state of each worker.
    pub(super) fn worker_states(&self) -> &[Arc<WorkerState>] {
        &self.worker_states
    }

    /// Puts this generation into force. New requests use it; requests in progress finish with the generation
    /// with which they began.
    pub(super) fn enter(&self, before: Option<&Self>, shared: &SharedState) {
        if let Some(before) = before {
            before.keys.retire(&self.keys);
        }
        self.keys.start();
        self.expect_counters(&shared.metrics);
        self.revocations.enter();
        self.bots.enter();
        shared.slots.enter(&self.worker_states, self.connection_policy.number);
        shared.metrics.config_in_force(self.since);
    }

    /// Creates the counters that requests under this configuration can use.
    fn expect_counters(&self, metrics: &Metrics) {
        let config = &self.loaded.config;
        let issuers: Vec<_> = config.trust.iter().map(|entry| entry.name.clone()).collect();
        let rules: Vec<_> = config.policy.rules.iter().map(|rule| rule.name.clone()).collect();
        let reports = config::reports(&config.policy);
        metrics.expect(&Expected {
            issuers: &issuers,
            rules: &rules,
            reports,
            preflights: config.cors.is_some(),
        });
    }
}

/// The certificate of the listener. One that has expired is refused if the current one is still valid.
fn listener_tls(config: &Config, before: Option<&Generation>) -> Result<Option<ListenerTls>, TlsError> {
    let http2 = config.limits.concurrent_streams > 0;
    let tls = config.tls.as_ref().map(|files| tls::server_config(files, http2)).transpose()?;
    if let (Some(files), Some(end)) = (&config.tls, tls.as_ref().and_then(|tls| tls.not_after))
        && end < SystemTime::now()
    {
        let error = TlsError::ended(&files.cert_file, end);
        // Refusing it helps only if the current certificate is still valid. At the start, or if the current
        // one has expired too, run with it.
        if before.is_some_and(|before| before.certificate_end.is_none_or(|end| end > SystemTime::now())) {
            return Err(error);
        }
        tracing::error!(%error, "clients will refuse this certificate");
    }
    Ok(tls)
}

/// The introspection of a configuration. `before` is the generation in force, if it has the same backend.
fn introspector(
    config: &Config,
    before: Option<&Generation>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Introspector>>, TlsError> {
    let path = &config.revocations.introspection;
    if path.is_none() {
        return Ok(None);
    }
    let same = before.filter(|before| before.loaded.config.revocations.introspection == *path);
    if let Some(known) = same.and_then(|before| before.introspector.clone()) {
        // Keeps its answers.
        return Ok(Some(known));
    }
    Ok(Introspector::new(config, Target::new(&config.upstream)?, metrics))
}
